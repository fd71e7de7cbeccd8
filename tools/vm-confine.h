/* SPDX-License-Identifier: MIT */
/**
 * @file vm-confine.h
 * QEMU as a user of its own, where root runs it. What a guest breaks out of is then a process that may
 * open no file of the host but those that everybody may, and not even these of other guests: it is given
 * open what it needs (disks, kernel, initramfs, its sockets), so that the store's files stay root's alone,
 * and it can neither become anybody else nor start a program (QEMU's -sandbox).
 *
 * The user is $MLIMG_QEMU_USER, else `mlimg-qemu` where there is one (mlimg.sysusers makes it), else QEMU
 * stays root. `root` in $MLIMG_QEMU_USER means so too. Whoever is not root cannot be anybody else.
 *
 * With joined disks QEMU opens the layers by the names that stand in their descriptor (vmdk.h), and runs
 * as root.
 */
#ifndef MLIMG_VM_CONFINE_H
#define MLIMG_VM_CONFINE_H

#include <sys/types.h>

#include "tools/vm-cmd.h"

#define MLIMG_QEMU_USER "mlimg-qemu"
#define MLIMG_CONFINE_GROUPS_MAX 32 /**< groups of the user, and one more */
#define MLIMG_CONFINE_FDS_MAX (MLIMG_VM_DISKS_MAX + 1 + 2 + MLIMG_VM_SOCKETS)

/** Who runs it, with what. Initialise with MLIMG_CONFINE_INIT. */
struct mlimg_confine {
	bool is_on;
	uid_t uid;
	gid_t groups[MLIMG_CONFINE_GROUPS_MAX]; /**< the first is its own; with kvm's */
	int n_groups;
	bool binds_low; /**< a port below 1024 is forwarded: it keeps the right to bind it */
	int fds[MLIMG_CONFINE_FDS_MAX]; /**< closed when a program is executed, but for QEMU */
	size_t n_fds;
};

#define MLIMG_CONFINE_INIT \
	{                  \
		.uid = 0   \
	}

/**
 * Choose whom QEMU runs as.
 *
 * @param ret  is_on, and who, or as it was
 * @param err  there is no user of that name
 * @return     0 or -errno
 */
int mlimg_confine_choose(struct mlimg_confine *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Open what a guest needs. Nothing is done where it is not on.
 *
 * @param confine  mlimg_confine_close() as soon as QEMU has been started
 * @param spec     whole; on return it names descriptors. The files stay what they are, but that kernel and
 *                 initramfs in the runtime directory are made readable to everybody who gets there
 * @param err      names the file
 * @return         0 or -errno
 */
int mlimg_confine_open(struct mlimg_confine *confine, struct mlimg_vm_spec *spec,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close all; QEMU has its own. A socket that only QEMU has open ends with it. */
void mlimg_confine_close(struct mlimg_confine *confine);

/** Become that user, with the descriptors; between fork(2) and execve(2). @return 0 or -errno */
int mlimg_confine_enter(const struct mlimg_confine *confine) MLIMG_MUST_CHECK;

#endif
