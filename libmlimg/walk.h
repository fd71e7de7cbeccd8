/* SPDX-License-Identifier: MIT */
/**
 * @file walk.h
 * Walk a directory tree in the order of manifests and hand out one entry for each thing in it.
 * Never follows a symbolic link and never leaves the tree, also when things are renamed meanwhile;
 * uses at most 33 file descriptors however deep the tree is. Used on source trees (mlimg-mkfs) and
 * on uppers (the agent); both may be a stranger's. xattrs are read through /proc, which has to be
 * mounted.
 */
#ifndef MLIMG_WALK_H
#define MLIMG_WALK_H

#include <stdbool.h>
#include <sys/stat.h>

#include "libmlimg/manifest.h"

/** What a visitor is given beside the entry. */
struct mlimg_walk_at {
	int parent_fd; /**< directory that holds it; -1 for the root, whose parent is not known */
	const char *name; /**< its name in there; "" for the root */
	int root_fd;      /**< the tree's root */
	/** MLIMG_WALK_OPEN_FILES: a regular file, at its beginning; the walk closes it; else -1 */
	int fd;
	const struct stat *st; /**< lstat(2)'s answer */
};

/**
 * Called for every entry, parents before children.
 *
 * @param entry  path, type, owner, mode, times, link target, device, xattrs are set; digest and
 *               hardlink are not, and nlink is 1. Valid for the call only; a visitor that keeps it
 *               copies it.
 * @param at     where it is
 * @param ctx    mlimg_walk()'s
 * @param err    to be set when the visitor fails
 * @return       0 to go on, 1 to go on but not into this directory, or a negative errno to stop
 */
typedef int mlimg_walk_fn(const struct mlimg_entry *entry, const struct mlimg_walk_at *at,
	void *ctx, struct mlimg_err *err);

/** Options of mlimg_walk(), or-ed. */
enum mlimg_walk_flags {
	MLIMG_WALK_ONE_FS =
		1, /**< report mount points of other file systems, but do not go into them */
	MLIMG_WALK_NO_XATTRS = 2, /**< do not read xattrs */
	/**
	 * Pass over names that are listed but not there. Without this it is an error, since
	 * something was removed meanwhile; but overlayfs lists the whiteouts of a directory that
	 * only one layer has.
	 */
	MLIMG_WALK_SKIP_MISSING = 4,
	/**
	 * Open regular files for reading before the visitor sees them, and read their xattrs from
	 * there, which is quicker than by their path. For who reads them anyhow. Somebody may have
	 * put another file in the place since @p st was asked for: the visitor compares it with
	 * fstat(2) when it has read the file.
	 */
	MLIMG_WALK_OPEN_FILES = 8,
	/**
	 * A directory whose time has changed when the walk leaves it is an error: names have come
	 * or gone meanwhile.
	 */
	MLIMG_WALK_AT_REST = 16,
	/**
	 * mlimg_walk_manifest(): mark files and directories that are immutable or append-only
	 * (mlimg_entry_mark_flags())
	 */
	MLIMG_WALK_FLAGS = 32,
};

#define MLIMG_WALK_MEMORY_MAX \
	(1u << 30) /**< bytes that a stranger's manifest takes: three million entries as in a home */
#define MLIMG_WALK_XATTRS_SIZE_MAX \
	16384 /**< bytes of names and values: all of an entry that ext4 holds without the feature ea_inode, four times */

/**
 * Walk the tree.
 *
 * @param root_fd  its root, a directory; stays open
 * @param flags    enum mlimg_walk_flags
 * @param fn       the visitor
 * @param ctx      handed to @p fn
 * @param err      names the path
 * @return         0, what @p fn returned when negative, or -errno (unreadable directory, a path or
 *                 xattr over the limits of manifest.h, -ESTALE when a directory was moved while it
 *                 was read, -EIO when it changed)
 */
int mlimg_walk(int root_fd, unsigned flags, mlimg_walk_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Walk what is in one directory of a tree, as mlimg_walk() of the whole tree would there: so that
 * several threads can share a tree.
 *
 * @param root_fd  the tree's root
 * @param path     the directory, not ""
 * @param st       what lstat(2) said of it: on the tree's own file system; another directory in its
 *                 place is an error
 * @param flags    as for mlimg_walk()
 * @param fn       the visitor; the directory itself is not handed out
 * @param ctx      handed to @p fn
 * @param err      names the path, from the root on
 * @return         as mlimg_walk()
 */
int mlimg_walk_within(int root_fd, const char *path, const struct stat *st, unsigned flags,
	mlimg_walk_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Called for what cannot be walked.
 *
 * @param path         of the entry; of its directory when its own is over the limits
 * @param error        negative errno
 * @param was_visited  the visitor was given the entry: it is a directory that cannot be read, or
 *                     not to its end
 * @param ctx          mlimg_walk_lenient()'s
 */
typedef void mlimg_walk_skip_fn(const char *path, int error, bool was_visited, void *ctx);

/**
 * As mlimg_walk(), but what cannot be walked is skipped instead of ending the walk: an entry whose
 * link or xattrs cannot be read, with all that is in it, since they may say that it is another
 * directory than it seems; of a directory that cannot be read what is in it. When the way back out
 * of a directory is lost, the rest of the tree is skipped.
 *
 * @param root_fd  as for mlimg_walk()
 * @param flags    as for mlimg_walk()
 * @param fn       the visitor
 * @param skip     told of each; NULL to skip nothing
 * @param ctx      handed to both
 * @param err      names the path
 * @return         0, what @p fn returned when negative, -ENOMEM, or -errno when the root is gone
 */
int mlimg_walk_lenient(int root_fd, unsigned flags, mlimg_walk_fn *fn, mlimg_walk_skip_fn *skip,
	void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Walk the tree into a manifest without header lines, hard links found and numbered.
 *
 * @param root_fd       as for mlimg_walk()
 * @param flags         enum mlimg_walk_flags
 * @param has_digests   whether to read all regular files for their digests
 * @param ret_manifest  on success a new manifest; free with mlimg_manifest_free()
 * @param err           names the path
 * @return              0 or -errno, as mlimg_walk(); -ESTALE also when a file grew or shrank while
 *                      it was read
 */
int mlimg_walk_manifest(int root_fd, unsigned flags, bool has_digests,
	struct mlimg_manifest **ret_manifest, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The same as mlimg_walk_lenient(): what cannot be walked is not in the manifest. With a limit for
 * trees of strangers, who could otherwise take all memory that there is.
 *
 * @param root_fd       as for mlimg_walk()
 * @param flags         enum mlimg_walk_flags
 * @param has_digests   whether to read all regular files for their digests
 * @param memory_max    bytes of memory that the manifest may take, MLIMG_WALK_MEMORY_MAX; an entry
 *                      with more than MLIMG_WALK_XATTRS_SIZE_MAX bytes of xattrs cannot be walked
 *                      then. 0: no limits
 * @param skip          told of each; NULL to skip nothing
 * @param ctx           handed to @p skip
 * @param ret_manifest  on success a new manifest; free with mlimg_manifest_free()
 * @param err           names the path
 * @return              0; -E2BIG when it would take more; -errno, as mlimg_walk_lenient()
 */
int mlimg_walk_manifest_lenient(int root_fd, unsigned flags, bool has_digests, size_t memory_max,
	mlimg_walk_skip_fn *skip, void *ctx, struct mlimg_manifest **ret_manifest,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * SHA-256 of a file's contents from its present offset.
 *
 * @param fd          readable
 * @param ret_digest  the digest
 * @param ret_size    bytes read; may be NULL
 * @return            0 or -errno
 */
int mlimg_digest_fd(
	int fd, uint8_t ret_digest[MLIMG_SHA256_SIZE], uint64_t *ret_size) MLIMG_MUST_CHECK;

#endif
