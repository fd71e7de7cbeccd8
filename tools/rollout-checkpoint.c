/* SPDX-License-Identifier: MIT */
/* The checkpoint of a tenant of a rollout, and going back to it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/checkpoint-impl.h"
#include "tools/reclaim.h"
#include "tools/rollout-step.h"
#include "tools/store-impl.h"
#include "tools/vm-checkpoint.h"

static void tag_of(uint32_t number, char ret_tag[MLIMG_CHECKPOINT_TAG_SIZE])
{
	snprintf(ret_tag, MLIMG_CHECKPOINT_TAG_SIZE, MLIMG_ROLLOUT_TAG "%u", number);
}

/* Settled, as whoever takes the lock does. */
static int checkpoints(
	struct mlimg_rollout_step *step, struct mlimg_checkpoints *ret_of, struct mlimg_err *err)
{
	int ret = mlimg_checkpoints_of(step->found.store, &step->found.tenant, ret_of, err);

	if (ret == 0)
		ret = mlimg_checkpoints_check_disk(&step->found.tenant, err);
	if (ret == 0)
		ret = mlimg_reclaim_look(step->found.store, &step->found.tenant, err);
	return ret < 0 ? ret : mlimg_checkpoint_settle(ret_of, err);
}

/* What rollouts have saved of the tenant. */
struct saved {
	const struct mlimg_checkpoints *of;
	char own[MLIMG_CHECKPOINT_TAG_SIZE];
	bool is_own;
};

/* Whose it is says its origin: neither a tag nor a time tells that, for users choose tags and clocks jump. */
static int remove_one(const struct mlimg_checkpoint *checkpoint, void *ctx, struct mlimg_err *err)
{
	const struct saved *saved = ctx;

	if (checkpoint->origin != MLIMG_CHECKPOINT_UPGRADE ||
		(strcmp(checkpoint->tag, saved->own) == 0) != saved->is_own)
		return 0;
	return mlimg_checkpoint_delete(saved->of, checkpoint->tag, err);
}

/* Of this rollout, or of the others. */
static int remove_saved(const struct mlimg_rollout_step *step, const struct mlimg_checkpoints *of,
	bool is_own, struct mlimg_err *err)
{
	struct saved saved = {.of = of, .is_own = is_own};

	tag_of(step->rollout.number, saved.own);
	return mlimg_store_checkpoint_each(of->store, step->row.tenant_id, remove_one, &saved, err);
}

static int save(struct mlimg_rollout_step *step, struct mlimg_err *err)
{
	struct mlimg_checkpoint checkpoint;
	struct mlimg_checkpoints of;
	char tag[MLIMG_CHECKPOINT_TAG_SIZE];
	int ret = checkpoints(step, &of, err);

	if (ret == 0)
		ret = remove_saved(step, &of, true, err);
	if (ret < 0)
		return ret;
	tag_of(step->rollout.number, tag);
	ret = mlimg_checkpoint_take_for_upgrade(&of, tag, &checkpoint, err);
	return ret < 0 ? ret : remove_saved(step, &of, false, err);
}

int mlimg_rollout_do_checkpoint(struct mlimg_rollout_step *step, struct mlimg_err *err)
{
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	struct mlimg_rollout_boot boot;
	char why[MLIMG_GUEST_WHY_SIZE];
	int ret = mlimg_backend_look(step->found.store, &step->found.tenant, &state, why, err);

	if (ret < 0)
		return ret;
	if (state == MLIMG_GUEST_STARTING || state == MLIMG_GUEST_SILENT ||
		state == MLIMG_GUEST_STOPPING) {
		mlimg_rollout_say(step, MLIMG_ROLLOUT_UNREACHABLE,
			state == MLIMG_GUEST_STOPPING ? "it does not end" : "it does not come up");
		return 0;
	}
	if (state == MLIMG_GUEST_PAUSED)
		return mlimg_err_set(err, 0, "its processors stand still");
	if (state == MLIMG_GUEST_UP)
		mlimg_rollout_ask_health(&step->found.tenant, step->report.baseline);
	if (state == MLIMG_GUEST_UP && step->rollout.policy == MLIMG_ROLLOUT_NEXT &&
		mlimg_rollout_ask_boot(&step->found.tenant, &boot))
		strcpy(step->report.boot, boot.id);
	return save(step, err);
}

/* Somebody may have deleted it, and taken one of that name. */
static int check_own(const struct mlimg_checkpoints *of, const char *tag, struct mlimg_err *err)
{
	struct mlimg_checkpoint checkpoint;
	int ret = mlimg_checkpoint_find(of, tag, &checkpoint, err);

	if (ret == 0 && checkpoint.origin != MLIMG_CHECKPOINT_UPGRADE)
		return mlimg_store_fail(err, ENOENT, "checkpoint '%s' of '%s' is not the rollout's",
			tag, of->tenant->row.name);
	return ret;
}

int mlimg_rollout_do_restore(struct mlimg_rollout_step *step, struct mlimg_err *err)
{
	char tag[MLIMG_CHECKPOINT_TAG_SIZE];
	const struct mlimg_checkpoint_restore how = {.tag = tag, .is_disk = true};
	struct mlimg_checkpoint_restored restored;
	struct mlimg_checkpoints of;
	int ret = mlimg_rollout_stop(step, err);

	/* The checkpoint is of that generation's stack, and is not restored on another one. */
	if (ret == 0)
		ret = mlimg_vm_find_again(&step->found, err);
	if (ret == 0)
		ret = mlimg_rollout_set_next(step, step->row.from, err);
	if (ret == 0)
		ret = checkpoints(step, &of, err);
	tag_of(step->rollout.number, tag);
	if (ret == 0)
		ret = check_own(&of, tag, err);
	if (ret == 0)
		ret = mlimg_checkpoint_go_back(&of, &how, &restored, err);
	return ret < 0 ? ret : mlimg_rollout_start(step, err);
}
