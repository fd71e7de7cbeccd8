/* SPDX-License-Identifier: MIT */
/**
 * @file vm-supervise.h
 * The process beside a tenant's QEMU: the loop of `mlimg-vm run` (vm-loop.h), detached from who started it, one for each
 * guest that is on. It keeps the logs, passes the console on, watches the boot, notes in the store what becomes of the
 * guest, and says it in the runtime directory's file `state`.
 *
 * It is this program started again, `mlimg-vm supervise STORE NAME HOW`, which is no command for people: after fork(2)
 * alone it could not open the store.
 *
 * QEMU never outlives it. That it was killed is seen by whoever looks next: the store says that the guest runs, and
 * nobody holds the runtime directory's lock (mlimg_backend_look()).
 *
 * Until QEMU runs it shares the tenant's lock (tenant.h) with whoever starts it: where that one is killed, what he began
 * is not gone on with, and the next command on the tenant waits until nothing is left of it.
 *
 * It has no store open while the guest runs, only for as long as it notes something. What it cannot note then, because
 * the disk is full, is noted by whoever looks next, out of `state`.
 */
#ifndef MLIMG_VM_SUPERVISE_H
#define MLIMG_VM_SUPERVISE_H

#include "tools/backend.h"

/**
 * Start a tenant's guest, with a supervisor. On return with 0 QEMU has the machine, the generation is the current one,
 * and the store says that it runs.
 *
 * @param store_dir  the store; its own process opens it again
 * @param tenant     the tenant, whose lock the caller has
 * @param how        how
 * @param err        what was missing
 * @return           0 or -errno; then no process is left
 */
int mlimg_supervise(const char *store_dir, const struct mlimg_tenant *tenant,
	const struct mlimg_backend_start *how, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
