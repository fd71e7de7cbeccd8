/* SPDX-License-Identifier: MIT */
/**
 * @file queue.h
 * What the user has asked to be done in his upper, and what nobody may do to one that is in use:
 * it waits in the user layer for the next boot, which does it before the union is mounted
 * (guest-agent/queue-run.h).
 *
 * The file "queue" in the user layer's /mlimg, which a stranger may have written. A first line
 * "mlimg-queue 1", then one operation a line:
 *
 *     reset PATH          what the upper has there goes, with all that is below: what lies beneath
 *                         shows. A file, a link, a directory, a whiteout. No directory in which
 *                         records of accounts or packages are: they name things that stay
 *     reset-all PATH      the same, and a directory with such records too: the user was asked
 *     restore PATH        the whiteout there goes
 *     transparent PATH    the directory there is opaque no more: what lies beneath shows in it, but
 *                         for what the upper has itself
 *
 * PATH is that of the merged root, relative to it, escaped as in manifests (manifest.h), so that a
 * newline in a name ends no line; never the root itself, for which there is the factory reset. Which
 * paths lead where through symbolic links was found out before it was queued: none are followed.
 *
 * It is a set. Operations stand in the order of manifests, a directory before what is in it, one
 * for a path: none depends on another, but that what resets a directory leaves nothing to do below
 * it. So what is asked for twice is there once, of two different ones the later counts, and the
 * form is canonical: anything else is refused, with the line. A queue without operations has no
 * file.
 *
 * Writers hold a lock on the directory (flock(2) of /mlimg) and replace the file.
 */
#ifndef MLIMG_QUEUE_H
#define MLIMG_QUEUE_H

#include <stdint.h>

#include "libmlimg/arena.h"
#include "libmlimg/json.h"
#include "libmlimg/manifest.h"

#define MLIMG_QUEUE_FILE "queue"    /**< in the user layer's /mlimg, as the next one */
#define MLIMG_QUEUE_BAD "queue.bad" /**< one that a boot could not read */
#define MLIMG_QUEUE_NAME "queue-"   /**< what the names in aside and reports begin with */
#define MLIMG_QUEUE_MAX (8u << 20)  /**< bytes of the file: 128 for each of the operations */
#define MLIMG_QUEUE_OPS_MAX 65536   /**< operations; whoever has more to reset resets directories */

/** What is to be done. */
enum mlimg_queue_verb {
	MLIMG_QUEUE_RESET = 1,
	MLIMG_QUEUE_RESTORE,
	MLIMG_QUEUE_TRANSPARENT,
	MLIMG_QUEUE_RESET_ALL,
};

/** An operation. */
struct mlimg_queue_op {
	enum mlimg_queue_verb verb;
	const char *path; /**< as in manifests, not escaped */
};

/** A queue. */
struct mlimg_queue {
	struct mlimg_queue_op *ops; /**< in the order of manifests */
	size_t n;
	size_t room;               /**< private: bytes */
	struct mlimg_arena *arena; /**< private: the paths */
};

/** @return N of "queue-N" and "queue-N.json", names in aside and reports; 0 of another name */
uint64_t mlimg_queue_number(const char *name);

/** @return "reset", "restore", "transparent" or "reset-all" */
const char *mlimg_queue_verb_name(enum mlimg_queue_verb verb);

/**
 * Read its text.
 *
 * @param text       bytes
 * @param size       their number
 * @param ret_queue  mlimg_queue_free() it
 * @param err        "queue: line N: ..."
 * @return           0, -EUCLEAN, -ENOMEM
 */
int mlimg_queue_parse(const char *text, size_t size, struct mlimg_queue **ret_queue,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Write its text. */
void mlimg_queue_put(const struct mlimg_queue *queue, mlimg_sink *sink, void *ctx);

/**
 * Read what waits.
 *
 * @param own_fd     the user layer's /mlimg
 * @param ret_queue  mlimg_queue_free() it; without a file it is empty
 * @param err        names the file
 * @return           0, -EUCLEAN when it is damaged, too long or no regular file, other -errno
 */
int mlimg_queue_read(
	int own_fd, struct mlimg_queue **ret_queue, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Add operations to what waits. Durable on return.
 *
 * @param own_fd  the user layer's /mlimg, writable
 * @param ops     in any order
 * @param n       their number
 * @param err     names the path that can be none, or the file
 * @return        0; -EINVAL; -E2BIG when there are more than MLIMG_QUEUE_OPS_MAX, or they take more
 *                than MLIMG_QUEUE_MAX; -EUCLEAN when the file is damaged; other -errno. On failure
 *                nothing has changed
 */
int mlimg_queue_add(int own_fd, const struct mlimg_queue_op *ops, size_t n,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take operations out again, whatever they are. Durable on return.
 *
 * @param own_fd  the user layer's /mlimg, writable
 * @param paths   as in manifests; those that nothing waits for are passed over
 * @param n       their number
 * @param ret_n   how many operations were taken out
 * @param err     see there
 * @return        0, -EUCLEAN when the file is damaged, other -errno
 */
int mlimg_queue_cancel(int own_fd, const char *const paths[], size_t n, uint32_t *ret_n,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take out exactly these operations: they were done. As mlimg_queue_cancel(), but that one of
 * another verb stays, and that the caller holds the lock.
 */
int mlimg_queue_remove(
	int own_fd, const struct mlimg_queue *done, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return what waits for this path; NULL: nothing. @param path as in manifests */
const struct mlimg_queue_op *mlimg_queue_find(const struct mlimg_queue *queue, const char *path);

/** Wait for the lock. @return a descriptor that holds it until it is closed; -errno */
int mlimg_queue_lock(int own_fd, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Tell what waits, as `mlimg status --json` and the agent's guest-status do.
 *
 * @param queue  NULL: none
 * @param max    operations that are told at most, the first ones
 * @return       an array of {"operation": "reset", "path": "etc/motd"}, paths escaped as in
 *               manifests; NULL when there is no memory
 */
json_t *mlimg_queue_to_json(const struct mlimg_queue *queue, size_t max);

/** Free it; accepts NULL. */
void mlimg_queue_free(struct mlimg_queue *queue);

#endif
