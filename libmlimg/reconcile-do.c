/* SPDX-License-Identifier: MIT */
/* What is done with an entry that is no directory: operations, and what is told of them. */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/reconcile-impl.h"
#include "libmlimg/whiteout.h"

/* What would go, but hides the place from which something was renamed. */
static int stay_for_renamed(struct planning *p, const struct mine *m, enum mlimg_verdict verdict)
{
	if (verdict == MLIMG_SAME || verdict == MLIMG_STALE || verdict == MLIMG_WHITEOUT_GONE)
		return plan_keep(p, m, MLIMG_KEEP);
	if (mlimg_entry_is_whiteout(m->entry)) {
		plan_tell(p, m, verdict, MLIMG_DONE_NOTHING, PLAN_COVERS_WHY);
		return 0;
	}
	return plan_set_attrs(p, m, &m->mapped, verdict == MLIMG_MERGED ? MLIMG_CONFLICT : verdict,
		PLAN_COVERS_WHY);
}

static int take_away(struct planning *p, const struct mine *m, enum mlimg_plan_verb verb,
	enum mlimg_verdict verdict, enum mlimg_done done)
{
	int r;

	/* What the new stack has there shows. */
	if (m->is_lacked)
		return 0;
	if (plan_covers_renamed(p, m->entry->path, m->lower))
		return stay_for_renamed(p, m, verdict);
	r = plan_put_op(p, verb, m->entry->path, NULL, 0);
	if (r == 0)
		plan_tell(p, m, verdict, done, NULL);
	return r;
}

int plan_drop(struct planning *p, const struct mine *m, enum mlimg_verdict verdict)
{
	if (verdict == MLIMG_SAME && !plan_next_may_show(p, m))
		return plan_keep(p, m, MLIMG_KEEP);
	return take_away(p, m, MLIMG_PLAN_DROP, verdict, MLIMG_DONE_DROPPED);
}

int plan_set_aside(struct planning *p, const struct mine *m, enum mlimg_verdict verdict)
{
	return take_away(p, m, MLIMG_PLAN_SET_ASIDE, verdict, MLIMG_DONE_ASIDE);
}

bool plan_has_several_names(const struct mlimg_entry *e)
{
	return e->type != MLIMG_DIR && e->hardlink && e->nlink > 1;
}

/* Puts it off until it is known what becomes of the other names. */
int plan_wait_for_names(struct planning *p, const struct mine *m, const struct mlimg_entry *wanted,
	enum mlimg_verdict verdict)
{
	struct mlimg_entry *copy = mlimg_arena_alloc(p->arena, sizeof(*copy));

	if (!copy ||
		mlimg_buffer_reserve(
			&p->linked, &p->linked_room, (p->n_linked + 1) * sizeof(*p->linked)) < 0)
		return no_memory(p, m->entry->path);
	*copy = *wanted;
	p->linked[p->n_linked++] = (struct linked){m->at, copy, verdict, m->class, m->beside};
	return 0;
}

int plan_note_owner(struct planning *p, const struct mine *m)
{
	struct mlimg_entry buf;
	int r = m->is_protected ? 0
				: mlimg_owner_moves_apply(p->in->came, m->entry, p->arena, &buf);

	if (r < 0)
		return no_memory(p, m->entry->path);
	return r ? plan_put_op(p, MLIMG_PLAN_SET_ATTRS, m->entry->path, m->entry, 0) : 0;
}

int plan_set_attrs(struct planning *p, const struct mine *m, const struct mlimg_entry *wanted,
	enum mlimg_verdict verdict, const char *why)
{
	int r;

	if (mlimg_entry_has_same_attrs(m->entry, wanted)) {
		plan_tell(p, m, verdict, MLIMG_DONE_NOTHING, why);
		return plan_note_owner(p, m);
	}
	if (plan_has_several_names(m->entry))
		return plan_wait_for_names(p, m, wanted, verdict);
	r = plan_put_op(p, MLIMG_PLAN_SET_ATTRS, m->entry->path, wanted, 0);
	p->report->moved += m->entry->uid != m->mapped.uid || m->entry->gid != m->mapped.gid;
	if (r == 0)
		plan_tell(p, m, verdict, MLIMG_DONE_MERGED, why);
	return r;
}

/* As it is, but for owners that have moved. */
int plan_keep(struct planning *p, const struct mine *m, enum mlimg_verdict verdict)
{
	if (m->is_lacked)
		return plan_hide_lacked(p, m, verdict);
	if (mlimg_entry_is_whiteout(m->entry)) {
		plan_tell(p, m, verdict, MLIMG_DONE_NOTHING, NULL);
		return 0;
	}
	return plan_set_attrs(p, m, &m->mapped, verdict, NULL);
}

int plan_take_next(struct planning *p, const struct mine *m, const struct mlimg_entry *like,
	enum mlimg_verdict verdict)
{
	struct mlimg_entry e = *like;
	int r;

	e.path = (char *)(uintptr_t)m->lower;
	r = plan_put_op(p, MLIMG_PLAN_TAKE_NEXT, m->entry->path, &e, 0);
	if (r == 0)
		plan_tell(p, m, verdict, MLIMG_DONE_MERGED, NULL);
	return r;
}

int plan_put_text(struct planning *p, const char *path, const struct mlimg_entry *like,
	const char *data, size_t size)
{
	struct mlimg_entry e = *like;
	uint32_t blob;
	int r = mlimg_plan_add_blob(p->plan, data, size, &blob, p->err);

	if (r < 0)
		return r;
	e.path = (char *)(uintptr_t)path;
	e.type = MLIMG_FILE;
	e.size_bytes = size;
	e.has_digest = true;
	memcpy(e.digest, p->plan->blobs[blob].digest, sizeof(e.digest));
	return plan_put_op(p, MLIMG_PLAN_PUT, path, &e, blob);
}

/* --- several names of one file --- */

static int by_group(const void *a, const void *b, void *ctx)
{
	const struct planning *p = ctx;
	const struct linked *x = a, *y = b;
	uint32_t g = p->upper->entries[x->at].hardlink, h = p->upper->entries[y->at].hardlink;

	return g != h ? (g < h ? -1 : 1) : x->at < y->at ? -1 : x->at > y->at;
}

/* @return of each group of names how many go; free() it; NULL without memory */
static uint32_t *count_gone(const struct planning *p)
{
	const struct mlimg_manifest *upper = p->upper;
	uint32_t *gone = calloc(upper->n_entries + 1, sizeof(*gone));

	for (size_t i = 0; gone && i < upper->n_entries; i++)
		if (p->fates[i] & FATE_GONE && upper->entries[i].hardlink <= upper->n_entries)
			gone[upper->entries[i].hardlink]++;
	return gone;
}

/* The attributes are the file's, so all names must want the same. */
static bool agree(const struct linked *first, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (!mlimg_entry_has_same_attrs(first->entry, first[i].entry))
			return false;
	return true;
}

/* One name. @is_agreed: it gets what it wants, else no more than the number that its owner has */
static int plan_name(struct planning *p, const struct linked *l, bool is_all, bool is_agreed)
{
	const struct mine m = {.entry = &p->upper->entries[l->at],
		.at = l->at,
		.class = l->class,
		.beside = l->beside};
	struct mlimg_entry moved;
	int r = is_all ? mlimg_owner_moves_apply(p->in->moved, m.entry, p->arena, &moved) : 0;

	if (r < 0)
		return no_memory(p, m.entry->path);
	if (is_agreed)
		r = plan_put_op(p, MLIMG_PLAN_SET_ATTRS, m.entry->path, l->entry, 0);
	else if (r > 0)
		r = plan_put_op(p, MLIMG_PLAN_SET_ATTRS, m.entry->path, &moved, 0);
	plan_tell(p, &m, is_agreed ? l->verdict : MLIMG_CONFLICT,
		is_agreed ? MLIMG_DONE_MERGED : MLIMG_DONE_NOTHING,
		is_agreed ? NULL : "has other names, for which these attributes are not right");
	return r;
}

int plan_linked(struct planning *p)
{
	mlimg_autofree uint32_t *gone = p->n_linked ? count_gone(p) : NULL;
	int r = p->n_linked && !gone ? no_memory(p, "") : 0;

	if (r == 0 && p->n_linked)
		qsort_r(p->linked, p->n_linked, sizeof(*p->linked), by_group, p);
	for (size_t i = 0, n; i < p->n_linked && r == 0; i += n) {
		const struct mlimg_entry *e = &p->upper->entries[p->linked[i].at];
		bool is_all, is_agreed;

		for (n = 1; i + n < p->n_linked &&
			p->upper->entries[p->linked[i + n].at].hardlink == e->hardlink;)
			n++;
		is_all = n + gone[e->hardlink] == e->nlink;
		is_agreed = is_all && agree(&p->linked[i], n);
		for (size_t k = i; k < i + n && r == 0; k++)
			r = plan_name(p, &p->linked[k], is_all, is_agreed);
	}
	return r;
}
