/* SPDX-License-Identifier: MIT */
#include "guest-agent/put-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/remove-tree.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"

#define BLOCK 65536

/* --- contents --- */

static int copy_contents(int from, int to)
{
	mlimg_autofree char *block = malloc(BLOCK);
	off_t size = 0;

	if (!block)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(from, block, BLOCK);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return ftruncate(to, size) < 0 ? -errno : 0;
		size += n;
		if (mlimg_is_zero(block, (size_t)n))
			r = lseek(to, size, SEEK_SET) < 0 ? -errno : 0;
		else
			r = mlimg_write_all(to, block, (size_t)n);
		if (r < 0)
			return r;
	}
}

static int copy_file(int from_fd, const char *from, int to_fd, const char *to)
{
	mlimg_autoclose int in =
		openat(from_fd, from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	mlimg_autoclose int out = -1;

	if (in < 0)
		return -errno;
	out = openat(to_fd, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return out < 0 ? -errno : copy_contents(in, out);
}

/* --- one thing under a temporary name --- */

static int make(const struct mlimg_entry *e, int from_fd, const char *from, int to_fd,
	const char *temporary)
{
	switch (e->type) {
	case MLIMG_FILE: return copy_file(from_fd, from, to_fd, temporary);
	case MLIMG_DIR: return -EISDIR;
	case MLIMG_SOCKET: return -ENOTSUP;
	default: return mlimg_entry_at_make(to_fd, temporary, e);
	}
}

static int sync_file(int dir_fd, const char *name)
{
	mlimg_autoclose int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* By what moving a thing, or copying it up, leaves alone. */
static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_size == b->st_size && a->st_uid == b->st_uid &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* A file system without flags of renameat2(2), as FUSE is: what comes in between is replaced. */
static int place_plain(int dir_fd, const char *temporary, const char *name, bool is_there)
{
	char old[MLIMG_TEMPORARY_SIZE];
	int r;

	if (renameat(dir_fd, temporary, dir_fd, name) == 0)
		return 0;
	/* A directory does not replace a file: that goes when the directory has its name. */
	if (errno != ENOTDIR || !is_there)
		return -errno;
	r = mlimg_temporary_name(old);
	if (r == 0 && renameat(dir_fd, name, dir_fd, old) < 0)
		r = -errno;
	if (r < 0)
		return r;
	if (renameat(dir_fd, temporary, dir_fd, name) < 0) {
		r = -errno;
		return renameat(dir_fd, old, dir_fd, name) < 0 ? -errno : r;
	}
	return unlinkat(dir_fd, old, 0) < 0 ? -errno : 0;
}

/* The temporary thing gets its name. */
static int place(int dir_fd, const char *temporary, const char *name, const struct stat *replaces)
{
	struct stat there;

	if (replaces && S_ISDIR(replaces->st_mode))
		return -EISDIR;
	if (fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT || replaces)
			return errno == ENOENT ? -ESTALE : -errno;
	} else if (!replaces || !is_same(&there, replaces)) {
		return replaces ? -ESTALE : -EEXIST;
	}
	if (renameat2(dir_fd, temporary, dir_fd, name,
		    replaces ? RENAME_EXCHANGE : RENAME_NOREPLACE) < 0)
		return errno == EINVAL ? place_plain(dir_fd, temporary, name, replaces) : -errno;
	if (!replaces)
		return 0;
	if (fstatat(dir_fd, temporary, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
		is_same(&there, replaces))
		return unlinkat(dir_fd, temporary, 0) < 0 ? -errno : 0;
	return renameat2(dir_fd, temporary, dir_fd, name, RENAME_EXCHANGE) < 0 ? -errno : -ESTALE;
}

/* The temporary thing gets its attributes, and its name. */
static int finish(int dir_fd, const char *temporary, const char *name, const struct stat *replaces,
	const struct mlimg_entry *e, struct mlimg_entry_reader *reader)
{
	int r = mlimg_entry_at_set(reader, dir_fd, temporary, e);

	if (r == 0 && e->type == MLIMG_FILE)
		r = sync_file(dir_fd, temporary);
	if (r == 0)
		r = place(dir_fd, temporary, name, replaces);
	return r < 0 ? r : fsync(dir_fd) < 0 ? -errno : 0;
}

int mlimg_put_copy(
	int from_fd, const char *from, int to_fd, const char *to, const struct stat *replaces)
{
	struct mlimg_entry_reader from_reader = {.link = ""}, to_reader = {.link = ""};
	char temporary[MLIMG_TEMPORARY_SIZE];
	struct mlimg_entry e;
	int r = mlimg_entry_at_read(&from_reader, from_fd, from, from, false, &e);

	if (r == 0)
		r = mlimg_temporary_name(temporary);
	if (r == 0) {
		r = make(&e, from_fd, from, to_fd, temporary);
		if (r == 0)
			r = finish(to_fd, temporary, to, replaces, &e, &to_reader);
		if (r < 0)
			unlinkat(to_fd, temporary, 0);
	}
	mlimg_entry_reader_done(&from_reader);
	mlimg_entry_reader_done(&to_reader);
	return r;
}

/* --- trees --- */

static int copy_below(int from_top, int to_top, const struct mlimg_entry *e)
{
	struct mlimg_entry_reader reader = {.link = ""};
	const char *from, *to;
	mlimg_autoclose int from_fd = mlimg_open_parent_strict(from_top, e->path, O_RDONLY, &from);
	mlimg_autoclose int to_fd = mlimg_open_parent_strict(to_top, e->path, O_RDONLY, &to);
	int r;

	if (from_fd < 0 || to_fd < 0)
		return from_fd < 0 ? from_fd : to_fd;
	if (e->type == MLIMG_DIR)
		return mkdirat(to_fd, to, 0700) < 0 ? -errno : 0;
	r = make(e, from_fd, from, to_fd, to);
	if (r == 0)
		r = mlimg_entry_at_set(&reader, to_fd, to, e);
	mlimg_entry_reader_done(&reader);
	return r;
}

/* When nothing more comes into it. */
static int set_dir(int to_top, const struct mlimg_entry *e)
{
	struct mlimg_entry_reader reader = {.link = ""};
	mlimg_autoclose int fd =
		mlimg_open_beneath_strict(to_top, *e->path ? e->path : ".", O_RDONLY | O_DIRECTORY);
	int r = fd < 0 ? fd : mlimg_entry_at_set(&reader, fd, "", e);

	mlimg_entry_reader_done(&reader);
	return r;
}

/* Another name of what is there already, with its attributes. */
static int link_below(int top, const char *first, const char *path)
{
	const char *name, *first_name;
	mlimg_autoclose int first_fd = mlimg_open_parent_strict(top, first, O_RDONLY, &first_name);
	mlimg_autoclose int fd = mlimg_open_parent_strict(top, path, O_RDONLY, &name);

	if (first_fd < 0 || fd < 0)
		return first_fd < 0 ? first_fd : fd;
	return linkat(first_fd, first_name, fd, name, 0) < 0 ? -errno : 0;
}

static int copy_entries(
	int from_fd, int to_fd, const struct mlimg_manifest *tree, uint64_t *ret_n_sockets)
{
	/* By the number of the group, of which there are fewer than entries. */
	mlimg_autofree const char **firsts = calloc(tree->n_entries + 1, sizeof(*firsts));
	uint64_t n_sockets = 0;
	int r = firsts ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < tree->n_entries; i++) {
		const struct mlimg_entry *e = &tree->entries[i];
		const char **first = &firsts[e->hardlink];

		if (e->type == MLIMG_SOCKET)
			n_sockets++;
		else if (e->hardlink && *first)
			r = link_below(to_fd, *first, e->path);
		else if (*e->path && !mlimg_entry_is_whiteout(e)) {
			r = copy_below(from_fd, to_fd, e);
			*first = e->path;
		}
	}
	*ret_n_sockets = n_sockets;
	return r;
}

static int copy_tree(int from_fd, int to_fd, uint64_t *ret_n_sockets)
{
	struct mlimg_manifest *tree = NULL;
	int r = mlimg_walk_manifest(from_fd, 0, false, &tree, NULL);

	if (r == 0)
		r = copy_entries(from_fd, to_fd, tree, ret_n_sockets);
	for (size_t i = tree ? tree->n_entries : 0; r == 0 && i-- > 0;)
		if (tree->entries[i].type == MLIMG_DIR)
			r = set_dir(to_fd, &tree->entries[i]);
	mlimg_manifest_free(tree);
	return r == 0 && syncfs(to_fd) < 0 ? -errno : r;
}

static int copy_dir(
	int from_fd, const char *from, int to_fd, const char *temporary, uint64_t *ret_n_sockets)
{
	mlimg_autoclose int from_top =
		mlimg_open_beneath_strict(from_fd, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	mlimg_autoclose int to_top = -1;

	if (from_top < 0)
		return from_top;
	if (mkdirat(to_fd, temporary, 0700) < 0)
		return -errno;
	to_top = openat(to_fd, temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return to_top < 0 ? -errno : copy_tree(from_top, to_top, ret_n_sockets);
}

int mlimg_put_tree(int from_fd, const char *from, int to_fd, const char *to,
	const struct stat *replaces, uint64_t *ret_n_sockets)
{
	char temporary[MLIMG_TEMPORARY_SIZE];
	uint64_t n_sockets = 0;
	int r = mlimg_temporary_name(temporary);

	if (r < 0)
		return r;
	r = copy_dir(from_fd, from, to_fd, temporary, &n_sockets);
	if (r == 0)
		r = place(to_fd, temporary, to, replaces);
	if (r < 0)
		(void)!mlimg_remove_tree(to_fd, temporary);
	if (r < 0 || fsync(to_fd) < 0)
		return r < 0 ? r : -errno;
	*ret_n_sockets = n_sockets;
	return 0;
}

/* --- texts --- */

static int write_text(int dir_fd, const char *name, const char *data, size_t size)
{
	mlimg_autoclose int fd =
		openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : mlimg_write_all(fd, data, size);
}

int mlimg_put_text(int to_fd, const char *to, const struct stat *replaces, const char *data,
	size_t size, const struct mlimg_entry *like)
{
	struct mlimg_entry_reader reader = {.link = ""};
	char temporary[MLIMG_TEMPORARY_SIZE];
	struct mlimg_entry e = *like;
	struct timespec now;
	int r = mlimg_temporary_name(temporary);

	clock_gettime(CLOCK_REALTIME, &now);
	e.mtime_s = now.tv_sec;
	e.mtime_ns = (uint32_t)now.tv_nsec;
	if (r < 0)
		return r;
	r = write_text(to_fd, temporary, data, size);
	if (r == 0)
		r = finish(to_fd, temporary, to, replaces, &e, &reader);
	if (r < 0)
		unlinkat(to_fd, temporary, 0);
	mlimg_entry_reader_done(&reader);
	return r;
}

/* --- away --- */

/* It has its name again, unless that is another's by now. */
static int give_name_back(int dir_fd, const char *temporary, const char *name)
{
	struct stat st;

	if (renameat2(dir_fd, temporary, dir_fd, name, RENAME_NOREPLACE) == 0 || errno == EEXIST)
		return -ESTALE;
	/* FUSE knows no flags. */
	if (errno == EINVAL && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		errno == ENOENT && renameat(dir_fd, temporary, dir_fd, name) == 0)
		return -ESTALE;
	return -errno;
}

int mlimg_put_away(int dir_fd, const char *name, const struct stat *seen)
{
	char temporary[MLIMG_TEMPORARY_SIZE];
	struct stat there;
	int r = mlimg_temporary_name(temporary);

	if (r < 0)
		return r;
	if (fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(there.st_mode) || !is_same(&there, seen))
		return S_ISDIR(seen->st_mode) ? -EISDIR : -ESTALE;
	if (renameat(dir_fd, name, dir_fd, temporary) < 0)
		return -errno;
	if (fstatat(dir_fd, temporary, &there, AT_SYMLINK_NOFOLLOW) < 0 || !is_same(&there, seen))
		return give_name_back(dir_fd, temporary, name);
	return unlinkat(dir_fd, temporary, 0) < 0 ? -errno : 0;
}
