/* SPDX-License-Identifier: MIT */
#include "libmlimg/disk.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

const char *mlimg_disk_state_name(enum mlimg_disk_state state)
{
	static const char *const names[] = {
		[MLIMG_DISK_LAYER] = "layer",
		[MLIMG_DISK_EXT4] = "ext4",
		[MLIMG_DISK_DAMAGED] = "damaged",
		[MLIMG_DISK_TRUNCATED] = "truncated",
		[MLIMG_DISK_BLANK] = "blank",
		[MLIMG_DISK_OTHER] = "other",
		[MLIMG_DISK_UNREADABLE] = "unreadable",
	};

	return names[state];
}

/* A disk, or what lies in a part of one. */
struct part {
	int fd;
	uint64_t offset, size;
};

static int get_size(int fd, uint64_t *ret_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISBLK(st.st_mode))
		return ioctl(fd, BLKGETSIZE64, ret_size) < 0 ? -errno : 0;
	if (!S_ISREG(st.st_mode))
		return -ENOTBLK;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

/* Bytes read, fewer than @p size only at the end of the disk; or -errno. */
static ssize_t read_at(const struct part *part, void *buf, size_t size, uint64_t offset)
{
	size_t done = 0;

	if (offset >= part->size)
		return 0;
	if (size > part->size - offset)
		size = (size_t)(part->size - offset);
	while (done < size) {
		ssize_t n = pread(part->fd, (char *)buf + done, size - done,
			(off_t)(part->offset + offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static bool is_zero(const uint8_t *data, size_t size)
{
	return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

static bool has_mark(const uint8_t *data, size_t size)
{
	static const char mark[MLIMG_DISK_MARK_BYTES] = MLIMG_DISK_MARK;

	return size >= sizeof(mark) && memcmp(data, mark, sizeof(mark)) == 0;
}

static enum mlimg_kind kind_of_label(const char *label)
{
	for (enum mlimg_kind kind = MLIMG_SYSTEM; kind <= MLIMG_KIND_LAST; kind++)
		if (strcmp(label, mlimg_kind_label(kind)) == 0)
			return kind;
	return 0;
}

/*
 * The first backup lies at the beginning of group 1, and a group has 8 * block size blocks unless
 * mke2fs was told otherwise. Only a sound one counts: the magic number alone is two bytes that any
 * file may have there.
 */
static bool find_backup(const struct part *part, struct mlimg_disk *disk)
{
	for (uint32_t block_size = 1024; block_size <= 4096; block_size *= 2) {
		uint64_t block = (uint64_t)block_size * 8 + (block_size == 1024);
		uint8_t data[MLIMG_SUPERBLOCK_SIZE];
		struct mlimg_superblock sb;

		if (read_at(part, data, sizeof(data), block * block_size) != sizeof(data))
			continue;
		mlimg_superblock_parse(data, &sb);
		if (sb.state != MLIMG_SUPERBLOCK_SOUND || sb.block_size != block_size)
			continue;
		disk->sb = sb;
		disk->backup_offset = block * block_size;
		return true;
	}
	return false;
}

/*
 * An index has no backup: its superblock, or what is left of it, is the only trace. Another maker's
 * EROFS is none of ours.
 */
static bool find_index(const uint8_t *data, size_t size, struct mlimg_disk *disk)
{
	if (size < MLIMG_EROFS_FIRST_BLOCK)
		return false;
	mlimg_erofs_super_parse(data, &disk->index);
	disk->is_index = disk->index.state != MLIMG_SUPERBLOCK_NONE &&
		strcmp(disk->index.label, MLIMG_INDEX_LABEL) == 0;
	return disk->is_index;
}

static enum mlimg_disk_state judge_index(const struct mlimg_disk *disk)
{
	if (disk->index.state == MLIMG_SUPERBLOCK_DAMAGED)
		return MLIMG_DISK_DAMAGED;
	return disk->index.size_bytes > disk->size_bytes ? MLIMG_DISK_TRUNCATED : MLIMG_DISK_LAYER;
}

/* An index before ext4's backups: a disk used anew may still have those of what was on it. */
static enum mlimg_disk_state judge(
	const struct part *part, const uint8_t *data, size_t size, struct mlimg_disk *disk)
{
	if (size >= MLIMG_SUPERBLOCK_OFFSET + MLIMG_SUPERBLOCK_SIZE)
		mlimg_superblock_parse(data + MLIMG_SUPERBLOCK_OFFSET, &disk->sb);
	if (disk->sb.state == MLIMG_SUPERBLOCK_SOUND) {
		if (disk->sb.size_bytes > disk->size_bytes)
			return MLIMG_DISK_TRUNCATED;
		return kind_of_label(disk->sb.label) ? MLIMG_DISK_LAYER : MLIMG_DISK_EXT4;
	}
	disk->is_unfinished = has_mark(data, size);
	if (disk->is_unfinished)
		return MLIMG_DISK_BLANK;
	if (find_index(data, size, disk))
		return judge_index(disk);
	if (find_backup(part, disk) || disk->sb.state == MLIMG_SUPERBLOCK_DAMAGED)
		return MLIMG_DISK_DAMAGED;
	return is_zero(data, size) ? MLIMG_DISK_BLANK : MLIMG_DISK_OTHER;
}

void mlimg_disk_probe(int fd, struct mlimg_disk *ret_disk)
{
	mlimg_disk_probe_part(fd, 0, UINT64_MAX, ret_disk);
}

void mlimg_disk_probe_part(
	int fd, uint64_t offset, uint64_t size_bytes, struct mlimg_disk *ret_disk)
{
	struct part part = {.fd = fd, .offset = offset};
	uint8_t data[MLIMG_DISK_BLANK_BYTES];
	ssize_t n;
	int r;

	memset(ret_disk, 0, sizeof(*ret_disk));
	r = get_size(fd, &part.size);
	part.size = part.size > offset ? part.size - offset : 0;
	if (part.size > size_bytes)
		part.size = size_bytes;
	ret_disk->size_bytes = part.size;
	n = r < 0 ? r : read_at(&part, data, sizeof(data), 0);
	if (n < 0) {
		ret_disk->state = MLIMG_DISK_UNREADABLE;
		ret_disk->error = (int)-n;
		return;
	}
	ret_disk->state = judge(&part, data, (size_t)n, ret_disk);
	if (!ret_disk->is_index)
		ret_disk->kind = kind_of_label(ret_disk->sb.label);
}

static int check_zero(const struct part *part, const char *name, uint64_t from, uint64_t end,
	struct mlimg_err *err)
{
	uint8_t data[65536];

	while (from < end) {
		size_t want = end - from < sizeof(data) ? (size_t)(end - from) : sizeof(data);
		ssize_t n = read_at(part, data, want, from);

		if (n < 0 || (size_t)n < want)
			return mlimg_err_set(err, n < 0 ? (int)-n : EIO, "read %s", name);
		for (size_t i = 0; i < want && !is_zero(data, want); i++)
			if (data[i])
				return mlimg_err_refuse(err,
					"%s is not blank: something is at byte %llu", name,
					(unsigned long long)(from + i));
		from += want;
	}
	return 0;
}

/* What lies far from both ends alone has no signature there; most of it is found nevertheless. */
static int check_samples(const struct part *part, const char *name, struct mlimg_err *err)
{
	const uint64_t size = MLIMG_DISK_SAMPLE_BYTES;
	int r = 0;

	for (uint64_t i = 1; i < MLIMG_DISK_SAMPLES && r == 0; i++) {
		uint64_t at = part->size / MLIMG_DISK_SAMPLES * i / size * size;

		r = check_zero(part, name, at, at + size, err);
	}
	return r;
}

int mlimg_disk_check_blank(int fd, const char *name, struct mlimg_err *err)
{
	const uint64_t edge = MLIMG_DISK_EDGE_BYTES;
	struct part part = {.fd = fd};
	struct mlimg_disk disk;
	int r;

	mlimg_disk_probe(fd, &disk);
	if (disk.state == MLIMG_DISK_UNREADABLE)
		return mlimg_err_set(err, disk.error, "read %s", name);
	if (disk.state != MLIMG_DISK_BLANK && disk.state != MLIMG_DISK_OTHER)
		return mlimg_err_refuse(
			err, "%s is not blank: it is %s", name, mlimg_disk_state_name(disk.state));
	if (disk.is_unfinished)
		return 0;
	part.size = disk.size_bytes;
	if (part.size <= 2 * edge)
		return check_zero(&part, name, 0, part.size, err);
	r = check_zero(&part, name, 0, edge, err);
	if (r == 0)
		r = check_zero(&part, name, part.size - edge, part.size, err);
	return r < 0 ? r : check_samples(&part, name, err);
}
