/* SPDX-License-Identifier: MIT */
/**
 * @file acl.h
 * POSIX access ACLs beside the modes of files. An ACL repeats digits of the mode: the owner's and
 * the others' rights, and as its mask the group's (acl(5), "correspondence between ACL entries and
 * file permission bits"); chmod(2) changes these in the ACL, and setting an ACL changes the mode.
 * Who compares or merges both as if each stood for itself takes one change for two. Whom an ACL
 * names is owner-moves.h's.
 *
 * Format of the xattr: linux/posix_acl_xattr.h, a header of four bytes and entries of eight; the
 * tags are linux/posix_acl.h's. A value that is not well formed is bytes as any other.
 */
#ifndef MLIMG_ACL_H
#define MLIMG_ACL_H

#include "libmlimg/arena.h"
#include "libmlimg/manifest.h"

#define MLIMG_ACL_ACCESS "system.posix_acl_access"

#define MLIMG_ACL_HEADER_SIZE 4
#define MLIMG_ACL_ENTRY_SIZE 8
#define MLIMG_ACL_VERSION 2

/** Tags of entries. */
enum mlimg_acl_tag {
	MLIMG_ACL_USER_OBJ = 0x01,
	MLIMG_ACL_USER = 0x02,
	MLIMG_ACL_GROUP_OBJ = 0x04,
	MLIMG_ACL_GROUP = 0x08,
	MLIMG_ACL_MASK = 0x10,
	MLIMG_ACL_OTHER = 0x20,
};

/** @return whether a value is an ACL, of whatever entries */
bool mlimg_acl_is_well_formed(const uint8_t *value, size_t size);

/**
 * @return whether two access ACLs say the same beside what the modes say; NULL is the same as NULL
 */
bool mlimg_acl_is_same(const struct mlimg_xattr *a, const struct mlimg_xattr *b);

/**
 * Give an access ACL the digits of a mode, as chmod(2) does.
 *
 * @param x      the xattr; its value is replaced by another one where that is needed
 * @param mode   of the file
 * @param arena  for the value
 * @return       0, -ENOMEM
 */
int mlimg_acl_fit(struct mlimg_xattr *x, uint16_t mode, struct mlimg_arena *arena) MLIMG_MUST_CHECK;

#endif
