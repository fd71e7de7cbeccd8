/* SPDX-License-Identifier: MIT */
/* Adding layers to the store, and removing them. */
#include "tools/store-impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/text.h"
#include "tools/ext4-read.h"
#include "tools/store-copy.h"

/* An image on its way into the store. */
struct adding {
	struct mlimg_store *store;
	const char *path; /* of the image */
	bool move;
	bool is_lost;   /* the store has its row, but not its image */
	struct stat st; /* the image's */
	struct mlimg_store_layer layer;
	struct mlimg_store_op op;
};

static void adding_done(struct adding *a)
{
	mlimg_store_op_end(&a->op);
	mlimg_store_layer_done(&a->layer);
}

static int add_error(const struct adding *a, int code, struct mlimg_err *err)
{
	return mlimg_err_set(err, code, "add '%.300s'", a->path);
}

/* What it says it is: whether that is true, its copy tells. */
static int look(struct adding *a, struct mlimg_err *err)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	struct stat link;
	int ret;

	if (stat(a->path, &a->st) < 0)
		return mlimg_err_set(err, errno, "open '%.300s'", a->path);
	if (!S_ISREG(a->st.st_mode))
		return mlimg_store_fail(err, EINVAL, "'%.300s' is no regular file", a->path);
	if (a->move && lstat(a->path, &link) == 0 && S_ISLNK(link.st_mode))
		return mlimg_store_fail(err, EINVAL,
			"'%.300s' is a symbolic link, which is not moved: name what it leads to",
			a->path);
	ret = mlimg_ext4_open(a->path, &fs, err);
	if (ret == 0)
		ret = mlimg_ext4_layer_info(fs, &a->layer.info, err);
	if (ret == 0 && a->layer.info.kind == MLIMG_USER)
		ret = mlimg_err_refuse(err,
			"'%.300s' is a user layer: the store has layers that several can share",
			a->path);
	return ret;
}

static char *over_text(const struct mlimg_layer_info *info)
{
	struct mlimg_text text = {.data = NULL};

	mlimg_text_put(&text, "", 0);
	for (size_t i = 0; i < info->n_over; i++) {
		if (i)
			mlimg_text_put(&text, " ", 1);
		mlimg_text_put(&text, info->over[i], strlen(info->over[i]));
	}
	if (!text.has_failed)
		return text.data ? text.data : strdup("");
	free(text.data);
	return NULL;
}

/* Two builds of one version for the same place: nobody could say which is meant. */
static int check_version(const struct adding *a, const char *over, struct mlimg_err *err)
{
	const struct mlimg_layer_info *info = &a->layer.info;
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(a->store->db,
		"SELECT build_id FROM layer WHERE kind = ?1 AND name = ?2 AND version = ?3 AND "
		"base_id = ?4 AND over_ids = ?5 AND build_id <> ?6",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(mlimg_kind_name(info->kind)),
			MLIMG_DB_TEXT(info->name), MLIMG_DB_TEXT(info->version),
			MLIMG_DB_TEXT(info->base), MLIMG_DB_TEXT(over),
			MLIMG_DB_TEXT(info->build_id)),
		&rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret <= 0)
		return ret;
	return mlimg_store_fail(err, EEXIST,
		"'%.200s' is build %.*s of %s %s %s, and the store has build %.*s of it", a->path,
		MLIMG_SHORT_ID, info->build_id, mlimg_kind_name(info->kind), info->name,
		info->version, MLIMG_SHORT_ID, mlimg_db_text(&rows, 0));
}

/*
 * @return 1 when the build is there already, 0, -errno. Where its image is not there any more, or
 * has another length, this one takes its place.
 */
static int check_new(struct adding *a, const char *over, struct mlimg_err *err)
{
	mlimg_autostorelayer struct mlimg_store_layer there = {.size_bytes = 0};
	char name[MLIMG_STORE_FILE_SIZE];
	struct stat st;
	int ret = mlimg_store_layer_get(a->store, a->layer.info.build_id, &there, err);

	a->is_lost = false;
	if (ret == -ENOENT)
		return check_version(a, over, err);
	if (ret < 0)
		return ret;
	mlimg_store_image_name(a->layer.info.build_id, name);
	if (fstatat(a->store->fds[MLIMG_STORE_LAYERS], name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISREG(st.st_mode) && (uint64_t)st.st_size == there.size_bytes) {
		/* Left of a move that was killed: the same file under two names. */
		a->move = a->move && st.st_dev == a->st.st_dev && st.st_ino == a->st.st_ino;
		return 1;
	}
	a->is_lost = true;
	return 0;
}

/* A file that is the caller's alone can become the store's without being copied. */
static bool link_image(const struct adding *a)
{
	return a->move && a->st.st_uid == geteuid() && a->st.st_nlink == 1 &&
		linkat(AT_FDCWD, a->path, a->store->fds[MLIMG_STORE_INCOMING], a->op.token,
			AT_SYMLINK_FOLLOW) == 0;
}

static int copy_image(const struct adding *a, struct mlimg_err *err)
{
	mlimg_autoclose int from = open(a->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	mlimg_autoclose int to = -1;
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0)
		return mlimg_err_set(err, errno, "open '%.300s'", a->path);
	to = openat(a->store->fds[MLIMG_STORE_INCOMING], a->op.token,
		O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return add_error(a, errno, err);
	return mlimg_copy_file(from, to, (uint64_t)st.st_size, MLIMG_COPY_SHARE, a->path, err);
}

/* What is wrong is wrong in the image that was given: nobody knows the copy. */
static int name_source(const struct adding *a, const char *copy, int ret, struct mlimg_err *err)
{
	char text[2 * MLIMG_ERR_TEXT_SIZE];
	const char *at = err ? strstr(err->text, copy) : NULL;

	if (!at)
		return ret;
	snprintf(text, sizeof(text), "%.*s%.200s%s", (int)(at - err->text), err->text, a->path,
		at + strlen(copy));
	snprintf(err->text, sizeof(err->text), "%.*s", MLIMG_ERR_TEXT_SIZE - 1, text);
	return ret;
}

/*
 * The image in incoming/ is what is verified, not the one that it was copied of, which somebody may
 * be writing.
 */
static int verify_copy(struct adding *a, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info info = {.n_over = 0};
	mlimg_autofree char *path = NULL;
	mlimg_autoclose int fd = -1;
	struct stat st;
	int ret;

	if (asprintf(&path, "%s/incoming/%s", a->store->dir, a->op.token) < 0) {
		path = NULL;
		return add_error(a, ENOMEM, err);
	}
	ret = mlimg_store_image_verify(path, a->path, &info, a->layer.root_hash, err);
	if (ret < 0)
		return name_source(a, path, ret, err);
	if (strcmp(info.build_id, a->layer.info.build_id) != 0)
		return mlimg_store_fail(
			err, EAGAIN, "'%.300s' changed while it was added", a->path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0444) < 0 || fsync(fd) < 0 || fstat(fd, &st) < 0)
		return add_error(a, errno, err);
	a->layer.size_bytes = (uint64_t)st.st_size;
	return 0;
}

static int insert_row(struct adding *a, const char *over, struct mlimg_err *err)
{
	const struct mlimg_layer_info *info = &a->layer.info;
	int ret;

	a->layer.added_s = mlimg_store_now();
	ret = mlimg_db_run(a->store->db,
		"INSERT INTO layer (" MLIMG_STORE_LAYER_COLUMNS
		") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(info->build_id),
			MLIMG_DB_TEXT(mlimg_kind_name(info->kind)), MLIMG_DB_TEXT(info->name),
			MLIMG_DB_TEXT(info->version), MLIMG_DB_TEXT(info->base),
			MLIMG_DB_TEXT(info->result), MLIMG_DB_TEXT(over),
			MLIMG_DB_NUMBER(a->layer.size_bytes),
			MLIMG_DB_TEXT_OR_NULL(a->layer.root_hash),
			MLIMG_DB_NUMBER(a->layer.added_s)),
		err);
	return ret < 0 ? ret : 0;
}

/* An image that was made again may have a hash tree now, or none. */
static int renew_row(struct adding *a, struct mlimg_err *err)
{
	int ret = mlimg_db_run(a->store->db,
		"UPDATE layer SET size_bytes = ?2, root_hash = ?3 WHERE build_id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(a->layer.info.build_id),
			MLIMG_DB_NUMBER(a->layer.size_bytes),
			MLIMG_DB_TEXT_OR_NULL(a->layer.root_hash)),
		err);

	return ret < 0 ? ret : 0;
}

/* The step that counts, in a transaction. @return 1 when somebody else has added it meanwhile */
static int place(struct adding *a, const char *over, struct mlimg_err *err)
{
	struct mlimg_store *s = a->store;
	char name[MLIMG_STORE_FILE_SIZE], text[MLIMG_STORE_LAYER_TEXT];
	int ret = check_new(a, over, err);

	if (ret)
		return ret;
	mlimg_store_image_name(a->layer.info.build_id, name);
	if (renameat(s->fds[MLIMG_STORE_INCOMING], a->op.token, s->fds[MLIMG_STORE_LAYERS], name) <
		0)
		return add_error(a, errno, err);
	ret = mlimg_store_sync(s, MLIMG_STORE_LAYERS, err);
	if (ret == 0)
		ret = a->is_lost ? renew_row(a, err) : insert_row(a, over, err);
	if (ret == 0)
		ret = mlimg_store_event_add(s, MLIMG_STORE_LAYER, a->layer.info.build_id, "added",
			mlimg_store_layer_text(&a->layer.info, text), err);
	return ret < 0 ? ret : mlimg_store_op_finish(&a->op, err);
}

static int place_it(struct adding *a, const char *over, struct mlimg_err *err)
{
	int ret = mlimg_db_begin(a->store->db, err), done;

	if (ret < 0)
		return ret;
	ret = place(a, over, err);
	done = mlimg_db_finish(a->store->db, ret < 0 ? ret : 0, err);
	return done < 0 ? done : ret;
}

/* @return 1 when it was there already, 0, -errno */
static int add(struct adding *a, struct mlimg_err *err)
{
	mlimg_autofree char *over = NULL;
	int ret = look(a, err);

	if (ret < 0)
		return ret;
	over = over_text(&a->layer.info);
	if (!over)
		return add_error(a, ENOMEM, err);
	ret = check_new(a, over, err);
	if (ret)
		return ret;
	ret = mlimg_store_op_begin(
		a->store, MLIMG_STORE_ADD_LAYER, a->layer.info.build_id, &a->op, err);
	if (ret == 0)
		ret = mlimg_store_op_announce(&a->op, err);
	if (ret == 0 && !link_image(a))
		ret = copy_image(a, err);
	if (ret == 0)
		ret = verify_copy(a, err);
	return ret < 0 ? ret : place_it(a, over, err);
}

/* What it lies over and no layer provides: the first of it. */
static int find_missing(struct mlimg_store *s, const struct mlimg_layer_info *info,
	char ret_id[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err)
{
	size_t n = info->kind == MLIMG_PATCH ? 1 : info->n_over;

	for (size_t i = 0; i < n; i++) {
		const char *id = info->kind == MLIMG_PATCH ? info->base : info->over[i];
		int64_t one;
		int ret = mlimg_db_get(s->db,
			"SELECT 1 FROM layer WHERE build_id = ?1 OR result_id = ?1",
			MLIMG_DB_VALUES(MLIMG_DB_TEXT(id)), &one, err);

		if (ret < 0)
			return ret;
		if (ret == 0) {
			strcpy(ret_id, id);
			return 0;
		}
	}
	return 0;
}

int mlimg_store_layer_add(struct mlimg_store *s, const char *path, bool move,
	struct mlimg_store_added *ret_added, struct mlimg_err *err)
{
	mlimg_cleanup(adding_done) struct adding a = {
		.store = s, .path = path, .move = move, .op = MLIMG_STORE_OP_INIT};
	struct mlimg_store_added added = {.is_new = false};
	int ret = add(&a, err);

	if (ret < 0)
		return ret;
	added.is_new = ret == 0;
	ret = find_missing(s, &a.layer.info, added.missing, err);
	if (ret == 0 && a.move && unlink(path) < 0 && errno != ENOENT)
		ret = mlimg_err_set(err, errno, "is in the store, but: remove '%.300s'", path);
	if (ret < 0)
		return ret;
	if (added.is_new) {
		added.layer = a.layer;
		a.layer = (struct mlimg_store_layer){.size_bytes = 0};
	} else {
		ret = mlimg_store_layer_get(s, a.layer.info.build_id, &added.layer, err);
	}
	if (ret == 0)
		*ret_added = added;
	return ret;
}

static int remove_row(
	struct mlimg_store_op *op, const struct mlimg_store_layer *layer, struct mlimg_err *err)
{
	char text[MLIMG_STORE_LAYER_TEXT];
	int ret = mlimg_store_layer_check_unused(op->store, layer, err);

	if (ret == 0)
		ret = mlimg_store_op_announce(op, err);
	if (ret == 0)
		ret = mlimg_store_event_add(op->store, MLIMG_STORE_LAYER, layer->info.build_id,
			"removed", mlimg_store_layer_text(&layer->info, text), err);
	if (ret < 0)
		return ret;
	ret = mlimg_db_run(op->store->db, "DELETE FROM layer WHERE build_id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(layer->info.build_id)), err);
	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no layer '%.64s'", layer->info.build_id);
	return ret < 0 ? ret : 0;
}

int mlimg_store_layer_remove(struct mlimg_store *s, const char *build_id, struct mlimg_err *err)
{
	mlimg_autoop struct mlimg_store_op op = MLIMG_STORE_OP_INIT;
	mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};
	int ret = mlimg_store_layer_get(s, build_id, &layer, err);

	/* Found out before anything is written. */
	if (ret == 0)
		ret = mlimg_store_layer_check_unused(s, &layer, err);
	if (ret == 0)
		ret = mlimg_store_op_begin(s, MLIMG_STORE_REMOVE_LAYER, build_id, &op, err);
	if (ret == 0)
		ret = mlimg_db_begin(s->db, err);
	if (ret < 0)
		return ret;
	/* From here on it is gone; its image follows when op ends, or the store is opened next. */
	return mlimg_db_finish(s->db, remove_row(&op, &layer, err), err);
}
