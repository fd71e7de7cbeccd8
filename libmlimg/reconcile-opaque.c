/* SPDX-License-Identifier: MIT */
/*
 * Opaque directories. overlayfs marks each directory that is made where a layer has one, or had one
 * that was removed: a package that is purged and installed again leaves its directories so, though
 * the user sees what he saw before. Whether they are marked must not decide what becomes of them.
 * So what is in one is compared with what the layers have at its path, and what of the old stack
 * does not show is as if the user had removed it there.
 */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/reconcile-impl.h"
#include "libmlimg/whiteout.h"

static bool is_dir(const struct mlimg_entry *e)
{
	return e && e->type == MLIMG_DIR;
}

/* --- where not all is known --- */

/* All directories on the way to @path, itself included; one that has the mark has it above, too. */
static int mark(struct planning *p, const char *path)
{
	mlimg_autofree char *dir = strdup(path);
	char *slash;

	if (!dir)
		return no_memory(p, path);
	for (;;) {
		const struct mlimg_entry *e = mlimg_manifest_find(p->upper, dir);
		uint8_t *fate = e ? &p->fates[e - p->upper->entries] : NULL;

		if (fate && *fate & FATE_DOUBTFUL)
			return 0;
		if (fate)
			*fate |= FATE_DOUBTFUL;
		slash = strrchr(dir, '/');
		if (!slash)
			return 0;
		*slash = '\0';
	}
}

/*
 * A redirect that is a name alone names something in the directory beneath, which an opaque one has
 * not; contents of a lower file are found by such a path, too.
 */
static bool is_doubtful(const struct mlimg_entry *e)
{
	const struct mlimg_xattr *x = mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT);

	return (x && x->size && x->value[0] != '/') || mlimg_entry_xattr(e, MLIMG_XATTR_METACOPY);
}

int plan_doubts_mark(struct planning *p)
{
	int r = 0;

	for (size_t i = 0; i < p->upper->n_entries && r == 0; i++)
		if (is_doubtful(&p->upper->entries[i]))
			r = mark(p, p->upper->entries[i].path);
	for (size_t i = 0; i < p->n_unread && r == 0; i++)
		r = mark(p, p->unread[i]);
	return r;
}

/* --- what the mark is to mean --- */

/* @return entry @at if it is below @path, else NULL */
static const struct mlimg_entry *below(const struct mlimg_manifest *m, size_t at, const char *path)
{
	return at < m->n_entries && mlimg_path_is_below(m->entries[at].path, path) ? &m->entries[at]
										   : NULL;
}

/* @return the first entry that is not before what is in @path */
static size_t first_in(const struct mlimg_manifest *m, const char *path)
{
	size_t at = mlimg_manifest_first_from(m, path);

	return at + (at < m->n_entries && strcmp(m->entries[at].path, path) == 0);
}

/*
 * @return whether what the user has there, or lacks, may give way though the stacks are the same: a
 * version of a package to another one, or what is derived
 */
static bool gives_way(const struct planning *p, const char *path)
{
	enum mlimg_package_verdict verdict =
		p->in->package ? p->in->package(path, p->in->package_ctx) : MLIMG_FILES_PLAIN;

	return verdict == MLIMG_FILES_NEXT || verdict == MLIMG_FILES_NEW ||
		plan_find_link(p, path) ||
		mlimg_path_class_of(p->in->classes, path) == MLIMG_CLASS_DERIVED;
}

static bool is_moved(struct planning *p, const char *path)
{
	struct mlimg_entry base, next;

	return !mlimg_owner_moves_is_empty(p->in->moved_in_next) ||
			!mlimg_owner_moves_is_empty(p->in->moved) ||
			!mlimg_owner_moves_is_empty(p->in->moved_in_base)
		? !mlimg_reconcile_is_same(
			  plan_base_at(p, path, &base), plan_next_at(p, path, &next))
		: false;
}

/*
 * @return whether the stacks are not the same below @path, or something of the user's gives way; of
 * a file's other names something may depend on this one
 */
static bool differs(struct planning *p, const char *path)
{
	const struct mlimg_manifest *base = p->in->base, *next = p->in->next;
	const struct mlimg_entry *x, *y, *mine;
	size_t b = first_in(base, path), n = first_in(next, path), at = first_in(p->upper, path);

	for (;; b++, n++) {
		x = below(base, b, path);
		y = below(next, n, path);
		if (!x || !y)
			break;
		if (strcmp(x->path, y->path) != 0 || !mlimg_reconcile_is_same(x, y) ||
			is_moved(p, x->path) || gives_way(p, x->path))
			return true;
	}
	for (; x == y && (mine = below(p->upper, at, path)); at++)
		if (gives_way(p, mine->path) || plan_has_several_names(mine))
			return true;
	return x != y;
}

/*
 * Where the stacks are the same there is nothing to compare: who comes back to such a directory
 * with another stack compares with this one, on which the user sees the same.
 */
static bool is_compared(struct planning *p, const struct dir *d)
{
	const char *path = d->m.entry->path;

	if (d->m.class == MLIMG_CLASS_KEEP || d->m.class == MLIMG_CLASS_DATA ||
		(d->m.next && !is_dir(d->m.next)))
		return false;
	if (strcmp(d->own, path) != 0 || p->fates[d->m.at] & FATE_DOUBTFUL ||
		plan_covers_renamed(p, NULL, d->own))
		return false;
	return !d->m.next || differs(p, path);
}

/*
 * What a directory that the user has made shows of one that the new stack alone has is told by its
 * class, and by what was renamed: whether the kernel has marked it as opaque depends on the union
 * driver, and on whether the one above it was merged when he made it.
 */
static void find_new(const struct planning *p, bool is_marked, bool has_redirect, struct dir *d)
{
	bool is_new = is_dir(d->m.next) && !is_dir(d->m.base);

	/* With both marks it is opaque for good: without that one the other would count. */
	d->is_opaque = is_marked &&
		(has_redirect || d->m.class == MLIMG_CLASS_KEEP ||
			plan_covers_renamed(p, NULL, d->own));
	d->is_joined = is_marked && !d->is_opaque && is_new;
	d->is_closed = !is_marked && !has_redirect && is_new &&
		(d->m.class == MLIMG_CLASS_KEEP || plan_is_renamed_from(p, d->own));
}

void plan_opacity_find(struct planning *p, const struct place *place,
	const struct mlimg_xattr *redirect, struct dir *d)
{
	bool is_marked = mlimg_entry_is_opaque(d->m.entry);

	d->is_apart = is_marked || (place->is_apart && !redirect);
	if (redirect || !d->is_apart || !is_dir(d->m.base)) {
		find_new(p, is_marked, redirect, d);
		return;
	}
	d->is_compared = is_compared(p, d);
	d->is_opaque = !d->is_compared;
	d->is_joined = is_marked && d->is_compared && d->m.next;
	d->is_closed = !is_marked && d->is_opaque && is_dir(d->m.next);
}

/* --- what of the old stack does not show --- */

/* @return the first entry behind entry @at and all that is below it */
static size_t end_of(const struct mlimg_manifest *m, size_t at)
{
	const char *path = m->entries[at].path;
	size_t low = at + 1, step = 1;

	if (m->entries[at].type != MLIMG_DIR)
		return low;
	while (below(m, low + step - 1, path)) {
		low += step;
		step *= 2;
	}
	for (; step > 0; step /= 2)
		if (below(m, low + step - 1, path))
			low += step;
	return low;
}

static int plan_one_lacked(struct planning *p, const char *path)
{
	const struct mlimg_entry whiteout = {
		.path = (char *)(uintptr_t)path, .type = MLIMG_CHAR, .nlink = 1};
	struct mine m = {.entry = &whiteout, .mapped = whiteout, .lower = path, .is_lacked = true};

	m.class = mlimg_path_class_of_entry(p->in->classes, &whiteout);
	m.base = plan_base_at(p, path, &m.base_buf);
	m.next = plan_next_at(p, path, &m.next_buf);
	if (p->has_failed)
		return no_memory(p, path);
	return m.next ? plan_entry(p, &m) : 0;
}

int plan_lacked(struct planning *p, const struct dir *d, bool *ret_stays)
{
	const struct mlimg_manifest *base = p->in->base;
	const char *path = d->m.entry->path;
	const struct mlimg_entry *e;
	size_t n = p->n_lacked;
	int r = 0;

	for (size_t i = first_in(base, path); r == 0 && (e = below(base, i, path));
		i = end_of(base, i))
		if (!mlimg_manifest_find(p->upper, e->path))
			r = plan_one_lacked(p, e->path);
	*ret_stays = *ret_stays || p->n_lacked > n;
	return r;
}

int plan_hide_lacked(struct planning *p, const struct mine *m, enum mlimg_verdict verdict)
{
	int r = plan_put_op(p, MLIMG_PLAN_HIDE, m->entry->path, NULL, 0);

	if (r == 0 &&
		mlimg_buffer_reserve(
			&p->lacked, &p->lacked_room, (p->n_lacked + 1) * sizeof(*p->lacked)) < 0)
		r = no_memory(p, m->entry->path);
	if (r < 0)
		return r;
	p->lacked[p->n_lacked++] = m->entry->path;
	plan_tell(p, m, verdict, MLIMG_DONE_NOTHING, NULL);
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(*(const char *const *)a, *(const char *const *)b);
}

void plan_lacked_sort(struct planning *p)
{
	if (p->n_lacked)
		qsort(p->lacked, p->n_lacked, sizeof(*p->lacked), by_path);
}

bool plan_is_lacked(const struct planning *p, const char *path)
{
	return p->n_lacked &&
		bsearch(&path, p->lacked, p->n_lacked, sizeof(*p->lacked), by_path) != NULL;
}
