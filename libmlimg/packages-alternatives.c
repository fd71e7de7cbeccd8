/* SPDX-License-Identifier: MIT */
/*
 * State files of update-alternatives, as its source (utils/update-alternatives.c of dpkg) writes
 * them:
 *
 *     auto                    or "manual"
 *     /usr/bin/editor         the link of the group
 *     editor.1.gz             name and link of each slave
 *     /usr/share/man/man1/editor.1.gz
 *                             an empty line
 *     /bin/nano               each choice: its path,
 *     40                      its priority,
 *     /usr/share/man/man1/nano.1.gz   and its path, maybe empty, for each slave
 *                             an empty line
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/packages-impl.h"

struct slave {
	const char *name, *link;
};

struct choice {
	const char *path, *priority;
	const char **slaves; /* in the order of the group's; NULL: not there */
};

/* A file. Strings are the arena's. */
struct group {
	const char *status, *link;
	struct slave *slaves;
	struct choice *choices;
	size_t n_slaves, slaves_room, n_choices, choices_room;
};

/* ---- reading ---- */

static bool is_number(const char *text)
{
	text += *text == '-';
	return *text && strlen(text) < 10 && strspn(text, "0123456789") == strlen(text);
}

/* @return -ENOMEM, -EUCLEAN: it has not the form */
static int parse_slaves(struct group *g, char **at)
{
	char *name, *link;

	while ((name = strsep(at, "\n")) && *name) {
		link = strsep(at, "\n");
		if (!link || link[0] != '/' || strchr(name, '/'))
			return -EUCLEAN;
		if (mlimg_buffer_reserve(&g->slaves, &g->slaves_room,
			    (g->n_slaves + 1) * sizeof(*g->slaves)) < 0)
			return -ENOMEM;
		g->slaves[g->n_slaves++] = (struct slave){name, link};
	}
	return 0;
}

static int parse_choices(struct mlimg_arena *arena, struct group *g, char **at)
{
	char *path;

	while ((path = strsep(at, "\n")) && *path) {
		struct choice c = {.path = path, .priority = strsep(at, "\n")};

		if (path[0] != '/' || !c.priority || !is_number(c.priority))
			return -EUCLEAN;
		c.slaves = mlimg_arena_alloc(arena, (g->n_slaves + 1) * sizeof(*c.slaves));
		if (!c.slaves ||
			mlimg_buffer_reserve(&g->choices, &g->choices_room,
				(g->n_choices + 1) * sizeof(*g->choices)) < 0)
			return -ENOMEM;
		for (size_t i = 0; i < g->n_slaves; i++)
			if (!(c.slaves[i] = strsep(at, "\n")))
				return -EUCLEAN;
		g->choices[g->n_choices++] = c;
	}
	return 0;
}

static int parse(struct mlimg_arena *arena, struct mlimg_records_text text, struct group *g)
{
	char *at = mlimg_arena_strndup(arena, text.size ? text.text : "", text.size);
	int r;

	if (!at)
		return -ENOMEM;
	if (!text.text)
		return 0;
	if (strlen(at) != text.size)
		return -EUCLEAN;
	g->status = strsep(&at, "\n");
	g->link = strsep(&at, "\n");
	if (!g->link || g->link[0] != '/' ||
		(strcmp(g->status, "auto") != 0 && strcmp(g->status, "manual") != 0))
		return -EUCLEAN;
	r = parse_slaves(g, &at);
	if (r == 0)
		r = parse_choices(arena, g, &at);
	return r == 0 && (!g->n_choices || (at && *at)) ? -EUCLEAN : r;
}

static void group_done(struct group *g)
{
	free(g->slaves);
	free(g->choices);
}

/* ---- merging ---- */

static const struct slave *find_slave(const struct group *g, const char *name)
{
	for (size_t i = 0; i < g->n_slaves; i++)
		if (strcmp(g->slaves[i].name, name) == 0)
			return &g->slaves[i];
	return NULL;
}

static const struct choice *find_choice(const struct group *g, const char *path)
{
	for (size_t i = 0; i < g->n_choices; i++)
		if (strcmp(g->choices[i].path, path) == 0)
			return &g->choices[i];
	return NULL;
}

static const char *slave_of(const struct group *g, const struct choice *c, const char *name)
{
	const struct slave *s = find_slave(g, name);

	return s ? c->slaves[s - g->slaves] : "";
}

static bool is_same_choice(const struct group *g, const struct choice *a, const struct group *h,
	const struct choice *b)
{
	if (!a || !b)
		return a == b;
	if (strcmp(a->priority, b->priority) != 0)
		return false;
	for (size_t i = 0; i < g->n_slaves; i++)
		if (strcmp(a->slaves[i], slave_of(h, b, g->slaves[i].name)) != 0)
			return false;
	for (size_t i = 0; i < h->n_slaves; i++)
		if (strcmp(b->slaves[i], slave_of(g, a, h->slaves[i].name)) != 0)
			return false;
	return true;
}

/* Mine, unless only next changed it. */
static const char *three(const char *base, const char *next, const char *mine)
{
	if (!mine || !next)
		return mine ? mine : next;
	return base && strcmp(base, mine) == 0 ? next : mine;
}

static int merge_slaves(const struct group sides[], struct group *out)
{
	for (int side = MLIMG_SIDE_NEXT; side <= MLIMG_SIDE_MINE; side++)
		for (size_t i = 0; i < sides[side].n_slaves; i++) {
			const char *name = sides[side].slaves[i].name;
			const struct slave *base = find_slave(&sides[MLIMG_SIDE_BASE], name),
					   *next = find_slave(&sides[MLIMG_SIDE_NEXT], name),
					   *mine = find_slave(&sides[MLIMG_SIDE_MINE], name);

			if (find_slave(out, name))
				continue;
			if (mlimg_buffer_reserve(&out->slaves, &out->slaves_room,
				    (out->n_slaves + 1) * sizeof(*out->slaves)) < 0)
				return -ENOMEM;
			out->slaves[out->n_slaves++] = (struct slave){name,
				three(base ? base->link : NULL, next ? next->link : NULL,
					mine ? mine->link : NULL)};
		}
	return 0;
}

static int add_choice(struct mlimg_arena *arena, const struct group *from, const struct choice *c,
	struct group *out)
{
	struct choice copy = *c;

	copy.slaves = mlimg_arena_alloc(arena, (out->n_slaves + 1) * sizeof(*copy.slaves));
	if (!copy.slaves ||
		mlimg_buffer_reserve(&out->choices, &out->choices_room,
			(out->n_choices + 1) * sizeof(*out->choices)) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < out->n_slaves; i++)
		copy.slaves[i] = slave_of(from, c, out->slaves[i].name);
	out->choices[out->n_choices++] = copy;
	return 0;
}

static int choice_cmp(const void *a, const void *b)
{
	return strcmp(((const struct choice *)a)->path, ((const struct choice *)b)->path);
}

static int merge_choices(struct mlimg_arena *arena, const struct group sides[], struct group *out)
{
	const struct group *b = &sides[MLIMG_SIDE_BASE], *n = &sides[MLIMG_SIDE_NEXT],
			   *m = &sides[MLIMG_SIDE_MINE];
	int r = 0;

	for (int side = MLIMG_SIDE_NEXT; side <= MLIMG_SIDE_MINE; side++)
		for (size_t i = 0; i < sides[side].n_choices && r == 0; i++) {
			const char *path = sides[side].choices[i].path;
			const struct choice *base = find_choice(b, path),
					    *next = find_choice(n, path),
					    *mine = find_choice(m, path);
			bool is_next = is_same_choice(b, base, m, mine);
			const struct choice *is = is_next ? next : mine;

			if (is && !find_choice(out, path))
				r = add_choice(arena, is_next ? n : m, is, out);
		}
	if (out->n_choices)
		qsort(out->choices, out->n_choices, sizeof(*out->choices), choice_cmp);
	return r;
}

/* ---- writing ---- */

static void put_line(struct mlimg_text *out, const char *line)
{
	mlimg_text_put(out, line, strlen(line));
	mlimg_text_put(out, "\n", 1);
}

static void put_group(struct mlimg_text *out, const struct group *g)
{
	put_line(out, g->status);
	put_line(out, g->link);
	for (size_t i = 0; i < g->n_slaves; i++) {
		put_line(out, g->slaves[i].name);
		put_line(out, g->slaves[i].link);
	}
	put_line(out, "");
	for (size_t i = 0; i < g->n_choices; i++) {
		put_line(out, g->choices[i].path);
		put_line(out, g->choices[i].priority);
		for (size_t k = 0; k < g->n_slaves; k++)
			put_line(out, g->choices[i].slaves[k]);
	}
	put_line(out, "");
}

/* What choices have for a link; for the group's own where @slave is NULL. */
static size_t list_targets(
	const struct group *g, const char *slave, struct mlimg_arena *arena, const char **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n_choices; i++) {
		const char *target =
			slave ? slave_of(g, &g->choices[i], slave) : g->choices[i].path;

		if (*target)
			ret[n++] = mlimg_arena_strndup(arena, target, strlen(target));
	}
	return n;
}

/* @return those of both groups up to NULL; NULL without memory */
static const char *const *targets_of(struct mlimg_packages_job *job, const struct group *g,
	const struct group *mine, const char *slave)
{
	struct mlimg_arena *arena = job->merged->table->arena;
	size_t n = 0, max = g->n_choices + mine->n_choices;
	const char **all = mlimg_arena_alloc(arena, (max + 1) * sizeof(*all));

	if (!all)
		return NULL;
	n = list_targets(g, slave, arena, all);
	n += list_targets(mine, slave, arena, all + n);
	for (size_t i = 0; i < n; i++)
		if (!all[i])
			return NULL;
	all[n] = NULL;
	return all;
}

/* On "auto" it is the choice of the highest priority, the first of several. */
static const struct choice *best_of(const struct group *g)
{
	const struct choice *best = NULL;

	for (size_t i = 0; strcmp(g->status, "auto") == 0 && i < g->n_choices; i++)
		if (!best || atoi(g->choices[i].priority) > atoi(best->priority))
			best = &g->choices[i];
	return best;
}

/* Where the user's link leads: his choice, where he has made one. */
static const char *chosen(const struct mlimg_packages_job *job, const char *name)
{
	mlimg_autofree char *path = NULL;

	if (!job->input || !job->input->link)
		return NULL;
	if (asprintf(&path, "etc/alternatives/%s", name) < 0) {
		path = NULL;
		return NULL;
	}
	return job->input->link(job->input->ctx, path);
}

/* As update-alternatives does where the choice is no longer there. */
static int leave_choice(struct mlimg_packages_job *job, const char *name, const char *choice,
	const struct group *mine, struct group *g)
{
	if (strcmp(g->status, "auto") == 0 || !choice || find_choice(g, choice) ||
		!find_choice(mine, choice))
		return 0;
	g->status = "auto";
	return mlimg_notes_add(job->notes, MLIMG_NOTE_TOLD, "var/lib/dpkg/alternatives", name,
		"%.200s, chosen here, is there no more; the choice is automatic again", choice);
}

static int add_links(struct mlimg_packages_job *job, const char *name, const char *choice,
	const struct group *g, const struct group *mine)
{
	const struct choice *best = best_of(g);
	int r;

	if (!best && choice)
		best = find_choice(g, choice);
	if (!best)
		return 0;
	r = mlimg_packages_add_link(job, name, best->path, targets_of(job, g, mine, NULL));
	if (r == 0)
		r = mlimg_packages_add_command(job, g->link, name);
	for (size_t i = 0; i < g->n_slaves && r == 0; i++) {
		r = mlimg_packages_add_link(job, g->slaves[i].name, best->slaves[i],
			targets_of(job, g, mine, g->slaves[i].name));
		if (r == 0 && *best->slaves[i])
			r = mlimg_packages_add_command(job, g->slaves[i].link, g->slaves[i].name);
	}
	return r;
}

static int merge(struct mlimg_packages_job *job, const char *name, const struct group sides[],
	struct mlimg_text *out)
{
	mlimg_cleanup(group_done) struct group g = {
		.status = three(sides[MLIMG_SIDE_BASE].status, sides[MLIMG_SIDE_NEXT].status,
			sides[MLIMG_SIDE_MINE].status),
		.link = three(sides[MLIMG_SIDE_BASE].link, sides[MLIMG_SIDE_NEXT].link,
			sides[MLIMG_SIDE_MINE].link)};
	const struct group *mine = &sides[MLIMG_SIDE_MINE];
	const char *choice = chosen(job, name);
	int r = merge_slaves(sides, &g);

	if (r == 0)
		r = merge_choices(job->arena, sides, &g);
	if (r < 0 || g.n_choices == 0)
		return r;
	if (leave_choice(job, name, choice, mine, &g) < 0)
		return -ENOMEM;
	put_group(out, &g);
	return out->has_failed ? -ENOMEM : add_links(job, name, choice, &g, mine);
}

/* A file that somebody wrote by hand. */
static int keep_mine(struct mlimg_packages_job *job, const char *path, const char *name,
	struct mlimg_records_text next, struct mlimg_records_text mine, struct mlimg_text *out)
{
	struct mlimg_records_text is = mine.text ? mine : next;

	if (mlimg_notes_add(job->notes, MLIMG_NOTE_CONFLICT, path, name,
		    "not in update-alternatives' form; it stays as it is here") < 0)
		return -ENOMEM;
	mlimg_text_put(out, is.size ? is.text : "", is.size);
	return 0;
}

static bool is_same_text(struct mlimg_records_text a, struct mlimg_records_text b)
{
	if (!a.text || !b.text)
		return a.text == b.text;
	return a.size == b.size && memcmp(a.text, b.text, a.size) == 0;
}

/* Both have changed it. */
static int merge_parsed(struct mlimg_packages_job *job, const char *path,
	const struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES], struct mlimg_text *out)
{
	struct group sides[MLIMG_N_MERGE_SIDES] = {{.status = NULL}};
	const char *name = strrchr(path, '/') + 1;
	int r = 0;

	for (int side = 0; side < MLIMG_N_MERGE_SIDES && r == 0; side++)
		r = parse(job->arena, texts[side], &sides[side]);
	if (r == -EUCLEAN)
		r = keep_mine(job, path, name, texts[MLIMG_SIDE_NEXT], texts[MLIMG_SIDE_MINE], out);
	else if (r == 0)
		r = merge(job, name, sides, out);
	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
		group_done(&sides[side]);
	return r;
}

int mlimg_packages_merge_alternatives(struct mlimg_packages_job *job, const char *path,
	const struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES], struct mlimg_merged_text *ret)
{
	const struct mlimg_records_text base = texts[MLIMG_SIDE_BASE],
					next = texts[MLIMG_SIDE_NEXT],
					mine = texts[MLIMG_SIDE_MINE];
	struct mlimg_text out = {.data = NULL};
	const struct mlimg_records_text *whole = is_same_text(base, mine) ? &next
		: is_same_text(base, next) || is_same_text(next, mine)    ? &mine
									  : NULL;
	int r = 0;

	if (!whole)
		r = merge_parsed(job, path, texts, &out);
	else if (whole->text) /* its links are there too */
		mlimg_text_put(&out, whole->text, whole->size);
	if (r < 0 || out.has_failed) {
		free(out.data);
		return mlimg_packages_no_memory(job);
	}
	*ret = (struct mlimg_merged_text){.text = out.data,
		.size = out.size,
		.from = !next.text ? MLIMG_FROM_NEXT : MLIMG_FROM_MINE};
	if (out.data)
		ret->from = mlimg_merged_text_from(next, mine, out.data, &ret->size);
	return 0;
}

/* ---- for layers ---- */

int mlimg_alternatives_merge(struct mlimg_arena *arena, const char *path,
	const struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES], struct mlimg_merged_text *ret,
	struct mlimg_err *err)
{
	struct mlimg_packages_table table = {.arena = arena};
	struct mlimg_packages_merged merged = {.table = &table};
	struct mlimg_notes notes = {.notes = NULL};
	struct mlimg_packages_job job = {
		.merged = &merged, .arena = arena, .notes = &notes, .err = err};
	int r = mlimg_packages_merge_alternatives(&job, path, texts, ret);

	free(merged.links);
	mlimg_notes_done(&notes);
	return r;
}

int mlimg_alternatives_links(struct mlimg_arena *arena, const char *path,
	struct mlimg_records_text text, struct mlimg_alternative **ret_links, size_t *ret_n,
	struct mlimg_err *err)
{
	mlimg_cleanup(group_done) struct group g = {.status = NULL};
	const char *name = strrchr(path, '/') + 1;
	const struct choice *best;
	int r = parse(arena, text, &g);

	*ret_n = 0;
	if (r == -EUCLEAN || (r == 0 && !g.status))
		return 0;
	*ret_links = r == 0 ? calloc(g.n_slaves + 1, sizeof(**ret_links)) : NULL;
	if (!*ret_links)
		return mlimg_err_set(err, ENOMEM, "alternatives");
	best = best_of(&g);
	(*ret_links)[(*ret_n)++] = (struct mlimg_alternative){name, best ? best->path : NULL, best};
	for (size_t i = 0; i < g.n_slaves; i++)
		(*ret_links)[(*ret_n)++] = (struct mlimg_alternative){
			g.slaves[i].name, best ? best->slaves[i] : NULL, best};
	return 0;
}
