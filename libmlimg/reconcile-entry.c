/* SPDX-License-Identifier: MIT */
/* What becomes of an entry that is no directory. */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
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

/* Reads a file's digest. @return 0; 1 when it cannot be read, which is told; -ENOMEM */
static int read_digest(struct planning *p, struct mine *m)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r;

	if (m->mapped.has_digest || m->mapped.size_bytes == 0)
		return 0;
	r = p->in->upper->digest(p->in->upper, m->entry->path, m->mapped.digest, &err);
	m->mapped.has_digest = r == 0;
	if (r == 0)
		return 0;
	if (r == -ENOMEM || !p->in->skip) {
		*p->err = err;
		return r;
	}
	p->in->skip(m->entry->path, r, true, p->in->skip_ctx);
	return 1;
}

/* Only where the size leaves the question open. */
int mine_digest(struct planning *p, struct mine *m)
{
	if (m->mapped.type != MLIMG_FILE ||
		(!has_size_of(m->base, &m->mapped) && !has_size_of(m->next, &m->mapped)))
		return 0;
	return read_digest(p, m);
}

static bool is_text_of(
	const struct mlimg_entry *e, const uint8_t digest[MLIMG_SHA256_SIZE], size_t size)
{
	return is_file(e) && e->size_bytes == size &&
		(size == 0 || (e->has_digest && memcmp(e->digest, digest, MLIMG_SHA256_SIZE) == 0));
}

/* --- what is done --- */

static int drop(struct planning *p, const struct mine *m, enum mlimg_verdict verdict)
{
	int r = put_op(p, MLIMG_PLAN_DROP, m->entry->path, NULL, 0);

	if (r == 0)
		tell(p, m, verdict, MLIMG_DONE_DROPPED, NULL);
	return r;
}

static int set_aside(struct planning *p, const struct mine *m, enum mlimg_verdict verdict)
{
	int r = put_op(p, MLIMG_PLAN_SET_ASIDE, m->entry->path, NULL, 0);

	if (r == 0)
		tell(p, m, verdict, MLIMG_DONE_ASIDE, NULL);
	return r;
}

static bool has_several_names(const struct mlimg_entry *e)
{
	return e->type != MLIMG_DIR && e->hardlink && e->nlink > 1;
}

/* Puts it off until it is known what becomes of the other names. */
static int wait(struct planning *p, const struct mine *m, const struct mlimg_entry *wanted,
	enum mlimg_verdict verdict)
{
	struct mlimg_entry *copy = mlimg_arena_alloc(p->arena, sizeof(*copy));

	if (!copy ||
		mlimg_buffer_reserve(
			&p->linked, &p->linked_room, (p->n_linked + 1) * sizeof(*p->linked)) < 0)
		return no_memory(p, m->entry->path);
	*copy = *wanted;
	p->linked[p->n_linked++] = (struct linked){m->at, copy, verdict, m->class};
	return 0;
}

int set_attrs(struct planning *p, const struct mine *m, const struct mlimg_entry *wanted,
	enum mlimg_verdict verdict, const char *why)
{
	int r;

	if (mlimg_entry_has_same_attrs(m->entry, wanted)) {
		tell(p, m, verdict, MLIMG_DONE_NOTHING, why);
		return 0;
	}
	if (has_several_names(m->entry))
		return wait(p, m, wanted, verdict);
	r = put_op(p, MLIMG_PLAN_SET_ATTRS, m->entry->path, wanted, 0);
	p->report->moved += m->entry->uid != m->mapped.uid || m->entry->gid != m->mapped.gid;
	if (r == 0)
		tell(p, m, verdict, MLIMG_DONE_MERGED, why);
	return r;
}

/* As it is, but for owners that have moved. */
static int keep(struct planning *p, const struct mine *m, enum mlimg_verdict verdict)
{
	if (mlimg_entry_is_whiteout(m->entry)) {
		tell(p, m, verdict, MLIMG_DONE_NOTHING, NULL);
		return 0;
	}
	return set_attrs(p, m, &m->mapped, verdict, NULL);
}

static int take_next(struct planning *p, const struct mine *m, const struct mlimg_entry *like,
	enum mlimg_verdict verdict)
{
	struct mlimg_entry e = *like;
	int r;

	e.path = (char *)(uintptr_t)m->lower;
	r = put_op(p, MLIMG_PLAN_TAKE_NEXT, m->entry->path, &e, 0);
	if (r == 0)
		tell(p, m, verdict, MLIMG_DONE_MERGED, NULL);
	return r;
}

int put_text(struct planning *p, const char *path, const struct mlimg_entry *like, const char *data,
	size_t size)
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
	return put_op(p, MLIMG_PLAN_PUT, path, &e, blob);
}

/* The merged entry takes the place of mine. */
static int put_merged(struct planning *p, const struct mine *m,
	const struct mlimg_merged_entry *merged, enum mlimg_verdict verdict)
{
	if (!merged->is_contents_next)
		return set_attrs(p, m, &merged->entry, verdict, NULL);
	if (is_file(m->next) && !m->next->has_digest)
		return keep(p, m, MLIMG_CONFLICT);
	/* As when the user made the same chmod as the new stack, of contents that only this one changed. */
	if (mlimg_entry_has_same_attrs(&merged->entry, m->next))
		return drop(p, m, verdict);
	return take_next(p, m, &merged->entry, verdict);
}

/* --- conflicts --- */

/* @return whether what would be put beside is there already, from a change before */
static bool is_beside(struct planning *p, const struct mine *m, const char *path)
{
	const struct mlimg_entry *e = mlimg_manifest_find(p->upper, path);
	uint8_t digest[MLIMG_SHA256_SIZE];

	if (!is_file(e) || e->size_bytes != m->next->size_bytes)
		return false;
	if (e->size_bytes == 0)
		return true;
	return p->in->upper->digest(p->in->upper, path, digest, NULL) == 0 &&
		memcmp(digest, m->next->digest, sizeof(digest)) == 0;
}

/* Mine stays with its merged attributes, and next's file is put beside. */
static int put_beside(struct planning *p, const struct mine *m,
	const struct mlimg_merged_entry *merged, enum mlimg_verdict verdict)
{
	const char *path = m->entry->path;
	char beside[MLIMG_PATH_MAX + 1];
	struct mlimg_entry e;
	int r = 0;

	if (!is_file(m->next) || (m->next->size_bytes && !m->next->has_digest) ||
		strlen(mlimg_path_name(path)) + strlen(MLIMG_PLAN_NEW_SUFFIX) > MLIMG_NAME_MAX ||
		strlen(path) + strlen(MLIMG_PLAN_NEW_SUFFIX) > MLIMG_PATH_MAX)
		return set_attrs(p, m, &merged->entry, verdict, NULL);
	strcpy(stpcpy(beside, path), MLIMG_PLAN_NEW_SUFFIX);
	if (!is_beside(p, m, beside)) {
		e = *m->next;
		e.path = (char *)(uintptr_t)m->lower;
		r = put_op(p, MLIMG_PLAN_PUT_BESIDE, path, &e, 0);
	}
	if (r == 0 && !mlimg_entry_has_same_attrs(m->entry, &merged->entry)) {
		if (has_several_names(m->entry))
			return wait(p, m, &merged->entry, verdict);
		r = put_op(p, MLIMG_PLAN_SET_ATTRS, path, &merged->entry, 0);
	}
	if (r == 0)
		tell(p, m, verdict, MLIMG_DONE_BESIDE, NULL);
	return r;
}

static int64_t later_ns(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	return a->mtime_s != b->mtime_s ? (a->mtime_s < b->mtime_s ? -1 : 1)
					: (int64_t)a->mtime_ns - b->mtime_ns;
}

/*
 * A file whose contents are now @data: those of mine, of next, or new ones.
 *
 * @return 1; 0 when nothing was done because there are too many contents; -ENOMEM
 */
static int put_contents(struct planning *p, struct mine *m, struct mlimg_merged_entry *merged,
	const char *data, size_t size)
{
	enum mlimg_verdict verdict =
		merged->conflicts & ~(unsigned)MLIMG_CONTENTS ? MLIMG_CONFLICT : MLIMG_MERGED;
	uint8_t digest[MLIMG_SHA256_SIZE];
	int r;

	mlimg_sha256_of(data, size, digest);
	if (is_text_of(m->next, digest, size) &&
		mlimg_entry_has_same_attrs(&merged->entry, m->next))
		r = drop(p, m, MLIMG_SAME);
	else if (is_text_of(&m->mapped, digest, size))
		r = set_attrs(p, m, &merged->entry,
			mlimg_entry_has_same_attrs(m->entry, &merged->entry) ? MLIMG_KEEP : verdict,
			NULL);
	else if (p->plan->n_blobs == MLIMG_PLAN_BLOBS_MAX)
		return 0;
	else {
		const struct mlimg_entry *newest =
			m->next && later_ns(m->next, &m->mapped) > 0 ? m->next : &m->mapped;

		merged->entry.mtime_s = newest->mtime_s;
		merged->entry.mtime_ns = newest->mtime_ns;
		r = put_text(p, m->entry->path, &merged->entry, data, size);
		if (r == 0)
			tell(p, m, verdict, MLIMG_DONE_MERGED, NULL);
	}
	return r < 0 ? r : 1;
}

int merge_text(struct planning *p, const struct mine *m, char **ret_text, size_t *ret_size)
{
	mlimg_autofree char *base = NULL, *next = NULL, *mine = NULL;
	const struct mlimg_reconcile_input *in = p->in;
	size_t max = MLIMG_MERGE3_SIZE_MAX, base_size, next_size, mine_size;
	int r;

	*ret_text = NULL;
	if (!in->read_base || !in->read_next || m->mapped.size_bytes > max ||
		!m->base->has_digest || !m->next->has_digest || m->base->size_bytes > max ||
		m->next->size_bytes > max || p->texts_size > MLIMG_RECONCILE_TEXTS_MAX)
		return 0;
	r = in->read_base(m->lower, m->base->digest, max, in->read_ctx, &base, &base_size);
	if (r == 0)
		r = in->read_next(m->lower, m->next->digest, max, in->read_ctx, &next, &next_size);
	if (r == 0)
		r = in->upper->read(in->upper, m->entry->path, max, &mine, &mine_size, NULL);
	if (r < 0)
		return r == -ENOMEM ? no_memory(p, m->entry->path) : 0;
	r = mlimg_merge3((struct mlimg_merge3_text){base, base_size},
		(struct mlimg_merge3_text){mine, mine_size},
		(struct mlimg_merge3_text){next, next_size}, ret_text, ret_size, p->err);
	if (r == MLIMG_MERGE3_MERGED)
		p->texts_size += *ret_size;
	return r < 0 ? r : 0;
}

static int conflict_in_config(struct planning *p, struct mine *m, struct mlimg_merged_entry *merged)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = 0;

	if (!(merged->conflicts & MLIMG_CONTENTS))
		return put_merged(p, m, merged, MLIMG_CONFLICT);
	if (is_file(m->base) && is_file(m->next) && is_file(&m->mapped))
		r = merge_text(p, m, &text, &size);
	if (r == 0 && text) {
		r = put_contents(p, m, merged, text, size);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return r < 0 ? r : put_beside(p, m, merged, MLIMG_CONFLICT);
}

static int conflict(struct planning *p, struct mine *m)
{
	struct mlimg_merged_entry merged;

	if (m->class == MLIMG_CLASS_OWNED)
		return set_aside(p, m, MLIMG_CONFLICT);
	if (!m->next)
		return keep(p, m, MLIMG_CONFLICT);
	if (mlimg_reconcile_merge(m->base, m->next, &m->mapped, p->arena, &merged) < 0)
		return no_memory(p, m->entry->path);
	if (m->class == MLIMG_CLASS_CONFIG)
		return conflict_in_config(p, m, &merged);
	return put_merged(p, m, &merged, MLIMG_CONFLICT);
}

static int type_change(struct planning *p, struct mine *m)
{
	struct mlimg_merged_entry merged = {.entry = m->mapped};

	if (m->next->type == MLIMG_DIR || m->class == MLIMG_CLASS_OWNED)
		return set_aside(p, m, MLIMG_TYPE_CHANGE);
	if (m->class == MLIMG_CLASS_CONFIG)
		return put_beside(p, m, &merged, MLIMG_TYPE_CHANGE);
	return keep(p, m, MLIMG_TYPE_CHANGE);
}

static int merged(struct planning *p, struct mine *m)
{
	struct mlimg_merged_entry e;

	if (mlimg_reconcile_merge(m->base, m->next, &m->mapped, p->arena, &e) < 0)
		return no_memory(p, m->entry->path);
	return put_merged(p, m, &e, MLIMG_MERGED);
}

/* --- what decides beside the class --- */

static int by_text_path(const void *key, const void *text)
{
	return mlimg_manifest_path_cmp(key, ((const struct mlimg_reconcile_text *)text)->path);
}

const struct mlimg_reconcile_text *find_text(const struct planning *p, const char *path)
{
	return p->in->n_texts
		? bsearch(path, p->in->texts, p->in->n_texts, sizeof(*p->in->texts), by_text_path)
		: NULL;
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
	r = put_contents(p, m, &e, text->data, text->size);
	return r == 0 ? keep(p, m, MLIMG_CONFLICT) : r < 0 ? r : 0;
}

static int plan_derived(struct planning *p, const struct mine *m)
{
	char listed[MLIMG_LAYER_PATH_MAX + 1];

	if (mlimg_rebuild_is_cache(m->entry->path, listed) &&
		mlimg_report_add_rebuild(p->report, listed) < 0)
		return no_memory(p, m->entry->path);
	return drop(p, m, mlimg_reconcile_is_same(&m->mapped, m->next) ? MLIMG_SAME : MLIMG_STALE);
}

/* A version of the user's gave way to the new stack's: nothing of his stays. */
static int plan_next_package(struct planning *p, struct mine *m, enum mlimg_verdict verdict)
{
	if (verdict == MLIMG_STALE || verdict == MLIMG_SAME || verdict == MLIMG_WHITEOUT_GONE)
		return drop(p, m, verdict);
	if (mlimg_entry_is_whiteout(m->entry))
		return drop(p, m, MLIMG_WHITEOUT_CHANGED);
	return m->class == MLIMG_CLASS_PACKAGES ? drop(p, m, MLIMG_CONFLICT)
						: set_aside(p, m, MLIMG_CONFLICT);
}

static int plan_by_verdict(struct planning *p, struct mine *m, enum mlimg_verdict verdict)
{
	switch (verdict) {
	case MLIMG_STALE:
	case MLIMG_SAME:
	case MLIMG_WHITEOUT_GONE: return drop(p, m, verdict);
	case MLIMG_MERGED: return merged(p, m);
	case MLIMG_CONFLICT: return conflict(p, m);
	case MLIMG_TYPE_CHANGE: return type_change(p, m);
	case MLIMG_WHITEOUT_CHANGED: tell(p, m, verdict, MLIMG_DONE_NOTHING, NULL); return 0;
	case MLIMG_KEEP: break;
	}
	return keep(p, m, MLIMG_KEEP);
}

static enum mlimg_verdict verdict_of(const struct mine *m)
{
	return mlimg_reconcile_decide(m->base, m->next, &m->mapped);
}

static int plan_entry(struct planning *p, struct mine *m)
{
	const struct mlimg_reconcile_text *text = find_text(p, m->entry->path);
	enum mlimg_package_verdict package = MLIMG_FILES_PLAIN;
	int r;

	if (m->class == MLIMG_CLASS_KEEP || mlimg_entry_xattr(m->entry, MLIMG_XATTR_METACOPY))
		return keep(p, m, MLIMG_KEEP);
	if (m->class == MLIMG_CLASS_DERIVED)
		return plan_derived(p, m);
	if (p->in->package)
		package = p->in->package(m->entry->path, p->in->package_ctx);
	if (package == MLIMG_FILES_MINE || package == MLIMG_FILES_REMOVED)
		return keep(p, m, MLIMG_KEEP);
	if (text && package == MLIMG_FILES_PLAIN && is_file(m->entry))
		return plan_database(p, m, text);
	r = mine_digest(p, m);
	if (r > 0)
		tell(p, m, MLIMG_KEEP, MLIMG_DONE_NOTHING, NULL);
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

/* --- several names of one file --- */

static int by_group(const void *a, const void *b, void *ctx)
{
	const struct planning *p = ctx;
	const struct linked *x = a, *y = b;
	uint32_t g = p->upper->entries[x->at].hardlink, h = p->upper->entries[y->at].hardlink;

	return g != h ? (g < h ? -1 : 1) : x->at < y->at ? -1 : x->at > y->at;
}

/* The attributes are the file's, so all names must want the same. */
static bool agree(const struct planning *p, const struct linked *first, size_t n)
{
	if (n != p->upper->entries[first->at].nlink)
		return false;
	for (size_t i = 1; i < n; i++)
		if (!mlimg_entry_has_same_attrs(first->entry, first[i].entry))
			return false;
	return true;
}

int plan_linked(struct planning *p)
{
	int r = 0;

	if (p->n_linked)
		qsort_r(p->linked, p->n_linked, sizeof(*p->linked), by_group, p);
	for (size_t i = 0, n; i < p->n_linked && r == 0; i += n) {
		uint32_t group = p->upper->entries[p->linked[i].at].hardlink;
		bool is_agreed;

		for (n = 1; i + n < p->n_linked &&
			p->upper->entries[p->linked[i + n].at].hardlink == group;)
			n++;
		is_agreed = agree(p, &p->linked[i], n);
		for (size_t k = i; k < i + n && r == 0; k++) {
			const struct linked *l = &p->linked[k];
			const struct mine m = {
				.entry = &p->upper->entries[l->at], .at = l->at, .class = l->class};

			if (is_agreed)
				r = put_op(p, MLIMG_PLAN_SET_ATTRS, m.entry->path, l->entry, 0);
			tell(p, &m, is_agreed ? l->verdict : MLIMG_CONFLICT,
				is_agreed ? MLIMG_DONE_MERGED : MLIMG_DONE_NOTHING,
				is_agreed ? NULL
					  : "has other names, for which these attributes are not "
					    "right");
		}
	}
	return r;
}
