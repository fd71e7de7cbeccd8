/* SPDX-License-Identifier: MIT */
/* Owners without a number in the present user name space. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tools/owner-map.h"

#define PROC_FILE_MAX 65536

/* @return whether a line of a map, "inside outside count", has @id inside */
static bool has_id(const char *map, uint32_t id)
{
	uint64_t inside, count;
	int size;

	for (; sscanf(map, " %" SCNu64 " %*u %" SCNu64 "%n", &inside, &count, &size) == 2;
		map += size)
		if (id >= inside && id - inside < count)
			return true;
	return false;
}

static int find(
	const char *map_path, const char *overflow_path, uint32_t *ret_id, struct mlimg_err *err)
{
	mlimg_autofree char *map = NULL, *overflow = NULL;
	uint32_t id;
	size_t size;
	int r = mlimg_read_file(AT_FDCWD, map_path, PROC_FILE_MAX, &map, &size, err);

	*ret_id = UINT32_MAX;
	if (r == 0)
		r = mlimg_read_file(AT_FDCWD, overflow_path, PROC_FILE_MAX, &overflow, &size, err);
	if (r == -ENOENT || r == -EACCES)
		return 0;
	if (r < 0)
		return r;
	id = (uint32_t)strtoul(overflow, NULL, 10);
	if (!has_id(map, id))
		*ret_id = id;
	return 0;
}

int mlimg_unmapped_find(struct mlimg_unmapped *ret, struct mlimg_err *err)
{
	int r = find("/proc/self/uid_map", "/proc/sys/kernel/overflowuid", &ret->uid, err);

	return r < 0 ? r
		     : find("/proc/self/gid_map", "/proc/sys/kernel/overflowgid", &ret->gid, err);
}
