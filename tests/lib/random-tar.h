/* SPDX-License-Identifier: MIT */
/**
 * @file random-tar.h
 * Random manifests (random-manifest.h) as tars that hold what the manifest says: as overlayfs has
 * its layers, or as OCI images have theirs.
 */
#ifndef MLIMG_TEST_RANDOM_TAR_H
#define MLIMG_TEST_RANDOM_TAR_H

#include <archive.h>
#include <archive_entry.h>

#include "tests/lib/random-manifest.h"

/** Form of whiteouts and opaque directories. */
enum random_tar_form { RANDOM_TAR_OVERLAY, RANDOM_TAR_OCI };

#define TAR_OK(call) ASSERT_EQ(call, ARCHIVE_OK)

static void tar_empty_file(struct archive *a, const char *dir, const char *prefix, const char *name)
{
	struct archive_entry *to = archive_entry_new();
	char path[256];

	snprintf(path, sizeof(path), "%s%s%s%s", dir, *dir ? "/" : "", prefix, name);
	archive_entry_set_pathname(to, path);
	archive_entry_set_filetype(to, AE_IFREG);
	archive_entry_set_perm(to, 0644);
	archive_entry_set_mtime(to, 0, 0);
	archive_entry_set_size(to, 0);
	TAR_OK(archive_write_header(a, to));
	archive_entry_free(to);
}

/* The markers of OCI images' layers. */
static void tar_markers(struct archive *a, const struct mlimg_entry *e)
{
	const char *slash = strrchr(e->path, '/');
	char dir[200] = "";

	if (slash)
		memcpy(dir, e->path, (size_t)(slash - e->path));
	if (mlimg_entry_is_whiteout(e))
		tar_empty_file(a, dir, ".wh.", slash ? slash + 1 : e->path);
	/* Both say the same of a directory. */
	else if (mlimg_entry_is_opaque(e) && test_random(2))
		tar_empty_file(a, e->path, ".wh.", ".wh..opq");
	else if (mlimg_entry_is_opaque(e))
		tar_empty_file(a, dir, ".wh.", slash ? slash + 1 : e->path);
}

static void tar_set_type(struct archive_entry *to, const struct mlimg_entry *e)
{
	static const unsigned types[] = {[MLIMG_FILE] = AE_IFREG,
		[MLIMG_DIR] = AE_IFDIR,
		[MLIMG_LINK] = AE_IFLNK,
		[MLIMG_CHAR] = AE_IFCHR,
		[MLIMG_BLOCK] = AE_IFBLK,
		[MLIMG_FIFO] = AE_IFIFO};

	archive_entry_set_filetype(to, types[e->type]);
	if (e->type == MLIMG_LINK)
		archive_entry_set_symlink(to, e->link);
	if (e->type == MLIMG_CHAR || e->type == MLIMG_BLOCK) {
		archive_entry_set_rdevmajor(to, e->dev_major);
		archive_entry_set_rdevminor(to, e->dev_minor);
	}
}

/* @first: path of the first name of the group, when this is another one */
static void tar_entry(struct archive *a, const struct mlimg_entry *e, const char *first,
	enum random_tar_form form)
{
	struct archive_entry *to = archive_entry_new();

	archive_entry_set_pathname(to, *e->path ? e->path : "./");
	archive_entry_set_perm(to, e->mode);
	archive_entry_set_uid(to, e->uid);
	archive_entry_set_gid(to, e->gid);
	archive_entry_set_mtime(to, e->mtime_s, e->mtime_ns);
	if (first)
		archive_entry_set_hardlink(to, first);
	else
		tar_set_type(to, e);
	archive_entry_set_size(to, first ? 0 : (int64_t)e->size_bytes);
	for (uint32_t i = 0; !first && i < e->n_xattrs; i++)
		if (form == RANDOM_TAR_OVERLAY ||
			strcmp(e->xattrs[i].name, MLIMG_XATTR_OPAQUE) != 0)
			archive_entry_xattr_add_entry(
				to, e->xattrs[i].name, e->xattrs[i].value, e->xattrs[i].size);
	/* It warns of what is not UTF-8. */
	ASSERT(archive_write_header(a, to) >= ARCHIVE_WARN);
	if (!first && e->size_bytes)
		ASSERT_EQ((uint64_t)archive_write_data(a, random_contents_of(e), e->size_bytes),
			e->size_bytes);
	archive_entry_free(to);
}

/**
 * Write @p m as a tar.
 *
 * @param m       a random manifest without sockets
 * @param path    the tar
 * @param form    of the marks
 * @param filter  ARCHIVE_FILTER_NONE, _GZIP, _ZSTD
 */
TEST_UNUSED static void random_tar(
	const struct mlimg_manifest *m, const char *path, enum random_tar_form form, int filter)
{
	struct archive *a = archive_write_new();
	const char *first[65] = {NULL};
	bool is_oci = form == RANDOM_TAR_OCI;

	TAR_OK(archive_write_set_format_pax(a));
	TAR_OK(archive_write_add_filter(a, filter));
	TAR_OK(archive_write_open_filename(a, path));
	for (size_t i = 0; i < m->n_entries; i++) {
		const struct mlimg_entry *e = &m->entries[i];
		bool is_before = test_random(2);

		if (is_oci && is_before)
			tar_markers(a, e);
		if (!is_oci || !mlimg_entry_is_whiteout(e))
			tar_entry(a, e, first[e->hardlink], form);
		if (is_oci && !is_before)
			tar_markers(a, e);
		if (e->hardlink && !first[e->hardlink])
			first[e->hardlink] = e->path;
	}
	TAR_OK(archive_write_close(a));
	archive_write_free(a);
}

/**
 * @return a random manifest that a tar can hold. libarchive reads fractions of seconds before 1970
 *         as others, and writes xattrs whose names are not ASCII twice, under two names
 */
TEST_UNUSED static struct mlimg_manifest *random_tar_manifest(unsigned flags)
{
	struct mlimg_manifest *m = random_manifest(flags | RANDOM_NO_SOCKETS);

	for (size_t i = 0; i < m->n_entries; i++) {
		struct mlimg_entry *e = &m->entries[i];

		if (e->mtime_s < 0)
			e->mtime_ns = 0;
		/* Sorted, so it is the last one. */
		if (e->n_xattrs && strcmp(e->xattrs[e->n_xattrs - 1].name, "user.z\377") == 0)
			e->n_xattrs--;
	}
	return m;
}

#endif
