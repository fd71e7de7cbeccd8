/* SPDX-License-Identifier: MIT */
/*
 * usage: randops SEED COUNT DIRECTORY Does COUNT random things to a tree, as its users might:
 * renames directories and files, writes, removes, makes new ones, changes attributes. What cannot
 * be done (a directory into itself) is passed over. Same seed and tree, same result.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"

#define PATHS_MAX 20000
#define DEPTH_MAX 600 /* bytes of a path that is gone into, so that paths stay short */

static uint64_t state;
static char *paths[PATHS_MAX];
static size_t n_paths;
static const char *root;
static int n_skip;

static uint32_t below(uint32_t n)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % n;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int note(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (n_paths < PATHS_MAX && strlen(path) < DEPTH_MAX && path[n_skip])
		paths[n_paths++] = strdup(path);
	return 0;
}

/* The tree as it is now, in an order that does not depend on the file system. */
static void list(void)
{
	while (n_paths)
		free(paths[--n_paths]);
	nftw(root, note, 32, FTW_PHYS);
	qsort(paths, n_paths, sizeof(*paths), by_text);
}

static const char *any(void)
{
	return n_paths ? paths[below((uint32_t)n_paths)] : root;
}

static const char *any_of(mode_t type)
{
	struct stat st;

	for (int i = 0; i < 200; i++) {
		const char *path = any();

		if (lstat(path, &st) == 0 && (st.st_mode & S_IFMT) == type)
			return path;
	}
	return root;
}

/* A name that may be there already, in any directory. */
static const char *new_path(void)
{
	static char path[DEPTH_MAX + 32];
	const char *dir = below(4) ? any_of(S_IFDIR) : root;

	snprintf(path, sizeof(path), "%s/new%u", dir, below(12));
	return path;
}

static void write_file(const char *path, int flags)
{
	mlimg_autoclose int fd =
		open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0640);
	char bytes[9000];
	size_t size = below(sizeof(bytes));

	memset(bytes, 'a' + (int)below(26), sizeof(bytes));
	if (fd >= 0 && write(fd, bytes, size) < 0)
		perror(path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (remove(path) < 0)
		perror(path);
	return 0;
}

static void set_attributes(const char *path)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = below(2000000000)}};
	struct stat st;

	if (lstat(path, &st) < 0)
		return;
	switch (below(4)) {
	case 0:
		if (!S_ISLNK(st.st_mode) && chmod(path, below(010000)) < 0)
			perror(path);
		break;
	case 1:
		if (lchown(path, below(3000), below(3000)) < 0)
			perror(path);
		break;
	case 2:
		if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
			perror(path);
		break;
	default:
		/* Whether the file system has them, and for what, is its own affair. */
		(void)lsetxattr(path, "trusted.random", "value", below(6), 0);
	}
}

static void rename_one(const char *path)
{
	char *from = strdup(path);

	(void)!rename(from, new_path());
	free(from);
}

static void do_one(void)
{
	const char *path;
	char target[64];

	switch (below(12)) {
	case 0:
	case 1:
	case 2:
	case 3: rename_one(any_of(S_IFDIR)); break;
	case 4: rename_one(any()); break;
	case 5: set_attributes(any()); break;
	case 6: set_attributes(any_of(S_IFREG)); break;
	case 7: write_file(any_of(S_IFREG), below(2) ? O_APPEND : O_TRUNC); break;
	case 8: write_file(new_path(), O_CREAT); break;
	case 9:
		if (mkdir(new_path(), below(01000)) < 0 && errno != EEXIST)
			perror("mkdir");
		break;
	case 10:
		snprintf(target, sizeof(target), "target%u", below(100));
		if (below(2)) {
			char *from = strdup(any_of(S_IFREG));

			(void)!link(from, new_path());
			free(from);
		} else {
			(void)!symlink(target, new_path());
		}
		break;
	default:
		path = below(3) ? any_of(S_IFREG) : any();
		if (path != root)
			nftw(path, remove_one, 32, FTW_PHYS | FTW_DEPTH);
	}
	list();
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	state = strtoull(argv[1], NULL, 10);
	root = argv[3];
	n_skip = (int)strlen(root);
	list();
	for (int i = atoi(argv[2]); i > 0; i--)
		do_one();
	while (n_paths)
		free(paths[--n_paths]);
	return 0;
}
