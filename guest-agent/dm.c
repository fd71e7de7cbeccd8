/* SPDX-License-Identifier: MIT */
#include "guest-agent/dm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"

#define CONTROL "/dev/mapper/control"

/* A command as the kernel takes it: its head, and behind it one target with its parameters. */
struct command {
	struct dm_ioctl head;
	struct dm_target_spec spec;
	char params[(MLIMG_DM_PARAMS_MAX + 8) & ~7];
};

static void begin(struct command *c, const char *name)
{
	memset(c, 0, sizeof(*c));
	c->head.version[0] = DM_VERSION_MAJOR; /* of a version as old as ours need not be more */
	c->head.data_size = sizeof(*c);
	c->head.data_start = offsetof(struct command, spec);
	snprintf(c->head.name, sizeof(c->head.name), "%s", name);
}

static int make(int control, const char *name, unsigned int *ret_minor, struct mlimg_err *err)
{
	struct command c;

	begin(&c, name);
	snprintf(c.head.uuid, sizeof(c.head.uuid), MLIMG_DM_UUID_PREFIX "%s", name);
	if (ioctl(control, DM_DEV_CREATE, &c) < 0)
		return mlimg_err_set(err, errno, "make the device %s", name);
	*ret_minor = minor(c.head.dev);
	return 0;
}

static int load(
	int control, const char *name, const struct mlimg_dm_target *target, struct mlimg_err *err)
{
	struct command c;

	begin(&c, name);
	c.head.flags = DM_READONLY_FLAG;
	c.head.target_count = 1;
	c.spec.length = target->size_bytes / 512;
	snprintf(c.spec.target_type, sizeof(c.spec.target_type), "%s", target->type);
	snprintf(c.params, sizeof(c.params), "%s", target->params);
	if (ioctl(control, DM_TABLE_LOAD, &c) < 0)
		return mlimg_err_set(err, errno, "the kernel's dm-%s refuses '%s %s'", target->type,
			target->type, target->params);
	begin(&c, name);
	/* Without DM_SUSPEND_FLAG this is what makes the table the live one. */
	if (ioctl(control, DM_DEV_SUSPEND, &c) < 0)
		return mlimg_err_set(err, errno, "start the device %s", name);
	return 0;
}

/* An earlier attempt's, or udev's of a moment ago: replaced at once, never missing. */
static int link_node(const char *name, unsigned int minor, struct mlimg_err *err)
{
	char path[sizeof("/dev/mapper/") + MLIMG_DM_NAME_MAX], new[sizeof(path) + 4], to[32];

	snprintf(path, sizeof(path), "/dev/mapper/%s", name);
	snprintf(new, sizeof(new), "%s.new", path);
	snprintf(to, sizeof(to), "../dm-%u", minor);
	unlink(new);
	if (symlink(to, new) < 0 || rename(new, path) < 0)
		return mlimg_err_set(err, errno, "make the link %s", path);
	return 0;
}

static int discard(int control, const char *name, struct mlimg_err *err)
{
	struct command c;

	begin(&c, name);
	if (ioctl(control, DM_DEV_REMOVE, &c) < 0 && errno != ENXIO)
		return mlimg_err_set(
			err, errno, "remove the device %s of an earlier attempt", name);
	return 0;
}

int mlimg_dm_create(const char *name, const struct mlimg_dm_target *target, struct mlimg_err *err)
{
	mlimg_autoclose int control = open(CONTROL, O_RDWR | O_CLOEXEC);
	unsigned int minor;
	int r;

	if (control < 0)
		return mlimg_err_set(err, errno,
			"the kernel has no device-mapper: the initramfs lacks the module dm-%s, or "
			"was "
			"made for another kernel: open " CONTROL,
			target->type);
	r = discard(control, name, err);
	if (r == 0)
		r = make(control, name, &minor, err);
	if (r < 0)
		return r;
	r = load(control, name, target, err);
	if (r == 0)
		r = link_node(name, minor, err);
	if (r < 0 && discard(control, name, NULL) < 0)
		return r;
	return r;
}
