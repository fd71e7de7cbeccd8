/* SPDX-License-Identifier: MIT */
/* The rows of tenants' checkpoints. */
#include "tools/store-checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/store-impl.h"

#define COLUMNS                                                                            \
	"tag, kind, origin, state, generation, memory_bytes, cpus, machine, saved_bytes, " \
	"created_s"

static const char *const kinds[] = {
	[MLIMG_CHECKPOINT_MEMORY] = "memory",
	[MLIMG_CHECKPOINT_DISK] = "disk",
};
static const char *const origins[] = {
	[MLIMG_CHECKPOINT_NAMED] = "named",
	[MLIMG_CHECKPOINT_TIMED] = "timed",
	[MLIMG_CHECKPOINT_BEFORE] = "restore",
	[MLIMG_CHECKPOINT_UPGRADE] = "upgrade",
};
static const char *const states[] = {
	[MLIMG_CHECKPOINT_SAVED] = "saved",
	[MLIMG_CHECKPOINT_SAVING] = "saving",
	[MLIMG_CHECKPOINT_RESTORING] = "restoring",
	[MLIMG_CHECKPOINT_DELETING] = "deleting",
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

/* The database allows no other words. */
static unsigned index_of(const char *const words[], size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], word) == 0)
			return (unsigned)i;
	return 0;
}

const char *mlimg_checkpoint_kind_name(enum mlimg_checkpoint_kind kind)
{
	return kinds[kind];
}

const char *mlimg_checkpoint_origin_name(enum mlimg_checkpoint_origin origin)
{
	return origins[origin];
}

static int read_row(const struct mlimg_db_rows *rows, struct mlimg_checkpoint *ret_checkpoint,
	struct mlimg_err *err)
{
	struct mlimg_checkpoint c = {
		.kind = index_of(kinds, N(kinds), mlimg_db_text(rows, 1)),
		.origin = index_of(origins, N(origins), mlimg_db_text(rows, 2)),
		.state = index_of(states, N(states), mlimg_db_text(rows, 3)),
		.generation = (uint32_t)mlimg_db_number(rows, 4),
		.machine = {.memory_bytes = (uint64_t)mlimg_db_number(rows, 5),
			.cpus = (unsigned)mlimg_db_number(rows, 6)},
		.saved_bytes = (uint64_t)mlimg_db_number(rows, 8),
		.created_s = mlimg_db_number(rows, 9),
	};
	int ret = mlimg_db_copy(rows, 0, c.tag, sizeof(c.tag), err);

	if (ret == 0)
		ret = mlimg_db_copy(rows, 7, c.machine.devices, sizeof(c.machine.devices), err);
	if (ret == 0)
		*ret_checkpoint = c;
	return ret;
}

static int no_checkpoint(const char *tag, struct mlimg_err *err)
{
	return mlimg_store_fail(err, ENOENT, "no checkpoint '%.100s'", tag);
}

int mlimg_store_checkpoint_get(struct mlimg_store *s, const char *tenant_id, const char *tag,
	struct mlimg_checkpoint *ret_checkpoint, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db,
		"SELECT " COLUMNS " FROM checkpoint WHERE tenant_id = ?1 AND tag = ?2",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(tenant_id), MLIMG_DB_TEXT(tag)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret == 0)
		return no_checkpoint(tag, err);
	return ret < 0 ? ret : read_row(&rows, ret_checkpoint, err);
}

static int insert(struct mlimg_store *s, const char *tenant_id, const struct mlimg_checkpoint *c,
	struct mlimg_err *err)
{
	struct mlimg_checkpoint there;
	int ret = mlimg_store_checkpoint_get(s, tenant_id, c->tag, &there, err);

	if (ret == 0)
		return mlimg_store_fail(err, EEXIST, "there is a checkpoint '%s' already", c->tag);
	if (ret != -ENOENT)
		return ret;
	ret = mlimg_db_run(s->db,
		"INSERT INTO checkpoint (tenant_id, " COLUMNS ") "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(tenant_id), MLIMG_DB_TEXT(c->tag),
			MLIMG_DB_TEXT(kinds[c->kind]), MLIMG_DB_TEXT(origins[c->origin]),
			MLIMG_DB_TEXT(states[c->state]), MLIMG_DB_NUMBER(c->generation),
			MLIMG_DB_NUMBER(c->machine.memory_bytes), MLIMG_DB_NUMBER(c->machine.cpus),
			MLIMG_DB_TEXT(c->machine.devices), MLIMG_DB_NUMBER(c->saved_bytes),
			MLIMG_DB_NUMBER(c->created_s)),
		err);
	return ret < 0 ? ret : 0;
}

int mlimg_checkpoint_tag_check(const char *tag, struct mlimg_err *err)
{
	if (mlimg_store_name_is_valid(tag))
		return 0;
	return mlimg_err_usage(err,
		"'%.100s' cannot be a checkpoint's tag (1 to %d letters, digits and ._-, the first "
		"a letter or digit)",
		tag, MLIMG_CHECKPOINT_TAG_SIZE - 1);
}

int mlimg_store_checkpoint_add(struct mlimg_store *s, const char *tenant_id,
	const struct mlimg_checkpoint *checkpoint, struct mlimg_err *err)
{
	int ret = mlimg_checkpoint_tag_check(checkpoint->tag, err);

	if (ret == 0)
		ret = mlimg_db_begin(s->db, err);
	return ret < 0 ? ret : mlimg_db_finish(s->db, insert(s, tenant_id, checkpoint, err), err);
}

/* All of them before the first is told, so that who is told may change them. */
static int list(struct mlimg_store *s, const char *tenant_id,
	struct mlimg_checkpoint **ret_checkpoints, size_t *ret_n, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	mlimg_autofree struct mlimg_checkpoint *checkpoints = NULL;
	size_t n = 0, room = 0;
	int ret = mlimg_db_query(s->db,
		"SELECT " COLUMNS " FROM checkpoint WHERE tenant_id = ?1 ORDER BY number",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(tenant_id)), &rows, err);

	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		if (n == room) {
			struct mlimg_checkpoint *bigger;

			room = room ? 2 * room : 16;
			bigger = reallocarray(checkpoints, room, sizeof(*checkpoints));
			if (!bigger)
				return mlimg_err_set(err, ENOMEM, "list checkpoints");
			checkpoints = bigger;
		}
		ret = read_row(&rows, &checkpoints[n++], err);
	}
	if (ret == 0) {
		*ret_checkpoints = mlimg_steal(&checkpoints);
		*ret_n = n;
	}
	return ret;
}

int mlimg_store_checkpoint_each(struct mlimg_store *s, const char *tenant_id,
	mlimg_store_checkpoint_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_checkpoint *checkpoints = NULL;
	size_t n = 0;
	int ret = list(s, tenant_id, &checkpoints, &n, err);

	for (size_t i = 0; ret == 0 && i < n; i++)
		ret = fn(&checkpoints[i], ctx, err);
	return ret;
}

int mlimg_store_checkpoint_set(struct mlimg_store *s, const char *tenant_id, const char *tag,
	enum mlimg_checkpoint_state state, uint64_t saved_bytes, struct mlimg_err *err)
{
	int ret = mlimg_db_run(s->db,
		"UPDATE checkpoint SET state = ?3, saved_bytes = ?4 "
		"WHERE tenant_id = ?1 AND tag = ?2",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(tenant_id), MLIMG_DB_TEXT(tag),
			MLIMG_DB_TEXT(states[state]), MLIMG_DB_NUMBER(saved_bytes)),
		err);

	if (ret == 0)
		return no_checkpoint(tag, err);
	return ret < 0 ? ret : 0;
}

int mlimg_store_checkpoint_remove(
	struct mlimg_store *s, const char *tenant_id, const char *tag, struct mlimg_err *err)
{
	int ret = mlimg_db_run(s->db, "DELETE FROM checkpoint WHERE tenant_id = ?1 AND tag = ?2",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(tenant_id), MLIMG_DB_TEXT(tag)), err);

	if (ret == 0)
		return no_checkpoint(tag, err);
	return ret < 0 ? ret : 0;
}
