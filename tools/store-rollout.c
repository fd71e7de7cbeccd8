/* SPDX-License-Identifier: MIT */
#include "tools/store-rollout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/store-impl.h"

static const char *const requests[] = {
	[MLIMG_ROLLOUT_GO] = "",
	[MLIMG_ROLLOUT_PAUSE] = "pause",
	[MLIMG_ROLLOUT_ABORT] = "abort",
};

#define COLUMNS                                                                      \
	"number, undoes, target, state, request, policy, waves, at_once, health_s, " \
	"max_failures, forgiven, created_s, ended_s"

#define ROW_COLUMNS                                                                          \
	"position, tenant_id, name, wave, place, is_lost, attempt, from_number, to_number, " \
	"since_s, baseline, text, boot"

/* The database allows no other words. */
static enum mlimg_rollout_request request_of(const char *word)
{
	return *word == 'p' ? MLIMG_ROLLOUT_PAUSE : *word ? MLIMG_ROLLOUT_ABORT : MLIMG_ROLLOUT_GO;
}

static int read_rollout(
	const struct mlimg_db_rows *rows, struct mlimg_rollout *ret, struct mlimg_err *err)
{
	struct mlimg_rollout r = {
		.number = (uint32_t)mlimg_db_number(rows, 0),
		.undoes = (uint32_t)mlimg_db_number(rows, 1),
		.request = request_of(mlimg_db_text(rows, 4)),
		.at_once = (unsigned)mlimg_db_number(rows, 7),
		.health_s = (unsigned)mlimg_db_number(rows, 8),
		.max_failures = (uint32_t)mlimg_db_number(rows, 9),
		.forgiven = (uint32_t)mlimg_db_number(rows, 10),
		.created_s = mlimg_db_number(rows, 11),
		.ended_s = mlimg_db_number(rows, 12),
	};
	int ret_code = mlimg_db_copy(rows, 2, r.target, sizeof(r.target), err);

	while (r.state + 1 < MLIMG_ROLLOUT_STATES &&
		strcmp(mlimg_db_text(rows, 3), mlimg_rollout_state_name(r.state)) != 0)
		r.state++;
	if (ret_code == 0)
		ret_code = mlimg_db_copy(rows, 6, r.waves, sizeof(r.waves), err);
	if (ret_code == 0)
		ret_code = mlimg_rollout_policy_of(mlimg_db_text(rows, 5), &r, err);
	if (ret_code == 0)
		*ret = r;
	return ret_code;
}

static int read_row(
	const struct mlimg_db_rows *rows, struct mlimg_rollout_row *ret, struct mlimg_err *err)
{
	struct mlimg_rollout_row r = {
		.position = (uint32_t)mlimg_db_number(rows, 0),
		.wave = (unsigned)mlimg_db_number(rows, 3),
		.is_lost = mlimg_db_number(rows, 5),
		.attempt = (uint32_t)mlimg_db_number(rows, 6),
		.from = (uint32_t)mlimg_db_number(rows, 7),
		.to = (uint32_t)mlimg_db_number(rows, 8),
		.since_s = mlimg_db_number(rows, 9),
	};
	int ret_code = mlimg_db_copy(rows, 1, r.tenant_id, sizeof(r.tenant_id), err);

	if (ret_code == 0)
		ret_code = mlimg_db_copy(rows, 2, r.name, sizeof(r.name), err);
	if (ret_code == 0 && !mlimg_rollout_place_of(mlimg_db_text(rows, 4), &r.place))
		ret_code = mlimg_err_refuse(
			err, "database is damaged: a tenant is '%.32s'", mlimg_db_text(rows, 4));
	if (ret_code == 0)
		ret_code = mlimg_db_copy(rows, 10, r.baseline, sizeof(r.baseline), err);
	if (ret_code == 0)
		ret_code = mlimg_db_copy(rows, 11, r.text, sizeof(r.text), err);
	if (ret_code == 0)
		ret_code = mlimg_db_copy(rows, 12, r.boot, sizeof(r.boot), err);
	if (ret_code == 0)
		*ret = r;
	return ret_code;
}

static int insert_row(struct mlimg_store *s, uint32_t number, const struct mlimg_rollout_row *row,
	struct mlimg_err *err)
{
	int ret = mlimg_db_run(s->db,
		"INSERT INTO rollout_tenant (rollout, position, tenant_id, name, wave, place, "
		"from_number, to_number, since_s, text) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
		MLIMG_DB_VALUES(MLIMG_DB_NUMBER(number), MLIMG_DB_NUMBER(row->position),
			MLIMG_DB_TEXT(row->tenant_id), MLIMG_DB_TEXT(row->name),
			MLIMG_DB_NUMBER(row->wave),
			MLIMG_DB_TEXT(mlimg_rollout_place_name(row->place)),
			MLIMG_DB_NUMBER(row->from), MLIMG_DB_NUMBER(row->to),
			MLIMG_DB_NUMBER(mlimg_store_now()), MLIMG_DB_TEXT(row->text)),
		err);

	return ret < 0 ? ret : 0;
}

static int check_none_open(struct mlimg_store *s, struct mlimg_err *err)
{
	int64_t number;
	int ret = mlimg_db_get(s->db, "SELECT number FROM rollout WHERE ended_s IS NULL",
		MLIMG_DB_NO_VALUES, &number, err);

	if (ret > 0)
		return mlimg_store_fail(err, EBUSY,
			"rollout %lld has not ended: 'mlimg-upgrade resume' or 'mlimg-upgrade "
			"abort' ends it",
			(long long)number);
	return ret;
}

static int add(struct mlimg_store *s, const struct mlimg_rollout *r, int64_t *ret_number,
	struct mlimg_err *err)
{
	char policy[MLIMG_STORE_NAME_SIZE];
	int ret = check_none_open(s, err);

	if (ret == 0)
		ret = mlimg_db_run(s->db,
			"INSERT INTO rollout (undoes, target, state, policy, waves, at_once, "
			"health_s, max_failures, created_s) "
			"VALUES (nullif(?1, 0), ?2, 'running', ?3, ?4, ?5, ?6, ?7, ?8)",
			MLIMG_DB_VALUES(MLIMG_DB_NUMBER(r->undoes), MLIMG_DB_TEXT(r->target),
				MLIMG_DB_TEXT(mlimg_rollout_policy_text(r, policy)),
				MLIMG_DB_TEXT(r->waves), MLIMG_DB_NUMBER(r->at_once),
				MLIMG_DB_NUMBER(r->health_s), MLIMG_DB_NUMBER(r->max_failures),
				MLIMG_DB_NUMBER(mlimg_store_now())),
			err);
	if (ret >= 0)
		ret = mlimg_db_get(s->db, "SELECT max(number) FROM rollout", MLIMG_DB_NO_VALUES,
			ret_number, err);
	return ret < 0 ? ret : 0;
}

int mlimg_store_rollout_add(struct mlimg_store *s, struct mlimg_rollout *rollout,
	const struct mlimg_rollout_row *rows, uint32_t n, struct mlimg_err *err)
{
	int64_t number = 0;
	int ret = mlimg_db_begin(s->db, err);

	if (ret < 0)
		return ret;
	ret = add(s, rollout, &number, err);
	for (uint32_t i = 0; ret == 0 && i < n; i++)
		ret = insert_row(s, (uint32_t)number, &rows[i], err);
	ret = mlimg_db_finish(s->db, ret, err);
	if (ret == 0)
		rollout->number = (uint32_t)number;
	return ret;
}

static int no_rollout(uint32_t number, struct mlimg_err *err)
{
	return number ? mlimg_store_fail(err, ENOENT, "no rollout %u", number)
		      : mlimg_store_fail(err, ENOENT, "there has been no rollout");
}

int mlimg_store_rollout_get(struct mlimg_store *s, uint32_t number,
	struct mlimg_rollout *ret_rollout, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db,
		"SELECT " COLUMNS " FROM rollout WHERE ?1 IN (0, number) "
		"ORDER BY number DESC LIMIT 1",
		MLIMG_DB_VALUES(MLIMG_DB_NUMBER(number)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret == 0)
		return no_rollout(number, err);
	return ret < 0 ? ret : read_rollout(&rows, ret_rollout, err);
}

int mlimg_store_rollout_each(
	struct mlimg_store *s, mlimg_store_rollout_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db, "SELECT " COLUMNS " FROM rollout ORDER BY number DESC",
		MLIMG_DB_NO_VALUES, &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		struct mlimg_rollout rollout;

		ret = read_rollout(&rows, &rollout, err);
		if (ret == 0)
			ret = fn(&rollout, ctx, err);
	}
	return ret;
}

/* @return 0, -ENOENT where no row has been changed, other -errno */
static int changed(int ret, uint32_t number, struct mlimg_err *err)
{
	if (ret == 0)
		return no_rollout(number, err);
	return ret < 0 ? ret : 0;
}

int mlimg_store_rollout_set(
	struct mlimg_store *s, const struct mlimg_rollout *r, struct mlimg_err *err)
{
	bool has_ended = r->state == MLIMG_ROLLOUT_ENDED || r->state == MLIMG_ROLLOUT_ABORTED;

	return changed(
		mlimg_db_run(s->db,
			"UPDATE rollout SET state = ?2, request = '', max_failures = ?3, "
			"forgiven = ?4, ended_s = nullif(?5, 0) WHERE number = ?1",
			MLIMG_DB_VALUES(MLIMG_DB_NUMBER(r->number),
				MLIMG_DB_TEXT(mlimg_rollout_state_name(r->state)),
				MLIMG_DB_NUMBER(r->max_failures), MLIMG_DB_NUMBER(r->forgiven),
				MLIMG_DB_NUMBER(has_ended ? mlimg_store_now() : 0)),
			err),
		r->number, err);
}

int mlimg_store_rollout_ask(struct mlimg_store *s, uint32_t number,
	enum mlimg_rollout_request request, struct mlimg_err *err)
{
	return changed(
		mlimg_db_run(s->db, "UPDATE rollout SET request = ?2 WHERE number = ?1",
			MLIMG_DB_VALUES(MLIMG_DB_NUMBER(number), MLIMG_DB_TEXT(requests[request])),
			err),
		number, err);
}

int mlimg_store_rollout_asked(struct mlimg_store *s, uint32_t number,
	enum mlimg_rollout_request *ret_request, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db, "SELECT request FROM rollout WHERE number = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_NUMBER(number)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret == 1)
		*ret_request = request_of(mlimg_db_text(&rows, 0));
	return changed(ret, number, err);
}

static int read_rows(struct mlimg_db_rows *rows, struct mlimg_rollout_row *list, uint32_t n,
	uint32_t *ret_n, struct mlimg_err *err)
{
	int ret = 0;

	*ret_n = 0;
	while (ret == 0 && *ret_n < n && (ret = mlimg_db_next(rows, err)) == 1)
		ret = read_row(rows, &list[(*ret_n)++], err);
	return ret;
}

int mlimg_store_rollout_rows(struct mlimg_store *s, uint32_t number,
	struct mlimg_rollout_row **ret_rows, uint32_t *ret_n, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	mlimg_autofree struct mlimg_rollout_row *list = NULL;
	int64_t n = 0;
	int ret = mlimg_db_get(s->db, "SELECT count(*) FROM rollout_tenant WHERE rollout = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_NUMBER(number)), &n, err);

	if (ret < 0)
		return ret;
	list = calloc((size_t)n + 1, sizeof(*list));
	if (!list)
		return mlimg_err_set(err, ENOMEM, "read rollout %u", number);
	ret = mlimg_db_query(s->db,
		"SELECT " ROW_COLUMNS " FROM rollout_tenant WHERE rollout = ?1 ORDER BY position",
		MLIMG_DB_VALUES(MLIMG_DB_NUMBER(number)), &rows, err);
	if (ret == 0)
		ret = read_rows(&rows, list, (uint32_t)n, ret_n, err);
	if (ret == 0)
		*ret_rows = mlimg_steal(&list);
	return ret;
}

int mlimg_store_rollout_row(struct mlimg_store *s, uint32_t number, const char *tenant_id,
	struct mlimg_rollout_row *ret_row, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db,
		"SELECT " ROW_COLUMNS " FROM rollout_tenant WHERE rollout = ?1 AND tenant_id = ?2",
		MLIMG_DB_VALUES(MLIMG_DB_NUMBER(number), MLIMG_DB_TEXT(tenant_id)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret == 0)
		return mlimg_store_fail(
			err, ENOENT, "tenant %s is not in rollout %u", tenant_id, number);
	return ret < 0 ? ret : read_row(&rows, ret_row, err);
}

int mlimg_store_rollout_row_set(struct mlimg_store *s, uint32_t number,
	const struct mlimg_rollout_row *row, struct mlimg_err *err)
{
	return changed(
		mlimg_db_run(s->db,
			"UPDATE rollout_tenant SET place = ?3, is_lost = ?4, attempt = ?5, "
			"since_s = ?6, baseline = ?7, text = ?8, boot = ?9 "
			"WHERE rollout = ?1 AND position = ?2",
			MLIMG_DB_VALUES(MLIMG_DB_NUMBER(number), MLIMG_DB_NUMBER(row->position),
				MLIMG_DB_TEXT(mlimg_rollout_place_name(row->place)),
				MLIMG_DB_NUMBER(row->is_lost), MLIMG_DB_NUMBER(row->attempt),
				MLIMG_DB_NUMBER(row->since_s), MLIMG_DB_TEXT(row->baseline),
				MLIMG_DB_TEXT(row->text), MLIMG_DB_TEXT(row->boot)),
			err),
		number, err);
}

int mlimg_store_rollout_forget(struct mlimg_store *s, uint32_t number, struct mlimg_err *err)
{
	struct mlimg_rollout rollout;
	int ret = mlimg_store_rollout_get(s, number, &rollout, err);

	if (ret < 0)
		return ret;
	ret = mlimg_db_run(s->db, "DELETE FROM rollout WHERE number = ?1 AND ended_s IS NOT NULL",
		MLIMG_DB_VALUES(MLIMG_DB_NUMBER(number)), err);
	if (ret == 0)
		return mlimg_store_fail(err, EBUSY, "rollout %u has not ended", number);
	return ret < 0 ? ret : 0;
}

int mlimg_store_tenant_name(struct mlimg_store *s, const char *id,
	char ret_name[MLIMG_STORE_NAME_SIZE], struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db, "SELECT name FROM tenant WHERE id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret != 1)
		return ret;
	ret = mlimg_db_copy(&rows, 0, ret_name, MLIMG_STORE_NAME_SIZE, err);
	return ret < 0 ? ret : 1;
}
