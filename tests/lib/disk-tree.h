/* SPDX-License-Identifier: MIT */
/**
 * @file disk-tree.h
 * Makes the tree that a manifest describes. Needs root, for owners, devices and trusted.*.
 */
#ifndef MLIMG_TEST_DISK_TREE_H
#define MLIMG_TEST_DISK_TREE_H

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/manifest.h"
#include "tests/lib/test.h"

#define PATH_SIZE 300 /**< paths on the disk are shorter */

/** @return the contents of a file of the manifest, which has their size */
typedef const char *tree_contents_fn(const struct mlimg_entry *e);

#define MUST(call)                                                        \
	do {                                                              \
		if ((call) < 0)                                           \
			FAIL("%s: %s: %s", path, #call, strerror(errno)); \
	} while (0)

static void make_file(const char *path, const struct mlimg_entry *e, tree_contents_fn *contents)
{
	mlimg_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	MUST(fd);
	ASSERT_EQ(mlimg_write_all(fd, contents(e), e->size_bytes), 0);
}

static void make_node(const char *path, const struct mlimg_entry *e, tree_contents_fn *contents)
{
	static const mode_t formats[] = {[MLIMG_CHAR] = S_IFCHR,
		[MLIMG_BLOCK] = S_IFBLK,
		[MLIMG_FIFO] = S_IFIFO,
		[MLIMG_SOCKET] = S_IFSOCK};

	if (e->type == MLIMG_DIR)
		MUST(*e->path ? mkdir(path, 0700) : 0);
	else if (e->type == MLIMG_FILE)
		make_file(path, e, contents);
	else if (e->type == MLIMG_LINK)
		MUST(symlink(e->link, path));
	else
		MUST(mknod(path, formats[e->type] | 0600, makedev(e->dev_major, e->dev_minor)));
}

static void set_attributes(const char *path, const struct mlimg_entry *e)
{
	struct timespec times[2] = {{e->mtime_s, e->mtime_ns}, {e->mtime_s, e->mtime_ns}};

	MUST(lchown(path, e->uid, e->gid));
	/* After chown, which takes set-id bits and capabilities away. */
	for (uint32_t i = 0; i < e->n_xattrs; i++)
		MUST(lsetxattr(path, e->xattrs[i].name, e->xattrs[i].value, e->xattrs[i].size, 0));
	if (e->type != MLIMG_LINK)
		MUST(chmod(path, e->mode));
	MUST(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

/**
 * Make a tree of a manifest in @p dir, which is there. Attributes last and from the end, since what
 * is made in a directory changes its time.
 */
TEST_UNUSED static void make_tree(
	const char *dir, const struct mlimg_manifest *m, tree_contents_fn *contents)
{
	char path[PATH_SIZE], first[64][PATH_SIZE];
	uint32_t groups = 0;

	for (size_t i = 0; i < m->n_entries; i++) {
		const struct mlimg_entry *e = &m->entries[i];

		snprintf(path, sizeof(path), "%.40s/%.250s", dir, e->path);
		if (e->hardlink && e->hardlink <= groups) {
			MUST(link(first[e->hardlink - 1], path));
			continue;
		}
		if (e->hardlink)
			strcpy(first[groups++], path);
		make_node(path, e, contents);
	}
	for (size_t i = m->n_entries; i-- > 0;) {
		snprintf(path, sizeof(path), "%.40s/%.250s", dir, m->entries[i].path);
		set_attributes(path, &m->entries[i]);
	}
}

#endif
