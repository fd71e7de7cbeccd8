/* SPDX-License-Identifier: MIT */
/* What a change and a rollback make ready alike, before either is decided. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "guest-agent/change-place.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/text.h"
#include "libmlimg/whiteout.h"

#define BLOCKS_MIN \
	16 /* for what each change writes besides: directories of its own that grow, xattrs of the log's file */

int mlimg_change_write_log(struct mlimg_change *c, int fd, const char *name,
	const struct mlimg_text *log, struct mlimg_err *err)
{
	size_t max = c->call->log_max ? c->call->log_max : MLIMG_UNDO_LOG_MAX;

	if (log->has_failed)
		return mlimg_err_set(err, ENOMEM, "make the change ready");
	if (log->size > max)
		return mlimg_err_set(err, EFBIG,
			"the list of its steps has %zu bytes, and %zu are read", log->size, max);
	return mlimg_replace_file(fd, name, log->data, log->size, 0600, err);
}

int mlimg_change_write_state(int fd, const struct mlimg_boot_state *state, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	int r = mlimg_boot_state_to_json(state, &text, err);

	return r < 0 ? r : mlimg_replace_file(fd, "state.json", text, strlen(text), 0644, err);
}

/*
 * Moves make directories grow, and one that is split in two takes another block. What ext4 keeps
 * back for itself (s_resv_clusters) is free, but not available.
 */
int mlimg_change_check_room(
	const struct mlimg_change *c, const struct mlimg_change_needs *needs, struct mlimg_err *err)
{
	struct statvfs st;
	uint64_t wanted, free;

	if (fstatvfs(c->own_fd, &st) < 0)
		return mlimg_err_set(err, errno, "look for room");
	wanted = BLOCKS_MIN + needs->n_blocks +
		2 * needs->names_size / (st.f_frsize ? st.f_frsize : 4096);
	free = st.f_bavail + needs->freed_bytes / (st.f_frsize ? st.f_frsize : 4096);
	return free < wanted
		? mlimg_err_set(err, ENOSPC,
			  "%" PRIu64 " blocks are wanted, and %" PRIu64 " are free", wanted, free)
		: 0;
}

/*
 * Where they differ in extended attributes another block may be wanted for these, be it for fewer
 * of them: ext4's files share such blocks. A mode is part of an ACL.
 */
static bool may_take_block(const struct mlimg_undo_record *record)
{
	return !mlimg_entry_has_same_xattrs(&record->entry, &record->fresh) ||
		mlimg_entry_xattr(&record->entry, "system.posix_acl_access");
}

void mlimg_change_needs_add(
	struct mlimg_change_needs *needs, const struct mlimg_undo_record *record)
{
	unsigned marks = record->parts & ~(unsigned)MLIMG_UNDO_MAIN;

	needs->names_size += strlen(mlimg_path_name(record->path)) + 32;
	needs->n_blocks += record->op == 's' ? may_take_block(record)
					     : strchr("uc", record->op) != NULL; /* of xattrs */
	/* Directories of unionfs-fuse's marks, which it removes when they are empty. */
	for (const char *c = record->path; (marks || record->op == 'c') && *c; c++)
		needs->n_blocks += *c == '/';
}

/* --- aside --- */

static int remove_dir(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)!rmdir(path);
	return 0;
}

void mlimg_change_tidy_aside(int own_fd, uint64_t generation)
{
	mlimg_autoclose int fd =
		openat(own_fd, MLIMG_CHANGE_ASIDE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char path[64 + MLIMG_CHANGE_NAME_SIZE];

	if (fd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%" PRIu64, fd, generation);
	nftw(path, remove_dir, 16, FTW_DEPTH | FTW_PHYS);
	unlinkat(own_fd, MLIMG_CHANGE_ASIDE, AT_REMOVEDIR);
}

/* Nothing that lies there is lost, whoever has put it there. */
int mlimg_change_clear_aside(struct mlimg_change *c, uint64_t generation, struct mlimg_err *err)
{
	char from[MLIMG_CHANGE_NAME_SIZE], to[MLIMG_CHANGE_NAME_SIZE + 16];
	int r;

	mlimg_change_tidy_aside(c->own_fd, generation);
	snprintf(from, sizeof(from), MLIMG_CHANGE_ASIDE "/%" PRIu64, generation);
	for (unsigned i = 1; (r = mlimg_change_has(c->own_fd, from)) > 0; i++) {
		snprintf(to, sizeof(to), "%s.%u", from, i);
		if (renameat2(c->own_fd, from, c->own_fd, to, RENAME_NOREPLACE) < 0 &&
			errno != EEXIST)
			return mlimg_err_set(err, errno, "rename 'user/mlimg/%s'", from);
	}
	return r < 0 ? mlimg_err_set(err, r, "look at 'user/mlimg/%s'", from) : 0;
}
