/* SPDX-License-Identifier: MIT */
#include "tools/upgrade-room.h"

#include <string.h>

#define BLOCKS_MIN 64  /* states, directories, and what must stay free for the steps */
#define STEP_BYTES 200 /* of a step in the list of steps, beside its path and xattrs */

static uint64_t blocks_of(uint64_t bytes)
{
	return (bytes + MLIMG_EXT4_BLOCK - 1) / MLIMG_EXT4_BLOCK;
}

/* What an operation puts into reconcile.new; for the databases a copy in undo/N/made, too. */
static uint64_t op_blocks(const struct mlimg_plan *plan, const struct mlimg_plan_op *op)
{
	switch (op->verb) {
	case MLIMG_PLAN_PUT: return 2 * blocks_of(plan->blobs[op->blob].size);
	case MLIMG_PLAN_TAKE_NEXT:
	case MLIMG_PLAN_PUT_BESIDE:
		return op->entry->type == MLIMG_FILE ? blocks_of(op->entry->size_bytes) : 0;
	case MLIMG_PLAN_MAKE_DIR:
	case MLIMG_PLAN_SET_ASIDE:
	case MLIMG_PLAN_SET_ATTRS:
	case MLIMG_PLAN_JOIN:
	case MLIMG_PLAN_CLOSE: return 1;
	default: return 0;
	}
}

uint64_t mlimg_upgrade_room(const struct mlimg_upgrade_needs *needs)
{
	const struct mlimg_plan *plan = needs->plan;
	uint64_t blocks = BLOCKS_MIN, log = 0, names = 0;

	for (size_t i = 0; i < plan->n_ops; i++) {
		size_t n = strlen(plan->ops[i].path);

		log += n + STEP_BYTES;
		names += 2 * n + 64; /* in the directories where it goes */
		blocks += op_blocks(plan, &plan->ops[i]);
	}
	blocks += blocks_of(log) + blocks_of(names) + blocks_of(needs->base_bytes) +
		2 * blocks_of(needs->report_bytes) + blocks_of(needs->paths_bytes);
	if (needs->queue_bytes)
		blocks += BLOCKS_MIN + 4 * blocks_of(needs->queue_bytes);
	return blocks * MLIMG_EXT4_BLOCK;
}

uint64_t mlimg_upgrade_free_bytes(const struct mlimg_ext4_super *super, uint64_t disk_bytes)
{
	uint64_t blocks = disk_bytes / MLIMG_EXT4_BLOCK;
	uint64_t grown = blocks > super->n_blocks ? blocks - super->n_blocks : 0;

	/* Of what is added inode tables take some. */
	return (super->n_free + grown - grown / 32) * MLIMG_EXT4_BLOCK;
}
