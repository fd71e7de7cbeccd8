/* SPDX-License-Identifier: MIT */
/**
 * @file user-change.h
 * What an entry of the user's upper changes of what lies beneath it.
 */
#ifndef MLIMG_USER_CHANGE_H
#define MLIMG_USER_CHANGE_H

#include "guest-agent/view.h"
#include "tools/manifest-diff.h"

/** Kinds of changes. */
enum mlimg_user_change_kind {
	MLIMG_USER_SAME = 0,   /**< a copy of what is beneath, or a directory that holds others */
	MLIMG_USER_ADDED,      /**< nothing is beneath */
	MLIMG_USER_CHANGED,    /**< contents, a link's target, a device's numbers */
	MLIMG_USER_ATTRIBUTES, /**< mode, owner, xattrs, or of anything but a directory the time */
	MLIMG_USER_DELETED,    /**< a whiteout */
	MLIMG_USER_REPLACED,   /**< something of another type is beneath */
	MLIMG_USER_RENAMED,    /**< a directory that shows what the layers have elsewhere */
	MLIMG_USER_OPAQUE,     /**< a directory that shows nothing of the one beneath it */
};

/** @return the kind's name: "same", "added", "changed", "attributes" and so on */
const char *mlimg_user_change_name(enum mlimg_user_change_kind kind);

/** A change. */
struct mlimg_user_change {
	enum mlimg_user_change_kind kind;
	unsigned changes; /**< enum mlimg_change, or-ed: what of it is another, times of changed
			     contents and of directories aside */
	struct mlimg_view_found beneath; /**< what it covers; valid until the next question */
	char from[MLIMG_PATH_MAX + 1];   /**< MLIMG_USER_RENAMED: where that lies in the layers */
};

/**
 * Find out.
 *
 * @param view    loaded
 * @param cursor  of @p view
 * @param entry   of the upper
 * @param ret     see there
 * @param err     names the path
 * @return        0, -errno
 */
int mlimg_user_change_of(const struct mlimg_view *view, struct mlimg_view_cursor *cursor,
	const struct mlimg_entry *entry, struct mlimg_user_change *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
