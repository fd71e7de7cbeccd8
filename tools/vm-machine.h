/* SPDX-License-Identifier: MIT */
/**
 * @file vm-machine.h
 * What people write of a guest's machine, as values, and the values as text again: for the command
 * line of every command that takes them, and for what is kept of a tenant. Messages do not name the
 * option.
 */
#ifndef MLIMG_VM_MACHINE_H
#define MLIMG_VM_MACHINE_H

#include "libmlimg/err.h"
#include "tools/vm-cmd.h"

#define MLIMG_VM_MEMORY (1ull << 30)      /**< default */
#define MLIMG_VM_BOOT_TIMEOUT_S 300       /**< default */
#define MLIMG_VM_BOOT_TIMEOUT_S_MAX 86400 /**< a day: who forgot a guest will have noticed */
#define MLIMG_VM_FORWARD_TEXT 32          /**< bytes of a forward's text, NUL included */

/**
 * An amount of memory: a size (mlimg_cli_size()), whole MiB, from 64M (less boots no kernel) to 4T.
 *
 * @param text       what the user gave
 * @param ret_bytes  the memory
 * @param err        of kind MLIMG_ERR_USAGE
 * @return           0, -EINVAL
 */
int mlimg_vm_memory_of(
	const char *text, uint64_t *ret_bytes, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * A number of virtual CPUs, from 1 to 255: those of a q35 without x2APIC. Parameters as of
 * mlimg_vm_memory_of().
 */
int mlimg_vm_cpus_of(const char *text, unsigned *ret_cpus, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** How long a boot may last. Parameters as of mlimg_vm_memory_of(). */
int mlimg_vm_boot_timeout_of(
	const char *text, unsigned *ret_seconds, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * A forwarded port: [ADDRESS:]HOSTPORT:GUESTPORT, where the address is IPv4 and 127.0.0.1 when
 * nobody says.
 *
 * @param text         what the user gave
 * @param ret_forward  the port
 * @param err          of kind MLIMG_ERR_USAGE
 * @return             0, -EINVAL
 */
int mlimg_vm_forward_of(const char *text, struct mlimg_vm_forward *ret_forward,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** ADDRESS:HOSTPORT:GUESTPORT. @return @p ret_text */
const char *mlimg_vm_forward_text(
	const struct mlimg_vm_forward *forward, char ret_text[MLIMG_VM_FORWARD_TEXT]);

#endif
