/* SPDX-License-Identifier: MIT */
/**
 * @file change-since-impl.h
 * What the files of change-since.h share; nobody else includes this.
 */
#ifndef MLIMG_CHANGE_SINCE_IMPL_H
#define MLIMG_CHANGE_SINCE_IMPL_H

#include "guest-agent/base.h"
#include "guest-agent/change-since.h"
#include "guest-agent/path-map.h"
#include "libmlimg/accounts.h"
#include "libmlimg/packages.h"

/** One of both stacks, as the user layer knows it. */
struct since_stack {
	struct mlimg_manifest *manifest;
	struct mlimg_base_texts texts;
};

/** A step that has taken something away. */
struct since_taken {
	size_t n;
	char op;
};

/** What is looked at, and the logs that come of it. */
struct since {
	struct mlimg_change *c;
	struct mlimg_undo_log *log;
	struct mlimg_manifest *upper; /**< as it is now, in the neutral form */
	struct since_stack now, former;
	struct mlimg_path_map taken; /**< by 'o' or 'a': its place in takens */
	struct since_taken *takens;
	size_t n_takens, takens_room;
	struct mlimg_path_map put;                   /**< by 'i' */
	struct mlimg_path_map set;                   /**< by 's': the step */
	struct mlimg_path_map first_done, dirs_done; /**< what is in the logs already */
	struct mlimg_path_map timed;                 /**< directories whose times are in the logs */
	char **touched; /**< directories in which something is done; of @p arena */
	size_t n_touched, touched_room;
	struct mlimg_arena *arena;
	int made_fd, aside_fd;     /**< undo/N/made, aside/N; or -1 */
	struct mlimg_text rebuild; /**< caches that are to be made anew, a line each */
	struct mlimg_change_extra first, then;
	struct mlimg_err *err;
};

/**
 * Read a text of one side: base is as the change has left it, next as it was before, mine as it is
 * now.
 *
 * @param s         see there
 * @param side      whose
 * @param path      in the tree
 * @param ret_text  free() it
 * @param ret_size  bytes
 * @return          0; -ENOENT when it is not there; -EIO when it cannot be had; -ENOMEM
 */
int since_read(struct since *s, enum mlimg_merge_side side, const char *path, char **ret_text,
	size_t *ret_size) MLIMG_MUST_CHECK;

/** @return 1 when the user has changed that file since, 0, -EIO, -ENOMEM */
int since_is_changed(struct since *s, const char *path) MLIMG_MUST_CHECK;

/** What is there now goes before steps are taken back. @return 0, -ENOMEM */
int since_clear(struct since *s, const char *path) MLIMG_MUST_CHECK;

/** Directories on the way to @p path that may be missing in the end. @return 0, -errno */
int since_make_way(struct since *s, const char *path) MLIMG_MUST_CHECK;

/**
 * See to it that a database has these contents in the end; NULL: those that taking steps back gives
 * it.
 *
 * @return 0, -errno
 */
int since_put_database(
	struct since *s, const char *path, const struct mlimg_merged_text *text) MLIMG_MUST_CHECK;

/** Merge accounts, and map owners, if the user has changed any. @return 0, -errno */
int since_accounts(struct since *s) MLIMG_MUST_CHECK;

/** Merge packages, if the user has changed any. @return 0, -errno */
int since_packages(struct since *s) MLIMG_MUST_CHECK;

/** See to it that a path is hidden in the end, unless there is something then. @return 0, -errno */
int since_put_whiteout(struct since *s, const char *path) MLIMG_MUST_CHECK;

/** Hide what the former stack would show that a renamed directory shows already. @return 0, -errno */
int since_covers(struct since *s) MLIMG_MUST_CHECK;

/** Note the directory of @p path, whose time a step changes. @return 0, -ENOMEM */
int since_touch(struct since *s, const char *path) MLIMG_MUST_CHECK;

/** The times that directories are to have in the end. @return 0, -errno */
int since_times(struct since *s) MLIMG_MUST_CHECK;

/** Tell that something is not merged. @return 0, -ENOMEM */
int since_give_up(struct since *s, const char *path, const char *name,
	const struct mlimg_err *why) MLIMG_MUST_CHECK;

#define since_no_memory(s) mlimg_err_set((s)->err, ENOMEM, "roll back")

#endif
