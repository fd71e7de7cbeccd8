/* SPDX-License-Identifier: MIT */
/*
 * Places from which directories were renamed, and which nothing hides any more: the user has
 * removed what did on the newer stack, which had nothing there. On the former one such a directory
 * would show twice (libmlimg/reconcile-renamed.c).
 */
#include <stdlib.h>
#include <string.h>

#include "guest-agent/change-since-impl.h"
#include "libmlimg/renamed.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

struct covers {
	struct since *s;
	struct mlimg_renamed *all; /* in the former stack's layers */
	size_t n, room;
	size_t left; /* bytes of places (renamed.h) */
};

/* A place at which something of the former stack must not show. */
struct covering {
	struct since *s;
	const char *from;
};

static int note_renamed(struct covers *c, const struct mlimg_entry *e)
{
	struct since *s = c->s;
	struct mlimg_seen seen;
	char *from;

	if (e->type != MLIMG_DIR || mlimg_entry_is_opaque(e) ||
		!mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT))
		return 0;
	mlimg_upper_see(s->upper, s->former.manifest, e->path, &seen);
	if (seen.entry != e || !seen.has_lower || !*seen.lower)
		return 0;
	from = mlimg_arena_strndup(s->arena, seen.lower, strlen(seen.lower));
	if (!from || mlimg_buffer_reserve(&c->all, &c->room, (c->n + 1) * sizeof(*c->all)) < 0)
		return since_no_memory(s);
	c->all[c->n++] = (struct mlimg_renamed){from, e->path};
	return 0;
}

static bool is_of_stack(const struct mlimg_manifest *stack, const char *path)
{
	const struct mlimg_entry *e = mlimg_manifest_find(stack, path);

	return e && e->type == MLIMG_DIR;
}

/* A directory that the user has made there since, which shows what he has renamed. */
static bool is_open(const struct mlimg_seen *seen, const char *from)
{
	const struct mlimg_entry *e = seen->entry;

	return seen->kind == MLIMG_SEEN_UPPER && e->type == MLIMG_DIR && seen->has_lower &&
		strcmp(seen->lower, from) == 0 && !mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT);
}

/* Nothing that the user has there hides it. What comes back with the steps does not give way. */
static int cover(struct since *s, const char *path, const char *from)
{
	struct mlimg_undo_record record = {.op = 'c', .path = path};
	struct mlimg_seen seen;

	mlimg_upper_see(s->upper, s->former.manifest, path, &seen);
	if (is_open(&seen, from) && !is_of_stack(s->now.manifest, from)) {
		mlimg_change_extra_add(&s->then, &record);
		return 0;
	}
	return seen.kind == MLIMG_SEEN_STACK && strcmp(seen.lower, from) == 0
		? since_put_whiteout(s, path)
		: 0;
}

static int cover_in_renamed(const char *path, size_t renamed, void *ctx)
{
	struct covering *covering = ctx;

	return cover(covering->s, path, covering->from);
}

/* At its own path, and wherever another renamed directory shows it. */
static int cover_wherever(struct covers *c, const char *from)
{
	struct covering covering = {c->s, from};
	int r;

	if (!is_of_stack(c->s->former.manifest, from))
		return 0;
	r = cover(c->s, from, from);
	return r < 0 ? r
		     : mlimg_renamed_places(c->all, c->n, from, &c->left, cover_in_renamed,
			       &covering, c->s->err);
}

int since_covers(struct since *s)
{
	struct covers c = {.s = s, .left = MLIMG_RENAMED_PLACES_MAX};
	int r = 0;

	for (size_t i = 0; i < s->upper->n_entries && r == 0; i++)
		r = note_renamed(&c, &s->upper->entries[i]);
	if (c.n)
		qsort(c.all, c.n, sizeof(*c.all), mlimg_renamed_cmp);
	for (size_t i = 0; i < c.n && r == 0; i++)
		if (i == 0 || strcmp(c.all[i].from, c.all[i - 1].from) != 0)
			r = cover_wherever(&c, c.all[i].from);
	free(c.all);
	return r;
}
