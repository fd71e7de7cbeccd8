/* SPDX-License-Identifier: MIT */
/* What becomes of an entry by its verdict and its class. */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/reconcile-impl.h"

static bool is_file(const struct mlimg_entry *e)
{
	return e && e->type == MLIMG_FILE;
}

/* One side's file is put beside the other's. */
static bool is_config(const struct mine *m)
{
	return m->class == MLIMG_CLASS_CONFIG || m->class == MLIMG_CLASS_MERGE;
}

static bool is_text_of(
	const struct mlimg_entry *e, const uint8_t digest[MLIMG_SHA256_SIZE], size_t size)
{
	return is_file(e) && e->size_bytes == size &&
		(size == 0 || (e->has_digest && memcmp(e->digest, digest, MLIMG_SHA256_SIZE) == 0));
}

/* The merged entry takes the place of mine. */
static int put_merged(struct planning *p, const struct mine *m,
	const struct mlimg_merged_entry *merged, enum mlimg_verdict verdict)
{
	/*
	 * As when the user made the same chmod as the new stack, which changed the contents or the
	 * owner as well.
	 */
	if (mlimg_reconcile_is_same(&merged->entry, m->next) && plan_next_may_show(p, m))
		return plan_drop(p, m, verdict);
	if (!merged->is_contents_next)
		return plan_set_attrs(p, m, &merged->entry, verdict, NULL);
	if (is_file(m->next) && !m->next->has_digest)
		return plan_keep(p, m, MLIMG_CONFLICT);
	return plan_take_next(p, m, &merged->entry, verdict);
}

/* --- conflicts --- */

/* Mine stays with its merged attributes, and next's file is put beside. */
static int put_beside(struct planning *p, struct mine *m, const struct mlimg_merged_entry *merged,
	enum mlimg_verdict verdict)
{
	int r = plan_put_beside(p, m, &m->beside);

	if (r < 0)
		return r;
	return plan_set_attrs(p, m, &merged->entry, verdict, NULL);
}

static int64_t later_ns(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	return a->mtime_s != b->mtime_s ? (a->mtime_s < b->mtime_s ? -1 : 1)
					: (int64_t)a->mtime_ns - b->mtime_ns;
}

int plan_put_contents(struct planning *p, struct mine *m, struct mlimg_merged_entry *merged,
	const char *data, size_t size)
{
	enum mlimg_verdict verdict =
		merged->conflicts & ~(unsigned)MLIMG_CONTENTS ? MLIMG_CONFLICT : MLIMG_MERGED;
	uint8_t digest[MLIMG_SHA256_SIZE];
	int r;

	mlimg_sha256_of(data, size, digest);
	merged->entry.size_bytes = size;
	if (is_text_of(m->next, digest, size) &&
		mlimg_entry_has_same_attrs(&merged->entry, m->next) && plan_next_may_show(p, m))
		r = plan_drop(p, m, MLIMG_SAME);
	else if (is_text_of(&m->mapped, digest, size))
		r = plan_set_attrs(p, m, &merged->entry,
			mlimg_entry_has_same_attrs(m->entry, &merged->entry) ? MLIMG_KEEP : verdict,
			NULL);
	else if (p->plan->n_blobs == MLIMG_PLAN_BLOBS_MAX)
		return 0;
	else {
		const struct mlimg_entry *newest =
			m->next && later_ns(m->next, &m->mapped) > 0 ? m->next : &m->mapped;

		merged->entry.mtime_s = newest->mtime_s;
		merged->entry.mtime_ns = newest->mtime_ns;
		r = plan_put_text(p, m->entry->path, &merged->entry, data, size);
		if (r == 0)
			plan_tell(p, m, verdict, MLIMG_DONE_MERGED, NULL);
	}
	return r < 0 ? r : 1;
}

/* Both sides' texts, and the base's. */
struct three {
	char *base, *mine, *next;
	size_t base_size, mine_size, next_size;
};

static void three_done(struct three *t)
{
	free(t->base);
	free(t->mine);
	free(t->next);
}

/* @return 0; -ENOENT: one of the two cannot be had, -ENOMEM. Without a base t->base is NULL */
static int read_three(struct planning *p, const struct mine *m, struct three *t)
{
	const struct mlimg_reconcile_input *in = p->in;
	size_t max = MLIMG_MERGE3_SIZE_MAX;
	int r = -ENOENT;

	if (!in->read_next || m->mapped.size_bytes > max || m->next->size_bytes > max ||
		p->texts_size > MLIMG_RECONCILE_TEXTS_MAX)
		return r;
	if (m->next->size_bytes == 0)
		r = (t->next = strdup("")) ? 0 : -ENOMEM;
	else if (m->next->has_digest)
		r = in->read_next(
			m->lower, m->next->digest, max, in->read_ctx, &t->next, &t->next_size);
	if (r == 0)
		r = in->upper->read(in->upper, m->entry->path, max, &t->mine, &t->mine_size, NULL);
	if (r < 0 || !is_file(m->base) || m->base->size_bytes > max)
		return r;
	if (m->base->size_bytes == 0)
		r = (t->base = strdup("")) ? 0 : -ENOMEM;
	else if (m->base->has_digest && in->read_base)
		r = in->read_base(
			m->lower, m->base->digest, max, in->read_ctx, &t->base, &t->base_size);
	return r == -ENOMEM ? r : 0;
}

/* @return as mlimg_merge3() */
static int ask_hook(struct planning *p, struct mine *m, const struct three *t, char **ret_text,
	size_t *ret_size)
{
	const struct mlimg_reconcile_hook hook = {
		.name = mlimg_path_class_hook(p->in->classes, m->entry->path),
		.path = m->entry->path,
		.base = {t->base, t->base_size},
		.mine = {t->mine, t->mine_size},
		.next = {t->next, t->next_size}};
	int r;

	m->why = "hook";
	if (!p->in->hook || !hook.name)
		return MLIMG_MERGE3_CONFLICT;
	r = p->in->hook(&hook, p->in->hook_ctx, ret_text, ret_size);
	return r < 0 ? r : r == 0 ? MLIMG_MERGE3_CONFLICT : MLIMG_MERGE3_MERGED;
}

/* @ret_text: NULL when they are not merged. @return 0, -ENOMEM */
static int merge_text(struct planning *p, struct mine *m, char **ret_text, size_t *ret_size)
{
	mlimg_cleanup(three_done) struct three t = {.base = NULL};
	int r = read_three(p, m, &t);

	*ret_text = NULL;
	if (r < 0)
		return r == -ENOMEM ? no_memory(p, m->entry->path) : 0;
	if (m->class == MLIMG_CLASS_MERGE)
		r = ask_hook(p, m, &t, ret_text, ret_size);
	else if (t.base)
		r = mlimg_merge3((struct mlimg_merge3_text){t.base, t.base_size},
			(struct mlimg_merge3_text){t.mine, t.mine_size},
			(struct mlimg_merge3_text){t.next, t.next_size}, ret_text, ret_size,
			p->err);
	if (r == MLIMG_MERGE3_MERGED)
		p->texts_size += *ret_size;
	return r == -ENOMEM ? no_memory(p, m->entry->path) : 0;
}

static int conflict_in_config(struct planning *p, struct mine *m, struct mlimg_merged_entry *merged)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = 0;

	if (!(merged->conflicts & MLIMG_CONTENTS))
		return put_merged(p, m, merged, MLIMG_CONFLICT);
	if (is_file(m->next) && is_file(&m->mapped))
		r = merge_text(p, m, &text, &size);
	if (r == 0 && text) {
		r = plan_put_contents(p, m, merged, text, size);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return r < 0 ? r : put_beside(p, m, merged, MLIMG_CONFLICT);
}

static int conflict(struct planning *p, struct mine *m)
{
	struct mlimg_merged_entry merged;

	if (m->class == MLIMG_CLASS_OWNED)
		return plan_set_aside(p, m, MLIMG_CONFLICT);
	if (!m->next)
		return plan_keep(p, m, MLIMG_CONFLICT);
	if (mlimg_reconcile_merge(m->base, m->next, &m->mapped, p->arena, &merged) < 0)
		return no_memory(p, m->entry->path);
	if (is_config(m))
		return conflict_in_config(p, m, &merged);
	return put_merged(p, m, &merged, MLIMG_CONFLICT);
}

static int type_change(struct planning *p, struct mine *m)
{
	struct mlimg_merged_entry merged = {.entry = m->mapped};

	if (m->next->type == MLIMG_DIR || m->class == MLIMG_CLASS_OWNED)
		return plan_set_aside(p, m, MLIMG_TYPE_CHANGE);
	if (is_config(m))
		return put_beside(p, m, &merged, MLIMG_TYPE_CHANGE);
	return plan_keep(p, m, MLIMG_TYPE_CHANGE);
}

static int merged(struct planning *p, struct mine *m)
{
	struct mlimg_merged_entry e;

	if (mlimg_reconcile_merge(m->base, m->next, &m->mapped, p->arena, &e) < 0)
		return no_memory(p, m->entry->path);
	return put_merged(p, m, &e, MLIMG_MERGED);
}

int plan_by_verdict(struct planning *p, struct mine *m, enum mlimg_verdict verdict)
{
	switch (verdict) {
	case MLIMG_STALE:
	case MLIMG_SAME:
	case MLIMG_WHITEOUT_GONE: return plan_drop(p, m, verdict);
	case MLIMG_MERGED: return merged(p, m);
	case MLIMG_CONFLICT: return conflict(p, m);
	case MLIMG_TYPE_CHANGE: return type_change(p, m);
	case MLIMG_WHITEOUT_CHANGED: return plan_keep(p, m, verdict);
	case MLIMG_KEEP: break;
	}
	return plan_keep(p, m, MLIMG_KEEP);
}
