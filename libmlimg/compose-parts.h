/* SPDX-License-Identifier: MIT */
/**
 * @file compose-parts.h
 * One database of a stack: between compose-parts.c, which finds what it is made of, and compose.c,
 * which makes a tree. Not for other modules.
 */
#ifndef MLIMG_COMPOSE_PARTS_H
#define MLIMG_COMPOSE_PARTS_H

#include "libmlimg/compose.h"
#include "libmlimg/owner-moves.h"
#include "libmlimg/stack.h"

/** What shows at the path of a database is made of. */
struct mlimg_compose_parts {
	const struct mlimg_entry *base; /**< the file, or NULL */
	size_t base_layer;
	size_t n_records;
	struct {
		size_t layer;
		const struct mlimg_layer_records *records;
	} changes[MLIMG_STACK_LAYERS_MAX]; /**< topmost first */
	int64_t mtime_s;                   /**< the newest */
	uint32_t mtime_ns;
};

/** Find them: the table of compose.h. @return 0, -EUCLEAN */
int mlimg_compose_find(const struct mlimg_compose_layers *layers, const char *path,
	struct mlimg_compose_parts *ret_parts, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Make one text of them; as mlimg_compose_text().
 *
 * @param moves  mlimg_compose_find_moves(); NULL: none
 */
int mlimg_compose_join(const struct mlimg_compose_layers *layers, const char *path,
	const struct mlimg_compose_parts *parts, const struct mlimg_owner_moves *moves,
	char **ret_text, size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read the file that is changed, and check its digest. free() the text. */
int mlimg_compose_read_base(const struct mlimg_compose_layers *layers,
	const struct mlimg_compose_parts *parts, char **ret_text, size_t *ret_size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read a layer's records, and check their digest. free() the text. */
int mlimg_compose_read_records(const struct mlimg_compose_layers *layers, size_t layer,
	const struct mlimg_layer_records *records, char **ret_text, size_t *ret_size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/* ---- compose-owners.c ---- */

/**
 * Find whose users and groups have other ids in the stack than in their layer (accounts-layers.h).
 *
 * @param layers     see there
 * @param ret_moves  of each layer; NULL when there are none. mlimg_compose_moves_free() it
 * @param err        names the layer
 */
int mlimg_compose_find_moves(const struct mlimg_compose_layers *layers,
	struct mlimg_owner_moves **ret_moves, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free moves of @p n layers; accepts NULL. */
void mlimg_compose_moves_free(struct mlimg_owner_moves *moves, size_t n);

/** @return whether the stack shows the attributes that layer @p layer has at @p path */
bool mlimg_compose_shows(
	const struct mlimg_compose_layers *layers, size_t layer, const struct mlimg_entry *e);

/**
 * @return whether a layer that has nothing at @p path hides it all the same; the roots of layers
 *         always merge
 */
bool mlimg_compose_hides(const struct mlimg_manifest *layer, const char *path);

/** Refuse @p e of layer @p layer, which should be a @p wanted. @return -EUCLEAN */
int mlimg_compose_refuse(const struct mlimg_compose_layers *layers, size_t layer,
	const struct mlimg_entry *e, const char *wanted, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
