/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/packages-impl.h"

/* A merge while its paths are listed. */
struct paths {
	struct mlimg_packages_job *job;
	struct mlimg_packages_table *table;
	char *diversions[MLIMG_N_MERGE_SIDES];
	struct mlimg_record_list diverted[MLIMG_N_MERGE_SIDES];
	const char **hidden; /* what may have to be */
	size_t n_hidden, hidden_room;
};

static const struct mlimg_stanza *any_side(const struct mlimg_package_entry *e)
{
	for (int side = MLIMG_SIDE_MINE; side > 0; side--)
		if (e->side[side])
			return e->side[side];
	return e->side[MLIMG_SIDE_BASE];
}

static bool is_there(const struct mlimg_package_entry *e, enum mlimg_merge_side side)
{
	return e->side[side] && e->side[side]->is_present;
}

/* ---- where a file really is ---- */

/* The second line of a diversion, unless the third says that it is the package's own. */
static const char *diverted_path(
	struct paths *p, enum mlimg_merge_side side, const char *package, const char *path)
{
	const struct mlimg_record *d = mlimg_record_list_find(&p->diverted[side], path);
	const char *to, *by;
	size_t size;

	if (!d)
		return path;
	to = (const char *)memchr(d->text, '\n', d->size) + 1;
	by = strchr(to, '\n') + 1;
	size = strcspn(by, "\n");
	if (size == strlen(package) && memcmp(by, package, size) == 0)
		return path;
	return mlimg_arena_strndup(p->table->arena, to, (size_t)(by - 1 - to));
}

static int read_diversions(struct paths *p, enum mlimg_merge_side side)
{
	struct mlimg_records_text text = {.text = NULL};
	int r = mlimg_packages_read(
		p->job, side, MLIMG_PACKAGES_DIVERSIONS, &p->diversions[side], &text.size);

	text.text = p->diversions[side];
	if (r == 0)
		r = mlimg_record_list_parse(
			MLIMG_RECORDS_DIVERSIONS, text, false, &p->diverted[side], p->job->err);
	return r;
}

/* ---- the table ---- */

static int add_path(struct paths *p, const char *path, enum mlimg_path_owner owner)
{
	struct mlimg_packages_table *t = p->table;

	if (!path ||
		mlimg_buffer_reserve(
			&t->paths, &t->paths_room, (t->n_paths + 1) * sizeof(*t->paths)) < 0)
		return mlimg_packages_no_memory(p->job);
	t->paths[t->n_paths++] = (struct mlimg_package_path){path, owner};
	return 0;
}

static int add_hidden(struct paths *p, const char *path)
{
	if (mlimg_buffer_reserve(
		    &p->hidden, &p->hidden_room, (p->n_hidden + 1) * sizeof(*p->hidden)) < 0)
		return mlimg_packages_no_memory(p->job);
	p->hidden[p->n_hidden++] = path;
	return 0;
}

/* dpkg's name of its list: with the architecture where several may be installed. */
static int read_list(struct paths *p, const struct mlimg_stanza *s, enum mlimg_merge_side side,
	char **ret_text, size_t *ret_size)
{
	mlimg_autofree char *path = NULL;
	bool is_same = s->multi_arch == MLIMG_MULTI_SAME;

	if (asprintf(&path, MLIMG_PACKAGES_INFO "%s%s%s.list", s->name, is_same ? ":" : "",
		    is_same ? s->architecture : "") < 0) {
		path = NULL;
		return mlimg_packages_no_memory(p->job);
	}
	return mlimg_packages_read(p->job, side, path, ret_text, ret_size);
}

static int add_line(struct paths *p, const struct mlimg_stanza *s, enum mlimg_merge_side side,
	char *line, enum mlimg_path_owner owner, bool may_hide)
{
	const char *path = diverted_path(p, side, s->name, line);
	int r;

	if (!path)
		return mlimg_packages_no_memory(p->job);
	path = mlimg_arena_strndup(p->table->arena, path + 1, strlen(path + 1));
	if (path)
		path = mlimg_packages_real_path(p->job, path);
	r = add_path(p, path, owner);
	return r == 0 && may_hide ? add_hidden(p, path) : r;
}

/* What is in a directory is behind it: on disk it may be a symlink, /bin say. */
static bool is_directory(const char *line, const char *rest)
{
	size_t size = strlen(line);

	return !line[1] || strcmp(line, "/.") == 0 ||
		(rest && strncmp(rest, line, size) == 0 && rest[size] == '/');
}

/* A list's lines are "/.", directories and files. */
static int add_list(struct paths *p, const struct mlimg_package_entry *e,
	enum mlimg_merge_side side, enum mlimg_path_owner owner, bool may_hide)
{
	mlimg_autofree char *text = NULL;
	char *at, *line;
	size_t size;
	int r = 0;

	if (!is_there(e, side))
		return 0;
	r = read_list(p, e->side[side], side, &text, &size);
	at = text;
	while (r == 0 && (line = strsep(&at, "\n"))) {
		bool is_config = strncmp(line, "/etc/", 5) == 0;

		if (line[0] != '/' || is_directory(line, at) ||
			(is_config && (owner == MLIMG_PATH_NEXT || owner == MLIMG_PATH_NEW)))
			continue;
		/* Of a package that was removed, not purged, its configuration is there. */
		r = add_line(p, e->side[side], side, line, owner,
			may_hide && !(is_config && e->winner && !e->winner->is_present));
	}
	return r;
}

/* @rest: behind the package's name, ".EXTENSION" or ":ARCHITECTURE.EXTENSION". */
static bool is_info_of(const struct mlimg_stanza *s, const char *rest, const char *dot)
{
	size_t size = strlen(s->architecture);

	return dot && !strchr(rest, '/') &&
		(dot == rest ||
			(rest[0] == ':' && dot == rest + 1 + size &&
				memcmp(rest + 1, s->architecture, size) == 0));
}

/* Of the package's own files of dpkg's, those in the next stack. */
static int hide_info(struct paths *p, const struct mlimg_package_entry *e)
{
	const struct mlimg_manifest *next = p->job->input->next;
	const struct mlimg_stanza *s = e->side[MLIMG_SIDE_NEXT], *mine = e->side[MLIMG_SIDE_MINE];
	mlimg_autofree char *begin = NULL;
	int r = 0;

	if (asprintf(&begin, MLIMG_PACKAGES_INFO "%s", s->name) < 0) {
		begin = NULL;
		return mlimg_packages_no_memory(p->job);
	}
	for (size_t i = mlimg_manifest_first_from(next, begin); i < next->n_entries && r == 0;
		i++) {
		const char *path = next->entries[i].path, *dot = strrchr(path, '.');

		if (strncmp(path, begin, strlen(begin)) != 0)
			break;
		if (!is_info_of(s, path + strlen(begin), dot))
			continue;
		/* Removed but not purged: dpkg needs this one to purge it. */
		if (e->verdict != MLIMG_FILES_REMOVED || !mine || strcmp(dot, ".postrm") != 0)
			r = add_hidden(p, path);
	}
	return r;
}

/*
 * A file of the user's package alone, where next has one too: neither of another architecture of it,
 * nor at a path that is diverted for the package.
 */
static bool hides(struct paths *p, const char *line)
{
	const struct mlimg_entry *next;
	const char *path;

	if (mlimg_record_list_find(&p->diverted[MLIMG_SIDE_MINE], line))
		return false;
	path = mlimg_packages_tree_path(p->job, line);
	next = path && *path ? mlimg_manifest_find(p->job->input->next, path) : NULL;
	return next && next->type != MLIMG_DIR;
}

/* Of a package that next has not. */
static int tell_hiding(struct paths *p, const struct mlimg_package_entry *e)
{
	mlimg_autofree char *text = NULL;
	char *at, *line, *first = NULL;
	size_t size, n = 0;
	int r;

	if (e->side[MLIMG_SIDE_NEXT])
		return 0;
	r = read_list(p, e->side[MLIMG_SIDE_MINE], MLIMG_SIDE_MINE, &text, &size);
	at = text;
	while (r == 0 && (line = strsep(&at, "\n")))
		if (line[0] == '/' && !is_directory(line, at) && hides(p, line) && n++ == 0)
			first = line;
	if (r < 0 || n == 0)
		return r;
	return mlimg_notes_add(p->job->notes, MLIMG_NOTE_TOLD, MLIMG_PACKAGES_STATUS,
		       e->side[MLIMG_SIDE_MINE]->name,
		       "its %.200s, installed here, hides the system's; files like this: %zu",
		       first, n) < 0
		? mlimg_packages_no_memory(p->job)
		: 0;
}

static int list_entry(struct paths *p, const struct mlimg_package_entry *e)
{
	int r = 0;

	switch (e->verdict) {
	case MLIMG_FILES_MINE:
		r = add_list(p, e, MLIMG_SIDE_MINE, MLIMG_PATH_MINE, false);
		if (r == 0)
			r = add_list(p, e, MLIMG_SIDE_NEXT, MLIMG_PATH_REMOVED, true);
		break;
	case MLIMG_FILES_REMOVED:
		r = add_list(p, e, MLIMG_SIDE_NEXT, MLIMG_PATH_REMOVED, true);
		break;
	case MLIMG_FILES_NEXT:
		r = add_list(p, e, MLIMG_SIDE_MINE, MLIMG_PATH_NEXT, false);
		return r < 0 ? r : add_list(p, e, MLIMG_SIDE_NEXT, MLIMG_PATH_NEW, false);
	default:
		if (!is_there(e, MLIMG_SIDE_BASE) && !is_there(e, MLIMG_SIDE_MINE))
			return add_list(p, e, MLIMG_SIDE_NEXT, MLIMG_PATH_NEW, false);
		return 0;
	}
	return r == 0 && is_there(e, MLIMG_SIDE_NEXT) ? hide_info(p, e) : r;
}

/* Of one name: what another architecture has of a package that is not next's. */
static int list_name(struct paths *p, const struct mlimg_package_entry *entries, size_t n)
{
	bool may_hide = false;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		may_hide |= entries[i].verdict == MLIMG_FILES_MINE ||
			entries[i].verdict == MLIMG_FILES_REMOVED;
		r = list_entry(p, &entries[i]);
	}
	if (r == 0 && n == 1 && entries->verdict == MLIMG_FILES_MINE)
		r = tell_hiding(p, entries);
	for (size_t i = 0; i < n && n > 1 && may_hide && r == 0; i++)
		if (entries[i].verdict == MLIMG_FILES_PLAIN &&
			is_there(&entries[i], MLIMG_SIDE_NEXT))
			r = add_list(p, &entries[i], MLIMG_SIDE_NEXT, MLIMG_PATH_KEPT, false);
	return r;
}

static int path_cmp(const void *a, const void *b)
{
	const struct mlimg_package_path *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	return order ? order : (int)x->owner - (int)y->owner;
}

static void sort_table(struct mlimg_packages_table *t)
{
	size_t n = 0;

	if (t->n_paths)
		qsort(t->paths, t->n_paths, sizeof(*t->paths), path_cmp);
	for (size_t i = 0; i < t->n_paths; i++)
		if (n == 0 || strcmp(t->paths[n - 1].path, t->paths[i].path) != 0)
			t->paths[n++] = t->paths[i];
	t->n_paths = n;
}

static int hidden_cmp(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(*(const char *const *)a, *(const char *const *)b);
}

/* Those that next has, and that no package has which shows. */
static int list_hidden(struct paths *p)
{
	struct mlimg_packages_merged *m = p->job->merged;

	m->hidden = calloc(p->n_hidden + 1, sizeof(*m->hidden));
	if (!m->hidden)
		return mlimg_packages_no_memory(p->job);
	if (p->n_hidden)
		qsort(p->hidden, p->n_hidden, sizeof(*p->hidden), hidden_cmp);
	for (size_t i = 0; i < p->n_hidden; i++) {
		const struct mlimg_package_path *owned =
			mlimg_packages_find_path(p->table, p->hidden[i]);
		const struct mlimg_entry *entry =
			mlimg_manifest_find(p->job->input->next, p->hidden[i]);

		if (!entry || entry->type == MLIMG_DIR ||
			(owned && owned->owner != MLIMG_PATH_REMOVED) ||
			(i && strcmp(p->hidden[i], p->hidden[i - 1]) == 0))
			continue;
		m->hidden[m->n_hidden++] =
			mlimg_arena_strndup(p->table->arena, entry->path, strlen(entry->path));
		if (!m->hidden[m->n_hidden - 1])
			return mlimg_packages_no_memory(p->job);
	}
	return 0;
}

/* ---- the packages ---- */

static const char *keep(struct paths *p, const char *text, bool *has_failed)
{
	char *copy = mlimg_arena_strndup(p->table->arena, text, strlen(text));

	*has_failed |= !copy;
	return copy;
}

static int list_packages(struct paths *p)
{
	struct mlimg_packages_merged *m = p->job->merged;
	bool has_failed = false;

	m->packages = calloc(p->job->n_entries + 1, sizeof(*m->packages));
	if (!m->packages)
		return mlimg_packages_no_memory(p->job);
	for (size_t i = 0; i < p->job->n_entries; i++) {
		const struct mlimg_package_entry *e = &p->job->entries[i];
		struct mlimg_packages_package *package = &m->packages[m->n_packages];

		if (e->verdict == MLIMG_FILES_PLAIN)
			continue;
		package->name = keep(p, any_side(e)->name, &has_failed);
		package->architecture = keep(p, any_side(e)->architecture, &has_failed);
		for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++)
			if (is_there(e, (enum mlimg_merge_side)side))
				package->version[side] =
					keep(p, e->side[side]->version, &has_failed);
		if (e->winner && e->winner->is_present)
			package->merged_version = keep(p, e->winner->version, &has_failed);
		package->verdict = e->verdict;
		m->n_packages++;
	}
	return has_failed ? mlimg_packages_no_memory(p->job) : 0;
}

static bool is_changed(const struct mlimg_packages_job *job)
{
	for (size_t i = 0; i < job->n_entries; i++)
		if (job->entries[i].verdict != MLIMG_FILES_PLAIN)
			return true;
	return false;
}

static int list_all(struct paths *p)
{
	struct mlimg_packages_job *job = p->job;
	int r = read_diversions(p, MLIMG_SIDE_NEXT);

	if (r == 0)
		r = read_diversions(p, MLIMG_SIDE_MINE);
	for (size_t i = 0, n; i < job->n_entries && r == 0; i += n) {
		for (n = 1; i + n < job->n_entries &&
			strcmp(any_side(&job->entries[i])->name,
				any_side(&job->entries[i + n])->name) == 0;)
			n++;
		r = list_name(p, &job->entries[i], n);
	}
	if (r < 0)
		return r;
	sort_table(p->table);
	r = list_hidden(p);
	return r < 0 ? r : list_packages(p);
}

int mlimg_packages_list_paths(struct mlimg_packages_job *job)
{
	struct paths p = {.job = job, .table = job->merged->table};
	int r = is_changed(job) ? list_all(&p) : 0;

	for (int side = 0; side < MLIMG_N_MERGE_SIDES; side++) {
		mlimg_record_list_done(&p.diverted[side]);
		free(p.diversions[side]);
	}
	free(p.hidden);
	return r;
}
