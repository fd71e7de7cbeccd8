/* SPDX-License-Identifier: MIT */
#include "libmlimg/verity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/le.h"

/* Offsets of the superblock's fields. */
enum {
	V_MAGIC = 0,
	V_VERSION = 8,
	V_HASH_TYPE = 12,
	V_UUID = 16,
	V_ALGORITHM = 32,
	V_DATA_BLOCK_SIZE = 64,
	V_HASH_BLOCK_SIZE = 68,
	V_DATA_BLOCKS = 72,
	V_SALT_SIZE = 80,
	V_SALT = 88,
};

#define V_ALGORITHM_SIZE 32

static const uint8_t magic[8] = "verity\0";

bool mlimg_verity_levels(
	uint64_t data_blocks, uint64_t hash_offset_bytes, struct mlimg_verity_levels *ret_levels)
{
	struct mlimg_verity_levels levels = {.n = 0};
	uint64_t n_blocks = data_blocks, size_bytes;

	/* One block would be its own tree: no level at all. */
	if (data_blocks < 2)
		return false;
	do {
		n_blocks = (n_blocks - 1) / MLIMG_VERITY_FANOUT + 1;
		levels.level[levels.n++].n_blocks = n_blocks;
	} while (n_blocks > 1 && levels.n < MLIMG_VERITY_LEVELS_MAX);
	if (n_blocks > 1 ||
		!mlimg_add_fits(hash_offset_bytes, MLIMG_VERITY_BLOCK, &levels.end_bytes))
		return false;
	for (size_t i = levels.n; i-- > 0;) {
		levels.level[i].offset_bytes = levels.end_bytes;
		if (!mlimg_mul_fits(levels.level[i].n_blocks, MLIMG_VERITY_BLOCK, &size_bytes) ||
			!mlimg_add_fits(levels.end_bytes, size_bytes, &levels.end_bytes))
			return false;
	}
	if (levels.end_bytes > INT64_MAX)
		return false;
	*ret_levels = levels;
	return true;
}

void mlimg_verity_salt(const char *build_id, uint8_t ret_salt[MLIMG_SHA256_SIZE])
{
	static const char prefix[] = "mlimg-verity-salt ";
	struct mlimg_sha256 sha;

	mlimg_sha256_init(&sha);
	mlimg_sha256_add(&sha, prefix, strlen(prefix));
	mlimg_sha256_add(&sha, build_id, strlen(build_id));
	mlimg_sha256_end(&sha, ret_salt);
}

bool mlimg_verity_is_super(const uint8_t block[MLIMG_VERITY_BLOCK])
{
	return memcmp(block + V_MAGIC, magic, sizeof(magic)) == 0;
}

static const char *find_flaw(
	const uint8_t *block, const uint8_t uuid[MLIMG_UUID_SIZE], uint64_t n_blocks)
{
	static const uint8_t algorithm[V_ALGORITHM_SIZE] = "sha256";

	if (!mlimg_verity_is_super(block))
		return "it has none";
	if (mlimg_get_le32(block + V_VERSION) != 1 || mlimg_get_le32(block + V_HASH_TYPE) != 1)
		return "another format";
	if (memcmp(block + V_UUID, uuid, MLIMG_UUID_SIZE) != 0)
		return "another UUID than the file system's";
	if (memcmp(block + V_ALGORITHM, algorithm, sizeof(algorithm)) != 0)
		return "another algorithm than sha256";
	if (mlimg_get_le32(block + V_DATA_BLOCK_SIZE) != MLIMG_VERITY_BLOCK ||
		mlimg_get_le32(block + V_HASH_BLOCK_SIZE) != MLIMG_VERITY_BLOCK)
		return "blocks that are not 4096 bytes long";
	if (mlimg_get_le64(block + V_DATA_BLOCKS) != n_blocks)
		return "another number of blocks than the file system's";
	if (mlimg_get_le16(block + V_SALT_SIZE) != MLIMG_SHA256_SIZE)
		return "a salt that is not 32 bytes long";
	if (!mlimg_is_zero(block + V_SALT_SIZE + 2, V_SALT - V_SALT_SIZE - 2) ||
		!mlimg_is_zero(block + V_SALT + MLIMG_SHA256_SIZE,
			MLIMG_VERITY_BLOCK - V_SALT - MLIMG_SHA256_SIZE))
		return "bytes where zeros are wanted";
	return NULL;
}

int mlimg_verity_parse_super(const uint8_t block[MLIMG_VERITY_BLOCK],
	const uint8_t uuid[MLIMG_UUID_SIZE], uint64_t n_blocks, struct mlimg_verity *ret_verity,
	struct mlimg_err *err)
{
	struct mlimg_verity verity = {.data_blocks = n_blocks};
	struct mlimg_verity_levels levels;
	const char *flaw = find_flaw(block, uuid, n_blocks);

	if (!flaw &&
		(!mlimg_mul_fits(n_blocks, MLIMG_VERITY_BLOCK, &verity.hash_offset_bytes) ||
			!mlimg_verity_levels(n_blocks, verity.hash_offset_bytes, &levels)))
		flaw = "an impossible number of blocks";
	if (flaw)
		return mlimg_err_refuse(err, "superblock of the hash tree: %s", flaw);
	memcpy(verity.salt, block + V_SALT, sizeof(verity.salt));
	*ret_verity = verity;
	return 0;
}

void mlimg_verity_done(struct mlimg_verity *verity)
{
	if (!verity)
		return;
	free(verity->signature);
	verity->signature = NULL;
	verity->signature_size = 0;
}
