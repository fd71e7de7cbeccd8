/* SPDX-License-Identifier: MIT */
/* What the disk of a destroyed tenant has that nobody can use who gets it (tenant-removed.h). */
#include <stdio.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/json.h"
#include "tools/checkpoint-disk.h"
#include "tools/store-checkpoint.h"
#include "tools/tenant-removed.h"

/* Of two of one name qemu-img removes one. @return how many were there, -errno */
static int remove_each(const struct mlimg_tenant *of, uint64_t *n_removed, struct mlimg_err *err)
{
	mlimg_autojson json_t *saved = NULL;
	const char *tag;
	json_t *bytes;
	int n = 0, ret = mlimg_disk_saved(of, &saved, err);

	json_object_foreach(saved, tag, bytes)
	{
		/* One whose name is no tag is not ours. */
		if (ret < 0 || mlimg_checkpoint_tag_check(tag, NULL) < 0)
			continue;
		ret = mlimg_disk_remove(of, tag, err);
		n += ret == 0;
	}
	*n_removed += (uint64_t)n;
	return ret < 0 ? ret : n;
}

int mlimg_removed_free_leaks(const struct mlimg_removed *removed, const char *name,
	uint64_t *ret_freed_bytes, struct mlimg_err *err)
{
	struct mlimg_tenant of = {.user_disk = removed->disk};

	snprintf(of.row.name, sizeof(of.row.name), "%s", name);
	return mlimg_disk_free_leaks(&of, ret_freed_bytes, err);
}

int mlimg_removed_drop_checkpoints(
	const struct mlimg_removed *removed, uint64_t *ret_n, struct mlimg_err *err)
{
	const struct mlimg_tenant of = {.user_disk = removed->disk};
	uint64_t n = 0;
	int ret;

	while ((ret = remove_each(&of, &n, err)) > 0)
		;
	if (ret == 0)
		*ret_n = n;
	return ret;
}
