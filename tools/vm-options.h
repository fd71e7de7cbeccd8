/* SPDX-License-Identifier: MIT */
/**
 * @file vm-options.h
 * The command line of `mlimg-vm run`.
 */
#ifndef MLIMG_VM_OPTIONS_H
#define MLIMG_VM_OPTIONS_H

#include "tools/vm-cmd.h"
#include "tools/vm-commands.h"
#include "tools/vm-union.h"
#include "tools/vm-verity.h"

/** What the user asked for. Strings point into argv. */
struct mlimg_vm_options {
	const char *system;
	const char *patches[MLIMG_STACK_PATCH_MAX]; /**< bottom first */
	size_t n_patches;
	const char *software[MLIMG_STACK_SOFTWARE_MAX]; /**< bottom first */
	size_t n_software;
	const char *user;
	bool user_is_qcow2;
	const char
		*user_id; /**< id of a qcow2 user image, which is not looked into; NULL otherwise */
	char format[MLIMG_LAYER_NAME_MAX +
		1];               /**< name of the user layer that a blank disk becomes, or "" */
	char instance[33];        /**< of that layer; "" for any */
	const char *name;         /**< NULL: the user layer's */
	const char *runtime_name; /**< of its runtime directory; NULL: its name */
	uint64_t memory_bytes;
	unsigned cpus;
	enum mlimg_accel accel;
	enum mlimg_union union_driver;
	bool convert; /**< the user layer for the union driver */
	enum mlimg_disks disks;
	bool prefers_disks; /**< what disks says holds where there is an index, but asks for none */
	enum mlimg_vm_verity verity;
	/** root hashes of the read-only layers, bottom first, as their keeper has them; NULL: beside the images */
	const char *const *root_hashes;
	/** build ids of the same, as their keeper has them; NULL: whatever the images say */
	const char *const *build_ids;
	const char *index;     /**< NULL: compiled and kept */
	const char *cache_dir; /**< where compiled ones are kept; NULL: the default */
	bool net;
	struct mlimg_vm_forward forwards[MLIMG_VM_FORWARDS_MAX];
	size_t n_forwards;
	const char *kernel, *initrd; /**< NULL: the system layer's */
	const char *append;          /**< NULL: nothing */
	enum mlimg_boot_mode mode;
	const char *identity; /**< word of a user layer that is a copy, or NULL */
	bool resets;          /**< what the user has changed is set aside */
	enum mlimg_vm_console console;
	const char *console_path; /**< NULL: console.log in the runtime directory */
	unsigned boot_timeout_s;
	const char *runtime_dir; /**< NULL: the default */
	const char *boot_dir; /**< where kernel and initrd are put; NULL: the runtime directory */
	bool is_elsewhere;    /**< another host runs it: machine and user disk are its affair */
	bool shuffle;
	uint64_t shuffle_seed;
	bool dry_run, verbose;
	char *const *extra_args; /**< NULL-terminated, for QEMU */
};

/**
 * Read the arguments behind `run`.
 *
 * @param argc  their number, argv[0] included
 * @param argv  argv[0] is "run"
 * @param ret   the options
 * @return      -1 to go on; otherwise the exit code, everything has been printed
 */
int mlimg_vm_options_parse(int argc, char **argv, struct mlimg_vm_options *ret);

#endif
