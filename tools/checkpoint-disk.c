/* SPDX-License-Identifier: MIT */
#include "tools/checkpoint-disk.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "tools/checkpoint-qemu.h"
#include "tools/checkpoint-room.h"
#include "tools/qemu-img.h"
#include "tools/tenant-disk.h"

#define SETTLE_MS 10000 /* how long a qemu-img may take to end that was killed */
#define AGAIN_MS 200

int mlimg_snapshots_of(const json_t *image, json_t **ret_saved, struct mlimg_err *err)
{
	const json_t *snapshot;
	json_t *saved = json_object();
	size_t i;

	if (!saved)
		return mlimg_err_set(err, ENOMEM, "snapshots");
	if (!image) {
		json_decref(saved);
		return mlimg_err_set(err, 0, "QEMU does not know the user disk");
	}
	/* Where there is none, there is no array. */
	json_array_foreach(json_object_get(image, "snapshots"), i, snapshot)
	{
		const char *name = json_string_value(json_object_get(snapshot, "name"));
		const char *tag = name ? mlimg_snapshot_tag(name) : NULL;

		if (tag)
			json_object_set_new(saved, tag,
				json_integer(json_integer_value(
					json_object_get(snapshot, "vm-state-size"))));
	}
	*ret_saved = saved;
	return 0;
}

/* As options, since only they say the format. A comma is written twice in them. */
static char *disk_options(const char *path)
{
	static const char head[] = "driver=qcow2,file.driver=file,file.filename=";
	char *options = malloc(sizeof(head) + 2 * strlen(path)), *o;

	if (!options)
		return NULL;
	o = stpcpy(options, head);
	for (; *path; path++) {
		if (*path == ',')
			*o++ = ',';
		*o++ = *path;
	}
	*o = '\0';
	return options;
}

static int snapshot(const struct mlimg_tenant *tenant, const char *action, const char *tag,
	struct mlimg_err *err)
{
	mlimg_autofree char *options = disk_options(tenant->user_disk);
	char name[MLIMG_SNAPSHOT_NAME_SIZE];
	const char *const args[] = {"snapshot", "-q", "--image-opts", action,
		mlimg_snapshot_name(tag, name), options, NULL};

	return options ? mlimg_qemu_img(args, NULL, err) : mlimg_err_set(err, ENOMEM, "snapshot");
}

/* @return how many there were, at most one; -errno */
static int remove_stale(const struct mlimg_tenant *tenant, const char *tag, struct mlimg_err *err)
{
	json_t *saved = NULL;
	int ret = mlimg_disk_saved(tenant, &saved, err);

	if (ret == 0 && json_object_get(saved, tag)) {
		ret = mlimg_disk_remove(tenant, tag, err);
		ret = ret < 0 ? ret : 1;
	}
	json_decref(saved);
	return ret;
}

int mlimg_disk_save(const struct mlimg_tenant *tenant, const char *tag, struct mlimg_err *err)
{
	int ret = mlimg_checkpoint_room_here(tenant, 0, err);

	if (ret < 0)
		return ret;

	/* Of several of one name qemu-img removes one. */
	while ((ret = remove_stale(tenant, tag, err)) > 0)
		;
	return ret < 0 ? ret : snapshot(tenant, "-c", tag, err);
}

int mlimg_disk_load(const struct mlimg_tenant *tenant, const char *tag, struct mlimg_err *err)
{
	return snapshot(tenant, "-a", tag, err);
}

int mlimg_disk_remove(const struct mlimg_tenant *tenant, const char *tag, struct mlimg_err *err)
{
	return snapshot(tenant, "-d", tag, err);
}

int mlimg_disk_saved(const struct mlimg_tenant *tenant, json_t **ret_saved, struct mlimg_err *err)
{
	const char *const args[] = {
		"info", "--output=json", "-f", "qcow2", tenant->user_disk, NULL};
	json_t *image = NULL;
	int ret = mlimg_qemu_img_json(args, &image, err);

	if (ret == 0)
		ret = mlimg_snapshots_of(image, ret_saved, err);
	json_decref(image);
	return ret;
}

int mlimg_disk_free_leaks(
	const struct mlimg_tenant *tenant, uint64_t *ret_freed_bytes, struct mlimg_err *err)
{
	struct mlimg_qemu_img_report report = {.leaks = 0};
	const char *path = tenant->user_disk;
	struct mlimg_tenant_disk disk;
	int ret = mlimg_tenant_disk_look(path, &disk, err);

	if (ret == 0)
		ret = mlimg_qemu_img_check(path, false, &report, err);
	/* Where a table is damaged, what has leaked may be what it referred to. */
	if (ret == 0 && report.errors)
		return mlimg_err_refuse(err,
			"tenant '%s': its disk is damaged, %llu error%s in the tables of '%.200s': "
			"copy that file, then 'qemu-img check -r all' on it, which saves what can "
			"be saved",
			tenant->row.name, (unsigned long long)report.errors,
			report.errors == 1 ? "" : "s", path);
	if (ret == 0 && (report.leaks || report.marks))
		ret = mlimg_qemu_img_check(path, true, &report, err);
	if (ret == 0)
		*ret_freed_bytes = report.freed * disk.cluster_bytes;
	return ret;
}

/* A qemu-img ends with who runs it, but a write that it is in has to end first. */
int mlimg_disk_settle(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	uint64_t deadline_ms = mlimg_now_ms() + SETTLE_MS, freed_bytes;
	struct mlimg_err why = MLIMG_ERR_INIT;
	int ret;

	while ((ret = mlimg_disk_free_leaks(tenant, &freed_bytes, &why)) < 0 &&
		why.kind != MLIMG_ERR_REFUSED && mlimg_now_ms() < deadline_ms)
		poll(NULL, 0, AGAIN_MS);
	if (ret < 0 && err)
		*err = why;
	return ret;
}
