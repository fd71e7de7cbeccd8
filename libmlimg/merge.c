/* SPDX-License-Identifier: MIT */
/*
 * Directory by directory: the layers that take part in a directory each have a cursor over what
 * they hold in it. The least name among the cursors is next; what each layer says about it decides
 * what shows, and which of the layers take part in it in turn when it is a directory. A subtree
 * that is hidden is skipped by bisection.
 */
#include "libmlimg/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/patch.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/whiteout.h"

/*
 * A layer's part of one directory: entries @at up to @end, @at always at a name in the directory
 * itself.
 */
struct cursor {
	size_t layer, at, end;
};

struct merge {
	const struct mlimg_manifest *const *layers;
	size_t n_layers;
	struct mlimg_manifest *merged;
	size_t entries_room;
	struct cursor
		*cursors; /* those of a directory behind those of its parent, topmost layer first */
	size_t n_cursors, cursors_room;
	uint32_t **groups; /* for each layer, new numbers of its hard link groups */
	uint32_t n_groups;
	mlimg_unionfs_hidden_fn *hidden; /* or NULL */
	void *hidden_ctx;
	struct mlimg_err *err;
};

static int no_memory(const struct merge *m)
{
	return mlimg_err_set(m->err, ENOMEM, "merge %zu layers", m->n_layers);
}

static const struct mlimg_entry *entry_at(const struct merge *m, const struct cursor *c)
{
	return &m->layers[c->layer]->entries[c->at];
}

/* Where the contents of the directory at @at end. */
static size_t subtree_end(const struct mlimg_manifest *layer, size_t at, size_t end)
{
	const char *path = layer->entries[at].path;
	size_t size = strlen(path), low = at + 1;

	while (low < end) {
		size_t middle = low + (end - low) / 2;
		const char *other = layer->entries[middle].path;

		if (strncmp(other, path, size) == 0 && other[size] == '/')
			low = middle + 1;
		else
			end = middle;
	}
	return end;
}

static int push_cursor(struct merge *m, struct cursor c)
{
	if (mlimg_buffer_reserve(
		    &m->cursors, &m->cursors_room, (m->n_cursors + 1) * sizeof(*m->cursors)) < 0)
		return no_memory(m);
	m->cursors[m->n_cursors++] = c;
	return 0;
}

/*
 * What sends a reader to contents or directories elsewhere: a patch layer's references are
 * followed, to see that they lead to what the entry says.
 */
static int check_followable(const struct merge *m, size_t layer, const struct mlimg_entry *e)
{
	const char *name = MLIMG_XATTR_REDIRECT;
	const struct mlimg_entry *contents;
	size_t contents_layer;
	int r;

	if (!mlimg_entry_has_reference(e))
		return 0;
	if (mlimg_manifest_is_patch(m->layers[layer])) {
		r = mlimg_reference_follow(m->layers, layer, e, &contents_layer, &contents, m->err);
		return r < 0 ? mlimg_err_wrap(m->err, r, "layer %zu of %zu", layer + 1, m->n_layers)
			     : 0;
	}
	if (!mlimg_entry_xattr(e, name))
		name = MLIMG_XATTR_METACOPY;
	return mlimg_err_refuse(m->err,
		"layer %zu of %zu: '%s' has %s, which only a patch layer may have", layer + 1,
		m->n_layers, e->path, name);
}

/* The xattrs that show. Mostly those that are there, so nothing is copied. */
static int hide_xattrs(struct merge *m, struct mlimg_entry *e)
{
	struct mlimg_xattr *kept;
	uint32_t n = 0;

	for (uint32_t i = 0; i < e->n_xattrs; i++)
		n += strncmp(e->xattrs[i].name, MLIMG_XATTR_OVERLAY, strlen(MLIMG_XATTR_OVERLAY)) !=
			0;
	if (n == e->n_xattrs)
		return 0;
	kept = mlimg_arena_alloc(m->merged->arena, n * sizeof(*kept));
	if (!kept)
		return no_memory(m);
	n = 0;
	for (uint32_t i = 0; i < e->n_xattrs; i++)
		if (strncmp(e->xattrs[i].name, MLIMG_XATTR_OVERLAY, strlen(MLIMG_XATTR_OVERLAY)) !=
			0)
			kept[n++] = e->xattrs[i];
	e->xattrs = kept;
	e->n_xattrs = n;
	return 0;
}

static int renumber(struct merge *m, size_t layer, struct mlimg_entry *e)
{
	const struct mlimg_manifest *from = m->layers[layer];
	uint32_t last = 0, *number;

	if (!m->groups[layer]) {
		for (size_t i = 0; i < from->n_entries; i++)
			if (from->entries[i].hardlink > last)
				last = from->entries[i].hardlink;
		m->groups[layer] = calloc((size_t)last + 1, sizeof(**m->groups));
		if (!m->groups[layer])
			return no_memory(m);
	}
	number = &m->groups[layer][e->hardlink];
	if (!*number)
		*number = ++m->n_groups;
	e->hardlink = *number;
	return 0;
}

static int emit(struct merge *m, size_t layer, const struct mlimg_entry *from)
{
	struct mlimg_entry e = *from;
	int r;

	if (mlimg_buffer_reserve(&m->merged->entries, &m->entries_room,
		    (m->merged->n_entries + 1) * sizeof(e)) < 0)
		return no_memory(m);
	r = hide_xattrs(m, &e);
	if (r == 0 && e.hardlink)
		r = renumber(m, layer, &e);
	if (r < 0)
		return r;
	m->merged->entries[m->merged->n_entries++] = e;
	return 0;
}

/*
 * @return whether unionfs-fuse is to be told that from this entry's layer downwards the name does
 *         not show. Beneath what is no directory, and shows, nobody looks.
 */
static bool is_hidden_from(const struct mlimg_entry *e, bool is_open, bool is_first)
{
	return is_open ? mlimg_entry_is_whiteout(e) || (!is_first && e->type != MLIMG_DIR)
		       : !is_first;
}

/*
 * One name. Of the cursors @base .. @base + @n those that stand at it are taken, topmost first: the
 * first one shows, and is joined by directories beneath as long as nothing ends that. All of them
 * move on. Cursors for what is in the directory are left behind @base + @n.
 */
static int take_name(struct merge *m, size_t base, size_t n, const char *path)
{
	bool is_open = true, is_first = true, is_hidden = false;
	int r = 0;

	for (size_t i = base; i < base + n && r == 0; i++) {
		struct cursor *c = &m->cursors[i], below = *c;
		const struct mlimg_entry *e;

		if (c->at == c->end || strcmp(entry_at(m, c)->path, path) != 0)
			continue;
		e = entry_at(m, c);
		below.at++;
		below.end = e->type == MLIMG_DIR ? subtree_end(m->layers[c->layer], c->at, c->end)
						 : below.at;
		c->at = below.end;
		if (m->hidden && !is_hidden && is_hidden_from(e, is_open, is_first)) {
			is_hidden = true;
			r = m->hidden(c->layer, path, m->hidden_ctx, m->err);
		}
		is_hidden = is_hidden || (is_first && e->type != MLIMG_DIR);
		if (!is_open || r < 0)
			continue;
		is_open = e->type == MLIMG_DIR && !mlimg_entry_is_opaque(e);
		if (mlimg_entry_is_whiteout(e) || (!is_first && e->type != MLIMG_DIR))
			continue;
		r = check_followable(m, c->layer, e);
		if (r == 0 && is_first)
			r = emit(m, c->layer, e);
		is_first = false;
		if (r == 0 && below.at < below.end)
			r = push_cursor(m, below);
	}
	return r;
}

/* The least path that the cursors stand at, or NULL when all are at their ends. */
static const char *least(const struct merge *m, size_t base, size_t n, size_t prefix)
{
	const char *found = NULL;

	for (size_t i = base; i < base + n; i++) {
		const struct cursor *c = &m->cursors[i];
		const char *path;

		if (c->at == c->end)
			continue;
		path = entry_at(m, c)->path;
		if (!found || strcmp(path + prefix, found + prefix) < 0)
			found = path;
	}
	return found;
}

/*
 * What is in one directory. @prefix: bytes of the paths before the names in it. The recursion is as
 * deep as the tree, at most MLIMG_PATH_MAX / 2 levels of a hundred bytes or so.
 */
static int merge_directory(struct merge *m, size_t base, size_t prefix)
{
	size_t n = m->n_cursors - base;
	const char *path;

	while ((path = least(m, base, n, prefix))) {
		int r = take_name(m, base, n, path);

		if (r == 0 && m->n_cursors > base + n)
			r = merge_directory(m, base + n, strlen(path) + 1);
		if (r < 0)
			return r;
		m->n_cursors = base + n;
	}
	return 0;
}

/* The root merges through all layers: overlayfs does not look whether it is opaque. */
static int merge_all(struct merge *m)
{
	size_t top = m->n_layers - 1;
	int r = 0;

	m->groups = calloc(m->n_layers, sizeof(*m->groups));
	if (!m->groups)
		return no_memory(m);
	for (size_t i = m->n_layers; i-- > 0 && r == 0;) {
		r = check_followable(m, i, &m->layers[i]->entries[0]);
		if (r == 0)
			r = push_cursor(m, (struct cursor){i, 1, m->layers[i]->n_entries});
	}
	if (r == 0)
		r = emit(m, top, &m->layers[top]->entries[0]);
	return r < 0 ? r : merge_directory(m, 0, 0);
}

static void trim(struct mlimg_manifest *m)
{
	struct mlimg_entry *fitting = realloc(m->entries, m->n_entries * sizeof(*fitting));

	if (fitting)
		m->entries = fitting;
}

static int run(struct merge *m)
{
	int r;

	m->merged = mlimg_manifest_new();
	r = m->merged ? merge_all(m) : no_memory(m);
	for (size_t i = 0; m->groups && i < m->n_layers; i++)
		free(m->groups[i]);
	free(m->groups);
	free(m->cursors);
	return r;
}

int mlimg_manifest_merge(const struct mlimg_manifest *const *layers, size_t n_layers,
	struct mlimg_manifest **ret_merged, struct mlimg_err *err)
{
	struct merge m = {.layers = layers, .n_layers = n_layers, .err = err};
	int r = run(&m);

	if (r == 0) {
		trim(m.merged);
		*ret_merged = mlimg_steal(&m.merged);
	}
	mlimg_manifest_free(m.merged);
	return r;
}

/* Here, since it is the same walk; what is merged on the way nobody needs. */
int mlimg_unionfs_hidden(const struct mlimg_manifest *const *layers, size_t n_layers,
	mlimg_unionfs_hidden_fn *fn, void *ctx, struct mlimg_err *err)
{
	struct merge m = {.layers = layers,
		.n_layers = n_layers,
		.hidden = fn,
		.hidden_ctx = ctx,
		.err = err};
	int r = run(&m);

	mlimg_manifest_free(m.merged);
	return r;
}
