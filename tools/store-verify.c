/* SPDX-License-Identifier: MIT */
/* Whether the images of the store are what its database says. */
#include "tools/store-impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/ext4-read.h"
#include "tools/layer-verify.h"
#include "tools/sidecar.h"
#include "tools/verity-check.h"

/* What lies beside an image says its root hash. */
static int read_sidecar(const char *image, struct mlimg_verity *verity, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_sidecar_done) struct mlimg_sidecar sidecar = {.is_there = false};
	int ret = mlimg_sidecar_read(image, &sidecar, err);

	if (ret < 0 || !sidecar.is_there)
		return ret;
	if (verity->data_blocks != sidecar.verity.data_blocks ||
		memcmp(verity->salt, sidecar.verity.salt, sizeof(verity->salt)) != 0)
		return mlimg_err_refuse(err, "%.200s%s: is another hash tree's, or damaged", image,
			MLIMG_SIDECAR_SUFFIX);
	strcpy(verity->root_hash, sidecar.verity.root_hash);
	return 0;
}

static int check_data(
	struct mlimg_ext4 *fs, const struct mlimg_verity *verity, struct mlimg_err *err)
{
	struct mlimg_verity_flaws flaws = {.n = 0};
	int ret = mlimg_verity_check_data(fs, verity, &flaws, err);

	if (ret == 0 && flaws.n)
		return mlimg_err_refuse(err,
			"%.200s: %llu of its blocks %s not as in its hash tree",
			mlimg_ext4_name(fs), (unsigned long long)flaws.n,
			flaws.n == 1 ? "is" : "are");
	return ret;
}

/* What vouches for the blocks first, then the contents, then the blocks. */
static int verify(struct mlimg_ext4 *fs, const struct mlimg_layer_info *info,
	const char *sidecar_of, char root_hash[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_layer_verified_done) struct mlimg_layer_verified found = {0};
	mlimg_cleanup(mlimg_verity_done) struct mlimg_verity verity = {.data_blocks = 0};
	int ret = mlimg_verity_find(fs, &verity, err);

	if (ret == 0 && sidecar_of)
		ret = read_sidecar(sidecar_of, &verity, err);
	if (ret == 0 && root_hash[0]) {
		if (!verity.data_blocks)
			return mlimg_err_refuse(
				err, "%.200s: has no hash tree any more", mlimg_ext4_name(fs));
		strcpy(verity.root_hash, root_hash);
	}
	if (ret == 0 && verity.data_blocks)
		ret = mlimg_verity_check_tree(fs, &verity, err);
	if (ret == 0)
		ret = mlimg_layer_verify(fs, info, MLIMG_LAYER_HOLES_MAX, &found, err);
	if (ret == 0)
		ret = mlimg_layer_verified_judge(&found, mlimg_ext4_name(fs), err);
	if (ret == 0 && verity.data_blocks)
		ret = check_data(fs, &verity, err);
	if (ret == 0)
		strcpy(root_hash, verity.root_hash);
	return ret;
}

int mlimg_store_image_verify(const char *path, const char *sidecar_of,
	struct mlimg_layer_info *ret_info, char root_hash[MLIMG_SHA256_HEX_SIZE],
	struct mlimg_err *err)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	int ret = mlimg_ext4_open(path, &fs, err);

	if (ret == 0)
		ret = mlimg_ext4_layer_info(fs, ret_info, err);
	return ret < 0 ? ret : verify(fs, ret_info, sidecar_of, root_hash, err);
}

static int check_file(
	const struct mlimg_store_layer *layer, const char *path, struct mlimg_err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0 && errno == ENOENT)
		return mlimg_err_refuse(err, "%.300s: is not there", path);
	if (lstat(path, &st) < 0)
		return mlimg_err_set(err, errno, "%.300s", path);
	if (!S_ISREG(st.st_mode))
		return mlimg_err_refuse(err, "%.300s: is no regular file", path);
	if ((uint64_t)st.st_size != layer->size_bytes)
		return mlimg_err_refuse(err, "%.300s: has %llu bytes, not %llu", path,
			(unsigned long long)st.st_size, (unsigned long long)layer->size_bytes);
	return 0;
}

int mlimg_store_layer_verify(
	struct mlimg_store *s, const struct mlimg_store_layer *layer, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info info = {.n_over = 0};
	mlimg_autofree char *path = mlimg_store_layer_path(s, layer->info.build_id);
	char root_hash[MLIMG_SHA256_HEX_SIZE];
	int ret;

	if (!path)
		return mlimg_err_set(err, ENOMEM, "verify");
	strcpy(root_hash, layer->root_hash);
	ret = check_file(layer, path, err);
	if (ret == 0)
		ret = mlimg_store_image_verify(path, NULL, &info, root_hash, err);
	if (ret < 0)
		return ret;
	if (strcmp(info.build_id, layer->info.build_id) != 0)
		return mlimg_err_refuse(err, "%.300s: is another layer: %s %s, build %.*s", path,
			info.name, info.version, MLIMG_SHORT_ID, info.build_id);
	return 0;
}
