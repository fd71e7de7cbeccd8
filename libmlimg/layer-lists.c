/* SPDX-License-Identifier: MIT */
/* What a layer holds beside its tree: records of databases, and what must be rebuilt. */
#include "libmlimg/layer-lists.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool mlimg_layer_path_is_valid(const char *path)
{
	size_t size = strlen(path);

	if (size > MLIMG_LAYER_PATH_MAX)
		return false;
	for (size_t i = 0; i < size; i++)
		if (!mlimg_manifest_is_plain((unsigned char)path[i]))
			return false;
	for (;;) {
		size_t n = strcspn(path, "/");

		if (n < 1 || (n == 1 && path[0] == '.') ||
			(n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (!path[n])
			return true;
		path += n + 1;
	}
}

static int check_next(const char *what, const char *path, const char *last, size_t n, size_t max,
	struct mlimg_err *err)
{
	if (!mlimg_layer_path_is_valid(path))
		return mlimg_err_refuse(err, "%s: '%.80s' is no path", what, path);
	if (n >= max)
		return mlimg_err_refuse(err, "%s: more than %zu", what, max);
	if (last && strcmp(last, path) >= 0)
		return mlimg_err_refuse(err, "%s: '%.80s' behind '%.80s'", what, path, last);
	return 0;
}

int mlimg_layer_add_records(
	struct mlimg_layer_info *info, const char *path, const char *digest, struct mlimg_err *err)
{
	size_t n = info->n_records;
	struct mlimg_layer_records *more;
	uint8_t bytes[MLIMG_SHA256_SIZE];
	int r = check_next("records", path, n ? info->records[n - 1].path : NULL, n,
		MLIMG_LAYER_RECORDS_MAX, err);

	if (r < 0)
		return r;
	if (!mlimg_sha256_is_hex(digest, bytes))
		return mlimg_err_refuse(err, "records: '%.80s' has digest '%.80s'", path, digest);
	more = reallocarray(info->records, n + 1, sizeof(*more));
	if (more)
		info->records = more;
	if (!more || !(more[n].path = strdup(path)))
		return mlimg_err_set(err, ENOMEM, "records");
	mlimg_sha256_hex(bytes, more[n].digest);
	info->n_records++;
	return 0;
}

int mlimg_layer_add_rebuild(struct mlimg_layer_info *info, const char *path, struct mlimg_err *err)
{
	size_t n = info->n_rebuild;
	char **more;
	int r = check_next(
		"rebuild", path, n ? info->rebuild[n - 1] : NULL, n, MLIMG_LAYER_REBUILD_MAX, err);

	if (r < 0)
		return r;
	more = reallocarray(info->rebuild, n + 1, sizeof(*more));
	if (more)
		info->rebuild = more;
	if (!more || !(more[n] = strdup(path)))
		return mlimg_err_set(err, ENOMEM, "rebuild");
	info->n_rebuild++;
	return 0;
}

bool mlimg_layer_has_same_lists(const struct mlimg_layer_info *a, const struct mlimg_layer_info *b)
{
	if (a->n_records != b->n_records || a->n_rebuild != b->n_rebuild)
		return false;
	for (size_t i = 0; i < a->n_records; i++)
		if (strcmp(a->records[i].path, b->records[i].path) != 0 ||
			strcmp(a->records[i].digest, b->records[i].digest) != 0)
			return false;
	for (size_t i = 0; i < a->n_rebuild; i++)
		if (strcmp(a->rebuild[i], b->rebuild[i]) != 0)
			return false;
	return true;
}

void mlimg_layer_lists_done(struct mlimg_layer_info *info)
{
	for (size_t i = 0; i < info->n_records; i++)
		free(info->records[i].path);
	for (size_t i = 0; i < info->n_rebuild; i++)
		free(info->rebuild[i]);
	free(info->records);
	free(info->rebuild);
	info->records = NULL;
	info->rebuild = NULL;
	info->n_records = info->n_rebuild = 0;
}
