/* SPDX-License-Identifier: MIT */
/**
 * @file whiteout.h
 * How a layer says "what is beneath is gone". Detection only; conversion between forms is another
 * module's.
 *
 * overlayfs (the kernel's Documentation/filesystems/overlayfs.rst, "whiteouts and opaque
 * directories"): a character device 0:0 hides the name beneath it; a directory with the xattr
 * trusted.overlay.opaque = "y" hides all that is beneath it. trusted.overlay.redirect on a
 * directory names the lower directory it was renamed from; trusted.overlay.metacopy on a file says
 * that its contents are a lower one's.
 */
#ifndef MLIMG_WHITEOUT_H
#define MLIMG_WHITEOUT_H

#include <stdbool.h>
#include <sys/stat.h>

#include "libmlimg/arena.h"
#include "libmlimg/manifest.h"

#define MLIMG_XATTR_OVERLAY "trusted.overlay."   /**< prefix of overlayfs' own xattrs */
#define MLIMG_XATTR_USER_OVERLAY "user.overlay." /**< the same of overlays mounted with userxattr */
#define MLIMG_XATTR_OPAQUE "trusted.overlay.opaque"
/** of chattr(1): the letters of those of a and i that the user has set; since Linux 5.15 */
#define MLIMG_XATTR_PROTATTR "trusted.overlay.protattr"
#define MLIMG_XATTR_REDIRECT "trusted.overlay.redirect"
#define MLIMG_XATTR_ORIGIN \
	"trusted.overlay.origin" /**< handle of the lower file that a copy was made of */
#define MLIMG_XATTR_METACOPY "trusted.overlay.metacopy"

/** @return whether this is an overlayfs whiteout */
static inline bool mlimg_stat_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/** @return whether @p entry is a whiteout in overlayfs' form */
bool mlimg_entry_is_whiteout(const struct mlimg_entry *entry);

/** @return whether @p entry is an opaque directory */
bool mlimg_entry_is_opaque(const struct mlimg_entry *entry);

/** @return whether the xattr @p name is overlayfs' own (trusted.overlay.* or user.overlay.*) */
bool mlimg_xattr_is_overlay(const char *name);

/** @return the xattr @p name of @p entry, or NULL */
const struct mlimg_xattr *mlimg_entry_xattr(const struct mlimg_entry *entry, const char *name);

/**
 * Give an entry an xattr, unless it has it.
 *
 * @param arena  for its list of xattrs
 * @param entry  changed; its xattrs stay in order
 * @param name   not copied
 * @param value  text, without the NUL; not copied
 * @return       0, -ENOMEM
 */
int mlimg_entry_mark(struct mlimg_arena *arena, struct mlimg_entry *entry, const char *name,
	const char *value) MLIMG_MUST_CHECK;

/**
 * Mark an entry that is immutable or append-only by a flag of its file system (chattr(1)) as
 * overlayfs does, which keeps the flags of what lies in it in an xattr: kernels before 5.15 did
 * not, and whoever has mounted the upper by itself can set them. With the flags nothing can be
 * renamed or changed there.
 *
 * @param arena          see mlimg_entry_mark()
 * @param entry          changed
 * @param is_append      it is append-only
 * @param is_immutable   it is immutable
 * @return               0, -ENOMEM
 */
int mlimg_entry_mark_flags(struct mlimg_arena *arena, struct mlimg_entry *entry, bool is_append,
	bool is_immutable) MLIMG_MUST_CHECK;

#endif
