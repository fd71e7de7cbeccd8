/* SPDX-License-Identifier: MIT */
/**
 * @file plan.h
 * What a reconcile does to an upper: operations in the order in which they are done, and the
 * contents that they need. Nothing in here depends on the union driver: whoever carries it out
 * knows how whiteouts and opaque directories are written (whiteout.h, unionfs.h). It is in memory
 * only: a guest keeps the steps that it makes of a plan (guest-agent/change.h).
 *
 * Operations are called by a letter:
 *
 *     d PATH            drop: what is there goes to undo. Anything but a directory; a whiteout, too
 *     a PATH            set aside, with all that is below
 *     u PATH            the directory is opaque no more: what lies beneath shows again
 *     c PATH            the directory becomes opaque: what lies beneath does not show
 *     D PATH ENTRY      the directory goes when nothing is left in it. Comes after all that is in
 *                       it. ENTRY is what it is now, with overlayfs' own xattrs, so that it can be
 *                       made again
 *     h PATH            put a whiteout. Nothing is there, or it has gone away by an operation before
 *     s PATH ENTRY      set the attributes of what is there: mode, owner, group, time, and all
 *                       xattrs but trusted.overlay.*
 *     p PATH N ENTRY    put a regular file whose contents are blob N, counted from 0. What is there
 *                       goes to undo
 *     t PATH ENTRY      put what the new stack has, with ENTRY's attributes: a file, whose contents
 *                       are copied from the layers and have ENTRY's digest; or a link, a device, a
 *                       FIFO or a socket, which ENTRY describes whole. What is there goes to undo,
 *                       unless it is a directory: that was set aside by an operation before
 *     n PATH ENTRY      put the new stack's file beside the user's. PATH is the user's with
 *                       ".mlimg-new", or ".mlimg-new.1" to ".mlimg-new.99" where that name is
 *                       taken; behind it ".dpkg-dist" where path-class.h says so. What was there
 *                       has gone away by an operation before, and so has NAME.mlimg-merged:
 *                       what the user has of a former system's file in there, with or without
 *                       marks, was not merged with this one
 *     m PATH ENTRY      make the directory, if it is not there: for those that p, t and h need and
 *                       the upper lacks, and for those whose owner has moved. Never opaque
 *
 * PATH is relative to the upper, and never the upper itself. ENTRY has no hard links; xattrs in
 * trusted.overlay.* or user.overlay.* in D's only. Its path is PATH, but for t and n: there it is
 * the path that the thing has in the new stack, which is where its contents are read. With t it is
 * another one than PATH below a directory that was renamed (overlayfs' redirect), and where dpkg
 * diverts a file to.
 *
 * Of the order only this is relied on: operations on one path stand in the order in which they make
 * sense, a directory's `m` before and its `D` or `s` behind all that is in it. Of h, p, t, n and m
 * there is at most one for a path.
 */
#ifndef MLIMG_PLAN_H
#define MLIMG_PLAN_H

#include "libmlimg/arena.h"
#include "libmlimg/boot.h"
#include "libmlimg/manifest.h"

#define MLIMG_PLAN_BLOBS_MAX 4096                /**< blobs */
#define MLIMG_PLAN_BLOB_MAX (64u << 20)          /**< bytes of one: MLIMG_RECORDS_SIZE_MAX */
#define MLIMG_PLAN_NEW_SUFFIX ".mlimg-new"       /**< in the names of what operation n puts */
#define MLIMG_PLAN_MERGED_SUFFIX ".mlimg-merged" /**< in those of what mlimg resolve marks */
#define MLIMG_PLAN_DIST_SUFFIX \
	".dpkg-dist" /**< ends them where programs read every name (path-class.h) */

/** Operations, by their letters. */
enum mlimg_plan_verb {
	MLIMG_PLAN_DROP = 'd',
	MLIMG_PLAN_DROP_DIR = 'D',
	MLIMG_PLAN_SET_ASIDE = 'a',
	MLIMG_PLAN_JOIN = 'u',
	MLIMG_PLAN_CLOSE = 'c',
	MLIMG_PLAN_HIDE = 'h',
	MLIMG_PLAN_SET_ATTRS = 's',
	MLIMG_PLAN_PUT = 'p',
	MLIMG_PLAN_TAKE_NEXT = 't',
	MLIMG_PLAN_PUT_BESIDE = 'n',
	MLIMG_PLAN_MAKE_DIR = 'm',
};

/** An operation. */
struct mlimg_plan_op {
	char *path;
	struct mlimg_entry *entry; /**< NULL for d, a, u, c, h */
	uint32_t blob;             /**< p: its number; else 0 */
	uint8_t verb;              /**< enum mlimg_plan_verb */
};

/** Contents. */
struct mlimg_plan_blob {
	const char *data;
	size_t size;
	uint8_t digest[MLIMG_SHA256_SIZE];
};

/** A plan. */
struct mlimg_plan {
	uint64_t generation; /**< 1 .. MLIMG_BOOT_GENERATION_MAX */
	char from[MLIMG_SHA256_HEX_SIZE], to[MLIMG_SHA256_HEX_SIZE]; /**< stack ids */
	struct mlimg_plan_op *ops;
	size_t n_ops;
	struct mlimg_plan_blob *blobs;
	size_t n_blobs;
	size_t ops_room, blobs_room; /**< private */
	struct mlimg_arena *arena;   /**< what all of it points to */
};

/** Begin an empty plan. @return 0, -ENOMEM */
int mlimg_plan_init(struct mlimg_plan *ret_plan, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Append an operation.
 *
 * @param plan   the plan
 * @param verb   enum mlimg_plan_verb
 * @param path   copied
 * @param entry  copied, without hard links; NULL where the verb has none
 * @param blob   p: the number of its blob; else 0
 * @param err    see there
 * @return       0, -ENOMEM
 */
int mlimg_plan_add(struct mlimg_plan *plan, enum mlimg_plan_verb verb, const char *path,
	const struct mlimg_entry *entry, uint32_t blob, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Append contents.
 *
 * @param plan      the plan
 * @param data      copied
 * @param size      bytes, at most MLIMG_PLAN_BLOB_MAX
 * @param ret_blob  its number
 * @param err       see there
 * @return          0, -ENOMEM, -E2BIG when there are MLIMG_PLAN_BLOBS_MAX
 */
int mlimg_plan_add_blob(struct mlimg_plan *plan, const void *data, size_t size, uint32_t *ret_blob,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it holds; accepts a zeroed one. */
void mlimg_plan_done(struct mlimg_plan *plan);

#endif
