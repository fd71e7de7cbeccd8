/* SPDX-License-Identifier: MIT */
/**
 * @file vm-life.h
 * What the commands that start, stop and watch guests have in common.
 */
#ifndef MLIMG_VM_LIFE_H
#define MLIMG_VM_LIFE_H

#include <getopt.h>

#include "tools/backend.h"
#include "tools/vm-commands.h"
#include "tools/vm-find.h"

/** What is on the command line. */
struct mlimg_vm_life {
	struct mlimg_vm_wanted wanted;
	uint64_t timeout_ms; /**< set before: the default */
	bool is_json, no_wait, follows, wants_qemu, is_all, is_autostart;
};

/** Options; a command lists those that it takes. */
#define MLIMG_LIFE_STORE                              \
	{                                             \
		"store", required_argument, NULL, 's' \
	}
#define MLIMG_LIFE_HELP                        \
	{                                      \
		"help", no_argument, NULL, 'h' \
	}
#define MLIMG_LIFE_TIMEOUT                              \
	{                                               \
		"timeout", required_argument, NULL, 't' \
	}
#define MLIMG_LIFE_RUNTIME_DIR                              \
	{                                                   \
		"runtime-dir", required_argument, NULL, 'r' \
	}
#define MLIMG_LIFE_JSON                        \
	{                                      \
		"json", no_argument, NULL, 'j' \
	}
#define MLIMG_LIFE_NO_WAIT                        \
	{                                         \
		"no-wait", no_argument, NULL, 'n' \
	}
#define MLIMG_LIFE_FOLLOW                        \
	{                                        \
		"follow", no_argument, NULL, 'f' \
	}
#define MLIMG_LIFE_QEMU                        \
	{                                      \
		"qemu", no_argument, NULL, 'q' \
	}

#define MLIMG_LIFE_AUTOSTART                        \
	{                                           \
		"autostart", no_argument, NULL, 'A' \
	}
#define MLIMG_LIFE_ALL                        \
	{                                     \
		"all", no_argument, NULL, 'a' \
	}

/** Help on --store and --help. */
#define MLIMG_LIFE_STORE_HELP                                                      \
	"  --store DIR        the store (default: /var/lib/mlimg for root, else\n" \
	"                     $XDG_STATE_HOME/mlimg or ~/.local/state/mlimg)\n"    \
	"  --help             show this\n"

/** Help on --runtime-dir. */
#define MLIMG_LIFE_RUNTIME_HELP                                                    \
	"  --runtime-dir DIR  only a guest of 'mlimg-vm run' whose directory is\n" \
	"                     there (default: a tenant, else such a guest)\n"

/**
 * Read a command line with one name.
 *
 * @param argc     as of mlimg_vm_command_fn
 * @param argv     as of mlimg_vm_command_fn
 * @param help     what --help prints
 * @param shorts   options of one letter
 * @param options  what the command takes
 * @param ret      defaults; filled in
 * @return         -1 to go on; otherwise the exit code, everything has been printed
 */
int mlimg_vm_life_parse(int argc, char **argv, const char *help, const char *shorts,
	const struct option *options, struct mlimg_vm_life *ret);

/** Print "NAME: " and a text, which may be a guest's, as a line on stdout. */
void mlimg_vm_life_say(const char *name, const char *text);

/**
 * Start a tenant that is taken, and wait until it is up.
 *
 * @param found    the tenant; its lock is held
 * @param lock     let go of, and -1, as soon as QEMU runs: a boot may last, and can be stopped meanwhile
 * @param no_wait  return then
 * @param err      it is on already; it did not come up, and how far it came
 * @return         0 or -errno
 */
int mlimg_vm_life_start(struct mlimg_vm_found *found, int *lock, bool no_wait,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Stop a tenant that is taken: by its agent, then by the power button, then by force. What it took is printed.
 *
 * @param found       the tenant; its lock is held
 * @param timeout_ms  how long it may take to power off: half of it when its agent was asked, all of it in all
 * @param err         it had to be ended, or does not end
 * @return            0 when it has powered off, or was off; -errno
 */
int mlimg_vm_life_stop(
	struct mlimg_vm_found *found, uint64_t timeout_ms, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
