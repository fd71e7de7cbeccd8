/* SPDX-License-Identifier: MIT */
/* A tar as source, read through libarchive. */
#include "tools/source.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "tools/ext4-data.h"
#include "tools/source-tar.h"

#define READ_SIZE 262144
#define RECORD_SIZE 512
/* How libarchive says that a name is not ASCII: see next_entry(). */
#define NOT_CONVERTED "can't be converted from UTF-8 to current locale."

struct reader {
	const struct mlimg_source_to *to;
	const char *name; /* of the archive, for messages */
	struct archive *archive;
	struct mlimg_tar_entry entry;
	char path[MLIMG_PATH_MAX + 1]; /* of the present entry, normalised */
	int64_t end;                   /* of the last entry, in the uncompressed archive */
	bool has_entries;
};

/* What libarchive could not do: a fault of the archive, or of the machine. */
static int archive_failed(struct reader *rd, struct mlimg_err *err)
{
	const char *text = archive_error_string(rd->archive);
	int errnum = archive_errno(rd->archive);

	if (!text)
		text = "cut short";
	if (errnum == EIO || errnum == ENOMEM || errnum == EISDIR)
		return mlimg_err_set(err, errnum, "read '%s'", rd->name);
	if (!rd->has_entries && archive_format(rd->archive) == 0)
		return mlimg_err_refuse(err, "'%s': not a tar archive", rd->name);
	return mlimg_err_refuse(err, "'%s': damaged archive: %s", rd->name, text);
}

/*
 * Bring a path of the archive into the form of manifests: no "." and no double slashes. It must not
 * lead out of the tree.
 */
static int normalise(struct reader *rd, const char *whole, const char *what, char *ret_path,
	struct mlimg_err *err)
{
	const char *raw = whole;
	size_t used = 0;

	if (!raw || !raw[0])
		return mlimg_err_refuse(err, "'%s': %s without a path", rd->name, what);
	if (raw[0] == '/')
		return mlimg_err_refuse(
			err, "'%s': %s '%s' has an absolute path", rd->name, what, whole);
	while (*raw) {
		size_t n = strcspn(raw, "/");

		if (n == 2 && raw[0] == '.' && raw[1] == '.')
			return mlimg_err_refuse(
				err, "'%s': %s '%s' leads out of the tree", rd->name, what, whole);
		if (n > 0 && !(n == 1 && raw[0] == '.')) {
			if (n > MLIMG_NAME_MAX)
				return mlimg_err_refuse(err,
					"'%s': %s '%s': name is longer than %d bytes", rd->name,
					what, whole, MLIMG_NAME_MAX);
			if (used + n + 1 > MLIMG_PATH_MAX)
				return mlimg_err_refuse(err,
					"'%s': %s '%s': path is longer than %d bytes", rd->name,
					what, whole, MLIMG_PATH_MAX);
			if (used)
				ret_path[used++] = '/';
			memcpy(ret_path + used, raw, n);
			used += n;
		}
		raw += n;
		raw += *raw == '/';
	}
	ret_path[used] = '\0';
	return 0;
}

/* The directory that holds @p path, and the rest of it; those that are not there are made. */
static int find_parent(struct reader *rd, char *path, struct mlimg_node **ret_parent,
	const char **ret_name, struct mlimg_err *err)
{
	struct mlimg_node *dir = rd->to->top;
	char *slash;
	int r = 0;

	*ret_name = path;
	while ((slash = strchr(*ret_name, '/'))) {
		size_t size = (size_t)(slash - *ret_name);
		struct mlimg_node *node = mlimg_tree_child(rd->to->tree, dir, *ret_name, size);

		if (node && node->inode->type != MLIMG_DIR)
			return mlimg_err_refuse(err,
				"'%s': entry '%s' lies below '%.*s', which is not a directory",
				rd->name, path, (int)(slash - path), path);
		if (!node) {
			struct mlimg_entry implied = {
				.path = path, .type = MLIMG_DIR, .mode = 0755, .nlink = 1};

			*slash = '\0';
			r = mlimg_tree_put(rd->to->tree, dir, *ret_name, &implied, &node, err);
			*slash = '/';
			if (r < 0)
				return r;
			node->inode->is_implied = true;
		}
		dir = node;
		*ret_name = slash + 1;
	}
	*ret_parent = dir;
	return 0;
}

static struct mlimg_node *lookup(struct reader *rd, const char *path)
{
	struct mlimg_node *node = rd->to->top;

	while (node && *path) {
		size_t size = strcspn(path, "/");

		node = mlimg_tree_child(rd->to->tree, node, path, size);
		path += size;
		path += *path == '/';
	}
	return node;
}

/* Contents, as libarchive hands them out: pieces that ascend, between them holes. */
static int copy_contents(struct reader *rd, uint64_t size, struct mlimg_err *err)
{
	struct mlimg_data *data = rd->to->data;
	uint64_t pos = 0;

	for (;;) {
		const void *bytes;
		size_t n;
		la_int64_t at;
		int r = archive_read_data_block(rd->archive, &bytes, &n, &at);

		if (r == ARCHIVE_EOF)
			return mlimg_data_hole(data, size - pos, err);
		if (r != ARCHIVE_OK)
			return archive_failed(rd, err);
		if (at < 0 || (uint64_t)at < pos || (uint64_t)at > size || n > size - (uint64_t)at)
			return mlimg_err_refuse(
				err, "'%s': damaged archive: contents of '%s'", rd->name, rd->path);
		r = mlimg_data_hole(data, (uint64_t)at - pos, err);
		if (r == 0)
			r = mlimg_data_write(data, bytes, n, err);
		if (r < 0)
			return r;
		pos = (uint64_t)at + n;
	}
}

static int add_file(struct reader *rd, struct archive_entry *from, struct mlimg_file *file,
	struct mlimg_err *err)
{
	int64_t size = archive_entry_size(from);
	int r;

	if (size < 0)
		return mlimg_err_refuse(
			err, "'%s': damaged archive: size of '%s'", rd->name, rd->path);
	mlimg_data_begin(rd->to->data, file, true);
	r = copy_contents(rd, (uint64_t)size, err);
	return r < 0 ? r : mlimg_data_end(rd->to->data, err);
}

static int add_link(struct reader *rd, const char *target, struct mlimg_err *err)
{
	char target_path[MLIMG_PATH_MAX + 1];
	struct mlimg_node *node, *parent;
	const char *name;
	int r = normalise(rd, target, "hard link to", target_path, err);

	if (r < 0)
		return r;
	node = lookup(rd, target_path);
	if (!node)
		return mlimg_err_refuse(err, "'%s': hard link '%s' to '%s', which is not there",
			rd->name, rd->path, target);
	if (node->inode->type == MLIMG_DIR)
		return mlimg_err_refuse(err, "'%s': hard link '%s' to '%s', which is a directory",
			rd->name, rd->path, target);
	r = find_parent(rd, rd->path, &parent, &name, err);
	if (r < 0)
		return r;
	return mlimg_tree_link(rd->to->tree, parent, name, node->inode, rd->path, err);
}

static int add_entry(struct reader *rd, struct archive_entry *from, struct mlimg_err *err)
{
	const char *target = archive_entry_hardlink(from), *name;
	struct mlimg_node *parent, *node;
	int r = normalise(rd, archive_entry_pathname(from), "entry", rd->path, err);

	if (r < 0)
		return r;
	if (target && rd->path[0])
		return add_link(rd, target, err);
	r = mlimg_tar_entry_fill(&rd->entry, from, rd->path, err);
	if (r < 0)
		return r;
	if (!rd->path[0] && rd->entry.entry.type != MLIMG_DIR)
		return mlimg_err_refuse(err, "'%s': the tree's root is not a directory", rd->name);
	if (!rd->path[0])
		return mlimg_tree_set(rd->to->tree, rd->to->top, &rd->entry.entry, err);
	r = find_parent(rd, rd->path, &parent, &name, err);
	if (r == 0)
		r = mlimg_tree_put(rd->to->tree, parent, name, &rd->entry.entry, &node, err);
	if (r == 0 && node->inode->type == MLIMG_FILE)
		r = add_file(rd, from, node->inode->file, err);
	return r;
}

/*
 * The next header. Names have to come as the bytes that they are. libarchive converts those of pax
 * headers from UTF-8 to the locale, composes characters on the way, and only where it fails leaves them
 * alone. In the C locale, which a program that does not call setlocale(3) has, it fails for all that
 * is not ASCII; so that warning is what is wanted, and any other one is an error.
 *
 * @return 1 for an entry, 0 at the end, negative for an error
 */
static int next_entry(struct reader *rd, struct archive_entry **ret_entry, struct mlimg_err *err)
{
	int r = archive_read_next_header(rd->archive, ret_entry);
	const char *text = archive_error_string(rd->archive);

	if (r == ARCHIVE_EOF) {
		/* libarchive takes the end of the file for the end of the archive. */
		if (archive_filter_bytes(rd->archive, 0) < rd->end + RECORD_SIZE)
			return mlimg_err_refuse(err,
				"'%s': damaged archive: the mark of its end is missing", rd->name);
		return 0;
	}
	if (r == ARCHIVE_OK || (r == ARCHIVE_WARN && text && strstr(text, NOT_CONVERTED)))
		return 1;
	return archive_failed(rd, err);
}

static int read_entries(struct reader *rd, struct mlimg_err *err)
{
	struct archive_entry *entry;
	int r;

	while ((r = next_entry(rd, &entry, err)) > 0) {
		rd->has_entries = true;
		r = add_entry(rd, entry, err);
		if (r < 0)
			return r;
		if (archive_read_data_skip(rd->archive) != ARCHIVE_OK)
			return archive_failed(rd, err);
		rd->end = archive_filter_bytes(rd->archive, 0);
		if (rd->to->progress)
			mlimg_progress_update(rd->to->progress, (uint64_t)rd->end);
	}
	return r;
}

/*
 * Filters are named one by one: "all" has some that run a program of whatever name, because a
 * stranger's first bytes say so.
 */
static bool set_up(struct archive *a)
{
	return archive_read_support_format_tar(a) == ARCHIVE_OK &&
		archive_read_support_filter_gzip(a) == ARCHIVE_OK &&
		archive_read_support_filter_bzip2(a) == ARCHIVE_OK &&
		archive_read_support_filter_xz(a) == ARCHIVE_OK &&
		archive_read_support_filter_lzma(a) == ARCHIVE_OK &&
		archive_read_support_filter_zstd(a) == ARCHIVE_OK &&
		archive_read_support_filter_lz4(a) == ARCHIVE_OK &&
		archive_read_support_filter_compress(a) == ARCHIVE_OK;
}

int mlimg_source_read_tar(const char *path, const struct mlimg_source_to *to, struct mlimg_err *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	struct reader rd = {.to = to, .name = is_stdin ? "standard input" : path};
	mlimg_autoclose int fd = -1;
	int r;

	fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", rd.name);
	rd.archive = archive_read_new();
	if (!rd.archive)
		return mlimg_err_set(err, ENOMEM, "open '%s'", rd.name);
	to->top->inode->is_implied = true;
	if (!set_up(rd.archive))
		r = mlimg_err_set(err, ENOSYS, "libarchive: %s", archive_error_string(rd.archive));
	else if (archive_read_open_fd(rd.archive, fd, READ_SIZE) != ARCHIVE_OK)
		r = archive_failed(&rd, err);
	else
		r = read_entries(&rd, err);
	mlimg_tar_entry_done(&rd.entry);
	archive_read_free(rd.archive);
	return r;
}
