/* SPDX-License-Identifier: MIT */
/**
 * @file vm-find.h
 * Which guest a command means: a tenant of the store, or one that `mlimg-vm run` runs.
 */
#ifndef MLIMG_VM_FIND_H
#define MLIMG_VM_FIND_H

#include "tools/tenant.h"

/** What the command line says. */
struct mlimg_vm_wanted {
	const char *name;
	const char *store;       /**< NULL: the default, where there is one */
	const char *runtime_dir; /**< only among the guests of `run` there; NULL: anywhere */
};

/** A guest. Zero it to begin with. */
struct mlimg_vm_found {
	struct mlimg_store *store;  /**< NULL: it is one of `mlimg-vm run` */
	struct mlimg_tenant tenant; /**< where there is a store */
	char *dir; /**< its runtime directory; of a tenant only QEMU's on this machine */
};

/**
 * Find a guest: in the store, when there is one, then among those of `mlimg-vm run`, of which only those are found that
 * run.
 *
 * @param wanted  which
 * @param ret     mlimg_vm_found_done() when done, also after a failure
 * @param err     says where it is not; -ENOENT
 * @return        0 or -errno
 */
int mlimg_vm_find(const struct mlimg_vm_wanted *wanted, struct mlimg_vm_found *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** As mlimg_vm_find(), but guests of `mlimg-vm run` need not run any more. */
int mlimg_vm_find_any(const struct mlimg_vm_wanted *wanted, struct mlimg_vm_found *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** As mlimg_vm_find(), but only in the store. */
int mlimg_vm_find_tenant(const struct mlimg_vm_wanted *wanted, struct mlimg_vm_found *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** As mlimg_vm_find_tenant(), with its lock (mlimg_tenant_take()). Parameters as of both. */
int mlimg_vm_take(const struct mlimg_vm_wanted *wanted, const char *what,
	struct mlimg_vm_found *ret, int *ret_lock, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Look what the tenant is, again; its lock is held. */
int mlimg_vm_find_again(struct mlimg_vm_found *found, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what is owned. */
void mlimg_vm_found_done(struct mlimg_vm_found *found);
#define mlimg_autofound mlimg_cleanup(mlimg_vm_found_done) /**< mlimg_vm_found_done() */

#endif
