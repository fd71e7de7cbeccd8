/* SPDX-License-Identifier: MIT */
#include "guest-agent/dir-out.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/entry-at.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/remove-tree.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/whiteout.h"

#define BLOCK ((size_t)4096)
#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct mlimg_dir_out {
	char *path, *name;                   /* where it is to be; its last component, within */
	char tmp_name[MLIMG_TEMPORARY_SIZE]; /* "" when it has got its name */
	int beside_fd;                       /* the directory that it is in */
	int root_fd, marks_fd;
	int dir_fd; /* the directory of the last entry; -1 none */
	char dir[MLIMG_PATH_MAX + 1];
	int fd;        /* of the file whose contents follow, -1 */
	uint64_t size; /* of them up to now */
	struct mlimg_manifest *dirs;
	struct mlimg_entry_reader reader;
	sigset_t old_signals;
};

MLIMG_DEFINE_CLEANUP(struct mlimg_dir_out, mlimg_dir_out_free)

/* --- signals --- */

static void signals_that_end(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGHUP);
	sigaddset(ret, SIGQUIT);
}

static int check_signals(struct mlimg_err *err)
{
	sigset_t waiting, ours;

	signals_that_end(&ours);
	if (sigpending(&waiting) < 0 || sigandset(&waiting, &waiting, &ours) < 0)
		return mlimg_err_set(err, errno, "wait for signals");
	return sigisemptyset(&waiting) ? 0 : mlimg_err_set(err, EINTR, "stopped");
}

/* --- beginning --- */

static int make_root(struct mlimg_dir_out *out, struct mlimg_err *err)
{
	char name[MLIMG_TEMPORARY_SIZE];
	struct stat st;
	int r;

	if (fstatat(out->beside_fd, out->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return mlimg_err_set(err, EEXIST, "make the directory '%s'", out->path);
	r = mlimg_temporary_name(name);
	if (r == 0 && mkdirat(out->beside_fd, name, 0700) < 0)
		r = -errno;
	if (r < 0)
		return mlimg_err_set(err, r, "make the directory '%s'", out->path);
	memcpy(out->tmp_name, name, sizeof(name));
	out->root_fd = openat(out->beside_fd, out->tmp_name, OPEN_DIR);
	if (out->root_fd < 0 || mkdirat(out->root_fd, MLIMG_UNIONFS_DIR, 0700) < 0)
		return mlimg_err_set(err, errno, "make the directory '%s'", out->path);
	out->marks_fd = openat(out->root_fd, MLIMG_UNIONFS_DIR, OPEN_DIR);
	return out->marks_fd < 0 ? mlimg_err_set(err, errno, "make the directory '%s'", out->path)
				 : 0;
}

int mlimg_dir_out_new(const char *path, struct mlimg_dir_out **ret_out, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_dir_out_free_cleanup) struct mlimg_dir_out *out =
		calloc(1, sizeof(*out));
	mlimg_autofree char *copy = strdup(path);
	size_t size = strlen(path);
	sigset_t signals;
	int r;

	if (!out || !copy) {
		free(mlimg_steal(&out));
		return mlimg_err_set(err, ENOMEM, "make the directory '%s'", path);
	}
	out->beside_fd = out->root_fd = out->marks_fd = out->dir_fd = out->fd = -1;
	signals_that_end(&signals);
	sigprocmask(SIG_BLOCK, &signals, &out->old_signals);
	signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error like a full disk */
	while (size > 1 && path[size - 1] == '/')
		size--;
	out->path = strndup(path, size);
	out->dirs = mlimg_manifest_new();
	if (!out->path || !out->dirs)
		return mlimg_err_set(err, ENOMEM, "make the directory '%s'", path);
	out->name = strrchr(out->path, '/');
	out->name = out->name ? out->name + 1 : out->path;
	out->beside_fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out->beside_fd < 0)
		return mlimg_err_set(err, errno, "make the directory '%s'", path);
	r = make_root(out, err);
	if (r == 0)
		*ret_out = mlimg_steal(&out);
	return r;
}

int mlimg_dir_out_fd(const struct mlimg_dir_out *out)
{
	return out->root_fd;
}

/* --- entries --- */

/* Make dir_fd the directory that @path is in; those of one directory come together. */
static int go_to(struct mlimg_dir_out *out, const char *path)
{
	size_t size = mlimg_path_dir_size(path);

	if (out->dir_fd >= 0 && strlen(out->dir) == size && memcmp(out->dir, path, size) == 0)
		return 0;
	if (out->dir_fd >= 0)
		close(out->dir_fd);
	memcpy(out->dir, path, size);
	out->dir[size] = '\0';
	out->dir_fd = mlimg_open_beneath_strict(
		out->root_fd, size ? out->dir : ".", O_RDONLY | O_DIRECTORY);
	return out->dir_fd < 0 ? out->dir_fd : 0;
}

/* What is beneath @entry's path does not show. */
static int put_mark(
	struct mlimg_dir_out *out, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	char mark[MLIMG_UNIONFS_PATH_MAX + 16];
	mlimg_autoclose int fd = -1;
	int r = mlimg_unionfs_marker_of(entry->path, mark, NULL);

	if (r < 0)
		return mlimg_err_set(err, 0,
			"that there is nothing at '/%s' a tar can tell, but no directory",
			entry->path);
	for (char *slash = strchr(mark, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdirat(out->marks_fd, mark, 0700) < 0 && errno != EEXIST)
			return mlimg_err_set(err, errno, "make a mark of '/%s'", entry->path);
		*slash = '/';
	}
	fd = openat(out->marks_fd, mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : mlimg_entry_at_set_time(fd, "", entry->mtime_s, entry->mtime_ns);
	return r < 0 ? mlimg_err_set(err, r, "make a mark of '/%s'", entry->path) : 0;
}

static int put_dir(
	struct mlimg_dir_out *out, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	if (*entry->path && mkdirat(out->dir_fd, mlimg_path_name(entry->path), 0700) < 0)
		return mlimg_err_set(err, errno, "make '%s/%s'", out->path, entry->path);
	if (!mlimg_manifest_add(out->dirs, entry))
		return mlimg_err_set(err, ENOMEM, "make '%s/%s'", out->path, entry->path);
	return mlimg_entry_is_opaque(entry) ? put_mark(out, entry, err) : 0;
}

static int put_other(struct mlimg_dir_out *out, const struct mlimg_entry *entry, const char *link)
{
	const char *name = mlimg_path_name(entry->path);
	int r;

	if (link)
		return linkat(out->root_fd, link, out->dir_fd, name, 0) < 0 ? -errno : 0;
	if (entry->type == MLIMG_FILE) {
		out->size = 0;
		out->fd = openat(out->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		return out->fd < 0 ? -errno : 0;
	}
	r = mlimg_entry_at_make(out->dir_fd, name, entry);
	return r < 0 ? r : mlimg_entry_at_set(&out->reader, out->dir_fd, name, entry);
}

int mlimg_dir_out_entry(struct mlimg_dir_out *out, const struct mlimg_entry *entry,
	const char *link, struct mlimg_err *err)
{
	int r = check_signals(err);

	if (r < 0)
		return r;
	if (mlimg_entry_is_whiteout(entry))
		return put_mark(out, entry, err);
	if (mlimg_unionfs_is_meta(entry->path))
		return mlimg_err_set(
			err, EEXIST, "make '%s/%s', where marks are", out->path, entry->path);
	r = go_to(out, entry->path);
	if (r == 0 && entry->type == MLIMG_DIR)
		return put_dir(out, entry, err);
	if (r == 0)
		r = put_other(out, entry, link);
	return r < 0 ? mlimg_err_set(err, r, "make '%s/%s'", out->path, entry->path) : 0;
}

/* --- contents --- */

int mlimg_dir_out_hole(struct mlimg_dir_out *out, uint64_t size, struct mlimg_err *err)
{
	int r = check_signals(err);

	out->size += size;
	if (r == 0 && lseek(out->fd, (off_t)out->size, SEEK_SET) < 0)
		r = mlimg_err_set(err, errno, "write into '%s'", out->path);
	return r;
}

/* @return how much of it is zeros, or is not, in blocks of the file from @at on */
static size_t run_of(const char *data, size_t size, uint64_t at, bool *ret_is_hole)
{
	size_t n = 0;

	while (n < size) {
		size_t left = BLOCK - (size_t)((at + n) % BLOCK);
		bool is_hole;

		left = left < size - n ? left : size - n;
		is_hole = mlimg_is_zero(data + n, left);
		if (n == 0)
			*ret_is_hole = is_hole;
		if (is_hole != *ret_is_hole)
			break;
		n += left;
	}
	return n;
}

int mlimg_dir_out_data(
	struct mlimg_dir_out *out, const void *data, size_t size, struct mlimg_err *err)
{
	const char *at = data;
	int r = check_signals(err);

	while (size > 0 && r == 0) {
		bool is_hole;
		size_t n = run_of(at, size, out->size, &is_hole);

		if (is_hole) {
			r = mlimg_dir_out_hole(out, n, err);
		} else {
			r = mlimg_write_all(out->fd, at, n);
			out->size += n;
			if (r < 0)
				return mlimg_err_set(err, r, "write into '%s'", out->path);
		}
		at += n;
		size -= n;
	}
	return r;
}

int mlimg_dir_out_file_end(
	struct mlimg_dir_out *out, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	int r = ftruncate(out->fd, (off_t)out->size) < 0 ? -errno : 0;

	if (r == 0)
		r = mlimg_entry_at_set(
			&out->reader, out->dir_fd, mlimg_path_name(entry->path), entry);
	close(out->fd);
	out->fd = -1;
	return r < 0 ? mlimg_err_set(err, r, "write '%s/%s'", out->path, entry->path) : 0;
}

/* --- the end --- */

static int set_dirs(struct mlimg_dir_out *out, struct mlimg_err *err)
{
	int r = 0;

	for (size_t i = out->dirs->n_entries; i-- > 0 && r == 0;) {
		const struct mlimg_entry *e = &out->dirs->entries[i];
		mlimg_autoclose int fd = mlimg_open_beneath_strict(
			out->root_fd, *e->path ? e->path : ".", O_RDONLY | O_DIRECTORY);

		r = fd < 0 ? fd : mlimg_entry_at_set(&out->reader, fd, "", e);
		if (r < 0)
			return mlimg_err_set(err, r, "make '%s/%s'", out->path, e->path);
	}
	return r;
}

/* unionfs-fuse cannot rename without replacing; of directories only an empty one would go. */
static int give_name(const struct mlimg_dir_out *out)
{
	struct stat st;

	if (renameat2(out->beside_fd, out->tmp_name, out->beside_fd, out->name, RENAME_NOREPLACE) ==
		0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (fstatat(out->beside_fd, out->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return renameat(out->beside_fd, out->tmp_name, out->beside_fd, out->name) < 0 ? -errno : 0;
}

int mlimg_dir_out_commit(struct mlimg_dir_out *out, struct mlimg_err *err)
{
	int r = set_dirs(out, err);

	if (r < 0)
		return r;
	r = syncfs(out->root_fd) < 0 ? -errno : 0;
	if (r == 0)
		r = check_signals(err);
	if (r == 0)
		r = give_name(out);
	if (r < 0)
		return mlimg_err_set(err, r, "make the directory '%s'", out->path);
	out->tmp_name[0] = '\0';
	return fsync(out->beside_fd) < 0
		? mlimg_err_set(err, errno, "make the directory '%s'", out->path)
		: 0;
}

void mlimg_dir_out_free(struct mlimg_dir_out *out)
{
	const int fds[] = {out ? out->root_fd : -1, out ? out->marks_fd : -1,
		out ? out->dir_fd : -1, out ? out->fd : -1};

	if (!out)
		return;
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	/* What is left of it then has a name that says whose it is. */
	if (out->tmp_name[0])
		(void)!mlimg_remove_tree(out->beside_fd, out->tmp_name);
	if (out->beside_fd >= 0)
		close(out->beside_fd);
	mlimg_manifest_free(out->dirs);
	mlimg_entry_reader_done(&out->reader);
	free(out->path);
	sigprocmask(SIG_SETMASK, &out->old_signals, NULL);
	free(out);
}
