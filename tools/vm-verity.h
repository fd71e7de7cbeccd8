/* SPDX-License-Identifier: MIT */
/**
 * @file vm-verity.h
 * What vouches for a guest's layers: the value of its kernel parameter mlimg.verity.
 *
 * Root hashes come from the sidecars (libmlimg/verity.h), or for layers of a store from its database,
 * not from the images themselves: whoever can write an image can write its hash tree too. That a sidecar lies in a place where only those
 * write who may is the host's affair. That of the index, which mlimg-vm compiles and keeps in a
 * directory of the user's own, is read from it.
 */
#ifndef MLIMG_VM_VERITY_H
#define MLIMG_VM_VERITY_H

#include "libmlimg/verity.h"
#include "tools/vm-union.h"

/** What is asked for. */
enum mlimg_vm_verity {
	MLIMG_VM_VERITY_OFF = 0,
	MLIMG_VM_VERITY_HASH,    /**< the hash of the stack */
	MLIMG_VM_VERITY_REQUIRE, /**< signatures, which the guest checks */
};

/**
 * What is called @p name: "off", "hash", "require".
 *
 * @param err  of kind MLIMG_ERR_USAGE
 * @return     0, -EINVAL
 */
int mlimg_vm_verity_of(
	const char *name, enum mlimg_vm_verity *ret_verity, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return its name */
const char *mlimg_vm_verity_name(enum mlimg_vm_verity verity);

/**
 * Find the value. What the guest would refuse is refused here already, as far as it is seen without
 * reading whole images and without certificates.
 *
 * @param verity     HASH or REQUIRE
 * @param layers     the layers
 * @param index      file of the index, or NULL; one that is not there, in a dry run, makes a value
 *                   with "HASH" in place of digits
 * @param ret_value  free() it
 * @param err        names the image; of kind MLIMG_ERR_REFUSED where it has no hash tree, no root
 *                   hash beside it, no signature
 * @return           0 or -errno
 */
int mlimg_vm_verity_value(enum mlimg_vm_verity verity, const struct mlimg_vm_layers *layers,
	const char *index, char **ret_value, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read the hash tree of an index.
 *
 * @param path      the file
 * @param ret_root  UUID and root hash
 * @param err       names the file
 * @return          0; -ENOENT without a message when there is no such file; other -errno
 */
int mlimg_vm_verity_index(const char *path, struct mlimg_verity_root *ret_root,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
