/* SPDX-License-Identifier: MIT */
/*
 * Directories that were renamed. overlayfs finds what such a one shows by its path in the layers
 * (trusted.overlay.redirect), and what the upper has at that path does not matter to it (the
 * kernel's fs/overlayfs/namei.c, ovl_lookup()). So whatever hides that path from the user must stay
 * as long as the redirect does.
 */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/path.h"
#include "libmlimg/reconcile-impl.h"
#include "libmlimg/whiteout.h"

#define ROUNDS_MAX 16 /* that users' own uppers need are three, of which the last finds no change */

/* @return the first one that does not come before @lower */
static size_t find_from(const struct planning *p, const char *lower)
{
	return mlimg_renamed_first(p->renamed, p->n_renamed, lower);
}

/* @return the first one after @low that is not within @lower */
static size_t find_end(const struct planning *p, size_t low, const char *lower)
{
	size_t high = p->n_renamed;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mlimg_path_is_within(p->renamed[middle].from, lower))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What is below a directory follows it without a gap. */
static bool is_all_below(const struct renamed_span *span, const char *path)
{
	return mlimg_path_is_below(span->first, path) && mlimg_path_is_below(span->last, path);
}

/*
 * A stranger can have it asked for as many directories, one in the other, as a path has components,
 * each of which shows all that he has renamed: so they are not looked at one by one.
 */
bool plan_covers_renamed(const struct planning *p, const char *path, const char *lower)
{
	size_t first = lower ? find_from(p, lower) : 0, end = lower ? find_end(p, first, lower) : 0;

	if (!path)
		return first < end;
	for (first += p->n_renamed, end += p->n_renamed; first < end; first /= 2, end /= 2) {
		if (first % 2 && !is_all_below(&p->renamed_spans[first++], path))
			return true;
		if (end % 2 && !is_all_below(&p->renamed_spans[--end], path))
			return true;
	}
	return false;
}

static int make_spans(struct planning *p)
{
	size_t n = p->n_renamed;
	struct renamed_span *spans = calloc(2 * n + 1, sizeof(*spans));

	if (!spans)
		return no_memory(p, "");
	for (size_t i = 0; i < n; i++)
		spans[n + i] = (struct renamed_span){p->renamed[i].path, p->renamed[i].path};
	for (size_t i = n; i-- > 1;) {
		const struct renamed_span *a = &spans[2 * i], *b = a + 1;

		spans[i].first =
			mlimg_manifest_path_cmp(a->first, b->first) < 0 ? a->first : b->first;
		spans[i].last = mlimg_manifest_path_cmp(a->last, b->last) > 0 ? a->last : b->last;
	}
	free(p->renamed_spans);
	p->renamed_spans = spans;
	return 0;
}

bool plan_is_renamed_from(const struct planning *p, const char *lower)
{
	size_t i = find_from(p, lower);

	return i < p->n_renamed && strcmp(p->renamed[i].from, lower) == 0;
}

/* A scan: the directories that were renamed, given those that an earlier one has found to stay. */
struct scan {
	struct planning *p;
	bool is_first; /* nothing is set aside */
	bool is_told;  /* all of it is set aside, and they are told */
	struct mlimg_renamed *found;
	size_t n, room;
};

static int scan_within(struct scan *s, size_t *at, const struct place *place);

/*
 * What it has of the user's is in aside with all that it was in. What it showed of the layers is
 * not; and in the place from which it was renamed a whiteout may hide that.
 */
static void tell_aside(struct planning *p, struct dir *d)
{
	d->m.renamed_from = d->m.lower;
	plan_tell(p, &d->m, MLIMG_CONFLICT, MLIMG_DONE_ASIDE,
		"what it showed of the system is not in there");
}

static int scan_dir(struct scan *s, size_t *at, const struct place *in, const char *own)
{
	struct planning *p = s->p;
	struct place place;
	struct dir d;
	int r = plan_dir_find(p, *at, in, own, &d);

	if (r < 0)
		return r;
	++*at;
	if (!s->is_first && !s->is_told && plan_is_type_change(&d) &&
		!plan_covers_renamed(p, d.m.entry->path, own)) {
		plan_skip_below(p, at, d.m.entry->path);
		return 0;
	}
	if (s->is_told && d.is_renamed && d.m.lower) {
		tell_aside(p, &d);
	} else if (d.is_renamed && d.m.lower) {
		if (mlimg_buffer_reserve(&s->found, &s->room, (s->n + 1) * sizeof(*s->found)) < 0)
			return no_memory(p, d.m.entry->path);
		s->found[s->n++] = (struct mlimg_renamed){d.m.lower, d.m.entry->path};
	}
	place = plan_place_of(&d);
	return scan_within(s, at, &place);
}

/* As deep as the tree. */
static int scan_within(struct scan *s, size_t *at, const struct place *place)
{
	const struct mlimg_manifest *upper = s->p->upper;
	int r = 0;

	while (r == 0 && *at < upper->n_entries &&
		mlimg_path_is_below(upper->entries[*at].path, place->path)) {
		const char *lower;

		if (upper->entries[*at].type != MLIMG_DIR) {
			++*at;
			continue;
		}
		r = plan_lower_of(s->p, place, upper->entries[*at].path, &lower);
		if (r == 0)
			r = scan_dir(s, at, place, lower);
	}
	return r;
}

static bool has_redirects(const struct planning *p)
{
	for (size_t i = 0; i < p->upper->n_entries; i++)
		if (p->upper->entries[i].type == MLIMG_DIR &&
			mlimg_entry_xattr(&p->upper->entries[i], MLIMG_XATTR_REDIRECT))
			return true;
	return false;
}

/*
 * A directory that is set aside takes those with it that are in it; and what hides something for
 * their sake may be set aside then, too. So it is looked again with fewer, until no more goes. A
 * stranger can have one go each time, or come back: after ROUNDS_MAX there may be some too many, so
 * that something stays which could have gone.
 */
int plan_renamed_find(struct planning *p)
{
	static const char none[] = "";
	const struct place top = {none, none, false};
	size_t before;
	int r = 0;

	p->has_redirects = has_redirects(p);
	if (!p->has_redirects)
		return 0;
	for (unsigned round = 0; r == 0 && round < ROUNDS_MAX; round++) {
		struct scan s = {.p = p, .is_first = round == 0};
		size_t at = p->upper->n_entries && !p->upper->entries[0].path[0];

		before = p->n_renamed;
		r = scan_within(&s, &at, &top);
		free(p->renamed);
		p->renamed = s.found;
		p->n_renamed = s.n;
		if (s.n > 1)
			qsort(s.found, s.n, sizeof(*s.found), mlimg_renamed_cmp);
		if (r == 0)
			r = make_spans(p);
		if (round > 0 && s.n >= before)
			break;
	}
	return r;
}

int plan_tell_renamed_aside(struct planning *p, const struct dir *d, size_t *at)
{
	struct scan s = {.p = p, .is_told = true};
	struct place place = plan_place_of(d);
	int r = p->has_redirects ? scan_within(&s, at, &place) : 0;

	if (r == 0)
		plan_skip_below(p, at, d->m.entry->path);
	return r;
}
