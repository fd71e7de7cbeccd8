/* SPDX-License-Identifier: MIT */
#include "tools/tenant-disk.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tools/cli.h"
#include "tools/mkfs-build.h"
#include "tools/qemu-img.h"

#define QCOW2_MAGIC 0x514649fbu /* "QFI" and 0xfb */

int mlimg_tenant_disk_size_of(const char *text, uint64_t *ret_bytes, struct mlimg_err *err)
{
	uint64_t bytes = 0;
	int ret = mlimg_cli_size(text, &bytes, err);

	if (ret < 0)
		return ret;
	if (bytes < MLIMG_TENANT_DISK_MIN || bytes > MLIMG_TENANT_DISK_MAX)
		return mlimg_err_usage(err, "'%s' is not from 64M to 8T", text);
	if (bytes % (1 << 20))
		return mlimg_err_usage(err, "'%s' is not a whole number of MiB", text);
	*ret_bytes = bytes;
	return 0;
}

int mlimg_tenant_disk_sync(const char *path, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fsync(fd) < 0)
		return mlimg_err_set(err, errno, "sync '%.300s'", path);
	return 0;
}

/* The image mlimg-mkfs makes: sparse, so that its size costs nothing. */
static int make_raw(const char *path, const char *name, uint64_t size_bytes,
	char ret_user_id[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err)
{
	const struct mlimg_build build = {
		.image = path, .size_bytes = size_bytes, .is_quiet = true, .has_time = true};
	struct mlimg_layer_info info = {.kind = MLIMG_USER, .version = "0"};
	uint64_t random[2], made_bytes;
	int ret;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return mlimg_err_set(err, errno, "random number");
	snprintf(info.name, sizeof(info.name), "%s", name);
	snprintf(info.instance, sizeof(info.instance), "%016llx%016llx",
		(unsigned long long)random[0], (unsigned long long)random[1]);
	ret = mlimg_build_layer(&build, &info, &made_bytes, err);
	if (ret == 0)
		strcpy(ret_user_id, info.build_id);
	mlimg_layer_info_done(&info);
	return ret;
}

static int convert(const char *raw, const char *path, struct mlimg_err *err)
{
	const char *const args[] = {
		"convert", "-f", "raw", "-O", "qcow2", "-o", "compat=1.1", raw, path, NULL};
	mlimg_autoclose int fd =
		open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int ret;

	/* There before qemu-img, so that nobody else may ever open it. */
	if (fd < 0)
		return mlimg_err_set(err, errno, "make '%.300s'", path);
	ret = mlimg_qemu_img(args, NULL, err);
	return ret < 0 ? ret : mlimg_tenant_disk_sync(path, err);
}

int mlimg_tenant_disk_make(const char *dir, const char *name, uint64_t size_bytes,
	char ret_user_id[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err)
{
	mlimg_autofree char *raw = NULL, *path = NULL;
	int ret;

	if (asprintf(&raw, "%s/user.raw", dir) < 0)
		raw = NULL;
	if (!raw || asprintf(&path, "%s/" MLIMG_TENANT_DISK, dir) < 0) {
		path = NULL;
		return mlimg_err_set(err, ENOMEM, "make a disk in '%.300s'", dir);
	}
	ret = make_raw(raw, name, size_bytes, ret_user_id, err);
	if (ret == 0)
		ret = convert(raw, path, err);
	if (ret == 0 && unlink(raw) < 0)
		ret = mlimg_err_set(err, errno, "remove '%.300s'", raw);
	return ret;
}

/* What a checkpoint has in the other would be a checkpoint of nobody's in the copy. */
static bool share(const char *from, const char *path)
{
	mlimg_autoclose int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	mlimg_autoclose int out = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	struct mlimg_tenant_disk disk;

	if (in < 0 || out < 0 || mlimg_tenant_disk_look(from, &disk, NULL) < 0)
		return false;
	return !disk.n_snapshots && !disk.has_base && ioctl(out, FICLONE, in) == 0;
}

static int convert_copy(
	const char *from, const char *snapshot, const char *path, struct mlimg_err *err)
{
	char option[96];
	const char *const whole[] = {"convert", "-f", "qcow2", "-O", "qcow2", from, path, NULL};
	const char *const one[] = {
		"convert", "-U", "-f", "qcow2", "-l", option, "-O", "qcow2", from, path, NULL};

	snprintf(option, sizeof(option), "snapshot.name=%.80s", snapshot ? snapshot : "");
	return mlimg_qemu_img(snapshot ? one : whole, NULL, err);
}

int mlimg_tenant_disk_copy(const char *from, const char *snapshot, const char *dir,
	enum mlimg_tenant_disk_how *ret_how, struct mlimg_err *err)
{
	mlimg_autofree char *path = NULL;
	mlimg_autoclose int fd = -1;
	bool is_shared;
	int ret = 0;

	if (asprintf(&path, "%s/" MLIMG_TENANT_DISK, dir) < 0) {
		path = NULL;
		return mlimg_err_set(err, ENOMEM, "copy '%.300s'", from);
	}
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return mlimg_err_set(err, errno, "make '%.300s'", path);
	is_shared = !snapshot && share(from, path);
	if (!is_shared)
		ret = convert_copy(from, snapshot, path, err);
	if (ret == 0)
		ret = mlimg_tenant_disk_sync(path, err);
	if (ret == 0)
		*ret_how = is_shared ? MLIMG_TENANT_DISK_SHARED : MLIMG_TENANT_DISK_COPIED;
	return ret;
}

int mlimg_tenant_disk_over(
	const char *path, const char *base, uint64_t size_bytes, struct mlimg_err *err)
{
	char size[24];
	const char *const args[] = {
		"create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, path, size, NULL};
	mlimg_autoclose int fd =
		open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int ret;

	if (fd < 0)
		return mlimg_err_set(err, errno, "make '%.300s'", path);
	snprintf(size, sizeof(size), "%" PRIu64, size_bytes);
	ret = mlimg_qemu_img(args, NULL, err);
	return ret < 0 ? ret : mlimg_tenant_disk_sync(path, err);
}

/*
 * What was discarded, or written with zeroes, takes no cluster, and hides what the base has there: "allocated-clusters"
 * alone would call such a disk blank.
 */
static int hides_nothing(const char *path, struct mlimg_err *err)
{
	const char *const args[] = {"map", "-f", "qcow2", "--output=json", path, NULL};
	mlimg_autofree char *extents = NULL;
	int ret = mlimg_qemu_img(args, &extents, err);

	/* Of the image itself; 1 and more are below it. */
	return ret < 0 ? ret : !strstr(extents, "\"depth\": 0,");
}

int mlimg_tenant_disk_is_blank(const char *path, struct mlimg_err *err)
{
	const char *const args[] = {"check", "-f", "qcow2", "--output=json", path, NULL};
	json_t *report = NULL;
	int ret = mlimg_qemu_img_json(args, &report, err);

	if (ret == 0)
		ret = json_integer_value(json_object_get(report, "allocated-clusters")) == 0;
	json_decref(report);
	return ret == 1 ? hides_nothing(path, err) : ret;
}

/* The header of version 2, with which one of version 3 begins too; big-endian. */
struct header {
	uint32_t magic, version;
	uint64_t base_offset;
	uint32_t base_size, cluster_bits;
	uint64_t size_bytes;
	uint32_t crypt, l1_size;
	uint64_t l1_offset, refcount_offset;
	uint32_t refcount_clusters, n_snapshots;
	uint64_t snapshots_offset;
};

_Static_assert(sizeof(struct header) == MLIMG_TENANT_DISK_HEADER, "as QEMU has it");

int mlimg_tenant_disk_look(
	const char *path, struct mlimg_tenant_disk *ret_disk, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	struct header h = {.magic = 0};
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "open '%.300s'", path);
	n = mlimg_read_full(fd, &h, sizeof(h));
	if (n < 0)
		return mlimg_err_set(err, (int)n, "read '%.300s'", path);
	if (n < (ssize_t)sizeof(h) || be32toh(h.magic) != QCOW2_MAGIC || be32toh(h.version) < 2)
		return mlimg_err_refuse(err, "'%.300s' is no qcow2 image", path);
	*ret_disk = (struct mlimg_tenant_disk){.size_bytes = be64toh(h.size_bytes),
		.used_bytes = (uint64_t)st.st_blocks * 512,
		.cluster_bytes = 1u << (be32toh(h.cluster_bits) & 31),
		.n_snapshots = be32toh(h.n_snapshots),
		.has_base = h.base_offset != 0};
	return 0;
}

/* QEMU writes a list of them to another place each time. */
int mlimg_tenant_disk_has_same_snapshots(int fd, int other, struct mlimg_err *err)
{
	struct header a, b;

	if (pread(fd, &a, sizeof(a), 0) != sizeof(a) || pread(other, &b, sizeof(b), 0) != sizeof(b))
		return mlimg_err_set(err, EIO, "read the header of a qcow2 image");
	return a.n_snapshots == b.n_snapshots && a.snapshots_offset == b.snapshots_offset;
}
