/* SPDX-License-Identifier: MIT */
/**
 * @file resolved.h
 * Which conflicts of earlier changes of the stack the user has resolved, and which way: the file
 * "resolved" in the user layer's /mlimg. A first line, and a line for each:
 *
 *     mlimg-resolved 1
 *     2 mine etc/hosts
 *
 * The generation whose report (libmlimg/boot.h) names the conflict, "mine", "theirs" or "merged",
 * and the path, escaped as in manifests; one space between them. In the order of generations, then of
 * paths (mlimg_manifest_path_cmp()), each once. Whoever has no such file has resolved nothing.
 * What waits for the next boot is noted already; whoever cancels it takes the note back.
 */
#ifndef MLIMG_RESOLVED_H
#define MLIMG_RESOLVED_H

#include "libmlimg/manifest.h"

#define MLIMG_RESOLVED_FILE "resolved" /**< in the user layer's /mlimg */
#define MLIMG_RESOLVED_MAX (8u << 20)  /**< bytes that are read */
#define MLIMG_RESOLVED_N_MAX 65536     /**< lines: each is somebody's decision */

/** What is told of a path, with the reason behind it, where nothing was done. */
#define MLIMG_RESOLVED_NOT_BACK "what waits for the next boot at '/%s' is not taken back"

/** Ways to resolve a conflict. */
enum mlimg_keep_way {
	MLIMG_KEEP_UNDECIDED = 0, /**< it is not resolved */
	MLIMG_KEEP_MINE,
	MLIMG_KEEP_THEIRS,
	MLIMG_KEEP_MERGED,
};

/** @return "mine", "theirs", "merged"; NULL of what is not resolved */
const char *mlimg_keep_way_name(enum mlimg_keep_way way);

/** @return which it is; MLIMG_KEEP_UNDECIDED: none */
enum mlimg_keep_way mlimg_keep_way_of(const char *name);

/** A conflict that is resolved. */
struct mlimg_resolved_one {
	uint64_t generation;
	enum mlimg_keep_way way;
	char *path;
};

/** All of them. Zero it to begin with. */
struct mlimg_resolved {
	struct mlimg_resolved_one *all;
	size_t n, room; /**< room: bytes, private */
};

/**
 * Read the text of the file.
 *
 * @param text  may be a stranger's
 * @param size  bytes
 * @param ret   mlimg_resolved_done() it, also on failure
 * @param err   "resolved: line N: ..."
 * @return      0, -EUCLEAN, -ENOMEM
 */
int mlimg_resolved_parse(const char *text, size_t size, struct mlimg_resolved *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read it. @param own_fd the user layer's /mlimg. @return as mlimg_resolved_parse(); -errno */
int mlimg_resolved_read(
	int own_fd, struct mlimg_resolved *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return how it was resolved */
enum mlimg_keep_way mlimg_resolved_find(
	const struct mlimg_resolved *resolved, uint64_t generation, const char *path);

/**
 * Add one, or change it; MLIMG_KEEP_UNDECIDED takes it out. In memory only.
 * @return 0, -ENOMEM, -E2BIG
 */
int mlimg_resolved_set(struct mlimg_resolved *resolved, uint64_t generation, const char *path,
	enum mlimg_keep_way way) MLIMG_MUST_CHECK;

/** Write its text. */
void mlimg_resolved_put(const struct mlimg_resolved *resolved, mlimg_sink *sink, void *ctx);

/** Write the file, durably. @param own_fd the user layer's /mlimg. @return 0, -errno */
int mlimg_resolved_write(
	int own_fd, const struct mlimg_resolved *resolved, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * mlimg_resolved_set() in the file, durably, while no other call does so.
 *
 * @param own_fd      the user layer's /mlimg
 * @param generation  whose report names the conflict
 * @param path        of the conflict
 * @param way         see there
 * @param err         names the file, or the path
 * @return            0, -errno
 */
int mlimg_resolved_note(int own_fd, uint64_t generation, const char *path, enum mlimg_keep_way way,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take back what waits for the next boot to resolve a conflict, and the note that it is resolved:
 * first the note, so that whatever fails or is killed, a conflict is told once too often and not
 * once too seldom. Done again it does the rest.
 *
 * @param own_fd      the user layer's /mlimg
 * @param generation  whose report names the conflict
 * @param paths       of the queue (libmlimg/queue.h), first that of the conflict
 * @param n           their number
 * @param ret_n       how many operations no longer wait
 * @param err         MLIMG_RESOLVED_NOT_BACK, and why
 * @return            0, -EUCLEAN when one of both files is damaged, other -errno
 */
int mlimg_resolved_take_back(int own_fd, uint64_t generation, const char *const paths[], size_t n,
	uint32_t *ret_n, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free it; accepts a zeroed one. */
void mlimg_resolved_done(struct mlimg_resolved *resolved);

#endif
