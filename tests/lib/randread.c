/* SPDX-License-Identifier: MIT */
/*
 * usage: randread FILE READS
 *
 * Reads 4 KiB at random places of FILE, beside the page cache, and prints how many microseconds all
 * of it took. The places are the same each time.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014) */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
	static char block[BLOCK] __attribute__((aligned(BLOCK)));
	uint64_t state = 1, began, reads;
	struct stat st;
	int fd;

	if (argc != 3)
		return 2;
	fd = open(argv[1], O_RDONLY | O_DIRECT);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < BLOCK) {
		perror(argv[1]);
		return 1;
	}
	reads = strtoull(argv[2], NULL, 10);
	began = now_us();
	for (uint64_t i = 0; i < reads; i++) {
		off_t at = (off_t)(next_random(&state) % ((uint64_t)st.st_size / BLOCK)) * BLOCK;

		if (pread(fd, block, BLOCK, at) != BLOCK) {
			perror(argv[1]);
			return 1;
		}
	}
	printf("%llu\n", (unsigned long long)(now_us() - began));
	return 0;
}
