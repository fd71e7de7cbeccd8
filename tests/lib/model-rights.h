/* SPDX-License-Identifier: MIT */
/**
 * @file model-rights.h
 * What else than owner and mode says what may be done with a file of the model of reconcile:
 * POSIX ACLs and file capabilities, as the kernel's xattrs (linux/posix_acl_xattr.h,
 * linux/capability.h) and, for model-trees.h, as their bytes in hexadecimal.
 */
#ifndef MLIMG_TEST_MODEL_RIGHTS_H
#define MLIMG_TEST_MODEL_RIGHTS_H

#include "tests/lib/model-trees.h"

enum {
	ACL_USER_OBJ = 1,
	ACL_USER = 2,
	ACL_GROUP_OBJ = 4,
	ACL_GROUP = 8,
	ACL_MASK = 16,
	ACL_OTHER = 32
};

/* An entry of an ACL as text: tag, rights, whose, little-endian; of these there are 16 digits. */
#define ACL_ENTRY_DIGITS 16
#define ACL_HEAD_DIGITS 8
#define ACL_NOBODY 0xffffffffu

static char *put_le(char *to, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++, value >>= 8)
		to += sprintf(to, "%02x", value & 0xff);
	return to;
}

static uint32_t get_le(const char *from, int bytes)
{
	uint32_t value = 0;

	for (int i = bytes; i-- > 0;) {
		unsigned byte;

		ASSERT_EQ(sscanf(from + 2 * (ptrdiff_t)i, "%2x", &byte), 1);
		value = value << 8 | byte;
	}
	return value;
}

static char *put_acl_entry(char *to, unsigned tag, unsigned rights, uint32_t id)
{
	return put_le(put_le(put_le(to, tag, 2), rights, 2), id, 4);
}

/**
 * @param mode   the file's: its digits are in the ACL, and the group's is the mask
 * @param id     of the user, or the group, who has rights of his own
 * @param which  of a few ACLs, whatever number
 * @return       as text
 */
TEST_UNUSED static const char *acl_text(unsigned mode, uint32_t id, unsigned which)
{
	char text[128], *to = put_le(text, 2, 4);

	to = put_acl_entry(to, ACL_USER_OBJ, mode >> 6 & 7, ACL_NOBODY);
	if (which % 3 != 1)
		to = put_acl_entry(to, ACL_USER, which % 2 ? 6 : 4, id);
	to = put_acl_entry(to, ACL_GROUP_OBJ, which % 5, ACL_NOBODY);
	if (which % 3 != 0)
		to = put_acl_entry(to, ACL_GROUP, which % 2 ? 4 : 7, id);
	to = put_acl_entry(to, ACL_MASK, mode >> 3 & 7, ACL_NOBODY);
	put_acl_entry(to, ACL_OTHER, mode & 7, ACL_NOBODY);
	return model_string(text);
}

/** @return one of two file capabilities, as text */
TEST_UNUSED static const char *capability_text(unsigned which)
{
	char text[64], *to = put_le(text, 0x02000001, 4); /* second revision, effective */

	to = put_le(to, which % 2 ? 1u << 10 : 1u << 13, 4);
	put_le(put_le(put_le(to, 0, 4), 0, 4), 0, 4);
	return model_string(text);
}

/** As chmod(2): the digits of the mode become the ACL's. */
TEST_UNUSED static void fit_acl(struct mlimg_entry *e)
{
	const char *was = xattr_text(e, MODEL_ACL);
	char *text;

	if (!was)
		return;
	text = model_string(was);
	for (char *at = text + ACL_HEAD_DIGITS; *at; at += ACL_ENTRY_DIGITS) {
		uint32_t tag = get_le(at, 2), id = get_le(at + 8, 4);
		unsigned shift = tag == ACL_USER_OBJ ? 6 : tag == ACL_MASK ? 3 : 0;
		char fit[ACL_ENTRY_DIGITS + 1];

		if (tag != ACL_USER_OBJ && tag != ACL_MASK && tag != ACL_OTHER)
			continue;
		put_acl_entry(fit, tag, e->mode >> shift & 7, id);
		memcpy(at, fit, ACL_ENTRY_DIGITS);
	}
	set_xattr(e, MODEL_ACL, text);
}

/** @return an xattr as text; of an ACL what it says beside the mode */
TEST_UNUSED static const char *rights_beside_mode(const struct mlimg_entry *e, const char *name)
{
	struct mlimg_entry plain = *e;

	plain.mode = 0;
	if (strcmp(name, MODEL_ACL) == 0)
		fit_acl(&plain);
	return xattr_text(&plain, name);
}

/**
 * Whom an ACL names.
 *
 * @param name    of the xattr
 * @param nth     0, 1 ...
 * @param ret_id  the number
 * @param ret_is_group  whether it is a group's
 * @return        whether there is one
 */
TEST_UNUSED static bool acl_names(const struct mlimg_entry *e, const char *name, unsigned nth,
	uint32_t *ret_id, bool *ret_is_group)
{
	const char *text = xattr_text(e, name);

	for (const char *at = text ? text + ACL_HEAD_DIGITS : ""; *at; at += ACL_ENTRY_DIGITS) {
		uint32_t tag = get_le(at, 2);

		if ((tag != ACL_USER && tag != ACL_GROUP) || nth-- > 0)
			continue;
		*ret_id = get_le(at + 8, 4);
		*ret_is_group = tag == ACL_GROUP;
		return true;
	}
	return false;
}

typedef uint32_t acl_id_fn(uint32_t id, void *ctx);

/** Give an ACL, if there is one, other numbers. */
TEST_UNUSED static void map_acl(struct mlimg_entry *e, const char *name, acl_id_fn *fn, void *ctx)
{
	const char *was = xattr_text(e, name);
	char *text;

	if (!was)
		return;
	text = model_string(was);
	for (char *at = text + ACL_HEAD_DIGITS; *at; at += ACL_ENTRY_DIGITS) {
		uint32_t tag = get_le(at, 2);
		char id[9];

		if (tag != ACL_USER && tag != ACL_GROUP)
			continue;
		put_le(id, fn(get_le(at + 8, 4), ctx), 4);
		memcpy(at + 8, id, 8);
	}
	set_xattr(e, name, text);
}

#endif
