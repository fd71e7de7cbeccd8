/* SPDX-License-Identifier: MIT */
/* SQLite's conventions as ours. */
#include "tools/store-db.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/text.h"

#define STATEMENTS_MAX 64 /* more than the store has */

struct mlimg_db {
	sqlite3 *sqlite;
	char *path;
	unsigned depth; /* transactions within each other */
	size_t n_kept;
	struct {
		const char *sql;
		sqlite3_stmt *statement;
	} kept[STATEMENTS_MAX];
};

/* SQLite tells what the system said only of some errors. */
static int system_error(const struct mlimg_db *db, int otherwise)
{
	int code = sqlite3_system_errno(db->sqlite);

	return code ? code : otherwise;
}

static int fail(const struct mlimg_db *db, int code, struct mlimg_err *err)
{
	const char *path = db->path, *why = sqlite3_errmsg(db->sqlite);

	switch (code & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return mlimg_err_refuse(err, "database '%.300s' is damaged: %s", path, why);
	case SQLITE_CONSTRAINT:
		return mlimg_err_set(err, EEXIST, "database '%.300s': %s", path, why);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return mlimg_err_set(
			err, EBUSY, "database '%.300s' is used by another program", path);
	case SQLITE_NOMEM: return mlimg_err_set(err, ENOMEM, "database '%.300s'", path);
	case SQLITE_FULL: return mlimg_err_set(err, ENOSPC, "write database '%.300s'", path);
	case SQLITE_READONLY:
		return mlimg_err_set(err, code == SQLITE_READONLY_DIRECTORY ? EACCES : EROFS,
			"write database '%.300s'", path);
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
		return mlimg_err_set(err, system_error(db, EIO), "database '%.300s'", path);
	default: return mlimg_err_set(err, 0, "database '%.300s': %s", path, why);
	}
}

/* A name of the file in which nothing has a meaning: https://www.sqlite.org/uri.html */
static char *frozen_uri(const char *path)
{
	struct mlimg_text uri = {.data = NULL};
	char code[4];

	mlimg_text_put(&uri, "file:", 5);
	for (; *path; path++) {
		if (strchr("%?#", *path)) {
			snprintf(code, sizeof(code), "%%%02x", (unsigned char)*path);
			mlimg_text_put(&uri, code, 3);
		} else {
			mlimg_text_put(&uri, path, 1);
		}
	}
	mlimg_text_put(&uri, "?immutable=1", 12);
	if (!uri.has_failed)
		return uri.data;
	free(uri.data);
	return NULL;
}

static int open_file(struct mlimg_db *db, enum mlimg_db_access access, struct mlimg_err *err)
{
	static const int flags[] = {
		[MLIMG_DB_WRITE] = SQLITE_OPEN_READWRITE,
		[MLIMG_DB_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
		[MLIMG_DB_FROZEN] = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
	};
	mlimg_autofree char *uri = access == MLIMG_DB_FROZEN ? frozen_uri(db->path) : NULL;
	int code;

	if (access == MLIMG_DB_FROZEN && !uri)
		return mlimg_err_set(err, ENOMEM, "open '%s'", db->path);
	code = sqlite3_open_v2(uri ? uri : db->path, &db->sqlite,
		flags[access] | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (!db->sqlite)
		return mlimg_err_set(err, ENOMEM, "open '%s'", db->path);
	if (code != SQLITE_OK)
		return fail(db, code, err);
	/* Where it cannot be written SQLite opens it for reading, and says so only later. */
	if (access != MLIMG_DB_FROZEN && sqlite3_db_readonly(db->sqlite, "main") == 1)
		return mlimg_err_set(err, EACCES, "write database '%.300s'", db->path);
	return 0;
}

/* Whoever reads needs a file beside the database, which is shared memory, and has to be made by the first. */
static bool has_no_room(struct mlimg_db *db)
{
	int code =
		sqlite3_exec(db->sqlite, "SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL);

	return (code & 0xff) == SQLITE_FULL ||
		((code & 0xff) == SQLITE_IOERR && sqlite3_system_errno(db->sqlite) == ENOSPC);
}

/* Who has the database alone needs no memory to share (https://www.sqlite.org/wal.html#noshm). */
static int open_alone(struct mlimg_db *db, enum mlimg_db_access access, struct mlimg_err *err)
{
	int ret;

	sqlite3_close(db->sqlite);
	db->sqlite = NULL;
	ret = open_file(db, access, err);
	if (ret < 0)
		return ret;
	sqlite3_busy_timeout(db->sqlite, MLIMG_DB_BUSY_MS);
	return mlimg_db_script(db, "PRAGMA locking_mode = EXCLUSIVE", err);
}

int mlimg_db_open(const char *path, enum mlimg_db_access access, struct mlimg_db **ret_db,
	struct mlimg_err *err)
{
	mlimg_autodb struct mlimg_db *db = calloc(1, sizeof(*db));
	int ret;

	if (!db || !(db->path = strdup(path)))
		return mlimg_err_set(err, ENOMEM, "open '%s'", path);
	ret = open_file(db, access, err);
	if (ret < 0)
		return ret;
	sqlite3_busy_timeout(db->sqlite, MLIMG_DB_BUSY_MS);
	if (access == MLIMG_DB_WRITE && has_no_room(db))
		ret = open_alone(db, access, err);
	if (ret < 0)
		return ret;
	/* What somebody else put into the file runs nothing. */
	sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	ret = mlimg_db_script(db,
		"PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;",
		err);
	if (ret == 0)
		*ret_db = mlimg_steal(&db);
	return ret;
}

void mlimg_db_close(struct mlimg_db *db)
{
	if (!db)
		return;
	for (size_t i = 0; i < db->n_kept; i++)
		sqlite3_finalize(db->kept[i].statement);
	sqlite3_close(db->sqlite);
	free(db->path);
	free(db);
}

int mlimg_db_script(struct mlimg_db *db, const char *sql, struct mlimg_err *err)
{
	int code = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : fail(db, code, err);
}

/* A statement that is kept, and not under way: a query within its own rows needs another one. */
static sqlite3_stmt *find_kept(const struct mlimg_db *db, const char *sql, bool *ret_is_known)
{
	*ret_is_known = false;
	for (size_t i = 0; i < db->n_kept; i++) {
		if (strcmp(db->kept[i].sql, sql) != 0)
			continue;
		*ret_is_known = true;
		if (!sqlite3_stmt_busy(db->kept[i].statement))
			return db->kept[i].statement;
	}
	return NULL;
}

static int prepare(struct mlimg_db_rows *rows, const char *sql, struct mlimg_err *err)
{
	struct mlimg_db *db = rows->db;
	sqlite3_stmt *statement;
	bool is_known;
	int code;

	rows->statement = find_kept(db, sql, &is_known);
	if (rows->statement)
		return 0;
	code = sqlite3_prepare_v3(db->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
	if (code != SQLITE_OK)
		return fail(db, code, err);
	rows->statement = statement;
	rows->is_temporary = is_known || db->n_kept == STATEMENTS_MAX;
	if (!rows->is_temporary) {
		db->kept[db->n_kept].sql = sql;
		db->kept[db->n_kept++].statement = statement;
	}
	return 0;
}

static int bind(sqlite3_stmt *statement, int i, const struct mlimg_db_value *value)
{
	if (value->is_null)
		return sqlite3_bind_null(statement, i);
	if (value->text)
		return sqlite3_bind_text(statement, i, value->text, -1, SQLITE_STATIC);
	return sqlite3_bind_int64(statement, i, value->number);
}

int mlimg_db_query(struct mlimg_db *db, const char *sql, const struct mlimg_db_value *values,
	size_t n_values, struct mlimg_db_rows *ret_rows, struct mlimg_err *err)
{
	int ret;

	*ret_rows = (struct mlimg_db_rows){.db = db};
	ret = prepare(ret_rows, sql, err);
	for (size_t i = 0; ret == 0 && i < n_values; i++) {
		int code = bind(ret_rows->statement, (int)i + 1, &values[i]);

		if (code != SQLITE_OK)
			ret = fail(db, code, err);
	}
	return ret;
}

int mlimg_db_next(struct mlimg_db_rows *rows, struct mlimg_err *err)
{
	int code = sqlite3_step(rows->statement);

	if (code == SQLITE_ROW)
		return 1;
	return code == SQLITE_DONE ? 0 : fail(rows->db, code, err);
}

int64_t mlimg_db_number(const struct mlimg_db_rows *rows, int column)
{
	return sqlite3_column_int64(rows->statement, column);
}

const char *mlimg_db_text(const struct mlimg_db_rows *rows, int column)
{
	const char *text = (const char *)sqlite3_column_text(rows->statement, column);

	return text ? text : "";
}

int mlimg_db_copy(const struct mlimg_db_rows *rows, int column, char *ret_field, size_t size,
	struct mlimg_err *err)
{
	const char *text = mlimg_db_text(rows, column);

	if (strlen(text) >= size)
		return mlimg_err_refuse(err, "database '%.300s' is damaged: %s is too long",
			rows->db->path, sqlite3_column_name(rows->statement, column));
	strcpy(ret_field, text);
	return 0;
}

void mlimg_db_end(struct mlimg_db_rows *rows)
{
	if (!rows->statement)
		return;
	if (rows->is_temporary) {
		sqlite3_finalize(rows->statement);
	} else {
		sqlite3_reset(rows->statement);
		sqlite3_clear_bindings(rows->statement);
	}
	rows->statement = NULL;
}

int mlimg_db_run(struct mlimg_db *db, const char *sql, const struct mlimg_db_value *values,
	size_t n_values, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(db, sql, values, n_values, &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) > 0)
		ret = 0;
	return ret < 0 ? ret : sqlite3_changes(db->sqlite);
}

int mlimg_db_get(struct mlimg_db *db, const char *sql, const struct mlimg_db_value *values,
	size_t n_values, int64_t *ret_number, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(db, sql, values, n_values, &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret == 1)
		*ret_number = mlimg_db_number(&rows, 0);
	return ret;
}

static int begin(struct mlimg_db *db, const char *outermost, struct mlimg_err *err)
{
	int ret = mlimg_db_script(db, db->depth ? "SAVEPOINT inner" : outermost, err);

	if (ret == 0)
		db->depth++;
	return ret;
}

int mlimg_db_begin(struct mlimg_db *db, struct mlimg_err *err)
{
	/* IMMEDIATE: who writes waits here, and never later, when it could not be taken up again. */
	return begin(db, "BEGIN IMMEDIATE", err);
}

int mlimg_db_begin_reading(struct mlimg_db *db, struct mlimg_err *err)
{
	return begin(db, "BEGIN", err);
}

static void take_back(struct mlimg_db *db)
{
	/* After some errors SQLite has done so already. */
	if (db->depth == 0 && !sqlite3_get_autocommit(db->sqlite))
		sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
	else if (db->depth && !sqlite3_get_autocommit(db->sqlite))
		sqlite3_exec(db->sqlite, "ROLLBACK TO inner; RELEASE inner", NULL, NULL, NULL);
}

int mlimg_db_finish(struct mlimg_db *db, int ret, struct mlimg_err *err)
{
	db->depth--;
	if (ret == 0)
		ret = mlimg_db_script(db, db->depth ? "RELEASE inner" : "COMMIT", err);
	if (ret < 0)
		take_back(db);
	return ret;
}

bool mlimg_db_is_busy(const struct mlimg_db *db)
{
	return db->depth > 0;
}
