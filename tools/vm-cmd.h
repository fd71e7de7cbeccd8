/* SPDX-License-Identifier: MIT */
/**
 * @file vm-cmd.h
 * From what is to be run to QEMU's command line. Nothing is opened, started or looked up here: the
 * same description gives the same command, so that `--dry-run` shows what would be run.
 */
#ifndef MLIMG_VM_CMD_H
#define MLIMG_VM_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "libmlimg/boot.h"
#include "libmlimg/layer.h"
#include "libmlimg/stack.h"
#include "tools/vm-accel.h"

#define MLIMG_VM_DISKS_MAX \
	(MLIMG_STACK_LAYERS_MAX + 1) /**< read-only layers and the user; the index is one more */
#define MLIMG_VM_FORWARDS_MAX 64     /**< forwarded ports of one guest */

/** What differs from one kind of machine to another. */
struct mlimg_vm_arch {
	const char *name;       /**< as uname(1) says it */
	const char *qemu;       /**< QEMU's program */
	const char *machine;    /**< -machine */
	const char *console;    /**< the serial console's name in the kernel */
	const char *cpu_tcg;    /**< -cpu under emulation */
	const char *append_tcg; /**< kernel parameters under emulation, a blank in front of each */
	size_t cmdline_size;    /**< bytes of the kernel's command line, NUL included */
};

/** @return the architecture called @p name, or NULL */
const struct mlimg_vm_arch *mlimg_vm_arch_of(const char *name);

/** A disk of the guest. */
struct mlimg_vm_disk {
	const char *path;
	bool is_qcow2;
	/** the index only: a descriptor (vmdk.h) of one disk with all read-only layers */
	bool is_vmdk;
	bool is_block_device; /**< of the host, for which QEMU has a driver of its own */
	const char *id;       /**< build id, or at least its first MLIMG_SHORT_ID digits */
	int fd;               /**< QEMU gets it open as this descriptor; 0: it opens the path */
};

/** A port of the host that leads to one of the guest. */
struct mlimg_vm_forward {
	char address[16];     /**< host's IPv4 address to listen on */
	uint16_t host, guest; /**< TCP ports */
};

/** Where the guest's serial console goes. */
enum mlimg_vm_console {
	MLIMG_CONSOLE_SOCKET, /**< DIR/console.sock, which mlimg-vm reads and writes to a file */
	MLIMG_CONSOLE_STDIO,  /**< the terminal */
	MLIMG_CONSOLE_NONE,   /**< nowhere */
};

/** QEMU's sockets in the runtime directory. */
enum {
	MLIMG_VM_QMP_SOCKET,     /**< the monitor of who runs the guest */
	MLIMG_VM_MONITOR_SOCKET, /**< and everybody's */
	MLIMG_VM_CONSOLE_SOCKET,
	MLIMG_VM_AGENT_SOCKET,
	MLIMG_VM_SOCKETS,
};

/** @return "qmp", "monitor", "console", "agent": with ".sock" behind, the file's name */
const char *mlimg_vm_socket_name(int socket);

/** Everything that is to be run. Strings are not owned. */
struct mlimg_vm_spec {
	const struct mlimg_vm_arch *arch;
	enum mlimg_accel accel; /**< KVM or TCG */
	bool sandbox;           /**< QEMU has its seccomp sandbox built in */
	const char *name;
	uint64_t memory_bytes; /**< whole mebibytes */
	unsigned cpus;
	const char *kernel, *initrd;
	const char *append;        /**< added to the kernel's command line, or NULL */
	enum mlimg_boot_mode mode; /**< MLIMG_BOOT_READONLY attaches the user disk read-only, too */
	const char *identity;      /**< value of mlimg.identity, or NULL */
	char reset[MLIMG_BOOT_RESET_MAX + 1]; /**< word of a factory reset, or "" */
	const struct mlimg_layer_info
		*new_user; /**< what the user's disk becomes where it is blank, or NULL */
	struct mlimg_vm_disk
		disks[MLIMG_VM_DISKS_MAX]; /**< system, patches, software, user; bottom first */
	size_t n_disks;                    /**< at least 2 */
	size_t n_patches;                  /**< of them */
	struct mlimg_vm_disk
		index;         /**< the compiled stack, its id the stack's; no path: without one */
	bool is_unionfs;       /**< union driver unionfs */
	const char *verity;    /**< value of mlimg.verity, or NULL */
	bool convert;          /**< the user layer for the union driver, mlimg.convert */
	bool shuffle;          /**< attach the disks in another order */
	uint64_t shuffle_seed; /**< which order */
	bool net;              /**< a network card behind QEMU's user-mode NAT */
	struct mlimg_vm_forward forwards[MLIMG_VM_FORWARDS_MAX];
	size_t n_forwards;
	enum mlimg_vm_console console;
	const char *dir;          /**< runtime directory: sockets */
	int kernel_fd, initrd_fd; /**< QEMU gets them open as these; 0: it opens the paths */
	int socket_fds[MLIMG_VM_SOCKETS]; /**< QEMU gets them listening; 0: it makes them */
	char *const *extra_args; /**< NULL-terminated arguments for QEMU at the end, or NULL */
};

/** An argument vector that grows. Zero it to begin with. */
struct mlimg_args {
	char **v; /**< NULL-terminated once something is in it */
	size_t n, size;
	bool failed; /**< memory ran out */
};

/** Free the vector and its strings; accepts a zeroed one. */
void mlimg_args_done(struct mlimg_args *args);

/**
 * The kernel's command line.
 *
 * @param spec      the guest
 * @param ret_line  free() it
 * @param err       of kind MLIMG_ERR_USAGE when it is longer than the architecture's kernel reads:
 * x86 cuts silently at 2047 bytes, and a cut list of layers would be a missing disk
 * @return          0, -EINVAL, -ENOMEM
 */
int mlimg_vm_kernel_cmdline(
	const struct mlimg_vm_spec *spec, char **ret_line, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The command that runs the guest.
 *
 * @param spec      the guest
 * @param ret_args  zeroed; mlimg_args_done() when done
 * @return          0, -EINVAL, -ENOMEM
 */
int mlimg_vm_command(const struct mlimg_vm_spec *spec, struct mlimg_args *ret_args,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Print a command so that a shell runs it: one option with its argument on a line, quoted where
 * necessary.
 *
 * @param f     where to
 * @param args  the command
 */
void mlimg_args_print(FILE *f, const struct mlimg_args *args);

#endif
