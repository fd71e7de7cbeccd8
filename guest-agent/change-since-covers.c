/* SPDX-License-Identifier: MIT */
/*
 * Places from which directories were renamed, and which nothing hides any more: the user has removed what did on the newer stack, which had
 * nothing there. On the former one such a directory would show twice (libmlimg/reconcile-renamed.c).
 */
#include <stdlib.h>
#include <string.h>

#include "guest-agent/change-since-impl.h"
#include "libmlimg/path.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

/* A directory that was renamed: @from in the former stack, @path in the upper. */
struct renamed {
	const char *from, *path;
};

struct covers {
	struct since *s;
	struct renamed *all;
	size_t n, room;
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
	c->all[c->n++] = (struct renamed){from, e->path};
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

/* At its own path, and wherever another renamed directory shows it. */
static int cover_wherever(struct covers *c, const char *from)
{
	int r;

	if (!is_of_stack(c->s->former.manifest, from))
		return 0;
	r = cover(c->s, from, from);
	for (size_t i = 0; i < c->n && r == 0; i++) {
		const char *rest = from + strlen(c->all[i].from) + 1, *dir = c->all[i].path;
		char path[MLIMG_PATH_MAX + 1];

		if (!mlimg_path_is_below(from, c->all[i].from) ||
			strlen(dir) + 1 + strlen(rest) > MLIMG_PATH_MAX)
			continue;
		mlimg_path_join(path, dir, rest, strlen(rest));
		r = cover(c->s, path, from);
	}
	return r;
}

int since_covers(struct since *s)
{
	struct covers c = {.s = s};
	int r = 0;

	for (size_t i = 0; i < s->upper->n_entries && r == 0; i++)
		r = note_renamed(&c, &s->upper->entries[i]);
	for (size_t i = 0; i < c.n && r == 0; i++)
		r = cover_wherever(&c, c.all[i].from);
	free(c.all);
	return r;
}
