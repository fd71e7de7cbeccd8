/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/dpkg-version.h"
#include "libmlimg/packages-impl.h"

#define CLAUSE_MAX 1024 /* bytes; a longer one, of which Debian has none, is not looked at */

/* A name that a package has, or provides. */
struct name {
	const char *name;
	const char *version; /* NULL: provided without one */
	const struct mlimg_stanza *stanza;
};

/* The packages that are there at once. */
struct view {
	struct name *names; /* sorted */
	size_t n, room;
	const char *native;
};

/* "NAME:QUALIFIER (RELATION VERSION)" */
struct wanted {
	const char *name, *qualifier, *relation, *version; /* NULL where there is none */
};

static const struct {
	enum mlimg_relation relation;
	const char *name;
	bool is_negative;
} checked[] = {
	{MLIMG_PRE_DEPENDS, "Pre-Depends", false},
	{MLIMG_DEPENDS, "Depends", false},
	{MLIMG_CONFLICTS, "Conflicts", true},
	{MLIMG_BREAKS, "Breaks", true},
};

/* ---- parsing ---- */

static char *trim(char *text)
{
	char *end;

	text += strspn(text, " \t\n");
	for (end = text + strlen(text); end > text && strchr(" \t\n", end[-1]);)
		*--end = '\0';
	return text;
}

/* Cuts the text into strings. */
static struct wanted parse_wanted(char *text)
{
	char *paren = strchr(text, '('), *colon, *end;
	struct wanted w = {.name = NULL};

	if (paren) {
		*paren++ = '\0';
		paren[strcspn(paren, ")")] = '\0';
		paren = trim(paren);
		end = paren + strspn(paren, "<>=");
		w.version = trim(end);
		w.relation = paren[0] == '=' ? "="
			: paren[0] == '<'    ? (paren[1] == '<' ? "<<" : "<=")
			: paren[0] == '>'    ? (paren[1] == '>' ? ">>" : ">=")
					     : "=";
	}
	text[strcspn(text, "[<")] = '\0';
	w.name = text = trim(text);
	colon = strchr(text, ':');
	if (colon) {
		*colon = '\0';
		w.qualifier = colon + 1;
	}
	return w;
}

/* ---- what is there ---- */

static int name_cmp(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->name, ((const struct name *)b)->name);
}

static int add_name(struct mlimg_packages_job *job, struct view *v, struct name name)
{
	if (!name.name ||
		mlimg_buffer_reserve(&v->names, &v->room, (v->n + 1) * sizeof(*v->names)) < 0)
		return mlimg_packages_no_memory(job);
	v->names[v->n++] = name;
	return 0;
}

static int add_stanza(struct mlimg_packages_job *job, struct view *v, const struct mlimg_stanza *s)
{
	const char *provides = s->relations[MLIMG_PROVIDES];
	char *at = provides ? mlimg_arena_strndup(job->arena, provides, strlen(provides)) : NULL;
	int r = add_name(job, v, (struct name){s->name, s->version, s});
	char *one;

	if (provides && !at)
		return mlimg_packages_no_memory(job);
	while (r == 0 && (one = strsep(&at, ","))) {
		struct wanted w = parse_wanted(one);

		r = add_name(job, v, (struct name){w.name, w.version, s});
	}
	return r;
}

static int view_end(struct view *v, int r)
{
	if (r == 0 && v->n)
		qsort(v->names, v->n, sizeof(*v->names), name_cmp);
	return r;
}

static int view_of_mine(struct mlimg_packages_job *job, struct view *v)
{
	const struct mlimg_stanzas *mine = &job->sides[MLIMG_SIDE_MINE];
	int r = 0;

	for (size_t i = 0; i < mine->n && r == 0; i++)
		if (mine->stanzas[i].is_present)
			r = add_stanza(job, v, &mine->stanzas[i]);
	return view_end(v, r);
}

static int view_of_merged(struct mlimg_packages_job *job, struct view *v)
{
	int r = 0;

	for (size_t i = 0; i < job->n_entries && r == 0; i++)
		if (job->entries[i].winner && job->entries[i].winner->is_present)
			r = add_stanza(job, v, job->entries[i].winner);
	return view_end(v, r);
}

/* The first of that name; its fellows are behind it. */
static size_t find_name(const struct view *v, const char *name)
{
	size_t low = 0, high = v->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(v->names[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- whether it holds ---- */

static bool has_version(const struct name *n, const struct wanted *w)
{
	int order;

	if (!w->relation)
		return true;
	if (!n->version)
		return false;
	order = mlimg_dpkg_version_cmp(n->version, w->version);
	if (w->relation[0] == '=')
		return order == 0;
	if (order == 0)
		return w->relation[1] == '=';
	return (order < 0) == (w->relation[0] == '<');
}

static const char *architecture_of(const struct view *v, const struct mlimg_stanza *s)
{
	return s->architecture[0] && strcmp(s->architecture, "all") != 0 ? s->architecture
									 : v->native;
}

static bool has_architecture(const struct view *v, const struct mlimg_stanza *s,
	const struct mlimg_stanza *self, const struct wanted *w, bool is_negative)
{
	const char *is = architecture_of(v, s), *wanted = architecture_of(v, self);

	if (w->qualifier && strcmp(w->qualifier, "any") == 0)
		return is_negative || s->multi_arch == MLIMG_MULTI_ALLOWED ||
			strcmp(is, wanted) == 0;
	if (w->qualifier)
		return strcmp(is, strcmp(w->qualifier, "native") == 0 ? v->native : w->qualifier) ==
			0;
	return is_negative || s->multi_arch == MLIMG_MULTI_FOREIGN || strcmp(is, wanted) == 0;
}

/* @return who is wanted; of those that are not to be there, other packages only */
static const struct name *find_wanted(const struct view *v, const struct wanted *w,
	const struct mlimg_stanza *self, bool is_negative)
{
	for (size_t i = find_name(v, w->name); i < v->n && strcmp(v->names[i].name, w->name) == 0;
		i++) {
		const struct name *n = &v->names[i];

		if (is_negative && strcmp(n->stanza->name, self->name) == 0)
			continue;
		if (has_version(n, w) && has_architecture(v, n->stanza, self, w, is_negative))
			return n;
	}
	return NULL;
}

static bool holds(const struct view *v, const char *clause, const struct mlimg_stanza *self,
	bool is_negative, const struct name **ret_other)
{
	char text[CLAUSE_MAX], *at = text, *one;

	strcpy(text, clause);
	*ret_other = NULL;
	while ((one = strsep(&at, "|"))) {
		struct wanted w = parse_wanted(one);
		const struct name *found = find_wanted(v, &w, self, is_negative);

		if (found)
			*ret_other = found;
		if (found && !is_negative)
			return true;
	}
	return is_negative && !*ret_other;
}

/* Somebody of the name of the first alternative, of another version maybe. */
static const struct name *nearest(const struct view *v, const char *clause)
{
	char text[CLAUSE_MAX];
	size_t i;

	strcpy(text, clause);
	text[strcspn(text, "|")] = '\0';

	struct wanted w = parse_wanted(text);

	i = find_name(v, w.name);
	return i < v->n && strcmp(v->names[i].name, w.name) == 0 ? &v->names[i] : NULL;
}

static int tell(struct mlimg_packages_job *job, const struct mlimg_stanza *self, const char *what,
	const char *clause, const struct name *other)
{
	int r = other ? mlimg_notes_add(job->notes, MLIMG_NOTE_BROKEN, MLIMG_PACKAGES_STATUS,
				self->name, "%s: %.200s, but %.80s %.80s is there", what, clause,
				other->stanza->name, other->stanza->version)
		      : mlimg_notes_add(job->notes, MLIMG_NOTE_BROKEN, MLIMG_PACKAGES_STATUS,
				self->name, "%s: %.200s, which is not there", what, clause);

	return r < 0 ? mlimg_packages_no_memory(job) : 0;
}

/* The user's package asks for the same, and has not got it either. */
static bool was_broken(
	const struct view *mine, const struct mlimg_stanza *self, size_t i, const char *clause)
{
	const struct mlimg_stanza *was = self->entry->side[MLIMG_SIDE_MINE];
	enum mlimg_relation relation = checked[i].relation;
	const struct name *unused;

	return was && was->is_present && was->relations[relation] &&
		strcmp(was->relations[relation], self->relations[relation]) == 0 &&
		!holds(mine, clause, was, checked[i].is_negative, &unused);
}

static int check_clause(struct mlimg_packages_job *job, const struct view *merged,
	const struct view *mine, const struct mlimg_stanza *self, size_t i, const char *clause)
{
	bool is_negative = checked[i].is_negative;
	const struct name *other;

	if (strlen(clause) >= CLAUSE_MAX || !*clause ||
		holds(merged, clause, self, is_negative, &other) ||
		was_broken(mine, self, i, clause))
		return 0;
	return tell(
		job, self, checked[i].name, clause, is_negative ? other : nearest(merged, clause));
}

static int check_stanza(struct mlimg_packages_job *job, const struct view *merged,
	const struct view *mine, const struct mlimg_stanza *self)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(checked) / sizeof(checked[0]) && r == 0; i++) {
		const char *value = self->relations[checked[i].relation];
		char *at = value ? mlimg_arena_strndup(job->arena, value, strlen(value)) : NULL;
		char *clause;

		if (value && !at)
			return mlimg_packages_no_memory(job);
		while (r == 0 && (clause = strsep(&at, ",")))
			r = check_clause(job, merged, mine, self, i, trim(clause));
	}
	return r;
}

/* @return whether both are there, and of different versions, which dpkg does not bear */
static bool is_skewed(const struct mlimg_stanza *a, const struct mlimg_stanza *b)
{
	return a && b && a->is_present && b->is_present && a->multi_arch == MLIMG_MULTI_SAME &&
		b->multi_arch == MLIMG_MULTI_SAME && strcmp(a->name, b->name) == 0 &&
		strcmp(a->version, b->version) != 0;
}

/* Those of one name stand together. */
static int check_architectures(struct mlimg_packages_job *job, size_t i)
{
	const struct mlimg_package_entry *e = &job->entries[i],
					 *end = job->entries + job->n_entries;

	for (const struct mlimg_package_entry *other = e + 1; other < end; other++) {
		const struct mlimg_stanza *a = e->winner, *b = other->winner;

		if (!is_skewed(a, b) ||
			is_skewed(e->side[MLIMG_SIDE_MINE], other->side[MLIMG_SIDE_MINE]))
			break;
		if (mlimg_notes_add(job->notes, MLIMG_NOTE_BROKEN, MLIMG_PACKAGES_STATUS, a->name,
			    "Multi-Arch: same: that of %s is %.80s, that of %s %.80s; install both "
			    "of one version",
			    a->architecture, a->version, b->architecture, b->version) < 0)
			return mlimg_packages_no_memory(job);
	}
	return 0;
}

int mlimg_packages_check_depends(struct mlimg_packages_job *job)
{
	struct view merged = {.native = job->native}, mine = {.native = job->native};
	int r = view_of_merged(job, &merged);

	if (r == 0)
		r = view_of_mine(job, &mine);
	for (size_t i = 0; i < job->n_entries && r == 0; i++) {
		const struct mlimg_stanza *winner = job->entries[i].winner;

		if (winner && winner->is_present)
			r = check_stanza(job, &merged, &mine, winner);
		if (r == 0)
			r = check_architectures(job, i);
	}
	free(merged.names);
	free(mine.names);
	return r;
}
