/* SPDX-License-Identifier: MIT */
/* Whether database and directory of the store agree. */
#include "tools/store-check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/io.h"
#include "tools/store-base.h"

/* What names in a directory of the store can be. */
static bool is_image_name(const char *name)
{
	return strlen(name) == 68 && strspn(name, "0123456789abcdef") == 64 &&
		strcmp(name + 64, ".img") == 0;
}

/* @return 1 when a row knows it, 0, -errno */
static int is_known(struct mlimg_store *s, enum mlimg_store_place place, const char *name,
	struct mlimg_err *err)
{
	char id[MLIMG_SHA256_HEX_SIZE];
	int64_t one;

	snprintf(id, sizeof(id), "%.64s", name);
	if (place == MLIMG_STORE_BASES)
		return mlimg_db_get(s->db,
			"SELECT 1 FROM base WHERE id = ?1 UNION ALL "
			"SELECT 1 FROM operation WHERE token = ?1",
			MLIMG_DB_VALUES(MLIMG_DB_TEXT(id)), &one, err);
	return mlimg_db_get(s->db,
		place == MLIMG_STORE_LAYERS ? "SELECT 1 FROM layer WHERE build_id = ?1 UNION ALL "
					      "SELECT 1 FROM operation WHERE object_id = ?1"
					    : "SELECT 1 FROM tenant WHERE id = ?1 UNION ALL "
					      "SELECT 1 FROM operation WHERE object_id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id)), &one, err);
}

static int check_entry(struct mlimg_store *s, enum mlimg_store_place place, const char *name,
	mlimg_store_finding_fn *fn, void *ctx, struct mlimg_err *err)
{
	bool is_image = place == MLIMG_STORE_LAYERS && is_image_name(name);
	bool is_dir = (place == MLIMG_STORE_TENANTS || place == MLIMG_STORE_BASES) &&
		mlimg_store_is_hex(name, MLIMG_STORE_ID_SIZE - 1);
	struct mlimg_store_finding finding = {
		.found = is_image ? MLIMG_STORE_ORPHAN : MLIMG_STORE_FOREIGN};
	mlimg_autofree char *path = NULL;
	struct stat st;
	int ret = is_image || is_dir ? is_known(s, place, name, err) : 0;

	if (ret)
		return ret < 0 ? ret : 0;
	/* Somebody may be removing it. */
	if (fstatat(s->fds[place], name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (is_image && !S_ISREG(st.st_mode))
		finding.found = MLIMG_STORE_FOREIGN;
	if (asprintf(&path, "%s/%s", mlimg_store_dirs[place].name, name) < 0) {
		path = NULL;
		return mlimg_err_set(err, ENOMEM, "check the store");
	}
	finding.what = path;
	finding.size_bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	return fn(&finding, ctx, err);
}

static int check_place(struct mlimg_store *s, enum mlimg_store_place place,
	mlimg_store_finding_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(s->fds[place], ".");
	const struct dirent *entry;
	int ret = 0;

	while (dir && ret == 0 && (errno = 0, (entry = readdir(dir))))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ret = check_entry(s, place, entry->d_name, fn, ctx, err);
	if (ret == 0 && errno)
		ret = mlimg_err_set(
			err, errno, "read '%.300s/%s'", s->dir, mlimg_store_dirs[place].name);
	return ret;
}

int mlimg_store_check_files(
	struct mlimg_store *s, mlimg_store_finding_fn *fn, void *ctx, struct mlimg_err *err)
{
	int ret = check_place(s, MLIMG_STORE_LAYERS, fn, ctx, err);

	if (ret == 0)
		ret = check_place(s, MLIMG_STORE_TENANTS, fn, ctx, err);
	return ret < 0 ? ret : check_place(s, MLIMG_STORE_BASES, fn, ctx, err);
}

/* A row's file. */
struct lost {
	struct mlimg_store *store;
	mlimg_store_finding_fn *fn;
	void *ctx;
};

static int tell_lost(
	const struct lost *lost, const char *dir, const char *name, struct mlimg_err *err)
{
	struct mlimg_store_finding finding = {.found = MLIMG_STORE_LOST};
	char what[MLIMG_STORE_FILE_SIZE + 16];

	snprintf(what, sizeof(what), "%s/%s", dir, name);
	finding.what = what;
	return lost->fn(&finding, lost->ctx, err);
}

static int check_layer(const struct mlimg_store_layer *layer, void *ctx, struct mlimg_err *err)
{
	const struct lost *lost = ctx;
	char name[MLIMG_STORE_FILE_SIZE];

	mlimg_store_image_name(layer->info.build_id, name);
	if (faccessat(lost->store->fds[MLIMG_STORE_LAYERS], name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return tell_lost(lost, "layers", name, err);
}

static int check_tenant(const struct mlimg_store_tenant *tenant, void *ctx, struct mlimg_err *err)
{
	const struct lost *lost = ctx;

	if (faccessat(lost->store->fds[MLIMG_STORE_TENANTS], tenant->id, F_OK,
		    AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return tell_lost(lost, "tenants", tenant->id, err);
}

/* PRAGMA integrity_check says "ok" in its only row, or what is wrong. */
static int check_db(
	struct mlimg_store *s, mlimg_store_finding_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	struct mlimg_store_finding finding = {.found = MLIMG_STORE_DAMAGED};
	char what[256];
	int64_t n_broken = 0;
	int ret =
		mlimg_db_query(s->db, "PRAGMA integrity_check(10)", MLIMG_DB_NO_VALUES, &rows, err);

	finding.what = what;
	while (ret == 0 && (ret = mlimg_db_next(&rows, err)) == 1) {
		ret = 0;
		snprintf(what, sizeof(what), MLIMG_STORE_DB ": %s", mlimg_db_text(&rows, 0));
		if (strcmp(mlimg_db_text(&rows, 0), "ok") != 0)
			ret = fn(&finding, ctx, err);
	}
	if (ret == 0)
		ret = mlimg_db_get(s->db, "SELECT count(*) FROM pragma_foreign_key_check",
			MLIMG_DB_NO_VALUES, &n_broken, err);
	if (ret < 0 || n_broken == 0)
		return ret < 0 ? ret : 0;
	snprintf(what, sizeof(what), MLIMG_STORE_DB ": %lld rows refer to what is not there",
		(long long)n_broken);
	return fn(&finding, ctx, err);
}

int mlimg_store_check(
	struct mlimg_store *s, mlimg_store_finding_fn *fn, void *ctx, struct mlimg_err *err)
{
	struct lost lost = {s, fn, ctx};
	int ret = check_db(s, fn, ctx, err);

	if (ret == 0)
		ret = mlimg_store_layer_each(s, 0, check_layer, &lost, err);
	if (ret == 0)
		ret = mlimg_store_tenant_each(s, check_tenant, &lost, err);
	if (ret == 0)
		ret = mlimg_store_base_check(s, fn, ctx, err);
	return ret < 0 ? ret : mlimg_store_check_files(s, fn, ctx, err);
}
