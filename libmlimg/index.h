/* SPDX-License-Identifier: MIT */
/**
 * @file index.h
 * An index (tools/index-merge.h says what is in it) beside the layers it was compiled from. Its
 * files are blocks on other disks, so a wrong disk would not fail but show garbage: everything that
 * tells one disk from another is compared before anything is mounted.
 *
 * A slot of the device table stands for a layer, bottom first, and says
 *
 *     build id     compared with the UUID of the layer's file system, which is derived from it
 *     blocks       compared with the file system's size, and so, since a truncated one is refused, with the disk's
 *     places       compared with the superblock's hash seed: two images of one layer, of a directory and of a tar of it, have one build id, but
 *                  their contents may lie elsewhere (tools/ext4-write.h)
 *
 * Disks cost time at boot, each of them. So there is a second form, the joined index
 * (erofs-format.h): index and layers are one disk, and the index's chunks are blocks of that disk.
 *
 *     the index, layer 0's image, layer 1's image, …      bottom first, each followed by zeros up to a multiple of 4096 bytes
 *
 * Nothing is copied for it: a hypervisor puts the files together (tools/vmdk.h). A slot's
 * mapped_blkaddr is the layer's first block on that disk, the first one's also the number of blocks
 * of the index itself, with its hash tree where it has one (verity.h); superblock's blocks is the
 * number of all. A layer's room, up to the next one's first block, is that of the whole image: more
 * than its file system where a hash tree lies behind that (verity.h), or where it lies on a larger
 * block device.
 *
 * The index's own UUID begins with the 20 digits that a layer's of the stack's id would have
 * (layer.h): by these it is found. The other 12 say which index of that stack it is: they follow
 * from the revision of what compiles it (tools/index-merge.h), and each layer's blocks and places.
 * Where one of these is another, so may inode numbers be, and a user layer has file handles of
 * files that it has copies of (trusted.overlay.origin), which are a UUID and an inode number:
 * overlayfs passes over those of another UUID, and would take any file for the original else. Only
 * superblocks and the device table are read.
 */
#ifndef MLIMG_INDEX_H
#define MLIMG_INDEX_H

#include "libmlimg/disk.h"
#include "libmlimg/stack.h"

/** An index as its superblock and device table describe it. */
struct mlimg_index {
	uint8_t uuid[MLIMG_UUID_SIZE];
	bool is_joined;      /**< made for one disk with its layers */
	uint64_t size_bytes; /**< of the index itself */
	uint64_t
		room_bytes; /**< of a joined one on the disk: with the hash tree behind it, if any */
	uint64_t disk_blocks; /**< of the disk of a joined one, layers included */
	size_t n_layers;
	struct mlimg_erofs_device layers[MLIMG_STACK_LAYERS_MAX]; /**< bottom first */
};

/** A disk that is said to hold a layer. */
struct mlimg_index_disk {
	int fd;           /**< readable */
	const char *name; /**< as messages begin with it */
};

/**
 * Read an index's description.
 *
 * @param fd         a block device or a regular file, readable
 * @param name       as messages begin with it
 * @param ret_index  filled on success
 * @param err        what is wrong with it
 * @return           0; -EUCLEAN when it is none, damaged or truncated; other -errno
 */
int mlimg_index_read(int fd, const char *name, struct mlimg_index *ret_index,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** A layer, as an index's UUID depends on it. */
struct mlimg_index_part {
	uint64_t n_blocks;                 /**< of 4096 bytes */
	uint8_t places[MLIMG_PLACES_SIZE]; /**< the superblock's hash seed */
};

/**
 * Derive the UUID of an index.
 *
 * @param stack_id  64 hexadecimal digits
 * @param revision  of what compiles it
 * @param parts     the layers, bottom first
 * @param n_parts   their number
 * @param ret_uuid  the result
 * @return          false when @p stack_id is none
 */
bool mlimg_index_uuid(const char *stack_id, uint32_t revision, const struct mlimg_index_part *parts,
	size_t n_parts, uint8_t ret_uuid[MLIMG_UUID_SIZE]);

/** @return whether the UUID is that of an index of this stack, whichever */
bool mlimg_index_is_of(const struct mlimg_index *index, const char *stack_id);

/**
 * @return blocks that a layer's image has on the disk of a joined index, from its first_block on
 */
uint64_t mlimg_index_room(const struct mlimg_index *index, size_t layer);

/**
 * Compare disks with the index; with a joined one, these are the images that are to become one
 * disk, and their sizes are compared as well.
 *
 * @param index       the index
 * @param index_name  what it is called in messages
 * @param disks       bottom first
 * @param n_disks     their number
 * @param err         names the first disk that does not fit
 * @return            0; -EUCLEAN when one does not fit, or there are more or fewer; other -errno
 */
int mlimg_index_check(const struct mlimg_index *index, const char *index_name,
	const struct mlimg_index_disk *disks, size_t n_disks,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Compare the layers that lie behind a joined index with it.
 *
 * @param index  the index, joined
 * @param disk   the disk that it is on
 * @param err    names the disk, and the block where the first layer lies that does not fit
 * @return       0; -EUCLEAN when one does not fit, or the disk ends before it; other -errno
 */
int mlimg_index_check_joined(const struct mlimg_index *index, const struct mlimg_index_disk *disk,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
