/* SPDX-License-Identifier: MIT */
/* Whether a change that found no room finds it where the way back of the last one is given up. */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "guest-agent/change-stage.h"
#include "guest-agent/upper-list.h"

#define OWN_BLOCKS 64 /* of directories, state, log and reports, and what must stay free */
#define OWN_INODES 24
#define OP_SIZE 2048 /* of an operation in log and reports */

static struct {
	uint64_t bytes, n;
} undo; /* nftw() has nothing to hand through */

static int count_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	undo.n++;
	undo.bytes += st->st_nlink > 1 && !S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_blocks * 512;
	return 0;
}

static void count_undo(int own_fd)
{
	char path[64];

	undo.bytes = undo.n = 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/" MLIMG_CHANGE_UNDO, own_fd);
	nftw(path, count_file, 16, FTW_PHYS | FTW_MOUNT);
}

static void count_text(void *ctx, const char *data, size_t size)
{
	*(uint64_t *)ctx += size;
}

static uint64_t wanted_bytes(const struct mlimg_change_call *call, const struct mlimg_plan *plan,
	const struct mlimg_manifest *next, const struct mlimg_boot_state *old, uint64_t block)
{
	/* The texts, and copies of the databases, which are among them. */
	uint64_t bytes = OWN_BLOCKS * block + 2 * old->texts_size_bytes;

	mlimg_manifest_put(next, count_text, &bytes);
	if (call->had)
		bytes += call->had->n * sizeof(*call->had->numbers);
	for (size_t i = 0; i < plan->n_ops; i++) {
		const struct mlimg_plan_op *op = &plan->ops[i];

		bytes += OP_SIZE;
		if (op->verb == MLIMG_PLAN_PUT)
			bytes += 2 * (plan->blobs[op->blob].size + block);
		else if (op->entry)
			bytes += block +
				(op->entry->type == MLIMG_FILE ? op->entry->size_bytes + block : 0);
	}
	return bytes;
}

bool mlimg_change_forgetting_helps(int own_fd, const struct mlimg_change_call *call,
	const struct mlimg_plan *plan, const struct mlimg_manifest *next,
	const struct mlimg_boot_state *old)
{
	struct statvfs st;
	uint64_t bytes, free, inodes = plan->n_ops + OWN_INODES;

	if (fstatvfs(own_fd, &st) < 0)
		return false;
	count_undo(own_fd);
	bytes = wanted_bytes(call, plan, next, old, st.f_frsize);
	free = (uint64_t)st.f_bavail * st.f_frsize;
	if (!st.f_files) /* there is no limit */
		inodes = 0;
	return (free < bytes || st.f_favail < inodes) && free + undo.bytes >= bytes &&
		st.f_favail + undo.n >= inodes;
}
