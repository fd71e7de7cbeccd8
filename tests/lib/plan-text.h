/* SPDX-License-Identifier: MIT */
/**
 * @file plan-text.h
 * Plans (libmlimg/plan.h) for tests: as text, by which two are compared, and what is wrong with
 * one.
 */
#ifndef MLIMG_TEST_PLAN_TEXT_H
#define MLIMG_TEST_PLAN_TEXT_H

#include <stdio.h>
#include <string.h>

#include "libmlimg/plan.h"
#include "libmlimg/whiteout.h"

/**
 * Write a plan: of each operation its letter, path, blob and entry, with a NUL behind the path and
 * the blob; then the digests of the blobs.
 */
static inline void plan_text_put(const struct mlimg_plan *plan, mlimg_sink *sink, void *ctx)
{
	for (size_t i = 0; i < plan->n_ops; i++) {
		const struct mlimg_plan_op *op = &plan->ops[i];
		char text[32] = {(char)op->verb, ' '};

		sink(ctx, text, 2);
		sink(ctx, op->path, strlen(op->path) + 1);
		if (op->verb == MLIMG_PLAN_PUT)
			sink(ctx, text, (size_t)snprintf(text, sizeof(text), "%u", op->blob) + 1);
		if (op->entry)
			mlimg_manifest_put_entry(op->entry, sink, ctx);
		else
			sink(ctx, "\n", 1);
	}
	for (size_t i = 0; i < plan->n_blobs; i++) {
		char hex[MLIMG_SHA256_HEX_SIZE];

		mlimg_sha256_hex(plan->blobs[i].digest, hex);
		sink(ctx, hex, strlen(hex));
		sink(ctx, "\n", 1);
	}
}

static inline bool plan_has_overlay_xattrs(const struct mlimg_entry *e)
{
	for (uint32_t i = 0; i < e->n_xattrs; i++)
		if (mlimg_xattr_is_overlay(e->xattrs[i].name))
			return true;
	return false;
}

/** @return why an operation cannot have its entry, or NULL */
static inline const char *plan_entry_flaw(const struct mlimg_plan_op *op)
{
	const struct mlimg_entry *e = op->entry;
	bool takes_next = op->verb == MLIMG_PLAN_TAKE_NEXT || op->verb == MLIMG_PLAN_PUT_BESIDE;

	if (!e->path[0] || (!takes_next && strcmp(e->path, op->path) != 0))
		return "an entry of another path";
	if (e->hardlink)
		return "an entry with hard links";
	if (op->verb != MLIMG_PLAN_DROP_DIR && plan_has_overlay_xattrs(e))
		return "an entry with overlayfs' own xattrs";
	if ((op->verb == MLIMG_PLAN_DROP_DIR || op->verb == MLIMG_PLAN_MAKE_DIR) !=
			(e->type == MLIMG_DIR) &&
		op->verb != MLIMG_PLAN_SET_ATTRS)
		return "an entry of another type";
	if ((op->verb == MLIMG_PLAN_PUT || op->verb == MLIMG_PLAN_PUT_BESIDE) &&
		e->type != MLIMG_FILE)
		return "an entry of another type";
	if (mlimg_entry_is_whiteout(e))
		return "an entry that is a whiteout";
	if (takes_next && e->type == MLIMG_FILE && !e->has_digest)
		return "a file without digest";
	return NULL;
}

/** @return what is wrong with a plan, @p ret_op the operation; or NULL */
static inline const char *plan_flaw(const struct mlimg_plan *plan, size_t *ret_op)
{
	for (size_t i = 0; i < plan->n_ops; i++) {
		const struct mlimg_plan_op *op = &plan->ops[i];
		bool has_entry = !strchr("dauch", op->verb);
		const char *why = NULL;

		*ret_op = i;
		if (!strchr("daucDhsptnm", op->verb))
			return "an unknown letter";
		if (!op->path[0] || !mlimg_manifest_path_is_valid(op->path))
			return "malformed path";
		if (has_entry != (op->entry != NULL))
			return "an entry, or none";
		if (op->verb == MLIMG_PLAN_PUT && op->blob >= plan->n_blobs)
			return "a blob that is not there";
		why = op->entry ? plan_entry_flaw(op) : NULL;
		if (why)
			return why;
	}
	return NULL;
}

#endif
