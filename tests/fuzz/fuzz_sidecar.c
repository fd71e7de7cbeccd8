/* SPDX-License-Identifier: MIT */
/* The readers of what makes an image verifiable: the sidecar, which must be the same text when written and read again, and the superblock
 * of a hash tree. */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/verity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_err(const struct mlimg_err *err)
{
	if (!err->text[0] || err->kind != MLIMG_ERR_REFUSED)
		abort();
}

static void read_sidecar(const char *text, size_t size)
{
	struct mlimg_layer_info info, back_info;
	struct mlimg_verity verity, back_verity;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *first, *again;

	if (mlimg_sidecar_from_json(text, size, &info, &verity, &err) < 0) {
		check_err(&err);
		return;
	}
	if (mlimg_sidecar_to_json(&info, &verity, &first, &err) < 0 ||
		mlimg_sidecar_from_json(first, strlen(first), &back_info, &back_verity, &err) < 0 ||
		mlimg_sidecar_to_json(&back_info, &back_verity, &again, &err) < 0 ||
		strcmp(first, again) != 0)
		abort();
	free(first);
	free(again);
	mlimg_layer_info_done(&info);
	mlimg_layer_info_done(&back_info);
	mlimg_verity_done(&verity);
	mlimg_verity_done(&back_verity);
}

/* UUID and number of blocks are taken from the superblock itself, so that the rest is reached. */
static void read_super(const uint8_t *data, size_t size)
{
	uint8_t block[MLIMG_VERITY_BLOCK] = {0};
	struct mlimg_verity_levels levels;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_verity verity;
	uint64_t n_blocks = 0;

	memcpy(block, data, size < sizeof(block) ? size : sizeof(block));
	for (int i = 7; i >= 0; i--)
		n_blocks = n_blocks << 8 | block[72 + i];
	if (mlimg_verity_parse_super(block, block + 16, n_blocks, &verity, &err) < 0)
		check_err(&err);
	else if (!mlimg_verity_levels(verity.data_blocks, verity.hash_offset_bytes, &levels) ||
		levels.end_bytes <= verity.hash_offset_bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_sidecar((const char *)data, size);
	read_super(data, size);
	return 0;
}
