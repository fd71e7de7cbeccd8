/* SPDX-License-Identifier: MIT */
/**
 * @file libvirt-volume.h
 * A volume of a storage pool, and what it shows. For libvirt-pool.h.
 */
#ifndef MLIMG_TOOLS_LIBVIRT_VOLUME_H
#define MLIMG_TOOLS_LIBVIRT_VOLUME_H

#include <libvirt/libvirt.h>
#include <stdint.h>
#include <sys/types.h>

#include "libmlimg/err.h"
#include "tools/store-host.h"

/** A volume. Zero it to begin with. */
struct mlimg_volume {
	virStorageVolPtr vol;
	uint64_t size_bytes;              /**< of its file */
	char mark[MLIMG_STORE_MARK_SIZE]; /**< when it was last written, as the host says */
};

/** Let go of it. */
void mlimg_volume_done(struct mlimg_volume *vol);

/** Find a volume whose file is there. @return 1, 0 when there is none, -errno */
int mlimg_volume_find(virStoragePoolPtr pool, const char *name, struct mlimg_volume *ret_vol,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Make a sparse file of a pool.
 *
 * @param pool        the pool
 * @param name        of the file
 * @param size_bytes  of it
 * @param mode        its permissions
 * @param ret_vol     mlimg_volume_done() when done
 * @param err         names it
 * @return            0, -EEXIST, other -errno
 */
int mlimg_volume_make(virStoragePoolPtr pool, const char *name, uint64_t size_bytes, mode_t mode,
	struct mlimg_volume *ret_vol, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Look what it shows now. @return 0 or -errno */
int mlimg_volume_look(struct mlimg_volume *vol, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Remove the file, and let go of it; accepts a zeroed one. @return 0 or -errno */
int mlimg_volume_remove(struct mlimg_volume *vol, struct mlimg_err *err);

/** Its path on the host. @return 0 or -errno */
int mlimg_volume_path(
	const struct mlimg_volume *vol, char **ret_path, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
