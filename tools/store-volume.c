/* SPDX-License-Identifier: MIT */
/* What has been put on hosts (store-host.h). */
#include <errno.h>
#include <stdlib.h>

#include "libmlimg/arena.h"
#include "tools/store-host.h"
#include "tools/store-impl.h"

#define COLUMNS "name, digest, size_bytes, mark, checked_s"

static int read_volume(const struct mlimg_db_rows *rows, struct mlimg_store_volume *ret_volume,
	struct mlimg_err *err)
{
	struct mlimg_store_volume v = {.size_bytes = (uint64_t)mlimg_db_number(rows, 2),
		.checked_s = mlimg_db_number(rows, 4)};
	int ret = mlimg_db_copy(rows, 0, v.name, sizeof(v.name), err);

	if (ret == 0)
		ret = mlimg_db_copy(rows, 1, v.digest, sizeof(v.digest), err);
	if (ret == 0)
		ret = mlimg_db_copy(rows, 3, v.mark, sizeof(v.mark), err);
	if (ret == 0)
		*ret_volume = v;
	return ret;
}

int mlimg_store_volume_get(struct mlimg_store *s, const char *host, const char *name,
	struct mlimg_store_volume *ret_volume, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db,
		"SELECT " COLUMNS " FROM volume WHERE host = ?1 AND name = ?2",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(host), MLIMG_DB_TEXT(name)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret <= 0)
		return ret;
	ret = read_volume(&rows, ret_volume, err);
	return ret < 0 ? ret : 1;
}

int mlimg_store_volume_set(struct mlimg_store *s, const char *host,
	const struct mlimg_store_volume *volume, struct mlimg_err *err)
{
	int ret = mlimg_db_run(s->db,
		"INSERT OR REPLACE INTO volume (host, " COLUMNS ") "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(host), MLIMG_DB_TEXT(volume->name),
			MLIMG_DB_TEXT(volume->digest), MLIMG_DB_NUMBER(volume->size_bytes),
			MLIMG_DB_TEXT(volume->mark), MLIMG_DB_NUMBER(mlimg_store_now())),
		err);

	return ret < 0 ? ret : 0;
}

int mlimg_store_volume_forget(
	struct mlimg_store *s, const char *host, const char *name, struct mlimg_err *err)
{
	int ret = mlimg_db_run(s->db, "DELETE FROM volume WHERE host = ?1 AND name = ?2",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(host), MLIMG_DB_TEXT(name)), err);

	return ret < 0 ? ret : 0;
}

int mlimg_store_volume_each(struct mlimg_store *s, const char *host, mlimg_store_volume_fn *fn,
	void *ctx, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	struct mlimg_store_volume volume;
	int ret = mlimg_db_query(s->db,
		"SELECT " COLUMNS " FROM volume WHERE host = ?1 ORDER BY name",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(host)), &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		ret = read_volume(&rows, &volume, err);
		if (ret == 0)
			ret = fn(&volume, ctx, err);
	}
	return ret;
}

/* A layer's volume is named by its build id, a user disk's by its tenant's id (libvirt-pool.h). */
#define UNUSED                                                                                  \
	"SELECT " COLUMNS " FROM volume WHERE host = ?1 AND name NOT LIKE '%.qcow2' "           \
	"AND NOT EXISTS (SELECT 1 FROM generation_layer l JOIN tenant t ON t.id = l.tenant_id " \
	"WHERE t.host = ?1 AND volume.name = l.build_id || '.img') ORDER BY name"

int mlimg_store_volume_unused(struct mlimg_store *s, const char *host,
	struct mlimg_store_volume **ret_volumes, size_t *ret_n, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	mlimg_autofree struct mlimg_store_volume *volumes = NULL;
	size_t n = 0, room = 0;
	int ret = mlimg_db_query(s->db, UNUSED, MLIMG_DB_VALUES(MLIMG_DB_TEXT(host)), &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		if (mlimg_buffer_reserve(&volumes, &room, (n + 1) * sizeof(*volumes)) < 0)
			return mlimg_err_set(err, ENOMEM, "volumes of host '%s'", host);
		ret = read_volume(&rows, &volumes[n++], err);
	}
	if (ret < 0)
		return ret;
	*ret_volumes = mlimg_steal(&volumes);
	*ret_n = n;
	return 0;
}
