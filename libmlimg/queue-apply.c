/* SPDX-License-Identifier: MIT */
/* What an upper is when a queue's plan has been carried out, without carrying it out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/queue-plan.h"
#include "libmlimg/whiteout.h"

static void lose_xattr(struct mlimg_entry *e, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n_xattrs; i++)
		if (strcmp(e->xattrs[i].name, name) != 0)
			e->xattrs[n++] = e->xattrs[i];
	e->n_xattrs = (uint32_t)n;
}

/* With all that is below: what is dropped has nothing there. */
static void mark_gone(const struct mlimg_manifest *upper, const char *path, bool *is_gone)
{
	for (size_t i = mlimg_manifest_first_from(upper, path);
		i < upper->n_entries && mlimg_path_is_within(upper->entries[i].path, path); i++)
		is_gone[i] = true;
}

/* Groups are numbered in order of first appearance (manifest.h). */
static uint32_t renumber(uint32_t *numbers, size_t max, uint32_t group, uint32_t *n)
{
	if (group == 0 || group > max)
		return group;
	if (!numbers[group])
		numbers[group] = ++*n;
	return numbers[group];
}

int mlimg_queue_apply(
	const struct mlimg_plan *plan, struct mlimg_manifest *upper, struct mlimg_err *err)
{
	size_t n_before = upper->n_entries, n = 0;
	mlimg_autofree bool *is_gone = calloc(n_before + 1, sizeof(*is_gone));
	mlimg_autofree uint32_t *numbers = calloc(n_before + 1, sizeof(*numbers));
	uint32_t n_groups = 0;

	if (!is_gone || !numbers)
		return mlimg_err_set(err, ENOMEM, "plan what is queued");
	for (size_t i = 0; i < plan->n_ops; i++) {
		const struct mlimg_plan_op *op = &plan->ops[i];
		size_t at = mlimg_manifest_first_from(upper, op->path);

		if (op->verb != MLIMG_PLAN_JOIN)
			mark_gone(upper, op->path, is_gone);
		else if (at < n_before && strcmp(upper->entries[at].path, op->path) == 0)
			lose_xattr(&upper->entries[at], MLIMG_XATTR_OPAQUE);
	}
	for (size_t i = 0; i < n_before; i++) {
		struct mlimg_entry *e = &upper->entries[i];

		if (is_gone[i])
			continue;
		e->hardlink = renumber(numbers, n_before, e->hardlink, &n_groups);
		upper->entries[n++] = *e;
	}
	upper->n_entries = n;
	return 0;
}
