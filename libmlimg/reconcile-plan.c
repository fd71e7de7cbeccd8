/* SPDX-License-Identifier: MIT */
/*
 * What lies beneath an entry, operations, and the order of it all. The walk over an upper is in
 * reconcile-dir.c, what is no directory in reconcile-entry.c, what the upper lacks in
 * reconcile-extra.c.
 */
#include "libmlimg/reconcile-plan.h"

#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/reconcile-impl.h"
#include "libmlimg/whiteout.h"

/* --- what lies beneath --- */

/* @return @e with other owners where these have moved, in @buf then */
static const struct mlimg_entry *mapped(struct planning *p, const struct mlimg_owner_moves *moves,
	const struct mlimg_entry *e, struct mlimg_entry *buf)
{
	if (!e || mlimg_owner_moves_is_empty(moves))
		return e;
	if (mlimg_owner_moves_apply(moves, e, p->arena, buf) < 0)
		p->has_failed = true;
	return buf;
}

const struct mlimg_entry *plan_next_at(
	struct planning *p, const char *path, struct mlimg_entry *buf)
{
	return mapped(p, p->in->moved_in_next, mlimg_manifest_find(p->in->next, path), buf);
}

const struct mlimg_entry *plan_base_at(
	struct planning *p, const char *path, struct mlimg_entry *buf)
{
	const struct mlimg_owner_moves *moves =
		p->in->moved_in_base ? p->in->moved_in_base : p->in->moved;

	return mapped(p, moves, mlimg_manifest_find(p->in->base, path), buf);
}

bool plan_next_may_show(const struct planning *p, const struct mine *m)
{
	if (m->is_diverted)
		return false;
	return !m->next || mlimg_owner_moves_is_empty(p->in->moved_in_next) ||
		mlimg_entry_has_same_attrs(mlimg_manifest_find(p->in->next, m->lower), m->next);
}

int plan_mine_find(struct planning *p, size_t at, const char *lower, struct mine *ret)
{
	const struct mlimg_entry *e = &p->upper->entries[at];

	*ret = (struct mine){.entry = e, .mapped = *e, .lower = lower, .at = at};
	mapped(p, p->in->moved, e, &ret->mapped);
	ret->class = mlimg_path_class_of_entry(p->in->classes, e);
	ret->is_protected = mlimg_entry_xattr(e, MLIMG_XATTR_PROTATTR);
	if (ret->is_protected && ret->class != MLIMG_CLASS_KEEP)
		ret->class = MLIMG_CLASS_KEEP;
	else
		ret->is_protected = false;
	if (lower) {
		ret->base = plan_base_at(p, lower, &ret->base_buf);
		ret->next = plan_next_at(p, lower, &ret->next_buf);
	}
	return p->has_failed ? no_memory(p, e->path) : 0;
}

/* --- operations --- */

int plan_put_op(struct planning *p, enum mlimg_plan_verb verb, const char *path,
	const struct mlimg_entry *entry, uint32_t blob)
{
	struct mlimg_entry stripped;
	mlimg_autofree struct mlimg_xattr *xattrs = NULL;

	if (entry && entry->n_xattrs && verb != MLIMG_PLAN_DROP_DIR) {
		xattrs = calloc(entry->n_xattrs, sizeof(*xattrs));
		if (!xattrs)
			return no_memory(p, path);
		stripped = *entry;
		stripped.xattrs = xattrs;
		stripped.n_xattrs = 0;
		for (uint32_t i = 0; i < entry->n_xattrs; i++)
			if (!mlimg_xattr_is_overlay(entry->xattrs[i].name))
				xattrs[stripped.n_xattrs++] = entry->xattrs[i];
		entry = &stripped;
	}
	return mlimg_plan_add(p->plan, verb, path, entry, blob, p->err);
}

void plan_tell(struct planning *p, const struct mine *m, enum mlimg_verdict verdict,
	enum mlimg_done done, const char *why)
{
	struct mlimg_report_entry e = {.path = m->entry->path,
		.verdict = verdict,
		.class = m->class,
		.done = m->beside ? MLIMG_DONE_BESIDE : done,
		.at = m->beside,
		.from = m->renamed_from,
		.generation = p->in->generation,
		.why = why ? why : m->why};

	if (done == MLIMG_DONE_DROPPED || done == MLIMG_DONE_ASIDE)
		p->fates[m->at] |= FATE_GONE;
	mlimg_report_add_entry(p->report, &e);
}

/* --- all of it --- */

static void note_unread(const char *path, int error, bool was_visited, void *ctx)
{
	struct planning *p = ctx;
	char *copy = mlimg_arena_strndup(p->arena, path, strlen(path));

	if (!copy ||
		mlimg_buffer_reserve(
			&p->unread, &p->unread_room, (p->n_unread + 1) * sizeof(*p->unread)) < 0) {
		p->has_failed = true;
		return;
	}
	p->unread[p->n_unread++] = copy;
	if (!was_visited && *path)
		mlimg_report_add(p->report, path, MLIMG_KEEP);
	p->in->skip(path, error, was_visited, p->in->skip_ctx);
}

static int load(struct planning *p)
{
	struct mlimg_upper_source *source = p->in->upper;
	int r = source->load(source, p->in->skip ? note_unread : NULL, p, &p->upper, p->err);

	if (r == 0 && p->has_failed)
		r = no_memory(p, "");
	if (r == 0 && p->in->loaded && p->in->loaded(p->upper, p->in->loaded_ctx) < 0)
		r = no_memory(p, "");
	if (r < 0)
		return r;
	p->fates = calloc(p->upper->n_entries + 1, sizeof(*p->fates));
	return p->fates ? 0 : no_memory(p, "");
}

/* The root is in every upper, whoever made it, and says nothing. */
static int plan_all(struct planning *p)
{
	static const char none[] = "";
	const struct place place = {none, none, false};
	bool stays = false;
	size_t at = p->upper->n_entries && !p->upper->entries[0].path[0];
	int r = plan_doubts_mark(p);

	if (r == 0)
		r = plan_renamed_find(p);
	if (r == 0)
		r = plan_extras_mark(p);
	if (r == 0)
		r = plan_within(p, &at, &place, &stays);
	if (r == 0)
		r = plan_linked(p);
	plan_lacked_sort(p);
	return r < 0 ? r : plan_extras(p);
}

static int read_classes(struct planning *p)
{
	const struct mlimg_reconcile_input *in = p->in;
	const struct mlimg_class_files files = {.stack = in->next,
		.before = in->base,
		.mine = p->upper,
		.upper = in->upper,
		.read = in->read_next,
		.read_ctx = in->read_ctx,
		.left_out = in->left_out,
		.left_out_ctx = in->left_out_ctx};

	return in->reads_classes ? mlimg_class_files_read(&files, in->classes, p->err) : 0;
}

static void set_ids(struct mlimg_plan *plan, const struct mlimg_reconcile_input *in)
{
	plan->generation = in->generation;
	snprintf(plan->from, sizeof(plan->from), "%s", in->from);
	snprintf(plan->to, sizeof(plan->to), "%s", in->to);
}

int mlimg_reconcile_plan(const struct mlimg_reconcile_input *input, struct mlimg_report *report,
	struct mlimg_plan *ret_plan, struct mlimg_err *err)
{
	struct mlimg_plan plan;
	struct databases databases = {.texts = NULL};
	struct planning p = {.in = input, .report = report, .plan = &plan, .err = err};
	int r = mlimg_plan_init(&plan, err);

	if (r < 0)
		return r;
	set_ids(&plan, input);
	p.arena = mlimg_arena_new();
	r = p.arena ? load(&p) : no_memory(&p, "");
	if (r == 0)
		r = read_classes(&p);
	if (r == 0 && input->merges_databases)
		r = plan_databases_merge(&p, &databases);
	if (r == 0)
		r = plan_all(&p);
	plan_databases_done(&databases);
	mlimg_manifest_free(p.upper);
	mlimg_arena_free(p.arena);
	free(p.fates);
	free(p.unread);
	free(p.linked);
	free(p.renamed);
	free(p.renamed_spans);
	free(p.lacked);
	mlimg_owner_set_done(&p.owners);
	if (r < 0)
		mlimg_plan_done(&plan);
	else
		*ret_plan = plan;
	return r;
}
