/* SPDX-License-Identifier: MIT */
#include "guest-agent/view-fds.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "libmlimg/boot.h"
#include "libmlimg/cleanup.h"

/* The layers and whatever else; less than the 253 that one message takes (unix(7), SCM_RIGHTS). */
#define DIRS_MAX (MLIMG_BOOT_LAYERS_MAX + 5)

/* What a client does not receive is kept in its socket's buffer, with the mounts. */
#define VIEWS_MAX 4

/* Directories that are to be sent. */
struct view {
	struct mlimg_call *call;
	json_t *list;
};

/* @return a mount of its own, or -1 with errno; ENOENT: there is no such directory */
static int clone_dir(const char *path)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
	mlimg_autoclose int fd = open_tree(
		AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -1;
	return mlimg_steal_fd(&fd);
}

/* @return 1 when it was added, 0 when there is none, -1 with the failure */
static int add(struct view *view, const char *dir)
{
	struct mlimg_call *call = view->call;
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/mlimg/%s", call->agent->run_dir, dir);
	if (call->n_fds == DIRS_MAX)
		return 0;
	fd = clone_dir(path);
	if (fd >= 0) {
		call->fds[call->n_fds++] = fd;
		json_array_append_new(view->list, json_string(dir));
		return 1;
	}
	if (errno == ENOENT)
		return 0;
	if (errno == ENOSYS)
		mlimg_fail(&call->failure, MLIMG_CLASS_UNSUPPORTED,
			"only root can look: for others Linux 5.12 is needed");
	else
		mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC, "clone '%s': %s", path,
			strerror(errno));
	return -1;
}

/* As they are mounted (initramfs/README.md); each boot has some of them. */
static int add_all(struct view *view)
{
	static const char *const dirs[] = {
		"volatile/upper", "user/upper", "composed/rootfs", "index/rootfs", "system"};
	char dir[64];
	int r = 0;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && r >= 0; i++)
		r = add(view, dirs[i]);
	for (unsigned i = 0; i < MLIMG_BOOT_LAYERS_MAX && r >= 0; i++) {
		snprintf(dir, sizeof(dir), "layers/%u/rootfs", i);
		r = add(view, dir);
		if (r == 0)
			return 0;
	}
	return r;
}

json_t *mlimg_view_fds_command(struct mlimg_call *call)
{
	struct view view = {.call = call, .list = json_array()};
	int r;

	if (call->n_views && *call->n_views >= VIEWS_MAX) {
		json_decref(view.list);
		return mlimg_fail(&call->failure, MLIMG_CLASS_BUSY,
			"a connection gets at most %d views", VIEWS_MAX);
	}
	call->fds = calloc(DIRS_MAX, sizeof(*call->fds));
	if (!call->fds || !view.list) {
		json_decref(view.list);
		return mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC, "out of memory");
	}
	r = add_all(&view);
	if (r >= 0 && call->n_views)
		++*call->n_views;
	if (r >= 0)
		return json_pack("{s:o}", "dirs", view.list);
	json_decref(view.list);
	return NULL;
}
