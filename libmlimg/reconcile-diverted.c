/* SPDX-License-Identifier: MIT */
/* What the user has had dpkg divert: the system's file is in his upper then, at another name. */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/reconcile-impl.h"
#include "libmlimg/whiteout.h"

static int by_to(const void *key, const void *diversion)
{
	return strcmp(key, ((const struct mlimg_packages_diversion *)diversion)->to);
}

static const struct mlimg_packages_diversion *find_to(const struct planning *p, const char *path)
{
	return p->in->n_diversions ? bsearch(path, p->in->diversions, p->in->n_diversions,
					     sizeof(*p->in->diversions), by_to)
				   : NULL;
}

/* A user has few of them. */
static bool is_from(const struct planning *p, const char *path)
{
	for (size_t i = 0; i < p->in->n_diversions; i++)
		if (strcmp(p->in->diversions[i].path, path) == 0)
			return true;
	return false;
}

static bool is_dir(const struct mlimg_entry *e)
{
	return e && e->type == MLIMG_DIR;
}

static bool can_be_taken(const struct mlimg_entry *next)
{
	return next && next->type != MLIMG_DIR &&
		(next->type != MLIMG_FILE || next->size_bytes == 0 || next->has_digest);
}

/* dpkg never diverts a directory. */
static bool is_usable(const struct planning *p, const struct mlimg_packages_diversion *d)
{
	return !mlimg_manifest_find(p->in->base, d->to) &&
		!mlimg_manifest_find(p->in->next, d->to) &&
		!is_dir(mlimg_manifest_find(p->in->base, d->path)) &&
		!is_dir(mlimg_manifest_find(p->in->next, d->path));
}

int plan_diverted_find(struct planning *p, struct mine *m, enum diverted *ret)
{
	const struct mlimg_packages_diversion *d = find_to(p, m->entry->path);

	*ret = DIVERTED_NOT;
	if (d && is_usable(p, d) && !mlimg_entry_is_whiteout(m->entry)) {
		*ret = DIVERTED_TO;
		m->is_diverted = true;
		m->lower = d->path;
		m->base = plan_base_at(p, d->path, &m->base_buf);
		m->next = plan_next_at(p, d->path, &m->next_buf);
		m->why = "the system's file, which is diverted to here";
	} else if (is_from(p, m->entry->path))
		*ret = DIVERTED_FROM;
	return p->has_failed ? no_memory(p, m->entry->path) : 0;
}

int plan_diverted(struct planning *p, struct mine *m, bool is_next)
{
	enum mlimg_verdict verdict = mlimg_reconcile_decide(m->base, m->next, &m->mapped);
	struct mlimg_entry next;
	int r;

	if (verdict == MLIMG_STALE && can_be_taken(m->next))
		return plan_take_next(p, m, m->next, MLIMG_MERGED);
	if (verdict == MLIMG_STALE && m->next)
		return plan_keep(p, m, MLIMG_CONFLICT);
	if (is_next && verdict != MLIMG_SAME)
		r = plan_set_aside(p, m, MLIMG_CONFLICT);
	else
		r = plan_by_verdict(p, m, verdict);
	if (r < 0 || !(p->fates[m->at] & FATE_GONE) || !can_be_taken(m->next))
		return r;
	next = *m->next;
	next.path = (char *)(uintptr_t)m->lower;
	p->fates[m->at] &= (uint8_t)~FATE_GONE;
	return plan_put_op(p, MLIMG_PLAN_TAKE_NEXT, m->entry->path, &next, 0);
}

bool plan_diverted_is_new(const struct planning *p, const struct mlimg_packages_diversion *d)
{
	return is_usable(p, d) && !mlimg_manifest_find(p->in->base, d->path) &&
		can_be_taken(mlimg_manifest_find(p->in->next, d->path)) &&
		!mlimg_manifest_find(p->upper, d->to);
}
