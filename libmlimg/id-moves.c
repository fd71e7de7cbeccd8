/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "libmlimg/accounts.h"

static uint32_t find_move(const struct mlimg_id_move *moves, size_t n, uint32_t id)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (moves[middle].from == id)
			return moves[middle].to;
		if (moves[middle].from < id)
			low = middle + 1;
		else
			high = middle;
	}
	return id;
}

uint32_t mlimg_id_moves_uid(const struct mlimg_id_moves *moves, uint32_t uid)
{
	return find_move(moves->uids, moves->n_uids, uid);
}

uint32_t mlimg_id_moves_gid(const struct mlimg_id_moves *moves, uint32_t gid)
{
	return find_move(moves->gids, moves->n_gids, gid);
}

void mlimg_id_moves_done(struct mlimg_id_moves *moves)
{
	if (!moves)
		return;
	free(moves->uids);
	free(moves->gids);
	*moves = (struct mlimg_id_moves){.uids = NULL};
}
