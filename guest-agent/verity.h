/* SPDX-License-Identifier: MIT */
/**
 * @file verity.h
 * Devices over the disks of a stack that read nothing but what somebody vouches for: the kernel's
 * dm-verity over each read-only layer, and over the index where there is one. What vouches for
 * them, the kernel parameter mlimg.verity says; of its forms
 *
 *     ID:HASH[,ID:HASH…]           the root hash of each
 *     stack:HASH                   the hash of the stack (libmlimg/verity.h), of root hashes that are read from the disks
 *     require[,ID:HASH]            a signature of each layer's root hash (trust.h), read from its disk; the index, which is derived from the layers
 *                                  and nobody's to sign, has its root hash there
 *
 * All are checked before the first device is made. Made are, in /dev/mapper,
 *
 *     mlimg-N        layer N, bottom first from 0
 *     mlimg-index    the index
 *
 * A joined index (libmlimg/index.h) is one disk with its layers. dm-verity has no offset for its
 * data, so each layer's room is cut out first; in the end there is again one device with the same
 * blocks in the same places, so that the index is mounted as it is:
 *
 *     mlimg-part-N   dm-linear: the room of layer N, with its hash tree
 *     mlimg-N        dm-verity over that
 *     mlimg-own      dm-verity: the index itself
 *     mlimg-index    dm-linear: mlimg-own, and mlimg-N where layer N lies. What lies between, hash trees and signatures, nobody vouches for: it is zeros
 *
 * Where the layers lie is what the index says, and is read again from mlimg-own: the disk could
 * have answered differently before.
 *
 * Source: the kernel's Documentation/admin-guide/device-mapper/verity.rst, linear.rst and zero.rst.
 */
#ifndef MLIMG_AGENT_VERITY_H
#define MLIMG_AGENT_VERITY_H

#include "libmlimg/boot.h"
#include "libmlimg/index.h"
#include "libmlimg/verity.h"

/** Forms of mlimg.verity. */
enum mlimg_verity_form {
	MLIMG_VERITY_HASHES = 1,
	MLIMG_VERITY_STACK,
	MLIMG_VERITY_REQUIRE,
};

/** What mlimg.verity says. Pointers go into its value. */
struct mlimg_verity_rule {
	enum mlimg_verity_form form;
	char stack_hash[MLIMG_SHA256_HEX_SIZE]; /**< or "" */
	struct {
		char id[MLIMG_SHORT_ID + 1]; /**< the first digits of the id */
		char hash[MLIMG_SHA256_HEX_SIZE];
	} hashes[MLIMG_BOOT_LAYERS_MAX + 1];
	size_t n_hashes;
};

/**
 * Read the value of mlimg.verity.
 *
 * @param value     as above
 * @param ret_rule  filled on success
 * @return          whether it is one
 */
bool mlimg_verity_rule_parse(const char *value, struct mlimg_verity_rule *ret_rule);

/** A layer or an index, as asked for. */
struct mlimg_verity_item {
	const char *what; /**< as messages call it: "system layer", "index" */
	const char *id;   /**< at least MLIMG_SHORT_ID digits */
	const char *dev;  /**< its disk; NULL: behind the joined index */
};

/** What is to be verified. */
struct mlimg_verity_wanted {
	const struct mlimg_verity_rule *rule;
	const char *trust_dir;                                  /**< certificates */
	struct mlimg_verity_item layers[MLIMG_BOOT_LAYERS_MAX]; /**< bottom first */
	size_t n_layers;
	struct mlimg_verity_item index; /**< id is NULL: there is none */
	bool is_joined;                 /**< the layers are behind it */
};

/**
 * Check everything, and make the devices.
 *
 * @param wanted  what
 * @param err     of kind MLIMG_ERR_REFUSED: names the layer that nothing vouches for, and why
 * @return        0, -EUCLEAN, other -errno
 */
int mlimg_verity_open(
	const struct mlimg_verity_wanted *wanted, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
