/* SPDX-License-Identifier: MIT */
/**
 * @file rollout-world.h
 * The world of a rollout (rollout-run.h) as it is: each intent is a process of its own, this
 * program again (`step`), which reports on a pipe. So nothing that one of them waits for keeps the
 * others waiting, and one that is killed takes nobody with it; what it was about is tried again.
 * They are in sessions of their own: whoever carries the rollout out can be interrupted without
 * them. When he is killed they come to their end.
 */
#ifndef MLIMG_TOOLS_ROLLOUT_WORLD_H
#define MLIMG_TOOLS_ROLLOUT_WORLD_H

#include <sys/types.h>

#include "tools/rollout-run.h"
#include "tools/rollout-step.h"

/** Processes. Initialise with mlimg_rollout_world_init(). */
struct mlimg_rollout_processes {
	struct mlimg_store *store; /**< not owned */
	char *dir;                 /**< the store's, absolute */
	struct mlimg_rollout_process {
		pid_t pid; /**< 0: none */
		int fd;
		uint32_t position;
	} processes[MLIMG_ROLLOUT_AT_ONCE_MAX];
	struct mlimg_rollout_seen *seen; /**< of tenants on hold, by position; owned */
	size_t seen_room;
};

/**
 * Begin.
 *
 * @param store      the store
 * @param ret        mlimg_rollout_world_done() when done
 * @param ret_world  points to @p ret; tell is not set
 * @param err        names the store
 * @return           0 or -errno
 */
int mlimg_rollout_world_init(struct mlimg_store *store, struct mlimg_rollout_processes *ret,
	struct mlimg_rollout_world *ret_world, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Let go of what still runs; it goes on. Accepts a zeroed one. */
void mlimg_rollout_world_done(struct mlimg_rollout_processes *processes);

/** SIGINT and SIGTERM pause a rollout from now on; the second one ends this process. */
void mlimg_rollout_catch_signals(void);

/** `step` of such a process: STORE ROLLOUT TENANT ATTEMPT; the report goes to descriptor 3. */
int mlimg_upgrade_cmd_step(int argc, char **argv);

#endif
