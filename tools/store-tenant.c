/* SPDX-License-Identifier: MIT */
/* The store's tenants. */
#include "tools/store-impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COLUMNS "id, name, user_id, created_s, current, pending"

bool mlimg_store_name_is_valid(const char *name)
{
	size_t size = strlen(name);

	return size > 0 && size < MLIMG_STORE_NAME_SIZE && !strchr("._-", name[0]) &&
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
		size;
}

static int check_name(const char *name, struct mlimg_err *err)
{
	if (mlimg_store_name_is_valid(name))
		return 0;
	return mlimg_err_usage(err,
		"'%.100s' cannot be a tenant's name (1 to %d letters, digits and ._-, the first a "
		"letter or digit)",
		name, MLIMG_STORE_NAME_SIZE - 1);
}

static int read_tenant(const struct mlimg_db_rows *rows, struct mlimg_store_tenant *ret_tenant,
	struct mlimg_err *err)
{
	struct mlimg_store_tenant t = {.created_s = mlimg_db_number(rows, 3),
		.current = (uint32_t)mlimg_db_number(rows, 4),
		.pending = (uint32_t)mlimg_db_number(rows, 5)};
	int ret = mlimg_db_copy(rows, 0, t.id, sizeof(t.id), err);

	if (ret == 0)
		ret = mlimg_db_copy(rows, 1, t.name, sizeof(t.name), err);
	if (ret == 0)
		ret = mlimg_db_copy(rows, 2, t.user_id, sizeof(t.user_id), err);
	if (ret == 0)
		*ret_tenant = t;
	return ret;
}

/* @return 1 and the tenant, 0, -errno */
static int find(struct mlimg_store *s, const char *name, struct mlimg_store_tenant *ret_tenant,
	struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db, "SELECT " COLUMNS " FROM tenant WHERE name = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(name)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret <= 0)
		return ret;
	ret = read_tenant(&rows, ret_tenant, err);
	return ret < 0 ? ret : 1;
}

int mlimg_store_tenant_find(struct mlimg_store *s, const char *name,
	struct mlimg_store_tenant *ret_tenant, struct mlimg_err *err)
{
	int ret = find(s, name, ret_tenant, err);

	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no tenant '%.100s'", name);
	return ret < 0 ? ret : 0;
}

/* All of them before the first is told, so that who is told may change them. */
static int list(struct mlimg_store *s, struct mlimg_store_tenant **ret_tenants, size_t *ret_n,
	struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	mlimg_autofree struct mlimg_store_tenant *tenants = NULL;
	size_t n = 0, room = 0;
	int ret = mlimg_db_query(s->db, "SELECT " COLUMNS " FROM tenant ORDER BY name",
		MLIMG_DB_NO_VALUES, &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		if (n == room) {
			struct mlimg_store_tenant *bigger;

			room = room ? 2 * room : 64;
			bigger = reallocarray(tenants, room, sizeof(*tenants));
			if (!bigger)
				return mlimg_err_set(err, ENOMEM, "list tenants");
			tenants = bigger;
		}
		ret = read_tenant(&rows, &tenants[n++], err);
	}
	if (ret == 0) {
		*ret_tenants = mlimg_steal(&tenants);
		*ret_n = n;
	}
	return ret;
}

int mlimg_store_tenant_each(
	struct mlimg_store *s, mlimg_store_tenant_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_store_tenant *tenants = NULL;
	size_t n = 0;
	int ret = list(s, &tenants, &n, err);

	for (size_t i = 0; ret == 0 && i < n; i++)
		ret = fn(&tenants[i], ctx, err);
	return ret;
}

static int check_free(struct mlimg_store *s, const char *name, struct mlimg_err *err)
{
	struct mlimg_store_tenant there;
	int ret = find(s, name, &there, err);

	return ret == 1 ? mlimg_store_fail(err, EEXIST, "there is a tenant '%s' already", name)
			: ret;
}

static int fill(struct mlimg_store_op *op, const struct mlimg_store_new *new_tenant,
	char ret_user_id[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err)
{
	struct mlimg_store *s = op->store;
	mlimg_autofree char *dir = NULL;
	mlimg_autoclose int fd = -1;
	int ret;

	if (asprintf(&dir, "%s/incoming/%s", s->dir, op->token) < 0) {
		dir = NULL;
		return mlimg_err_set(err, ENOMEM, "create tenant '%s'", new_tenant->name);
	}
	if (mkdir(dir, 0700) < 0)
		return mlimg_err_set(err, errno, "make '%.300s'", dir);
	ret = new_tenant->fill(dir, ret_user_id, new_tenant->ctx, err);
	if (ret < 0)
		return ret;
	if (!mlimg_store_is_hex(ret_user_id, MLIMG_SHA256_HEX_SIZE - 1))
		return mlimg_err_set(
			err, EINVAL, "create tenant '%s': user layer's build id", new_tenant->name);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		return mlimg_err_set(err, errno, "sync '%.300s'", dir);
	return 0;
}

static int insert(struct mlimg_store *s, const struct mlimg_store_tenant *t, struct mlimg_err *err)
{
	int ret = mlimg_db_run(s->db,
		"INSERT INTO tenant (id, name, user_id, created_s) VALUES (?1, ?2, ?3, ?4)",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(t->id), MLIMG_DB_TEXT(t->name),
			MLIMG_DB_TEXT(t->user_id), MLIMG_DB_NUMBER(t->created_s)),
		err);

	if (ret >= 0)
		ret = mlimg_store_event_add(s, MLIMG_STORE_TENANT, t->id, "created", t->name, err);
	return ret < 0 ? ret : 0;
}

/* The step that counts, in a transaction. */
static int place(struct mlimg_store_op *op, const struct mlimg_store_new *new_tenant,
	struct mlimg_store_tenant *t, struct mlimg_err *err)
{
	struct mlimg_store *s = op->store;
	int ret = check_free(s, t->name, err);

	if (ret == 0)
		ret = insert(s, t, err);
	if (ret == 0 && new_tenant->n_layers) {
		ret = mlimg_store_generation_add(
			s, t->id, new_tenant->layers, new_tenant->n_layers, &t->current, err);
		if (ret == 0)
			ret = mlimg_store_generation_set_current(s, t->id, t->current, err);
	}
	if (ret == 0 && new_tenant->also)
		ret = new_tenant->also(s, t->id, new_tenant->ctx, err);
	if (ret < 0)
		return ret;
	if (renameat(s->fds[MLIMG_STORE_INCOMING], op->token, s->fds[MLIMG_STORE_TENANTS], t->id) <
		0)
		return mlimg_err_set(err, errno, "create tenant '%s'", t->name);
	ret = mlimg_store_sync(s, MLIMG_STORE_TENANTS, err);
	return ret < 0 ? ret : mlimg_store_op_finish(op, err);
}

int mlimg_store_tenant_create(struct mlimg_store *s, const struct mlimg_store_new *new_tenant,
	struct mlimg_store_tenant *ret_tenant, struct mlimg_err *err)
{
	mlimg_autoop struct mlimg_store_op op = MLIMG_STORE_OP_INIT;
	struct mlimg_store_tenant t = {.created_s = mlimg_store_now()};
	int ret = check_name(new_tenant->name, err);

	if (ret == 0)
		ret = check_free(s, new_tenant->name, err);
	if (ret == 0)
		ret = mlimg_store_random_id(t.id, err);
	if (ret == 0)
		ret = mlimg_store_op_begin(s, MLIMG_STORE_ADD_TENANT, t.id, &op, err);
	if (ret < 0)
		return ret;
	strcpy(t.name, new_tenant->name);
	ret = mlimg_store_op_announce(&op, err);
	if (ret == 0)
		ret = fill(&op, new_tenant, t.user_id, err);
	if (ret == 0)
		ret = mlimg_db_begin(s->db, err);
	if (ret < 0)
		return ret;
	ret = mlimg_db_finish(s->db, place(&op, new_tenant, &t, err), err);
	if (ret == 0)
		*ret_tenant = t;
	return ret;
}

static int rename_row(
	struct mlimg_store *s, const char *name, const char *new_name, struct mlimg_err *err)
{
	struct mlimg_store_tenant t;
	char text[2 * MLIMG_STORE_NAME_SIZE + 8];
	int ret = mlimg_store_tenant_find(s, name, &t, err);

	if (ret == 0 && strcmp(name, new_name) != 0)
		ret = check_free(s, new_name, err);
	if (ret < 0)
		return ret;
	ret = mlimg_db_run(s->db, "UPDATE tenant SET name = ?2 WHERE id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(t.id), MLIMG_DB_TEXT(new_name)), err);
	snprintf(text, sizeof(text), "%s to %s", name, new_name);
	return ret < 0 ? ret
		       : mlimg_store_event_add(s, MLIMG_STORE_TENANT, t.id, "renamed", text, err);
}

int mlimg_store_tenant_rename(
	struct mlimg_store *s, const char *name, const char *new_name, struct mlimg_err *err)
{
	int ret = check_name(new_name, err);

	if (ret == 0)
		ret = mlimg_db_begin(s->db, err);
	return ret < 0 ? ret : mlimg_db_finish(s->db, rename_row(s, name, new_name, err), err);
}

static int remove_row(
	struct mlimg_store_op *op, const struct mlimg_store_tenant *t, struct mlimg_err *err)
{
	struct mlimg_store *s = op->store;
	int ret = mlimg_store_op_announce(op, err);

	if (ret == 0)
		ret = mlimg_store_event_add(s, MLIMG_STORE_TENANT, t->id, "removed", t->name, err);
	if (ret < 0)
		return ret;
	ret = mlimg_db_run(s->db, "DELETE FROM tenant WHERE id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(t->id)), err);
	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no tenant '%s'", t->name);
	return ret < 0 ? ret : 0;
}

int mlimg_store_tenant_remove(struct mlimg_store *s, const char *name, struct mlimg_err *err)
{
	mlimg_autoop struct mlimg_store_op op = MLIMG_STORE_OP_INIT;
	struct mlimg_store_tenant t;
	int ret = mlimg_store_tenant_find(s, name, &t, err);

	if (ret == 0)
		ret = mlimg_store_op_begin(s, MLIMG_STORE_REMOVE_TENANT, t.id, &op, err);
	if (ret == 0)
		ret = mlimg_db_begin(s->db, err);
	if (ret < 0)
		return ret;
	/* From here on it is gone; its directory follows when op ends, or the store is opened next. */
	return mlimg_db_finish(s->db, remove_row(&op, &t, err), err);
}
