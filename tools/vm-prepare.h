/* SPDX-License-Identifier: MIT */
/**
 * @file vm-prepare.h
 * From what is to be run to a command for QEMU and the files that it needs. `mlimg-vm run` and the supervisor of a
 * tenant both go this way.
 */
#ifndef MLIMG_VM_PREPARE_H
#define MLIMG_VM_PREPARE_H

#include "tools/vm-confine.h"
#include "tools/vm-images.h"
#include "tools/vm-index.h"
#include "tools/vm-options.h"

/** What has to be kept while a guest is run. Initialise with MLIMG_VM_PREPARED_INIT. */
struct mlimg_vm_prepared {
	struct mlimg_vm_images images;
	struct mlimg_vm_spec spec;
	struct mlimg_args args; /**< QEMU's command */
	struct mlimg_vm_layers layers;
	struct mlimg_initrd initrd_says;
	struct mlimg_vm_index index;
	char *dir, *kernel, *initrd, *verity;
	int lock; /**< of the runtime directory */
	struct mlimg_confine
		confine; /**< whom QEMU runs as; its descriptors are closed when it runs */
};

#define MLIMG_VM_PREPARED_INIT                            \
	{                                                 \
		.lock = -1, .confine = MLIMG_CONFINE_INIT \
	}

/**
 * Look into the images, choose machine, union driver and disks, take the runtime directory's lock, and put there what
 * QEMU reads. First all that only looks, so that a mistake leaves nothing behind. What was chosen and why goes to
 * stderr.
 *
 * @param options  what is asked for; a name is filled in where there was none. Must live as long as @p ret
 * @param ret      mlimg_vm_prepared_done() when done, also after a failure
 * @param err      names what is missing; refused: images that make no stack
 * @return         0 or -errno
 */
int mlimg_vm_prepare(struct mlimg_vm_options *options, struct mlimg_vm_prepared *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Remove what QEMU has read, let go of the lock, free. */
void mlimg_vm_prepared_done(struct mlimg_vm_prepared *prepared);

#endif
