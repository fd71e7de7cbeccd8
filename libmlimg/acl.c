/* SPDX-License-Identifier: MIT */
#include "libmlimg/acl.h"

#include <errno.h>
#include <string.h>

#include "libmlimg/le.h"

bool mlimg_acl_is_well_formed(const uint8_t *value, size_t size)
{
	return size >= MLIMG_ACL_HEADER_SIZE &&
		(size - MLIMG_ACL_HEADER_SIZE) % MLIMG_ACL_ENTRY_SIZE == 0 &&
		mlimg_get_le32(value) == MLIMG_ACL_VERSION;
}

static bool has_mask(const struct mlimg_xattr *x)
{
	for (size_t at = MLIMG_ACL_HEADER_SIZE; at < x->size; at += MLIMG_ACL_ENTRY_SIZE)
		if (mlimg_get_le16(x->value + at) == MLIMG_ACL_MASK)
			return true;
	return false;
}

/* @return how far the mode's digits that an entry repeats are shifted, or -1: it repeats none */
static int shift_of(uint16_t tag, bool is_masked)
{
	switch (tag) {
	case MLIMG_ACL_USER_OBJ: return 6;
	case MLIMG_ACL_MASK: return 3;
	case MLIMG_ACL_GROUP_OBJ: return is_masked ? -1 : 3;
	case MLIMG_ACL_OTHER: return 0;
	default: return -1;
	}
}

static bool is_same_value(const struct mlimg_xattr *a, const struct mlimg_xattr *b)
{
	return a->size == b->size && (a->size == 0 || memcmp(a->value, b->value, a->size) == 0);
}

bool mlimg_acl_is_same(const struct mlimg_xattr *a, const struct mlimg_xattr *b)
{
	bool is_masked;

	if (!a || !b)
		return !a && !b;
	if (a->size != b->size || !mlimg_acl_is_well_formed(a->value, a->size) ||
		!mlimg_acl_is_well_formed(b->value, b->size))
		return is_same_value(a, b);
	is_masked = has_mask(a);
	for (size_t at = MLIMG_ACL_HEADER_SIZE; at < a->size; at += MLIMG_ACL_ENTRY_SIZE) {
		const uint8_t *x = a->value + at, *y = b->value + at;
		bool is_mode = shift_of(mlimg_get_le16(x), is_masked) >= 0;

		/* Tag, rights, and whose. */
		if (memcmp(x, y, 2) != 0 || (!is_mode && memcmp(x, y, MLIMG_ACL_ENTRY_SIZE) != 0))
			return false;
	}
	return true;
}

int mlimg_acl_fit(struct mlimg_xattr *x, uint16_t mode, struct mlimg_arena *arena)
{
	uint8_t *value;
	bool is_masked;

	if (!mlimg_acl_is_well_formed(x->value, x->size))
		return 0;
	value = mlimg_arena_alloc(arena, x->size);
	if (!value)
		return -ENOMEM;
	memcpy(value, x->value, x->size);
	is_masked = has_mask(x);
	for (size_t at = MLIMG_ACL_HEADER_SIZE; at < x->size; at += MLIMG_ACL_ENTRY_SIZE) {
		int shift = shift_of(mlimg_get_le16(value + at), is_masked);

		if (shift >= 0)
			mlimg_put_le16(value + at + 2, mode >> shift & 7);
	}
	x->value = value;
	return 0;
}
