/* SPDX-License-Identifier: MIT */
/**
 * @file prepare-options.h
 * The command line of `mlimg-agent prepare`: which layers are wanted, and what has been done to the
 * user layer.
 */
#ifndef MLIMG_PREPARE_OPTIONS_H
#define MLIMG_PREPARE_OPTIONS_H

#include "guest-agent/mounted.h"

/** What the command line says. Strings point into argv. */
struct mlimg_wanted {
	const char *root, *union_driver;
	bool is_joined; /**< index and layers are one disk */
	const char *
		verity; /**< "off", or what vouches for the hash trees that the layers are read through: "hash", "stack", "require" */
	struct mlimg_expected system, user;
	struct mlimg_expected patches[MLIMG_STACK_PATCH_MAX];     /**< bottom first */
	struct mlimg_expected software[MLIMG_STACK_SOFTWARE_MAX]; /**< bottom first */
	size_t n_patches, n_software;
	enum mlimg_boot_mode mode;
	const char *
		dev; /**< the user layer's disk, whose size its file system is to have; NULL: leave it */
	const char *reset;     /**< the word of a factory reset, or NULL */
	const char *identity;  /**< the word of a copy (identity.h), or NULL */
	bool is_formatted;     /**< this boot made the user layer */
	int fsck_status;       /**< of e2fsck; -1 when it was not run */
	const char *fsck_said; /**< what it printed, "" for nothing */
	const char *note;      /**< or NULL */
	/** of the comparison (reconcile.h): MLIMG_WALK_MEMORY_MAX, no option */
	size_t upper_memory_max;
};

/**
 * Read the arguments.
 *
 * @param argc        their number
 * @param argv        argv[0] is the call's name
 * @param ret_wanted  filled, also on failure
 * @return            -1 to go on; otherwise the exit code, everything has been printed
 */
int mlimg_prepare_options(int argc, char **argv, struct mlimg_wanted *ret_wanted);

/**
 * Make the boot ready, and print what there is to say.
 *
 * @param wanted  of mlimg_prepare_options()
 * @return        the exit code
 */
int mlimg_prepare_run(const struct mlimg_wanted *wanted);

/**
 * List the read-only layers.
 *
 * @param wanted      of mlimg_prepare_options()
 * @param ret_layers  bottom first
 * @return            their number
 */
size_t mlimg_wanted_layers(
	const struct mlimg_wanted *wanted, struct mlimg_expected ret_layers[MLIMG_BOOT_LAYERS_MAX]);

#endif
