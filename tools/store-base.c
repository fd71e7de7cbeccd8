/* SPDX-License-Identifier: MIT */
#include "tools/store-base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/remove-tree.h"
#include "tools/store-impl.h"

#define FILE_NAME "base.qcow2"

static void file_name(const char *id, char ret_name[MLIMG_STORE_FILE_SIZE])
{
	snprintf(ret_name, MLIMG_STORE_FILE_SIZE, "%.32s/" FILE_NAME, id);
}

const char *mlimg_store_base_name(const char *id, char ret_name[MLIMG_STORE_BASE_NAME])
{
	snprintf(ret_name, MLIMG_STORE_BASE_NAME, "../../bases/%.32s/" FILE_NAME, id);
	return ret_name;
}

/* The tenant's directory, where its disk has the first name. */
static int open_tenant(struct mlimg_store *s, const char *tenant_id, struct mlimg_err *err)
{
	int fd = openat(s->fds[MLIMG_STORE_TENANTS], tenant_id,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? mlimg_err_set(err, errno, "open '%.300s/tenants/%s'", s->dir, tenant_id)
		      : fd;
}

static int make_over(struct mlimg_store_op *op, const char *disk, mlimg_store_over_fn *fn,
	void *ctx, struct mlimg_err *err)
{
	struct mlimg_store *s = op->store;
	char base[MLIMG_STORE_BASE_NAME];
	mlimg_autofree char *path = NULL;

	if (mkdirat(s->fds[MLIMG_STORE_INCOMING], op->token, 0700) < 0)
		return mlimg_err_set(err, errno, "make '%.300s/incoming/%s'", s->dir, op->token);
	if (asprintf(&path, "%s/incoming/%s/%s", s->dir, op->token, disk) < 0) {
		path = NULL;
		return mlimg_err_set(err, ENOMEM, "make a disk");
	}
	return fn(path, mlimg_store_base_name(op->token, base), ctx, err);
}

/* Its directory, and the one that this is in. */
static int sync_base(struct mlimg_store *s, const char *id, struct mlimg_err *err)
{
	mlimg_autoclose int fd = openat(
		s->fds[MLIMG_STORE_BASES], id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		return mlimg_err_set(err, errno, "sync '%.300s/bases/%s'", s->dir, id);
	return mlimg_store_sync(s, MLIMG_STORE_BASES, err);
}

static int link_disk(
	struct mlimg_store_op *op, int tenant_fd, const char *disk, struct mlimg_err *err)
{
	struct mlimg_store *s = op->store;
	char name[MLIMG_STORE_FILE_SIZE];

	file_name(op->token, name);
	if (mkdirat(s->fds[MLIMG_STORE_BASES], op->token, 0711) < 0 ||
		linkat(tenant_fd, disk, s->fds[MLIMG_STORE_BASES], name, 0) < 0)
		return mlimg_err_set(err, errno, "make '%.300s/bases/%s'", s->dir, name);
	return sync_base(s, op->token, err);
}

static int insert(
	struct mlimg_store *s, const char *tenant_id, const char *id, struct mlimg_err *err)
{
	int ret = mlimg_db_run(s->db,
		"INSERT INTO base (id, over_id, added_s) VALUES (?1, "
		"(SELECT base_id FROM base_use WHERE tenant_id = ?2), ?3)",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id), MLIMG_DB_TEXT(tenant_id),
			MLIMG_DB_NUMBER(mlimg_store_now())),
		err);

	return ret < 0 ? ret : mlimg_store_base_use(s, tenant_id, id, err);
}

/* The step that counts, in a transaction. */
static int place(struct mlimg_store_op *op, int tenant_fd, const char *disk, struct mlimg_err *err)
{
	struct mlimg_store *s = op->store;
	mlimg_autofree char *from = NULL;
	int ret = insert(s, op->object_id, op->token, err);

	if (ret < 0)
		return ret;
	if (asprintf(&from, "%s/%s", op->token, disk) < 0) {
		from = NULL;
		return mlimg_err_set(err, ENOMEM, "make a base");
	}
	if (renameat(s->fds[MLIMG_STORE_INCOMING], from, tenant_fd, disk) < 0 ||
		(fsync(tenant_fd) < 0 && errno != EINVAL))
		return mlimg_err_set(err, errno, "replace the disk of tenant %s", op->object_id);
	return mlimg_store_op_finish(op, err);
}

static int make(struct mlimg_store_op *op, const char *disk, mlimg_store_over_fn *fn, void *ctx,
	struct mlimg_err *err)
{
	struct mlimg_store *s = op->store;
	mlimg_autoclose int tenant_fd = open_tenant(s, op->object_id, err);
	int ret = tenant_fd < 0 ? tenant_fd : mlimg_store_op_announce(op, err);

	if (ret == 0)
		ret = link_disk(op, tenant_fd, disk, err);
	if (ret == 0)
		ret = make_over(op, disk, fn, ctx, err);
	if (ret == 0)
		ret = mlimg_db_begin(s->db, err);
	return ret < 0 ? ret : mlimg_db_finish(s->db, place(op, tenant_fd, disk, err), err);
}

int mlimg_store_base_make(struct mlimg_store *s, const char *tenant_id, const char *disk,
	mlimg_store_over_fn *fn, void *ctx, char ret_id[MLIMG_STORE_ID_SIZE], struct mlimg_err *err)
{
	mlimg_autoop struct mlimg_store_op op = MLIMG_STORE_OP_INIT;
	int ret = mlimg_store_op_begin(s, MLIMG_STORE_LINK_DISK, tenant_id, &op, err);

	if (ret == 0)
		ret = make(&op, disk, fn, ctx, err);
	if (ret == 0)
		strcpy(ret_id, op.token);
	return ret;
}

static int remove_dir(struct mlimg_store *s, const char *id, struct mlimg_err *err)
{
	int ret = mlimg_remove_tree(s->fds[MLIMG_STORE_BASES], id);

	if (ret < 0)
		return mlimg_err_set(err, ret, "remove '%.300s/bases/%s'", s->dir, id);
	return mlimg_store_sync(s, MLIMG_STORE_BASES, err);
}

/* The disk gets its name again, whatever lies there is empty. */
static int give_back(struct mlimg_store_op *op, const char *disk, struct mlimg_err *err)
{
	struct mlimg_store *s = op->store;
	mlimg_autoclose int tenant_fd = open_tenant(s, op->object_id, err);
	char name[MLIMG_STORE_FILE_SIZE];

	if (tenant_fd < 0)
		return tenant_fd;
	file_name(op->token, name);
	/* Of two names of one file this leaves both (rename(2)). */
	if (renameat(s->fds[MLIMG_STORE_BASES], name, tenant_fd, disk) < 0 ||
		(fsync(tenant_fd) < 0 && errno != EINVAL))
		return mlimg_err_set(err, errno, "rename '%.300s/bases/%s'", s->dir, name);
	return 0;
}

int mlimg_store_base_undo(struct mlimg_store_op *op, const char *disk, struct mlimg_err *err)
{
	struct mlimg_store *s = op->store;
	char name[MLIMG_STORE_FILE_SIZE];
	int ret = 0;

	file_name(op->token, name);
	if (faccessat(s->fds[MLIMG_STORE_BASES], name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		ret = give_back(op, disk, err);
	else if (errno != ENOENT && errno != ENOTDIR)
		ret = mlimg_err_set(err, errno, "look at '%.300s/bases/%s'", s->dir, name);
	return ret < 0 ? ret : remove_dir(s, op->token, err);
}

int mlimg_store_base_of(struct mlimg_store *s, const char *tenant_id,
	char ret_id[MLIMG_STORE_ID_SIZE], struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db, "SELECT base_id FROM base_use WHERE tenant_id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(tenant_id)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret <= 0)
		return ret;
	ret = mlimg_db_copy(&rows, 0, ret_id, MLIMG_STORE_ID_SIZE, err);
	return ret < 0 ? ret : 1;
}

int mlimg_store_base_use(
	struct mlimg_store *s, const char *tenant_id, const char *id, struct mlimg_err *err)
{
	int ret = mlimg_db_run(s->db,
		"INSERT OR REPLACE INTO base_use (tenant_id, base_id) VALUES (?1, ?2)",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(tenant_id), MLIMG_DB_TEXT(id)), err);

	return ret < 0 ? ret : 0;
}

/* Ids that a query gives, before anything is changed. */
struct ids {
	char (*ids)[MLIMG_STORE_ID_SIZE];
	size_t n, room;
};

static void ids_done(struct ids *ids)
{
	free(ids->ids);
}

static int read_ids(struct mlimg_store *s, const char *sql, struct ids *ids, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db, sql, MLIMG_DB_NO_VALUES, &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		if (ids->n == ids->room) {
			size_t room = ids->room ? 2 * ids->room : 16;
			void *bigger = reallocarray(ids->ids, room, sizeof(*ids->ids));

			if (!bigger)
				return mlimg_err_set(err, ENOMEM, "list bases");
			ids->ids = bigger;
			ids->room = room;
		}
		ret = mlimg_db_copy(&rows, 0, ids->ids[ids->n++], sizeof(*ids->ids), err);
	}
	return ret;
}

/* @return 1 when what it had is there, -errno */
static int has_directory(struct mlimg_store *s, const char *tenant_id, struct mlimg_err *err)
{
	static const enum mlimg_store_place places[] = {MLIMG_STORE_TENANTS, MLIMG_STORE_REMOVED};

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		if (faccessat(s->fds[places[i]], tenant_id, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return 1;
		if (errno != ENOENT)
			return mlimg_err_set(err, errno, "look for what tenant %s had", tenant_id);
	}
	return 0;
}

/*
 * Of tenants of whom nothing is there any more, not even aside. In a transaction, since in another one
 * whoever destroys a tenant removes its row, and in one more sets aside what it had: between them its
 * operation is there, and its directory where it was.
 */
static int drop_uses(struct mlimg_store *s, const struct mlimg_store_gc *gc, struct mlimg_err *err)
{
	mlimg_cleanup(ids_done) struct ids gone = {.n = 0};
	int ret = read_ids(s,
		"SELECT tenant_id FROM base_use "
		"WHERE NOT EXISTS (SELECT 1 FROM tenant WHERE id = tenant_id) "
		"AND NOT EXISTS (SELECT 1 FROM operation WHERE object_id = tenant_id)",
		&gone, err);

	for (size_t i = 0; ret == 0 && i < gone.n; i++) {
		bool is_to_go = gc->is_dry && gc->is_to_go && gc->is_to_go(gone.ids[i], gc->ctx);

		ret = is_to_go ? 0 : has_directory(s, gone.ids[i], err);
		if (ret == 0)
			ret = mlimg_db_run(s->db, "DELETE FROM base_use WHERE tenant_id = ?1",
				MLIMG_DB_VALUES(MLIMG_DB_TEXT(gone.ids[i])), err);
		ret = ret < 0 ? ret : 0;
	}
	return ret;
}

#define UNUSED                                                        \
	"NOT EXISTS (SELECT 1 FROM base_use WHERE base_id = id) AND " \
	"NOT EXISTS (SELECT 1 FROM base o WHERE o.over_id = base.id)"

/* The file first: a row without one is found, and removed, by the next. */
static int remove_base(struct mlimg_store *s, const char *id, bool is_dry, bool *ret_is_removed,
	struct mlimg_err *err)
{
	int ret = mlimg_db_run(s->db, "DELETE FROM base WHERE id = ?1 AND " UNUSED,
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id)), err);

	/* Or somebody has begun to use it. */
	*ret_is_removed = ret > 0;
	return ret <= 0 || is_dry ? ret : remove_dir(s, id, err);
}

static int collect_base(struct mlimg_store *s, const struct mlimg_store_gc *gc, const char *id,
	struct mlimg_err *err)
{
	char name[MLIMG_STORE_FILE_SIZE], what[MLIMG_STORE_FILE_SIZE + 8];
	struct mlimg_store_finding finding = {.found = MLIMG_STORE_UNUSED, .what = what};
	bool is_removed = false;
	struct stat st;
	int ret;

	file_name(id, name);
	snprintf(what, sizeof(what), "bases/%s", id);
	if (fstatat(s->fds[MLIMG_STORE_BASES], name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		finding.size_bytes = (uint64_t)st.st_size;
	ret = mlimg_db_begin(s->db, err);
	if (ret == 0)
		ret = mlimg_db_finish(s->db, remove_base(s, id, gc->is_dry, &is_removed, err), err);
	return ret < 0 || !is_removed ? ret : gc->fn(&finding, gc->ctx, err);
}

/* One may lie over another, which nobody needs then. */
static int collect_bases(
	struct mlimg_store *s, const struct mlimg_store_gc *gc, struct mlimg_err *err)
{
	size_t n = 1;
	int ret = mlimg_db_begin(s->db, err);

	if (ret == 0)
		ret = mlimg_db_finish(s->db, drop_uses(s, gc, err), err);
	while (ret == 0 && n) {
		mlimg_cleanup(ids_done) struct ids unused = {.n = 0};

		ret = read_ids(s, "SELECT id FROM base WHERE " UNUSED, &unused, err);
		for (size_t i = 0; ret == 0 && i < unused.n; i++)
			ret = collect_base(s, gc, unused.ids[i], err);
		n = unused.n;
	}
	return ret;
}

/* What is only to be told is done in a transaction, and taken back: what one frees, another may need. */
int mlimg_store_base_gc(
	struct mlimg_store *s, const struct mlimg_store_gc *gc, struct mlimg_err *err)
{
	int ret = gc->is_dry ? mlimg_db_begin(s->db, err) : 0;

	if (ret < 0)
		return ret;
	ret = collect_bases(s, gc, err);
	if (gc->is_dry)
		(void)!mlimg_db_finish(s->db, -ECANCELED, NULL);
	return ret;
}

int mlimg_store_base_check(
	struct mlimg_store *s, mlimg_store_finding_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_cleanup(ids_done) struct ids all = {.n = 0};
	int ret = read_ids(s, "SELECT id FROM base ORDER BY id", &all, err);

	for (size_t i = 0; ret == 0 && i < all.n; i++) {
		char name[MLIMG_STORE_FILE_SIZE], what[MLIMG_STORE_FILE_SIZE + 8];
		const struct mlimg_store_finding finding = {
			.found = MLIMG_STORE_LOST, .what = what};

		file_name(all.ids[i], name);
		snprintf(what, sizeof(what), "bases/%s", name);
		if (faccessat(s->fds[MLIMG_STORE_BASES], name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			ret = fn(&finding, ctx, err);
	}
	return ret;
}
