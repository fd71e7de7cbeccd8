/* SPDX-License-Identifier: MIT */
#include "tools/vm-images.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/disk.h"
#include "libmlimg/user-layer.h"
#include "tools/cli.h"
#include "tools/disk-quiet.h"
#include "tools/ext4-read.h"

/* QEMU would not let a second writer in, but say so in words that only its developers understand. */
int mlimg_vm_user_check(const char *path, bool is_only_read, struct mlimg_err *err)
{
	mlimg_autoclose int fd =
		open(path, (is_only_read ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return mlimg_err_set(err, errno, "open user layer '%s'%s", path,
			is_only_read ? "" : " for writing");
	if (mlimg_disk_is_written(fd))
		return mlimg_err_set(
			err, 0, "user layer '%s' is in use by another guest or tool", path);
	return 0;
}

static int load_one(const char *path, enum mlimg_kind kind, struct mlimg_layer_info *ret_info,
	struct mlimg_err *err)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	int ret = mlimg_ext4_open(path, &fs, err);

	if (ret == 0 && mlimg_ext4_super(fs)->kind != kind)
		return mlimg_err_refuse(err, "'%s' is a %s layer, but --%s wants a %s layer", path,
			mlimg_kind_name(mlimg_ext4_super(fs)->kind), mlimg_kind_name(kind),
			mlimg_kind_name(kind));
	return ret < 0 ? ret : mlimg_ext4_layer_info(fs, ret_info, err);
}

/* @param wanted the build id that it must have, or NULL */
static int push(struct mlimg_vm_images *images, const char *path, enum mlimg_kind kind,
	const char *wanted, struct mlimg_err *err)
{
	struct mlimg_layer_info *info = &images->infos[images->n];
	int ret = load_one(path, kind, info, err);

	if (ret < 0)
		return ret;
	images->n++;
	if (wanted && strcmp(info->build_id, wanted) != 0)
		return mlimg_err_refuse(err,
			"'%.300s' is another layer: %s %s, build %.*s ('mlimg-store verify')", path,
			info->name, info->version, MLIMG_SHORT_ID, info->build_id);
	ret = mlimg_stack_push(&images->stack, info, err);
	return ret < 0 ? mlimg_err_wrap(err, ret, "'%s'", path) : 0;
}

/* The layer that the guest will make. */
static int describe_user(struct mlimg_vm_images *images, const struct mlimg_vm_options *options,
	struct mlimg_err *err)
{
	char instance[sizeof(options->instance)];
	struct mlimg_user_layer layer;
	uint64_t random[2];
	int r;

	strcpy(instance, options->instance);
	if (!instance[0]) {
		if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return mlimg_err_set(err, errno, "random number");
		snprintf(instance, sizeof(instance), "%016llx%016llx",
			(unsigned long long)random[0], (unsigned long long)random[1]);
	}
	r = mlimg_user_layer_describe(options->format, instance, &layer, err);
	if (r < 0)
		return r;
	images->infos[images->n++] = layer.info;
	images->is_user_blank = true;
	return 0;
}

static bool is_blank(const char *path)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct mlimg_disk disk;

	if (fd < 0)
		return false;
	mlimg_disk_probe(fd, &disk);
	return disk.state == MLIMG_DISK_BLANK;
}

static int push_user(struct mlimg_vm_images *images, const struct mlimg_vm_options *options,
	struct mlimg_err *err)
{
	if (options->format[0] && (options->user_is_qcow2 || is_blank(options->user)))
		return describe_user(images, options, err);
	if (!options->user_is_qcow2)
		return push(images, options->user, MLIMG_USER, NULL, err);
	images->infos[images->n].kind = MLIMG_USER;
	snprintf(images->infos[images->n].build_id, MLIMG_SHA256_HEX_SIZE, "%s", options->user_id);
	images->n++;
	return 0;
}

const char *mlimg_vm_image_path(const struct mlimg_vm_options *options, size_t i)
{
	if (i == 0)
		return options->system;
	if (i <= options->n_patches)
		return options->patches[i - 1];
	i -= 1 + options->n_patches;
	return i < options->n_software ? options->software[i] : options->user;
}

static const char *wanted_id(const struct mlimg_vm_options *options, size_t i)
{
	return options->build_ids ? options->build_ids[i] : NULL;
}

int mlimg_vm_images_load(
	const struct mlimg_vm_options *options, struct mlimg_vm_images *ret, struct mlimg_err *err)
{
	int r = push(ret, options->system, MLIMG_SYSTEM, wanted_id(options, 0), err);
	const char *missing;
	size_t layer;

	for (size_t i = 0; r == 0 && i < options->n_patches; i++)
		r = push(ret, options->patches[i], MLIMG_PATCH, wanted_id(options, ret->n), err);
	for (size_t i = 0; r == 0 && i < options->n_software; i++)
		r = push(
			ret, options->software[i], MLIMG_SOFTWARE, wanted_id(options, ret->n), err);
	if (r == 0)
		r = push_user(ret, options, err);
	if (r == 0 && !mlimg_stack_is_built_over(&ret->stack, &layer, &missing))
		mlimg_cli_warn(MLIMG_VM_PROG,
			"software layer '%s' was built over a layer that is not beneath it (%.*s)",
			mlimg_vm_image_path(options, layer), MLIMG_SHORT_ID, missing);
	return r;
}

void mlimg_vm_images_done(struct mlimg_vm_images *images)
{
	for (size_t i = 0; i < images->n; i++)
		mlimg_layer_info_done(&images->infos[i]);
	memset(images, 0, sizeof(*images));
}

void mlimg_vm_images_describe(const struct mlimg_vm_images *images, char *ret_text, size_t size)
{
	size_t len = 0;

	ret_text[0] = '\0';
	for (size_t i = 0; i + 1 < images->n && len < size; i++)
		if (images->infos[i + 1].kind != MLIMG_PATCH)
			len += (size_t)snprintf(ret_text + len, size - len, "%s%s %s",
				len ? " + " : "", images->infos[i].name, images->infos[i].version);
}
