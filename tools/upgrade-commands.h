/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-commands.h
 * The commands of mlimg-upgrade, and their command lines.
 */
#ifndef MLIMG_TOOLS_UPGRADE_COMMANDS_H
#define MLIMG_TOOLS_UPGRADE_COMMANDS_H

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>

#include "tools/rollout-make.h"

#define MLIMG_UPGRADE_PROG "mlimg-upgrade"

/** What can be on a command line. */
struct mlimg_upgrade_given {
	struct mlimg_upgrade_wish wish;
	struct mlimg_rollout rollout; /**< how; with defaults */
	const char *html, *store;
	uint32_t number; /**< operand; 0: none was given */
	bool json, is_partial, follows, has_max_failures;
};

/** A command, its arguments from its name on. @return the exit code */
typedef int mlimg_upgrade_command_fn(int argc, char **argv);

mlimg_upgrade_command_fn mlimg_upgrade_cmd_plan;     /**< `mlimg-upgrade plan` */
mlimg_upgrade_command_fn mlimg_upgrade_cmd_apply;    /**< `mlimg-upgrade apply` */
mlimg_upgrade_command_fn mlimg_upgrade_cmd_resume;   /**< `mlimg-upgrade resume` */
mlimg_upgrade_command_fn mlimg_upgrade_cmd_rollback; /**< `mlimg-upgrade rollback` */
mlimg_upgrade_command_fn mlimg_upgrade_cmd_pause;    /**< `mlimg-upgrade pause` */
mlimg_upgrade_command_fn mlimg_upgrade_cmd_abort;    /**< `mlimg-upgrade abort` */
mlimg_upgrade_command_fn mlimg_upgrade_cmd_forget;   /**< `mlimg-upgrade forget` */
mlimg_upgrade_command_fn mlimg_upgrade_cmd_status;   /**< `mlimg-upgrade status` */
mlimg_upgrade_command_fn mlimg_upgrade_cmd_history;  /**< `mlimg-upgrade history` */

/** Options; a command lists those that it takes. */
enum mlimg_upgrade_option {
	MLIMG_UPGRADE_OPT_SYSTEM = 256,
	MLIMG_UPGRADE_OPT_SOFTWARE,
	MLIMG_UPGRADE_OPT_TENANTS,
	MLIMG_UPGRADE_OPT_CHECKPOINT,
	MLIMG_UPGRADE_OPT_HTML,
	MLIMG_UPGRADE_OPT_JSON,
	MLIMG_UPGRADE_OPT_STORE,
	MLIMG_UPGRADE_OPT_WAVE,
	MLIMG_UPGRADE_OPT_AT_ONCE,
	MLIMG_UPGRADE_OPT_RESTART,
	MLIMG_UPGRADE_OPT_MAX_FAILURES,
	MLIMG_UPGRADE_OPT_HEALTH,
	MLIMG_UPGRADE_OPT_PARTIAL,
	MLIMG_UPGRADE_OPT_FOLLOW,
};

/** Options that all take, at the end of the list. */
#define MLIMG_UPGRADE_COMMON                                         \
	{"store", required_argument, NULL, MLIMG_UPGRADE_OPT_STORE}, \
		{"help", no_argument, NULL, 'h'},                    \
	{                                                            \
		NULL, 0, NULL, 0                                     \
	}
#define MLIMG_UPGRADE_JSON                                        \
	{                                                         \
		"json", no_argument, NULL, MLIMG_UPGRADE_OPT_JSON \
	}
#define MLIMG_UPGRADE_TENANTS                                                 \
	{                                                                     \
		"tenants", required_argument, NULL, MLIMG_UPGRADE_OPT_TENANTS \
	}
#define MLIMG_UPGRADE_MAX_FAILURES                                                      \
	{                                                                               \
		"max-failures", required_argument, NULL, MLIMG_UPGRADE_OPT_MAX_FAILURES \
	}
#define MLIMG_UPGRADE_ROLLING                                                    \
	{"wave", required_argument, NULL, MLIMG_UPGRADE_OPT_WAVE},               \
		{"at-once", required_argument, NULL, MLIMG_UPGRADE_OPT_AT_ONCE}, \
		{"restart", required_argument, NULL, MLIMG_UPGRADE_OPT_RESTART}, \
		{"health", required_argument, NULL, MLIMG_UPGRADE_OPT_HEALTH},   \
		MLIMG_UPGRADE_MAX_FAILURES

/** Help on these. */
#define MLIMG_UPGRADE_ROLLING_HELP                                                         \
	"  --wave LIST      how many tenants are to be done in all before the next ones\n" \
	"                   are begun: numbers and parts (default: 1,10%,100%)\n"          \
	"  --at-once N      tenants at a time, 1 to 256 (default: 4)\n"                    \
	"  --restart WHEN   now; next: when a guest restarts itself; HH:MM-HH:MM: now,\n"  \
	"                   but only in this window, local time (default: now)\n"          \
	"  --health SECONDS how long a guest that is up may take to be as healthy as\n"    \
	"                   before (default: 60)\n" MLIMG_UPGRADE_MAX_FAILURES_HELP
#define MLIMG_UPGRADE_MAX_FAILURES_HELP \
	"  --max-failures N stop when more than N tenants have failed (default: 0)\n"
#define MLIMG_UPGRADE_STORE_HELP                                                 \
	"  --store DIR      the store (default: /var/lib/mlimg for root, else\n" \
	"                   $XDG_STATE_HOME/mlimg or ~/.local/state/mlimg)\n"    \
	"  -h, --help       show this\n"

/**
 * Read a command line.
 *
 * @param argc     as of mlimg_upgrade_command_fn
 * @param argv     as of mlimg_upgrade_command_fn
 * @param help     what --help prints
 * @param options  what the command takes
 * @param operand  whether it takes the number of a rollout
 * @param ret      gets defaults, and what is given
 * @return         -1 to go on; otherwise the exit code, everything has been printed
 */
int mlimg_upgrade_parse(int argc, char **argv, const char *help, const struct option *options,
	bool operand, struct mlimg_upgrade_given *ret);

/** Counts of a rollout's tenants, by place. */
struct mlimg_upgrade_counts {
	uint32_t places[MLIMG_ROLLOUT_PLACES], n_lost, n;
};

/** @return those of these tenants */
struct mlimg_upgrade_counts mlimg_upgrade_counts_of(
	const struct mlimg_rollout_row *rows, uint32_t n);

/** "3 done, 1 returned": places where somebody is, in the order of rollout.h, and lost ones. */
void mlimg_upgrade_put_counts(FILE *f, const struct mlimg_upgrade_counts *counts);

/**
 * A rollout as JSON:
 *
 *     { "rollout": 3, "target": "debian 12.2", "undoes": null | 2,
 *       "state": "running" | "paused" | "stopped" | "aborted" | "done",
 *       "process": null | 4711,          who carries it out now
 *       "waves": "1,10%,100%", "at_once": 4, "restart": "now", "health_s": 60, "max_failures": 0,
 *       "created": 1700000000, "ended": null | 1700000000,
 *       "counts": { "waiting": 0, ..., "skipped": 0, "lost": 0 },
 *       "tenants": [ { "name": "alice", "id": "<32 hex>", "wave": 1, "place": "done",
 *                      "lost": false, "from": 1, "to": 2, "since": 1700000000, "text": "" } ] }
 *
 * @param store    the store
 * @param rollout  which
 * @param ret      json_decref() it
 * @param err      names the database
 * @return         0 or -errno
 */
int mlimg_upgrade_rollout_json(struct mlimg_store *store, const struct mlimg_rollout *rollout,
	json_t **ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
