/* SPDX-License-Identifier: MIT */
/**
 * @file accounts-layers.h
 * Ids that two layers of a stack both took. Layers that were made over the same system know nothing
 * of each other, and whoever added the first user to it was given the same number in each. So when
 * their records (records.h) are composed, the upper of two layers gives way:
 *
 * - a new account of a layer whose id is another one's beneath gets the highest id that is free in
 *   the whole stack from 999 down to 100, or, for ids from 1000 to 59999, the lowest free one among
 *   these;
 * - a new account of a name that another layer has made too gets the id that it has there.
 *
 * "Beneath" are other software layers than those which the layer was made over: an id that is
 * shared with an account of these is so on purpose. A layer that was made over one which gave way
 * follows it. All this depends on the layers of the stack alone.
 *
 * The files of the layer have the old numbers, so what is composed has to show them with the new
 * ones: compose.h.
 */
#ifndef MLIMG_ACCOUNTS_LAYERS_H
#define MLIMG_ACCOUNTS_LAYERS_H

#include "libmlimg/accounts.h"
#include "libmlimg/layer.h"

#define MLIMG_ACCOUNTS_STACK_MAX \
	10000 /**< users, or groups, of all layers: each is compared with all others */

/** The records of one layer. */
struct mlimg_accounts_layer {
	const struct mlimg_layer_info *info;
	struct mlimg_records_text passwd,
		group; /**< records; of the lowest one files, or records too */
};

/**
 * Find who has to give way.
 *
 * @param layers     bottom first: the layer whose files show, and those above it with their records
 * @param n          their number
 * @param ret_moves  for each layer, zeroed; mlimg_accounts_moves_done() each, also on failure
 * @param err        of kind MLIMG_ERR_REFUSED: "layer 'NAME': ...", when there is no free id, or
 *                   too much
 * @return           0, -EUCLEAN, -ENOMEM
 */
int mlimg_accounts_find_moves(const struct mlimg_accounts_layer *layers, size_t n,
	struct mlimg_owner_moves *ret_moves, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Change the ids in records.
 *
 * @param file      MLIMG_PASSWD or MLIMG_GROUP; others have none, and are copied
 * @param text      records or a file
 * @param moves     of their layer
 * @param ret_text  NUL-terminated (the NUL is not counted); free() it
 * @param ret_size  bytes
 * @return          0, -ENOMEM
 */
int mlimg_accounts_move(enum mlimg_accounts_file file, struct mlimg_records_text text,
	const struct mlimg_owner_moves *moves, char **ret_text, size_t *ret_size) MLIMG_MUST_CHECK;

/** Free what they own; accepts zeroed ones. */
void mlimg_accounts_moves_done(struct mlimg_owner_moves *moves);

#endif
