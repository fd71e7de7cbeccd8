/* SPDX-License-Identifier: MIT */
/**
 * @file store-impl.h
 * What the parts of the store (store.h) share; for nobody else but their tests.
 */
#ifndef MLIMG_TOOLS_STORE_IMPL_H
#define MLIMG_TOOLS_STORE_IMPL_H

#include "tools/store-db.h"
#include "tools/store.h"

#define MLIMG_STORE_TOKEN_SIZE 33 /**< of an operation's token, NUL included */
#define MLIMG_STORE_FILE_SIZE 80  /**< of the name of a file in the store's directories */
#define MLIMG_STORE_DB "store.db" /**< the database's name */

/** Directories of a store. */
enum mlimg_store_place {
	MLIMG_STORE_LAYERS,
	MLIMG_STORE_TENANTS,
	MLIMG_STORE_INDEXES,
	MLIMG_STORE_INCOMING,
	MLIMG_STORE_REMOVED,
	MLIMG_STORE_BASES,
	MLIMG_STORE_PLACES,
};

/** Names and modes of them. */
extern const struct mlimg_store_dir {
	const char *name;
	uint32_t mode;
} mlimg_store_dirs[MLIMG_STORE_PLACES];

/** A store. */
struct mlimg_store {
	char *dir;
	int dir_fd;
	int lock_fd; /**< lock; -1 where it cannot be written */
	int fds[MLIMG_STORE_PLACES];
	struct mlimg_db *db;
	const char *const *schema; /**< what makes each schema of the one before it */
	size_t n_schema;           /**< their number; that of the newest schema */
	bool is_frozen;            /**< nobody can write it */
};

/** What is done to the directory. */
enum mlimg_store_work {
	MLIMG_STORE_ADD_LAYER,
	MLIMG_STORE_REMOVE_LAYER,
	MLIMG_STORE_ADD_TENANT,
	MLIMG_STORE_REMOVE_TENANT,
	MLIMG_STORE_LINK_DISK,
	MLIMG_STORE_READ_DISK, /**< a copy for a while; never announced */
};

/** An operation that this process does. Initialise with MLIMG_STORE_OP_INIT. */
struct mlimg_store_op {
	struct mlimg_store *store;
	enum mlimg_store_work work;
	char token[MLIMG_STORE_TOKEN_SIZE];
	char object_id[MLIMG_SHA256_HEX_SIZE];
	int lock_fd;
};

#define MLIMG_STORE_OP_INIT   \
	{                     \
		.lock_fd = -1 \
	}

/**
 * Set an error without strerror()'s text, for what says it all itself.
 *
 * @param err   where to put it; may be NULL
 * @param code  positive errno value
 * @param fmt   printf format
 * @return      -@p code
 */
int mlimg_store_fail(struct mlimg_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4))) MLIMG_MUST_CHECK;

/** @return seconds since 1970 */
int64_t mlimg_store_now(void);

/** Think of an id: 32 hexadecimal digits. @return 0 or -errno */
int mlimg_store_random_id(char ret_id[MLIMG_STORE_ID_SIZE], struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether it is @p n digits as ids have them, and nothing else */
bool mlimg_store_is_hex(const char *text, size_t n);

/** The name of a layer's image in its directory. @return @p ret_name */
const char *mlimg_store_image_name(const char *build_id, char ret_name[MLIMG_STORE_FILE_SIZE]);

/** Have a directory of the store written out. @return 0 or -errno */
int mlimg_store_sync(struct mlimg_store *store, enum mlimg_store_place place,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/* Schema (store-schema.c). */

/** What makes each schema of the one before it; the first of nothing. */
extern const char *const mlimg_store_schema[];
extern const size_t mlimg_store_schema_n; /**< number of the newest schema */

/** What a database is to a program. */
enum mlimg_store_state {
	MLIMG_STORE_BLANK, /**< nothing is in it yet */
	MLIMG_STORE_OLDER, /**< of a schema that can be made newer */
	MLIMG_STORE_READY,
};

/**
 * Look what a database is. Refused: another program's; one of a newer schema than @p newest.
 *
 * @param db         the database
 * @param path       its name, for messages
 * @param newest     number of the schema that is wanted
 * @param ret_state  what it is
 * @param err        names the database
 * @return           0, -EUCLEAN, other -errno
 */
int mlimg_store_schema_look(struct mlimg_db *db, const char *path, size_t newest,
	enum mlimg_store_state *ret_state, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Bring a database to the newest of some schemas, each step in a transaction of its own. No other
 * program may have it open.
 *
 * @param db     the database
 * @param steps  what makes each schema
 * @param n      their number
 * @param err    names the database
 * @return       0 or -errno
 */
int mlimg_store_schema_bring(struct mlimg_db *db, const char *const steps[], size_t n,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** mlimg_store_open() as of a program with these schemas. Parameters as there, and of bring(). */
int mlimg_store_open_schema(const char *dir, enum mlimg_store_access access,
	const char *const schema[], size_t n_schema, struct mlimg_store **ret_store,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/* Operations (store-op.c). */

/**
 * Begin one: make its token's lock. Nobody else knows of it before mlimg_store_op_announce().
 *
 * @param store      the store, not in a transaction
 * @param work       what will be done
 * @param object_id  to what; copied
 * @param ret_op     initialised; mlimg_store_op_end() when done, whatever came of it
 * @param err        names the lock
 * @return           0 or -errno
 */
int mlimg_store_op_begin(struct mlimg_store *store, enum mlimg_store_work work,
	const char *object_id, struct mlimg_store_op *ret_op,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Write its row. */
int mlimg_store_op_announce(struct mlimg_store_op *op, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Remove its row, in the transaction of the step that counts. */
int mlimg_store_op_finish(struct mlimg_store_op *op, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * End it: what is still there of it is taken back, or ended where its object has no row any more;
 * the lock is removed. What cannot be done now is done by whoever opens the store next. Accepts an
 * initialised one.
 */
void mlimg_store_op_end(struct mlimg_store_op *op);
#define mlimg_autoop mlimg_cleanup(mlimg_store_op_end) /**< mlimg_store_op_end() */

/**
 * End all operations of those who were killed; what a full disk has no room to end stays for the
 * next one, unless somebody would miss it.
 *
 * @return 0 or -errno
 */
int mlimg_store_recover(struct mlimg_store *store, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Undo what is there of an operation by which a tenant's disk would have become a base
 * (store-base.h).
 *
 * @param op    without the rows that make it count
 * @param disk  the disk's name in the tenant's directory
 * @param err   names what failed
 * @return      0 or -errno
 */
int mlimg_store_base_undo(
	struct mlimg_store_op *op, const char *disk, struct mlimg_err *err) MLIMG_MUST_CHECK;

/* Layers. */

/** Columns of a layer, for mlimg_store_layer_read(). */
#define MLIMG_STORE_LAYER_COLUMNS                                                              \
	"build_id, kind, name, version, base_id, result_id, over_ids, size_bytes, root_hash, " \
	"added_s"

/** Take a layer out of a row with these columns. @return 0 or -errno */
int mlimg_store_layer_read(const struct mlimg_db_rows *rows, struct mlimg_store_layer *ret_layer,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** What others know the layer by: a patch is the system that it makes. @return points into it */
const char *mlimg_store_layer_provides(const struct mlimg_layer_info *info);

/** @return whether the layer lies over what is known as @p id */
bool mlimg_store_layer_lies_over(const struct mlimg_layer_info *info, const char *id);

/** "system debian 12.1 (0123456789abcdef0123)", as messages name a layer. @return @p ret_text */
#define MLIMG_STORE_LAYER_TEXT 192
const char *mlimg_store_layer_text(
	const struct mlimg_layer_info *info, char ret_text[MLIMG_STORE_LAYER_TEXT]);

/** Refuse to remove a layer that somebody uses. @return 0, -EBUSY, other -errno */
int mlimg_store_layer_check_unused(struct mlimg_store *store, const struct mlimg_store_layer *layer,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Verify an image that may be anywhere. @return 0, -EUCLEAN, other -errno */
int mlimg_store_image_verify(const char *path, const char *sidecar_of,
	struct mlimg_layer_info *ret_info, char ret_root_hash[MLIMG_SHA256_HEX_SIZE],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
