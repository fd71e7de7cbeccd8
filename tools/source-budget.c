/* SPDX-License-Identifier: MIT */
/* How much sources may hold that they do not store. */
#include <inttypes.h>

#include "libmlimg/io.h"
#include "tools/source.h"

static bool spend(struct mlimg_budget *b, uint64_t size)
{
	return !b ||
		(mlimg_add_fits(b->used_bytes, size, &b->used_bytes) &&
			b->used_bytes <= b->limit_bytes);
}

int mlimg_source_spend(
	const struct mlimg_source_to *to, uint64_t size, const char *name, struct mlimg_err *err)
{
	if (spend(to->budget, size))
		return 0;
	return mlimg_err_refuse(err,
		"'%s': unpacked, the sources hold more than %" PRIu64 " bytes; --limit allows more",
		name, to->budget->limit_bytes);
}

int mlimg_source_spend_hole(
	const struct mlimg_source_to *to, uint64_t size, const char *path, struct mlimg_err *err)
{
	if (spend(to->budget, size))
		return 0;
	return mlimg_err_refuse(err,
		"'%s': with its holes, the sources hold more than %" PRIu64
		" bytes; --limit allows more",
		path, to->budget->limit_bytes);
}
