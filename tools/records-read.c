/* SPDX-License-Identifier: MIT */
#include "tools/records-read.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/records.h"

int mlimg_records_read(struct mlimg_ext4 *fs, const struct mlimg_layer_records *records,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	char path[sizeof(MLIMG_RECORDS_DIR) + 1 + MLIMG_LAYER_PATH_MAX];
	mlimg_autofree char *text = NULL;
	uint8_t digest[MLIMG_SHA256_SIZE];
	char hex[MLIMG_SHA256_HEX_SIZE];
	size_t size;
	int r;

	snprintf(path, sizeof(path), "%s/%s", MLIMG_RECORDS_DIR, records->path);
	r = mlimg_ext4_read_file(fs, "/", path, MLIMG_RECORDS_SIZE_MAX, &text, &size, err);
	if (r == -ENOENT || r == -ENOTDIR)
		return mlimg_err_refuse(
			err, "%.200s: there is no %s in it", mlimg_ext4_name(fs), path);
	if (r < 0)
		return r;
	mlimg_sha256_of(text, size, digest);
	mlimg_sha256_hex(digest, hex);
	if (strcmp(hex, records->digest) != 0)
		return mlimg_err_refuse(err, "%.200s: %s has digest %.20s, not %.20s",
			mlimg_ext4_name(fs), path, hex, records->digest);
	*ret_text = mlimg_steal(&text);
	*ret_size = size;
	return 0;
}

int mlimg_records_check(
	struct mlimg_ext4 *fs, const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < info->n_records; i++) {
		mlimg_autofree char *text = NULL;
		size_t size;

		r = mlimg_records_read(fs, &info->records[i], &text, &size, err);
	}
	return r;
}
