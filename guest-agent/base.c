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
#include "libmlimg/text.h"

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

static bool is_leftover(const char *name, const char *base_name)
{
	if (strncmp(name, MLIMG_BASE_PREFIX, strlen(MLIMG_BASE_PREFIX)) == 0)
		return strcmp(name, base_name) != 0;
	return strncmp(name, ".mlimg-", 7) == 0;
}

void mlimg_base_remove_leftovers(int dir_fd, uint64_t generation)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(dir_fd, ".");
	char base_name[MLIMG_BASE_NAME_SIZE];
	struct dirent *entry;

	mlimg_base_name(generation, base_name);
	while (dir && (entry = readdir(dir)))
		if (is_leftover(entry->d_name, base_name))
			unlinkat(dir_fd, entry->d_name, 0);
}

static int refuse(const char *name, const char *what, struct mlimg_err *err)
{
	return mlimg_err_refuse(err,
		"user/mlimg/%s %s, so that the user's changes cannot be compared with this stack; "
		"remove "
		"it and boot once with the former stack, which writes it anew",
		name, what);
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
		return refuse(name, "is missing", err);
	if (r < 0)
		return r;
	mlimg_sha256_of(text, size, digest);
	mlimg_sha256_hex(digest, hex);
	if (strcmp(hex, state->base_sha256) != 0)
		return refuse(name, "is damaged (state.json names another digest)", err);
	r = mlimg_manifest_parse(text, size, ret_manifest, err);
	return r < 0 ? mlimg_err_wrap(err, r, "user/mlimg/%s", name) : 0;
}
