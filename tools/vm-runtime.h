/* SPDX-License-Identifier: MIT */
/**
 * @file vm-runtime.h
 * The directory of a running guest: its sockets, kernel and console log, and the lock that makes
 * its name its own.
 *
 *     BASE/NAME/   0700   lock          held with flock(2) as long as the guest is run; holds the process id
 *                         qmp.sock      QEMU's monitor, used by `mlimg-vm run`
 *                         monitor.sock  a second one, for `mlimg-vm stop` and everybody else
 *                         agent.sock    the agent's port
 *                         console.sock  the serial console, read by `mlimg-vm run`
 *                         console.log   what it printed; stays after the end
 *                         qemu.log      what QEMU printed; stays after the end
 *                         kernel, initrd   as long as QEMU reads them
 *                         disk.vmdk     index and read-only layers as one disk (vmdk.h)
 *
 * Of a tenant (tenant.h), whose NAME is its id, besides:
 *
 *                         terminal.sock the serial console for everybody, passed on by the supervisor
 *                         state         what the guest does (struct mlimg_runtime_state); stays
 *
 * QEMU holds the lock too: where its supervisor was killed, the name is free when both have ended.
 */
#ifndef MLIMG_VM_RUNTIME_H
#define MLIMG_VM_RUNTIME_H

#include <stdbool.h>
#include <sys/types.h>

#include "libmlimg/err.h"
#include "tools/guest-state.h"

/**
 * Where the guest's directory is; nothing is looked up or created.
 *
 * @param base     directory for all guests, or NULL for the default: /run/mlimg-vm for root, else
 *                 $XDG_RUNTIME_DIR/mlimg-vm, else /tmp/mlimg-vm-UID
 * @param name     the guest
 * @param ret_dir  free() it
 * @param err      of kind MLIMG_ERR_USAGE when the name is none, or the path too long for a
 *                 socket's (unix(7): 107 bytes)
 * @return         0, -EINVAL, -ENOMEM
 */
int mlimg_runtime_dir(
	const char *base, const char *name, char **ret_dir, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Create a directory (0700) unless it is there. One that is there must be ours alone: in /tmp
 * anybody might have made it.
 *
 * @param path  the directory; the one above it must be there
 * @param err   names it
 * @return      0; -EPERM when it is, or can be written by, somebody else; other -errno
 */
int mlimg_runtime_make_dir(const char *path, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Create the directory and take its lock.
 *
 * @param dir       from mlimg_runtime_dir()
 * @param ret_lock  close() it to let go
 * @param err       when the guest runs already: names the process; -EPERM: the directory is another
 *                  user's
 * @return          0 or -errno
 */
int mlimg_runtime_lock(const char *dir, int *ret_lock, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The process that runs the guest. Only looks: a guest that is started at the same time does not
 * fail.
 *
 * @param dir  from mlimg_runtime_dir()
 * @return     its id; 0 when the guest is not running; -EBUSY: whoever has taken the lock does not say
 *             who he is, within a second; other -errno
 */
pid_t mlimg_runtime_owner(const char *dir);

/** The path of a file in @p dir. @return free() it; NULL when there is no memory */
char *mlimg_runtime_file(const char *dir, const char *file);

/** What is in the file `state`. */
struct mlimg_runtime_state {
	pid_t supervisor; /**< who wrote it: of another process it tells nothing */
	pid_t qemu;       /**< as long as that one runs */
	enum mlimg_guest_state state;
	bool hears; /**< a power button: its root is there */
	char why[MLIMG_GUEST_WHY_SIZE];
};

/** Write the file `state`, whole or not at all. @return 0 or -errno */
int mlimg_runtime_state_put(const char *dir, const struct mlimg_runtime_state *state,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read the file `state`. @return whether there is one that makes sense */
bool mlimg_runtime_state_get(const char *dir, struct mlimg_runtime_state *ret_state);

/** Remove a guest's directory, whose guest does not run; what is foreign stays. */
void mlimg_runtime_remove(const char *dir);

/** Remove sockets, kernel, initrd and disk.vmdk of a guest that does not run; the logs stay. */
void mlimg_runtime_clean(const char *dir);

#endif
