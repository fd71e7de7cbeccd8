/* SPDX-License-Identifier: MIT */
#include "libmlimg/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int mlimg_plan_init(struct mlimg_plan *ret_plan, struct mlimg_err *err)
{
	memset(ret_plan, 0, sizeof(*ret_plan));
	ret_plan->arena = mlimg_arena_new();
	return ret_plan->arena ? 0 : mlimg_err_set(err, ENOMEM, "plan");
}

static struct mlimg_entry *copy_entry(struct mlimg_arena *arena, const struct mlimg_entry *entry)
{
	struct mlimg_entry *copy = mlimg_arena_alloc(arena, sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *entry;
	copy->hardlink = 0;
	copy->nlink = 1;
	return mlimg_entry_copy_to(arena, copy) < 0 ? NULL : copy;
}

int mlimg_plan_add(struct mlimg_plan *plan, enum mlimg_plan_verb verb, const char *path,
	const struct mlimg_entry *entry, uint32_t blob, struct mlimg_err *err)
{
	struct mlimg_plan_op op = {.verb = (uint8_t)verb, .blob = blob};

	op.path = mlimg_arena_strndup(plan->arena, path, strlen(path));
	if (entry)
		op.entry = copy_entry(plan->arena, entry);
	if (!op.path || (entry && !op.entry) ||
		mlimg_buffer_reserve(
			&plan->ops, &plan->ops_room, (plan->n_ops + 1) * sizeof(*plan->ops)) < 0)
		return mlimg_err_set(err, ENOMEM, "'%s'", path);
	plan->ops[plan->n_ops++] = op;
	return 0;
}

int mlimg_plan_add_blob(struct mlimg_plan *plan, const void *data, size_t size, uint32_t *ret_blob,
	struct mlimg_err *err)
{
	struct mlimg_plan_blob blob = {.size = size};

	if (plan->n_blobs >= MLIMG_PLAN_BLOBS_MAX)
		return mlimg_err_set(err, E2BIG, "more than %d contents", MLIMG_PLAN_BLOBS_MAX);
	blob.data = mlimg_arena_strndup(plan->arena, size ? data : "", size);
	if (!blob.data ||
		mlimg_buffer_reserve(&plan->blobs, &plan->blobs_room,
			(plan->n_blobs + 1) * sizeof(*plan->blobs)) < 0)
		return mlimg_err_set(err, ENOMEM, "plan");
	mlimg_sha256_of(blob.data, size, blob.digest);
	*ret_blob = (uint32_t)plan->n_blobs;
	plan->blobs[plan->n_blobs++] = blob;
	return 0;
}

void mlimg_plan_done(struct mlimg_plan *plan)
{
	free(plan->ops);
	free(plan->blobs);
	mlimg_arena_free(plan->arena);
	memset(plan, 0, sizeof(*plan));
}
