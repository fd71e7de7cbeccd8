/* SPDX-License-Identifier: MIT */
/**
 * @file vm-all.h
 * A command on many of the tenants that QEMU runs on this machine: a process for each, so that one
 * that hangs keeps no other on.
 */
#ifndef MLIMG_VM_ALL_H
#define MLIMG_VM_ALL_H

#include "tools/backend.h"

#define MLIMG_VM_ALL_OPTIONS_MAX 4 /**< options that are handed on */

/** What is done, and to whom. */
struct mlimg_vm_all {
	const char *command;                           /**< "stop" */
	const char *options[MLIMG_VM_ALL_OPTIONS_MAX]; /**< besides --store; as many as there are */
	unsigned at_once;                              /**< processes at a time; 0: any number */
	/** @return whether the tenant is one of them */
	bool (*is_meant)(const struct mlimg_tenant *tenant, enum mlimg_guest_state state);
};

/**
 * Do it; what went wrong has been printed then.
 *
 * @param dir  the store's directory, or NULL, as of mlimg_store_open_given()
 * @param all  what and to whom
 * @return     the exit code: of failure where one failed
 */
int mlimg_vm_all(const char *dir, const struct mlimg_vm_all *all);

#endif
