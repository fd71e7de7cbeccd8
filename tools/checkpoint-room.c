/* SPDX-License-Identifier: MIT */
#include "tools/checkpoint-room.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "tools/checkpoint.h"
#include "tools/cli.h"
#include "tools/store-impl.h"

#define TABLES_BYTES (1u << 20) /* several times what a snapshot writes of them */

int mlimg_checkpoint_room_check(
	uint64_t left_bytes, uint64_t memory_bytes, const char *where, struct mlimg_err *err)
{
	uint64_t needed = memory_bytes ? memory_bytes + MLIMG_CHECKPOINT_SPARE_BYTES : TABLES_BYTES;
	char need[MLIMG_CLI_SIZE_TEXT], left[MLIMG_CLI_SIZE_TEXT];

	if (left_bytes >= needed)
		return 0;
	mlimg_cli_format_size(needed, need);
	mlimg_cli_format_size(left_bytes, left);
	return memory_bytes
		? mlimg_store_fail(err, ENOSPC,
			  "its memory may take %s, and %s has %s left (the disk alone: "
			  "--disk-only)",
			  need, where, left)
		: mlimg_store_fail(err, ENOSPC, "its tables may take %s, and %s has %s left", need,
			  where, left);
}

int mlimg_checkpoint_room_here(
	const struct mlimg_tenant *tenant, uint64_t memory_bytes, struct mlimg_err *err)
{
	char where[256];
	struct statvfs fs;

	if (statvfs(tenant->dir, &fs) < 0)
		return mlimg_err_set(err, errno, "'%.300s'", tenant->dir);
	snprintf(where, sizeof(where), "'%.200s'", tenant->dir);
	return mlimg_checkpoint_room_check(
		fs.f_bavail * (uint64_t)fs.f_frsize, memory_bytes, where, err);
}
