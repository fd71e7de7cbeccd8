/* SPDX-License-Identifier: MIT */
/**
 * @file compose-parts.h
 * One database of a stack: between compose-parts.c, which finds what it is made of, and compose.c, which makes a tree. Not for other modules.
 */
#ifndef MLIMG_COMPOSE_PARTS_H
#define MLIMG_COMPOSE_PARTS_H

#include "libmlimg/compose.h"
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

/** Make one text of them; as mlimg_compose_text(). */
int mlimg_compose_join(const struct mlimg_compose_layers *layers, const char *path,
	const struct mlimg_compose_parts *parts, char **ret_text, size_t *ret_size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether a layer that has nothing at @p path hides it all the same; the roots of layers always merge */
bool mlimg_compose_hides(const struct mlimg_manifest *layer, const char *path);

/** Refuse @p e of layer @p layer, which should be a @p wanted. @return -EUCLEAN */
int mlimg_compose_refuse(const struct mlimg_compose_layers *layers, size_t layer,
	const struct mlimg_entry *e, const char *wanted, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
