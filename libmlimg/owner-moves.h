/* SPDX-License-Identifier: MIT */
/**
 * @file owner-moves.h
 * Users and groups whose numbers have moved between two stacks, and entries with the numbers that
 * they have then: owner, group, the numbers in POSIX ACLs (system.posix_acl_access and _default;
 * linux/posix_acl_xattr.h).
 */
#ifndef MLIMG_OWNER_MOVES_H
#define MLIMG_OWNER_MOVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/arena.h"
#include "libmlimg/manifest.h"

/** A number and what it has become. */
struct mlimg_moved_id {
	uint32_t from, to;
};

/**
 * All of them. A number that is not among them stays. They all move at once: two may change places.
 */
struct mlimg_owner_moves {
	const struct mlimg_moved_id *uids; /**< ascending by from, each once */
	size_t n_uids;
	const struct mlimg_moved_id *gids; /**< likewise */
	size_t n_gids;
};

/** @return what the number @p id becomes by @p ids, of which there are @p n, ascending */
uint32_t mlimg_moved_id_of(const struct mlimg_moved_id *ids, size_t n, uint32_t id);

/** @return whether there are none; NULL has none */
bool mlimg_owner_moves_is_empty(const struct mlimg_owner_moves *moves);

/**
 * Map the owners of an entry.
 *
 * @param moves      may be NULL
 * @param entry      an entry; an ACL that is not well formed is left as it is
 * @param arena      for xattrs that change
 * @param ret_entry  the entry with other owners; shares what has not changed with @p entry
 * @return           1 when something changed, 0 when not, -ENOMEM
 */
int mlimg_owner_moves_apply(const struct mlimg_owner_moves *moves, const struct mlimg_entry *entry,
	struct mlimg_arena *arena, struct mlimg_entry *ret_entry) MLIMG_MUST_CHECK;

/** @return whether it is the name of an xattr that is an ACL */
bool mlimg_acl_is_name(const char *name);

/** Told of a user or group. @return 0; anything else ends it */
typedef int mlimg_acl_fn(bool is_group, uint32_t id, void *ctx);

/**
 * Tell of each user and group that an ACL names.
 *
 * @param value  as getxattr(2) returns it; one that is not well formed names nobody
 * @param size   its bytes
 * @param fn     told of each
 * @param ctx    handed to @p fn
 * @return       0, or what @p fn returned
 */
int mlimg_acl_each(const uint8_t *value, size_t size, mlimg_acl_fn *fn, void *ctx) MLIMG_MUST_CHECK;

#endif
