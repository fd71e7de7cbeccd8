/* SPDX-License-Identifier: MIT */
/* Puts an image on a disk: its journal, and the superblock last. */
#include "guest-agent/ext4-new-impl.h"

#include <endian.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/disk.h"

static void put_be32(uint8_t *p, uint32_t n)
{
	uint32_t be = htobe32(n);

	memcpy(p, &be, sizeof(be));
}

static int write_at(int fd, const char *name, const void *data, size_t size, uint64_t offset,
	struct mlimg_err *err)
{
	for (size_t done = 0; done < size;) {
		ssize_t n =
			pwrite(fd, (const char *)data + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return mlimg_err_set(err, n < 0 ? errno : ENOSPC, "write %s", name);
		done += (size_t)n;
	}
	return 0;
}

static int sync_disk(int fd, const char *name, struct mlimg_err *err)
{
	return fsync(fd) < 0 ? mlimg_err_set(err, errno, "write %s", name) : 0;
}

/*
 * What an earlier life left there must not be taken for the journal's. A disk need not know how to
 * do it at once.
 */
static int clear_journal(
	int fd, const char *name, const struct ext4_new_image *image, struct mlimg_err *err)
{
	uint64_t range[2] = {(uint64_t)image->next * BS, (uint64_t)image->journal_blocks * BS};
	mlimg_autofree uint8_t *zero = NULL;
	const size_t piece = 1 << 20;
	int r = 0;

	if (ioctl(fd, BLKZEROOUT, range) == 0)
		return 0;
	zero = calloc(1, piece);
	if (!zero)
		return mlimg_err_set(err, ENOMEM, "write %s", name);
	for (uint64_t done = 0; done < range[1] && r == 0; done += piece)
		r = write_at(fd, name, zero, piece, range[0] + done, err);
	return r;
}

/* Big-endian, as all of a journal. It is empty: nothing to replay. */
static int write_journal(
	int fd, const char *name, const struct ext4_new_image *image, struct mlimg_err *err)
{
	uint8_t p[1024] = {0};
	int r = clear_journal(fd, name, image, err);

	put_be32(p, 0xc03b3998);
	put_be32(p + 4, 4);
	put_be32(p + 0x0c, BS);
	put_be32(p + 0x10, image->journal_blocks);
	put_be32(p + 0x14, 1); /* its first block behind this one */
	put_be32(p + 0x18, 1); /* its first sequence number */
	memcpy(p + 0x30, image->uuid, MLIMG_UUID_SIZE);
	put_be32(p + 0x40, 1);
	return r < 0 ? r : write_at(fd, name, p, sizeof(p), (uint64_t)image->next * BS, err);
}

int ext4_new_write(
	int fd, const char *name, const struct ext4_new_image *image, struct mlimg_err *err)
{
	static const char mark[MLIMG_DISK_MARK_BYTES] = MLIMG_DISK_MARK,
			  none[MLIMG_DISK_MARK_BYTES];
	int r = write_at(fd, name, mark, sizeof(mark), 0, err);

	if (r == 0)
		r = sync_disk(fd, name, err);
	if (r == 0)
		r = write_journal(fd, name, image, err);
	if (r == 0)
		r = write_at(fd, name, ext4_new_block(image, GDT), (size_t)(image->next - GDT) * BS,
			BS, err);
	if (r == 0)
		r = sync_disk(fd, name, err);
	if (r == 0)
		r = write_at(fd, name, image->bytes + MLIMG_SUPERBLOCK_OFFSET,
			BS - MLIMG_SUPERBLOCK_OFFSET, MLIMG_SUPERBLOCK_OFFSET, err);
	if (r == 0)
		r = sync_disk(fd, name, err);
	if (r == 0)
		r = write_at(fd, name, none, sizeof(none), 0, err);
	return r < 0 ? r : sync_disk(fd, name, err);
}
