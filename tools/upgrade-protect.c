/* SPDX-License-Identifier: MIT */
#include "tools/upgrade-protect.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "tools/upgrade-after.h"

/* A stranger may rename so that each round looks at all, and finds one more. */
#define ROUNDS_MAX 8

/* ---- what is declared ---- */

bool mlimg_upgrade_protected_is_file(const struct mlimg_entry *entry)
{
	static const char dir[] = MLIMG_PROTECTED_CONF;

	return mlimg_path_is_below(entry->path, dir) &&
		mlimg_path_dir_size(entry->path) == strlen(dir) &&
		mlimg_declared_is_file(mlimg_path_name(entry->path));
}

int mlimg_upgrade_protected_add(const char *path, const char *text, size_t size,
	struct mlimg_protected *to, struct mlimg_err *err)
{
	char shown[64];

	mlimg_declared_show(mlimg_path_name(path), shown);
	mlimg_protected_parse(shown, text, size, to);
	return *to->flaw
		? mlimg_err_refuse(err, "/" MLIMG_PROTECTED_CONF " of the layers: %.400s", to->flaw)
		: 0;
}

/* ---- what the layers have ---- */

/* Takes the first name off a pattern. @return what follows it; NULL when it is the last */
static const char *split(const char *pattern, char ret_name[MLIMG_DECLARED_PATH_MAX + 1])
{
	size_t n = strcspn(pattern, "/");

	snprintf(ret_name, MLIMG_DECLARED_PATH_MAX + 1, "%.*s", (int)n, pattern);
	return pattern[n] ? pattern + n + 1 : NULL;
}

static bool matches_below(const struct mlimg_manifest *next, const char *dir, const char *pattern);

/* A symbolic link in the place of a directory is what is protected. */
static bool is_match(
	const struct mlimg_manifest *next, const struct mlimg_entry *e, const char *rest)
{
	if (!e)
		return false;
	if (!rest || e->type == MLIMG_LINK)
		return true;
	return e->type == MLIMG_DIR && matches_below(next, e->path, rest);
}

static bool matches_below(const struct mlimg_manifest *next, const char *dir, const char *pattern)
{
	char glob[MLIMG_DECLARED_PATH_MAX + 1], path[MLIMG_PATH_MAX + 1];
	const char *rest = split(pattern, glob);
	size_t size = strlen(dir);

	if (!strpbrk(glob, "*?[")) {
		if (size + 1 + strlen(glob) > MLIMG_PATH_MAX)
			return false;
		mlimg_path_join(path, dir, glob, strlen(glob));
		return is_match(next, mlimg_manifest_find(next, path), rest);
	}
	for (size_t i = mlimg_manifest_first_from(next, dir);
		i < next->n_entries && mlimg_path_is_within(next->entries[i].path, dir); i++) {
		const struct mlimg_entry *e = &next->entries[i];

		if (mlimg_path_is_below(e->path, dir) && mlimg_path_dir_size(e->path) == size &&
			fnmatch(glob, mlimg_path_name(e->path), FNM_NOESCAPE) == 0 &&
			is_match(next, e, rest))
			return true;
	}
	return false;
}

/* @return what the layers have there; a symbolic link where one is on the way; or NULL */
static const struct mlimg_entry *in_layers(const struct mlimg_manifest *next, const char *path)
{
	char at[MLIMG_PATH_MAX + 1];

	for (size_t n = strcspn(path, "/"); path[n]; n += 1 + strcspn(path + n + 1, "/")) {
		const struct mlimg_entry *e;

		snprintf(at, sizeof(at), "%.*s", (int)n, path);
		e = mlimg_manifest_find(next, at);
		if (!e || e->type != MLIMG_DIR)
			return e && e->type == MLIMG_LINK ? e : NULL;
	}
	return mlimg_manifest_find(next, path);
}

/* @return whether the layers have something below the directory @path that is matched */
static bool has_match(const struct mlimg_manifest *next, const char *path, const char *rest)
{
	return is_match(next, in_layers(next, path), rest);
}

/* ---- what covers it ---- */

struct covering {
	const struct mlimg_manifest *next;
	struct mlimg_upgrade_after after;
	const char **aside; /* paths, as they are found */
	size_t n_aside, room;
};

/* Whether a thing above something protected covers it. */
static bool covers(
	const struct covering *c, const struct mlimg_upgrade_thing *thing, const char *rest)
{
	char from[MLIMG_PATH_MAX + 1];
	const struct mlimg_entry *e;
	bool has_from;

	if (thing->type != MLIMG_DIR)
		return has_match(c->next, thing->path, rest);
	has_from = mlimg_upgrade_after_origin(&c->after, thing->path, true, from);
	e = in_layers(c->next, thing->path);
	if (has_from && strcmp(from, thing->path) == 0)
		return e && e->type == MLIMG_LINK;
	return is_match(c->next, e, rest) || (has_from && has_match(c->next, from, rest));
}

/* @return what of the pattern is below the path: NULL when it names the path; "" when it does not */
static const char *rest_of(const char *pattern, const char *path)
{
	char glob[MLIMG_DECLARED_PATH_MAX + 1], name[MLIMG_PATH_MAX + 1];

	while (pattern) {
		size_t n = strcspn(path, "/");

		pattern = split(pattern, glob);
		snprintf(name, sizeof(name), "%.*s", (int)n, path);
		if (fnmatch(glob, name, FNM_NOESCAPE) != 0)
			return "";
		if (!path[n])
			return pattern;
		path += n + 1;
	}
	return "";
}

static int set_aside(struct covering *c, const char *path, struct mlimg_err *err)
{
	if (mlimg_buffer_reserve(&c->aside, &c->room, (c->n_aside + 1) * sizeof(*c->aside)) < 0)
		return mlimg_err_set(err, ENOMEM, "look for what covers protected paths");
	c->aside[c->n_aside++] = path;
	mlimg_upgrade_after_remove(&c->after, path);
	return 0;
}

/* What goes takes along all that is below it, and is not there for the next pattern. */
static int follow(struct covering *c, const char *pattern, struct mlimg_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->after.n; i++) {
		const struct mlimg_upgrade_thing *thing = &c->after.things[i];
		const char *rest = *thing->path ? rest_of(pattern, thing->path) : "";

		if (!thing->is_gone && (!rest || (*rest && covers(c, thing, rest))))
			r = set_aside(c, thing->path, err);
	}
	return r;
}

/* ---- what was renamed ---- */

/* @return whether a directory of the layers shows in its own place: nothing is in its way */
static bool shows(const struct covering *c, const char *path)
{
	const struct mlimg_entry *e = in_layers(c->next, path);
	char at[MLIMG_PATH_MAX + 1];

	if (!e || e->type != MLIMG_DIR || strcmp(e->path, path) != 0)
		return false;
	for (size_t n = 0; path[n]; n += path[n] == '/') {
		const struct mlimg_upgrade_thing *thing;

		n += strcspn(path + n, "/");
		snprintf(at, sizeof(at), "%.*s", (int)n, path);
		thing = mlimg_upgrade_after_find(&c->after, at);
		if (!thing)
			return true;
		if (thing->type != MLIMG_DIR || thing->is_opaque || thing->redirect)
			return false;
	}
	return true;
}

/* Where one was something may show from which another one was renamed: until none goes any more. */
static int find_renamed(struct covering *c, bool *ret_has_more, struct mlimg_err *err)
{
	char from[MLIMG_PATH_MAX + 1];
	size_t n_before = 0;
	int r = 0;

	for (int round = 0; r == 0 && c->n_aside != n_before; round++) {
		n_before = c->n_aside;
		*ret_has_more = round == ROUNDS_MAX;
		if (*ret_has_more)
			break;
		for (size_t i = 0; r == 0 && i < c->after.n; i++) {
			const struct mlimg_upgrade_thing *thing = &c->after.things[i];

			if (!thing->is_gone && thing->redirect &&
				mlimg_upgrade_after_origin(&c->after, thing->path, false, from) &&
				shows(c, from))
				r = set_aside(c, thing->path, err);
		}
	}
	return r;
}

static int list(const struct covering *c, struct mlimg_upgrade_covered *ret, struct mlimg_err *err)
{
	size_t size;
	FILE *f = c->n_aside ? open_memstream(&ret->paths, &size) : NULL;

	if (c->n_aside && !f)
		return mlimg_err_set(err, ENOMEM, "look for what covers protected paths");
	ret->n = c->n_aside;
	for (size_t i = 0; i < c->n_aside && i < MLIMG_PROTECTED_SHOWN_MAX; i++) {
		char shown[MLIMG_PROTECTED_SHOWN_SIZE];

		mlimg_protected_show(c->aside[i], shown);
		fprintf(f, "%s\n", shown);
	}
	return f && fclose(f) != 0
		? mlimg_err_set(err, ENOMEM, "look for what covers protected paths")
		: 0;
}

int mlimg_upgrade_covered_find(const struct mlimg_protected *of, const struct mlimg_manifest *next,
	const struct mlimg_manifest *upper, const struct mlimg_plan *plan,
	struct mlimg_upgrade_covered *ret, struct mlimg_err *err)
{
	struct covering c = {.next = next};
	int r = mlimg_upgrade_after_make(upper, plan, &c.after, err);

	for (size_t i = 0; r == 0 && i < of->n_patterns; i++)
		r = follow(&c, of->patterns[i], err);
	if (r == 0)
		r = find_renamed(&c, &ret->has_renamed, err);
	if (r == 0)
		r = list(&c, ret, err);
	free(c.aside);
	mlimg_upgrade_after_done(&c.after);
	return r;
}

void mlimg_upgrade_covered_done(struct mlimg_upgrade_covered *of)
{
	free(of->paths);
	*of = (struct mlimg_upgrade_covered){.n = 0};
}
