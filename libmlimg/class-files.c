/* SPDX-License-Identifier: MIT */
#include "libmlimg/class-files.h"

#include <errno.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"
#include "libmlimg/upper-view.h"

static const char *const dirs[] = {"usr/lib/mlimg/" MLIMG_CLASS_DIR, "etc/mlimg/" MLIMG_CLASS_DIR};

struct reading {
	const struct mlimg_class_files *files;
	struct mlimg_path_classes *classes;
};

static bool is_conf(const char *name)
{
	size_t size = strlen(name);

	return size > 5 && name[0] != '.' && strcmp(name + size - 5, ".conf") == 0;
}

static void leave_out(const struct reading *r, const struct mlimg_err *why)
{
	if (r->files->left_out)
		r->files->left_out(why, r->files->left_out_ctx);
}

/* What a file has, or why it is left out. @return 0, -ENOMEM */
static int take(struct reading *r, const char *path, int got, const char *text, size_t size)
{
	struct mlimg_err why = MLIMG_ERR_INIT;
	int ret = got < 0 ? mlimg_err_set(&why, got, "%s", path)
			  : mlimg_path_classes_add(r->classes, path, text, size, &why);

	if (ret < 0 && ret != -ENOMEM)
		leave_out(r, &why);
	return ret == -ENOMEM ? ret : 0;
}

/* --- the layers' --- */

static bool is_text(const struct mlimg_entry *e)
{
	return e && e->type == MLIMG_FILE && (e->has_digest || e->size_bytes == 0);
}

static bool has_text(const struct mlimg_entry *e, const char *text, size_t size)
{
	uint8_t digest[MLIMG_SHA256_SIZE];

	if (!is_text(e) || e->size_bytes != size)
		return false;
	mlimg_sha256_of(text, size, digest);
	return size == 0 || memcmp(digest, e->digest, sizeof(digest)) == 0;
}

/* The upper's file, unless it is a copy of a layer's. @return 1 when it is a copy, 0, -errno */
static int read_own(const struct reading *r, const char *path, char **ret_text, size_t *ret_size)
{
	const struct mlimg_class_files *f = r->files;
	int ret = f->upper->read(f->upper, path, MLIMG_CLASS_FILE_MAX, ret_text, ret_size, NULL);

	if (ret < 0)
		return ret;
	return has_text(mlimg_manifest_find(f->before, path), *ret_text, *ret_size) ||
		has_text(mlimg_manifest_find(f->stack, path), *ret_text, *ret_size);
}

/* @return whether the new stack's file is what shows there, or will be; -ENOMEM */
static int shows(const struct reading *r, const char *path)
{
	mlimg_autofree char *text = NULL;
	struct mlimg_seen seen;
	size_t size;
	int ret;

	if (!r->files->mine)
		return true;
	mlimg_upper_see(r->files->mine, r->files->before, path, &seen);
	if (seen.kind == MLIMG_SEEN_STACK)
		return strcmp(seen.lower, path) == 0;
	if (seen.kind != MLIMG_SEEN_UPPER || seen.entry->type != MLIMG_FILE)
		return false;
	ret = read_own(r, path, &text, &size);
	return ret == -ENOMEM ? ret : ret == 1;
}

static int take_layers(struct reading *r, const struct mlimg_entry *e)
{
	mlimg_autofree char *text = NULL;
	size_t size = 0;
	int ret = shows(r, e->path);

	if (ret <= 0)
		return ret;
	ret = 0;
	if (e->size_bytes > MLIMG_CLASS_FILE_MAX)
		ret = -EFBIG;
	else if (e->size_bytes && (!r->files->read || !e->has_digest))
		ret = -EIO;
	else if (e->size_bytes)
		ret = r->files->read(
			e->path, e->digest, MLIMG_CLASS_FILE_MAX, r->files->read_ctx, &text, &size);
	return take(r, e->path, ret, text, size);
}

/* --- the user's --- */

static int take_users(struct reading *r, const struct mlimg_entry *e)
{
	mlimg_autofree char *text = NULL;
	size_t size = 0;
	int ret = read_own(r, e->path, &text, &size);

	return ret == 1 ? 0 : take(r, e->path, ret, text, size);
}

/* --- both --- */

static int take_dir(struct reading *r, const struct mlimg_manifest *m, const char *dir,
	int (*fn)(struct reading *, const struct mlimg_entry *))
{
	size_t n = 0, depth = mlimg_path_depth(dir) + 1;
	int ret = 0;

	for (size_t i = mlimg_manifest_first_from(m, dir); i < m->n_entries && ret == 0; i++) {
		const struct mlimg_entry *e = &m->entries[i];
		struct mlimg_err why = MLIMG_ERR_INIT;

		if (strcmp(e->path, dir) == 0)
			continue;
		if (!mlimg_path_is_below(e->path, dir))
			break;
		if (e->type != MLIMG_FILE || mlimg_path_depth(e->path) != depth ||
			!is_conf(mlimg_path_name(e->path)))
			continue;
		if (n++ < MLIMG_CLASS_FILES_MAX) {
			ret = fn(r, e);
			continue;
		}
		if (mlimg_err_refuse(&why, "%s: more than %d files", dir, MLIMG_CLASS_FILES_MAX))
			leave_out(r, &why);
		break;
	}
	return ret;
}

int mlimg_class_files_read(const struct mlimg_class_files *files,
	struct mlimg_path_classes *classes, struct mlimg_err *err)
{
	struct reading r = {files, classes};
	int ret = 0;

	for (size_t i = 0; i < 2 && ret == 0; i++)
		ret = take_dir(&r, files->stack, dirs[i], take_layers);
	for (size_t i = 0; i < 2 && ret == 0 && files->mine; i++)
		ret = take_dir(&r, files->mine, dirs[i], take_users);
	return ret < 0 ? mlimg_err_set(err, ret, "read " MLIMG_CLASS_DIR) : 0;
}
