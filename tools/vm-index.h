/* SPDX-License-Identifier: MIT */
/**
 * @file vm-index.h
 * The index of a guest that is to be run: given or kept, and whether it and the read-only layers
 * are one disk of the guest or several.
 */
#ifndef MLIMG_VM_INDEX_H
#define MLIMG_VM_INDEX_H

#include "tools/vm-options.h"

/** What was found. Zero it to begin with. */
struct mlimg_vm_index {
	char *path;                    /**< of the index */
	char *joined;                  /**< descriptor (vmdk.h) of the one disk, or NULL */
	char why[MLIMG_ERR_TEXT_SIZE]; /**< why one disk or several, as one clause */
};

/**
 * Find or compile the index, and write the descriptor of the joined disk into the guest's
 * directory. With a dry run nothing is written: it is only said where it would be.
 *
 * @param options  which index, which disks
 * @param initrd   what the initramfs says of itself
 * @param dir      the guest's runtime directory
 * @param layers   the read-only layers; on return it says whether they are joined
 * @param ret      mlimg_vm_index_done() when done, also after a failure
 * @return         0 or -errno; -EINVAL when files were to be joined that cannot be
 */
int mlimg_vm_index_find(const struct mlimg_vm_options *options, const struct mlimg_initrd *initrd,
	const char *dir, struct mlimg_vm_layers *layers, struct mlimg_vm_index *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what is owned; the descriptor goes with the directory. */
void mlimg_vm_index_done(struct mlimg_vm_index *index);

#endif
