/* SPDX-License-Identifier: MIT */
/**
 * @file checkpoint.h
 * A tenant's checkpoints: taken, listed, gone back to, deleted. What is saved lies in the tenant's
 * user disk, as an internal snapshot of qcow2 (QEMU's docs/interop/qcow2.txt): a reference count
 * and a table, so that its cost hardly grows with the disk, and reads do not slow with their
 * number. What is known of it is a row of the store (store-checkpoint.h). How it is done is the
 * backend's (backend.h).
 *
 * Two kinds. *Memory*: memory and disk of one moment; the guest stands still while its memory is
 * written, and goes on from there when it is restored. *Disk*: the user disk alone, of a guest that
 * is off, or with its file system frozen by its agent; a guest that is off has no other kind.
 *
 * The row counts. Row and snapshot can be parted by a kill, so each thing is done between two
 * writes of the row, which is on stable storage both times:
 *
 *     take     row "saving"                    the snapshot is made      row "saved"
 *     delete   row "deleting"                  the snapshot is removed   no row
 *     restore  row of it "restoring"           the snapshot is loaded    row "saved"
 *
 * Whoever takes the tenant's lock next (mlimg_checkpoint_settle()) takes back what is "saving" and
 * ends what is "deleting"; so a checkpoint that is listed is whole. Of "restoring" nobody knows how
 * far it came: the user disk is what it was before, or that of the checkpoint, never something
 * between, and what it was before is a checkpoint too (below). A guest that stands still then is
 * ended, since its memory may be half of each. Snapshots without a row are let alone, until a
 * checkpoint gets the name of one: qemu-img would make a second of that name, and return to the first,
 * so that is removed before; QEMU itself refuses to, and what was in its way is gone when it is asked
 * again. A row whose snapshot somebody has removed is shown as lost.
 *
 * A QEMU that is killed while it saves leaves a sound disk, without the snapshot; clusters that
 * nobody refers to are freed by whoever uses the disk next while it is off (reclaim.h). Room that half
 * a memory took stays with the disk, and is what the next one is written to: so a full disk is told
 * before anything is written, for it would stop the guest (MLIMG_CHECKPOINT_SPARE_BYTES).
 *
 * A restore asks for the layers of the generation that the checkpoint was taken on, and with memory
 * for the same machine; each refusal says with which command there is a way. What was there before
 * a restore is a checkpoint then, of origin "restore", unless the caller does not want it: of a
 * guest that is on, with its memory. A restore that fails goes back to it.
 *
 * Checkpoints are never deleted by themselves. mlimg_checkpoint_prune() deletes the oldest of one
 * kind and origin; those that a user has named are not among them.
 */
#ifndef MLIMG_TOOLS_CHECKPOINT_H
#define MLIMG_TOOLS_CHECKPOINT_H

#include "tools/backend.h"
#include "tools/store-checkpoint.h"

/** Room on the host's disk that must be left when a memory has been written as large as it is. */
#define MLIMG_CHECKPOINT_SPARE_BYTES (64u << 20)
#define MLIMG_CHECKPOINT_BEFORE_PREFIX "before-restore-" /**< of tags of what was before one */

/** Whose checkpoints; nothing is owned. The caller holds the tenant's lock where he changes any. */
struct mlimg_checkpoints {
	struct mlimg_store *store; /**< not in a transaction */
	struct mlimg_tenant *tenant;
	const struct mlimg_backend *backend; /**< mlimg_backend_of() */
};

/**
 * End what somebody left undone who was killed. Does nothing, and asks nobody, where nothing is.
 *
 * @param of   whose
 * @param err  what could not be ended; then it is tried again the next time
 * @return     0 or -errno
 */
int mlimg_checkpoint_settle(
	const struct mlimg_checkpoints *of, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take a checkpoint. On return with 0 it is on stable storage; else there is none.
 *
 * @param of              whose; settled
 * @param tag             its tag, or NULL: the time, UTC, as 20261122-054300
 * @param is_disk         only the disk
 * @param ret_checkpoint  what it is
 * @param err             -EEXIST: there is one of that tag; -ENOSPC; what failed otherwise
 * @return                0 or -errno
 */
int mlimg_checkpoint_take(const struct mlimg_checkpoints *of, const char *tag, bool is_disk,
	struct mlimg_checkpoint *ret_checkpoint, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take a checkpoint of the disk for a rollout (rollout.h): one that is told from what a user calls
 * so by its origin.
 *
 * @param of              whose; settled
 * @param tag             its tag
 * @param ret_checkpoint  what it is
 * @param err             as of mlimg_checkpoint_take()
 * @return                0 or -errno
 */
int mlimg_checkpoint_take_for_upgrade(const struct mlimg_checkpoints *of, const char *tag,
	struct mlimg_checkpoint *ret_checkpoint, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** How to restore. */
struct mlimg_checkpoint_restore {
	const char *tag;
	bool is_disk; /**< its disk alone, of one with memory too: as after a power cut */
	bool discard; /**< keep nothing of what was before */
};

/** What a restore has done. */
struct mlimg_checkpoint_restored {
	enum mlimg_checkpoint_kind kind;
	char before[MLIMG_CHECKPOINT_TAG_SIZE]; /**< the checkpoint of what was before, or "" */
	char clock[MLIMG_ERR_TEXT_SIZE];        /**< why the guest's clock is wrong now, or "" */
};

/**
 * Go back to a checkpoint. With memory the guest runs afterwards, and its clock is set; without it
 * the guest must be off, and stays so.
 *
 * @param of            whose; settled
 * @param how           how
 * @param ret_restored  what was done
 * @param err           -ENOENT: no such checkpoint; -EBUSY: the guest is on; -ESTALE: another stack
 *                      or another machine, and the way out; what failed otherwise, and what became
 *                      of the guest
 * @return              0 or -errno
 */
int mlimg_checkpoint_go_back(const struct mlimg_checkpoints *of,
	const struct mlimg_checkpoint_restore *how, struct mlimg_checkpoint_restored *ret_restored,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Delete a checkpoint; also one that is lost.
 *
 * @param of   whose; settled
 * @param tag  its tag
 * @param err  -ENOENT: there is none
 * @return     0 or -errno
 */
int mlimg_checkpoint_delete(const struct mlimg_checkpoints *of, const char *tag,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Told of a tag. */
typedef void mlimg_checkpoint_tag_fn(const char *tag, void *ctx);

/**
 * Delete the oldest checkpoints of a kind and origin.
 *
 * @param of      whose; settled
 * @param kind    of this kind
 * @param origin  of this origin
 * @param keep    how many of these stay, the newest
 * @param fn      told of each that has been deleted; may be NULL
 * @param ctx     handed to @p fn
 * @param err     which could not be deleted
 * @return        0 or -errno
 */
int mlimg_checkpoint_prune(const struct mlimg_checkpoints *of, enum mlimg_checkpoint_kind kind,
	enum mlimg_checkpoint_origin origin, uint64_t keep, mlimg_checkpoint_tag_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Whether a checkpoint can be restored as the tenant is now. @return 0, or -ESTALE and why not */
int mlimg_checkpoint_check_stack(const struct mlimg_checkpoints *of,
	const struct mlimg_checkpoint *checkpoint, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
