/* SPDX-License-Identifier: MIT */
/**
 * @file rollout-step.h
 * What is done to a tenant of a rollout (rollout.h): its intent is carried out, whoever runs it
 * (backend.h). Each looks first how far it came before, so that it can be done again after a kill
 * at any moment.
 *
 * A tenant is as healthy as before when nothing fails that did not fail when its checkpoint was
 * taken: checks of its own (/etc/mlimg/health.d in the guest, guest-agent/PROTOCOL.md), units,
 * reaching the default target; and when its user layer has been brought into agreement with the new
 * generation, which a full disk prevents.
 */
#ifndef MLIMG_TOOLS_ROLLOUT_STEP_H
#define MLIMG_TOOLS_ROLLOUT_STEP_H

#include "tools/backend.h"
#include "tools/rollout-run.h"
#include "tools/vm-find.h"

/** Whose intent, and what came of it. Zero it to begin with. */
struct mlimg_rollout_step {
	struct mlimg_rollout rollout;
	struct mlimg_rollout_row row;
	struct mlimg_vm_found found; /**< the tenant */
	int lock;                    /**< its lock, or -1 */
	struct mlimg_rollout_report report;
};

/**
 * Carry an intent out.
 *
 * @param store_dir   the store
 * @param number      the rollout's
 * @param tenant_id   the tenant's
 * @param attempt     the attempt that this is; a later one has been written down: nothing is done
 * @param ret_report  what came of it
 * @param err         what could not even be found out
 * @return            0; -ESTALE: there is a later attempt; other -errno
 */
int mlimg_rollout_step(const char *store_dir, uint32_t number, const char *tenant_id,
	uint32_t attempt, struct mlimg_rollout_report *ret_report,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Which boot of a guest it is. */
struct mlimg_rollout_boot {
	char id[MLIMG_ROLLOUT_BOOT]; /**< "": its agent does not know of such */
	uint64_t uptime_ms;          /**< by a clock of its own; 0: it does not say */
};

/** What who carries a rollout out knows of a tenant on hold. Zero it to begin with. */
struct mlimg_rollout_seen {
	struct mlimg_rollout_boot boot; /**< when it was asked first; of the time, when last */
	bool is_asked, has_rebooted;
};

/**
 * How a tenant on hold is. That a guest restarts itself shows where a process beside it watches its
 * boot; that it has done so while nobody looked shows by the id of its boot, which was noted when
 * it was saved (the memory of that boot, restored, has it still). A guest whose agent tells none is
 * one of libvirt's whose time since its boot has become less.
 *
 * @param store     the store
 * @param row       the tenant
 * @param seen      what is known of it; NULL: whether it has restarted itself is not asked
 * @param ret_look  how it is
 * @param err       names the database
 * @return          0 or -errno
 */
int mlimg_rollout_look_at(struct mlimg_store *store, const struct mlimg_rollout_row *row,
	struct mlimg_rollout_seen *seen, enum mlimg_rollout_look *ret_look,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Say what came of it.
 *
 * @param step    gets it
 * @param result  the result
 * @param text    why not; cut
 */
void mlimg_rollout_say(
	struct mlimg_rollout_step *step, enum mlimg_rollout_result result, const char *text);

/* What intents do; the tenant's lock is held, but for checks. @return 0 when that is said; -errno */

/** Save the disk, and note what is wrong with the tenant already. */
int mlimg_rollout_do_checkpoint(
	struct mlimg_rollout_step *step, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Go back to that checkpoint, and start. */
int mlimg_rollout_do_restore(
	struct mlimg_rollout_step *step, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Wait until it is up, and as healthy as before. */
int mlimg_rollout_do_check(struct mlimg_rollout_step *step, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Make a generation the next one, unless it is the current one. */
int mlimg_rollout_set_next(struct mlimg_rollout_step *step, uint32_t generation,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Stop the tenant, when it is on. @return 0 when it is off; -errno */
int mlimg_rollout_stop(struct mlimg_rollout_step *step, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Start it; not waited for. */
int mlimg_rollout_start(struct mlimg_rollout_step *step, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Ask a guest that is up what is wrong with it.
 *
 * @param tenant     the tenant
 * @param ret_wrong  a line for each thing, "" where nothing is; cut
 */
void mlimg_rollout_ask_health(
	const struct mlimg_tenant *tenant, char ret_wrong[MLIMG_ROLLOUT_BASELINE]);

/** Ask a guest that is up which boot it is in. @return whether it answers */
bool mlimg_rollout_ask_boot(const struct mlimg_tenant *tenant, struct mlimg_rollout_boot *ret_boot);

#endif
