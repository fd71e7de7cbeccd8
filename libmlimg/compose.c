/* SPDX-License-Identifier: MIT */
#include "libmlimg/compose.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/compose-alternatives.h"
#include "libmlimg/compose-parts.h"
#include "libmlimg/whiteout.h"

struct tree {
	const struct mlimg_compose_layers *layers;
	struct mlimg_composed *composed;
	size_t texts_room;
	uint64_t n_files, bytes;
	struct mlimg_owner_moves *moves; /* of each layer, or NULL */
	struct mlimg_arena *arena;       /* of entries with other owners */
	struct mlimg_err *err;
};

/* What is to be in the tree, beside the directories on the way to it. */
struct item {
	char *path;
	const struct mlimg_entry *moved;                      /* with its owner; NULL: a database */
	size_t layer;                                         /* that has it */
	const struct mlimg_composed_alternative *alternative; /* or NULL */
};

static int no_memory(struct tree *t)
{
	return mlimg_err_set(t->err, ENOMEM, "compose");
}

/* @text: taken over on success; NULL for a directory. */
static int add_entry(
	struct tree *t, const struct mlimg_entry *like, char *path, struct mlimg_records_text text)
{
	struct mlimg_composed *c = t->composed;
	struct mlimg_entry e = *like;
	mlimg_autofree struct mlimg_xattr *xattrs = calloc(e.n_xattrs + 1, sizeof(*xattrs));

	if (!xattrs ||
		mlimg_buffer_reserve(&c->texts, &t->texts_room,
			(c->manifest->n_entries + 1) * sizeof(*c->texts)) < 0)
		return no_memory(t);
	e.path = path;
	e.xattrs = xattrs;
	e.n_xattrs = 0;
	e.nlink = 1;
	e.hardlink = 0;
	for (uint32_t i = 0; i < like->n_xattrs; i++)
		if (!mlimg_xattr_is_overlay(like->xattrs[i].name))
			xattrs[e.n_xattrs++] = like->xattrs[i];
	if (!mlimg_manifest_add(c->manifest, &e))
		return no_memory(t);
	c->texts[c->manifest->n_entries - 1] = text;
	return 0;
}

/* The directory as the layers show it. */
static int find_dir(struct tree *t, const char *path, struct mlimg_entry *ret_entry)
{
	const struct mlimg_compose_layers *layers = t->layers;

	for (size_t i = layers->n; i-- > 0;) {
		const struct mlimg_entry *e = mlimg_manifest_find(layers->manifests[i], path);

		if (e && e->type == MLIMG_DIR) {
			*ret_entry = *e;
			return 0;
		}
		if (e && !mlimg_entry_is_whiteout(e))
			return mlimg_compose_refuse(layers, i, e, "directory", t->err);
		if (e || mlimg_compose_hides(layers->manifests[i], path))
			break;
	}
	*ret_entry = (struct mlimg_entry){.type = MLIMG_DIR, .mode = 0755};
	return 0;
}

/* The root, then down to the one that has @path; those that are there already are passed over. */
static int add_dirs(struct tree *t, const char *path)
{
	char dir[MLIMG_PATH_MAX + 1] = "";
	const char *end = path;
	int r = 0;

	do {
		struct mlimg_entry e;

		if (!mlimg_manifest_find(t->composed->manifest, dir)) {
			r = find_dir(t, dir, &e);
			if (r == 0)
				r = add_entry(t, &e, dir, (struct mlimg_records_text){NULL, 0});
		}
		end = *dir ? strchr(end + 1, '/') : strchr(path, '/');
		if (end) {
			memcpy(dir, path, (size_t)(end - path));
			dir[end - path] = '\0';
		}
	} while (r == 0 && end);
	return r;
}

static int check_size(struct tree *t, size_t size)
{
	t->bytes += size;
	if (++t->n_files <= MLIMG_COMPOSED_FILES_MAX && t->bytes <= MLIMG_COMPOSED_BYTES_MAX)
		return 0;
	return mlimg_err_refuse(t->err, "the layers' records make more than %d files or %u bytes",
		MLIMG_COMPOSED_FILES_MAX, MLIMG_COMPOSED_BYTES_MAX);
}

static int add_file(struct tree *t, char *path, const struct mlimg_compose_parts *parts)
{
	struct mlimg_entry e = {
		.type = MLIMG_FILE, .mode = mlimg_records_is_secret(path) ? 0600 : 0644};
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_compose_join(t->layers, path, parts, t->moves, &text, &size, t->err);

	if (r == 0)
		r = check_size(t, size);
	if (r < 0)
		return r;
	if (parts->base)
		e = *parts->base;
	e.mtime_s = parts->mtime_s;
	e.mtime_ns = parts->mtime_ns;
	e.size_bytes = size;
	mlimg_sha256_of(text, size, e.digest);
	e.has_digest = true;
	r = add_entry(t, &e, path, (struct mlimg_records_text){text, size});
	if (r == 0)
		mlimg_steal(&text);
	return r;
}

/* ---- owners that moved ---- */

/* Beside the database itself, whose owner is what it is. */
static int add_moved(struct tree *t, const struct item *item)
{
	const struct mlimg_entry *e = item->moved;
	mlimg_autofree char *text = NULL;
	size_t size = 0;
	int r = add_dirs(t, item->path);

	if (r == 0 && e->type == MLIMG_FILE) {
		r = check_size(t, e->size_bytes);
		if (r == 0)
			r = t->layers->read_file(
				t->layers->ctx, item->layer, e, &text, &size, t->err);
	}
	if (r == 0)
		r = add_entry(t, e, item->path, (struct mlimg_records_text){text, size});
	if (r < 0)
		return mlimg_err_wrap(t->err, r, "layer '%s': '/%s'",
			t->layers->infos[item->layer]->name, item->path);
	mlimg_steal(&text);
	return 0;
}

/* ---- alternatives ---- */

static int add_alternative(struct tree *t, const struct item *item)
{
	const struct mlimg_composed_alternative *a = item->alternative;
	struct mlimg_records_text text = {NULL, a->text.size};
	mlimg_autofree char *copy = NULL;
	int r = add_dirs(t, item->path);

	if (r == 0 && a->text.text) {
		copy = strndup(a->text.text, a->text.size);
		text.text = copy;
		r = copy ? check_size(t, text.size) : no_memory(t);
	}
	if (r == 0)
		r = add_entry(t, &a->entry, item->path, text);
	if (r == 0)
		mlimg_steal(&copy);
	return r;
}

/* ---- what is in the tree ---- */

struct items {
	struct item *list;
	size_t n, room;
};

static int add_item(struct tree *t, struct items *items, struct item item)
{
	if (mlimg_buffer_reserve(
		    &items->list, &items->room, (items->n + 1) * sizeof(*items->list)) < 0)
		return no_memory(t);
	items->list[items->n++] = item;
	return 0;
}

static int list_moved(struct tree *t, struct items *items, size_t layer)
{
	const struct mlimg_manifest *m = t->layers->manifests[layer];
	int r = 0;

	for (size_t i = 0; i < m->n_entries && r == 0; i++) {
		struct item item = {.path = m->entries[i].path, .layer = layer};
		struct mlimg_entry *e = mlimg_arena_alloc(t->arena, sizeof(*e));
		int is_moved = e
			? mlimg_owner_moves_apply(&t->moves[layer], &m->entries[i], t->arena, e)
			: -ENOMEM;

		if (is_moved < 0)
			return no_memory(t);
		if (!is_moved || e->type == MLIMG_LINK || mlimg_entry_is_whiteout(e) ||
			!mlimg_compose_shows(t->layers, layer, e))
			continue;
		if (e->type != MLIMG_FILE && e->type != MLIMG_DIR)
			return mlimg_err_refuse(t->err,
				"layer '%s': '/%s' is a %s of somebody whose id is another one's "
				"in a layer beneath",
				t->layers->infos[layer]->name, e->path, mlimg_type_name(e->type));
		item.moved = e;
		r = add_item(t, items, item);
	}
	return r;
}

static int list_alternatives(
	struct tree *t, struct items *items, const struct mlimg_composed_alternatives *alternatives)
{
	int r = 0;

	for (size_t i = 0; i < alternatives->n && r == 0; i++) {
		const struct mlimg_composed_alternative *a = &alternatives->list[i];

		r = add_item(t, items, (struct item){.path = a->entry.path, .alternative = a});
	}
	return r;
}

/* A database comes before what is there besides, which then is passed over. */
static int by_path(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = mlimg_manifest_path_cmp(x->path, y->path);

	return order ? order : (x->moved != NULL) - (y->moved != NULL);
}

/* In the order of manifests, some several times. */
static int list_items(
	struct tree *t, struct items *items, const struct mlimg_composed_alternatives *alternatives)
{
	const struct mlimg_compose_layers *layers = t->layers;
	int r = list_alternatives(t, items, alternatives);

	for (size_t i = 0; i < layers->n && r == 0; i++) {
		for (size_t j = 0; j < layers->infos[i]->n_records && r == 0; j++)
			r = add_item(
				t, items, (struct item){.path = layers->infos[i]->records[j].path});
		if (r == 0 && t->moves && !mlimg_owner_moves_is_empty(&t->moves[i]))
			r = list_moved(t, items, i);
	}
	if (items->n)
		qsort(items->list, items->n, sizeof(*items->list), by_path);
	return r;
}

/* What is no database to this version stays as it is in the layers. */
static int add_database(struct tree *t, char *path)
{
	struct mlimg_compose_parts parts;
	int r;

	if (mlimg_records_form_of(path) == MLIMG_RECORDS_NONE)
		return 0;
	r = mlimg_compose_find(t->layers, path, &parts, t->err);
	if (r == 0 && parts.n_records)
		r = add_dirs(t, path);
	if (r == 0 && parts.n_records)
		r = add_file(t, path, &parts);
	return r;
}

static int add_items(struct tree *t)
{
	struct mlimg_composed_alternatives alternatives = {.n = 0};
	struct items items = {.n = 0};
	int r = mlimg_compose_alternatives(t->layers, t->arena, &alternatives, t->err);

	if (r == 0)
		r = list_items(t, &items, &alternatives);

	for (size_t i = 0; i < items.n && r == 0; i++) {
		const struct item *item = &items.list[i];

		if (i && strcmp(item->path, items.list[i - 1].path) == 0)
			continue;
		r = item->alternative ? add_alternative(t, item)
			: item->moved ? add_moved(t, item)
				      : add_database(t, item->path);
	}
	free(items.list);
	free(alternatives.list);
	return r;
}

int mlimg_compose(const struct mlimg_compose_layers *layers, struct mlimg_composed *ret_composed,
	struct mlimg_err *err)
{
	struct tree t = {.layers = layers, .composed = ret_composed, .err = err};
	char header[32];
	int r, size;

	*ret_composed = (struct mlimg_composed){.manifest = NULL};
	if (!mlimg_compose_is_needed(layers->infos, layers->n))
		return 0;
	ret_composed->manifest = mlimg_manifest_new();
	t.arena = mlimg_arena_new();
	size = snprintf(header, sizeof(header), "composed %d", MLIMG_COMPOSE_REVISION);
	if (!t.arena || !ret_composed->manifest ||
		mlimg_manifest_add_header(ret_composed->manifest, header, (size_t)size) < 0)
		r = no_memory(&t);
	else
		r = mlimg_compose_find_moves(layers, &t.moves, err);
	if (r == 0)
		r = add_items(&t);
	mlimg_compose_moves_free(t.moves, layers->n);
	mlimg_arena_free(t.arena);
	if (r == 0 && !ret_composed->manifest->n_entries)
		mlimg_composed_done(ret_composed);
	return r;
}

bool mlimg_compose_is_needed(const struct mlimg_layer_info *const *infos, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (infos[i]->n_records)
			return true;
	return false;
}

bool mlimg_composed_is_current(const struct mlimg_manifest *manifest)
{
	char header[32];

	snprintf(header, sizeof(header), "composed %d", MLIMG_COMPOSE_REVISION);
	return manifest->n_header == 1 && strcmp(manifest->header[0], header) == 0;
}

void mlimg_composed_done(struct mlimg_composed *composed)
{
	for (size_t i = 0; composed->texts && i < composed->manifest->n_entries; i++)
		free((char *)(uintptr_t)composed->texts[i].text);
	free(composed->texts);
	mlimg_manifest_free(composed->manifest);
	*composed = (struct mlimg_composed){.manifest = NULL};
}
