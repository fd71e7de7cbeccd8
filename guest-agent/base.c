/* SPDX-License-Identifier: MIT */
#include "guest-agent/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/merge.h"
#include "libmlimg/packages.h"
#include "libmlimg/text.h"

/* Room for the list of texts in front of them. */
#define TEXTS_LIST_MAX ((size_t)MLIMG_BASE_TEXTS_N_MAX * 80 + 64)

void mlimg_base_name(uint64_t generation, char ret_name[MLIMG_BASE_NAME_SIZE])
{
	snprintf(ret_name, MLIMG_BASE_NAME_SIZE, MLIMG_BASE_PREFIX "%" PRIu64, generation);
}

int mlimg_base_load(const struct mlimg_mounted *layers, size_t n_layers,
	struct mlimg_merged *merged, struct mlimg_err *err)
{
	int r = 0;

	for (size_t i = 0; i < n_layers && r == 0; i++)
		if (!merged->layers[i])
			r = mlimg_mounted_manifest(&layers[i], &merged->layers[i], err);
	return r;
}

int mlimg_base_merge(const struct mlimg_mounted *layers, size_t n_layers,
	const struct mlimg_manifest *composed, struct mlimg_merged *merged, struct mlimg_err *err)
{
	const struct mlimg_manifest *all[MLIMG_BOOT_LAYERS_MAX + 1];
	int r = mlimg_base_load(layers, n_layers, merged, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n_layers; i++)
		all[i] = merged->layers[i];
	all[n_layers] = composed;
	return mlimg_manifest_merge(all, n_layers + (composed != NULL), &merged->merged, err);
}

void mlimg_merged_done(struct mlimg_merged *merged)
{
	mlimg_manifest_free(merged->merged);
	for (size_t i = 0; i < MLIMG_BOOT_LAYERS_MAX; i++)
		mlimg_manifest_free(merged->layers[i]);
	memset(merged, 0, sizeof(*merged));
}

int mlimg_base_write(int dir_fd, const struct mlimg_manifest *manifest,
	struct mlimg_boot_state *state, struct mlimg_err *err)
{
	char name[MLIMG_BASE_NAME_SIZE];
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_text text = {0};
	int r;

	mlimg_base_name(state->generation, name);
	mlimg_manifest_put(manifest, mlimg_text_put, &text);
	if (text.has_failed) {
		r = mlimg_err_set(err, ENOMEM, "write 'user/mlimg/%s'", name);
	} else {
		r = mlimg_replace_file(dir_fd, name, text.data, text.size, 0644, err);
		if (r < 0)
			r = mlimg_err_wrap(err, r, "user/mlimg");
	}
	if (r == 0) {
		mlimg_sha256_of(text.data, text.size, digest);
		mlimg_sha256_hex(digest, state->base_sha256);
		state->base_size_bytes = text.size;
	}
	free(text.data);
	return r;
}

bool mlimg_base_is_there(int dir_fd, const struct mlimg_boot_state *state)
{
	char name[MLIMG_BASE_NAME_SIZE];
	struct stat st;

	mlimg_base_name(state->generation, name);
	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		(uint64_t)st.st_size == state->base_size_bytes;
}

static bool is_leftover(const char *name, const char *generation)
{
	static const char *const prefixes[] = {MLIMG_BASE_PREFIX, MLIMG_TEXTS_PREFIX};

	for (size_t i = 0; i < 2; i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return strcmp(name + strlen(prefixes[i]), generation) != 0;
	return strncmp(name, ".mlimg-", 7) == 0;
}

void mlimg_base_remove_leftovers(int dir_fd, uint64_t generation)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(dir_fd, ".");
	struct dirent *entry;
	char number[24];

	snprintf(number, sizeof(number), "%" PRIu64, generation);
	while (dir && (entry = readdir(dir)))
		if (is_leftover(entry->d_name, number))
			unlinkat(dir_fd, entry->d_name, 0);
}

int mlimg_base_read(const struct mlimg_mounted *user, const struct mlimg_boot_state *state,
	struct mlimg_manifest **ret_manifest, struct mlimg_err *err)
{
	char name[MLIMG_BASE_NAME_SIZE], path[MLIMG_BASE_NAME_SIZE + 8], hex[MLIMG_SHA256_HEX_SIZE];
	uint8_t digest[MLIMG_SHA256_SIZE];
	mlimg_autofree char *text = NULL;
	size_t size;
	int r;

	mlimg_base_name(state->generation, name);
	snprintf(path, sizeof(path), "mlimg/%s", name);
	r = mlimg_mounted_read(user, path, MLIMG_MANIFEST_SIZE_MAX, &text, &size, err);
	if (r == -ENOENT)
		return mlimg_err_refuse(err,
			"user/mlimg/%s is missing: boot once with the former stack, which writes "
			"it anew",
			name);
	if (r < 0)
		return r;
	mlimg_sha256_of(text, size, digest);
	mlimg_sha256_hex(digest, hex);
	if (strcmp(hex, state->base_sha256) != 0)
		return mlimg_err_refuse(err,
			"user/mlimg/%s is damaged (state.json names another digest): remove it "
			"and boot once with the former stack, which writes it anew",
			name);
	r = mlimg_manifest_parse(text, size, ret_manifest, err);
	return r < 0 ? mlimg_err_wrap(err, r, "user/mlimg/%s", name) : 0;
}

/* --- texts --- */

static void texts_name(uint64_t generation, char ret_name[MLIMG_BASE_NAME_SIZE])
{
	snprintf(ret_name, MLIMG_BASE_NAME_SIZE, MLIMG_TEXTS_PREFIX "%" PRIu64, generation);
}

/*
 * @return the bytes that a text may have; 0: it is none. Of dpkg's files most are a package's own,
 * and go with it as they are
 */
static size_t max_of(enum mlimg_path_class class, const char *path)
{
	switch (class) {
	case MLIMG_CLASS_CONFIG:
	case MLIMG_CLASS_MERGE: return MLIMG_BASE_TEXT_MAX;
	case MLIMG_CLASS_ACCOUNTS: return MLIMG_RECORDS_SIZE_MAX;
	case MLIMG_CLASS_PACKAGES:
		return mlimg_packages_is_database(path) ? MLIMG_RECORDS_SIZE_MAX : 0;
	default: return 0;
	}
}

static bool is_small(enum mlimg_path_class class)
{
	return class == MLIMG_CLASS_CONFIG || class == MLIMG_CLASS_MERGE;
}

static int collect_texts(const struct mlimg_manifest *manifest, const struct mlimg_lowers *lowers,
	const struct mlimg_path_classes *classes, struct mlimg_base_texts *texts)
{
	uint64_t config = 0, all = 0;

	for (size_t i = 0; i < manifest->n_entries; i++) {
		const struct mlimg_entry *e = &manifest->entries[i];
		enum mlimg_path_class class;
		size_t size = 0;
		char *data;
		int r;

		if (e->type != MLIMG_FILE || !e->has_digest || e->size_bytes == 0)
			continue;
		class = mlimg_path_class_of(classes, e->path);
		if (e->size_bytes > max_of(class, e->path) ||
			all + e->size_bytes > MLIMG_BASE_TEXTS_MAX - TEXTS_LIST_MAX ||
			(is_small(class) && config + e->size_bytes > MLIMG_BASE_TEXTS_SUM_MAX))
			continue;
		r = mlimg_lowers_read(lowers, e->path, e->digest, e->size_bytes, &data, &size);
		if (r == 0) {
			r = mlimg_base_texts_add(texts, e->digest, data, size);
			if (r < 0)
				free(data);
		}
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			continue;
		all += size;
		config += is_small(class) ? size : 0;
	}
	return 0;
}

int mlimg_base_write_texts(int dir_fd, const struct mlimg_manifest *manifest,
	const struct mlimg_lowers *lowers, const struct mlimg_path_classes *classes,
	struct mlimg_boot_state *state, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_base_texts_done) struct mlimg_base_texts texts = {0};
	char name[MLIMG_BASE_NAME_SIZE];
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_text text = {0};
	int r = collect_texts(manifest, lowers, classes, &texts);

	state->texts_sha256[0] = '\0';
	state->texts_size_bytes = 0;
	texts_name(state->generation, name);
	if (r == 0)
		mlimg_base_texts_put(&texts, mlimg_text_put, &text);
	if (r < 0 || text.has_failed)
		r = mlimg_err_set(err, ENOMEM, "write 'user/mlimg/%s'", name);
	if (r == 0)
		r = mlimg_replace_file(dir_fd, name, text.data, text.size, 0600, err);
	if (r == 0) {
		mlimg_sha256_of(text.data, text.size, digest);
		mlimg_sha256_hex(digest, state->texts_sha256);
		state->texts_size_bytes = text.size;
	}
	free(text.data);
	return r;
}

static int read_texts(const struct mlimg_mounted *user, const char *path,
	const struct mlimg_boot_state *state, struct mlimg_base_texts *ret_texts,
	struct mlimg_err *err)
{
	char hex[MLIMG_SHA256_HEX_SIZE];
	uint8_t digest[MLIMG_SHA256_SIZE];
	mlimg_autofree char *text = NULL;
	size_t size;
	int r;

	memset(ret_texts, 0, sizeof(*ret_texts));
	if (!state->texts_sha256[0])
		return 0;
	r = mlimg_mounted_read(user, path, MLIMG_BASE_TEXTS_MAX, &text, &size, err);
	if (r < 0)
		return r;
	mlimg_sha256_of(text, size, digest);
	mlimg_sha256_hex(digest, hex);
	if (strcmp(hex, state->texts_sha256) != 0)
		return mlimg_err_refuse(err, "user/%s is damaged", path);
	r = mlimg_base_texts_parse(text, size, ret_texts, err);
	if (r == 0)
		mlimg_steal(&text);
	return r;
}

int mlimg_base_read_texts(const struct mlimg_mounted *user, const struct mlimg_boot_state *state,
	struct mlimg_base_texts *ret_texts, struct mlimg_err *err)
{
	char name[MLIMG_BASE_NAME_SIZE], path[MLIMG_BASE_NAME_SIZE + 8];

	texts_name(state->generation, name);
	snprintf(path, sizeof(path), "mlimg/%s", name);
	return read_texts(user, path, state, ret_texts, err);
}

int mlimg_base_read_taken(const struct mlimg_mounted *user, const char *dir,
	const struct mlimg_boot_state *state, struct mlimg_manifest **ret_manifest,
	struct mlimg_base_texts *ret_texts, struct mlimg_err *err)
{
	char path[128], hex[MLIMG_SHA256_HEX_SIZE];
	uint8_t digest[MLIMG_SHA256_SIZE];
	mlimg_autofree char *text = NULL;
	struct mlimg_manifest *manifest = NULL;
	size_t size;
	int r;

	snprintf(path, sizeof(path), "%s/base.manifest", dir);
	r = mlimg_mounted_read(user, path, MLIMG_MANIFEST_SIZE_MAX, &text, &size, err);
	if (r < 0)
		return r;
	mlimg_sha256_of(text, size, digest);
	mlimg_sha256_hex(digest, hex);
	if (strcmp(hex, state->base_sha256) != 0)
		return mlimg_err_refuse(err, "user/%s is damaged", path);
	r = mlimg_manifest_parse(text, size, &manifest, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "user/%s", path);
	snprintf(path, sizeof(path), "%s/base.texts", dir);
	r = read_texts(user, path, state, ret_texts, err);
	if (r < 0)
		mlimg_manifest_free(manifest);
	else
		*ret_manifest = manifest;
	return r;
}
