/* SPDX-License-Identifier: MIT */
/*
 * usage: benchtree [-f FILES] [-b BYTES] [-d DIRECTORIES] [-l LINKS] [-s SAME] [-e EMPTY] DIRECTORY
 * Makes a new directory for benchmarks, the same on every machine: FILES regular files of BYTES in
 * all, in DIRECTORIES nested ones, LINKS symbolic links; of the files the last SAME have the
 * contents of others. EMPTY further files, without contents, lie in one more directory.
 *
 * Sizes are spread as in the /usr of a Debian 12 with systemd and a kernel (9,114 files): many
 * small files, few large ones that hold most of the bytes. Contents cannot be compressed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POOL_SIZE (1 << 20)
#define DIR_PATH_MAX 1024
#define TIME_S 1700000000 /* of all that is made, so that trees made at different times are equal */

/*
 * Sizes that a part of the files does not exceed; between two of them every size is equally likely.
 */
static const struct {
	double part;
	uint64_t size;
} spread[] = {{0, 1}, {.05, 344}, {.1, 553}, {.2, 802}, {.3, 1367}, {.4, 2100}, {.5, 3360},
	{.6, 7331}, {.7, 14495}, {.8, 22955}, {.9, 53798}, {.95, 109520}, {.99, 497904},
	{.995, 978961}, {.999, 2901956}, {1, 13017119}};
#define N_SPREAD (sizeof(spread) / sizeof(spread[0]))

static uint64_t pool[POOL_SIZE / 8];

#define CHECK(call)                                                                     \
	do {                                                                            \
		if ((call) < 0) {                                                       \
			fprintf(stderr, "benchtree: %s: %s\n", #call, strerror(errno)); \
			exit(1);                                                        \
		}                                                                       \
	} while (0)

/* splitmix64 (public domain, Vigna 2015), as a function of its place in the sequence */
static uint64_t rnd(uint64_t n)
{
	uint64_t z = (n + 1) * 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t size_of(uint64_t file)
{
	double part = (double)(rnd(file) >> 11) / (double)(UINT64_C(1) << 53);
	size_t i = 1;

	while (i < N_SPREAD - 1 && spread[i].part < part)
		i++;
	part = (part - spread[i - 1].part) / (spread[i].part - spread[i - 1].part);
	return spread[i - 1].size +
		(uint64_t)(part * (double)(spread[i].size - spread[i - 1].size));
}

static void set_time(const char *path)
{
	const struct timespec times[2] = {{.tv_sec = TIME_S}, {.tv_sec = TIME_S}};

	CHECK(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

static void make_file(const char *path, uint64_t id, uint64_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	size_t from = rnd(id) % POOL_SIZE;
	uint64_t head = rnd(~id); /* so that no two files begin alike */

	CHECK(fd);
	for (uint64_t at = 0; at < size;) {
		uint64_t n = size - at < POOL_SIZE - from ? size - at : POOL_SIZE - from;
		ssize_t done;

		if (at == 0 && n > sizeof(head))
			n = sizeof(head);
		done = write(fd, at ? (void *)((char *)pool + from) : (void *)&head, n);
		CHECK(done);
		at += (uint64_t)done;
		from = at > sizeof(head) ? 0 : from;
	}
	CHECK(close(fd));
	set_time(path);
}

static char (*dirs)[DIR_PATH_MAX];

/*
 * Nested as a tree is that grows at random, and prefers to grow near its root: the deepest is some
 * 10 levels down where there are thousands.
 */
static void make_dirs(unsigned n)
{
	dirs = calloc(n + 1, sizeof(*dirs));
	if (!dirs)
		exit(1);
	strcpy(dirs[0], ".");
	for (unsigned i = 1; i <= n; i++) {
		char path[DIR_PATH_MAX + 32];

		snprintf(path, sizeof(path), "%s/dir-%u", dirs[rnd(i) % (1 + i / 4)], i);
		CHECK(mkdir(path, 0755));
		if (strlen(path) >= DIR_PATH_MAX)
			exit(1);
		strcpy(dirs[i], path);
	}
}

static void make_files(unsigned n, uint64_t bytes, unsigned n_dirs, unsigned n_same)
{
	char path[DIR_PATH_MAX + 32];
	uint64_t sum = 0, scaled;

	for (unsigned i = 0; i < n; i++)
		sum += size_of(i < n - n_same ? i : i - (n - n_same));
	for (unsigned i = 0; i < n; i++) {
		unsigned id = i < n - n_same ? i : i - (n - n_same);

		scaled = sum ? (uint64_t)((double)size_of(id) * ((double)bytes / (double)sum)) : 0;
		snprintf(path, sizeof(path), "%s/file-%u.data", dirs[rnd(i + 7) % (n_dirs + 1)], i);
		make_file(path, id, scaled);
	}
}

static void make_links(unsigned n, unsigned n_dirs, unsigned n_files)
{
	char path[DIR_PATH_MAX + 32], target[64];

	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/link-%u", dirs[rnd(i) % (n_dirs + 1)], i);
		snprintf(target, sizeof(target), "../file-%u.data", i % (n_files + 1));
		CHECK(symlink(target, path));
		set_time(path);
	}
}

static void make_empty(unsigned n)
{
	char path[64];

	if (!n)
		return;
	CHECK(mkdir("empty", 0755));
	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "empty/file-%u.data", i);
		make_file(path, 0, 0);
	}
	set_time("empty");
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	if (!*text || *end) {
		fprintf(stderr, "benchtree: '%s' is no number\n", text);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	unsigned files = 0, n_dirs = 0, links = 0, same = 0, empty = 0;
	uint64_t bytes = 0;
	int opt;

	while ((opt = getopt(argc, argv, "f:b:d:l:s:e:")) != -1) {
		switch (opt) {
		case 'f': files = (unsigned)number(optarg); break;
		case 'b': bytes = number(optarg); break;
		case 'd': n_dirs = (unsigned)number(optarg); break;
		case 'l': links = (unsigned)number(optarg); break;
		case 's': same = (unsigned)number(optarg); break;
		case 'e': empty = (unsigned)number(optarg); break;
		default: return 2;
		}
	}
	if (optind != argc - 1 || 2 * (uint64_t)same > files) {
		fprintf(stderr,
			"benchtree: one directory is wanted, and SAME at most half of FILES\n");
		return 2;
	}
	CHECK(mkdir(argv[optind], 0755));
	CHECK(chdir(argv[optind]));
	for (size_t i = 0; i < POOL_SIZE / 8; i++)
		pool[i] = rnd(i);
	make_dirs(n_dirs);
	make_files(files, bytes, n_dirs, same);
	make_links(links, n_dirs, files);
	make_empty(empty);
	for (unsigned i = 0; i <= n_dirs; i++)
		set_time(dirs[i]);
	free(dirs);
	return 0;
}
