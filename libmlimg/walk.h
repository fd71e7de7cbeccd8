/* SPDX-License-Identifier: MIT */
/**
 * @file walk.h
 * Walk a directory tree in the order of manifests and hand out one entry for each thing in it. Never follows a symbolic link, never
 * leaves the tree, never crosses into another file system's mount unless told. Used on source trees (mlimg-mkfs) and on uppers
 * (the agent); both may be a stranger's.
 */
#ifndef MLIMG_WALK_H
#define MLIMG_WALK_H

#include <sys/stat.h>

#include "libmlimg/manifest.h"

/** What a visitor is given beside the entry. */
struct mlimg_walk_at {
	int parent_fd;       /**< directory that holds it (O_PATH or readable); for the root its own parent is not known: -1 */
	const char *name;    /**< its name in there; "" for the root */
	int root_fd;         /**< the tree's root */
	const struct stat *st;
};

/**
 * Called for every entry, parents before children.
 *
 * @param entry  path, type, owner, mode, times, link target, device, xattrs are set; digest, hardlink and nlink are not. Valid for
 *               the call only; a visitor that keeps it copies it.
 * @param at     where it is
 * @return       0 to go on, 1 to go on but not into this directory, or a negative errno to stop
 */
typedef int mlimg_walk_fn(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err);

/** Options of mlimg_walk(), or-ed. */
enum mlimg_walk_flags {
	MLIMG_WALK_ONE_FS = 1,   /**< report mount points of other file systems, but do not go into them */
	MLIMG_WALK_NO_XATTRS = 2, /**< do not read xattrs */
};

/**
 * Walk the tree.
 *
 * @param root_fd  its root, opened O_DIRECTORY; stays open
 * @param flags    enum mlimg_walk_flags
 * @param fn       the visitor
 * @param ctx      handed to @p fn
 * @param err      names the path
 * @return         0, what @p fn returned when negative, or -errno (unreadable directory, a name over the limits of manifest.h)
 */
int mlimg_walk(int root_fd, unsigned flags, mlimg_walk_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * SHA-256 of a file's contents from its present offset.
 *
 * @param fd          readable
 * @param ret_digest  the digest
 * @param ret_size    bytes read; may be NULL
 * @return            0 or -errno
 */
int mlimg_digest_fd(int fd, uint8_t ret_digest[MLIMG_SHA256_SIZE], uint64_t *ret_size) MLIMG_MUST_CHECK;

#endif
