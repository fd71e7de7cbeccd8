/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/dpkg-version.h"
#include "libmlimg/packages-impl.h"

/* ---- pairing ---- */

/* A stanza on its way into an entry. */
struct one {
	struct mlimg_stanza *stanza;
	int side;
};

static int one_cmp(const void *a, const void *b)
{
	const struct one *x = a, *y = b;
	int order = strcmp(x->stanza->name, y->stanza->name);

	if (order == 0)
		order = strcmp(x->stanza->architecture, y->stanza->architecture);
	return order ? order : x->side - y->side;
}

/* Those of one name: one entry, unless a side has several. */
static void add_entries(struct mlimg_packages_job *job, const struct one *ones, size_t n)
{
	size_t of_side[MLIMG_N_MERGE_SIDES] = {0};
	struct mlimg_package_entry *entry = NULL;
	bool is_one = true;

	for (size_t i = 0; i < n; i++)
		is_one &= ++of_side[ones[i].side] == 1;
	for (size_t i = 0; i < n; i++) {
		struct mlimg_stanza *s = ones[i].stanza;

		if (!entry ||
			(!is_one && strcmp(s->architecture, ones[i - 1].stanza->architecture) != 0))
			entry = &job->entries[job->n_entries++];
		entry->side[ones[i].side] = s;
		s->entry = entry;
	}
}

static int pair(struct mlimg_packages_job *job)
{
	size_t n = 0, room = 1;
	struct one *ones;

	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		room += job->sides[side].n;
	ones = calloc(room, sizeof(*ones));
	job->entries = calloc(room, sizeof(*job->entries));
	if (!ones || !job->entries) {
		free(ones);
		return mlimg_packages_no_memory(job);
	}
	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		for (size_t i = 0; i < job->sides[side].n; i++)
			ones[n++] = (struct one){&job->sides[side].stanzas[i], side};
	qsort(ones, n, sizeof(*ones), one_cmp);
	for (size_t i = 0, k; i < n; i += k) {
		for (k = 1;
			i + k < n && strcmp(ones[i].stanza->name, ones[i + k].stanza->name) == 0;)
			k++;
		add_entries(job, ones + i, k);
	}
	free(ones);
	return 0;
}

/* ---- deciding ---- */

static bool is_present(const struct mlimg_stanza *s)
{
	return s && s->is_present;
}

static bool is_same_text(const struct mlimg_stanza *a, const struct mlimg_stanza *b)
{
	if (!a || !b)
		return a == b;
	return a->record->size == b->record->size &&
		memcmp(a->record->text, b->record->text, a->record->size) == 0;
}

static bool is_on_hold(const struct mlimg_stanza *s)
{
	return strcmp(s->want, "hold") == 0;
}

static bool is_whole(const struct mlimg_stanza *s)
{
	return strcmp(s->state, "half-installed") != 0;
}

#define note(job, kind, entry_name, ...)                                                           \
	(mlimg_notes_add((job)->notes, (kind), MLIMG_PACKAGES_STATUS, (entry_name), __VA_ARGS__) < \
				0                                                                  \
			? mlimg_packages_no_memory(job)                                            \
			: 0)

/* The user had no hand in it: the same version in base and mine, or in neither. */
static int decide_plain(struct mlimg_packages_job *job, struct mlimg_package_entry *e)
{
	struct mlimg_stanza *base = e->side[MLIMG_SIDE_BASE], *next = e->side[MLIMG_SIDE_NEXT],
			    *mine = e->side[MLIMG_SIDE_MINE];

	/* What he wants of it, or what a trigger waits for. */
	if (is_present(mine) ? is_same_text(base, next)
			     : !is_present(next) && !is_same_text(base, mine))
		e->winner = mine;
	else
		e->winner = next;
	if (!is_present(mine) || !is_on_hold(mine) || mlimg_stanza_is_same_version(mine, next))
		return 0;
	if (!is_present(next))
		return note(job, MLIMG_NOTE_CONFLICT, mine->name,
			"on hold at %s, but the system has it no more", mine->version);
	return note(job, MLIMG_NOTE_CONFLICT, mine->name,
		"on hold at %s, but the system has %s, and the files are the system's",
		mine->version, next->version);
}

static int decide_removed(struct mlimg_package_entry *e)
{
	e->verdict = MLIMG_FILES_REMOVED;
	e->winner = e->side[MLIMG_SIDE_MINE];
	return 0;
}

/* Both have another version than base. */
static int decide_version(struct mlimg_packages_job *job, struct mlimg_package_entry *e)
{
	const struct mlimg_stanza *next = e->side[MLIMG_SIDE_NEXT],
				  *mine = e->side[MLIMG_SIDE_MINE];
	bool is_higher = mlimg_dpkg_version_cmp(mine->version, next->version) > 0;

	if (is_whole(mine) && (is_higher || is_on_hold(mine))) {
		e->verdict = MLIMG_FILES_MINE;
		e->winner = mine;
		return is_higher ? 0
				 : note(job, MLIMG_NOTE_TOLD, mine->name,
					   "on hold at %s, while the system has %s", mine->version,
					   next->version);
	}
	e->verdict = MLIMG_FILES_NEXT;
	e->winner = next;
	return note(job, MLIMG_NOTE_TOLD, mine->name,
		"%s, installed here, gives way to the system's %s", mine->version, next->version);
}

static int decide_one(struct mlimg_packages_job *job, struct mlimg_package_entry *e)
{
	const struct mlimg_stanza *base = e->side[MLIMG_SIDE_BASE],
				  *next = e->side[MLIMG_SIDE_NEXT],
				  *mine = e->side[MLIMG_SIDE_MINE];

	if (is_present(base) == is_present(mine) &&
		(!is_present(mine) || mlimg_stanza_is_same_version(base, mine)))
		return decide_plain(job, e);
	if (!is_present(mine))
		return decide_removed(e);
	if (mlimg_stanza_is_same_version(mine, next)) {
		e->winner = next;
		return 0;
	}
	if (is_present(next) && !mlimg_stanza_is_same_version(base, next))
		return decide_version(job, e);
	e->verdict = MLIMG_FILES_MINE;
	e->winner = mine;
	if (is_present(base) && !is_present(next))
		return note(job, MLIMG_NOTE_TOLD, mine->name,
			"the system has it no more; %s, installed here, stays", mine->version);
	return 0;
}

/* What is wanted of it is the user's, if he changed it. */
static void decide_want(struct mlimg_package_entry *e)
{
	const struct mlimg_stanza *base = e->side[MLIMG_SIDE_BASE],
				  *mine = e->side[MLIMG_SIDE_MINE];

	if (!e->winner)
		return;
	e->want = e->winner->want;
	if (is_present(e->winner) && is_present(mine) &&
		(!base || strcmp(base->want, mine->want) != 0))
		e->want = mine->want;
}

int mlimg_packages_decide(struct mlimg_packages_job *job, bool has_mine)
{
	int r = pair(job);

	if (r == 0)
		r = mlimg_packages_check_whole(job, has_mine);
	for (size_t i = 0; i < job->n_entries && r == 0; i++) {
		r = decide_one(job, &job->entries[i]);
		decide_want(&job->entries[i]);
	}
	return r;
}

/* ---- the merged status ---- */

static void put_entry(struct mlimg_text *out, const struct mlimg_package_entry *e)
{
	if (e->winner)
		mlimg_stanza_put(out, e->winner, e->want);
}

int mlimg_packages_put_status(struct mlimg_packages_job *job,
	const struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES], struct mlimg_merged_text *ret)
{
	enum mlimg_merge_side first = mlimg_merge_order(texts),
			      second = first == MLIMG_SIDE_NEXT ? MLIMG_SIDE_MINE : MLIMG_SIDE_NEXT;
	struct mlimg_text out = {.data = NULL};

	for (size_t i = 0; i < job->sides[first].n; i++)
		put_entry(&out, job->sides[first].stanzas[i].entry);
	for (size_t i = 0; i < job->sides[second].n; i++) {
		const struct mlimg_package_entry *e = job->sides[second].stanzas[i].entry;

		if (!e->side[first])
			put_entry(&out, e);
	}
	mlimg_text_put(&out, "", 0);
	if (out.has_failed) {
		free(out.data);
		return mlimg_packages_no_memory(job);
	}
	ret->from = mlimg_merged_text_from(
		texts[MLIMG_SIDE_NEXT], texts[MLIMG_SIDE_MINE], out.data, &out.size);
	ret->text = out.data;
	ret->size = out.size;
	return 0;
}
