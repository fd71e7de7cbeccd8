/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-user.h
 * A tenant's user layer as a boot finds it, read out of its disk: what it last ran on, the base
 * manifest and texts of that (libmlimg/boot.h), and what stands in the way of comparing it with
 * another stack. All of it is a stranger's. For one thread at a time.
 */
#ifndef MLIMG_TOOLS_UPGRADE_USER_H
#define MLIMG_TOOLS_UPGRADE_USER_H

#include "libmlimg/base-texts.h"
#include "libmlimg/boot.h"
#include "tools/disk-quiet.h"
#include "tools/ext4-read.h"
#include "tools/upgrade-queue.h"

/**
 * Base manifests that several threads ask for: tenants that run on the same stack have the same
 * one, and it is read once.
 */
struct mlimg_upgrade_bases;

/** @return none yet; NULL when there is no memory. mlimg_upgrade_bases_free() it */
struct mlimg_upgrade_bases *mlimg_upgrade_bases_new(void);

/** Free them, when nobody uses one; accepts NULL. */
void mlimg_upgrade_bases_free(struct mlimg_upgrade_bases *bases);

/** Where a user layer is. */
struct mlimg_upgrade_disk {
	const char *path;     /**< of a qcow2 image */
	const char *name;     /**< the tenant's, for messages */
	const char *user_id;  /**< build id of the layer that must be in it */
	const char *snapshot; /**< read when a guest writes to the image; or NULL */
	bool is_torn; /**< it is a copy of one that a guest was writing to: the snapshot alone counts */
};

/** A user layer. Zero it to begin with. */
struct mlimg_upgrade_user {
	struct mlimg_ext4 *fs;
	uint64_t disk_bytes;         /**< of the disk, to which a boot makes the file system grow */
	bool is_snapshot;            /**< it is what the snapshot holds */
	struct mlimg_disk_look look; /**< what the image was before it was read */
	bool has_run;                /**< else it has no state, and the next two are empty */
	bool has_former;             /**< the last change can be taken back */
	struct mlimg_upgrade_queue queue; /**< what its user has queued, which a boot does first */
	struct mlimg_boot_state state, former;
	const struct mlimg_manifest *base; /**< of the bases */
	struct mlimg_base_texts texts;
	char texts_why[MLIMG_ERR_TEXT_SIZE]; /**< why there are no texts; "" */
};

/**
 * Open a user layer and read what it says of itself. Nobody is kept from writing to it meanwhile: see
 * mlimg_upgrade_user_check().
 *
 * @param disk   where it is
 * @param bases  gets its base manifest, if it is not there
 * @param ret    zeroed; mlimg_upgrade_user_done() when done, also after a failure
 * @param err    names the tenant. Refused: a layer that is not that one, or damaged, or left in the
 *               middle of something; -EBUSY: a guest writes to it, and there is no snapshot
 * @return       0, -EUCLEAN, -EBUSY, other -errno
 */
int mlimg_upgrade_user_open(const struct mlimg_upgrade_disk *disk,
	struct mlimg_upgrade_bases *bases, struct mlimg_upgrade_user *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * When all has been read: whether that is what the disk held. A snapshot's clusters stay.
 *
 * @param disk  as when it was opened
 * @param user  the user layer; also one that could not be read
 * @param err   names the tenant
 * @return      0; -ESTALE: somebody has written to it, or does; other -errno
 */
int mlimg_upgrade_user_check(const struct mlimg_upgrade_disk *disk,
	const struct mlimg_upgrade_user *user, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_upgrade_user_done(struct mlimg_upgrade_user *user);

#endif
