/* SPDX-License-Identifier: MIT */
/**
 * @file vm-run.h
 * Running a guest: from what is asked for to QEMU's end.
 */
#ifndef MLIMG_VM_RUN_H
#define MLIMG_VM_RUN_H

#include "tools/vm-images.h"
#include "tools/vm-options.h"

#define MLIMG_POWERDOWN_MS \
	90000 /**< how long a guest may take to power off: systemd's default for stopping a unit */

/**
 * Run QEMU until it ends: watch the boot, pass on signals.
 *
 * @param args     QEMU's command
 * @param spec     what it was made from
 * @param options  the user's
 * @param images   the layers
 * @return         the exit code
 */
int mlimg_vm_loop(const struct mlimg_args *args, const struct mlimg_vm_spec *spec,
	const struct mlimg_vm_options *options, const struct mlimg_vm_images *images);

#endif
