/* SPDX-License-Identifier: MIT */
/* Attributes on the way back, and whether things are as they were put. */
#include <string.h>

#include "guest-agent/change-place.h"
#include "libmlimg/acl.h"
#include "libmlimg/io.h"
#include "libmlimg/whiteout.h"

static bool is_same_value(const struct mlimg_xattr *a, const struct mlimg_xattr *b)
{
	if (!a || !b)
		return !a && !b;
	return a->size == b->size && (a->size == 0 || memcmp(a->value, b->value, a->size) == 0);
}

/*
 * Of an xattr with that name @now has what one of both has. What the kernel changes with the owner
 * or the mode comes last, and has no say.
 */
static bool is_xattr_of(const struct mlimg_entry *now, const struct mlimg_entry *a,
	const struct mlimg_entry *b, const char *name)
{
	const struct mlimg_xattr *x = mlimg_entry_xattr(now, name);

	return mlimg_xattr_is_overlay(name) || strcmp(name, "security.capability") == 0 ||
		strcmp(name, MLIMG_ACL_ACCESS) == 0 ||
		is_same_value(x, mlimg_entry_xattr(a, name)) ||
		is_same_value(x, mlimg_entry_xattr(b, name));
}

/* A change of the owner takes set-id bits away, and an ACL is the group's bits. */
static bool is_mode_of(uint16_t now, uint16_t mode, bool has_acl)
{
	unsigned differ = (unsigned)(now ^ mode) & ~(has_acl ? 0070u : 0);

	return !differ || (!(differ & ~06000u) && !(now & differ));
}

bool mlimg_change_is_between(
	const struct mlimg_entry *now, const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	const struct mlimg_entry *const all[] = {now, a, b};
	bool has_acl = false;

	for (size_t i = 0; i < 3; i++)
		for (uint32_t k = 0; k < all[i]->n_xattrs; k++) {
			const char *name = all[i]->xattrs[k].name;

			has_acl |= strcmp(name, MLIMG_ACL_ACCESS) == 0;
			if (!is_xattr_of(now, a, b, name))
				return false;
		}
	return now->type == a->type && (now->uid == a->uid || now->uid == b->uid) &&
		(now->gid == a->gid || now->gid == b->gid) &&
		(is_mode_of(now->mode, a->mode, has_acl) ||
			is_mode_of(now->mode, b->mode, has_acl));
}

bool mlimg_change_is_set(
	const struct mlimg_entry *now, const struct mlimg_entry *set, const struct mlimg_entry *old)
{
	static const char capability[] = "security.capability", def[] = "system.posix_acl_default",
			  access[] = MLIMG_ACL_ACCESS;

	return now->mode == set->mode && mlimg_change_is_between(now, set, old) &&
		is_same_value(
			mlimg_entry_xattr(now, capability), mlimg_entry_xattr(set, capability)) &&
		is_same_value(mlimg_entry_xattr(now, def), mlimg_entry_xattr(set, def)) &&
		mlimg_acl_is_same(mlimg_entry_xattr(now, access), mlimg_entry_xattr(set, access));
}

int mlimg_change_set_back(struct mlimg_change *c, const struct mlimg_undo_record *record)
{
	struct mlimg_entry old = record->entry, now;
	struct mlimg_change_place at;
	int r = mlimg_change_find(c, old.path, &at);

	if (r == 0)
		r = mlimg_entry_at_read(&c->reader, at.fd, at.name, old.path, false, &now);
	if (r < 0)
		return mlimg_change_is_nowhere(r) ? 0 : r;
	if (!mlimg_change_is_between(&now, &record->fresh, &record->entry))
		return 0;
	/* The time is of the contents, which may be the user's since. */
	if (now.mtime_s != record->fresh.mtime_s || now.mtime_ns != record->fresh.mtime_ns) {
		old.mtime_s = now.mtime_s;
		old.mtime_ns = now.mtime_ns;
	}
	r = mlimg_change_step(c);
	return r < 0 ? r : mlimg_entry_at_set(&c->reader, at.fd, at.name, &old);
}

/* --- what was put --- */

/* What has no attributes of its own that would count. */
static bool is_unchanged(
	const struct mlimg_entry *now, const struct mlimg_entry *put, bool has_entries)
{
	if (mlimg_entry_is_whiteout(put))
		return mlimg_entry_is_whiteout(now);
	if (!mlimg_entry_has_same_attrs(now, put) || has_entries ||
		mlimg_entry_is_opaque(now) != mlimg_entry_is_opaque(put))
		return false;
	return put->type != MLIMG_FILE || put->size_bytes == 0 ||
		memcmp(now->digest, put->digest, sizeof(put->digest)) == 0;
}

int mlimg_change_is_put_there(struct mlimg_change *c, const struct mlimg_entry *put)
{
	struct mlimg_change_place at;
	struct mlimg_entry now;
	int has_entries = 0, r;

	if (c->is_unionfs && mlimg_entry_is_whiteout(put)) {
		r = mlimg_change_look(c, put->path);
		return r < 0 ? r : (r & ~MLIMG_UNDO_MARKERS) == MLIMG_UNDO_MARKER;
	}
	r = mlimg_change_find(c, put->path, &at);
	if (r == 0)
		r = mlimg_entry_at_read(
			&c->reader, at.fd, at.name, put->path, put->type == MLIMG_FILE, &now);
	if (mlimg_change_is_nowhere(r))
		return 0;
	if (r == 0 && now.type == MLIMG_DIR)
		r = has_entries = mlimg_dir_has_entries(at.fd, at.name);
	return r < 0 ? r : is_unchanged(&now, put, has_entries);
}
