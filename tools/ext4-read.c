/* SPDX-License-Identifier: MIT */
/*
 * Opening an image: the superblock is checked here, before libext2fs sees it and allocates by what
 * it says.
 */
#include "tools/ext4-read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/ext4-err.h"
#include "tools/ext4-read-impl.h"

#define SUPER_OFFSET 1024
#define CHECKSUM_CRC32C 1

/* 2^18 groups are 32 TiB, and 16 MiB of descriptors in memory. */
#define GROUPS_MAX (1u << 18)

#define INCOMPAT_NEEDED (EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS)
#define INCOMPAT_KNOWN                                                                     \
	(INCOMPAT_NEEDED | EXT3_FEATURE_INCOMPAT_RECOVER | EXT2_FEATURE_INCOMPAT_META_BG | \
		EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG |              \
		EXT4_FEATURE_INCOMPAT_CSUM_SEED | EXT4_FEATURE_INCOMPAT_LARGEDIR)
#define RO_COMPAT_KNOWN                                                                  \
	(EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |       \
		EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_GDT_CSUM |     \
		EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE |  \
		EXT4_FEATURE_RO_COMPAT_METADATA_CSUM | EXT4_FEATURE_RO_COMPAT_READONLY | \
		EXT4_FEATURE_RO_COMPAT_SHARED_BLOCKS)

/* Long names are cut, so that what is wrong still finds room. */
__attribute__((format(printf, 3, 0))) static void format_place(
	const struct mlimg_ext4 *fs, char *text, const char *fmt, va_list ap)
{
	char what[MLIMG_ERR_TEXT_SIZE];

	vsnprintf(what, sizeof(what), fmt, ap);
	if (fs->at)
		snprintf(text, MLIMG_ERR_TEXT_SIZE, "%.140s: %s%.140s: %.160s", fs->name,
			fs->at[0] ? "./" : ".", fs->at, what);
	else
		snprintf(text, MLIMG_ERR_TEXT_SIZE, "%.140s: %.300s", fs->name, what);
}

int ext4_refuse(const struct mlimg_ext4 *fs, struct mlimg_err *err, const char *fmt, ...)
{
	char text[MLIMG_ERR_TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	format_place(fs, text, fmt, ap);
	va_end(ap);
	return mlimg_err_refuse(err, "%s", text);
}

int ext4_fail(const struct mlimg_ext4 *fs, struct mlimg_err *err, int errnum, const char *fmt, ...)
{
	char text[MLIMG_ERR_TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	format_place(fs, text, fmt, ap);
	va_end(ap);
	return mlimg_err_set(err, errnum, "%s", text);
}

int ext4_refuse_code(
	const struct mlimg_ext4 *fs, struct mlimg_err *err, errcode_t code, const char *fmt, ...)
{
	char text[MLIMG_ERR_TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	format_place(fs, text, fmt, ap);
	va_end(ap);
	return mlimg_ext4_err_refuse(err, code, "%s", text);
}

/* The name of one feature that is not in the set, for the message. */
static const char *feature_name(uint32_t incompat, uint32_t ro_compat)
{
	static const struct {
		uint32_t incompat, ro_compat;
		const char *name;
	} names[] = {
		{EXT2_FEATURE_INCOMPAT_COMPRESSION, 0, "compression"},
		{EXT3_FEATURE_INCOMPAT_JOURNAL_DEV, 0, "journal_dev"},
		{EXT4_FEATURE_INCOMPAT_MMP, 0, "mmp"},
		{EXT4_FEATURE_INCOMPAT_EA_INODE, 0, "ea_inode"},
		{EXT4_FEATURE_INCOMPAT_DIRDATA, 0, "dirdata"},
		{EXT4_FEATURE_INCOMPAT_INLINE_DATA, 0, "inline_data"},
		{EXT4_FEATURE_INCOMPAT_ENCRYPT, 0, "encrypt"},
		{EXT4_FEATURE_INCOMPAT_CASEFOLD, 0, "casefold"},
		{0, EXT4_FEATURE_RO_COMPAT_BIGALLOC, "bigalloc"},
		{0, EXT4_FEATURE_RO_COMPAT_QUOTA, "quota"},
		{0, EXT4_FEATURE_RO_COMPAT_PROJECT, "project"},
		{0, EXT4_FEATURE_RO_COMPAT_VERITY, "verity"},
		{0, EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT, "orphan_present"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((names[i].incompat & incompat) || (names[i].ro_compat & ro_compat))
			return names[i].name;
	return "unknown";
}

static int check_features(
	const struct mlimg_ext4 *fs, const struct ext2_super_block *sb, struct mlimg_err *err)
{
	uint32_t incompat = le32toh(sb->s_feature_incompat);
	uint32_t ro_compat = le32toh(sb->s_feature_ro_compat);

	if (incompat & ~(uint32_t)INCOMPAT_KNOWN || ro_compat & ~(uint32_t)RO_COMPAT_KNOWN)
		return ext4_refuse(fs, err, "its ext4 feature '%s' is none that layers have",
			feature_name(incompat & ~(uint32_t)INCOMPAT_KNOWN,
				ro_compat & ~(uint32_t)RO_COMPAT_KNOWN));
	if ((incompat & INCOMPAT_NEEDED) != INCOMPAT_NEEDED)
		return ext4_refuse(fs, err, "it lacks the ext4 features 'extent' and 'filetype'");
	return 0;
}

static int check_label(
	struct mlimg_ext4 *fs, const struct ext2_super_block *sb, struct mlimg_err *err)
{
	for (enum mlimg_kind kind = MLIMG_SYSTEM; kind <= MLIMG_KIND_LAST; kind++) {
		if (strncmp((const char *)sb->s_volume_name, mlimg_kind_label(kind),
			    EXT2_LABEL_LEN) == 0) {
			fs->super.kind = kind;
			return 0;
		}
	}
	return ext4_refuse(fs, err, "is no layer: its label '%.16s' is none of mlimg's",
		(const char *)sb->s_volume_name);
}

static int check_checksum(
	const struct mlimg_ext4 *fs, const struct ext2_super_block *sb, struct mlimg_err *err)
{
	if (!(le32toh(sb->s_feature_ro_compat) & EXT4_FEATURE_RO_COMPAT_METADATA_CSUM))
		return 0;
	if (sb->s_checksum_type != CHECKSUM_CRC32C ||
		ext2fs_crc32c_le(~0u, (const unsigned char *)sb,
			offsetof(struct ext2_super_block, s_checksum)) != le32toh(sb->s_checksum))
		return ext4_refuse(fs, err, "superblock is damaged: its checksum is wrong");
	return 0;
}

/* As statfs(2) tells f_bavail, with what ext4 keeps back for itself (s_resv_clusters). */
static uint64_t free_blocks(const struct ext2_super_block *sb, uint64_t n_blocks)
{
	bool is_64bit = le32toh(sb->s_feature_incompat) & EXT4_FEATURE_INCOMPAT_64BIT;
	uint64_t high = is_64bit ? le32toh(sb->s_free_blocks_hi) : 0;
	uint64_t free = high << 32 | le32toh(sb->s_free_blocks_count);
	uint64_t kept = is_64bit ? (uint64_t)le32toh(sb->s_r_blocks_count_hi) << 32 : 0;

	kept += le32toh(sb->s_r_blocks_count) + (n_blocks / 50 < 4096 ? n_blocks / 50 : 4096);
	return free > kept ? free - kept : 0;
}

static int check_geometry(struct mlimg_ext4 *fs, const struct ext2_super_block *sb,
	uint64_t image_bytes, struct mlimg_err *err)
{
	uint64_t n_blocks = le32toh(sb->s_blocks_count);
	uint32_t per_group = le32toh(sb->s_blocks_per_group);

	if (le32toh(sb->s_feature_incompat) & EXT4_FEATURE_INCOMPAT_64BIT)
		n_blocks |= (uint64_t)le32toh(sb->s_blocks_count_hi) << 32;
	if (le32toh(sb->s_log_block_size) != 2 || le32toh(sb->s_log_cluster_size) != 2)
		return ext4_refuse(fs, err, "its blocks are not 4096 bytes long");
	if (le32toh(sb->s_rev_level) != EXT2_DYNAMIC_REV || le32toh(sb->s_first_data_block) != 0 ||
		le16toh(sb->s_inode_size) < 128 ||
		le16toh(sb->s_inode_size) > MLIMG_EXT4_INODE_MAX || per_group < 8 ||
		per_group > 8 * MLIMG_EXT4_BLOCK || n_blocks == 0 ||
		le32toh(sb->s_inodes_count) < EXT2_GOOD_OLD_FIRST_INO)
		return ext4_refuse(fs, err, "superblock is damaged: its numbers make no sense");
	if (n_blocks > image_bytes / MLIMG_EXT4_BLOCK)
		return ext4_refuse(fs, err,
			"is truncated: the file system has %llu bytes, the image %llu",
			(unsigned long long)n_blocks * MLIMG_EXT4_BLOCK,
			(unsigned long long)image_bytes);
	if ((n_blocks - 1) / per_group >= GROUPS_MAX)
		return ext4_refuse(fs, err, "superblock is damaged: too many block groups");
	fs->super.n_blocks = n_blocks;
	fs->super.n_free = free_blocks(sb, n_blocks);
	fs->super.n_inodes = le32toh(sb->s_inodes_count);
	fs->super.is_dirty = le32toh(sb->s_feature_incompat) & EXT3_FEATURE_INCOMPAT_RECOVER;
	memcpy(fs->super.uuid, sb->s_uuid, sizeof(fs->super.uuid));
	memcpy(fs->super.places, sb->s_hash_seed, sizeof(fs->super.places));
	return 0;
}

static int read_super(struct mlimg_ext4 *fs, uint64_t image_bytes, struct mlimg_err *err)
{
	uint8_t head[SUPER_OFFSET + sizeof(struct ext2_super_block)];
	struct ext2_super_block sb;
	ssize_t got = ext4_read_head(fs, head, sizeof(head), err);
	int ret;

	if (got < 0)
		return (int)got;
	if (got >= 4 && memcmp(head, "QFI\xfb", 4) == 0)
		return ext4_refuse(fs, err, "is a qcow2 image; only raw images can be read");
	if ((size_t)got < sizeof(head))
		return ext4_refuse(
			fs, err, "is too short to hold a file system (%lld bytes)", (long long)got);
	memcpy(&sb, head + SUPER_OFFSET, sizeof(sb));
	if (le16toh(sb.s_magic) != EXT2_SUPER_MAGIC)
		return ext4_refuse(
			fs, err, "is no ext4 file system, or its superblock is destroyed");
	ret = check_checksum(fs, &sb, err);
	if (ret == 0)
		ret = check_label(fs, &sb, err);
	if (ret == 0)
		ret = check_features(fs, &sb, err);
	if (ret == 0)
		ret = check_geometry(fs, &sb, image_bytes, err);
	return ret;
}

static int open_image(
	struct mlimg_ext4 *fs, const char *path, uint64_t *ret_bytes, struct mlimg_err *err)
{
	struct stat st;
	off_t end;

	/*
	 * O_NONBLOCK: a FIFO must not keep us waiting. It changes nothing for files and block
	 * devices.
	 */
	fs->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fs->fd < 0 || fstat(fs->fd, &st) < 0)
		return mlimg_err_set(err, errno, "open image '%s'", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return mlimg_err_refuse(err, "%s: is neither a file nor a block device", path);
	end = lseek(fs->fd, 0, SEEK_END);
	if (end < 0)
		return mlimg_err_set(err, errno, "open image '%s'", path);
	*ret_bytes = (uint64_t)end;
	return 0;
}

static int open_ext2(struct mlimg_ext4 *fs, struct mlimg_err *err)
{
	errcode_t code;
	int ret = ext4_open2(fs, &code, err);

	if (ret < 0)
		return ret;
	if (code) {
		fs->ext2 = NULL;
		return mlimg_ext4_err_refuse(
			err, code, "%s: superblock or group descriptors", fs->name);
	}
	for (dgrp_t group = 0; group < fs->ext2->group_desc_count; group++)
		if (!ext2fs_group_desc_csum_verify(fs->ext2, group))
			return ext4_refuse(fs, err,
				"descriptor of block group %u is damaged: its checksum is wrong",
				group);
	return 0;
}

int mlimg_ext4_open(const char *path, struct mlimg_ext4 **ret_fs, struct mlimg_err *err)
{
	return mlimg_ext4_open_part(path, 0, UINT64_MAX, ret_fs, err);
}

int mlimg_ext4_open_part(const char *path, uint64_t offset, uint64_t size_bytes,
	struct mlimg_ext4 **ret_fs, struct mlimg_err *err)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = calloc(1, sizeof(*fs));
	uint64_t image_bytes = 0;
	int ret;

	if (fs) {
		fs->fd = -1;
		fs->offset = offset;
		fs->name = strdup(path);
	}
	if (!fs || !fs->name)
		return mlimg_err_set(err, ENOMEM, "open image '%s'", path);
	ret = open_image(fs, path, &image_bytes, err);
	image_bytes = image_bytes > offset ? image_bytes - offset : 0;
	if (image_bytes > size_bytes)
		image_bytes = size_bytes;
	if (ret == 0)
		ret = read_super(fs, image_bytes, err);
	if (ret == 0)
		ret = open_ext2(fs, err);
	if (ret == 0)
		*ret_fs = mlimg_steal(&fs);
	return ret;
}

int mlimg_ext4_open_source(struct mlimg_block_source *source, const char *name,
	struct mlimg_ext4 **ret_fs, struct mlimg_err *err)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = calloc(1, sizeof(*fs));
	int ret;

	if (fs) {
		fs->fd = -1;
		fs->source = source;
		fs->name = strdup(name);
	} else {
		mlimg_block_source_close(source);
	}
	if (!fs || !fs->name)
		return mlimg_err_set(err, ENOMEM, "open image '%s'", name);
	ret = read_super(fs, source->size_bytes, err);
	if (ret == 0)
		ret = open_ext2(fs, err);
	if (ret == 0)
		*ret_fs = mlimg_steal(&fs);
	return ret;
}

void mlimg_ext4_close(struct mlimg_ext4 *fs)
{
	if (!fs)
		return;
	for (size_t i = 0; i < EXT4_RECENT_DIRS; i++)
		mlimg_ext4_dir_done(&fs->recent[i].dir);
	/* Not ext2fs_close(): that could write. */
	if (fs->ext2)
		ext2fs_free(fs->ext2);
	mlimg_block_source_close(fs->source);
	if (fs->fd >= 0)
		close(fs->fd);
	free(fs->name);
	free(fs);
}

const struct mlimg_ext4_super *mlimg_ext4_super(const struct mlimg_ext4 *fs)
{
	return &fs->super;
}

const char *mlimg_ext4_name(const struct mlimg_ext4 *fs)
{
	return fs->name;
}

int mlimg_ext4_fd(const struct mlimg_ext4 *fs)
{
	return fs->fd;
}

const char *mlimg_kind_tree(enum mlimg_kind kind)
{
	return kind == MLIMG_USER ? "/upper" : "/rootfs";
}
