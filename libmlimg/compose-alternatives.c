/* SPDX-License-Identifier: MIT */
#include "libmlimg/compose-alternatives.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/compose-parts.h"
#include "libmlimg/packages-impl.h"
#include "libmlimg/whiteout.h"

#define LINKS "etc/alternatives/"

/* One group, in all layers. */
struct group {
	const struct mlimg_compose_layers *layers;
	struct mlimg_arena *arena;
	const char *path;
	struct {
		bool has_file, is_none; /* is_none: a whiteout, or hidden */
		const struct mlimg_entry *entry;
		struct mlimg_records_text text; /* of the file */
		struct mlimg_records_text base; /* what it was made of */
	} at[MLIMG_STACK_LAYERS_MAX];
	struct mlimg_err *err;
};

/* ---- reading ---- */

static int read_one(struct group *g, size_t layer)
{
	const struct mlimg_compose_parts parts = {.base = g->at[layer].entry, .base_layer = layer};
	struct mlimg_records_text *text = &g->at[layer].text;
	mlimg_autofree char *data = NULL;
	int r = mlimg_compose_read_base(g->layers, &parts, &data, &text->size, g->err);

	if (r == 0) {
		text->text = mlimg_arena_strndup(g->arena, data, text->size);
		r = text->text ? 0 : mlimg_err_set(g->err, ENOMEM, "compose");
	}
	return r < 0 ? mlimg_err_wrap(g->err, r, "layer '%s': '/%s'", g->layers->infos[layer]->name,
			       g->path)
		     : 0;
}

/* @return 1: layers have it that may have to be merged; 0; -errno */
static int read_all(struct group *g)
{
	size_t n_files = 0;
	int r = 0;

	for (size_t i = 0; i < g->layers->n; i++) {
		const struct mlimg_entry *e = mlimg_manifest_find(g->layers->manifests[i], g->path);

		g->at[i].entry = e;
		g->at[i].has_file = e && e->type == MLIMG_FILE;
		g->at[i].is_none = e ? !g->at[i].has_file
				     : mlimg_compose_hides(g->layers->manifests[i], g->path);
		if ((g->at[i].is_none && e && !mlimg_entry_is_whiteout(e)) ||
			(g->at[i].has_file && e->size_bytes > MLIMG_ALTERNATIVES_SIZE_MAX))
			return 0;
		n_files += g->at[i].has_file || g->at[i].is_none;
	}
	if (n_files < 2)
		return 0;
	for (size_t i = 0; r == 0 && i < g->layers->n; i++)
		if (g->at[i].has_file)
			r = read_one(g, i);
	return r < 0 ? r : 1;
}

/* ---- merging ---- */

static bool is_same(struct mlimg_records_text a, struct mlimg_records_text b)
{
	return !a.text || !b.text ? a.text == b.text
				  : a.size == b.size && memcmp(a.text, b.text, a.size) == 0;
}

static int merge(struct group *g, struct mlimg_records_text base, struct mlimg_records_text mine,
	struct mlimg_records_text *shown)
{
	const struct mlimg_records_text sides[MLIMG_N_MERGE_SIDES] = {
		[MLIMG_SIDE_BASE] = base, [MLIMG_SIDE_NEXT] = *shown, [MLIMG_SIDE_MINE] = mine};
	struct mlimg_merged_text merged = {.text = NULL};
	int r = mlimg_alternatives_merge(g->arena, g->path, sides, &merged, g->err);

	if (r < 0)
		return r;
	*shown = (struct mlimg_records_text){NULL, 0};
	if (merged.text) {
		shown->size = merged.size;
		shown->text = mlimg_arena_strndup(g->arena, merged.text, merged.size);
		r = shown->text ? 0 : mlimg_err_set(g->err, ENOMEM, "compose");
	}
	free((char *)(uintptr_t)merged.text);
	return r;
}

/* What the layers beneath @end show; unless all are meant, those that it was made over. */
static int fold(struct group *g, size_t end, bool all, struct mlimg_records_text *ret)
{
	struct mlimg_records_text shown = {NULL, 0};
	int r = 0;

	for (size_t i = 0; i < end && r == 0; i++) {
		if ((!g->at[i].has_file && !g->at[i].is_none) ||
			(!all && !mlimg_layer_is_over(g->layers->infos[end], g->layers->infos[i])))
			continue;
		if (g->layers->infos[i]->n_over == 0)
			shown = g->at[i].text;
		else
			r = merge(g, g->at[i].base, g->at[i].text, &shown);
	}
	*ret = shown;
	return r;
}

/* ---- what comes of it ---- */

static int add(struct group *g, struct mlimg_composed_alternatives *out,
	const struct mlimg_composed_alternative *one)
{
	if (mlimg_buffer_reserve(&out->list, &out->room, (out->n + 1) * sizeof(*out->list)) < 0)
		return mlimg_err_set(g->err, ENOMEM, "compose");
	out->list[out->n++] = *one;
	return 0;
}

static char *link_path(struct group *g, const char *name)
{
	size_t size = strlen(LINKS) + strlen(name);
	char *path = mlimg_arena_alloc(g->arena, size + 1);

	if (path) {
		memcpy(path, LINKS, strlen(LINKS));
		memcpy(path + strlen(LINKS), name, strlen(name) + 1);
	}
	return path;
}

/* The topmost layer that has chosen by hand. */
static const struct mlimg_manifest *who_chose(const struct group *g)
{
	static const char manual[] = "manual\n";

	for (size_t i = g->layers->n; i-- > 0;)
		if (g->at[i].text.size >= strlen(manual) &&
			memcmp(g->at[i].text.text, manual, strlen(manual)) == 0)
			return g->layers->manifests[i];
	return NULL;
}

static int add_link(struct group *g, struct mlimg_composed_alternatives *out,
	const struct mlimg_alternative *alternative, const struct mlimg_entry *like)
{
	struct mlimg_composed_alternative one = {.text.text = NULL};
	char *path = link_path(g, alternative->name);
	const struct mlimg_manifest *chosen = alternative->is_auto ? NULL : who_chose(g);
	const struct mlimg_entry *e = chosen && path ? mlimg_manifest_find(chosen, path) : NULL;
	const char *target = alternative->target;

	if (!path)
		return mlimg_err_set(g->err, ENOMEM, "compose");
	if (!alternative->is_auto)
		target = e && e->type == MLIMG_LINK ? e->link : NULL;
	if (!target || !*target)
		return 0;
	one.entry = (struct mlimg_entry){.path = path,
		.type = MLIMG_LINK,
		.mode = 0777,
		.mtime_s = like->mtime_s,
		.mtime_ns = like->mtime_ns,
		.link = mlimg_arena_strndup(g->arena, target, strlen(target))};
	one.entry.size_bytes = 0;
	return one.entry.link ? add(g, out, &one) : mlimg_err_set(g->err, ENOMEM, "compose");
}

static int add_group(struct group *g, size_t top, struct mlimg_records_text text,
	struct mlimg_composed_alternatives *out)
{
	struct mlimg_composed_alternative one = {.entry = *g->at[top].entry, .text = text};
	mlimg_autofree struct mlimg_alternative *links = NULL;
	size_t n = 0;
	int r;

	one.entry.size_bytes = text.size;
	mlimg_sha256_of(text.text, text.size, one.entry.digest);
	one.entry.has_digest = true;
	r = mlimg_alternatives_links(g->arena, g->path, text, &links, &n, g->err);
	if (r == 0)
		r = add(g, out, &one);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_link(g, out, &links[i], g->at[top].entry);
	return r;
}

/* What a union shows without this. */
static struct mlimg_records_text plain(const struct group *g)
{
	for (size_t i = g->layers->n; i-- > 0;)
		if (g->at[i].has_file || g->at[i].is_none)
			return g->at[i].text;
	return (struct mlimg_records_text){NULL, 0};
}

static int compose_group(struct group *g, struct mlimg_composed_alternatives *out)
{
	struct mlimg_records_text shown = {NULL, 0};
	size_t top = g->layers->n;
	int r = read_all(g);

	if (r <= 0)
		return r;
	r = 0;
	for (size_t i = 0; r == 0 && i < g->layers->n; i++)
		r = fold(g, i, false, &g->at[i].base);
	if (r == 0)
		r = fold(g, g->layers->n, true, &shown);
	if (r < 0 || !shown.size || is_same(shown, plain(g)))
		return r;
	while (top-- > 0 && !g->at[top].has_file)
		continue;
	return add_group(g, top, shown, out);
}

/* Whether no layer above has it, too: then it is this one's turn. */
static bool is_topmost(const struct mlimg_compose_layers *layers, size_t layer, const char *path)
{
	for (size_t i = layer + 1; i < layers->n; i++)
		if (mlimg_manifest_find(layers->manifests[i], path))
			return false;
	return true;
}

int mlimg_compose_alternatives(const struct mlimg_compose_layers *layers, struct mlimg_arena *arena,
	struct mlimg_composed_alternatives *ret_alternatives, struct mlimg_err *err)
{
	mlimg_autofree struct group *g = calloc(1, sizeof(*g));
	const size_t size = strlen(MLIMG_ALTERNATIVES_DIR);
	int r = 0;

	if (!g)
		return mlimg_err_set(err, ENOMEM, "compose");
	for (size_t i = 0; i < layers->n; i++) {
		const struct mlimg_manifest *m = layers->manifests[i];

		for (size_t k = 0; r == 0 && layers->infos[i]->n_over && k < m->n_entries; k++) {
			const struct mlimg_entry *e = &m->entries[k];

			if ((e->type != MLIMG_FILE && !mlimg_entry_is_whiteout(e)) ||
				strncmp(e->path, MLIMG_ALTERNATIVES_DIR, size) != 0 ||
				strchr(e->path + size, '/') || !is_topmost(layers, i, e->path))
				continue;
			*g = (struct group){
				.layers = layers, .arena = arena, .path = e->path, .err = err};
			r = compose_group(g, ret_alternatives);
		}
	}
	return r;
}
