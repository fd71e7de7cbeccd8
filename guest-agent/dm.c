/* SPDX-License-Identifier: MIT */
#include "guest-agent/dm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"

#define CONTROL "/dev/mapper/control"

/*
 * A target as the kernel takes it. Its parameters take the least room that keeps the next one
 * aligned.
 */
#define ALIGNED(n) (((n) + 7) & ~(size_t)7)

static void begin(struct dm_ioctl *head, const char *name)
{
	memset(head, 0, sizeof(*head));
	head->version[0] = DM_VERSION_MAJOR; /* of a version as old as ours need not be more */
	head->data_size = sizeof(*head);
	head->data_start = sizeof(*head);
	snprintf(head->name, sizeof(head->name), "%s", name);
}

static int make(int control, const char *name, dev_t *ret_dev, struct mlimg_err *err)
{
	struct dm_ioctl c;

	begin(&c, name);
	snprintf(c.uuid, sizeof(c.uuid), MLIMG_DM_UUID_PREFIX "%s", name);
	if (ioctl(control, DM_DEV_CREATE, &c) < 0)
		return mlimg_err_set(err, errno, "make the device %s", name);
	/* As the kernel's huge_encode_dev() has it, which is also glibc's for numbers as these. */
	*ret_dev = makedev((c.dev >> 8) & 0xfff, (c.dev & 0xff) | ((c.dev >> 12) & 0xfff00));
	return 0;
}

static struct dm_ioctl *pack(const char *name, const struct mlimg_dm_target *targets, size_t n)
{
	size_t size = sizeof(struct dm_ioctl);
	uint64_t sector = 0;
	struct dm_ioctl *head;
	uint8_t *at;

	for (size_t i = 0; i < n; i++)
		size += sizeof(struct dm_target_spec) + ALIGNED(strlen(targets[i].params) + 1);
	head = calloc(1, size);
	if (!head)
		return NULL;
	begin(head, name);
	head->data_size = (uint32_t)size;
	head->flags = DM_READONLY_FLAG;
	head->target_count = (uint32_t)n;
	at = (uint8_t *)head + sizeof(*head);
	for (size_t i = 0; i < n; i++) {
		struct dm_target_spec spec = {
			.sector_start = sector, .length = targets[i].size_bytes / 512};

		spec.next = (uint32_t)(sizeof(spec) + ALIGNED(strlen(targets[i].params) + 1));
		strncpy(spec.target_type, targets[i].type, sizeof(spec.target_type) - 1);
		memcpy(at, &spec, sizeof(spec));
		strcpy((char *)at + sizeof(spec), targets[i].params);
		at += spec.next;
		sector += spec.length;
	}
	return head;
}

/*
 * Whether the kernel knows targets of this type. Loading a table has asked for its module; where it is not
 * there even so, there is none. Of a kernel that does not tell it is taken for granted.
 */
static bool has_target(int control, const char *type)
{
	union {
		struct dm_ioctl head;
		uint8_t bytes[16384]; /* a kernel with all modules of a Debian needs 2 KiB */
	} list;
	const struct dm_target_versions *v;
	uint32_t at;

	begin(&list.head, "");
	list.head.data_size = sizeof(list);
	if (ioctl(control, DM_LIST_VERSIONS, &list) < 0 || list.head.flags & DM_BUFFER_FULL_FLAG)
		return true;
	for (at = list.head.data_start; at + sizeof(*v) < list.head.data_size; at += v->next) {
		v = (const void *)(list.bytes + at);
		if (strcmp(v->name, type) == 0)
			return true;
		if (v->next == 0)
			break;
	}
	return false;
}

/* The kernel says EINVAL of whatever it does not like. */
static int refuse(int control, const struct mlimg_dm_target *targets, size_t n, int errnum,
	struct mlimg_err *err)
{
	for (size_t i = 0; i < n; i++)
		if (!has_target(control, targets[i].type))
			return mlimg_err_set(err, 0,
				"the kernel has no dm-%s: the initramfs lacks the module, or was "
				"made for another kernel; make it again",
				targets[i].type);
	if (n == 1)
		return mlimg_err_set(err, errnum, "the kernel's dm-%s refuses '%s %s'",
			targets->type, targets->type, targets->params);
	return mlimg_err_set(
		err, errnum, "the kernel's device-mapper refuses a device of %zu parts", n);
}

static int load(int control, const char *name, const struct mlimg_dm_target *targets, size_t n,
	struct mlimg_err *err)
{
	mlimg_autofree struct dm_ioctl *table = pack(name, targets, n);
	struct dm_ioctl c;

	if (!table)
		return mlimg_err_set(err, ENOMEM, "make the device %s", name);
	if (ioctl(control, DM_TABLE_LOAD, table) < 0)
		return refuse(control, targets, n, errno, err);
	begin(&c, name);
	/* Without DM_SUSPEND_FLAG this is what makes the table the live one. */
	if (ioctl(control, DM_DEV_SUSPEND, &c) < 0)
		return mlimg_err_set(err, errno, "start the device %s", name);
	return 0;
}

/* An earlier attempt's, or udev's of a moment ago: replaced at once, never missing. */
static int link_node(const char *name, dev_t dev, struct mlimg_err *err)
{
	char path[sizeof("/dev/mapper/") + MLIMG_DM_NAME_MAX], new[sizeof(path) + 4], to[32];

	snprintf(path, sizeof(path), "/dev/mapper/%s", name);
	snprintf(new, sizeof(new), "%s.new", path);
	snprintf(to, sizeof(to), "../dm-%u", minor(dev));
	unlink(new);
	if (symlink(to, new) < 0 || rename(new, path) < 0)
		return mlimg_err_set(err, errno, "make the link %s", path);
	return 0;
}

static int discard(int control, const char *name, struct mlimg_err *err)
{
	struct dm_ioctl c;

	begin(&c, name);
	if (ioctl(control, DM_DEV_REMOVE, &c) < 0 && errno != ENXIO)
		return mlimg_err_set(
			err, errno, "remove the device %s of an earlier attempt", name);
	return 0;
}

/* Where there is none, the node of its module may be there: udev makes it beforehand. */
static int no_mapper(int errnum, struct mlimg_err *err)
{
	if (errnum != ENOENT && errnum != ENODEV && errnum != ENXIO)
		return mlimg_err_set(err, errnum, "open " CONTROL);
	return mlimg_err_set(err, 0,
		"the kernel has no device-mapper: the initramfs lacks the module dm-mod, or was "
		"made for another kernel; make it again");
}

int mlimg_dm_create(const char *name, const struct mlimg_dm_target *targets, size_t n_targets,
	dev_t *ret_dev, struct mlimg_err *err)
{
	mlimg_autoclose int control = open(CONTROL, O_RDWR | O_CLOEXEC);
	dev_t dev;
	int r;

	if (control < 0)
		return no_mapper(errno, err);
	r = discard(control, name, err);
	if (r == 0)
		r = make(control, name, &dev, err);
	if (r < 0)
		return r;
	r = load(control, name, targets, n_targets, err);
	if (r == 0)
		r = link_node(name, dev, err);
	if (r < 0 && discard(control, name, NULL) < 0)
		return r;
	if (r == 0)
		*ret_dev = dev;
	return r;
}

int mlimg_dm_remove(const char *name, struct mlimg_err *err)
{
	mlimg_autoclose int control = open(CONTROL, O_RDWR | O_CLOEXEC);

	return control < 0 ? 0 : discard(control, name, err);
}
