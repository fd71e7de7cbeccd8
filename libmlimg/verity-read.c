/* SPDX-License-Identifier: MIT */
/* What lies behind a file system, as a guest finds it: tree, root hash, signature. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/le.h"
#include "libmlimg/verity.h"

#define BS MLIMG_VERITY_BLOCK

/* Offsets in front of a signature. */
enum {
	S_MAGIC = 0,
	S_VERSION = 8,
	S_SIZE = 12,
	S_SIGNATURE = 16,
};

static const char signature_magic[8] = {'m', 'l', 'i', 'm', 'g', 's', 'i', 'g'};

static size_t area_size(size_t signature_size)
{
	return (S_SIGNATURE + signature_size + BS - 1) / BS * BS;
}

/* @return 0; -ENODATA: the part ends before, without a message; other -errno */
static int read_at(const struct mlimg_verity_part *part, uint64_t offset_bytes, void *ret_data,
	size_t size, struct mlimg_err *err)
{
	size_t done = 0;

	if (offset_bytes > part->size_bytes || size > part->size_bytes - offset_bytes)
		return -ENODATA;
	while (done < size) {
		ssize_t n = pread(part->fd, (char *)ret_data + done, size - done,
			(off_t)(part->offset_bytes + offset_bytes + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mlimg_err_set(err, errno, "%s: read", part->name);
		if (n == 0)
			return -ENODATA;
		done += (size_t)n;
	}
	return 0;
}

static int find_tree(const struct mlimg_verity_part *part, struct mlimg_verity *verity,
	struct mlimg_verity_levels *levels, struct mlimg_err *err)
{
	uint64_t offset;
	uint8_t block[BS];
	int r = mlimg_mul_fits(part->n_blocks, BS, &offset)
		? read_at(part, offset, block, sizeof(block), err)
		: -ENODATA;

	if (r == -ENODATA || (r == 0 && !mlimg_verity_is_super(block)))
		return mlimg_err_refuse(err, "%s: it has no hash tree", part->name);
	if (r == 0)
		r = mlimg_verity_parse_super(block, part->uuid, part->n_blocks, verity, err);
	if (r == -EUCLEAN)
		return mlimg_err_wrap(err, r, "%s", part->name);
	if (r < 0)
		return r;
	if (!mlimg_verity_levels(verity->data_blocks, verity->hash_offset_bytes, levels))
		return mlimg_err_refuse(err, "%s: hash tree of an impossible size", part->name);
	r = read_at(part, levels->end_bytes - BS, block, sizeof(block), err);
	if (r == -ENODATA)
		return mlimg_err_refuse(err, "%s: it ends before its hash tree does", part->name);
	return r;
}

static int digest_top(const struct mlimg_verity_part *part,
	const struct mlimg_verity_levels *levels, struct mlimg_verity *verity,
	struct mlimg_err *err)
{
	uint8_t top[BS], digest[MLIMG_SHA256_SIZE];
	struct mlimg_sha256 sha;
	int r = read_at(part, levels->level[levels->n - 1].offset_bytes, top, sizeof(top), err);

	if (r == -ENODATA)
		return mlimg_err_refuse(err, "%s: it ends before its hash tree does", part->name);
	if (r < 0)
		return r;
	mlimg_sha256_init(&sha);
	mlimg_sha256_add(&sha, verity->salt, sizeof(verity->salt));
	mlimg_sha256_add(&sha, top, sizeof(top));
	mlimg_sha256_end(&sha, digest);
	mlimg_sha256_hex(digest, verity->root_hash);
	return 0;
}

/* Behind the head, and to the end of its last block. */
static int read_signature(const struct mlimg_verity_part *part, uint64_t offset_bytes,
	uint32_t size, struct mlimg_verity *verity, struct mlimg_err *err)
{
	size_t room = area_size(size) - S_SIGNATURE;
	mlimg_autofree uint8_t *signature = malloc(room);
	int r;

	if (!signature)
		return mlimg_err_set(err, ENOMEM, "%s", part->name);
	r = read_at(part, offset_bytes + S_SIGNATURE, signature, room, err);
	if (r == -ENODATA)
		return mlimg_err_refuse(err, "%s: it ends before its signature does", part->name);
	if (r < 0)
		return r;
	if (!mlimg_is_zero(signature + size, room - size))
		return mlimg_err_refuse(
			err, "%s: bytes behind its signature where zeros are wanted", part->name);
	verity->signature = mlimg_steal(&signature);
	verity->signature_size = size;
	return 0;
}

int mlimg_verity_read_signature(
	const struct mlimg_verity_part *part, struct mlimg_verity *verity, struct mlimg_err *err)
{
	struct mlimg_verity_levels levels;
	uint8_t head[S_SIGNATURE];
	uint32_t size;
	int r;

	if (!mlimg_verity_levels(verity->data_blocks, verity->hash_offset_bytes, &levels))
		return mlimg_err_refuse(err, "%s: hash tree of an impossible size", part->name);
	r = read_at(part, levels.end_bytes, head, sizeof(head), err);
	if (r == -ENODATA ||
		(r == 0 && memcmp(head + S_MAGIC, signature_magic, sizeof(signature_magic)) != 0))
		return 0;
	if (r < 0)
		return r;
	size = mlimg_get_le32(head + S_SIZE);
	if (mlimg_get_le32(head + S_VERSION) != 1 || size == 0 || size > MLIMG_SIGNATURE_MAX)
		return mlimg_err_refuse(
			err, "%s: its signature is of another form, or damaged", part->name);
	return read_signature(part, levels.end_bytes, size, verity, err);
}

uint64_t mlimg_verity_end(const struct mlimg_verity *verity)
{
	struct mlimg_verity_levels levels;

	if (!mlimg_verity_levels(verity->data_blocks, verity->hash_offset_bytes, &levels))
		return 0;
	return levels.end_bytes + (verity->signature ? area_size(verity->signature_size) : 0);
}

int mlimg_verity_read(const struct mlimg_verity_part *part, struct mlimg_verity *ret_verity,
	struct mlimg_err *err)
{
	struct mlimg_verity verity = {.data_blocks = 0};
	struct mlimg_verity_levels levels = {.n = 0};
	int r = find_tree(part, &verity, &levels, err);

	if (r == 0)
		r = digest_top(part, &levels, &verity, err);
	if (r == 0)
		r = mlimg_verity_read_signature(part, &verity, err);
	if (r == 0)
		*ret_verity = verity;
	return r;
}

int mlimg_verity_pack_signature(const uint8_t *signature, size_t size, uint8_t **ret_area,
	size_t *ret_size, struct mlimg_err *err)
{
	size_t room = area_size(size);
	uint8_t *area = calloc(1, room);

	if (!area)
		return mlimg_err_set(err, ENOMEM, "signature");
	memcpy(area + S_MAGIC, signature_magic, sizeof(signature_magic));
	mlimg_put_le32(area + S_VERSION, 1);
	mlimg_put_le32(area + S_SIZE, (uint32_t)size);
	memcpy(area + S_SIGNATURE, signature, size);
	*ret_area = area;
	*ret_size = room;
	return 0;
}

void mlimg_verity_stack_hash(
	const struct mlimg_verity_root *roots, size_t n_roots, char ret_hash[MLIMG_SHA256_HEX_SIZE])
{
	static const char head[] = "mlimg-verity-stack 1\n";
	char line[2 * MLIMG_UUID_SIZE + MLIMG_SHA256_HEX_SIZE + 2];
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_sha256 sha;

	mlimg_sha256_init(&sha);
	mlimg_sha256_add(&sha, head, strlen(head));
	for (size_t i = 0; i < n_roots; i++) {
		for (size_t k = 0; k < MLIMG_UUID_SIZE; k++)
			sprintf(line + 2 * k, "%02x", roots[i].uuid[k]);
		sprintf(line + 2 * MLIMG_UUID_SIZE, " %s\n", roots[i].root_hash);
		mlimg_sha256_add(&sha, line, strlen(line));
	}
	mlimg_sha256_end(&sha, digest);
	mlimg_sha256_hex(digest, ret_hash);
}
