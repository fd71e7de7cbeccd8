/* SPDX-License-Identifier: MIT */
/**
 * @file source-upper.h
 * The upper of an overlay as source: its marks become what a layer may have. Used for upper
 * directories and for the upper of a user layer's image.
 *
 * The marks (the kernel's Documentation/filesystems/overlayfs.rst; fs/overlayfs/namei.c for what is
 * not in there), as xattrs in trusted.overlay.*, or in user.overlay.* when the overlay was mounted
 * with userxattr:
 *
 * | mark | what becomes of it |
 * | --- | --- |
 * | character device 0:0 | stays: a whiteout |
 * | `whiteout` on an empty file, in a directory with `opaque` = "x" | a whiteout. In another directory it is refused: lookups would find it, listings not |
 * | `opaque` = "y" | stays; `redirect` beside it means nothing |
 * | `redirect` on a directory | see below |
 * | `metacopy` on a file | its contents are copied from the file beneath, which `redirect` may name |
 * | `redirect` on any other file | dropped; it is left over from a metacopy |
 * | `nlink` on a file | refused: where the overlay was mounted with index=on, names of the file that are not in the upper showed it too |
 * | `origin`, `impure`, `uuid`, `upper`, `protattr` | dropped: they bind the upper to its lowers |
 * | others | refused |
 * | the directory `.unionfs-fuse` at the top | refused: unionfs-fuse wrote this, and what it hides (libmlimg/unionfs.h) would come back |
 *
 * A redirect that begins with '/' is a path from the root of the layers beneath; any other is a
 * name in the directory beneath the parent, and what lies beneath a renamed directory lies beneath
 * its subdirectories too. A renamed directory becomes opaque, and what its lower directory has is
 * copied into it (beneath.h), so that the layer needs no redirect. Names of one file of which only
 * some are copied are no longer the same file. Whiteouts in such a directory have done their work
 * and are left out. A directory that was renamed back is like any other.
 *
 * Without the layers beneath, redirects and metacopies are refused. But a user layer is mounted as
 * an upper again, so a redirect stays in it as it is, and so do whiteouts in such a directory, if
 * the upper is the only source; metacopies are refused, since guests mount it with metacopy=off.
 */
#ifndef MLIMG_TOOLS_SOURCE_UPPER_H
#define MLIMG_TOOLS_SOURCE_UPPER_H

#include "tools/source-cursor.h"

/** Whose xattrs are the marks. */
enum mlimg_upper_marks {
	MLIMG_UPPER_TRUSTED, /**< trusted.overlay.* */
	MLIMG_UPPER_USER, /**< user.overlay.*: mounted with userxattr; trusted ones are refused */
};

/** An upper that is read. */
struct mlimg_upper;

/**
 * Begin; the caller has begun the level.
 *
 * @param cursor     where entries go; stays the caller's
 * @param marks      which xattrs are marks
 * @param ret_upper  mlimg_upper_free() it
 */
int mlimg_upper_new(struct mlimg_cursor *cursor, enum mlimg_upper_marks marks,
	struct mlimg_upper **ret_upper, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free it; accepts NULL. */
void mlimg_upper_free(struct mlimg_upper *upper);

/**
 * mlimg_cursor_put() for an entry of the upper.
 *
 * @param upper     the upper
 * @param entry     with its marks
 * @param id        as there
 * @param ret_node  as there; NULL too when contents were copied from beneath, so that nothing is
 *                  left to fill
 * @param err       names the path
 * @return          as there
 */
int mlimg_upper_put(struct mlimg_upper *upper, const struct mlimg_entry *entry,
	const struct mlimg_identity *id, struct mlimg_node **ret_node,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * All entries have come: copy what renamed directories have beneath them. Begins a level if there
 * is any.
 */
int mlimg_upper_end(struct mlimg_upper *upper, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
