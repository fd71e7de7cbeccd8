/* SPDX-License-Identifier: MIT */
/**
 * @file owner-map.h
 * Owners of a source's entries as the layer shall have them: for sources that an ordinary user
 * owns, or whose numbers are shifted as those of a user name space are on the host.
 *
 * A map is a comma-separated list, read from left to right; the first part that knows a number
 * decides:
 *
 *     [u|g|b]:FROM:TO[:COUNT]   COUNT numbers (default: 1) from FROM on become those from TO on; of users, groups or both.
 *                               Without a letter, and its colon, both. As mount(8)'s X-mount.idmap
 *     all=UID:GID               whoever is left is UID, and GID
 *
 * What no part knows is refused, so that nobody's number gets into a layer by accident. Numbers
 * within ACLs and the root user of a file capability (security.capability of version 3) are owners
 * too; a capability whose root user becomes 0 becomes one of version 2, which is what it is then
 * (capabilities(7)).
 */
#ifndef MLIMG_TOOLS_OWNER_MAP_H
#define MLIMG_TOOLS_OWNER_MAP_H

#include "libmlimg/manifest.h"

#define MLIMG_OWNER_RANGES_MAX 340 /**< parts of a map: as many lines as a uid_map may have */

/** A map, and room for what it makes. */
struct mlimg_owner_map;

/**
 * Read a map.
 *
 * @param text     see above
 * @param ret_map  mlimg_owner_map_free() it
 * @param err      of kind MLIMG_ERR_USAGE, naming the part
 * @return         0, -EINVAL, -ENOMEM
 */
int mlimg_owner_map_parse(
	const char *text, struct mlimg_owner_map **ret_map, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free it; accepts NULL. */
void mlimg_owner_map_free(struct mlimg_owner_map *map);

/**
 * Map the owners of an entry.
 *
 * @param map        the map; NULL changes nothing
 * @param entry      an entry; ACLs and capabilities that are not well formed are left as they are
 * @param ret_entry  the entry with other owners; valid until the next call, and as long as @p entry
 * @param err        names path and number
 * @return           0; -EUCLEAN when a number is not in the map; -ENOMEM
 */
int mlimg_owner_map_apply(struct mlimg_owner_map *map, const struct mlimg_entry *entry,
	struct mlimg_entry *ret_entry, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * What stat(2) shows of an owner and a group that the present user name space has no number for.
 */
struct mlimg_unmapped {
	uint32_t uid, gid; /**< UINT32_MAX: there are no such */
};

/**
 * Look at /proc/self/uid_map and gid_map, and at overflowuid and overflowgid in /proc/sys/kernel
 * (user_namespaces(7)). A number that somebody really has is not taken for one.
 *
 * @param ret  UINT32_MAX both where /proc does not tell
 */
int mlimg_unmapped_find(struct mlimg_unmapped *ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
