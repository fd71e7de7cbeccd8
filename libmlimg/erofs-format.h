/* SPDX-License-Identifier: MIT */
/**
 * @file erofs-format.h
 * EROFS on disk, as far as this project writes and reads it: uncompressed, 4096-byte blocks,
 * chunk-based files with a device table.
 *
 * Source: the kernel's fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst, as of Linux
 * 6.1. All numbers are little-endian.
 *
 * - The superblock lies at byte 1024 of block 0 and is 128 bytes long. Its checksum is CRC-32C
 *   (initial value ~0, no final inversion) over the bytes 1024..4095 of block 0, taken with the
 *   checksum field zero.
 * - The device table is an array of 128-byte slots that begins at byte 128 * devt_slotoff. Slot i
 *   is device i + 1; device 0 is the image itself. The tag is free to use. Of the 56 reserved
 *   bytes, which no kernel reads, mlimg uses the last 20, farthest from what later versions may
 *   add.
 * - A joined image lies at the beginning of one disk, and its devices behind it on the same disk
 *   (libmlimg/index.h). Its chunks name device 0 and blocks of that disk, which every kernel with
 *   chunk-based files can do; images whose chunks name devices that lie behind them (EROFS calls
 *   them flattened) are only for Linux 6.4 and later. The feature EROFS_INCOMPAT_DEVICE_TABLE is
 *   off, for with it a kernel before 6.4 wants the devices, and with it off none looks at
 *   extra_devices, devt_slotoff and the table. They are there all the same, for mlimg:
 *   mapped_blkaddr of a slot is the device's first block on the disk. The superblock's blocks are
 *   those of the whole disk; the image itself ends where device 1 begins, or, where a hash tree
 *   (libmlimg/verity.h) lies between them, after slot 0's own_blocks.
 * - Inodes lie at 4096 * meta_blkaddr + 32 * nid. The root's nid has 16 bits in the superblock, so
 *   it must be one of the first 65,536 slots.
 * - An inode is followed by its xattrs, then by what its layout says: an array of chunk indexes
 *   (aligned to 8 bytes), or the tail of its data, which must not cross a block's end.
 * - A compact inode (32 bytes) has no time of its own, but the superblock's; 16-bit owners and link
 *   count, 32-bit size.
 * - A directory's data are blocks; each begins with an array of dirents, whose first nameoff tells
 *   how many there are; names follow, and the last name ends at a NUL or the end of the data. Names
 *   ascend in strict byte order within and across blocks, "." and ".." among them.
 * - Shared xattrs lie at 4096 * xattr_blkaddr + 4 * id, in the same form as inline ones.
 */
#ifndef MLIMG_EROFS_FORMAT_H
#define MLIMG_EROFS_FORMAT_H

#include <stdint.h>

#define EROFS_MAGIC 0xE0F5E1E2u
#define EROFS_SB_OFFSET 1024
#define EROFS_BLOCK_BITS 12
#define EROFS_BLOCK_SIZE 4096u
#define EROFS_SLOT_SIZE 32u /**< unit of nids */
#define EROFS_DEVICE_SLOT_SIZE 128u
#define EROFS_NAME_MAX 255

#define EROFS_COMPAT_SB_CHKSUM 0x1u
#define EROFS_COMPAT_MTIME 0x2u /**< the times are mtimes */
#define EROFS_INCOMPAT_CHUNKED_FILE 0x4u
#define EROFS_INCOMPAT_DEVICE_TABLE 0x8u

#define EROFS_LAYOUT_PLAIN 0    /**< data in consecutive blocks */
#define EROFS_LAYOUT_INLINE 2   /**< the same, but the last part of a block lies behind the inode */
#define EROFS_LAYOUT_CHUNKS 4   /**< chunk indexes behind the inode */
#define EROFS_FORMAT_EXTENDED 1 /**< bit 0 of i_format */
#define EROFS_FORMAT_LAYOUT_SHIFT 1

#define EROFS_CHUNK_BITS_MASK 0x1fu /**< chunk size is 4096 << this */
#define EROFS_CHUNK_INDEXES 0x20u
#define EROFS_NULL_ADDR 0xffffffffu /**< a hole */

#define EROFS_XATTR_USER 1
#define EROFS_XATTR_ACL_ACCESS 2
#define EROFS_XATTR_ACL_DEFAULT 3
#define EROFS_XATTR_TRUSTED 4
#define EROFS_XATTR_SECURITY 6

struct erofs_super {
	uint32_t magic;
	uint32_t checksum;
	uint32_t feature_compat;
	uint8_t blkszbits;
	uint8_t sb_extslots;
	uint16_t root_nid;
	uint64_t inos;       /**< number of inodes */
	uint64_t build_time; /**< seconds: mtime of compact inodes */
	uint32_t build_time_nsec;
	uint32_t blocks; /**< of device 0; of a joined image, of the whole disk */
	uint32_t meta_blkaddr;
	uint32_t xattr_blkaddr;
	uint8_t uuid[16];
	uint8_t volume_name[16];
	uint32_t feature_incompat;
	uint16_t compr_algs;
	uint16_t extra_devices;
	uint16_t devt_slotoff;
	uint8_t dirblkbits;
	uint8_t reserved[37];
} __attribute__((packed));

struct erofs_device_slot {
	uint8_t tag[64]; /**< free to use; here the build id in hexadecimal */
	uint32_t blocks;
	uint32_t mapped_blkaddr; /**< first block on the disk of a joined image, else 0 */
	uint8_t reserved[36];
	uint32_t
		own_blocks; /**< reserved bytes; in slot 0 of a joined image its own blocks, 0: all up to device 1 */
	uint8_t places[16]; /**< reserved bytes, here the hash seed of the layer's superblock */
} __attribute__((packed));

struct erofs_inode_compact {
	uint16_t i_format;
	uint16_t i_xattr_icount; /**< 0, or 1 + (xattr bytes - 12) / 4 */
	uint16_t i_mode;
	uint16_t i_nlink;
	uint32_t i_size;
	uint32_t i_reserved;
	uint32_t i_u; /**< first block, device number, or chunk format */
	uint32_t i_ino;
	uint16_t i_uid;
	uint16_t i_gid;
	uint32_t i_reserved2;
} __attribute__((packed));

struct erofs_inode_extended {
	uint16_t i_format;
	uint16_t i_xattr_icount;
	uint16_t i_mode;
	uint16_t i_reserved;
	uint64_t i_size;
	uint32_t i_u;
	uint32_t i_ino;
	uint32_t i_uid;
	uint32_t i_gid;
	uint64_t i_mtime;
	uint32_t i_mtime_nsec;
	uint32_t i_nlink;
	uint8_t i_reserved2[16];
} __attribute__((packed));

struct erofs_xattr_header {
	uint32_t h_name_filter;
	uint8_t h_shared_count;
	uint8_t h_reserved[7];
} __attribute__((packed));

struct erofs_xattr_entry {
	uint8_t e_name_len;
	uint8_t e_name_index;
	uint16_t e_value_size;
} __attribute__((packed));

struct erofs_chunk_index {
	uint16_t advise;
	uint16_t device_id;
	uint32_t blkaddr;
} __attribute__((packed));

struct erofs_dirent {
	uint64_t nid;
	uint16_t nameoff;
	uint8_t file_type; /**< 1 file, 2 directory, 3 char, 4 block, 5 fifo, 6 socket, 7 symlink */
	uint8_t reserved;
} __attribute__((packed));

_Static_assert(sizeof(struct erofs_super) == 128, "superblock");
_Static_assert(sizeof(struct erofs_device_slot) == 128, "device slot");
_Static_assert(sizeof(struct erofs_inode_compact) == 32, "compact inode");
_Static_assert(sizeof(struct erofs_inode_extended) == 64, "extended inode");
_Static_assert(sizeof(struct erofs_xattr_header) == 12, "xattr header");
_Static_assert(sizeof(struct erofs_dirent) == 12, "dirent");

#endif
