/* SPDX-License-Identifier: MIT */
#include "libmlimg/index.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libmlimg/erofs-format.h"

/* Slots behind the first block are not covered by the checksum. */
static bool has_place(
	const struct mlimg_index *index, const struct mlimg_erofs_device *layer, size_t i)
{
	const struct mlimg_erofs_device *former = i ? layer - 1 : NULL;
	uint64_t begin = former ? (uint64_t)former->first_block + former->n_blocks : 0;

	return layer->first_block >= begin &&
		(uint64_t)layer->first_block + layer->n_blocks <= index->disk_blocks;
}

static int read_layers(int fd, const char *name, const struct mlimg_erofs_super *super,
	struct mlimg_index *index, struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];

	if (super->n_devices == 0 || super->n_devices > MLIMG_STACK_LAYERS_MAX)
		return mlimg_err_refuse(err, "%s: an index is over 1 to %d layers, not %u", name,
			MLIMG_STACK_LAYERS_MAX, super->n_devices);
	for (unsigned i = 0; i < super->n_devices; i++) {
		struct mlimg_erofs_device *layer = &index->layers[i];
		int r = mlimg_erofs_device_read(fd, super, i, layer);

		if (r < 0)
			return mlimg_err_set(err, r, "read %s", name);
		if (!mlimg_sha256_is_hex(layer->tag, digest))
			return mlimg_err_refuse(err,
				"%s: damaged index: layer %u has no build id in its device table",
				name, i);
		if (index->is_joined && !has_place(index, layer, i))
			return mlimg_err_refuse(err,
				"%s: damaged index: layer %u has no place on the disk", name, i);
	}
	index->n_layers = super->n_devices;
	return 0;
}

int mlimg_index_read(int fd, const char *name, struct mlimg_index *ret_index, struct mlimg_err *err)
{
	struct mlimg_index index = {.n_layers = 0};
	struct mlimg_disk disk;
	int r;

	mlimg_disk_probe(fd, &disk);
	if (disk.state == MLIMG_DISK_UNREADABLE)
		return mlimg_err_set(err, disk.error, "read %s", name);
	if (!disk.is_index)
		return mlimg_err_refuse(err, "%s: no index of mlimg-index", name);
	if (disk.state == MLIMG_DISK_DAMAGED)
		return mlimg_err_refuse(err, "%s: damaged index: %s", name, disk.index.flaw);
	if (disk.state == MLIMG_DISK_TRUNCATED)
		return mlimg_err_refuse(err,
			"%s: truncated index: it has %" PRIu64 " bytes, the disk only %" PRIu64,
			name, disk.index.size_bytes, disk.size_bytes);
	memcpy(index.uuid, disk.index.uuid, sizeof(index.uuid));
	index.is_joined = disk.index.is_joined;
	index.size_bytes = disk.index.size_bytes;
	index.room_bytes = disk.index.room_bytes;
	index.disk_blocks = disk.index.disk_bytes / EROFS_BLOCK_SIZE;
	r = read_layers(fd, name, &disk.index, &index, err);
	if (r == 0)
		*ret_index = index;
	return r;
}

static int check_state(const struct mlimg_disk *disk, const char *name, const char *short_id,
	struct mlimg_err *err)
{
	switch (disk->state) {
	case MLIMG_DISK_UNREADABLE: return mlimg_err_set(err, disk->error, "read %s", name);
	case MLIMG_DISK_TRUNCATED:
		return mlimg_err_refuse(err,
			"%s is truncated: its file system has %" PRIu64
			" bytes, the disk only %" PRIu64,
			name, disk->is_index ? disk->index.size_bytes : disk->sb.size_bytes,
			disk->size_bytes);
	case MLIMG_DISK_LAYER:
		if (!disk->is_index)
			return 0;
		/* fall through */
	default:
		return mlimg_err_refuse(err, "%s should hold the layer %.*s, but it holds %s", name,
			MLIMG_SHORT_ID, short_id,
			disk->is_index                              ? "an index"
				: disk->state == MLIMG_DISK_DAMAGED ? "a damaged ext4"
								    : "no layer");
	}
}

bool mlimg_index_uuid(const char *stack_id, uint32_t revision, const struct mlimg_index_part *parts,
	size_t n_parts, uint8_t ret_uuid[MLIMG_UUID_SIZE])
{
	const size_t n_kept = MLIMG_SHORT_ID / 2;
	const uint32_t number = htole32(revision);
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_sha256 sha;

	if (!mlimg_layer_uuid(stack_id, ret_uuid))
		return false;
	mlimg_sha256_init(&sha);
	mlimg_sha256_add(&sha, stack_id, MLIMG_SHA256_HEX_SIZE - 1);
	mlimg_sha256_add(&sha, &number, sizeof(number));
	for (size_t i = 0; i < n_parts; i++) {
		const uint64_t n_blocks = htole64(parts[i].n_blocks);

		mlimg_sha256_add(&sha, &n_blocks, sizeof(n_blocks));
		mlimg_sha256_add(&sha, parts[i].places, sizeof(parts[i].places));
	}
	mlimg_sha256_end(&sha, digest);
	memcpy(ret_uuid + n_kept, digest, MLIMG_UUID_SIZE - n_kept);
	return true;
}

bool mlimg_index_is_of(const struct mlimg_index *index, const char *stack_id)
{
	char id[MLIMG_SHORT_ID + 1];

	snprintf(id, sizeof(id), "%s", stack_id);
	return mlimg_layer_uuid_matches(index->uuid, id);
}

static void put_uuid(const uint8_t uuid[MLIMG_UUID_SIZE], char ret_hex[2 * MLIMG_UUID_SIZE + 1])
{
	for (size_t i = 0; i < MLIMG_UUID_SIZE; i++)
		sprintf(ret_hex + 2 * i, "%02x", uuid[i]);
}

/* @name: what holds @disk, in messages */
static int check_layer(const struct mlimg_index *index, size_t i, const char *index_name,
	const struct mlimg_disk *disk, const char *name, struct mlimg_err *err)
{
	const struct mlimg_erofs_device *layer = &index->layers[i];
	char uuid[2 * MLIMG_UUID_SIZE + 1];
	int r = check_state(disk, name, layer->tag, err);

	if (r < 0)
		return r;
	put_uuid(disk->sb.uuid, uuid);
	if (!mlimg_layer_uuid_matches(disk->sb.uuid, layer->tag))
		return mlimg_err_refuse(err,
			"%s holds a layer with UUID %s, but layer %zu of the index on %s is %.*s: "
			"compile the index from these layers, in this order",
			name, uuid, i, index_name, MLIMG_SHORT_ID, layer->tag);
	if (disk->sb.block_size != EROFS_BLOCK_SIZE ||
		disk->sb.size_bytes != (uint64_t)layer->n_blocks * EROFS_BLOCK_SIZE)
		return mlimg_err_refuse(err,
			"%s holds the layer %.*s in %" PRIu64 " blocks of %" PRIu32
			" bytes, but the index on %s was compiled from an image of %" PRIu32
			" of %u: compile it from this image",
			name, MLIMG_SHORT_ID, layer->tag, disk->sb.size_bytes / disk->sb.block_size,
			disk->sb.block_size, index_name, layer->n_blocks, EROFS_BLOCK_SIZE);
	if (memcmp(disk->sb.hash_seed, layer->places, sizeof(layer->places)) != 0)
		return mlimg_err_refuse(err,
			"%s holds the layer %.*s, but its contents lie elsewhere than in the image "
			"that the index on %s was compiled from: compile it from this image",
			name, MLIMG_SHORT_ID, layer->tag, index_name);
	return 0;
}

uint64_t mlimg_index_room(const struct mlimg_index *index, size_t layer)
{
	uint64_t end = layer + 1 < index->n_layers ? index->layers[layer + 1].first_block
						   : index->disk_blocks;

	return end - index->layers[layer].first_block;
}

/* An image that has grown or shrunk behind its file system would shift those behind it. */
static int check_room(const struct mlimg_index *index, size_t i, const char *index_name,
	const struct mlimg_disk *disk, const char *name, struct mlimg_err *err)
{
	uint64_t n_blocks =
		disk->size_bytes / EROFS_BLOCK_SIZE + (disk->size_bytes % EROFS_BLOCK_SIZE != 0);

	if (!index->is_joined || n_blocks == mlimg_index_room(index, i))
		return 0;
	return mlimg_err_refuse(err,
		"%s has %" PRIu64 " blocks of %u bytes, but the joined index on %s has room for "
		"%" PRIu64 ": compile it from this image",
		name, n_blocks, EROFS_BLOCK_SIZE, index_name, mlimg_index_room(index, i));
}

int mlimg_index_check(const struct mlimg_index *index, const char *index_name,
	const struct mlimg_index_disk *disks, size_t n_disks, struct mlimg_err *err)
{
	if (n_disks != index->n_layers)
		return mlimg_err_refuse(err,
			"the index on %s is over %zu %s, but there %s %zu: compile it from "
			"these",
			index_name, index->n_layers, index->n_layers == 1 ? "layer" : "layers",
			n_disks == 1 ? "is" : "are", n_disks);
	for (size_t i = 0; i < n_disks; i++) {
		struct mlimg_disk disk;
		int r;

		mlimg_disk_probe(disks[i].fd, &disk);
		r = check_layer(index, i, index_name, &disk, disks[i].name, err);
		if (r == 0)
			r = check_room(index, i, index_name, &disk, disks[i].name, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int mlimg_index_check_joined(
	const struct mlimg_index *index, const struct mlimg_index_disk *disk, struct mlimg_err *err)
{
	for (size_t i = 0; i < index->n_layers; i++) {
		const struct mlimg_erofs_device *layer = &index->layers[i];
		uint64_t room = mlimg_index_room(index, i), size = room * EROFS_BLOCK_SIZE;
		char name[MLIMG_ERR_TEXT_SIZE];
		struct mlimg_disk part;
		int r;

		mlimg_disk_probe_part(
			disk->fd, (uint64_t)layer->first_block * EROFS_BLOCK_SIZE, size, &part);
		snprintf(name, sizeof(name), "block %" PRIu32 " of %s", layer->first_block,
			disk->name);
		if (part.state != MLIMG_DISK_UNREADABLE && part.size_bytes < size)
			return mlimg_err_refuse(err,
				"%s is where the layer %.*s of the joined index there begins, but "
				"only %" PRIu64 " of its %" PRIu64
				" blocks are there: attach the index and all its layers as one "
				"disk",
				name, MLIMG_SHORT_ID, layer->tag,
				part.size_bytes / EROFS_BLOCK_SIZE, room);
		r = check_layer(index, i, disk->name, &part, name, err);
		if (r < 0)
			return r;
	}
	return 0;
}
