/* SPDX-License-Identifier: MIT */
/**
 * @file user-undo.h
 * What taking back a change of the user's would do: what of his goes, and what shows then. Nothing
 * is changed here; what is to be done is queued (libmlimg/queue.h).
 */
#ifndef MLIMG_USER_UNDO_H
#define MLIMG_USER_UNDO_H

#include "guest-agent/view.h"

/** What the upper has to do with a path. */
enum mlimg_user_has {
	MLIMG_USER_HAS_NOTHING = 0, /**< what the layers have there shows, if they have anything */
	MLIMG_USER_HAS_ENTRY,
	MLIMG_USER_HAS_WHITEOUT,
	/** above it is something that is no directory: all that the layers have below it is hidden */
	MLIMG_USER_HAS_ABOVE,
	/** nothing is there, and a directory above it is opaque */
	MLIMG_USER_HAS_OPAQUE,
};

/** What it would do. */
struct mlimg_user_undo {
	enum mlimg_user_has has;
	const struct mlimg_entry *entry; /**< the upper's there; of the last two: that above */
	uint64_t n_entries;              /**< of the upper, at the path and below */
	uint64_t n_own;                  /**< of these: in no layer */
	uint64_t size_bytes; /**< of files among them; one with several names counts once */
	const struct mlimg_entry *database; /**< the first that belongs to accounts or packages */
	/** what shows then; for the last two: what would without that above. NULL: nothing */
	const struct mlimg_view_tree *shows;
	uint8_t shows_type; /**< enum mlimg_type */
	/** of a directory that was renamed: where it lies in the layers, and shows again then */
	char from[MLIMG_PATH_MAX + 1];
	struct mlimg_view_found beneath; /**< where that is; its entry's path alone is valid */
};

/**
 * Find out.
 *
 * @param view  loaded
 * @param path  as in manifests, not the root
 * @param ret   its pointers are the view's
 * @param err   names the path
 * @return      0, -errno
 */
int mlimg_user_undo_of(struct mlimg_view *view, const char *path, struct mlimg_user_undo *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
