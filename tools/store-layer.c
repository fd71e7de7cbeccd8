/* SPDX-License-Identifier: MIT */
/* The store's layers: reading and finding them, and who uses one. */
#include "tools/store-impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES_SHOWN 4 /* as many as fit into a message */

void mlimg_store_layer_done(struct mlimg_store_layer *layer)
{
	mlimg_layer_info_done(&layer->info);
}

const char *mlimg_store_layer_text(
	const struct mlimg_layer_info *info, char ret_text[MLIMG_STORE_LAYER_TEXT])
{
	snprintf(ret_text, MLIMG_STORE_LAYER_TEXT, "%s %s %s (%.*s)", mlimg_kind_name(info->kind),
		info->name, info->version, MLIMG_SHORT_ID, info->build_id);
	return ret_text;
}

const char *mlimg_store_layer_provides(const struct mlimg_layer_info *info)
{
	return info->kind == MLIMG_PATCH ? info->result : info->build_id;
}

bool mlimg_store_layer_lies_over(const struct mlimg_layer_info *info, const char *id)
{
	if (info->kind == MLIMG_PATCH)
		return strcmp(info->base, id) == 0;
	for (size_t i = 0; i < info->n_over; i++)
		if (strcmp(info->over[i], id) == 0)
			return true;
	return false;
}

/* "ID ID ..." */
static int read_over(struct mlimg_layer_info *info, const char *text, struct mlimg_err *err)
{
	char id[MLIMG_SHA256_HEX_SIZE];
	int ret = 0;

	while (ret == 0 && *text) {
		snprintf(id, sizeof(id), "%s", text);
		ret = mlimg_layer_add_over(info, id, err);
		text += strlen(id);
		text += *text == ' ';
	}
	return ret;
}

int mlimg_store_layer_read(const struct mlimg_db_rows *rows, struct mlimg_store_layer *ret_layer,
	struct mlimg_err *err)
{
	mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};
	struct mlimg_layer_info *info = &layer.info;
	int ret = mlimg_db_copy(rows, 0, info->build_id, sizeof(info->build_id), err);

	info->kind = mlimg_kind_of(mlimg_db_text(rows, 1));
	if (ret == 0)
		ret = mlimg_db_copy(rows, 2, info->name, sizeof(info->name), err);
	if (ret == 0)
		ret = mlimg_db_copy(rows, 3, info->version, sizeof(info->version), err);
	if (ret == 0)
		ret = mlimg_db_copy(rows, 4, info->base, sizeof(info->base), err);
	if (ret == 0)
		ret = mlimg_db_copy(rows, 5, info->result, sizeof(info->result), err);
	if (ret == 0)
		ret = read_over(info, mlimg_db_text(rows, 6), err);
	if (ret == 0)
		ret = mlimg_db_copy(rows, 8, layer.root_hash, sizeof(layer.root_hash), err);
	/* What came from an image was checked then: this is about the database. */
	if (ret == 0)
		ret = mlimg_layer_check(info, err);
	if (ret < 0)
		return mlimg_err_wrap(err, ret, "layer %.64s", info->build_id);
	layer.size_bytes = (uint64_t)mlimg_db_number(rows, 7);
	layer.added_s = mlimg_db_number(rows, 9);
	*ret_layer = layer;
	layer = (struct mlimg_store_layer){.size_bytes = 0};
	return 0;
}

int mlimg_store_layer_each(struct mlimg_store *s, enum mlimg_kind kind, mlimg_store_layer_fn *fn,
	void *ctx, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	const char *only = kind ? mlimg_kind_name(kind) : "";
	int ret = mlimg_db_query(s->db,
		"SELECT " MLIMG_STORE_LAYER_COLUMNS
		" FROM layer WHERE ?1 IN (kind, '') ORDER BY name, number",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(only)), &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};

		ret = mlimg_store_layer_read(&rows, &layer, err);
		if (ret == 0)
			ret = fn(&layer, ctx, err);
	}
	return ret;
}

/* @return 1 and a layer, 0, -errno */
static int get(struct mlimg_store *s, const char *build_id, struct mlimg_store_layer *ret_layer,
	struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db,
		"SELECT " MLIMG_STORE_LAYER_COLUMNS " FROM layer WHERE build_id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(build_id)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret <= 0)
		return ret;
	ret = mlimg_store_layer_read(&rows, ret_layer, err);
	return ret < 0 ? ret : 1;
}

int mlimg_store_layer_get(struct mlimg_store *s, const char *build_id,
	struct mlimg_store_layer *ret_layer, struct mlimg_err *err)
{
	int ret = get(s, build_id, ret_layer, err);

	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no layer '%.64s'", build_id);
	return ret < 0 ? ret : 0;
}

/* Names and versions may have ':' in them, so it is not for us to say where a name ends. */
int mlimg_store_layer_match(struct mlimg_store *s, const char *text, unsigned kinds,
	mlimg_store_match_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	bool is_prefix = strlen(text) >= MLIMG_STORE_PREFIX_MIN && strlen(text) <= 64 &&
		mlimg_store_is_hex(text, strlen(text));
	int ret = mlimg_db_query(s->db,
		"SELECT " MLIMG_STORE_LAYER_COLUMNS ", name || ':' || version = ?1 OR "
		"(?2 AND substr(build_id, 1, length(?1)) = ?1) AS is_exact "
		"FROM layer WHERE is_exact OR name = ?1 ORDER BY is_exact DESC, number DESC",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(text), MLIMG_DB_NUMBER(is_prefix)), &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};

		ret = mlimg_store_layer_read(&rows, &layer, err);
		if (ret == 0 && (!kinds || kinds & MLIMG_STORE_KIND(layer.info.kind)))
			ret = fn(&layer, mlimg_db_number(&rows, 10) != 0, ctx, err);
	}
	return ret;
}

/* The first of those that somebody can mean. */
struct candidates {
	struct mlimg_layer_info shown[CANDIDATES_SHOWN]; /* without what they own */
	char first[MLIMG_SHA256_HEX_SIZE];
	size_t n, n_exact;
	unsigned kinds; /* seen; a patch is a kind of system */
};

static int take_candidate(
	const struct mlimg_store_layer *layer, bool is_exact, void *ctx, struct mlimg_err *err)
{
	struct candidates *c = ctx;
	enum mlimg_kind kind = layer->info.kind;

	c->kinds |= MLIMG_STORE_KIND(kind == MLIMG_PATCH ? MLIMG_SYSTEM : kind);
	c->n_exact += is_exact;
	if (c->n == 0)
		strcpy(c->first, layer->info.build_id);
	if (c->n++ < CANDIDATES_SHOWN) {
		c->shown[c->n - 1] = layer->info;
		c->shown[c->n - 1].over = NULL;
		c->shown[c->n - 1].n_over = 0;
	}
	return 0;
}

static int ambiguous(const char *text, const struct candidates *c, struct mlimg_err *err)
{
	char list[CANDIDATES_SHOWN * (MLIMG_STORE_LAYER_TEXT + 2) + 32] = "";
	char one[MLIMG_STORE_LAYER_TEXT];

	for (size_t i = 0; i < c->n && i < CANDIDATES_SHOWN; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "",
			mlimg_store_layer_text(&c->shown[i], one));
	if (c->n > CANDIDATES_SHOWN)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), " or %zu more",
			c->n - CANDIDATES_SHOWN);
	return mlimg_store_fail(err, ENOTUNIQ, "'%.64s' may be %s", text, list);
}

int mlimg_store_layer_find(struct mlimg_store *s, const char *text, unsigned kinds,
	struct mlimg_store_layer *ret_layer, size_t *ret_n, struct mlimg_err *err)
{
	struct candidates c = {.n = 0};
	int ret = mlimg_store_layer_match(s, text, kinds, take_candidate, &c, err);
	/* Of one name the newest is meant, where all are of one kind. */
	bool is_named = c.n_exact == 0 && (c.kinds & (c.kinds - 1)) == 0;

	if (ret < 0)
		return ret;
	if (c.n == 0)
		return mlimg_store_fail(err, ENOENT, "no layer '%.64s'", text);
	if (c.n > 1 && !is_named)
		return ambiguous(text, &c, err);
	ret = mlimg_store_layer_get(s, c.first, ret_layer, err);
	if (ret == 0 && ret_n)
		*ret_n = c.n;
	return ret;
}

static int tell_tenants(struct mlimg_store *s, const struct mlimg_store_layer *layer,
	mlimg_store_user_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	char text[MLIMG_STORE_LAYER_TEXT];
	int ret = mlimg_db_query(s->db,
		"SELECT name, g.number FROM generation_layer g JOIN tenant ON id = tenant_id "
		"WHERE build_id = ?1 ORDER BY name, g.number",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(layer->info.build_id)), &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		snprintf(text, sizeof(text), "tenant '%.63s' (generation %lld)",
			mlimg_db_text(&rows, 0), (long long)mlimg_db_number(&rows, 1));
		ret = fn(text, ctx, err);
	}
	return ret;
}

struct layer_users {
	const char *id;
	mlimg_store_user_fn *fn;
	void *ctx;
};

static int tell_if_over(const struct mlimg_store_layer *layer, void *ctx, struct mlimg_err *err)
{
	const struct layer_users *users = ctx;
	char text[MLIMG_STORE_LAYER_TEXT];

	if (!mlimg_store_layer_lies_over(&layer->info, users->id))
		return 0;
	return users->fn(mlimg_store_layer_text(&layer->info, text), users->ctx, err);
}

int mlimg_store_layer_users(struct mlimg_store *s, const struct mlimg_store_layer *layer,
	mlimg_store_user_fn *fn, void *ctx, struct mlimg_err *err)
{
	struct layer_users users = {mlimg_store_layer_provides(&layer->info), fn, ctx};
	int64_t n_others = 0;
	int ret = tell_tenants(s, layer, fn, ctx, err);

	/* A system is there as a layer of its own, or as a system and a patch, or both. */
	if (ret == 0)
		ret = mlimg_db_get(s->db,
			"SELECT count(*) FROM layer WHERE build_id <> ?1 AND "
			"(build_id = ?2 OR result_id = ?2)",
			MLIMG_DB_VALUES(
				MLIMG_DB_TEXT(layer->info.build_id), MLIMG_DB_TEXT(users.id)),
			&n_others, err);
	if (ret < 0 || n_others)
		return ret < 0 ? ret : 0;
	return mlimg_store_layer_each(s, 0, tell_if_over, &users, err);
}

struct first_user {
	char text[MLIMG_STORE_LAYER_TEXT];
	size_t n;
};

static int take_user(const char *user, void *ctx, struct mlimg_err *err)
{
	struct first_user *first = ctx;

	if (first->n++ == 0)
		snprintf(first->text, sizeof(first->text), "%s", user);
	return 0;
}

int mlimg_store_layer_check_unused(
	struct mlimg_store *s, const struct mlimg_store_layer *layer, struct mlimg_err *err)
{
	struct first_user first = {.n = 0};
	char text[MLIMG_STORE_LAYER_TEXT], more[32] = "";
	int ret = mlimg_store_layer_users(s, layer, take_user, &first, err);

	if (ret < 0 || first.n == 0)
		return ret;
	if (first.n > 1)
		snprintf(more, sizeof(more), " and %zu more", first.n - 1);
	return mlimg_store_fail(err, EBUSY, "%s is used by %s%s",
		mlimg_store_layer_text(&layer->info, text), first.text, more);
}
