/* SPDX-License-Identifier: MIT */
/**
 * @file checkpoint-room.h
 * Whether a checkpoint has room on its host's disk. It is looked for before anything is begun: a
 * guest on a disk that gets full is stopped, and a QEMU, or qemu-img, that finds no room for its
 * tables leaves some that do not agree.
 */
#ifndef MLIMG_TOOLS_CHECKPOINT_ROOM_H
#define MLIMG_TOOLS_CHECKPOINT_ROOM_H

#include "tools/tenant.h"

/**
 * Check that a checkpoint has room on a disk: for all of the memory, which may have to be written,
 * and MLIMG_CHECKPOINT_SPARE_BYTES; of the disk alone 1 MiB for tables.
 *
 * @param left_bytes    what that disk has left for who writes the user disk
 * @param memory_bytes  of the guest; 0: a checkpoint of the disk alone
 * @param where         that disk, for people: "'/var/lib/mlimg'"
 * @param err           how much is needed, and how much there is
 * @return              0 or -ENOSPC
 */
int mlimg_checkpoint_room_check(uint64_t left_bytes, uint64_t memory_bytes, const char *where,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The same of a tenant whose user disk is here.
 *
 * @param tenant        the tenant
 * @param memory_bytes  as of mlimg_checkpoint_room_check()
 * @param err           as of mlimg_checkpoint_room_check()
 * @return              0, -ENOSPC, other -errno
 */
int mlimg_checkpoint_room_here(const struct mlimg_tenant *tenant, uint64_t memory_bytes,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
