/* SPDX-License-Identifier: MIT */
/*
 * What the upper may get although it has nothing there: databases merged by record, links,
 * whiteouts, and things of the new stack whose owner has moved. Whether it does says
 * reconcile-extra.c.
 */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/reconcile-impl.h"

static int add(struct planning *p, struct extras *extras, struct extra extra)
{
	if (mlimg_buffer_reserve(
		    &extras->all, &extras->room, (extras->n + 1) * sizeof(*extras->all)) < 0)
		return no_memory(p, extra.path);
	if (!extra.lower)
		extra.lower = extra.path;
	extras->all[extras->n++] = extra;
	return 0;
}

/* @return whether the new stack shows another text there, or one that is no longer its owner's */
static bool is_new_text(struct planning *p, const struct mlimg_reconcile_text *text)
{
	const struct mlimg_entry *next = mlimg_manifest_find(p->in->next, text->path), *moved;
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_entry buf;

	if (!next)
		return true;
	if (next->type != MLIMG_FILE)
		return false;
	moved = plan_next_at(p, text->path, &buf);
	if (moved->uid != next->uid || moved->gid != next->gid)
		return true;
	if (next->size_bytes != text->size || !next->has_digest)
		return true;
	mlimg_sha256_of(text->data, text->size, digest);
	return memcmp(digest, next->digest, sizeof(digest)) != 0;
}

struct adding {
	struct planning *p;
	struct extras *extras;
	struct extra like;
};

static int add_in_renamed(const char *path, size_t renamed, void *ctx)
{
	struct adding *a = ctx;

	a->like.path = mlimg_arena_strndup(a->p->arena, path, strlen(path));
	if (!a->like.path)
		return no_memory(a->p, path);
	a->like.renamed = renamed;
	return add(a->p, a->extras, a->like);
}

/* At its own path, and wherever a renamed directory shows it. @like: without its paths */
static int add_wherever(
	struct planning *p, struct extras *extras, struct extra like, const char *lower)
{
	struct adding a = {p, extras, like};
	int r;

	a.like.path = a.like.lower = lower;
	r = add(p, extras, a.like);
	return r < 0 ? r
		     : mlimg_renamed_places(p->renamed, p->n_renamed, lower, &extras->left,
			       add_in_renamed, &a, p->err);
}

/*
 * The places from which directories were renamed. The user may have removed what hid one of them
 * while the stack had nothing there, which leaves no whiteout.
 */
static int add_covers(struct planning *p, struct extras *extras)
{
	int r = 0;

	for (size_t i = 0; i < p->n_renamed && r == 0; i++) {
		const char *from = p->renamed[i].from;
		const struct mlimg_entry *next = mlimg_manifest_find(p->in->next, from);

		if (*from && !plan_is_again(from, i ? p->renamed[i - 1].from : NULL) && next &&
			next->type == MLIMG_DIR)
			r = add_wherever(p, extras,
				(struct extra){.is_hidden = true, .is_cover = true}, from);
	}
	return r;
}

static int add_moved(struct planning *p, struct extras *extras)
{
	struct mlimg_arena *arena = mlimg_arena_new();
	int r = arena ? 0 : no_memory(p, "");

	for (size_t i = 1; i < p->in->next->n_entries && r == 0; i++) {
		const struct mlimg_entry *e = &p->in->next->entries[i];
		struct mlimg_entry moved;
		int changed = mlimg_owner_moves_apply(p->in->moved_in_next, e, arena, &moved);

		if (changed < 0)
			r = no_memory(p, e->path);
		else if (changed && !plan_find_text(p, e->path) && !plan_find_link(p, e->path) &&
			(e->type != MLIMG_FILE || e->size_bytes == 0 || e->has_digest))
			r = add_wherever(p, extras, (struct extra){.is_hidden = false}, e->path);
	}
	mlimg_arena_free(arena);
	return r;
}

/*
 * Which of several at one path is put. What hides all else there and below comes first; then what
 * databases say is there, contents before a link; then what must not show. A thing whose owner has
 * moved comes last: none of these shows it.
 */
static int rank(const struct extra *extra)
{
	return extra->is_cover ? 0 : extra->text ? 1 : extra->is_hidden ? 3 : extra->link ? 2 : 4;
}

bool plan_extra_is_moved(const struct extra *extra)
{
	return rank(extra) == 4;
}

static int by_path(const void *a, const void *b)
{
	const struct extra *x = a, *y = b;
	int r = mlimg_manifest_path_cmp(x->path, y->path);

	return r ? r : rank(x) - rank(y);
}

/* What the system has anew where the user diverts a file from. */
static int add_diverted(
	struct planning *p, struct extras *extras, const struct mlimg_packages_diversion *diversion)
{
	int r;

	if (!plan_diverted_is_new(p, diversion))
		return 0;
	r = add(p, extras, (struct extra){.path = diversion->to, .lower = diversion->path});
	return r < 0 ? r
		     : add(p, extras, (struct extra){.path = diversion->path, .is_hidden = true});
}

int plan_extras_find(struct planning *p, struct extras *extras)
{
	int r = 0;

	extras->left = MLIMG_RENAMED_PLACES_MAX;
	for (size_t i = 0; i < p->in->n_texts && r == 0; i++)
		if (!plan_is_again(p->in->texts[i].path, i ? p->in->texts[i - 1].path : NULL) &&
			is_new_text(p, &p->in->texts[i]))
			r = add(p, extras,
				(struct extra){
					.path = p->in->texts[i].path, .text = &p->in->texts[i]});
	for (size_t i = 0; i < p->in->n_hidden && r == 0; i++) {
		const struct mlimg_entry *next = mlimg_manifest_find(p->in->next, p->in->hidden[i]);

		if (next && next->type != MLIMG_DIR)
			r = add(p, extras,
				(struct extra){.path = p->in->hidden[i], .is_hidden = true});
	}
	for (size_t i = 0; i < p->in->n_links && r == 0; i++) {
		const struct mlimg_packages_link *link = &p->in->links[i];
		const struct mlimg_entry *next = mlimg_manifest_find(p->in->next, link->path);

		if (!plan_is_again(link->path, i ? link[-1].path : NULL) &&
			!plan_is_link_of(next, link) && !(next && next->type == MLIMG_DIR))
			r = add(p, extras,
				(struct extra){.path = link->path,
					.link = link,
					.is_hidden = !link->target});
	}
	for (size_t i = 0; i < p->in->n_diversions && r == 0; i++)
		r = add_diverted(p, extras, &p->in->diversions[i]);
	if (r == 0 && !mlimg_owner_moves_is_empty(p->in->moved_in_next))
		r = add_moved(p, extras);
	if (r == 0)
		r = add_covers(p, extras);
	if (extras->n)
		qsort(extras->all, extras->n, sizeof(*extras->all), by_path);
	return r;
}
