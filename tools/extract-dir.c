/* SPDX-License-Identifier: MIT */
/* Extracting into a directory. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "libmlimg/io.h"
#include "tools/extract-attrs.h"
#include "tools/outfile.h"

/*
 * A directory that gets its attributes at the end: before, it must be writable, and what is put
 * into it changes its time.
 */
struct made_dir {
	dev_t dev;
	ino_t ino;
};

struct out {
	int root_fd;
	int parent_fd; /* directory of the entry at hand */
	size_t parent_size;
	char parent[MLIMG_PATH_MAX + 1]; /* its path */
	char tmp_name[32];
	char tmp_path[64]; /* for the signal handler */
	int slot;
	bool root_gets_attributes;
	struct mlimg_manifest *dirs; /* those that get attributes, in order */
	struct made_dir *made;       /* what became of each */
	size_t made_room;
};

/* ---- places ---- */

/* @return a file descriptor or -errno */
static int open_dir_beneath(const struct out *out, const char *path)
{
	int fd;

	if (path[0])
		return mlimg_open_beneath_strict(out->root_fd, path, O_RDONLY | O_DIRECTORY);
	fd = fcntl(out->root_fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

static const char *split_path(const char *path, size_t *ret_parent_size)
{
	const char *slash = strrchr(path, '/');

	*ret_parent_size = slash ? (size_t)(slash - path) : 0;
	return slash ? slash + 1 : path;
}

/* Make parent_fd the directory that holds `path`; entries of one directory come together. */
static int go_to_parent(struct out *out, const char *path, const char **ret_name)
{
	size_t size;
	int fd;

	*ret_name = split_path(path, &size);
	if (out->parent_fd >= 0 && size == out->parent_size && memcmp(path, out->parent, size) == 0)
		return 0;
	memcpy(out->parent, path, size);
	out->parent[size] = '\0';
	out->parent_size = size;
	fd = open_dir_beneath(out, out->parent);
	mlimg_outfile_unwatch(out->slot);
	if (out->parent_fd >= 0)
		close(out->parent_fd);
	out->parent_fd = fd;
	if (fd < 0) {
		out->slot = -1;
		return fd;
	}
	snprintf(out->tmp_path, sizeof(out->tmp_path), "/proc/self/fd/%d/%s", fd, out->tmp_name);
	out->slot = mlimg_outfile_watch(out->tmp_path);
	return out->slot < 0 ? out->slot : 0;
}

/* ---- beginning ---- */

static int open_root(struct extract *x, struct out *out, struct mlimg_err *err)
{
	const char *directory = x->options->directory;
	bool had_entries = false, was_made = mkdir(directory, 0700) == 0;
	struct stat st;
	int ret = 0;

	if (!was_made && errno != EEXIST)
		return mlimg_err_set(err, errno, "make the directory '%s'", directory);
	out->root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out->root_fd < 0)
		return mlimg_err_set(err, errno, "open the directory '%s'", directory);
	if (fstat(out->root_fd, &st) < 0)
		ret = -errno;
	if (ret == 0 && !was_made)
		ret = mlimg_dir_has_entries(out->root_fd, ".");
	had_entries = ret > 0;
	if (ret < 0)
		return mlimg_err_set(err, ret, "read the directory '%s'", directory);
	out->root_gets_attributes = was_made ||
		(!x->options->n_paths && (!had_entries || x->options->can_replace) &&
			(st.st_uid == geteuid() || geteuid() == 0));
	return 0;
}

static int dir_begin(struct extract *x, struct mlimg_err *err)
{
	struct out *out = calloc(1, sizeof(*out));
	uint64_t random = 0;

	if (!out || !(out->dirs = mlimg_manifest_new())) {
		free(out);
		return mlimg_err_set(err, ENOMEM, "extract");
	}
	x->out = out;
	out->root_fd = out->parent_fd = out->slot = -1;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return mlimg_err_set(err, errno, "extract");
	snprintf(out->tmp_name, sizeof(out->tmp_name), ".mlimg-%016" PRIx64, random);
	return open_root(x, out, err);
}

/* ---- directories ---- */

static int keep_dir(struct out *out, const struct mlimg_entry *entry, int fd, struct mlimg_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "look at the directory");
	if (mlimg_buffer_reserve(&out->made, &out->made_room,
		    (out->dirs->n_entries + 1) * sizeof(*out->made)) < 0 ||
		!mlimg_manifest_add(out->dirs, entry))
		return mlimg_err_set(err, ENOMEM, "extract");
	out->made[out->dirs->n_entries - 1] = (struct made_dir){st.st_dev, st.st_ino};
	return 0;
}

/* Make it, or take what is there. @return 1 when it is new, 0 when it was there */
static int make_dir(struct extract *x, struct out *out, const char *name, bool is_leading,
	struct mlimg_err *err)
{
	struct stat st;

	if (mkdirat(out->parent_fd, name, 0700) == 0)
		return 1;
	if (errno != EEXIST)
		return mlimg_err_set(err, errno, "make the directory");
	if (fstatat(out->parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return mlimg_err_set(err, errno, "look at what is there");
	if (!x->options->can_replace && !(is_leading && S_ISDIR(st.st_mode)))
		return mlimg_err_set(err, EEXIST, "not replaced without --force");
	if (S_ISDIR(st.st_mode))
		return 0;
	if (unlinkat(out->parent_fd, name, 0) < 0 || mkdirat(out->parent_fd, name, 0700) < 0)
		return mlimg_err_set(err, errno, "make the directory");
	return 1;
}

static int put_dir(struct extract *x, const struct mlimg_entry *entry, bool is_leading,
	const char *name, struct mlimg_err *err)
{
	struct out *out = x->out;
	mlimg_autoclose int fd = -1;
	int ret = make_dir(x, out, name, is_leading, err);

	if (ret < 0 || (ret == 0 && is_leading))
		return ret;
	fd = openat(out->parent_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open the directory");
	if (ret == 0)
		ret = extract_make_writable(fd, err);
	return ret < 0 ? ret : keep_dir(out, entry, fd, err);
}

/* ---- everything else ---- */

struct writer {
	int fd;
	uint64_t at;
};

static int write_piece(const void *data, uint64_t size, void *ctx, struct mlimg_err *err)
{
	struct writer *w = ctx;
	int ret = 0;

	if (data && lseek(w->fd, (off_t)w->at, SEEK_SET) < 0)
		ret = -errno;
	if (data && ret == 0)
		ret = mlimg_write_all(w->fd, data, (size_t)size);
	w->at += size;
	return ret < 0 ? mlimg_err_set(err, ret, "write") : 0;
}

static int write_file(struct extract *x, int fd, const struct mlimg_itree_node *node,
	const struct mlimg_entry *entry, struct mlimg_err *err)
{
	struct writer w = {.fd = fd};
	int ret = extract_read(x, node, write_piece, &w, err);

	/* What ends with a hole has got its size from nobody. */
	if (ret == 0 && ftruncate(fd, (off_t)entry->size_bytes) < 0)
		ret = mlimg_err_set(err, errno, "write");
	return ret;
}

static int make_special(const struct out *out, const struct mlimg_entry *entry)
{
	static const mode_t types[] = {[MLIMG_CHAR] = S_IFCHR,
		[MLIMG_BLOCK] = S_IFBLK,
		[MLIMG_FIFO] = S_IFIFO,
		[MLIMG_SOCKET] = S_IFSOCK};

	if (entry->type == MLIMG_LINK)
		return symlinkat(entry->link, out->parent_fd, out->tmp_name);
	return mknodat(out->parent_fd, out->tmp_name, types[entry->type] | 0600,
		makedev(entry->dev_major, entry->dev_minor));
}

/* Under the temporary name, complete with attributes. */
static int make_entry(struct extract *x, const struct mlimg_entry *entry,
	const struct mlimg_itree_node *node, struct extract_first *ret_first, struct mlimg_err *err)
{
	struct out *out = x->out;
	mlimg_autoclose int fd = -1;
	struct stat st;
	int ret = 0;

	if (entry->type == MLIMG_FILE) {
		fd = openat(out->parent_fd, out->tmp_name,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	} else if (make_special(out, entry) == 0) {
		fd = openat(out->parent_fd, out->tmp_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "make a %s", mlimg_type_name(entry->type));
	if (entry->type == MLIMG_FILE)
		ret = write_file(x, fd, node, entry, err);
	*ret_first = (struct extract_first){.dev = st.st_dev, .ino = st.st_ino};
	return ret < 0 ? ret : extract_set_attributes(x, fd, entry, err);
}

/* Another name for what has been extracted, under the temporary name. */
static int make_link(
	const struct out *out, const struct extract_first *first, struct mlimg_err *err)
{
	size_t size;
	const char *name = split_path(first->path, &size);
	mlimg_autofree char *parent = strndup(first->path, size);
	mlimg_autoclose int dir = parent ? open_dir_beneath(out, parent) : -ENOMEM;
	struct stat st;

	if (dir < 0)
		return mlimg_err_set(err, dir, "link to '%.200s'", first->path);
	if (linkat(dir, name, out->parent_fd, out->tmp_name, 0) < 0 ||
		fstatat(out->parent_fd, out->tmp_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return mlimg_err_set(err, errno, "link to '%.200s'", first->path);
	if (st.st_dev != first->dev || st.st_ino != first->ino)
		return mlimg_err_set(
			err, ESTALE, "link to '%.200s', which is another file now", first->path);
	return 0;
}

static int put_in_place(
	const struct out *out, const char *name, bool can_replace, bool *ret_was_linked)
{
	int dir = out->parent_fd;

	if (can_replace)
		return renameat(dir, out->tmp_name, dir, name);
	if (renameat2(dir, out->tmp_name, dir, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system without RENAME_NOREPLACE: link(2) does not replace either. */
	*ret_was_linked = true;
	return linkat(dir, out->tmp_name, dir, name, 0);
}

static int put_other(struct extract *x, const struct mlimg_entry *entry,
	const struct mlimg_itree_node *node, const struct extract_first *first,
	struct extract_first *ret_first, const char *name, struct mlimg_err *err)
{
	const struct out *out = x->out;
	bool can_replace = x->options->can_replace, was_linked = false;
	struct stat st;
	int ret;

	/*
	 * Before a large file is written in vain; what comes into being meanwhile shows at the end.
	 */
	if (!can_replace && fstatat(out->parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return mlimg_err_set(err, EEXIST, "not replaced without --force");
	ret = first ? make_link(out, first, err) : make_entry(x, entry, node, ret_first, err);
	if (ret == 0 && put_in_place(out, name, can_replace, &was_linked) < 0)
		ret = errno == EEXIST ? mlimg_err_set(err, EEXIST, "not replaced without --force")
				      : mlimg_err_set(err, errno, "put in place");
	/* Between two names of one file rename(2) does nothing; link(2) leaves both. */
	if (ret < 0 || can_replace || was_linked)
		unlinkat(out->parent_fd, out->tmp_name, 0);
	return ret;
}

static int dir_entry(struct extract *x, const struct mlimg_entry *entry,
	const struct mlimg_itree_node *node, bool is_leading, const struct extract_first *first,
	struct extract_first *ret_first, struct mlimg_err *err)
{
	struct out *out = x->out;
	const char *name;
	int ret;

	if (!entry->path[0])
		return out->root_gets_attributes ? keep_dir(out, entry, out->root_fd, err) : 0;
	ret = go_to_parent(out, entry->path, &name);
	if (ret < 0)
		return mlimg_err_set(err, ret, "open its directory");
	return entry->type == MLIMG_DIR ? put_dir(x, entry, is_leading, name, err)
					: put_other(x, entry, node, first, ret_first, name, err);
}

/* ---- end ---- */

static int finish_dir(struct extract *x, const struct out *out, size_t i, struct mlimg_err *err)
{
	const struct mlimg_entry *entry = &out->dirs->entries[i];
	mlimg_autoclose int fd = open_dir_beneath(out, entry->path);
	struct stat st;

	if (fd < 0)
		return mlimg_err_set(err, fd, "open the directory");
	if (fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "look at the directory");
	if (st.st_dev != out->made[i].dev || st.st_ino != out->made[i].ino)
		return mlimg_err_set(err, ESTALE, "is another directory now");
	return extract_set_attributes(x, fd, entry, err);
}

/* The deepest first: what is set last on a directory must not be changed by what is done in it. */
static int dir_end(struct extract *x, int ret, struct mlimg_err *err)
{
	struct out *out = x->out;

	for (size_t i = out->dirs->n_entries; i-- > 0;) {
		struct mlimg_err failure = MLIMG_ERR_INIT;

		if (finish_dir(x, out, i, &failure) == 0)
			continue;
		if (extract_note(x, out->dirs->entries[i].path, &failure, ret < 0 ? NULL : err) <
				0 &&
			ret == 0)
			ret = -ENOMEM;
	}
	mlimg_outfile_unwatch(out->slot);
	if (out->parent_fd >= 0)
		close(out->parent_fd);
	if (out->root_fd >= 0)
		close(out->root_fd);
	mlimg_manifest_free(out->dirs);
	free(out->made);
	free(out);
	return ret;
}

const struct extract_sink extract_dir_sink = {dir_begin, dir_entry, dir_end};
