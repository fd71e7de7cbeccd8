/* SPDX-License-Identifier: MIT */
/*
 * The files of reconcile.d as a whole. The input is a list of them, each a byte that says whose
 * (bit 0: the user's, else the stack's; bit 1: in etc, else usr/lib; bit 2: the old stack has a
 * copy; bit 3: of the user a whiteout), a name up to a NUL, and a text up to a NUL. Then a path
 * must have a class, twice the same.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/class-files.h"

#define FILES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A text by its path. */
static struct {
	char path[320];
	const char *text;
	size_t size;
	bool is_mine;
} files[FILES_MAX];
static size_t n_files;

static int give(bool is_mine, const char *path, size_t max, char **ret_text, size_t *ret_size)
{
	for (size_t i = n_files; i-- > 0;)
		if (files[i].is_mine == is_mine && strcmp(files[i].path, path) == 0) {
			if (files[i].size > max)
				return -EFBIG;
			*ret_text = strndup(files[i].text, files[i].size);
			*ret_size = files[i].size;
			return *ret_text ? 0 : -ENOMEM;
		}
	return -ENOENT;
}

static int read_stack(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_text, size_t *ret_size)
{
	return give(false, path, max, ret_text, ret_size);
}

static int read_mine(struct mlimg_upper_source *source, const char *path, size_t max,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	return give(true, path, max, ret_text, ret_size);
}

static void left_out(const struct mlimg_err *why, void *ctx)
{
	if (!why->text[0])
		abort();
}

static void add(struct mlimg_manifest *m, const struct mlimg_entry *e)
{
	for (size_t i = 0; i < m->n_entries; i++)
		if (strcmp(m->entries[i].path, e->path) == 0)
			return;
	if (!mlimg_manifest_add(m, e))
		abort();
}

static int by_path(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(
		((const struct mlimg_entry *)a)->path, ((const struct mlimg_entry *)b)->path);
}

/* One of them. @return bytes of it */
static size_t take(const uint8_t *data, size_t size, struct mlimg_manifest *m[3])
{
	uint8_t how = data[0];
	size_t name = strnlen((const char *)data + 1, size - 1), at = name + 2, text;
	struct mlimg_entry e = {.type = MLIMG_FILE, .nlink = 1, .has_digest = true};

	if (at > size || !name || name > 255 || memchr(data + 1, '/', name))
		return size;
	text = strnlen((const char *)data + at, size - at);
	snprintf(files[n_files].path, sizeof(files[n_files].path), "%s/mlimg/reconcile.d/%.*s",
		how & 2 ? "etc" : "usr/lib", (int)name, (const char *)data + 1);
	files[n_files].text = (const char *)data + at;
	files[n_files].size = text;
	files[n_files].is_mine = how & 1;
	e.path = files[n_files++].path;
	e.size_bytes = text;
	mlimg_sha256_of((const char *)data + at, text, e.digest);
	if (how & 4)
		add(m[0], &e);
	if (how & 1 && how & 8)
		e = (struct mlimg_entry){.path = e.path, .type = MLIMG_CHAR, .nlink = 1};
	add(m[1 + (how & 1)], &e);
	return at + text + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_manifest *m[3] = {
		mlimg_manifest_new(), mlimg_manifest_new(), mlimg_manifest_new()};
	struct mlimg_upper_source upper = {.read = read_mine};
	struct mlimg_class_files all = {.before = m[0],
		.stack = m[1],
		.mine = m[2],
		.upper = &upper,
		.read = read_stack,
		.left_out = left_out};
	const char *class[2];
	struct mlimg_err err = MLIMG_ERR_INIT;

	n_files = 0;
	for (size_t at = 0; at < size && n_files < FILES_MAX;)
		at += take(data + at, size - at, m);
	for (int i = 0; i < 3; i++)
		if (m[i]->n_entries)
			qsort(m[i]->entries, m[i]->n_entries, sizeof(struct mlimg_entry), by_path);
	for (int i = 0; i < 2; i++) {
		struct mlimg_path_classes *classes = mlimg_path_classes_new();

		if (!classes || mlimg_class_files_read(&all, classes, &err) < 0)
			abort();
		class[i] = mlimg_path_class_name(mlimg_path_class_of(classes, "etc/a/b"));
		mlimg_path_classes_free(classes);
	}
	if (strcmp(class[0], class[1]) != 0)
		abort();
	for (int i = 0; i < 3; i++)
		mlimg_manifest_free(m[i]);
	return 0;
}
