/* SPDX-License-Identifier: MIT */
/**
 * @file disk.h
 * What a disk holds, by its superblock: an ext4 layer (superblock.h), an index (erofs-super.h), or
 * something that is none of ours. Reads only; the disk may be a stranger's.
 */
#ifndef MLIMG_DISK_H
#define MLIMG_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "libmlimg/erofs-super.h"
#include "libmlimg/layer.h"
#include "libmlimg/superblock.h"

#define MLIMG_INDEX_LABEL "mlimg-index" /**< volume name of an index */

/** What a disk turned out to be; the states of `mlimg-agent identify`. */
enum mlimg_disk_state {
	MLIMG_DISK_LAYER = 1, /**< a sound superblock with the label of a layer or an index */
	MLIMG_DISK_EXT4,      /**< a sound superblock, not one of ours */
	MLIMG_DISK_DAMAGED,   /**< traces of ext4 or of an index, but no sound primary superblock */
	MLIMG_DISK_TRUNCATED, /**< sound, but the file system is larger than the disk */
	/** the first MLIMG_DISK_BLANK_BYTES are zero, or formatting it was cut off */
	MLIMG_DISK_BLANK,
	MLIMG_DISK_OTHER,      /**< none of these */
	MLIMG_DISK_UNREADABLE, /**< cannot be opened or read */
};

/** How much must be zero for a disk to count as blank: all that partition tables, boot sectors and the common file systems'
 * superblocks lie in (btrfs' is the farthest, at 64 KiB). */
#define MLIMG_DISK_BLANK_BYTES 131072

/** At the beginning of a disk that mlimg-agent is formatting (guest-agent/ext4-new.h), filled up with zeros. Without a sound superblock
 * behind it, nothing of anybody's is on the disk. */
#define MLIMG_DISK_MARK "mlimg: a user layer is being made on this disk\n"
#define MLIMG_DISK_MARK_BYTES 512 /**< a sector, which ext4 leaves alone */

/** A disk that was looked at. */
struct mlimg_disk {
	enum mlimg_disk_state state;
	enum mlimg_kind kind; /**< by the label; 0 when it is no layer's */
	bool is_index;        /**< by the label: then @p index is what counts, and not @p sb */
	struct mlimg_superblock
		sb; /**< the primary one; of a damaged disk a sound backup where there is one */
	struct mlimg_erofs_super index;
	bool is_unfinished;     /**< blank, and it bears MLIMG_DISK_MARK */
	uint64_t backup_offset; /**< bytes; not 0 where @p sb is a backup */
	uint64_t size_bytes;    /**< of the disk */
	int error;              /**< errno value when unreadable */
};

/** @return "layer", "ext4", "damaged", "truncated", "blank", "other", "unreadable" */
const char *mlimg_disk_state_name(enum mlimg_disk_state state);

/**
 * Look at a disk. Reads at most the first MLIMG_DISK_BLANK_BYTES and three places where ext4 keeps
 * its first backup.
 *
 * @param fd        a block device or a regular file, readable
 * @param ret_disk  always filled; a failure to read is a state, no error
 */
void mlimg_disk_probe(int fd, struct mlimg_disk *ret_disk);

/** How much of both ends of a disk must be zero before it is formatted. */
#define MLIMG_DISK_EDGE_BYTES 8388608

/** Into how many parts it is cut, at whose borders it must be zero, too. */
#define MLIMG_DISK_SAMPLES 256
#define MLIMG_DISK_SAMPLE_BYTES 4096 /**< at each border, on a multiple of this */

/**
 * Whether nothing is on a disk: zeros wherever a signature may lie that libblkid knows, and more.
 * From the beginning the farthest are the second header of LUKS2 (4 MiB) and VMFS (2 MiB), from the
 * end the labels of ZFS (512 KiB), RAID superblocks (128 KiB) and the second partition table of
 * GPT; the backups of an ext4 superblock in between are looked for too, and a block at every 256th
 * part of the disk: 17 MiB are read at most. Less than that part may be overlooked. A disk on which
 * formatting was cut off counts.
 *
 * @param fd    a block device or a regular file, readable
 * @param name  what it is called in messages
 * @param err   of kind MLIMG_ERR_REFUSED when something is there, which it names
 * @return      0, -EUCLEAN, -errno
 */
int mlimg_disk_check_blank(int fd, const char *name, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Look at a part of a disk as if it were one of its own.
 *
 * @param fd          as mlimg_disk_probe()
 * @param offset      byte where it begins
 * @param size_bytes  its room; less where the disk ends before
 * @param ret_disk    as mlimg_disk_probe(); its places count from the beginning of the part
 */
void mlimg_disk_probe_part(
	int fd, uint64_t offset, uint64_t size_bytes, struct mlimg_disk *ret_disk);

#endif
