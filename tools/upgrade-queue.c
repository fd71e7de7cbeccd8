/* SPDX-License-Identifier: MIT */
#include "tools/upgrade-queue.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "guest-agent/queue-run.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/whiteout.h"

#define OWN "/mlimg"
#define WORK_MAX 1000000000 /* looks; some seconds */

/* ---- what waits ---- */

/* The next one after all that have left something there. */
static int count(struct mlimg_ext4 *fs, const char *name, uint64_t *n, struct mlimg_err *err)
{
	struct mlimg_ext4_dir dir = {.n_entries = 0};
	struct mlimg_ext4_inode inode;
	int r = mlimg_ext4_lookup(fs, OWN, name, false, &inode, err);

	if (r == -ENOENT || (r == 0 && inode.type != MLIMG_DIR))
		return 0;
	if (r == 0)
		r = mlimg_ext4_dir_read(fs, &inode, &dir, err);
	for (size_t i = 0; r == 0 && i < dir.n_entries; i++)
		if (mlimg_queue_number(dir.entries[i].name) > *n)
			*n = mlimg_queue_number(dir.entries[i].name);
	mlimg_ext4_dir_done(&dir);
	return r;
}

/* One that cannot be read the boot sets aside, and does nothing of it. */
static int read_queue(struct mlimg_ext4 *fs, struct mlimg_upgrade_queue *ret, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_ext4_read_file(fs, OWN, MLIMG_QUEUE_FILE, MLIMG_QUEUE_MAX, &text, &size, err);

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r == 0)
		r = mlimg_queue_parse(text, size, &ret->queue, err);
	if (r < 0 && r != -ENOMEM && r != -EIO) {
		snprintf(ret->bad, sizeof(ret->bad), "%s", err->text);
		return 0;
	}
	return r;
}

int mlimg_upgrade_queue_read(
	struct mlimg_ext4 *fs, struct mlimg_upgrade_queue *ret, struct mlimg_err *err)
{
	struct mlimg_ext4_inode inode;
	int r = mlimg_ext4_lookup(fs, OWN, MLIMG_QUEUE_RUN, false, &inode, err);

	if (r < 0 && r != -ENOENT)
		return r;
	ret->is_begun = r == 0;
	r = read_queue(fs, ret, err);
	if (r == 0)
		r = count(fs, "reports", &ret->number, err);
	if (r == 0)
		r = count(fs, "aside", &ret->number, err);
	ret->number++;
	return r;
}

void mlimg_upgrade_queue_done(struct mlimg_upgrade_queue *queue)
{
	mlimg_queue_free(queue->queue);
	queue->queue = NULL;
}

/* ---- the upper ---- */

static struct mlimg_upgrade_queued *queued_of(struct mlimg_upper_source *source)
{
	return (struct mlimg_upgrade_queued *)((char *)source -
		offsetof(struct mlimg_upgrade_queued, source));
}

static int remember_gone(
	struct mlimg_upgrade_queued *q, const struct mlimg_plan *plan, struct mlimg_err *err)
{
	for (size_t i = 0; i < plan->n_ops; i++)
		if (plan->ops[i].verb != MLIMG_PLAN_JOIN &&
			mlimg_path_map_set(&q->gone, plan->ops[i].path, i) < 0)
			return mlimg_err_set(err, ENOMEM, "plan what is queued");
	return 0;
}

/* @return how many things are there and below */
static size_t size_of(const struct mlimg_manifest *upper, const char *path)
{
	size_t first = mlimg_manifest_first_from(upper, path), low = first, high = upper->n_entries;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mlimg_path_is_within(upper->entries[middle].path, path))
			low = middle + 1;
		else
			high = middle;
	}
	return low - first;
}

/*
 * A guest may take its own time for what is queued in it, but not a host's: how often the planner
 * may have to look at something.
 */
static uint64_t work_of(const struct mlimg_queue *queue, const struct mlimg_manifest *upper)
{
	uint64_t n_renamed = 0, work = 0;

	for (size_t i = 0; i < upper->n_entries; i++)
		n_renamed += upper->entries[i].type == MLIMG_DIR &&
			mlimg_entry_xattr(&upper->entries[i], MLIMG_XATTR_REDIRECT);
	for (size_t i = 0; i < queue->n; i++)
		work += 1 + size_of(upper, queue->ops[i].path);
	return work + n_renamed * (upper->n_entries + (uint64_t)queue->n * queue->n);
}

static int apply(
	struct mlimg_upgrade_queued *q, struct mlimg_manifest *upper, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_plan_done) struct mlimg_plan plan = {.n_ops = 0};
	const struct mlimg_queue_input input = {
		.queue = q->queue, .upper = upper, .is_unionfs = q->is_unionfs, .aside = q->aside};
	int r;

	if (work_of(q->queue, upper) > WORK_MAX)
		return mlimg_err_set(err, 0,
			"its user has queued so much (%zu) that it is not foretold: the next boot "
			"does it",
			q->queue->n);
	r = mlimg_plan_init(&plan, err);
	if (r == 0)
		r = mlimg_report_init(&q->report, err);
	if (r == 0)
		r = mlimg_queue_plan(&input, &plan, &q->report, err);
	if (r >= 0)
		r = remember_gone(q, &plan, err);
	return r < 0 ? r : mlimg_queue_apply(&plan, upper, err);
}

static int load(struct mlimg_upper_source *source, mlimg_walk_skip_fn *skip, void *ctx,
	struct mlimg_manifest **ret_manifest, struct mlimg_err *err)
{
	struct mlimg_upgrade_queued *q = queued_of(source);
	struct mlimg_manifest *upper = NULL;
	int r = q->of->load(q->of, skip, ctx, &upper, err);

	if (r == 0 && q->queue)
		r = apply(q, upper, err);
	if (r < 0)
		mlimg_manifest_free(upper);
	else
		*ret_manifest = upper;
	return r;
}

static int digest(struct mlimg_upper_source *source, const char *path,
	uint8_t ret_digest[MLIMG_SHA256_SIZE], struct mlimg_err *err)
{
	struct mlimg_upgrade_queued *q = queued_of(source);

	if (mlimg_path_map_covers(&q->gone, path))
		return mlimg_err_set(err, ENOENT, "'%s'", path);
	return q->of->digest(q->of, path, ret_digest, err);
}

static int read_file(struct mlimg_upper_source *source, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *err)
{
	struct mlimg_upgrade_queued *q = queued_of(source);

	if (mlimg_path_map_covers(&q->gone, path))
		return mlimg_err_set(err, ENOENT, "'%s'", path);
	return q->of->read(q->of, path, max, ret_data, ret_size, err);
}

static int read_head(struct mlimg_upper_source *source, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *err)
{
	struct mlimg_upgrade_queued *q = queued_of(source);

	if (mlimg_path_map_covers(&q->gone, path))
		return mlimg_err_set(err, ENOENT, "'%s'", path);
	return q->of->read_head(q->of, path, max, ret_data, ret_size, err);
}

void mlimg_upgrade_queued_init(struct mlimg_upgrade_queued *ret, struct mlimg_upper_source *of,
	const struct mlimg_upgrade_queue *queue, bool is_unionfs,
	const struct mlimg_boot_state *state)
{
	*ret = (struct mlimg_upgrade_queued){.source = {load, digest, read_file, read_head},
		.of = of,
		.queue = queue->queue,
		.is_unionfs = is_unionfs,
		.state = state};
	snprintf(ret->aside, sizeof(ret->aside), MLIMG_QUEUE_NAME "%" PRIu64, queue->number);
}

int mlimg_upgrade_queued_report(struct mlimg_upgrade_queued *queued, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	const struct mlimg_boot_state *state = queued->state;

	if (!queued->queue)
		return 0;
	return mlimg_report_to_json(&queued->report, state->generation, state->stack.stack_id,
		state->stack.stack_id, ret_text, ret_size, err);
}

void mlimg_upgrade_queued_done(struct mlimg_upgrade_queued *queued)
{
	mlimg_report_done(&queued->report);
	mlimg_path_map_done(&queued->gone);
}
