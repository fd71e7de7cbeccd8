/* SPDX-License-Identifier: MIT */
/**
 * @file tenant-disk.h
 * User disks of tenants as files, while no guest has them open: thin qcow2 images with a user
 * layer in them. What is in the image is a stranger's and is not looked into; the format's own data
 * is QEMU's, which nobody else writes.
 *
 * Format: https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.txt
 */
#ifndef MLIMG_TOOLS_TENANT_DISK_H
#define MLIMG_TOOLS_TENANT_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "libmlimg/err.h"
#include "libmlimg/sha256.h"

#define MLIMG_TENANT_DISK "user.qcow2"       /**< its name in a tenant's directory (tenant.h) */
#define MLIMG_TENANT_DISK_SIZE (20ull << 30) /**< default: takes nothing until it is written */
#define MLIMG_TENANT_DISK_MIN (64ull << 20)  /**< a journal takes half of one that is smaller */
#define MLIMG_TENANT_DISK_MAX (8ull << 40)   /**< ext4 ends at 16T with 32-bit block numbers */

/**
 * A size of a user disk: whole MiB from 64M to 8T.
 *
 * @param text       what the user gave
 * @param ret_bytes  the size
 * @param err        of kind MLIMG_ERR_USAGE
 * @return           0, -EINVAL
 */
int mlimg_tenant_disk_size_of(
	const char *text, uint64_t *ret_bytes, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Make a new one with an empty user layer. On return with 0 its content is on stable storage; the
 * directory is for the caller to sync.
 *
 * @param dir          where; gets MLIMG_TENANT_DISK, mode 0600
 * @param name         the user layer's
 * @param size_bytes   from mlimg_tenant_disk_size_of()
 * @param ret_user_id  build id of the user layer
 * @param err          names the file, or says what qemu-img said
 * @return             0 or -errno; files may be left in @p dir then
 */
int mlimg_tenant_disk_make(const char *dir, const char *name, uint64_t size_bytes,
	char ret_user_id[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err) MLIMG_MUST_CHECK;

/** How a copy was made. */
enum mlimg_tenant_disk_how {
	MLIMG_TENANT_DISK_SHARED, /**< its blocks are those of the other, until one is written to */
	MLIMG_TENANT_DISK_COPIED, /**< by qemu-img, without checkpoints */
};

/**
 * Copy one. On return with 0 the copy's content is on stable storage.
 *
 * @param from      the other's file. With @p snapshot QEMU may have it open, as long as nobody
 *                  removes that one
 * @param snapshot  name of one in it (mlimg_snapshot_name()), which is copied; NULL: the disk as it
 *                  is, and closed
 * @param dir       where; gets MLIMG_TENANT_DISK, mode 0600
 * @param ret_how   how it was made
 * @param err       names the file, or says what qemu-img said
 * @return          0 or -errno; files may be left in @p dir then
 */
int mlimg_tenant_disk_copy(const char *from, const char *snapshot, const char *dir,
	enum mlimg_tenant_disk_how *ret_how, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Make an empty one over another.
 *
 * @param path        the file; mode 0600
 * @param base        the other's name, relative to the file's directory
 * @param size_bytes  its size, at least that of the other
 * @param err         names the file, or says what qemu-img said
 * @return            0 when its content is on stable storage; -errno
 */
int mlimg_tenant_disk_over(const char *path, const char *base, uint64_t size_bytes,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Whether nothing has been written to one that lies over another. @return 1, 0, -errno */
int mlimg_tenant_disk_is_blank(const char *path, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** What its header says, and its file. */
struct mlimg_tenant_disk {
	uint64_t size_bytes;    /**< as the guest sees it */
	uint64_t used_bytes;    /**< of the file, on the host's disk */
	uint32_t cluster_bytes; /**< what it is counted in */
	uint32_t n_snapshots;   /**< checkpoints in it */
	bool has_base;          /**< it lies over another image */
};

/**
 * Look at one; a guest may have it open.
 *
 * @param path      the file
 * @param ret_disk  what it is
 * @param err       names the file; refused: no qcow2 image
 * @return          0, -EUCLEAN, other -errno
 */
int mlimg_tenant_disk_look(const char *path, struct mlimg_tenant_disk *ret_disk,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#define MLIMG_TENANT_DISK_HEADER 72 /**< bytes of the header that is looked at */

/**
 * Whether two copies of one, each the header at least, have the same checkpoints: taking or removing
 * one makes a new list of them, elsewhere. Of as many takings as removals in between that is not seen
 * where the last list lies where the first one did.
 *
 * @param fd     a copy
 * @param other  another one, made later
 * @param err    -EIO: one is shorter, or cannot be read
 * @return       1, 0, -errno
 */
int mlimg_tenant_disk_has_same_snapshots(int fd, int other, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Have the content of a file written out. @return 0 or -errno */
int mlimg_tenant_disk_sync(const char *path, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
