/* SPDX-License-Identifier: MIT */
/* What becomes of an entry that is no directory. */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/rebuild.h"
#include "libmlimg/reconcile-impl.h"
#include "libmlimg/whiteout.h"

/* --- contents --- */

static bool is_file(const struct mlimg_entry *e)
{
	return e && e->type == MLIMG_FILE;
}

static bool has_size_of(const struct mlimg_entry *other, const struct mlimg_entry *mine)
{
	return is_file(other) && other->size_bytes == mine->size_bytes;
}

/* What cannot be read. @return 1 when that is told, or @r */
static int pass_over(struct planning *p, const char *path, int r, const struct mlimg_err *err)
{
	if (r == -ENOMEM || !p->in->skip) {
		*p->err = *err;
		return r;
	}
	p->in->skip(path, r, true, p->in->skip_ctx);
	return 1;
}

/* Reads a file's digest. @return 0; 1 when it cannot be read, which is told; -ENOMEM */
static int read_digest(struct planning *p, struct mine *m)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r;

	if (m->mapped.has_digest || m->mapped.size_bytes == 0)
		return 0;
	r = p->in->upper->digest(p->in->upper, m->entry->path, m->mapped.digest, &err);
	m->mapped.has_digest = r == 0;
	return r < 0 ? pass_over(p, m->entry->path, r, &err) : 0;
}

/* Only where the size leaves the question open. */
int plan_mine_digest(struct planning *p, struct mine *m)
{
	if (m->mapped.type != MLIMG_FILE ||
		(!has_size_of(m->base, &m->mapped) && !has_size_of(m->next, &m->mapped)))
		return 0;
	return read_digest(p, m);
}

/* --- what decides beside the class --- */

static int by_text_path(const void *key, const void *text)
{
	return mlimg_manifest_path_cmp(key, ((const struct mlimg_reconcile_text *)text)->path);
}

const struct mlimg_reconcile_text *plan_find_text(const struct planning *p, const char *path)
{
	const struct mlimg_reconcile_text *text = p->in->n_texts
		? bsearch(path, p->in->texts, p->in->n_texts, sizeof(*p->in->texts), by_text_path)
		: NULL;

	while (text && text > p->in->texts && strcmp(text[-1].path, path) == 0)
		text--;
	return text;
}

static int plan_database(
	struct planning *p, struct mine *m, const struct mlimg_reconcile_text *text)
{
	struct mlimg_merged_entry e = {.entry = m->mapped};
	int r = m->mapped.size_bytes == text->size ? read_digest(p, m) : 0;

	if (r < 0)
		return r;
	if (is_file(m->next) &&
		mlimg_reconcile_merge(m->base, m->next, &m->mapped, p->arena, &e) < 0)
		return no_memory(p, m->entry->path);
	r = plan_put_contents(p, m, &e, text->data, text->size);
	return r == 0 ? plan_keep(p, m, MLIMG_CONFLICT) : r < 0 ? r : 0;
}

static int by_link_path(const void *key, const void *link)
{
	return strcmp(key, ((const struct mlimg_packages_link *)link)->path);
}

const struct mlimg_packages_link *plan_find_link(const struct planning *p, const char *path)
{
	const struct mlimg_packages_link *link = p->in->n_links
		? bsearch(path, p->in->links, p->in->n_links, sizeof(*p->in->links), by_link_path)
		: NULL;

	while (link && link > p->in->links && strcmp(link[-1].path, path) == 0)
		link--;
	return link;
}

bool plan_is_link_of(const struct mlimg_entry *e, const struct mlimg_packages_link *link)
{
	if (!e || mlimg_entry_is_whiteout(e))
		return !link->target;
	return link->target && e->type == MLIMG_LINK && strcmp(e->link, link->target) == 0;
}

/* @return whether update-alternatives has made it, or it is the old or new stack's */
static bool is_made_by_alternatives(const struct mine *m, const struct mlimg_packages_link *link)
{
	const struct mlimg_entry *stacks[] = {m->base, m->next};

	if (mlimg_entry_is_whiteout(m->entry))
		return true;
	if (m->entry->type != MLIMG_LINK)
		return false;
	for (size_t i = 0; i < 2; i++)
		if (stacks[i] && mlimg_reconcile_has_same_contents(&m->mapped, stacks[i]))
			return true;
	for (size_t i = 0; link->others && link->others[i]; i++)
		if (strcmp(link->others[i], m->entry->link) == 0)
			return true;
	return false;
}

/* Where neither has it, mine makes way for the one that reconcile-extra.c puts. */
static int plan_link(struct planning *p, struct mine *m, const struct mlimg_packages_link *link)
{
	bool is_mine = plan_is_link_of(&m->mapped, link), is_next = plan_is_link_of(m->next, link);

	if (is_mine && !is_next)
		return plan_keep(p, m, MLIMG_KEEP);
	if (is_mine || is_made_by_alternatives(m, link))
		return plan_drop(p, m, is_mine ? MLIMG_SAME : MLIMG_MERGED);
	m->why = "not a link that update-alternatives has made";
	return plan_set_aside(p, m, MLIMG_CONFLICT);
}

/* @return 0; 1 when it cannot be read, which is told; -ENOMEM */
static int find_whether_made(struct planning *p, const struct mine *m, bool *ret)
{
	struct mlimg_upper_source *source = p->in->upper;
	const char *path = m->entry->path;
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *data = NULL;
	size_t size = 0;
	int r = 0;

	if (is_file(m->entry) && m->entry->size_bytes > 0)
		r = source->read_head(source, path, MLIMG_REBUILD_HEAD_SIZE, &data, &size, &err);
	if (r < 0)
		return pass_over(p, path, r, &err);
	*ret = mlimg_rebuild_is_made(path, data, size);
	return 0;
}

/*
 * A cache is dropped if a program made it (rebuild.h). What lies in the place of one and was made by
 * nobody knows whom, and what is derived because somebody says so, may hold a user's work.
 */
static int plan_derived(struct planning *p, struct mine *m)
{
	char listed[MLIMG_LAYER_PATH_MAX + 1];
	bool is_cache = (is_file(m->entry) || mlimg_entry_is_whiteout(m->entry)) &&
		mlimg_rebuild_is_cache(m->entry->path, listed);
	bool is_made = false, is_same;
	int r = is_cache ? find_whether_made(p, m, &is_made) : 0;

	/* What shows for its owner's sake has not been made here: it is compared first. */
	if (r == 0 && !(is_made && plan_next_may_show(p, m)))
		r = plan_mine_digest(p, m);
	if (r > 0)
		plan_tell(p, m, MLIMG_KEEP, MLIMG_DONE_NOTHING, NULL);
	if (r != 0)
		return r < 0 ? r : 0;
	is_same = mlimg_reconcile_is_same(&m->mapped, m->next);
	if (is_same && !plan_next_may_show(p, m))
		return plan_keep(p, m, MLIMG_KEEP);
	if (is_cache && mlimg_report_add_rebuild(p->report, listed) < 0)
		return no_memory(p, m->entry->path);
	if (is_made || is_same || mlimg_entry_is_whiteout(m->entry) ||
		mlimg_reconcile_is_same(&m->mapped, m->base))
		return plan_drop(p, m, is_same ? MLIMG_SAME : MLIMG_STALE);
	if (is_cache)
		m->why = "not what the program writes that has its cache there";
	return plan_set_aside(p, m, MLIMG_CONFLICT);
}

/* A version of the user's gave way to the new stack's: nothing of his stays. */
static int plan_next_package(struct planning *p, struct mine *m, enum mlimg_verdict verdict)
{
	if (mlimg_packages_is_update(m->entry->path))
		return plan_drop(p, m, MLIMG_MERGED);
	if (verdict == MLIMG_STALE || verdict == MLIMG_SAME || verdict == MLIMG_WHITEOUT_GONE)
		return plan_drop(p, m, verdict);
	if (mlimg_entry_is_whiteout(m->entry))
		return plan_drop(p, m, MLIMG_WHITEOUT_CHANGED);
	/* dpkg's files of it as well: whether a script is as its package had it nobody can tell. */
	return plan_set_aside(p, m, MLIMG_CONFLICT);
}

static enum mlimg_verdict verdict_of(const struct mine *m)
{
	return mlimg_reconcile_decide(m->base, m->next, &m->mapped);
}

static bool is_whiteout_of_nothing(const struct mine *m)
{
	return !m->next && mlimg_entry_is_whiteout(m->entry);
}

enum mlimg_verdict plan_protected_verdict(enum mlimg_verdict verdict)
{
	switch (verdict) {
	case MLIMG_KEEP:
	case MLIMG_SAME: return MLIMG_KEEP;
	case MLIMG_TYPE_CHANGE: return verdict;
	default: return MLIMG_CONFLICT;
	}
}

/* As class keep, but what it hides of the new stack's is told. */
static int plan_protected(struct planning *p, struct mine *m)
{
	enum mlimg_verdict verdict = MLIMG_KEEP;
	int r = plan_mine_digest(p, m);

	if (r < 0)
		return r;
	if (r == 0)
		verdict = plan_protected_verdict(verdict_of(m));
	if (verdict != MLIMG_KEEP)
		m->why = PLAN_PROTECTED_WHY;
	return plan_keep(p, m, verdict);
}

/*
 * dpkg leaves alone what is where a file is diverted from. What is as the system had it is no work
 * of the user's, though.
 */
static int plan_if_diverted(struct planning *p, struct mine *m, bool is_next, bool *ret_done)
{
	enum diverted diverted;
	int r = plan_diverted_find(p, m, &diverted);

	*ret_done = r == 0 && diverted != DIVERTED_NOT && !is_whiteout_of_nothing(m);
	if (!*ret_done)
		return r;
	r = plan_mine_digest(p, m);
	if (r > 0)
		plan_tell(p, m, MLIMG_KEEP, MLIMG_DONE_NOTHING, NULL);
	if (r != 0)
		return r < 0 ? r : 0;
	if (diverted == DIVERTED_TO)
		return plan_diverted(p, m, is_next);
	*ret_done = !m->base || !mlimg_reconcile_is_same(&m->mapped, m->base);
	return *ret_done ? plan_keep(p, m, MLIMG_KEEP) : 0;
}

int plan_entry(struct planning *p, struct mine *m)
{
	const struct mlimg_reconcile_text *text = plan_find_text(p, m->entry->path);
	const struct mlimg_packages_link *link = plan_find_link(p, m->entry->path);
	enum mlimg_package_verdict package = MLIMG_FILES_PLAIN;
	bool is_done;
	int r;

	if (m->is_protected)
		return plan_protected(p, m);
	if (m->class == MLIMG_CLASS_KEEP || mlimg_entry_xattr(m->entry, MLIMG_XATTR_METACOPY))
		return plan_keep(p, m, MLIMG_KEEP);
	if (m->class == MLIMG_CLASS_DERIVED)
		return plan_derived(p, m);
	if (p->in->package)
		package = p->in->package(m->entry->path, p->in->package_ctx);
	if (package != MLIMG_FILES_MINE && package != MLIMG_FILES_REMOVED) {
		r = plan_if_diverted(p, m, package == MLIMG_FILES_NEXT, &is_done);
		if (r < 0 || is_done)
			return r;
	}
	if (package == MLIMG_FILES_NEW)
		package = mlimg_entry_is_whiteout(m->entry) ? MLIMG_FILES_NEXT : MLIMG_FILES_PLAIN;
	if ((package == MLIMG_FILES_MINE || package == MLIMG_FILES_REMOVED) &&
		!is_whiteout_of_nothing(m))
		return plan_keep(p, m, MLIMG_KEEP);
	if (text && package == MLIMG_FILES_PLAIN && is_file(m->entry))
		return plan_database(p, m, text);
	if (link && !link->is_command && package == MLIMG_FILES_PLAIN)
		return plan_link(p, m, link);
	r = plan_mine_digest(p, m);
	if (r > 0)
		plan_tell(p, m, MLIMG_KEEP, MLIMG_DONE_NOTHING, NULL);
	if (r != 0)
		return r < 0 ? r : 0;
	return package == MLIMG_FILES_NEXT ? plan_next_package(p, m, verdict_of(m))
					   : plan_by_verdict(p, m, verdict_of(m));
}

int plan_other(struct planning *p, struct mine *m, bool *ret_stays)
{
	int r = plan_entry(p, m);

	*ret_stays = *ret_stays || !(p->fates[m->at] & FATE_GONE);
	return r;
}
