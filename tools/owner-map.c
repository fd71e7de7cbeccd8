/* SPDX-License-Identifier: MIT */
#include "tools/owner-map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/le.h"

/* struct posix_acl_xattr_entry of linux/posix_acl_xattr.h; tags of linux/posix_acl.h. */
#define ACL_HEADER_SIZE 4
#define ACL_ENTRY_SIZE 8
#define ACL_ENTRY_ID 4
#define ACL_USER 0x02
#define ACL_GROUP 0x08

/* struct vfs_cap_data and vfs_ns_cap_data of linux/capability.h. */
#define CAP_REVISION_MASK 0xff000000u
#define CAP_REVISION_2 0x02000000u
#define CAP_REVISION_3 0x03000000u
#define CAP_SIZE_2 20
#define CAP_SIZE_3 24
#define CAP_ROOT_ID 20

enum { USERS = 1, GROUPS = 2 };

struct range {
	unsigned whose;
	uint32_t from, to, count;
};

struct mlimg_owner_map {
	struct range *ranges;
	size_t n, ranges_room;
	bool has_rest;
	uint32_t rest_uid, rest_gid;
	struct mlimg_xattr *xattrs; /* of the present entry */
	uint8_t *values;            /* those that were changed */
	size_t xattrs_room, values_room;
};

/* A part of the map while it is read. */
struct part {
	const char *text;
	size_t size;
};

static int bad_part(const struct part *p, struct mlimg_err *err)
{
	return mlimg_err_usage(err,
		"--owner-map: '%.*s' is neither [u:|g:|b:]FROM:TO[:COUNT] nor all=UID:GID",
		(int)p->size, p->text);
}

/* A decimal number, after which *@at is where it ends. (uint32_t)-1 is no owner. */
static bool take_number(const char **at, const char *end, uint32_t *ret_number)
{
	const char *p = *at;
	uint64_t n = 0;

	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		n = 10 * n + (uint64_t)(*p - '0');
		if (n >= UINT32_MAX)
			return false;
	}
	if (p == *at)
		return false;
	*at = p;
	*ret_number = (uint32_t)n;
	return true;
}

static bool take_colon(const char **at, const char *end)
{
	if (*at == end || **at != ':')
		return false;
	++*at;
	return true;
}

static bool parse_rest(struct mlimg_owner_map *map, const char *at, const char *end)
{
	map->has_rest = true;
	return take_number(&at, end, &map->rest_uid) && take_colon(&at, end) &&
		take_number(&at, end, &map->rest_gid) && at == end;
}

static bool parse_range(const char *at, const char *end, struct range *range)
{
	*range = (struct range){.whose = USERS | GROUPS, .count = 1};
	if (end - at > 2 && at[1] == ':' && strchr("ugb", *at)) {
		range->whose = *at == 'u' ? USERS : *at == 'g' ? GROUPS : USERS | GROUPS;
		at += 2;
	}
	if (!take_number(&at, end, &range->from) || !take_colon(&at, end) ||
		!take_number(&at, end, &range->to))
		return false;
	if (at < end && (!take_colon(&at, end) || !take_number(&at, end, &range->count)))
		return false;
	return at == end && range->count > 0 && range->count <= UINT32_MAX - range->from &&
		range->count <= UINT32_MAX - range->to;
}

static int parse_part(struct mlimg_owner_map *map, const struct part *p, struct mlimg_err *err)
{
	const char *end = p->text + p->size;
	struct range range;

	if (p->size > 4 && strncmp(p->text, "all=", 4) == 0) {
		if (map->has_rest)
			return mlimg_err_usage(err, "--owner-map: more than one all=");
		return parse_rest(map, p->text + 4, end) ? 0 : bad_part(p, err);
	}
	if (!parse_range(p->text, end, &range))
		return bad_part(p, err);
	if (map->n == MLIMG_OWNER_RANGES_MAX)
		return mlimg_err_usage(
			err, "--owner-map: more than %d parts", MLIMG_OWNER_RANGES_MAX);
	if (mlimg_buffer_reserve(
		    &map->ranges, &map->ranges_room, (map->n + 1) * sizeof(*map->ranges)) < 0)
		return mlimg_err_set(err, ENOMEM, "--owner-map");
	map->ranges[map->n++] = range;
	return 0;
}

int mlimg_owner_map_parse(const char *text, struct mlimg_owner_map **ret_map, struct mlimg_err *err)
{
	struct mlimg_owner_map *map = calloc(1, sizeof(*map));
	int r = map ? 0 : mlimg_err_set(err, ENOMEM, "--owner-map");

	for (bool is_last = false; r == 0 && !is_last;) {
		struct part p = {.text = text, .size = strcspn(text, ",")};

		is_last = !text[p.size];
		r = parse_part(map, &p, err);
		text += p.size + 1;
	}
	if (r < 0)
		mlimg_owner_map_free(map);
	else
		*ret_map = map;
	return r;
}

void mlimg_owner_map_free(struct mlimg_owner_map *map)
{
	if (!map)
		return;
	free(map->ranges);
	free(map->xattrs);
	free(map->values);
	free(map);
}

/* @return whether the map knows the number */
static bool map_id(const struct mlimg_owner_map *map, unsigned whose, uint32_t *id)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct range *range = &map->ranges[i];

		if (range->whose & whose && *id >= range->from &&
			*id - range->from < range->count) {
			*id = range->to + (*id - range->from);
			return true;
		}
	}
	if (map->has_rest)
		*id = whose == USERS ? map->rest_uid : map->rest_gid;
	return map->has_rest;
}

static int map_or_refuse(const struct mlimg_owner_map *map, unsigned whose, uint32_t *id,
	const char *path, const char *what, struct mlimg_err *err)
{
	if (map_id(map, whose, id))
		return 0;
	return mlimg_err_refuse(err, "'%s': %s %s %u, which --owner-map does not have",
		path[0] ? path : ".", what, whose == USERS ? "user" : "group", *id);
}

static int map_acl(const struct mlimg_owner_map *map, uint8_t *value, size_t size, const char *path,
	struct mlimg_err *err)
{
	int r = 0;

	for (size_t at = ACL_HEADER_SIZE; r == 0 && size - at >= ACL_ENTRY_SIZE && at < size;
		at += ACL_ENTRY_SIZE) {
		uint32_t tag = mlimg_get_le16(value + at),
			 id = mlimg_get_le32(value + at + ACL_ENTRY_ID);

		if (tag != ACL_USER && tag != ACL_GROUP)
			continue;
		r = map_or_refuse(
			map, tag == ACL_USER ? USERS : GROUPS, &id, path, "its ACL names", err);
		mlimg_put_le32(value + at + ACL_ENTRY_ID, id);
	}
	return r;
}

/* @param size  may become smaller */
static int map_capability(const struct mlimg_owner_map *map, uint8_t *value, size_t *size,
	const char *path, struct mlimg_err *err)
{
	uint32_t magic = mlimg_get_le32(value), root = mlimg_get_le32(value + CAP_ROOT_ID);
	int r = map_or_refuse(map, USERS, &root, path, "its file capability is for", err);

	mlimg_put_le32(value + CAP_ROOT_ID, root);
	if (root == 0) {
		mlimg_put_le32(value, (magic & ~CAP_REVISION_MASK) | CAP_REVISION_2);
		*size = CAP_SIZE_2;
	}
	return r;
}

static bool is_acl(const struct mlimg_xattr *x)
{
	return (strcmp(x->name, "system.posix_acl_access") == 0 ||
		       strcmp(x->name, "system.posix_acl_default") == 0) &&
		x->size > ACL_HEADER_SIZE;
}

static bool is_owned_capability(const struct mlimg_xattr *x)
{
	return strcmp(x->name, "security.capability") == 0 && x->size == CAP_SIZE_3 &&
		(mlimg_get_le32(x->value) & CAP_REVISION_MASK) == CAP_REVISION_3;
}

static int map_xattrs(struct mlimg_owner_map *map, struct mlimg_entry *entry, struct mlimg_err *err)
{
	size_t used = 0, total = 0;
	int r = 0;

	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		if (is_acl(&entry->xattrs[i]) || is_owned_capability(&entry->xattrs[i]))
			total += entry->xattrs[i].size;
	if (!total)
		return 0;
	if (mlimg_buffer_reserve(
		    &map->xattrs, &map->xattrs_room, entry->n_xattrs * sizeof(*map->xattrs)) < 0 ||
		mlimg_buffer_reserve(&map->values, &map->values_room, total) < 0)
		return mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
	memcpy(map->xattrs, entry->xattrs, entry->n_xattrs * sizeof(*map->xattrs));
	entry->xattrs = map->xattrs;
	for (uint32_t i = 0; r == 0 && i < entry->n_xattrs; i++) {
		struct mlimg_xattr *x = &entry->xattrs[i];
		bool is_cap = is_owned_capability(x);

		if (!is_cap && !is_acl(x))
			continue;
		x->value = memcpy(map->values + used, x->value, x->size);
		used += x->size;
		r = is_cap ? map_capability(map, x->value, &x->size, entry->path, err)
			   : map_acl(map, x->value, x->size, entry->path, err);
	}
	return r;
}

int mlimg_owner_map_apply(struct mlimg_owner_map *map, const struct mlimg_entry *entry,
	struct mlimg_entry *ret_entry, struct mlimg_err *err)
{
	int r;

	*ret_entry = *entry;
	if (!map)
		return 0;
	r = map_or_refuse(map, USERS, &ret_entry->uid, entry->path, "its owner is", err);
	if (r == 0)
		r = map_or_refuse(map, GROUPS, &ret_entry->gid, entry->path, "its owner is", err);
	return r < 0 ? r : map_xattrs(map, ret_entry, err);
}
