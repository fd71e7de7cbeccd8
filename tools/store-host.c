/* SPDX-License-Identifier: MIT */
/* Hosts of tenants. */
#include "tools/store-host.h"

#include <errno.h>
#include <string.h>

#include "tools/store-impl.h"

#define COLUMNS                                                             \
	"host.name, host.uri, host.pool_path, host.network, host.added_s, " \
	"(SELECT count(*) FROM tenant AS there WHERE there.host = host.name) "

static int read_host(
	const struct mlimg_db_rows *rows, struct mlimg_store_host *ret_host, struct mlimg_err *err)
{
	struct mlimg_store_host h = {.added_s = mlimg_db_number(rows, 4),
		.n_tenants = (uint32_t)mlimg_db_number(rows, 5)};
	int ret = mlimg_db_copy(rows, 0, h.name, sizeof(h.name), err);

	if (ret == 0)
		ret = mlimg_db_copy(rows, 1, h.uri, sizeof(h.uri), err);
	if (ret == 0)
		ret = mlimg_db_copy(rows, 2, h.pool_path, sizeof(h.pool_path), err);
	if (ret == 0)
		ret = mlimg_db_copy(rows, 3, h.network, sizeof(h.network), err);
	if (ret == 0)
		*ret_host = h;
	return ret;
}

/* @return 1 and the host, 0, -errno */
static int find(struct mlimg_store *s, const char *sql, const char *key,
	struct mlimg_store_host *ret_host, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db, sql, MLIMG_DB_VALUES(MLIMG_DB_TEXT(key)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret <= 0)
		return ret;
	ret = read_host(&rows, ret_host, err);
	return ret < 0 ? ret : 1;
}

static int find_name(struct mlimg_store *s, const char *name, struct mlimg_store_host *ret_host,
	struct mlimg_err *err)
{
	return find(s, "SELECT " COLUMNS "FROM host WHERE name = ?1", name, ret_host, err);
}

int mlimg_store_host_of_uri(struct mlimg_store *s, const char *uri,
	struct mlimg_store_host *ret_host, struct mlimg_err *err)
{
	return find(s, "SELECT " COLUMNS "FROM host WHERE uri = ?1", uri, ret_host, err);
}

int mlimg_store_host_of_tenant(struct mlimg_store *s, const char *id,
	struct mlimg_store_host *ret_host, struct mlimg_err *err)
{
	return find(s,
		"SELECT " COLUMNS
		"FROM host JOIN tenant ON tenant.host = host.name WHERE tenant.id = ?1",
		id, ret_host, err);
}

int mlimg_store_host_find(struct mlimg_store *s, const char *name,
	struct mlimg_store_host *ret_host, struct mlimg_err *err)
{
	int ret = find_name(s, name, ret_host, err);

	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no host '%.100s'", name);
	return ret < 0 ? ret : 0;
}

static int check_free(
	struct mlimg_store *s, const struct mlimg_store_host *host, struct mlimg_err *err)
{
	struct mlimg_store_host there;
	int ret = find_name(s, host->name, &there, err);

	if (ret == 1)
		return mlimg_store_fail(
			err, EEXIST, "there is a host '%s' already: %s", there.name, there.uri);
	if (ret == 0)
		ret = mlimg_store_host_of_uri(s, host->uri, &there, err);
	if (ret == 1)
		return mlimg_store_fail(
			err, EEXIST, "'%.200s' is host '%s' already", there.uri, there.name);
	return ret;
}

static int insert(struct mlimg_store *s, const struct mlimg_store_host *host, struct mlimg_err *err)
{
	int ret = check_free(s, host, err);

	if (ret < 0)
		return ret;
	ret = mlimg_db_run(s->db,
		"INSERT INTO host (name, uri, pool_path, network, added_s) "
		"VALUES (?1, ?2, ?3, ?4, ?5)",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(host->name), MLIMG_DB_TEXT(host->uri),
			MLIMG_DB_TEXT(host->pool_path), MLIMG_DB_TEXT(host->network),
			MLIMG_DB_NUMBER(mlimg_store_now())),
		err);
	return ret < 0 ? ret : 0;
}

int mlimg_store_host_add(
	struct mlimg_store *s, const struct mlimg_store_host *host, struct mlimg_err *err)
{
	int ret;

	if (!mlimg_store_name_is_valid(host->name))
		return mlimg_err_usage(err,
			"'%.100s' cannot be a host's name (1 to %d letters, digits and ._-, the "
			"first a letter or digit)",
			host->name, MLIMG_STORE_NAME_SIZE - 1);
	ret = mlimg_db_begin(s->db, err);
	return ret < 0 ? ret : mlimg_db_finish(s->db, insert(s, host, err), err);
}

int mlimg_store_host_each(
	struct mlimg_store *s, mlimg_store_host_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	struct mlimg_store_host host;
	int ret = mlimg_db_query(s->db, "SELECT " COLUMNS "FROM host ORDER BY host.name",
		MLIMG_DB_NO_VALUES, &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		ret = read_host(&rows, &host, err);
		if (ret == 0)
			ret = fn(&host, ctx, err);
	}
	return ret;
}

static int check_unused(struct mlimg_store *s, const char *name, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db,
		"SELECT name, (SELECT count(*) FROM tenant WHERE host = ?1) "
		"FROM tenant WHERE host = ?1 ORDER BY name LIMIT 1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(name)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret <= 0)
		return ret;
	if (mlimg_db_number(&rows, 1) > 1)
		return mlimg_store_fail(err, EBUSY, "host '%.100s' runs tenant '%s' and %lld more",
			name, mlimg_db_text(&rows, 0), (long long)mlimg_db_number(&rows, 1) - 1);
	return mlimg_store_fail(
		err, EBUSY, "host '%.100s' runs tenant '%s'", name, mlimg_db_text(&rows, 0));
}

static int remove_row(struct mlimg_store *s, const char *name, struct mlimg_err *err)
{
	int ret = check_unused(s, name, err);

	if (ret == 0)
		ret = mlimg_db_run(s->db, "DELETE FROM host WHERE name = ?1",
			MLIMG_DB_VALUES(MLIMG_DB_TEXT(name)), err);
	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no host '%.100s'", name);
	return ret < 0 ? ret : 0;
}

int mlimg_store_host_remove(struct mlimg_store *s, const char *name, struct mlimg_err *err)
{
	int ret = mlimg_db_begin(s->db, err);

	return ret < 0 ? ret : mlimg_db_finish(s->db, remove_row(s, name, err), err);
}

static int set_row(struct mlimg_store *s, const char *id, const char *host, struct mlimg_err *err)
{
	struct mlimg_store_host there;
	int ret = host ? mlimg_store_host_find(s, host, &there, err) : 0;

	if (ret < 0)
		return ret;
	ret = mlimg_db_run(s->db, "UPDATE tenant SET host = ?2 WHERE id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id), MLIMG_DB_TEXT_OR_NULL(host ? host : "")), err);
	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no tenant %s", id);
	return ret < 0 ? ret : 0;
}

int mlimg_store_host_set(
	struct mlimg_store *s, const char *id, const char *host, struct mlimg_err *err)
{
	int ret = mlimg_db_begin(s->db, err);

	return ret < 0 ? ret : mlimg_db_finish(s->db, set_row(s, id, host, err), err);
}
