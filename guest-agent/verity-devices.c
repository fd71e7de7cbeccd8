/* SPDX-License-Identifier: MIT */
#include "guest-agent/verity-devices.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guest-agent/dm.h"
#include "libmlimg/cleanup.h"

#define BS MLIMG_VERITY_BLOCK
#define SECTOR 512
#define NAME_SIZE 40

/* "MAJOR:MINOR", as the kernel takes it in parameters. */
struct device {
	char text[32];
};

static struct device device_of(dev_t dev)
{
	struct device device;

	snprintf(device.text, sizeof(device.text), "%u:%u", major(dev), minor(dev));
	return device;
}

static int disk_of(const struct mlimg_verified *v, struct device *ret_device, struct mlimg_err *err)
{
	struct stat st;

	if (fstat(v->part.fd, &st) < 0)
		return mlimg_err_set(err, errno, "stat %s", v->name);
	if (!S_ISBLK(st.st_mode))
		return mlimg_err_set(err, ENOTBLK, "%s", v->name);
	*ret_device = device_of(st.st_rdev);
	return 0;
}

/*
 * The kernel's verity.rst, "Construction Parameters". Our superblock is not the kernel's: the tree
 * begins behind it.
 */
static int make_verity(const char *name, const struct device *disk, const struct mlimg_verified *v,
	struct device *ret_device, struct mlimg_err *err)
{
	char params[MLIMG_DM_PARAMS_MAX + 1], salt[MLIMG_SHA256_HEX_SIZE];
	const struct mlimg_dm_target target = {
		.type = "verity", .params = params, .size_bytes = v->verity.data_blocks * BS};
	dev_t dev;
	int r;

	mlimg_sha256_hex(v->verity.salt, salt);
	snprintf(params, sizeof(params), "1 %s %s %d %d %" PRIu64 " %" PRIu64 " sha256 %s %s",
		disk->text, disk->text, BS, BS, v->verity.data_blocks,
		v->verity.hash_offset_bytes / BS + 1, v->verity.root_hash, salt);
	r = mlimg_dm_create(name, &target, 1, &dev, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "%s", v->name);
	*ret_device = device_of(dev);
	return 0;
}

/* What lies on another one has to go first. */
static int remove_former(size_t n_layers, struct mlimg_err *err)
{
	int r = mlimg_dm_remove("mlimg-index", err);

	for (size_t i = 0; i < 2 * n_layers && r == 0; i++) {
		char name[NAME_SIZE];

		snprintf(name, sizeof(name), i % 2 ? "mlimg-part-%zu" : "mlimg-%zu", i / 2);
		r = mlimg_dm_remove(name, err);
	}
	return r < 0 ? r : mlimg_dm_remove("mlimg-own", err);
}

static int make_separate(const char *name, const struct mlimg_verified *v, struct mlimg_err *err)
{
	struct device disk, device;
	int r = disk_of(v, &disk, err);

	return r < 0 ? r : make_verity(name, &disk, v, &device, err);
}

/* A layer behind a joined index. */
static int make_part(const struct device *disk, size_t i, const struct mlimg_verified *v,
	struct device *ret_device, struct mlimg_err *err)
{
	char params[64], name[NAME_SIZE];
	const struct mlimg_dm_target target = {
		.type = "linear", .params = params, .size_bytes = v->part.size_bytes / BS * BS};
	struct device part;
	dev_t dev;
	int r;

	snprintf(params, sizeof(params), "%s %" PRIu64, disk->text, v->part.offset_bytes / SECTOR);
	snprintf(name, sizeof(name), "mlimg-part-%zu", i);
	r = mlimg_dm_create(name, &target, 1, &dev, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "%s", v->name);
	part = device_of(dev);
	snprintf(name, sizeof(name), "mlimg-%zu", i);
	return make_verity(name, &part, v, ret_device, err);
}

/* The disk as it was, of verified devices. */
struct table {
	struct mlimg_dm_target targets[2 * (MLIMG_STACK_LAYERS_MAX + 1)];
	char params[2 * (MLIMG_STACK_LAYERS_MAX + 1)][40];
	size_t n;
};

_Static_assert(2 * (MLIMG_STACK_LAYERS_MAX + 1) <= MLIMG_DM_TARGETS_MAX, "targets");

static void add(struct table *table, const struct device *device, uint64_t n_blocks)
{
	char *params = table->params[table->n];

	if (n_blocks == 0)
		return;
	params[0] = '\0';
	if (device)
		snprintf(params, sizeof(table->params[0]), "%s 0", device->text);
	table->targets[table->n++] = (struct mlimg_dm_target){
		.type = device ? "linear" : "zero", .params = params, .size_bytes = n_blocks * BS};
}

/* Whether the index, now verified, says what was believed of it. */
static int read_again(const char *name, const struct mlimg_index *joined, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open("/dev/mapper/mlimg-own", O_RDONLY | O_CLOEXEC);
	struct mlimg_index index;
	bool is_same;
	int r;

	if (fd < 0)
		return mlimg_err_set(err, errno, "open /dev/mapper/mlimg-own");
	r = mlimg_index_read(fd, name, &index, err);
	if (r < 0)
		return r;
	is_same = index.n_layers == joined->n_layers && index.is_joined &&
		index.disk_blocks == joined->disk_blocks && index.room_bytes == joined->room_bytes;
	for (size_t i = 0; is_same && i < index.n_layers; i++)
		is_same = index.layers[i].first_block == joined->layers[i].first_block &&
			index.layers[i].n_blocks == joined->layers[i].n_blocks;
	return is_same ? 0
		       : mlimg_err_refuse(err, "%s: it answered differently a moment ago", name);
}

static int make_joined(const struct mlimg_verified *layers, const struct mlimg_verified *index,
	const struct mlimg_index *joined, struct mlimg_err *err)
{
	struct table table = {.n = 0};
	struct device disk, device;
	dev_t dev;
	int r = disk_of(index, &disk, err);

	if (r == 0)
		r = make_verity("mlimg-own", &disk, index, &device, err);
	if (r == 0)
		r = read_again(index->name, joined, err);
	if (r < 0)
		return r;
	add(&table, &device, index->part.n_blocks);
	add(&table, NULL, joined->layers[0].first_block - index->part.n_blocks);
	for (size_t i = 0; i < joined->n_layers; i++) {
		r = make_part(&disk, i, &layers[i], &device, err);
		if (r < 0)
			return r;
		add(&table, &device, layers[i].part.n_blocks);
		add(&table, NULL, mlimg_index_room(joined, i) - layers[i].part.n_blocks);
	}
	r = mlimg_dm_create("mlimg-index", table.targets, table.n, &dev, err);
	return r < 0 ? mlimg_err_wrap(err, r, "%s", index->name) : 0;
}

int mlimg_verity_devices(const struct mlimg_verified *layers, size_t n_layers,
	const struct mlimg_verified *index, const struct mlimg_index *joined, struct mlimg_err *err)
{
	int r = remove_former(n_layers, err);

	if (r == 0 && joined)
		return make_joined(layers, index, joined, err);
	if (r == 0 && index)
		r = make_separate("mlimg-index", index, err);
	for (size_t i = 0; i < n_layers && r == 0; i++) {
		char name[NAME_SIZE];

		snprintf(name, sizeof(name), "mlimg-%zu", i);
		r = make_separate(name, &layers[i], err);
	}
	return r;
}
