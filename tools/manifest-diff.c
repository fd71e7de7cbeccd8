/* SPDX-License-Identifier: MIT */
#include "tools/manifest-diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE SIZE_MAX

/*
 * Where each group of hard links has its first name, as an index into the old manifest. Group
 * numbers say nothing across manifests.
 */
struct groups {
	size_t *first;
	size_t n, room; /* numbers seen; room for them */
};

struct mlimg_manifest_diff {
	const struct mlimg_manifest *old;
	mlimg_manifest_diff_fn *fn;
	void *ctx;
	size_t next; /* of the old manifest */
	struct groups old_groups, new_groups;
};

const char *mlimg_change_name(unsigned bit)
{
	static const char *const names[MLIMG_N_CHANGES] = {
		"added", "removed", "type", "content", "mode", "owner", "time", "xattr", "links"};

	return names[bit];
}

struct mlimg_manifest_diff *mlimg_manifest_diff_new(
	const struct mlimg_manifest *old, mlimg_manifest_diff_fn *fn, void *ctx)
{
	struct mlimg_manifest_diff *d = calloc(1, sizeof(*d));

	if (d)
		*d = (struct mlimg_manifest_diff){.old = old, .fn = fn, .ctx = ctx};
	return d;
}

/* Groups are numbered in order of first appearance: a number above those seen is the next one. */
static int note_group(struct groups *g, const struct mlimg_entry *entry, size_t index)
{
	if (entry->hardlink <= g->n)
		return 0;
	if (g->n == g->room) {
		size_t room = g->room ? 2 * g->room : 64;
		void *first = realloc(g->first, room * sizeof(*g->first));

		if (!first)
			return -ENOMEM;
		g->first = first;
		g->room = room;
	}
	g->first[g->n++] = index;
	return 0;
}

static size_t first_of(const struct groups *g, const struct mlimg_entry *entry)
{
	return entry->hardlink && entry->hardlink <= g->n ? g->first[entry->hardlink - 1] : NOWHERE;
}

static bool has_same_links(const struct mlimg_manifest_diff *d, const struct mlimg_entry *a,
	const struct mlimg_entry *b)
{
	size_t first = first_of(&d->old_groups, a);

	if (!a->hardlink && !b->hardlink)
		return true;
	return a->nlink == b->nlink && first != NOWHERE && first == first_of(&d->new_groups, b);
}

static bool has_same_content(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	switch (a->type) {
	case MLIMG_FILE:
		return a->size_bytes == b->size_bytes && a->has_digest == b->has_digest &&
			(!a->has_digest || memcmp(a->digest, b->digest, sizeof(a->digest)) == 0);
	case MLIMG_LINK: return strcmp(a->link, b->link) == 0;
	case MLIMG_CHAR:
	case MLIMG_BLOCK: return a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
	}
	return true;
}

static bool has_same_xattrs(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	if (a->n_xattrs != b->n_xattrs)
		return false;
	for (uint32_t i = 0; i < a->n_xattrs; i++) {
		const struct mlimg_xattr *x = &a->xattrs[i], *y = &b->xattrs[i];

		if (strcmp(x->name, y->name) != 0 || x->size != y->size ||
			(x->size && memcmp(x->value, y->value, x->size) != 0))
			return false;
	}
	return true;
}

static unsigned compare(const struct mlimg_manifest_diff *d, const struct mlimg_entry *a,
	const struct mlimg_entry *b)
{
	unsigned changes = 0;

	if (a->type != b->type)
		changes |= MLIMG_CHANGE_TYPE;
	else if (!has_same_content(a, b))
		changes |= MLIMG_CHANGE_CONTENT;
	if (a->mode != b->mode)
		changes |= MLIMG_CHANGE_MODE;
	if (a->uid != b->uid || a->gid != b->gid)
		changes |= MLIMG_CHANGE_OWNER;
	if (a->mtime_s != b->mtime_s || a->mtime_ns != b->mtime_ns)
		changes |= MLIMG_CHANGE_TIME;
	if (!has_same_xattrs(a, b))
		changes |= MLIMG_CHANGE_XATTR;
	if (!has_same_links(d, a, b))
		changes |= MLIMG_CHANGE_LINKS;
	return changes;
}

/* The old manifest's next entry, which is removed unless `entry` has the same path. */
static int take_old(
	struct mlimg_manifest_diff *d, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	const struct mlimg_entry *old = &d->old->entries[d->next];
	unsigned changes = MLIMG_CHANGE_REMOVED;

	if (note_group(&d->old_groups, old, d->next) < 0 ||
		(entry && note_group(&d->new_groups, entry, d->next) < 0))
		return mlimg_err_set(err, ENOMEM, "compare manifests");
	d->next++;
	if (entry)
		changes = compare(d, old, entry);
	return changes ? d->fn(changes, old, entry, d->ctx, err) : 0;
}

int mlimg_manifest_diff_feed(
	struct mlimg_manifest_diff *d, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	int order = 1, ret = 0;

	while (ret == 0 && d->next < d->old->n_entries) {
		order = mlimg_manifest_path_cmp(d->old->entries[d->next].path, entry->path);
		if (order >= 0)
			break;
		ret = take_old(d, NULL, err);
		order = 1;
	}
	if (ret < 0)
		return ret;
	if (order == 0)
		return take_old(d, entry, err);
	if (note_group(&d->new_groups, entry, NOWHERE) < 0)
		return mlimg_err_set(err, ENOMEM, "compare manifests");
	return d->fn(MLIMG_CHANGE_ADDED, NULL, entry, d->ctx, err);
}

int mlimg_manifest_diff_end(struct mlimg_manifest_diff *d, struct mlimg_err *err)
{
	int ret = 0;

	while (ret == 0 && d->next < d->old->n_entries)
		ret = take_old(d, NULL, err);
	return ret;
}

void mlimg_manifest_diff_free(struct mlimg_manifest_diff *d)
{
	if (!d)
		return;
	free(d->old_groups.first);
	free(d->new_groups.first);
	free(d);
}
