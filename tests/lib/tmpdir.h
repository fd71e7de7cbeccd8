/* SPDX-License-Identifier: MIT */
/* The test's own directory by descriptor, and small files in it. */
#ifndef TESTS_LIB_TMPDIR_H
#define TESTS_LIB_TMPDIR_H

#include <dirent.h>
#include <fcntl.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tests/lib/test.h"

static inline int open_tmpdir(void)
{
	int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY);

	ASSERT(fd >= 0);
	return fd;
}

static inline void put(int dir, const char *name, const char *text)
{
	mlimg_autoclose int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ASSERT(fd >= 0);
	ASSERT_EQ(mlimg_write_all(fd, text, strlen(text)), 0);
}

static inline int names_in(int dir)
{
	mlimg_autoclosedir DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY));
	int n = -2; /* "." and ".." */

	ASSERT(d);
	while (readdir(d))
		n++;
	return n;
}

#endif
