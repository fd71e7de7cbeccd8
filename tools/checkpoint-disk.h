/* SPDX-License-Identifier: MIT */
/**
 * @file checkpoint-disk.h
 * Snapshots of a user disk that no guest has open, by qemu-img.
 */
#ifndef MLIMG_TOOLS_CHECKPOINT_DISK_H
#define MLIMG_TOOLS_CHECKPOINT_DISK_H

#include <jansson.h>

#include "tools/tenant.h"

/** The tag of a snapshot's name. @return points into it; NULL when it is none of ours */
const char *mlimg_snapshot_tag(const char *name);

/**
 * Our snapshots among those of an image.
 *
 * @param image      what QEMU says of it (ImageInfo), or NULL
 * @param ret_saved  an object: of each tag the bytes of its memory; json_decref() it
 * @param err        that it says nothing
 * @return           0 or -errno
 */
int mlimg_snapshots_of(
	const json_t *image, json_t **ret_saved, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Make a snapshot; others of that tag are removed before.
 *
 * @return 0; -ENOSPC, before anything is written, as of mlimg_checkpoint_room_here(); other -errno
 */
int mlimg_disk_save(
	const struct mlimg_tenant *tenant, const char *tag, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Make the disk what it was in a snapshot. @return 0 or -errno */
int mlimg_disk_load(
	const struct mlimg_tenant *tenant, const char *tag, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Remove a snapshot. @return 0 or -errno */
int mlimg_disk_remove(
	const struct mlimg_tenant *tenant, const char *tag, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** As mlimg_snapshots_of(), of the user disk. @return 0 or -errno */
int mlimg_disk_saved(const struct mlimg_tenant *tenant, json_t **ret_saved,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Free the clusters that nobody refers to: QEMU, or qemu-img, was killed between counting one as used
 * and referring to it. Such a disk is sound, but has that room no more. One that is damaged is not
 * written to.
 *
 * @param tenant           whose; off, and its disk is here
 * @param ret_freed_bytes  what can be used again
 * @param err              refused: it is damaged, and what can be done; as of mlimg_qemu_img_check()
 * @return                 0 or -errno
 */
int mlimg_disk_free_leaks(const struct mlimg_tenant *tenant, uint64_t *ret_freed_bytes,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The same after a command was killed whose qemu-img may have it still: for 10 s, where it has.
 *
 * @param tenant  as of mlimg_disk_free_leaks()
 * @param err     as of mlimg_disk_free_leaks()
 * @return        0 or -errno
 */
int mlimg_disk_settle(const struct mlimg_tenant *tenant, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
