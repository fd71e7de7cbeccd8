/* SPDX-License-Identifier: MIT */
#include "libmlimg/owner-moves.h"

#include <errno.h>
#include <string.h>

#include "libmlimg/acl.h"
#include "libmlimg/le.h"

bool mlimg_owner_moves_is_empty(const struct mlimg_owner_moves *moves)
{
	return !moves || moves->n_uids + moves->n_gids == 0;
}

uint32_t mlimg_moved_id_of(const struct mlimg_moved_id *ids, size_t n, uint32_t id)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ids[middle].from == id)
			return ids[middle].to;
		if (ids[middle].from < id)
			low = middle + 1;
		else
			high = middle;
	}
	return id;
}

bool mlimg_acl_is_name(const char *name)
{
	return strcmp(name, MLIMG_ACL_ACCESS) == 0 || strcmp(name, "system.posix_acl_default") == 0;
}

static bool is_acl(const struct mlimg_xattr *x)
{
	return mlimg_acl_is_name(x->name) && mlimg_acl_is_well_formed(x->value, x->size);
}

int mlimg_acl_each(const uint8_t *value, size_t size, mlimg_acl_fn *fn, void *ctx)
{
	int r = 0;

	if (!mlimg_acl_is_well_formed(value, size))
		return 0;
	for (size_t at = MLIMG_ACL_HEADER_SIZE; at < size && r == 0; at += MLIMG_ACL_ENTRY_SIZE) {
		uint16_t tag = mlimg_get_le16(value + at);

		if (tag == MLIMG_ACL_USER || tag == MLIMG_ACL_GROUP)
			r = fn(tag == MLIMG_ACL_GROUP, mlimg_get_le32(value + at + 4), ctx);
	}
	return r;
}

/* @param to  where the value goes; may be @p from itself. @return whether it is another one then */
static bool map_acl(
	const struct mlimg_owner_moves *moves, const uint8_t *from, size_t size, uint8_t *to)
{
	bool has_changed = false;

	for (size_t at = MLIMG_ACL_HEADER_SIZE; at < size; at += MLIMG_ACL_ENTRY_SIZE) {
		uint16_t tag = mlimg_get_le16(from + at);
		uint32_t id = mlimg_get_le32(from + at + 4), is = id;

		if (tag == MLIMG_ACL_USER)
			is = mlimg_moved_id_of(moves->uids, moves->n_uids, id);
		else if (tag == MLIMG_ACL_GROUP)
			is = mlimg_moved_id_of(moves->gids, moves->n_gids, id);
		if (is == id)
			continue;
		has_changed = true;
		if (to)
			mlimg_put_le32(to + at + 4, is);
	}
	return has_changed;
}

/* @return 1 when @entry has xattrs of its own now, 0, -ENOMEM */
static int own_xattrs(
	struct mlimg_entry *entry, const struct mlimg_entry *of, struct mlimg_arena *arena)
{
	struct mlimg_xattr *own;

	if (entry->xattrs != of->xattrs)
		return 1;
	own = mlimg_arena_alloc(arena, of->n_xattrs * sizeof(*own));
	if (!own)
		return -ENOMEM;
	memcpy(own, of->xattrs, of->n_xattrs * sizeof(*own));
	entry->xattrs = own;
	return 1;
}

static int map_xattrs(const struct mlimg_owner_moves *moves, const struct mlimg_entry *entry,
	struct mlimg_arena *arena, struct mlimg_entry *mapped)
{
	int r = 0;

	for (uint32_t i = 0; i < entry->n_xattrs && r >= 0; i++) {
		const struct mlimg_xattr *x = &entry->xattrs[i];
		uint8_t *value;

		if (!is_acl(x) || !map_acl(moves, x->value, x->size, NULL))
			continue;
		value = (uint8_t *)mlimg_arena_strndup(arena, (const char *)x->value, x->size);
		r = value ? own_xattrs(mapped, entry, arena) : -ENOMEM;
		if (r < 0)
			break;
		map_acl(moves, x->value, x->size, value);
		mapped->xattrs[i].value = value;
	}
	return r;
}

int mlimg_owner_moves_apply(const struct mlimg_owner_moves *moves, const struct mlimg_entry *entry,
	struct mlimg_arena *arena, struct mlimg_entry *ret_entry)
{
	struct mlimg_entry mapped = *entry;
	int r = 0;

	if (!mlimg_owner_moves_is_empty(moves)) {
		mapped.uid = mlimg_moved_id_of(moves->uids, moves->n_uids, entry->uid);
		mapped.gid = mlimg_moved_id_of(moves->gids, moves->n_gids, entry->gid);
		r = map_xattrs(moves, entry, arena, &mapped);
	}
	if (r < 0)
		return r;
	*ret_entry = mapped;
	return r == 1 || mapped.uid != entry->uid || mapped.gid != entry->gid;
}
