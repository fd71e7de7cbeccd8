/* SPDX-License-Identifier: MIT */
/* Generations: which layers a tenant ran on, runs on, and will run on. */
#include "tools/store-impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The layers of a generation that is to be, as a stack. */
struct layers {
	struct mlimg_store_layer layers[MLIMG_STACK_LAYERS_MAX];
	struct mlimg_stack stack;
};

static void layers_free(struct layers *l)
{
	for (size_t i = 0; l && i < MLIMG_STACK_LAYERS_MAX; i++)
		mlimg_store_layer_done(&l->layers[i]);
	free(l);
}
MLIMG_DEFINE_CLEANUP(struct layers, layers_free)

static int load(struct mlimg_store *s, const char *const *ids, size_t n, struct layers *l,
	struct mlimg_err *err)
{
	int ret = 0;

	if (n == 0 || n > MLIMG_STACK_LAYERS_MAX)
		return mlimg_err_refuse(err, "%zu layers make no stack", n);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		ret = mlimg_store_layer_get(s, ids[i], &l->layers[i], err);
		if (ret == 0)
			ret = mlimg_stack_push(&l->stack, &l->layers[i].info, err);
	}
	return ret;
}

/* Numbers are never used again: what was said of one must not become another's. */
static int next_number(
	struct mlimg_store *s, const char *id, uint32_t *ret_number, struct mlimg_err *err)
{
	int64_t number = 0;
	int ret =
		mlimg_db_run(s->db, "UPDATE tenant SET last_number = last_number + 1 WHERE id = ?1",
			MLIMG_DB_VALUES(MLIMG_DB_TEXT(id)), err);

	if (ret >= 0)
		ret = mlimg_db_get(s->db, "SELECT last_number FROM tenant WHERE id = ?1",
			MLIMG_DB_VALUES(MLIMG_DB_TEXT(id)), &number, err);
	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no tenant %s", id);
	if (ret > 0)
		*ret_number = (uint32_t)number;
	return ret < 0 ? ret : 0;
}

static int insert(struct mlimg_store *s, const char *id, uint32_t number, const struct layers *l,
	struct mlimg_err *err)
{
	int ret = mlimg_db_run(s->db,
		"INSERT INTO generation (tenant_id, number, system_id, added_s) "
		"VALUES (?1, ?2, ?3, ?4)",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id), MLIMG_DB_NUMBER(number),
			MLIMG_DB_TEXT(mlimg_stack_system_id(&l->stack)),
			MLIMG_DB_NUMBER(mlimg_store_now())),
		err);

	for (size_t i = 0; ret >= 0 && i < l->stack.n_layers; i++)
		ret = mlimg_db_run(s->db,
			"INSERT INTO generation_layer (tenant_id, number, position, build_id) "
			"VALUES (?1, ?2, ?3, ?4)",
			MLIMG_DB_VALUES(MLIMG_DB_TEXT(id), MLIMG_DB_NUMBER(number),
				MLIMG_DB_NUMBER(i), MLIMG_DB_TEXT(l->layers[i].info.build_id)),
			err);
	return ret < 0 ? ret : 0;
}

static int add(struct mlimg_store *s, const char *id, const char *const *ids, size_t n,
	uint32_t *ret_number, struct mlimg_err *err)
{
	mlimg_cleanup(layers_free_cleanup) struct layers *l = calloc(1, sizeof(*l));
	uint32_t number = 0;
	int ret;

	if (!l)
		return mlimg_err_set(err, ENOMEM, "add a generation");
	ret = load(s, ids, n, l, err);
	if (ret == 0)
		ret = next_number(s, id, &number, err);
	if (ret == 0)
		ret = insert(s, id, number, l, err);
	if (ret == 0)
		*ret_number = number;
	return ret;
}

int mlimg_store_generation_add(struct mlimg_store *s, const char *id, const char *const *layers,
	size_t n_layers, uint32_t *ret_number, struct mlimg_err *err)
{
	uint32_t number = 0;
	int ret = mlimg_db_begin(s->db, err);

	if (ret < 0)
		return ret;
	ret = mlimg_db_finish(s->db, add(s, id, layers, n_layers, &number, err), err);
	if (ret == 0)
		*ret_number = number;
	return ret;
}

static int no_generation(const char *id, uint32_t number, struct mlimg_err *err)
{
	return mlimg_store_fail(err, ENOENT, "tenant %s has no generation %u", id, number);
}

/* One statement: whether the generation is there is a part of it. */
static int set(struct mlimg_store *s, const char *sql, const char *id, uint32_t number,
	struct mlimg_err *err)
{
	int ret = mlimg_db_run(
		s->db, sql, MLIMG_DB_VALUES(MLIMG_DB_TEXT(id), MLIMG_DB_NUMBER(number)), err);

	if (ret == 0)
		return no_generation(id, number, err);
	return ret < 0 ? ret : 0;
}

#define IS_THERE "(SELECT 1 FROM generation WHERE tenant_id = ?1 AND number = ?2)"

int mlimg_store_generation_set_current(
	struct mlimg_store *s, const char *id, uint32_t number, struct mlimg_err *err)
{
	return set(s,
		"UPDATE tenant SET current = ?2, pending = nullif(pending, ?2) "
		"WHERE id = ?1 AND EXISTS " IS_THERE,
		id, number, err);
}

int mlimg_store_generation_set_pending(
	struct mlimg_store *s, const char *id, uint32_t number, struct mlimg_err *err)
{
	return set(s,
		"UPDATE tenant SET pending = nullif(?2, 0) "
		"WHERE id = ?1 AND (?2 = 0 OR EXISTS " IS_THERE ")",
		id, number, err);
}

static int read_layers(struct mlimg_store *s, const char *id,
	struct mlimg_store_generation *generation, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db,
		"SELECT build_id FROM generation_layer WHERE tenant_id = ?1 AND number = ?2 "
		"ORDER BY position",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id), MLIMG_DB_NUMBER(generation->number)), &rows,
		err);

	generation->layers = calloc(MLIMG_STACK_LAYERS_MAX, sizeof(*generation->layers));
	if (!generation->layers)
		return mlimg_err_set(err, ENOMEM, "read a generation");
	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		if (generation->n_layers == MLIMG_STACK_LAYERS_MAX)
			return mlimg_err_refuse(err,
				"database is damaged: generation %u of tenant %s has too many "
				"layers",
				generation->number, id);
		ret = mlimg_db_copy(&rows, 0, generation->layers[generation->n_layers++],
			sizeof(*generation->layers), err);
	}
	return ret;
}

static int read_generation(struct mlimg_store *s, const char *id, const struct mlimg_db_rows *rows,
	struct mlimg_store_generation *ret_generation, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_store_generation_done) struct mlimg_store_generation g = {
		.number = (uint32_t)mlimg_db_number(rows, 0), .added_s = mlimg_db_number(rows, 2)};
	int ret = mlimg_db_copy(rows, 1, g.system_id, sizeof(g.system_id), err);

	if (ret == 0)
		ret = read_layers(s, id, &g, err);
	if (ret == 0) {
		*ret_generation = g;
		g = (struct mlimg_store_generation){.number = 0};
	}
	return ret;
}

int mlimg_store_generation_get(struct mlimg_store *s, const char *id, uint32_t number,
	struct mlimg_store_generation *ret_generation, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db,
		"SELECT number, system_id, added_s FROM generation "
		"WHERE tenant_id = ?1 AND number = ?2",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id), MLIMG_DB_NUMBER(number)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret == 0)
		return no_generation(id, number, err);
	return ret < 0 ? ret : read_generation(s, id, &rows, ret_generation, err);
}

int mlimg_store_generation_each(struct mlimg_store *s, const char *id,
	mlimg_store_generation_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db,
		"SELECT number, system_id, added_s FROM generation WHERE tenant_id = ?1 "
		"ORDER BY number",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id)), &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		mlimg_cleanup(mlimg_store_generation_done) struct mlimg_store_generation g = {
			.number = 0};

		ret = read_generation(s, id, &rows, &g, err);
		if (ret == 0)
			ret = fn(&g, ctx, err);
	}
	return ret;
}

void mlimg_store_generation_done(struct mlimg_store_generation *generation)
{
	free(generation->layers);
	generation->layers = NULL;
}
