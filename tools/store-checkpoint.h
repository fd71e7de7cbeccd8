/* SPDX-License-Identifier: MIT */
/**
 * @file store-checkpoint.h
 * What the store (store.h) knows of tenants' checkpoints: the rows. What is saved, memory and disk,
 * lies in the tenant's user disk; checkpoint.h brings the two together.
 *
 *     checkpoint  number (ascending), tenant_id, tag (one of a tenant), state (saving, saved,
 *                 restoring, deleting), kind (memory: memory and disk at one moment; disk), origin
 *                 (named: by a user; timed; restore: before one; upgrade: of a rollout, which
 *                 deletes these and no others), generation (which the tenant ran on; its layers
 *                 stay as long), memory_bytes, cpus and machine of what was saved
 *                 (0, 0 and "" where kind is disk), saved_bytes (of the memory), created_s
 *
 * That the caller holds the tenant's lock (tenant.h) is his affair.
 */
#ifndef MLIMG_TOOLS_STORE_CHECKPOINT_H
#define MLIMG_TOOLS_STORE_CHECKPOINT_H

#include "tools/store.h"

#define MLIMG_CHECKPOINT_TAG_SIZE 64 /**< of a tag, NUL included */

/** What is saved. */
enum mlimg_checkpoint_kind {
	MLIMG_CHECKPOINT_MEMORY, /**< memory and disk */
	MLIMG_CHECKPOINT_DISK,
};

/** Who has asked for it. */
enum mlimg_checkpoint_origin {
	MLIMG_CHECKPOINT_NAMED,   /**< somebody who gave it its tag */
	MLIMG_CHECKPOINT_TIMED,   /**< somebody who did not: the tag is the time */
	MLIMG_CHECKPOINT_BEFORE,  /**< a restore, of what was there before it */
	MLIMG_CHECKPOINT_UPGRADE, /**< a rollout, of what was there before it (rollout.h) */
};

/** What is being done with it; all but SAVED end with the next command, see checkpoint.h. */
enum mlimg_checkpoint_state {
	MLIMG_CHECKPOINT_SAVED,
	MLIMG_CHECKPOINT_SAVING,
	MLIMG_CHECKPOINT_RESTORING,
	MLIMG_CHECKPOINT_DELETING,
};

#define MLIMG_MACHINE_INDEX "index=" /**< before the name of its index, as a word of its devices */

/**
 * What a guest's machine must be the same in for memory that was saved in it to go on. A plain
 * value.
 */
struct mlimg_machine {
	uint64_t memory_bytes;
	unsigned cpus;
	char devices[512]; /**< in words: type of the machine, how it is run, its devices */
};

/** A checkpoint. A plain value. */
struct mlimg_checkpoint {
	char tag[MLIMG_CHECKPOINT_TAG_SIZE];
	enum mlimg_checkpoint_kind kind;
	enum mlimg_checkpoint_origin origin;
	enum mlimg_checkpoint_state state;
	uint32_t generation;
	struct mlimg_machine machine; /**< zeroed where kind is DISK */
	uint64_t saved_bytes;         /**< of memory; 0 where kind is DISK */
	int64_t created_s;
};

/** @return "memory" or "disk" */
const char *mlimg_checkpoint_kind_name(enum mlimg_checkpoint_kind kind);

/** @return "named", "timed", "restore" or "upgrade" */
const char *mlimg_checkpoint_origin_name(enum mlimg_checkpoint_origin origin);

/**
 * Whether it can be a tag: [A-Za-z0-9][A-Za-z0-9._-]{0,62}
 *
 * @param tag  anything
 * @param err  of kind MLIMG_ERR_USAGE
 * @return     0, -EINVAL
 */
int mlimg_checkpoint_tag_check(const char *tag, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Add a checkpoint, the newest.
 *
 * @param store       the store
 * @param tenant_id   the tenant's
 * @param checkpoint  what it is
 * @param err         of kind MLIMG_ERR_USAGE: the tag cannot be one; -EEXIST: there is one of that
 *                    tag
 * @return            0, -EEXIST, -EINVAL, other -errno
 */
int mlimg_store_checkpoint_add(struct mlimg_store *store, const char *tenant_id,
	const struct mlimg_checkpoint *checkpoint, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The checkpoint of that tag.
 *
 * @param store           the store
 * @param tenant_id       the tenant's
 * @param tag             the tag
 * @param ret_checkpoint  the checkpoint
 * @param err             "no checkpoint '...'"
 * @return                0, -ENOENT, other -errno
 */
int mlimg_store_checkpoint_get(struct mlimg_store *store, const char *tenant_id, const char *tag,
	struct mlimg_checkpoint *ret_checkpoint, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Told of a checkpoint. @return 0 to go on, negative to stop */
typedef int mlimg_store_checkpoint_fn(
	const struct mlimg_checkpoint *checkpoint, void *ctx, struct mlimg_err *err);

/**
 * All checkpoints of a tenant, the oldest first.
 *
 * @param store      the store
 * @param tenant_id  the tenant's
 * @param fn         told of each; may change them
 * @param ctx        handed to @p fn
 * @param err        names the database
 * @return           0, what @p fn returned when negative, or -errno
 */
int mlimg_store_checkpoint_each(struct mlimg_store *store, const char *tenant_id,
	mlimg_store_checkpoint_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Note what is done with a checkpoint.
 *
 * @param store        the store
 * @param tenant_id    the tenant's
 * @param tag          the tag
 * @param state        what
 * @param saved_bytes  of its memory, from now on
 * @param err          "no checkpoint '...'"
 * @return             0, -ENOENT, other -errno
 */
int mlimg_store_checkpoint_set(struct mlimg_store *store, const char *tenant_id, const char *tag,
	enum mlimg_checkpoint_state state, uint64_t saved_bytes,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Remove a checkpoint's row. @return 0, -ENOENT, other -errno */
int mlimg_store_checkpoint_remove(struct mlimg_store *store, const char *tenant_id, const char *tag,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
