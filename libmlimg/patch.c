/* SPDX-License-Identifier: MIT */
#include "libmlimg/patch.h"

#include <string.h>

#include "libmlimg/whiteout.h"

bool mlimg_manifest_is_patch(const struct mlimg_manifest *m)
{
	for (size_t i = 0; i < m->n_header; i++)
		if (strcmp(m->header[i], "kind patch") == 0)
			return true;
	return false;
}

bool mlimg_entry_has_reference(const struct mlimg_entry *entry)
{
	return mlimg_entry_xattr(entry, MLIMG_XATTR_METACOPY) ||
		mlimg_entry_xattr(entry, MLIMG_XATTR_REDIRECT);
}

/* "a/b", without components that would lead elsewhere than they say. */
static bool is_plain_path(const char *path)
{
	for (;;) {
		size_t size = strcspn(path, "/");

		if (size == 0 || size > MLIMG_NAME_MAX || (size == 1 && path[0] == '.') ||
			(size == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (!path[size])
			return true;
		path += size + 1;
	}
}

int mlimg_reference_path(const struct mlimg_entry *entry, const char **ret_path,
	char buf[MLIMG_REDIRECT_MAX], struct mlimg_err *err)
{
	const struct mlimg_xattr *metacopy = mlimg_entry_xattr(entry, MLIMG_XATTR_METACOPY);
	const struct mlimg_xattr *redirect = mlimg_entry_xattr(entry, MLIMG_XATTR_REDIRECT);

	if (entry->type != MLIMG_FILE)
		return mlimg_err_refuse(err, "'%s': a %s refers to contents elsewhere", entry->path,
			mlimg_type_name(entry->type));
	if (!metacopy || metacopy->size)
		return mlimg_err_refuse(
			err, "'%s': %s is missing or not empty", entry->path, MLIMG_XATTR_METACOPY);
	*ret_path = entry->path;
	if (!redirect)
		return 0;
	if (redirect->size < 2 || redirect->size > MLIMG_REDIRECT_MAX || redirect->value[0] != '/')
		return mlimg_err_refuse(err, "'%s': %s is no absolute path of at most %d bytes",
			entry->path, MLIMG_XATTR_REDIRECT, MLIMG_REDIRECT_MAX);
	memcpy(buf, redirect->value + 1, redirect->size - 1);
	buf[redirect->size - 1] = '\0';
	if (strlen(buf) != redirect->size - 1 || !is_plain_path(buf))
		return mlimg_err_refuse(
			err, "'%s': %s is no path to a file", entry->path, MLIMG_XATTR_REDIRECT);
	*ret_path = buf;
	return 0;
}

/* Whether a layer that has nothing at @path hides what lies there beneath it. */
static bool hides(const struct mlimg_manifest *layer, const char *path)
{
	char above[MLIMG_PATH_MAX + 1];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		const struct mlimg_entry *e;

		memcpy(above, path, (size_t)(slash - path));
		above[slash - path] = '\0';
		e = mlimg_manifest_find(layer, above);
		if (!e)
			return false;
		if (e->type != MLIMG_DIR || mlimg_entry_is_opaque(e))
			return true;
	}
	return false;
}

/* The topmost layer below @layer that has something at @path. @return whether there is one */
static bool find_beneath(const struct mlimg_manifest *const *layers, size_t *layer,
	const char *path, const struct mlimg_entry **ret_entry)
{
	while ((*layer)--) {
		*ret_entry = mlimg_manifest_find(layers[*layer], path);
		if (*ret_entry)
			return true;
		if (hides(layers[*layer], path))
			return false;
	}
	return false;
}

static bool is_same_content(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	return a->size_bytes == b->size_bytes &&
		(!a->has_digest || !b->has_digest ||
			memcmp(a->digest, b->digest, sizeof(a->digest)) == 0);
}

int mlimg_reference_follow(const struct mlimg_manifest *const *layers, size_t layer,
	const struct mlimg_entry *entry, size_t *ret_layer, const struct mlimg_entry **ret_entry,
	struct mlimg_err *err)
{
	const struct mlimg_entry *e = entry;
	char buf[MLIMG_REDIRECT_MAX];
	const char *path;

	while (mlimg_entry_has_reference(e)) {
		int r = mlimg_reference_path(e, &path, buf, err);

		if (r < 0)
			return r;
		if (!mlimg_manifest_is_patch(layers[layer]))
			return mlimg_err_refuse(err,
				"'%s': has %s, which only a patch layer may have", e->path,
				MLIMG_XATTR_METACOPY);
		if (!find_beneath(layers, &layer, path, &e) || e->type != MLIMG_FILE)
			return mlimg_err_refuse(err,
				"'%s': refers to contents at '%s', where there is no file beneath",
				entry->path, path);
	}
	if (!is_same_content(e, entry))
		return mlimg_err_refuse(err, "'%s': refers to contents at '%s', which are others",
			entry->path, e->path);
	*ret_layer = layer;
	*ret_entry = e;
	return 0;
}
