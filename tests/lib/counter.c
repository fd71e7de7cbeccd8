/* SPDX-License-Identifier: MIT */
/*
 * usage: counter FILE STATE
 *
 * Counts, in its memory and in FILE, which is written and read beside the page cache and synced:
 * each time what it reads there must be what it knows it has written. So memory and disk that are
 * not of one moment are found at once. STATE, in memory too, says "COUNT DISAGREEMENTS"; what was
 * read at a disagreement is appended.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096
#define PAUSE_US 2000

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void tell(
	const char *state, unsigned long long n, unsigned long long bad, unsigned long long found)
{
	char text[96], name[512];
	int fd, size = snprintf(text, sizeof(text), "%llu %llu %llu\n", n, bad, found);

	snprintf(name, sizeof(name), "%s.new", state);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, (size_t)size) != size || close(fd) < 0 ||
		rename(name, state) < 0)
		die(state);
}

int main(int argc, char **argv)
{
	static char block[BLOCK] __attribute__((aligned(BLOCK)));
	unsigned long long n = 0, bad = 0, found = 0;
	int fd;

	if (argc != 3)
		return 2;
	fd = open(argv[1], O_RDWR | O_CREAT | O_DIRECT, 0600);
	if (fd < 0 || pwrite(fd, block, BLOCK, 0) != BLOCK || fsync(fd) < 0)
		die(argv[1]);
	for (;; usleep(PAUSE_US)) {
		if (pread(fd, block, BLOCK, 0) != BLOCK)
			die(argv[1]);
		memcpy(&found, block, sizeof(found));
		bad += found != n;
		n++;
		memcpy(block, &n, sizeof(n));
		if (pwrite(fd, block, BLOCK, 0) != BLOCK || fsync(fd) < 0)
			die(argv[1]);
		tell(argv[2], n, bad, found);
	}
}
