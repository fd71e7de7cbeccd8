/* SPDX-License-Identifier: MIT */
#include "libmlimg/owner-set.h"

#include <errno.h>
#include <stdlib.h>

#include "libmlimg/owner-moves.h"

static size_t bit_of(bool is_group, uint32_t id)
{
	return (is_group ? MLIMG_OWNER_SET_IDS : 0) + id;
}

int mlimg_owner_set_add(struct mlimg_owner_set *set, bool is_group, uint32_t id)
{
	size_t bit = bit_of(is_group, id);

	if (id >= MLIMG_OWNER_SET_IDS) {
		set->has_large = true;
		return 0;
	}
	if (!set->owners)
		set->owners = calloc(2, MLIMG_OWNER_SET_IDS / 8);
	if (!set->owners)
		return -ENOMEM;
	set->owners[bit / 8] |= (uint8_t)(1u << bit % 8);
	return 0;
}

static int add_id(bool is_group, uint32_t id, void *ctx)
{
	return mlimg_owner_set_add(ctx, is_group, id);
}

int mlimg_owner_set_add_acl(struct mlimg_owner_set *set, const uint8_t *value, size_t size)
{
	return mlimg_acl_each(value, size, add_id, set);
}

int mlimg_owner_set_add_entry(struct mlimg_owner_set *set, const struct mlimg_entry *entry)
{
	int r = mlimg_owner_set_add(set, false, entry->uid);

	if (r == 0)
		r = mlimg_owner_set_add(set, true, entry->gid);
	for (uint32_t i = 0; i < entry->n_xattrs && r == 0; i++)
		if (mlimg_acl_is_name(entry->xattrs[i].name))
			r = mlimg_owner_set_add_acl(
				set, entry->xattrs[i].value, entry->xattrs[i].size);
	return r;
}

int mlimg_owner_set_has(const struct mlimg_owner_set *set, bool is_group, uint32_t id)
{
	size_t bit = bit_of(is_group, id);

	if (id < MLIMG_OWNER_SET_IDS && set->owners && set->owners[bit / 8] & 1u << bit % 8)
		return 1;
	return set->is_cut || (id >= MLIMG_OWNER_SET_IDS && set->has_large) ? -1 : 0;
}

struct owner {
	bool is_group;
	uint32_t id;
};

static int is_owner(bool is_group, uint32_t id, void *ctx)
{
	const struct owner *owner = ctx;

	return owner->is_group == is_group && owner->id == id;
}

bool mlimg_entry_is_of(const struct mlimg_entry *entry, bool is_group, uint32_t id)
{
	struct owner owner = {is_group, id};

	if ((is_group ? entry->gid : entry->uid) == id)
		return true;
	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		if (mlimg_acl_is_name(entry->xattrs[i].name) &&
			mlimg_acl_each(
				entry->xattrs[i].value, entry->xattrs[i].size, is_owner, &owner))
			return true;
	return false;
}

void mlimg_owner_set_done(struct mlimg_owner_set *set)
{
	free(set->owners);
	set->owners = NULL;
}
