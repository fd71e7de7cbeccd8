/* SPDX-License-Identifier: MIT */
/**
 * @file checkpoint-qemu.h
 * Checkpoints of a tenant that QEMU runs on this machine: internal snapshots of its user disk, made
 * through the monitor of a guest that is on, and by qemu-img of one that is off. These are the
 * backend's operations (backend.h says what each does).
 *
 * A snapshot's name is MLIMG_SNAPSHOT_PREFIX and the tag: qcow2 knows snapshots by number too, and
 * QEMU takes a name of digits for one.
 *
 * Only the user disk is saved, layers cannot change. QEMU 7.2 does not save the memory of a guest
 * with joined disks (vmdk.h).
 */
#ifndef MLIMG_TOOLS_CHECKPOINT_QEMU_H
#define MLIMG_TOOLS_CHECKPOINT_QEMU_H

#include "tools/backend.h"

#define MLIMG_SNAPSHOT_PREFIX "mlimg-" /**< of snapshots' names */
#define MLIMG_SNAPSHOT_NAME_SIZE 80    /**< of a name, NUL included */

/** The name of a checkpoint's snapshot. @return @p ret_name */
const char *mlimg_snapshot_name(const char *tag, char ret_name[MLIMG_SNAPSHOT_NAME_SIZE]);

/** See struct mlimg_backend. */
int mlimg_qemu_machine(const struct mlimg_tenant *tenant, struct mlimg_machine *ret_machine,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** See struct mlimg_backend. */
int mlimg_qemu_saved(const struct mlimg_tenant *tenant, json_t **ret_saved,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** See struct mlimg_backend. */
int mlimg_qemu_save(const struct mlimg_tenant *tenant, const char *tag, bool with_memory,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** See struct mlimg_backend. */
int mlimg_qemu_load(struct mlimg_store *store, struct mlimg_tenant *tenant, const char *tag,
	bool with_memory, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** See struct mlimg_backend. */
int mlimg_qemu_remove(
	const struct mlimg_tenant *tenant, const char *tag, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** See struct mlimg_backend. */
int mlimg_qemu_settle(const struct mlimg_tenant *tenant, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
