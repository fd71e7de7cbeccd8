/* SPDX-License-Identifier: MIT */
/**
 * @file tenant-options.h
 * What `mlimg-vm create` and `set` have in common on the command line: how a tenant's machine is
 * made, and which layers it runs on.
 */
#ifndef MLIMG_TOOLS_TENANT_OPTIONS_H
#define MLIMG_TOOLS_TENANT_OPTIONS_H

#include <getopt.h>

#include "tools/tenant-stack.h"
#include "tools/vm-commands.h"

/** Values of the common options; a command's own begin at MLIMG_TENANT_OPT_OWN. */
enum mlimg_tenant_option {
	MLIMG_TENANT_OPT_MEMORY = 256,
	MLIMG_TENANT_OPT_CPUS,
	MLIMG_TENANT_OPT_ACCEL,
	MLIMG_TENANT_OPT_UNION,
	MLIMG_TENANT_OPT_DISKS,
	MLIMG_TENANT_OPT_VERITY,
	MLIMG_TENANT_OPT_NET,
	MLIMG_TENANT_OPT_FORWARD,
	MLIMG_TENANT_OPT_APPEND,
	MLIMG_TENANT_OPT_BOOT_TIMEOUT,
	MLIMG_TENANT_OPT_AUTOSTART,
	MLIMG_TENANT_OPT_SYSTEM,
	MLIMG_TENANT_OPT_PATCH,
	MLIMG_TENANT_OPT_SOFTWARE,
	MLIMG_TENANT_OPT_STORE,
	MLIMG_TENANT_OPT_OWN,
};

/** Rows of a table for getopt_long(3): all of them. */
#define MLIMG_TENANT_OPTIONS                                                              \
	{"memory", required_argument, NULL, MLIMG_TENANT_OPT_MEMORY},                     \
		{"cpus", required_argument, NULL, MLIMG_TENANT_OPT_CPUS},                 \
		{"accel", required_argument, NULL, MLIMG_TENANT_OPT_ACCEL},               \
		{"union", required_argument, NULL, MLIMG_TENANT_OPT_UNION},               \
		{"disks", required_argument, NULL, MLIMG_TENANT_OPT_DISKS},               \
		{"verity", required_argument, NULL, MLIMG_TENANT_OPT_VERITY},             \
		{"net", required_argument, NULL, MLIMG_TENANT_OPT_NET},                   \
		{"forward", required_argument, NULL, MLIMG_TENANT_OPT_FORWARD},           \
		{"append", required_argument, NULL, MLIMG_TENANT_OPT_APPEND},             \
		{"boot-timeout", required_argument, NULL, MLIMG_TENANT_OPT_BOOT_TIMEOUT}, \
		{"autostart", required_argument, NULL, MLIMG_TENANT_OPT_AUTOSTART},       \
		{"system", required_argument, NULL, MLIMG_TENANT_OPT_SYSTEM},             \
		{"patch", required_argument, NULL, MLIMG_TENANT_OPT_PATCH},               \
		{"software", required_argument, NULL, MLIMG_TENANT_OPT_SOFTWARE},         \
	{                                                                                 \
		"store", required_argument, NULL, MLIMG_TENANT_OPT_STORE                  \
	}

/** Help on the machine's options, for both commands. */
#define MLIMG_TENANT_MACHINE_HELP                                                            \
	"  --memory SIZE           memory (default: 1G)\n"                                   \
	"  --cpus N                virtual CPUs (default: 1)\n"                              \
	"  --accel WHICH           auto, kvm or tcg (default: auto: KVM where it can\n"      \
	"                          really run a guest, else emulation)\n"                    \
	"  --union DRIVER          auto, index, overlay or unionfs: how the layers become\n" \
	"                          one tree (default: auto)\n"                               \
	"  --disks HOW             with an index: separate, or joined (index and layers\n"   \
	"                          are one disk; its memory cannot be saved then)\n"         \
	"                          (default: separate)\n"                                    \
	"  --verity HOW            what vouches for the layers: off, hash or require\n"      \
	"                          (default: off)\n"                                         \
	"  --net WHICH             user (NAT) or none (default: user)\n"                     \
	"  --forward [ADDRESS:]HOSTPORT:GUESTPORT\n"                                         \
	"                          forward a TCP port, may be repeated (default address:\n"  \
	"                          127.0.0.1)\n"                                             \
	"  --append STRING         add to the kernel's command line\n"                       \
	"  --boot-timeout SECONDS  how long a boot may last (default: 300)\n"                \
	"  --autostart WHICH       yes: it is started when its host is (default: no)\n"

/** Help on what all commands on tenants take. */
#define MLIMG_TENANT_STORE_HELP                                                         \
	"  --store DIR             the store (default: /var/lib/mlimg for root, else\n" \
	"                          $XDG_STATE_HOME/mlimg or ~/.local/state/mlimg)\n"    \
	"  --help                  show this\n"

/** What is on the command line. Initialise with mlimg_tenant_given_init(). */
struct mlimg_tenant_given {
	const char *store;
	struct mlimg_stack_wish wish;
	struct mlimg_tenant_settings settings; /**< append points into argv */
	unsigned options;                      /**< bits of settings: 1 << (option - OPT_MEMORY) */
};

/** The defaults, and nothing given. */
void mlimg_tenant_given_init(struct mlimg_tenant_given *ret_given);

/**
 * Take one of the common options.
 *
 * @param given   where to
 * @param option  its value
 * @param text    its argument, which must live as long as @p given
 * @param err     of kind MLIMG_ERR_USAGE
 * @return        0, -EINVAL
 */
int mlimg_tenant_given_take(struct mlimg_tenant_given *given, int option, const char *text,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Add a text to one of a wish's lists.
 *
 * @param option  the option's name, for messages
 * @param text    the text; not copied
 * @param list    the list
 * @param n       what is in it
 * @param max     what fits into it
 * @param err     of kind MLIMG_ERR_USAGE
 * @return        0, -EINVAL
 */
int mlimg_tenant_given_add(const char *option, const char *text, const char **list, size_t *n,
	size_t max, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Settings with what was given in them.
 *
 * @param given     the command line
 * @param settings  changed; owns its append afterwards as before
 * @return          0, -ENOMEM
 */
int mlimg_tenant_given_apply(const struct mlimg_tenant_given *given,
	struct mlimg_tenant_settings *settings, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take what is left of a command line.
 *
 * @param argc   as of mlimg_vm_command_fn
 * @param argv   as of mlimg_vm_command_fn, behind getopt_long(3)
 * @param names  what each operand is: "the name of a tenant"
 * @param n      their number
 * @return       0; an exit code, then the mistake has been reported
 */
int mlimg_tenant_operands(int argc, char **argv, const char *const *names, int n);

/**
 * Read the command line of a command that takes --store and --help, and perhaps --json, and no
 * other options.
 *
 * @param argc      as of mlimg_vm_command_fn
 * @param argv      as of mlimg_vm_command_fn; its operands are at argv[optind]
 * @param help      what --help prints
 * @param names     of the operands, as of mlimg_tenant_operands()
 * @param n         their number
 * @param ret_dir   the store's directory; NULL where none was given
 * @param ret_json  whether --json was given; NULL: the command does not take it
 * @return          -1 to go on; otherwise the exit code, everything has been printed
 */
int mlimg_tenant_parse(int argc, char **argv, const char *help, const char *const *names, int n,
	const char **ret_dir, bool *ret_json);

#endif
