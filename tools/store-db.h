/* SPDX-License-Identifier: MIT */
/**
 * @file store-db.h
 * A cover over SQLite, for the store: what it takes of it, with our errors. Nothing else includes
 * SQLite. Statements are prepared once and kept as long as the database is open; who writes waits
 * for others who do.
 *
 * Sources: https://www.sqlite.org/c3ref/intro.html, .../wal.html, .../pragma.html, .../rescode.html
 *
 * A database is for one thread and one process: it must not be used after fork(2).
 */
#ifndef MLIMG_TOOLS_STORE_DB_H
#define MLIMG_TOOLS_STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/err.h"

/**
 * How long to wait for others who write. Nobody holds the database while he copies or reads an
 * image, so this is long already.
 */
#define MLIMG_DB_BUSY_MS 30000

/** A database. */
struct mlimg_db;

/** How to open one. */
enum mlimg_db_access {
	/** it must be there; on a full disk it can be read, by one after the other */
	MLIMG_DB_WRITE,
	MLIMG_DB_CREATE, /**< made when it is not there */
	/** on a file system that nobody can write: without the files that SQLite has beside it */
	MLIMG_DB_FROZEN,
};

/** A value for a statement. */
struct mlimg_db_value {
	const char *text; /**< or NULL; must live as long as the statement runs */
	int64_t number;   /**< when @p text is NULL */
	bool is_null;
};

#define MLIMG_DB_TEXT(t)    \
	{                   \
		.text = (t) \
	}
#define MLIMG_DB_NUMBER(n)             \
	{                              \
		.number = (int64_t)(n) \
	}
#define MLIMG_DB_NULL           \
	{                       \
		.is_null = true \
	}

/** @p t, or NULL where it is empty. */
#define MLIMG_DB_TEXT_OR_NULL(t)                                       \
	{                                                              \
		.text = (t)[0] ? (t) : NULL, .is_null = (t)[0] == '\0' \
	}

/** The values of ?1, ?2 and so on, in place of the parameters values and n_values. */
#define MLIMG_DB_VALUES(...)                                           \
	((const struct mlimg_db_value[]){__VA_ARGS__}),                \
		sizeof((const struct mlimg_db_value[]){__VA_ARGS__}) / \
		sizeof(struct mlimg_db_value)

#define MLIMG_DB_NO_VALUES NULL, 0 /**< of a statement without any */

/** The rows of a query. */
struct mlimg_db_rows {
	struct mlimg_db *db;
	void *statement;   /**< private */
	bool is_temporary; /**< private */
};

/**
 * Open a database; foreign keys are enforced, and each commit is on stable storage.
 *
 * @param path    the file
 * @param access  how
 * @param ret_db  mlimg_db_close() it
 * @param err     names the file; refused is what is no database, or damaged
 * @return        0, -EUCLEAN, other -errno
 */
int mlimg_db_open(const char *path, enum mlimg_db_access access, struct mlimg_db **ret_db,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Close it; what has not been committed is gone. Accepts NULL. */
void mlimg_db_close(struct mlimg_db *db);
MLIMG_DEFINE_CLEANUP(struct mlimg_db, mlimg_db_close)
#define mlimg_autodb mlimg_cleanup(mlimg_db_close_cleanup) /**< mlimg_db_close() */

/**
 * Run statements that have neither values nor rows, one after the other.
 *
 * @param db   the database
 * @param sql  separated by semicolons
 * @param err  names the database
 * @return     0 or -errno
 */
int mlimg_db_script(struct mlimg_db *db, const char *sql, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Begin a query.
 *
 * @param db        the database
 * @param sql       one statement; must live as long as @p db
 * @param values    of its parameters
 * @param n_values  their number; MLIMG_DB_VALUES() is both
 * @param ret_rows  mlimg_db_end() when done, also after a failure
 * @param err       names the database
 * @return          0 or -errno
 */
int mlimg_db_query(struct mlimg_db *db, const char *sql, const struct mlimg_db_value *values,
	size_t n_values, struct mlimg_db_rows *ret_rows, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Go to the next row, or the first. @return 1, 0 when there is none, -errno */
int mlimg_db_next(struct mlimg_db_rows *rows, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return a number of the row, 0 for NULL */
int64_t mlimg_db_number(const struct mlimg_db_rows *rows, int column);

/** @return a text of the row, "" for NULL; valid until the next row */
const char *mlimg_db_text(const struct mlimg_db_rows *rows, int column);

/**
 * Copy a text of the row. One that does not fit was not written by the store: refused.
 *
 * @param rows       at a row
 * @param column     from 0
 * @param ret_field  NUL-terminated; "" for NULL
 * @param size       its bytes
 * @param err        names the database
 * @return           0, -EUCLEAN
 */
int mlimg_db_copy(const struct mlimg_db_rows *rows, int column, char *ret_field, size_t size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** End a query; accepts a zeroed one, and may be called twice. */
void mlimg_db_end(struct mlimg_db_rows *rows);
#define mlimg_autorows mlimg_cleanup(mlimg_db_end) /**< mlimg_db_end() */

/**
 * Run a statement that changes something.
 *
 * @param db        the database
 * @param sql       as mlimg_db_query()
 * @param values    as mlimg_db_query()
 * @param n_values  as mlimg_db_query()
 * @param err       names the database; -EEXIST: a constraint does not allow it
 * @return          rows that it changed, -errno
 */
int mlimg_db_run(struct mlimg_db *db, const char *sql, const struct mlimg_db_value *values,
	size_t n_values, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The number that a query gives in its first row.
 *
 * @param db          the database
 * @param sql         as mlimg_db_query()
 * @param values      as mlimg_db_query()
 * @param n_values    as mlimg_db_query()
 * @param ret_number  untouched where there is no row
 * @param err         names the database
 * @return            1, 0 when there is no row, -errno
 */
int mlimg_db_get(struct mlimg_db *db, const char *sql, const struct mlimg_db_value *values,
	size_t n_values, int64_t *ret_number, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Begin a transaction that will write; one within another is a part of it that can be taken back by
 * itself. Others who write wait from here on.
 *
 * @return 0 or -errno
 */
int mlimg_db_begin(struct mlimg_db *db, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Begin a transaction that only reads: what it reads is of one moment, and nobody waits. Ends as
 * others do; what it lies within may write.
 *
 * @return 0 or -errno
 */
int mlimg_db_begin_reading(struct mlimg_db *db, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * End a transaction.
 *
 * @param db   the database, in a transaction
 * @param ret  0 commits, a negative one takes back
 * @param err  kept when @p ret is negative
 * @return     @p ret; -errno when it could not be committed, and has been taken back
 */
int mlimg_db_finish(struct mlimg_db *db, int ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether a transaction has begun */
bool mlimg_db_is_busy(const struct mlimg_db *db);

#endif
