/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-plan.h
 * What a new system will do to one tenant, foretold on the host: the same planner as in a boot
 * (libmlimg/reconcile-plan.h) is asked with the same three sides, out of images. Nothing is
 * changed, and nothing of a stranger's is mounted or run.
 *
 * What is told are the reports that the boot will write (libmlimg/report.h), byte for byte: of the
 * change, of what the user has queued, which is done before (upgrade-queue.h), and what is set
 * aside since it covers protected paths (upgrade-protect.h). What only the guest can do is counted
 * as such and noted: hooks of the layers may merge what is told here as a conflict. And a change
 * that is taken back is not planned but undone (guest-agent/change.h), so that for it nothing is
 * counted.
 */
#ifndef MLIMG_TOOLS_UPGRADE_PLAN_H
#define MLIMG_TOOLS_UPGRADE_PLAN_H

#include "libmlimg/report.h"
#include "tools/store-checkpoint.h"
#include "tools/upgrade-protect.h"
#include "tools/upgrade-stack.h"
#include "tools/upgrade-user.h"

#define MLIMG_UPGRADE_NOTES_MAX 16 /**< notes of a tenant; those of a boot are as many */

/** What becomes of a tenant. */
enum mlimg_upgrade_outcome {
	MLIMG_UPGRADE_FAILED = 0, /**< it could not be found out: @p err */
	MLIMG_UPGRADE_REFUSED,    /**< it cannot run on that: @p err */
	MLIMG_UPGRADE_CHANGES,    /**< its user layer is brought into agreement */
	MLIMG_UPGRADE_SAME,       /**< it runs on that already */
	MLIMG_UPGRADE_FIRST,      /**< it has never run */
	MLIMG_UPGRADE_BACK,       /**< the boot takes the last change back */
	MLIMG_UPGRADE_OUTCOMES,
};

/** @return "failed", "refused", "changes", "same", "first", "back" */
const char *mlimg_upgrade_outcome_name(enum mlimg_upgrade_outcome outcome);

/** What is asked, and what was found out. Zero what is not set. */
struct mlimg_upgrade_tenant {
	/* What is asked. */
	char name[MLIMG_STORE_NAME_SIZE];
	char id[MLIMG_STORE_ID_SIZE];
	char user_id[MLIMG_SHA256_HEX_SIZE];
	char *disk;                                 /**< owned */
	char away[MLIMG_STORE_NAME_SIZE];           /**< the host that it is on; "": here */
	bool is_torn;                               /**< as of struct mlimg_upgrade_disk */
	char *snapshot;                             /**< of a guest that is on, or NULL; owned */
	char checkpoint[MLIMG_CHECKPOINT_TAG_SIZE]; /**< whose that is */
	int64_t checkpoint_s;                       /**< when it was taken, since 1970 */
	char taken[MLIMG_CHECKPOINT_TAG_SIZE]; /**< one that is taken for the plan alone, or "" */
	enum mlimg_union union_driver;         /**< that it is to run with */
	struct mlimg_upgrade_stack *stack;     /**< NULL: it is refused already */
	char from[MLIMG_TENANT_STACK_TEXT];    /**< stacks, for people */
	char to[MLIMG_TENANT_STACK_TEXT];
	char *way_out; /**< commands after which it can be upgraded, a line each, or NULL; owned */
	/* What was found out. */
	enum mlimg_upgrade_outcome outcome;
	struct mlimg_err err;
	bool is_snapshot; /**< it is what the snapshot holds */
	uint64_t counts[MLIMG_N_VERDICTS], done[MLIMG_N_DONE], moved, hidden;
	uint64_t n_unmerged;               /**< notes of databases that are not merged */
	uint64_t n_broken;                 /**< notes of packages that no longer fit */
	uint64_t n_accounts;               /**< notes of accounts that were moved or kept */
	uint64_t needed_bytes, free_bytes; /**< in its file system, about; before the change */
	char notes[MLIMG_UPGRADE_NOTES_MAX][MLIMG_ERR_TEXT_SIZE];
	size_t n_notes;
	char *report; /**< as reports/N.json will be, or NULL; owned */
	size_t report_size;
	char *queue_report; /**< as reports/queue-N.json will be, or NULL: nothing waits; owned */
	size_t queue_report_size;
	struct mlimg_upgrade_covered covered; /**< what covers protected paths then */
	bool has_begun_queue;                 /**< and what was queued before is done in part */
	uint64_t n_hooks; /**< told as conflict that a hook is asked to merge in the boot */
};

/**
 * Find out. Of one whose disk is on another host: mlimg_upgrade_plan_away().
 *
 * @param t      what is asked; gets what was found out
 * @param bases  of all tenants
 */
void mlimg_upgrade_plan(struct mlimg_upgrade_tenant *t, struct mlimg_upgrade_bases *bases);

/**
 * That it could not be found out after all.
 *
 * @param t    loses what was found out, but for whether it is of a snapshot
 * @param why  copied
 */
void mlimg_upgrade_plan_fails(struct mlimg_upgrade_tenant *t, const struct mlimg_err *why);

/** Say that nothing can be found out of a tenant as long as its guest runs. @return -errno */
int mlimg_upgrade_say_runs(
	const struct mlimg_upgrade_tenant *t, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns. */
void mlimg_upgrade_tenant_done(struct mlimg_upgrade_tenant *t);

#endif
