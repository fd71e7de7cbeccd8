/* SPDX-License-Identifier: MIT */
/*
 * The reader of manifests: lines, paths, order and hard link groups. Keywords are in
 * manifest-keyword.c.
 */
#include "libmlimg/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/manifest-parser.h"

#define HEADER_PREFIX "# mlimg-"
#define HEADER_LINES_MAX 1024
#define HEADER_LINE_MAX 1024

/*
 * Bytes of the shortest entry, ". type=dir mode=0755 uid=0 gid=0 time=0.000000000\n": so many
 * entries fit a text.
 */
#define ENTRY_LINE_MIN 50

bool mlimg_manifest_path_is_valid(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");

		if (n < 1 || n > MLIMG_NAME_MAX || (n == 1 && path[0] == '.') ||
			(n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (path[n] == '\0')
			return true;
		path += n + 1;
	}
}

static int parse_path(struct mlimg_parser *p, struct mlimg_span s, struct mlimg_entry *e)
{
	size_t size = 0;

	p->buf[0] = '\0';
	if (!mlimg_span_is(s, ".")) {
		if (s.size < 3 || memcmp(s.at, "./", 2) != 0)
			return refuse(p, "a path begins with './'");
		s.at += 2;
		s.size -= 2;
		if (!mlimg_lex_unescape(s, "", p->buf, MLIMG_PATH_MAX, &size) ||
			!mlimg_manifest_path_is_valid(p->buf))
			return refuse(p, "malformed path");
	}
	e->path = mlimg_arena_strndup(p->m->arena, p->buf, size);
	return e->path ? 0 : no_memory(p);
}

/*
 * Order, and the parent: of the directories on the way to the last entry, it is the one that is
 * left.
 */
static int check_place(struct mlimg_parser *p, const struct mlimg_entry *e)
{
	const struct mlimg_manifest *m = p->m;
	const char *slash = strrchr(e->path, '/');
	size_t size = slash ? (size_t)(slash - e->path) : 0;

	if (m->n_entries == 0)
		return e->path[0] ? refuse(p, "the first entry is not the root '.'") : 0;
	if (mlimg_manifest_path_cmp(m->entries[m->n_entries - 1].path, e->path) >= 0)
		return refuse(p, "'%s' is out of order", e->path);
	while (p->n_ancestors > 0) {
		const struct mlimg_parser_ancestor *a = &p->ancestors[p->n_ancestors - 1];

		if (a->size == size && memcmp(a->path, e->path, size) == 0)
			return 0;
		p->n_ancestors--;
	}
	return refuse(p, "'%s' is in no directory", e->path);
}

static int push_ancestor(struct mlimg_parser *p, const struct mlimg_entry *e)
{
	if (mlimg_buffer_reserve(&p->ancestors, &p->ancestors_room,
		    (p->n_ancestors + 1) * sizeof(*p->ancestors)) < 0)
		return no_memory(p);
	p->ancestors[p->n_ancestors++] = (struct mlimg_parser_ancestor){e->path, strlen(e->path)};
	return 0;
}

static bool is_same_inode(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	return a->nlink == b->nlink && a->mtime_s == b->mtime_s && a->mtime_ns == b->mtime_ns &&
		a->has_digest == b->has_digest &&
		memcmp(a->digest, b->digest, sizeof(a->digest)) == 0 &&
		mlimg_entry_has_same_attrs(a, b);
}

/*
 * Groups are numbered by their first names; the names of one agree, and are not more than it has.
 */
static int check_group(struct mlimg_parser *p, const struct mlimg_entry *e)
{
	struct mlimg_parser_group *g;

	if (e->hardlink > p->n_groups + 1)
		return refuse(
			p, "hard link group %u before group %zu", e->hardlink, p->n_groups + 1);
	if (e->hardlink == p->n_groups + 1) {
		if (mlimg_buffer_reserve(&p->groups, &p->groups_room,
			    (p->n_groups + 1) * sizeof(*p->groups)) < 0)
			return no_memory(p);
		p->groups[p->n_groups++] = (struct mlimg_parser_group){.first = p->m->n_entries};
	}
	g = &p->groups[e->hardlink - 1];
	if (g->first < p->m->n_entries && !is_same_inode(&p->m->entries[g->first], e))
		return refuse(p, "'%s' differs from its hard link '%s'", e->path,
			p->m->entries[g->first].path);
	if (++g->seen > e->nlink)
		return refuse(
			p, "hard link group %u has more than %u names", e->hardlink, e->nlink);
	return 0;
}

static int parse_entry(struct mlimg_parser *p, struct mlimg_span line)
{
	struct mlimg_entry e = {.nlink = 1};
	int r;

	if (p->m->n_entries >= MLIMG_ENTRIES_MAX)
		return refuse(p, "more than %d entries", MLIMG_ENTRIES_MAX);
	r = parse_path(p, mlimg_span_cut(&line, ' '), &e);
	if (r < 0)
		return r;
	r = check_place(p, &e);
	if (r < 0)
		return r;
	r = mlimg_parser_keywords(p, line, &e);
	if (r < 0)
		return r;
	r = e.hardlink ? check_group(p, &e) : 0;
	if (r < 0)
		return r;
	p->m->entries[p->m->n_entries++] = e;
	return e.type == MLIMG_DIR ? push_ancestor(p, &e) : 0;
}

static int parse_header(struct mlimg_parser *p, struct mlimg_span line)
{
	size_t n = strlen(HEADER_PREFIX);

	if (p->m->n_entries > 0)
		return refuse(p, "header line after the first entry");
	if (line.size > HEADER_LINE_MAX || p->m->n_header >= HEADER_LINES_MAX)
		return refuse(p, "header is too long");
	if (memchr(line.at, '\0', line.size))
		return refuse(p, "NUL in the header");
	if (mlimg_manifest_add_header(p->m, line.at + n, line.size - n) < 0)
		return no_memory(p);
	return 0;
}

static int parse_line(struct mlimg_parser *p, struct mlimg_span line)
{
	if (line.size == 0)
		return 0;
	if (line.at[0] != '#')
		return parse_entry(p, line);
	if (line.size >= strlen(HEADER_PREFIX) &&
		memcmp(line.at, HEADER_PREFIX, strlen(HEADER_PREFIX)) == 0)
		return parse_header(p, line);
	return 0;
}

static int parse_text(struct mlimg_parser *p, struct mlimg_span text)
{
	size_t n = text.size / ENTRY_LINE_MIN + 1;
	struct mlimg_entry *fitting;
	int r = 0;

	if (text.size == 0 || text.at[text.size - 1] != '\n')
		return mlimg_err_refuse(p->err, "the manifest does not end with a newline");
	p->m->entries = malloc(n * sizeof(*p->m->entries));
	if (!p->m->entries)
		return no_memory(p);
	p->line = 1;
	if (!mlimg_span_is(mlimg_span_cut(&text, '\n'), "#mtree"))
		return refuse(p, "not '#mtree'");
	while (r == 0 && text.size > 0) {
		p->line++;
		r = parse_line(p, mlimg_span_cut(&text, '\n'));
	}
	if (r == 0 && p->m->n_entries == 0)
		return mlimg_err_refuse(p->err, "the manifest has no entries");
	if (r < 0)
		return r;
	fitting = realloc(p->m->entries, p->m->n_entries * sizeof(*fitting));
	if (fitting)
		p->m->entries = fitting;
	return 0;
}

int mlimg_manifest_parse(
	const char *text, size_t size, struct mlimg_manifest **ret_manifest, struct mlimg_err *err)
{
	struct mlimg_parser *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return mlimg_err_set(err, ENOMEM, "read a manifest");
	p->err = err;
	p->m = mlimg_manifest_new();
	r = p->m ? parse_text(p, (struct mlimg_span){text, size}) : no_memory(p);
	if (r == 0)
		*ret_manifest = mlimg_steal(&p->m);
	mlimg_manifest_free(p->m);
	free(p->groups);
	free(p->ancestors);
	free(p->xattrs);
	free(p);
	return r;
}

/* The reader's memory is the caller's arena; no manifest is made. */
int mlimg_manifest_parse_line(const char *line, size_t size, struct mlimg_arena *arena,
	struct mlimg_entry *ret_entry, struct mlimg_err *err)
{
	struct mlimg_manifest none = {.arena = arena};
	struct mlimg_parser p = {.m = &none, .err = err, .line = 1};
	struct mlimg_span rest = {line, size};
	struct mlimg_entry e = {.nlink = 1};
	int r = parse_path(&p, mlimg_span_cut(&rest, ' '), &e);

	if (r == 0)
		r = mlimg_parser_keywords(&p, rest, &e);
	free(p.xattrs);
	if (r == 0)
		*ret_entry = e;
	return r;
}
