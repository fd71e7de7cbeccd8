/* SPDX-License-Identifier: MIT */
/*
 * Extracting as a tar, in pax format: what ustar has no room for (nanoseconds, long names, xattrs,
 * holes) is in extended headers as GNU tar and bsdtar read them.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/io.h"
#include "tools/extract-impl.h"

#define ZEROS_SIZE 65536u

static const uint8_t zeros[ZEROS_SIZE];

struct out {
	struct archive *archive;
	struct archive_entry *entry;
	uint64_t holes_left; /* bytes */
	int fd;
	bool is_broken; /* nothing more is written */
};

static int fail(const struct out *out, struct mlimg_err *err)
{
	const char *text = archive_error_string(out->archive);

	return mlimg_err_set(err,
		archive_errno(out->archive) > 0 ? archive_errno(out->archive) : EIO,
		"write the tar (%.200s)", text ? text : "no reason given");
}

static la_ssize_t write_block(struct archive *archive, void *ctx, const void *data, size_t size)
{
	const struct out *out = ctx;
	int ret = out->is_broken ? 0 : mlimg_write_all(out->fd, data, size);

	if (ret == 0)
		return (la_ssize_t)size;
	archive_set_error(archive, -ret, "write");
	return -1;
}

static int tar_begin(struct extract *x, struct mlimg_err *err)
{
	struct out *out = calloc(1, sizeof(*out));

	if (!out)
		return mlimg_err_set(err, ENOMEM, "extract");
	x->out = out;
	out->fd = x->options->tar_fd;
	out->holes_left = x->options->tar_holes_max;
	out->archive = archive_write_new();
	out->entry = archive_entry_new();
	if (!out->archive || !out->entry)
		return mlimg_err_set(err, ENOMEM, "extract");
	/*
	 * Names go into the headers as UTF-8; one that is none goes there as it is, marked
	 * "hdrcharset=BINARY", with a warning.
	 */
	setlocale(LC_CTYPE, "C.UTF-8");
	if (archive_write_set_format_pax(out->archive) != ARCHIVE_OK ||
		archive_write_set_options(out->archive, "xattrheader=SCHILY") != ARCHIVE_OK ||
		archive_write_open(out->archive, out, NULL, write_block, NULL) != ARCHIVE_OK)
		return fail(out, err);
	return 0;
}

static void describe(struct archive_entry *to, const struct mlimg_entry *entry)
{
	static const mode_t types[] = {[MLIMG_FILE] = AE_IFREG,
		[MLIMG_DIR] = AE_IFDIR,
		[MLIMG_LINK] = AE_IFLNK,
		[MLIMG_CHAR] = AE_IFCHR,
		[MLIMG_BLOCK] = AE_IFBLK,
		[MLIMG_FIFO] = AE_IFIFO};
	char path[MLIMG_PATH_MAX + 3];

	snprintf(path, sizeof(path), "./%s", entry->path);
	archive_entry_clear(to);
	archive_entry_set_pathname(to, path);
	archive_entry_set_filetype(to, types[entry->type]);
	archive_entry_set_perm(to, entry->mode);
	archive_entry_set_uid(to, entry->uid);
	archive_entry_set_gid(to, entry->gid);
	archive_entry_set_mtime(to, entry->mtime_s, entry->mtime_ns);
	archive_entry_set_size(to, (int64_t)entry->size_bytes);
	if (entry->link)
		archive_entry_set_symlink(to, entry->link);
	if (entry->type == MLIMG_CHAR || entry->type == MLIMG_BLOCK) {
		archive_entry_set_rdevmajor(to, entry->dev_major);
		archive_entry_set_rdevminor(to, entry->dev_minor);
	}
}

/* libarchive writes other names encoded, which nobody reads as such. */
static bool has_plain_name(const struct mlimg_xattr *xattr)
{
	for (const unsigned char *p = (const unsigned char *)xattr->name; *p; p++)
		if (*p < 33 || *p > 126 || *p == '%' || *p == '=')
			return false;
	return true;
}

static int describe_xattrs(struct extract *x, struct archive_entry *to,
	const struct mlimg_entry *entry, struct mlimg_err *err)
{
	int ret = 0;

	for (uint32_t i = 0; i < entry->n_xattrs && ret == 0; i++) {
		const struct mlimg_xattr *xattr = &entry->xattrs[i];
		struct mlimg_err failure = MLIMG_ERR_INIT;

		if (!extract_takes_xattr(x, xattr))
			continue;
		if (has_plain_name(xattr))
			archive_entry_xattr_add_entry(to, xattr->name, xattr->value, xattr->size);
		else if (mlimg_err_set(&failure, EOPNOTSUPP,
				 "a tar cannot hold its attribute %.255s", xattr->name) < 0)
			ret = extract_note(x, entry->path, &failure, err);
	}
	return ret;
}

/*
 * Without any hole there is nothing to say. Of a file with holes and a long name that is not UTF-8,
 * libarchive 3.6 gets the name wrong; it must do without its holes.
 */
static int describe_holes(struct extract *x, struct archive_entry *to,
	const struct mlimg_entry *entry, const struct mlimg_itree_node *node, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_itree_run *runs = NULL;
	struct out *out = x->out;
	uint64_t data_bytes = 0;
	size_t n = 0;
	int ret = mlimg_itree_data(x->tree, node, &runs, &n, err);

	for (size_t i = 0; i < n; i++)
		data_bytes += runs[i].size;
	if (ret < 0)
		return ret;
	if (entry->size_bytes - data_bytes > out->holes_left)
		return mlimg_err_set(err, EFBIG,
			"its holes have %" PRIu64 " bytes; --limit allows more",
			entry->size_bytes - data_bytes);
	out->holes_left -= entry->size_bytes - data_bytes;
	if (data_bytes == entry->size_bytes || mbstowcs(NULL, entry->path, 0) == (size_t)-1)
		return 0;
	for (size_t i = 0; i < n; i++)
		archive_entry_sparse_add_entry(to, (int64_t)runs[i].offset, (int64_t)runs[i].size);
	if (n == 0)
		archive_entry_sparse_add_entry(to, 0, 0);
	return 0;
}

/* libarchive takes the zeros of holes too, and leaves them out itself. */
static int write_piece(const void *data, uint64_t size, void *ctx, struct mlimg_err *err)
{
	const struct out *out = ctx;

	while (size) {
		size_t n = data || size < ZEROS_SIZE ? (size_t)size : ZEROS_SIZE;

		if (archive_write_data(out->archive, data ? data : zeros, n) != (la_ssize_t)n)
			return fail(out, err);
		size -= n;
	}
	return 0;
}

/* Once a header is written, its contents must follow: a failure in between ends the tar. */
static int write_entry(struct extract *x, const struct mlimg_entry *entry,
	const struct mlimg_itree_node *node, bool has_data, struct mlimg_err *err)
{
	struct out *out = x->out;
	int r = archive_write_header(out->archive, out->entry), ret;

	x->is_ending = r == ARCHIVE_FATAL;
	if (r < ARCHIVE_WARN)
		return fail(out, err);
	ret = has_data ? extract_read(x, node, write_piece, out, err) : 0;
	if (ret == 0 && archive_write_finish_entry(out->archive) != ARCHIVE_OK)
		ret = fail(out, err);
	x->is_ending = ret < 0;
	return ret;
}

static int tar_entry(struct extract *x, const struct mlimg_entry *entry,
	const struct mlimg_itree_node *node, bool is_leading, const struct extract_first *first,
	struct extract_first *ret_first, struct mlimg_err *err)
{
	struct out *out = x->out;
	bool has_data = entry->type == MLIMG_FILE && !first;
	char path[MLIMG_PATH_MAX + 3];
	int ret = 0;

	if (entry->type == MLIMG_SOCKET)
		return mlimg_err_set(err, EOPNOTSUPP, "a tar cannot hold a socket");
	describe(out->entry, entry);
	ret = describe_xattrs(x, out->entry, entry, err);
	if (ret == 0 && has_data)
		ret = describe_holes(x, out->entry, entry, node, err);
	if (first) {
		snprintf(path, sizeof(path), "./%s", first->path);
		archive_entry_set_hardlink(out->entry, path);
	}
	return ret < 0 ? ret : write_entry(x, entry, node, has_data, err);
}

/* Without its end mark, so that a reader sees that a tar is not whole. */
static int tar_end(struct extract *x, int ret, struct mlimg_err *err)
{
	struct out *out = x->out;

	/* archive_write_fail() would leak. */
	out->is_broken = ret < 0;
	if (out->archive && archive_write_close(out->archive) != ARCHIVE_OK && ret == 0)
		ret = fail(out, err);
	archive_write_free(out->archive);
	archive_entry_free(out->entry);
	free(out);
	return ret;
}

const struct extract_sink extract_tar_sink = {tar_begin, tar_entry, tar_end};
