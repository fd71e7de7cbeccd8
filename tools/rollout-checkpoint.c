/* SPDX-License-Identifier: MIT */
/* The checkpoint of a tenant of a rollout, and going back to it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "tools/checkpoint.h"
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

struct found {
	const struct mlimg_rollout_step *step;
	struct mlimg_store *store;
	uint32_t *numbers; /* of rollouts; owned */
	size_t n, room;
};

/* What the tenant's earlier rollouts have saved, and this one. What a user calls so is his. */
static int find_one(const struct mlimg_rollout *rollout, void *ctx, struct mlimg_err *err)
{
	struct found *f = ctx;
	struct mlimg_checkpoint checkpoint;
	struct mlimg_rollout_row row;
	char tag[MLIMG_CHECKPOINT_TAG_SIZE];
	const char *id = f->step->row.tenant_id;
	int ret;

	tag_of(rollout->number, tag);
	ret = mlimg_store_checkpoint_get(f->store, id, tag, &checkpoint, err);
	if (ret == 0)
		ret = mlimg_store_rollout_row(f->store, rollout->number, id, &row, err);
	if (ret == -ENOENT || (ret == 0 && checkpoint.created_s < rollout->created_s))
		return 0;
	if (ret < 0)
		return ret;
	if (mlimg_buffer_reserve(&f->numbers, &f->room, (f->n + 1) * sizeof(*f->numbers)) < 0)
		return mlimg_err_set(err, ENOMEM, "checkpoint '%s'", tag);
	f->numbers[f->n++] = rollout->number;
	return 0;
}

/* Of this rollout, or of the others. Not while they are listed: others write meanwhile. */
static int remove_saved(struct mlimg_rollout_step *step, const struct mlimg_checkpoints *of,
	bool is_own, struct mlimg_err *err)
{
	struct found found = {.step = step, .store = of->store};
	char tag[MLIMG_CHECKPOINT_TAG_SIZE];
	int ret = mlimg_store_rollout_each(of->store, find_one, &found, err);

	for (size_t i = 0; ret == 0 && i < found.n; i++) {
		if ((found.numbers[i] == step->rollout.number) != is_own)
			continue;
		tag_of(found.numbers[i], tag);
		ret = mlimg_checkpoint_delete(of, tag, err);
	}
	free(found.numbers);
	return ret;
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
	ret = mlimg_checkpoint_take(&of, tag, true, &checkpoint, err);
	return ret < 0 ? ret : remove_saved(step, &of, false, err);
}

int mlimg_rollout_do_checkpoint(struct mlimg_rollout_step *step, struct mlimg_err *err)
{
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
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
	return save(step, err);
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
		ret = mlimg_checkpoint_go_back(&of, &how, &restored, err);
	return ret < 0 ? ret : mlimg_rollout_start(step, err);
}
