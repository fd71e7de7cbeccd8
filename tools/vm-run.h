/* SPDX-License-Identifier: MIT */
/**
 * @file vm-run.h
 * The commands of mlimg-vm: run, status, stop. All return the program's exit code; everything has
 * been printed.
 */
#ifndef MLIMG_VM_RUN_H
#define MLIMG_VM_RUN_H

#include "tools/vm-images.h"
#include "tools/vm-options.h"

#define MLIMG_POWERDOWN_MS \
	90000 /**< how long a guest may take to power off: systemd's default for stopping a unit */

/** `mlimg-vm run`. */
int mlimg_vm_run(const struct mlimg_vm_options *options);

/** `mlimg-vm status`. @param argv argv[0] is "status" */
int mlimg_vm_status(int argc, char **argv);

/** `mlimg-vm stop`. @param argv argv[0] is "stop" */
int mlimg_vm_stop(int argc, char **argv);

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
