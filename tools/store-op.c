/* SPDX-License-Identifier: MIT */
/* Operations: what is under way in a store's directory, and how it ends when its process dies. */
#include "tools/store-impl.h"
#include "tools/tenant-disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/io.h"
#include "libmlimg/remove-tree.h"

#define LOCK_SUFFIX ".lock"
#define BEGIN_TRIES 8 /* somebody who cleans up takes a lock that is new for a stale one */

static const char *const work_names[] = {
	[MLIMG_STORE_ADD_LAYER] = "add-layer",
	[MLIMG_STORE_REMOVE_LAYER] = "remove-layer",
	[MLIMG_STORE_ADD_TENANT] = "add-tenant",
	[MLIMG_STORE_REMOVE_TENANT] = "remove-tenant",
	[MLIMG_STORE_LINK_DISK] = "link-disk",
	[MLIMG_STORE_READ_DISK] = "read-disk",
};

static const char *lock_name(const char *token, char ret_name[MLIMG_STORE_FILE_SIZE])
{
	snprintf(ret_name, MLIMG_STORE_FILE_SIZE, "%.32s" LOCK_SUFFIX, token);
	return ret_name;
}

static int op_error(
	const struct mlimg_store_op *op, int code, const char *what, struct mlimg_err *err)
{
	return mlimg_err_set(err, code, "%s '%.300s/incoming/%s'", what, op->store->dir, op->token);
}

/*
 * Take the lock of a token. @return 1, 0 when somebody else holds it or when the file is not there
 * (any more), -errno
 */
static int take_lock(struct mlimg_store_op *op, int flags, struct mlimg_err *err)
{
	char name[MLIMG_STORE_FILE_SIZE];
	mlimg_autoclose int fd =
		openat(op->store->fds[MLIMG_STORE_INCOMING], lock_name(op->token, name),
			O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | flags, 0600);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT || errno == EEXIST ? 0 : op_error(op, errno, "lock", err);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : op_error(op, errno, "lock", err);
	/* Whoever removes the file holds its lock, so it is there as long as we do. */
	if (fstat(fd, &st) < 0)
		return op_error(op, errno, "lock", err);
	if (st.st_nlink == 0)
		return 0;
	op->lock_fd = mlimg_steal_fd(&fd);
	return 1;
}

static void drop_lock(struct mlimg_store_op *op)
{
	char name[MLIMG_STORE_FILE_SIZE];

	unlinkat(op->store->fds[MLIMG_STORE_INCOMING], lock_name(op->token, name), 0);
	mlimg_cleanup_close(&op->lock_fd);
	op->lock_fd = -1;
}

int mlimg_store_op_begin(struct mlimg_store *s, enum mlimg_store_work work, const char *object_id,
	struct mlimg_store_op *ret_op, struct mlimg_err *err)
{
	struct mlimg_store_op op = {.store = s, .work = work, .lock_fd = -1};
	int ret = 0;

	/* It would hold up everybody, and what it does could not be taken back with the rest. */
	if (mlimg_db_is_busy(s->db))
		return mlimg_store_fail(
			err, EBUSY, "%s: not within a transaction", work_names[work]);
	snprintf(op.object_id, sizeof(op.object_id), "%s", object_id);
	for (int i = 0; ret == 0 && i < BEGIN_TRIES; i++) {
		ret = mlimg_store_random_id(op.token, err);
		if (ret == 0)
			ret = take_lock(&op, O_CREAT | O_EXCL, err);
	}
	if (ret == 0)
		return op_error(&op, EAGAIN, "lock", err);
	if (ret < 0)
		return ret;
	*ret_op = op;
	return 0;
}

int mlimg_store_op_announce(struct mlimg_store_op *op, struct mlimg_err *err)
{
	int ret = mlimg_db_run(op->store->db,
		"INSERT INTO operation (token, kind, object_id, started_s) VALUES (?1, ?2, ?3, ?4)",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(op->token), MLIMG_DB_TEXT(work_names[op->work]),
			MLIMG_DB_TEXT(op->object_id), MLIMG_DB_NUMBER(mlimg_store_now())),
		err);

	return ret < 0 ? ret : 0;
}

int mlimg_store_op_finish(struct mlimg_store_op *op, struct mlimg_err *err)
{
	int ret = mlimg_db_run(op->store->db, "DELETE FROM operation WHERE token = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(op->token)), err);

	return ret < 0 ? ret : 0;
}

/* @return 1 when the object has a row, 0, -errno */
static int has_row(const struct mlimg_store_op *op, bool is_layer, struct mlimg_err *err)
{
	int64_t one;

	return mlimg_db_get(op->store->db,
		is_layer ? "SELECT 1 FROM layer WHERE build_id = ?1"
			 : "SELECT 1 FROM tenant WHERE id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(op->object_id)), &one, err);
}

static int remove_image(const struct mlimg_store_op *op, struct mlimg_err *err)
{
	char name[MLIMG_STORE_FILE_SIZE];

	mlimg_store_image_name(op->object_id, name);
	if (unlinkat(op->store->fds[MLIMG_STORE_LAYERS], name, 0) < 0 && errno != ENOENT)
		return mlimg_err_set(err, errno, "remove '%.300s/layers/%s'", op->store->dir, name);
	return mlimg_store_sync(op->store, MLIMG_STORE_LAYERS, err);
}

/* Of one that never came to be nobody has anything; what a removed one had is kept. */
static int remove_directory(const struct mlimg_store_op *op, struct mlimg_err *err)
{
	struct mlimg_store *s = op->store;
	int ret = 0;

	if (op->work == MLIMG_STORE_ADD_TENANT)
		ret = mlimg_remove_tree(s->fds[MLIMG_STORE_TENANTS], op->object_id);
	else if (renameat(s->fds[MLIMG_STORE_TENANTS], op->object_id, s->fds[MLIMG_STORE_REMOVED],
			 op->object_id) < 0 &&
		errno != ENOENT)
		ret = -errno;
	if (ret < 0)
		return mlimg_err_set(err, ret, "remove '%.300s/tenants/%s'", s->dir, op->object_id);
	ret = mlimg_store_sync(s, MLIMG_STORE_REMOVED, err);
	return ret < 0 ? ret : mlimg_store_sync(s, MLIMG_STORE_TENANTS, err);
}

/*
 * What an operation leaves, whether it was to add or to remove: an object without a row is to have
 * no file, and one with a row has one. In a transaction, so that nobody gives it a row meanwhile.
 */
static int settle_object(struct mlimg_store_op *op, struct mlimg_err *err)
{
	bool is_layer = op->work == MLIMG_STORE_ADD_LAYER || op->work == MLIMG_STORE_REMOVE_LAYER;
	int ret;

	/* Its row goes with the ones that it is about. */
	if (op->work == MLIMG_STORE_LINK_DISK) {
		ret = mlimg_store_base_undo(op, MLIMG_TENANT_DISK, err);
		return ret < 0 ? ret : mlimg_store_op_finish(op, err);
	}
	ret = has_row(op, is_layer, err);
	if (ret == 0)
		ret = is_layer ? remove_image(op, err) : remove_directory(op, err);
	return ret < 0 ? ret : mlimg_store_op_finish(op, err);
}

/* First what takes room: on a full disk there is none for the row's end otherwise. */
static int settle(struct mlimg_store_op *op, struct mlimg_err *err)
{
	int ret = mlimg_remove_tree(op->store->fds[MLIMG_STORE_INCOMING], op->token);

	if (ret < 0)
		return op_error(op, ret, "remove", err);
	ret = mlimg_db_begin(op->store->db, err);
	return ret < 0 ? ret : mlimg_db_finish(op->store->db, settle_object(op, err), err);
}

/* @return 1 when it has a row, which is read; 0; -errno */
static int read_row(struct mlimg_store_op *op, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(op->store->db,
		"SELECT kind, object_id FROM operation WHERE token = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(op->token)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret <= 0)
		return ret;
	for (size_t i = 0; i < sizeof(work_names) / sizeof(work_names[0]); i++)
		if (strcmp(mlimg_db_text(&rows, 0), work_names[i]) == 0)
			op->work = (enum mlimg_store_work)i;
	ret = mlimg_db_copy(&rows, 1, op->object_id, sizeof(op->object_id), err);
	return ret < 0 ? ret : 1;
}

void mlimg_store_op_end(struct mlimg_store_op *op)
{
	int ret;

	if (op->lock_fd < 0)
		return;
	/* One that has gone well has no row any more. */
	ret = read_row(op, NULL);
	if (ret == 0)
		ret = mlimg_remove_tree(op->store->fds[MLIMG_STORE_INCOMING], op->token);
	else if (ret == 1)
		ret = settle(op, NULL);
	if (ret == 0)
		drop_lock(op);
	mlimg_cleanup_close(&op->lock_fd);
	op->lock_fd = -1;
}

/*
 * Where the disk is full it waits for room: what it left is nobody's, and nobody sees it. But half a base
 * is in the way of the tenant whose disk was to lie over it.
 */
static int settle_dead(struct mlimg_store_op *op, struct mlimg_err *err)
{
	struct mlimg_err why = MLIMG_ERR_INIT;
	int ret = settle(op, &why);

	if (ret == 0)
		drop_lock(op);
	if ((ret == -ENOSPC || ret == -EDQUOT) && op->work != MLIMG_STORE_LINK_DISK)
		return 0;
	if (ret < 0 && err)
		*err = why;
	return ret;
}

/* An operation that has a row or files, unless somebody living does it. */
static int recover_one(struct mlimg_store *s, const char *token, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_store_op_end) struct mlimg_store_op op = {.store = s, .lock_fd = -1};
	char name[MLIMG_STORE_FILE_SIZE];
	int ret;

	snprintf(op.token, sizeof(op.token), "%s", token);
	ret = take_lock(&op, 0, err);
	/* A lock that is not there is nobody's: a row or a file that outlived it. */
	if (ret == 0 &&
		faccessat(s->fds[MLIMG_STORE_INCOMING], lock_name(token, name), F_OK, 0) < 0 &&
		errno == ENOENT)
		ret = take_lock(&op, O_CREAT | O_EXCL, err);
	if (ret == 1)
		ret = read_row(&op, err);
	else
		return ret;
	if (ret == 0) {
		ret = mlimg_remove_tree(s->fds[MLIMG_STORE_INCOMING], op.token);
		if (ret < 0)
			return op_error(&op, ret, "remove", err);
		drop_lock(&op);
		return 0;
	}
	return ret < 0 ? ret : settle_dead(&op, err);
}

/* Tokens, before anything is changed beneath what lists them. */
struct tokens {
	char (*tokens)[MLIMG_STORE_TOKEN_SIZE];
	size_t n, room;
};

static int add_token(struct tokens *t, const char *token, struct mlimg_err *err)
{
	if (strspn(token, "0123456789abcdef") < MLIMG_STORE_TOKEN_SIZE - 1)
		return 0;
	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 16;
		void *bigger = reallocarray(t->tokens, room, sizeof(*t->tokens));

		if (!bigger)
			return mlimg_err_set(err, ENOMEM, "list operations");
		t->tokens = bigger;
		t->room = room;
	}
	snprintf(t->tokens[t->n++], MLIMG_STORE_TOKEN_SIZE, "%.32s", token);
	return 0;
}

static int list_rows(struct mlimg_store *s, struct tokens *t, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(
		s->db, "SELECT token FROM operation", MLIMG_DB_NO_VALUES, &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1)
		ret = add_token(t, mlimg_db_text(&rows, 0), err);
	return ret;
}

static int list_files(struct mlimg_store *s, struct tokens *t, struct mlimg_err *err)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(s->fds[MLIMG_STORE_INCOMING], ".");
	const struct dirent *entry;
	int ret = 0;

	if (!dir)
		return mlimg_err_set(err, errno, "open '%.300s/incoming'", s->dir);
	while (ret == 0 && (errno = 0, (entry = readdir(dir)))) {
		size_t size = strlen(entry->d_name);

		if (size == MLIMG_STORE_TOKEN_SIZE - 1 ||
			(size == MLIMG_STORE_TOKEN_SIZE - 1 + strlen(LOCK_SUFFIX) &&
				strcmp(entry->d_name + MLIMG_STORE_TOKEN_SIZE - 1, LOCK_SUFFIX) ==
					0))
			ret = add_token(t, entry->d_name, err);
	}
	if (ret == 0 && errno)
		ret = mlimg_err_set(err, errno, "read '%.300s/incoming'", s->dir);
	return ret;
}

int mlimg_store_recover(struct mlimg_store *s, struct mlimg_err *err)
{
	struct tokens t = {.n = 0};
	int ret = list_rows(s, &t, err);

	if (ret == 0)
		ret = list_files(s, &t, err);
	for (size_t i = 0; ret == 0 && i < t.n; i++)
		ret = recover_one(s, t.tokens[i], err);
	free(t.tokens);
	return ret;
}
