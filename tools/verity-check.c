/* SPDX-License-Identifier: MIT */
#include "tools/verity-check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/progress.h"

#define BS MLIMG_VERITY_BLOCK
#define FANOUT MLIMG_VERITY_FANOUT

/* The data of two blocks of hashes: large enough for read(2) to cost little. */
#define CHUNK_BLOCKS (2 * FANOUT)

/* Fewer bytes than @p size only at the end of the image. */
static int read_at(struct mlimg_ext4 *fs, void *buf, size_t size, uint64_t offset, size_t *ret_n,
	struct mlimg_err *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(
			mlimg_ext4_fd(fs), (char *)buf + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mlimg_err_set(err, errno, "%.200s: read block %llu",
				mlimg_ext4_name(fs), (unsigned long long)(offset / BS));
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_n = done;
	return 0;
}

static int read_blocks(struct mlimg_ext4 *fs, uint8_t *buf, size_t n_blocks, uint64_t offset,
	struct mlimg_err *err)
{
	size_t n;
	int r = read_at(fs, buf, n_blocks * BS, offset, &n, err);

	if (r == 0 && n < n_blocks * BS)
		return mlimg_err_refuse(err, "%.200s: is truncated: its hash tree is not all there",
			mlimg_ext4_name(fs));
	return r;
}

static bool is_file(struct mlimg_ext4 *fs)
{
	struct stat st;

	return fstat(mlimg_ext4_fd(fs), &st) == 0 && S_ISREG(st.st_mode);
}

static int check_end(
	struct mlimg_ext4 *fs, const struct mlimg_verity *verity, struct mlimg_err *err)
{
	struct mlimg_verity_levels levels;
	uint8_t last[BS];

	if (!mlimg_verity_levels(verity->data_blocks, verity->hash_offset_bytes, &levels))
		return mlimg_err_refuse(
			err, "%.200s: hash tree of an impossible size", mlimg_ext4_name(fs));
	return read_blocks(fs, last, 1, levels.end_bytes - BS, err);
}

/* In a file nothing else lies behind the tree. */
static int find_signature(struct mlimg_ext4 *fs, struct mlimg_verity *verity, struct mlimg_err *err)
{
	struct mlimg_verity_part part = {.fd = mlimg_ext4_fd(fs), .size_bytes = INT64_MAX};
	char name[201];
	off_t end;
	int r;

	snprintf(name, sizeof(name), "%s", mlimg_ext4_name(fs));
	part.name = name;
	r = mlimg_verity_read_signature(&part, verity, err);
	if (r < 0 || !is_file(fs))
		return r;
	end = lseek(mlimg_ext4_fd(fs), 0, SEEK_END);
	if (end >= 0 && (uint64_t)end != mlimg_verity_end(verity))
		return mlimg_err_refuse(
			err, "%s: what lies behind its hash tree is no signature", part.name);
	return 0;
}

int mlimg_verity_find(struct mlimg_ext4 *fs, struct mlimg_verity *ret_verity, struct mlimg_err *err)
{
	const struct mlimg_ext4_super *super = mlimg_ext4_super(fs);
	struct mlimg_verity verity = {.data_blocks = 0};
	uint8_t block[BS] = {0};
	size_t n;
	int r;

	*ret_verity = verity;
	/* A user layer's disk may be larger than its file system, and hold anything there. */
	if (super->kind == MLIMG_USER)
		return 0;
	r = read_at(fs, block, sizeof(block), super->n_blocks * BS, &n, err);
	if (r < 0)
		return r;
	if (!mlimg_verity_is_super(block)) {
		bool is_zero = block[0] == 0 && memcmp(block, block + 1, sizeof(block) - 1) == 0;

		if (is_zero || !is_file(fs))
			return 0;
		return mlimg_err_refuse(err,
			"%.200s: what lies behind its file system is no hash tree",
			mlimg_ext4_name(fs));
	}
	r = mlimg_verity_parse_super(block, super->uuid, super->n_blocks, &verity, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "%.200s", mlimg_ext4_name(fs));
	r = check_end(fs, &verity, err);
	if (r == 0)
		r = find_signature(fs, &verity, err);
	if (r == 0)
		*ret_verity = verity;
	else
		mlimg_verity_done(&verity);
	return r;
}

/* Digests begin with the salt, which is hashed once. */
static struct mlimg_sha256 salted(const struct mlimg_verity *verity)
{
	struct mlimg_sha256 sha;

	mlimg_sha256_init(&sha);
	mlimg_sha256_add(&sha, verity->salt, sizeof(verity->salt));
	return sha;
}

static void digest_of(const struct mlimg_sha256 *start, const uint8_t *block, uint8_t ret_digest[])
{
	struct mlimg_sha256 sha = *start;

	mlimg_sha256_add(&sha, block, BS);
	mlimg_sha256_end(&sha, ret_digest);
}

/*
 * What all levels have in common: blocks, each of which has its digest in the level above. The last
 * block of hashes is filled up with zeros, which its own digest covers.
 */
struct level {
	struct mlimg_ext4 *fs;
	struct mlimg_sha256 salted;
	uint64_t offset_bytes, n_blocks; /* of the blocks */
	uint64_t digests_offset_bytes;   /* of the level above */
	int (*flaw)(struct level *level, uint64_t block, struct mlimg_err *err);
	struct mlimg_verity_flaws *flaws;
	struct mlimg_progress *progress;
};

static int check_chunk(struct level *level, uint64_t first, size_t n, const uint8_t *blocks,
	const uint8_t *digests, struct mlimg_err *err)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t digest[MLIMG_SHA256_SIZE];
		int r;

		digest_of(&level->salted, blocks + i * BS, digest);
		if (memcmp(digest, digests + i * MLIMG_SHA256_SIZE, sizeof(digest)) == 0)
			continue;
		r = level->flaw(level, level->offset_bytes / BS + first + i, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_level(struct level *level, struct mlimg_err *err)
{
	mlimg_autofree uint8_t *blocks = malloc(CHUNK_BLOCKS * BS);
	uint8_t digests[CHUNK_BLOCKS * MLIMG_SHA256_SIZE];
	int r = 0;

	if (!blocks)
		return mlimg_err_set(
			err, ENOMEM, "%.200s: check the hash tree", mlimg_ext4_name(level->fs));
	for (uint64_t first = 0; r == 0 && first < level->n_blocks; first += CHUNK_BLOCKS) {
		uint64_t left = level->n_blocks - first;
		size_t n = left < CHUNK_BLOCKS ? (size_t)left : CHUNK_BLOCKS;

		/* Whole blocks of hashes: a level ends with one. */
		r = read_blocks(level->fs, digests, (n - 1) / FANOUT + 1,
			level->digests_offset_bytes + first / FANOUT * BS, err);
		if (r == 0)
			r = read_blocks(
				level->fs, blocks, n, level->offset_bytes + first * BS, err);
		if (r == 0)
			r = check_chunk(level, first, n, blocks, digests, err);
		if (level->progress)
			mlimg_progress_update(level->progress, (first + n) * BS);
	}
	return r;
}

static int refuse_block(struct level *level, uint64_t block, struct mlimg_err *err)
{
	return mlimg_err_refuse(err, "%.200s: its hash tree is damaged in block %llu of the image",
		mlimg_ext4_name(level->fs), (unsigned long long)block);
}

static int count_block(struct level *level, uint64_t block, struct mlimg_err *err)
{
	if (level->flaws->n < MLIMG_VERITY_SHOWN_MAX)
		level->flaws->blocks[level->flaws->n] = block;
	level->flaws->n++;
	return 0;
}

static int check_root(struct mlimg_ext4 *fs, struct mlimg_verity *verity, uint64_t offset_bytes,
	struct mlimg_err *err)
{
	uint8_t top[BS], digest[MLIMG_SHA256_SIZE];
	struct mlimg_sha256 start = salted(verity);
	char root_hash[MLIMG_SHA256_HEX_SIZE];
	int r = read_blocks(fs, top, 1, offset_bytes, err);

	if (r < 0)
		return r;
	digest_of(&start, top, digest);
	mlimg_sha256_hex(digest, root_hash);
	if (verity->root_hash[0] && strcmp(verity->root_hash, root_hash) != 0)
		return mlimg_err_refuse(err, "%.200s: its root hash is %s, not %s",
			mlimg_ext4_name(fs), root_hash, verity->root_hash);
	strcpy(verity->root_hash, root_hash);
	return 0;
}

int mlimg_verity_check_tree(
	struct mlimg_ext4 *fs, struct mlimg_verity *verity, struct mlimg_err *err)
{
	struct level level = {.fs = fs, .salted = salted(verity), .flaw = refuse_block};
	struct mlimg_verity_levels levels = {.n = 0};
	int r;

	if (!mlimg_verity_levels(verity->data_blocks, verity->hash_offset_bytes, &levels))
		return mlimg_err_set(err, EINVAL, "%.200s: hash tree", mlimg_ext4_name(fs));
	r = check_root(fs, verity, levels.level[levels.n - 1].offset_bytes, err);
	for (size_t i = levels.n - 1; r == 0 && i-- > 0;) {
		level.offset_bytes = levels.level[i].offset_bytes;
		level.n_blocks = levels.level[i].n_blocks;
		level.digests_offset_bytes = levels.level[i + 1].offset_bytes;
		r = check_level(&level, err);
	}
	return r;
}

int mlimg_verity_check_data(struct mlimg_ext4 *fs, const struct mlimg_verity *verity,
	struct mlimg_verity_flaws *ret_flaws, struct mlimg_err *err)
{
	struct mlimg_verity_flaws flaws = {.n = 0};
	struct mlimg_verity_levels levels = {.n = 0};
	struct mlimg_progress progress;
	struct level level = {.fs = fs,
		.salted = salted(verity),
		.n_blocks = verity->data_blocks,
		.flaw = count_block,
		.flaws = &flaws,
		.progress = &progress};
	int r;

	if (!mlimg_verity_levels(verity->data_blocks, verity->hash_offset_bytes, &levels))
		return mlimg_err_set(err, EINVAL, "%.200s: hash tree", mlimg_ext4_name(fs));
	level.digests_offset_bytes = levels.level[0].offset_bytes;
	mlimg_progress_init(&progress, "verifying hash tree", verity->hash_offset_bytes);
	r = check_level(&level, err);
	mlimg_progress_end(&progress);
	if (r == 0)
		*ret_flaws = flaws;
	return r;
}
