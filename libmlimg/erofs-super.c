/* SPDX-License-Identifier: MIT */
#include "libmlimg/erofs-super.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/crc32c.h"
#include "libmlimg/erofs-format.h"

#define KNOWN_FEATURES (EROFS_INCOMPAT_CHUNKED_FILE | EROFS_INCOMPAT_DEVICE_TABLE)

_Static_assert(MLIMG_EROFS_FIRST_BLOCK == EROFS_BLOCK_SIZE, "first block");
_Static_assert(
	sizeof(((struct erofs_device_slot *)NULL)->tag) == MLIMG_EROFS_TAG_SIZE, "device tag");
_Static_assert(sizeof(((struct erofs_device_slot *)NULL)->places) == MLIMG_PLACES_SIZE, "places");

static bool is_checksum_right(const uint8_t *data, const struct erofs_super *sb)
{
	static const uint8_t zero[sizeof(sb->checksum)];
	const uint8_t *begin = data + EROFS_SB_OFFSET;
	const uint8_t *field = begin + offsetof(struct erofs_super, checksum);
	uint32_t crc = mlimg_crc32c(~0u, begin, (size_t)(field - begin));

	crc = mlimg_crc32c(crc, zero, sizeof(zero));
	field += sizeof(zero);
	crc = mlimg_crc32c(crc, field, (size_t)(data + EROFS_BLOCK_SIZE - field));
	return crc == le32toh(sb->checksum);
}

/*
 * Where the image ends and its devices begin is in the first slot, which is covered by the
 * checksum.
 */
static const char *find_sizes(
	const uint8_t *data, const struct erofs_super *sb, struct mlimg_erofs_super *super)
{
	struct erofs_device_slot slot;

	super->disk_bytes = (uint64_t)le32toh(sb->blocks) << EROFS_BLOCK_BITS;
	super->size_bytes = super->room_bytes = super->disk_bytes;
	super->n_devices = le16toh(sb->extra_devices);
	super->devices_offset = (uint64_t)le16toh(sb->devt_slotoff) * EROFS_DEVICE_SLOT_SIZE;
	super->is_joined =
		super->n_devices && !(le32toh(sb->feature_incompat) & EROFS_INCOMPAT_DEVICE_TABLE);
	if (super->is_joined) {
		if (super->devices_offset > EROFS_BLOCK_SIZE - sizeof(slot))
			return "device table lies outside";
		memcpy(&slot, data + super->devices_offset, sizeof(slot));
		super->room_bytes = (uint64_t)le32toh(slot.mapped_blkaddr) << EROFS_BLOCK_BITS;
		super->size_bytes = (uint64_t)le32toh(slot.own_blocks) << EROFS_BLOCK_BITS;
		if (!super->size_bytes)
			super->size_bytes = super->room_bytes;
	}
	if (!super->size_bytes || super->size_bytes > super->room_bytes ||
		super->room_bytes > super->disk_bytes)
		return "impossible size";
	if (super->devices_offset + (uint64_t)super->n_devices * EROFS_DEVICE_SLOT_SIZE >
		super->size_bytes)
		return "device table lies outside";
	return NULL;
}

static const char *find_flaw(
	const uint8_t *data, const struct erofs_super *sb, struct mlimg_erofs_super *super)
{
	/* The length of what is summed up is a block's. */
	if (sb->blkszbits != EROFS_BLOCK_BITS)
		return "blocks are not of 4096 bytes";
	if (!(le32toh(sb->feature_compat) & EROFS_COMPAT_SB_CHKSUM))
		return "superblock has no checksum";
	if (!is_checksum_right(data, sb))
		return "superblock checksum is wrong";
	if (le32toh(sb->feature_incompat) & ~KNOWN_FEATURES)
		return "unknown features";
	return find_sizes(data, sb, super);
}

void mlimg_erofs_super_parse(
	const uint8_t data[MLIMG_EROFS_FIRST_BLOCK], struct mlimg_erofs_super *ret_super)
{
	struct erofs_super sb;

	memset(ret_super, 0, sizeof(*ret_super));
	memcpy(&sb, data + EROFS_SB_OFFSET, sizeof(sb));
	if (le32toh(sb.magic) != EROFS_MAGIC)
		return;
	memcpy(ret_super->uuid, sb.uuid, sizeof(ret_super->uuid));
	memcpy(ret_super->label, sb.volume_name, sizeof(sb.volume_name));
	ret_super->flaw = find_flaw(data, &sb, ret_super);
	ret_super->state = ret_super->flaw ? MLIMG_SUPERBLOCK_DAMAGED : MLIMG_SUPERBLOCK_SOUND;
}

int mlimg_erofs_device_read(int fd, const struct mlimg_erofs_super *super, unsigned i,
	struct mlimg_erofs_device *ret_device)
{
	uint64_t offset = super->devices_offset + (uint64_t)i * EROFS_DEVICE_SLOT_SIZE;
	struct erofs_device_slot slot;
	ssize_t n;

	do
		n = pread(fd, &slot, sizeof(slot), (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(slot))
		return n < 0 ? -errno : -EIO;
	memcpy(ret_device->tag, slot.tag, sizeof(slot.tag));
	ret_device->tag[sizeof(slot.tag)] = '\0';
	ret_device->n_blocks = le32toh(slot.blocks);
	ret_device->first_block = super->is_joined ? le32toh(slot.mapped_blkaddr) : 0;
	memcpy(ret_device->places, slot.places, sizeof(slot.places));
	return 0;
}
