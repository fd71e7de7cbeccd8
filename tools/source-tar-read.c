/* SPDX-License-Identifier: MIT */
/* The entries of a tar into a tree. */
#include "tools/source-tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/io.h"
#include "libmlimg/whiteout.h"
#include "tools/ext4-data.h"
#include "tools/owner-map.h"

#define RECORD_SIZE 512
/* How libarchive says that a name is not ASCII: see next_entry(). */
#define NOT_CONVERTED "can't be converted from UTF-8 to current locale."

/* What libarchive could not do: a fault of the archive, or of the machine. */
static int archive_failed(struct mlimg_tar_reader *rd, struct mlimg_err *err)
{
	const char *text = archive_error_string(rd->archive);
	int errnum = archive_errno(rd->archive);

	if (!text)
		text = "cut short";
	if (errnum == EIO || errnum == ENOMEM || errnum == EISDIR)
		return mlimg_err_set(err, errnum, "read '%s'", rd->tar->name);
	if (!rd->has_entries && archive_format(rd->archive) == 0)
		return mlimg_err_refuse(err, "'%s': not a tar archive", rd->tar->name);
	return mlimg_err_refuse(err, "'%s': damaged archive: %s", rd->tar->name, text);
}

/* Contents, as libarchive hands them out: pieces that ascend, between them holes. */
static int copy_contents(struct mlimg_tar_reader *rd, uint64_t size, struct mlimg_err *err)
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
			return mlimg_err_refuse(err, "'%s': damaged archive: contents of '%s'",
				rd->tar->name, rd->path);
		r = mlimg_data_hole(data, (uint64_t)at - pos, err);
		if (r == 0)
			r = mlimg_data_write(data, bytes, n, err);
		if (r < 0)
			return r;
		pos = (uint64_t)at + n;
	}
}

int mlimg_tar_contents(struct mlimg_tar_reader *rd, struct archive_entry *from,
	struct mlimg_file *file, struct mlimg_err *err)
{
	int64_t size = archive_entry_size(from);
	int r;

	if (size < 0)
		return mlimg_err_refuse(
			err, "'%s': damaged archive: size of '%s'", rd->tar->name, rd->path);
	mlimg_data_begin(rd->to->data, file, true);
	r = copy_contents(rd, (uint64_t)size, err);
	return r < 0 ? r : mlimg_data_end(rd->to->data, err);
}

/* Overlayfs' marks have another form in OCI images; there they would be somebody's trick. */
static int check_oci(
	const struct mlimg_tar_reader *rd, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	if (mlimg_entry_is_whiteout(entry))
		return mlimg_err_refuse(err,
			"'%s': '%s' is a device 0,0, which no layer of an OCI image may have",
			rd->tar->name, entry->path);
	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		if (strncmp(entry->xattrs[i].name, MLIMG_XATTR_OVERLAY,
			    strlen(MLIMG_XATTR_OVERLAY)) == 0)
			return mlimg_err_refuse(err,
				"'%s': '%s' has %s, which no layer of an OCI image may have",
				rd->tar->name, entry->path, entry->xattrs[i].name);
	return 0;
}

int mlimg_tar_fill(struct mlimg_tar_reader *rd, struct archive_entry *from, struct mlimg_err *err)
{
	struct mlimg_entry owned;
	int r = mlimg_tar_entry_fill(&rd->entry, from, rd->path, err);

	if (r == 0 && rd->tar->is_oci)
		r = check_oci(rd, &rd->entry.entry, err);
	if (r == 0)
		r = mlimg_owner_map_apply(rd->to->owners, &rd->entry.entry, &owned, err);
	if (r == 0)
		rd->entry.entry = owned;
	return r;
}

static int add_root(struct mlimg_tar_reader *rd, struct archive_entry *from, struct mlimg_err *err)
{
	int r = mlimg_tar_fill(rd, from, err);

	if (r < 0)
		return r;
	if (rd->entry.entry.type != MLIMG_DIR)
		return mlimg_err_refuse(
			err, "'%s': the tree's root is not a directory", rd->tar->name);
	return mlimg_tree_set(rd->to->tree, rd->to->top, &rd->entry.entry, err);
}

static int add_entry(struct mlimg_tar_reader *rd, struct archive_entry *from, struct mlimg_err *err)
{
	const char *target = archive_entry_hardlink(from), *name;
	struct mlimg_node *parent, *node;
	int r = mlimg_tar_normalise(
		rd->tar->name, archive_entry_pathname(from), "entry", rd->path, err);

	if (r == 0 && rd->tar->is_oci)
		r = mlimg_tar_marker(rd, from, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!rd->path[0])
		return add_root(rd, from, err);
	if (target)
		return mlimg_tar_link(rd, target, err);
	r = mlimg_tar_fill(rd, from, err);
	if (r == 0)
		r = mlimg_tree_parent(rd->to, rd->tar->name, rd->path, &parent, &name, err);
	if (r < 0 || !parent)
		return r;
	r = mlimg_tree_put(rd->to->tree, parent, name, &rd->entry.entry, &node, err);
	if (r == 0 && node && node->inode->type == MLIMG_FILE)
		r = mlimg_tar_contents(rd, from, node->inode->file, err);
	return r;
}

/*
 * The next header. Names have to come as the bytes that they are. libarchive converts those of pax
 * headers from UTF-8 to the locale, composes characters on the way, and only where it fails leaves
 * them alone. In the C locale, which a program that does not call setlocale(3) has, it fails for
 * all that is not ASCII; so that warning is what is wanted, and any other one is an error.
 *
 * @return 1 for an entry, 0 at the end, negative for an error
 */
static int next_entry(
	struct mlimg_tar_reader *rd, struct archive_entry **ret_entry, struct mlimg_err *err)
{
	int r = archive_read_next_header(rd->archive, ret_entry);
	const char *text = archive_error_string(rd->archive);

	if (r == ARCHIVE_EOF) {
		/* libarchive takes the end of the file for the end of the archive. */
		if (archive_filter_bytes(rd->archive, 0) < rd->end + RECORD_SIZE)
			return mlimg_err_refuse(err,
				"'%s': damaged archive: the mark of its end is missing",
				rd->tar->name);
		return 0;
	}
	if (r == ARCHIVE_OK || (r == ARCHIVE_WARN && text && strstr(text, NOT_CONVERTED)))
		return 1;
	return archive_failed(rd, err);
}

typedef int visit_fn(
	struct mlimg_tar_reader *rd, struct archive_entry *from, struct mlimg_err *err);

/* What the entry takes of the budget, the headers before it included. */
static int spend(struct mlimg_tar_reader *rd, struct archive_entry *entry, struct mlimg_err *err)
{
	int64_t pos = archive_filter_bytes(rd->archive, 0), size = archive_entry_size(entry);
	uint64_t sum;

	if (pos < rd->end || size < 0 ||
		!mlimg_add_fits((uint64_t)(pos - rd->end), (uint64_t)size, &sum))
		return mlimg_err_refuse(err, "'%s': damaged archive: size of '%s'", rd->tar->name,
			archive_entry_pathname(entry));
	return mlimg_source_spend(rd->to, sum, rd->tar->name, err);
}

/* What has been read of what is stored, as the sizes of sources tell it. */
static void report(struct mlimg_tar_reader *rd)
{
	uint64_t at = rd->tar->stored_bytes;

	if (!rd->to->progress)
		return;
	if (!at)
		at = (uint64_t)archive_filter_bytes(rd->archive, -1);
	if (at <= rd->reported)
		return;
	mlimg_progress_add(rd->to->progress, at - rd->reported);
	rd->reported = at;
}

static int read_entries(struct mlimg_tar_reader *rd, visit_fn *visit, struct mlimg_err *err)
{
	struct archive_entry *entry;
	int r;

	while ((r = next_entry(rd, &entry, err)) > 0) {
		rd->has_entries = true;
		r = spend(rd, entry, err);
		if (r == 0)
			r = visit(rd, entry, err);
		if (r < 0)
			return r;
		if (archive_read_data_skip(rd->archive) != ARCHIVE_OK)
			return archive_failed(rd, err);
		rd->end = archive_filter_bytes(rd->archive, 0);
		report(rd);
	}
	return r;
}

static int read_once(struct mlimg_tar_reader *rd, visit_fn *visit, struct mlimg_err *err)
{
	int r;

	rd->tar->stored_bytes = rd->reported = 0;
	r = rd->tar->open(rd->tar, &rd->archive, err);
	if (r < 0)
		return r;
	rd->end = 0;
	rd->has_entries = false;
	r = r ? archive_failed(rd, err) : read_entries(rd, visit, err);
	return rd->tar->close(rd->tar, rd->archive, r, err);
}

int mlimg_tar_read(struct mlimg_tar *tar, const struct mlimg_source_to *to, struct mlimg_err *err)
{
	struct mlimg_tar_reader rd = {.to = to, .tar = tar};
	int r = read_once(&rd, add_entry, err);

	if (r == 0 && rd.n_missing)
		r = read_once(&rd, mlimg_tar_wanted, err);
	if (r == 0 && rd.n_missing)
		r = mlimg_tar_links_check(&rd, err);
	mlimg_tar_links_done(&rd);
	mlimg_tar_entry_done(&rd.entry);
	return r;
}
