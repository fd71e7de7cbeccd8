/* SPDX-License-Identifier: MIT */
/* Removing from the store what nobody uses. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/arena.h"
#include "tools/store-base.h"
#include "tools/store-check.h"

/*
 * A generation g of tenant t that nobody runs, and nobody returns to: neither the current nor the
 * pending one, nor a checkpoint's, nor one of a rollout that has not ended, nor the one that a
 * rollout has led away from to where the tenant still is; and more than ?1 of the others are newer.
 */
#define UNUSED_GENERATIONS                                                                      \
	"SELECT g.key FROM (SELECT tenant_id, number, tenant_id || '/' || number AS "           \
	"key FROM generation) g JOIN tenant t ON t.id = g.tenant_id "                           \
	"WHERE g.number IS NOT t.current AND g.number IS NOT t.pending "                        \
	"AND NOT EXISTS (SELECT 1 FROM checkpoint c"                                            \
	" WHERE c.tenant_id = g.tenant_id AND c.generation = g.number) "                        \
	"AND NOT EXISTS (SELECT 1 FROM rollout_tenant r JOIN rollout o ON o.number = r.rollout" \
	" WHERE r.tenant_id = g.tenant_id AND g.number IN (r.from_number, r.to_number)"         \
	" AND (o.ended_s IS NULL OR r.to_number IS t.current OR r.to_number IS t.pending)) "    \
	"AND ?1 <= (SELECT count(*) FROM generation x WHERE x.tenant_id = g.tenant_id"          \
	" AND x.number > g.number AND x.number IS NOT t.current AND x.number IS NOT t.pending)"

struct candidate {
	struct mlimg_store_layer layer;
	bool is_kept;
};

struct collector {
	struct mlimg_store *store;
	const struct mlimg_store_gc *gc;
	struct candidate *layers;
	size_t n, room;
};

static void collector_done(struct collector *c)
{
	for (size_t i = 0; i < c->n; i++)
		mlimg_store_layer_done(&c->layers[i].layer);
	free(c->layers);
}

static int take_id(const struct mlimg_db_rows *rows, struct collector *c, struct mlimg_err *err)
{
	if (c->n == c->room) {
		struct candidate *bigger;

		c->room = c->room ? 2 * c->room : 64;
		bigger = reallocarray(c->layers, c->room, sizeof(*c->layers));
		if (!bigger)
			return mlimg_err_set(err, ENOMEM, "list layers");
		c->layers = bigger;
	}
	c->layers[c->n] = (struct candidate){.is_kept = mlimg_db_number(rows, 10)};
	return mlimg_store_layer_read(rows, &c->layers[c->n++].layer, err);
}

static int64_t kept_former(const struct mlimg_store_gc *gc)
{
	return gc->kept_former < INT64_MAX ? (int64_t)gc->kept_former : INT64_MAX;
}

static int tell_old(
	const struct mlimg_store_gc *gc, const char *what, uint64_t n, struct mlimg_err *err)
{
	const struct mlimg_store_finding finding = {.found = MLIMG_STORE_OLD, .what = what, .n = n};

	return gc->fn(&finding, gc->ctx, err);
}

/* A generation of a tenant. */
struct former {
	char tenant_id[MLIMG_STORE_ID_SIZE], name[MLIMG_STORE_NAME_SIZE];
	uint32_t number;
};

struct formers {
	struct former *list;
	size_t n, room;
};

static void formers_done(struct formers *f)
{
	free(f->list);
}

static int read_formers(
	struct mlimg_store *s, int64_t kept, struct formers *f, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db,
		"SELECT t.id, t.name, g.number FROM generation g JOIN tenant t ON t.id = "
		"g.tenant_id WHERE g.tenant_id || '/' || g.number IN (" UNUSED_GENERATIONS
		") ORDER BY t.name, g.number",
		MLIMG_DB_VALUES(MLIMG_DB_NUMBER(kept)), &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		struct former *former;

		if (mlimg_buffer_reserve(&f->list, &f->room, (f->n + 1) * sizeof(*f->list)) < 0)
			return mlimg_err_set(err, ENOMEM, "list generations");
		former = &f->list[f->n++];
		ret = mlimg_db_copy(&rows, 0, former->tenant_id, sizeof(former->tenant_id), err);
		if (ret == 0)
			ret = mlimg_db_copy(&rows, 1, former->name, sizeof(former->name), err);
		former->number = (uint32_t)mlimg_db_number(&rows, 2);
	}
	return ret;
}

/* In a transaction: what has come to be used meanwhile stays, and is not told of. */
static int drop_formers(struct collector *c, struct formers *f, struct mlimg_err *err)
{
	int64_t kept = kept_former(c->gc);
	int ret = mlimg_db_begin(c->store->db, err);

	if (ret < 0)
		return ret;
	ret = read_formers(c->store, kept, f, err);
	if (ret == 0 && f->n)
		ret = mlimg_db_run(c->store->db,
			"DELETE FROM generation WHERE tenant_id || '/' || number IN "
			"(" UNUSED_GENERATIONS ")",
			MLIMG_DB_VALUES(MLIMG_DB_NUMBER(kept)), err);
	return mlimg_db_finish(c->store->db, ret < 0 ? ret : 0, err);
}

static int tell_former(struct collector *c, const struct former *f, struct mlimg_err *err)
{
	char what[MLIMG_STORE_NAME_SIZE + 48];
	const struct mlimg_store_finding finding = {.found = MLIMG_STORE_FORMER,
		.what = what,
		.n = f->number,
		.tenant_id = f->tenant_id};

	snprintf(what, sizeof(what), "generation %u of tenant '%s'", f->number, f->name);
	return c->gc->fn(&finding, c->gc->ctx, err);
}

/* Nothing else is what they were kept for. */
static int remove_generations(struct collector *c, struct mlimg_err *err)
{
	mlimg_cleanup(formers_done) struct formers formers = {.n = 0};
	int ret = c->gc->is_dry ? read_formers(c->store, kept_former(c->gc), &formers, err)
				: drop_formers(c, &formers, err);

	if (ret == 0 && formers.n)
		ret = tell_old(c->gc, "generations", formers.n, err);
	for (size_t i = 0; ret == 0 && i < formers.n; i++)
		ret = tell_former(c, &formers.list[i], err);
	return ret;
}

/* Kept for its own sake: what a generation has, and what somebody would take next. */
static int list(struct collector *c, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(c->store->db,
		"SELECT " MLIMG_STORE_LAYER_COLUMNS
		", EXISTS (SELECT 1 FROM generation_layer l WHERE l.build_id = layer.build_id"
		" AND tenant_id || '/' || number NOT IN (" UNUSED_GENERATIONS "))"
		" OR (NOT ?2 AND number ="
		" (SELECT max(number) FROM layer l WHERE l.kind = layer.kind"
		" AND l.name = layer.name)) FROM layer ORDER BY number DESC",
		MLIMG_DB_VALUES(MLIMG_DB_NUMBER(kept_former(c->gc)), MLIMG_DB_NUMBER(c->gc->all)),
		&rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1)
		ret = take_id(&rows, c, err);
	return ret;
}

/* What lies beneath what is kept is kept, until there is no more of it. */
static void keep_beneath(struct collector *c)
{
	bool is_changed;

	do {
		is_changed = false;
		for (size_t i = 0; i < c->n; i++)
			for (size_t k = 0; c->layers[i].is_kept && k < c->n; k++) {
				const struct mlimg_layer_info *beneath = &c->layers[k].layer.info;

				if (c->layers[k].is_kept ||
					!mlimg_store_layer_lies_over(&c->layers[i].layer.info,
						mlimg_store_layer_provides(beneath)))
					continue;
				c->layers[k].is_kept = is_changed = true;
			}
	} while (is_changed);
}

/* @return whether a layer that is still there lies over it */
static bool is_beneath(const struct collector *c, const struct candidate *candidate)
{
	const char *id = mlimg_store_layer_provides(&candidate->layer.info);

	for (size_t i = 0; i < c->n; i++)
		if (!c->layers[i].is_kept && &c->layers[i] != candidate &&
			mlimg_store_layer_lies_over(&c->layers[i].layer.info, id))
			return true;
	return false;
}

static int remove_layer(struct collector *c, struct candidate *candidate, struct mlimg_err *err)
{
	char text[MLIMG_STORE_LAYER_TEXT];
	const struct mlimg_store_finding finding = {
		.found = MLIMG_STORE_UNUSED,
		.layer = &candidate->layer,
		.what = mlimg_store_layer_text(&candidate->layer.info, text),
		.size_bytes = candidate->layer.size_bytes,
	};
	int ret = 0;

	/* It is not looked at again. */
	candidate->is_kept = true;
	if (!c->gc->is_dry)
		ret = mlimg_store_layer_remove(c->store, candidate->layer.info.build_id, err);
	/* Somebody has begun to use it, or removed it, meanwhile. */
	if (ret == -EBUSY || ret == -ENOENT)
		return 0;
	/* Only now: what could not be removed has not been. */
	return ret < 0 ? ret : c->gc->fn(&finding, c->gc->ctx, err);
}

/* From the top down: whatever stops this leaves no layer without those beneath it. */
static int remove_layers(struct collector *c, struct mlimg_err *err)
{
	bool is_changed;
	int ret = 0;

	do {
		is_changed = false;
		for (size_t i = 0; ret == 0 && i < c->n; i++) {
			if (c->layers[i].is_kept || is_beneath(c, &c->layers[i]))
				continue;
			is_changed = true;
			ret = remove_layer(c, &c->layers[i], err);
		}
	} while (ret == 0 && is_changed);
	return ret;
}

/* In a transaction, so that nobody gives it a row meanwhile. */
static int remove_orphan(struct collector *c, const char *path, struct mlimg_err *err)
{
	const char *name = strrchr(path, '/') + 1;
	int64_t one;
	int ret = mlimg_db_get(c->store->db,
		"SELECT 1 FROM layer WHERE build_id = substr(?1, 1, 64) UNION ALL "
		"SELECT 1 FROM operation WHERE object_id = substr(?1, 1, 64)",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(name)), &one, err);

	if (ret)
		return ret < 0 ? ret : 0;
	if (unlinkat(c->store->fds[MLIMG_STORE_LAYERS], name, 0) < 0 && errno != ENOENT)
		return mlimg_err_set(err, errno, "remove '%.300s/%s'", c->store->dir, path);
	return mlimg_store_sync(c->store, MLIMG_STORE_LAYERS, err);
}

static int take_file(const struct mlimg_store_finding *finding, void *ctx, struct mlimg_err *err)
{
	struct collector *c = ctx;
	int ret = c->gc->fn(finding, c->gc->ctx, err);

	if (ret < 0 || c->gc->is_dry || finding->found != MLIMG_STORE_ORPHAN)
		return ret;
	ret = mlimg_db_begin(c->store->db, err);
	return ret < 0 ? ret
		       : mlimg_db_finish(c->store->db, remove_orphan(c, finding->what, err), err);
}

#define OLD_EVENTS " FROM event WHERE id <= (SELECT max(id) FROM event) - ?1"

static int remove_events(struct collector *c, struct mlimg_err *err)
{
	int64_t n = 0,
		kept = c->gc->kept_events < INT64_MAX ? (int64_t)c->gc->kept_events : INT64_MAX;
	int ret = mlimg_db_get(c->store->db, "SELECT count(*)" OLD_EVENTS,
		MLIMG_DB_VALUES(MLIMG_DB_NUMBER(kept)), &n, err);

	if (ret < 0 || n == 0)
		return ret < 0 ? ret : 0;
	ret = tell_old(c->gc, "events", (uint64_t)n, err);
	if (ret < 0 || c->gc->is_dry)
		return ret;
	ret = mlimg_db_run(
		c->store->db, "DELETE" OLD_EVENTS, MLIMG_DB_VALUES(MLIMG_DB_NUMBER(kept)), err);
	return ret < 0 ? ret : 0;
}

int mlimg_store_gc(struct mlimg_store *s, const struct mlimg_store_gc *gc, struct mlimg_err *err)
{
	mlimg_cleanup(collector_done) struct collector c = {.store = s, .gc = gc};
	int ret = remove_generations(&c, err);

	if (ret == 0)
		ret = list(&c, err);
	if (ret < 0)
		return ret;
	keep_beneath(&c);
	ret = remove_layers(&c, err);
	if (ret == 0)
		ret = mlimg_store_base_gc(s, gc, err);
	if (ret == 0)
		ret = mlimg_store_check_files(s, take_file, &c, err);
	return ret < 0 ? ret : remove_events(&c, err);
}
