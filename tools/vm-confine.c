/* SPDX-License-Identifier: MIT */
#include "tools/vm-confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

#define FIRST_LOW_FREE 1024 /* ports below are root's */

static void add_kvm(struct mlimg_confine *c)
{
	const struct group *kvm = getgrnam("kvm");

	if (kvm && c->n_groups < MLIMG_CONFINE_GROUPS_MAX)
		c->groups[c->n_groups++] = kvm->gr_gid;
}

int mlimg_confine_choose(struct mlimg_confine *ret, struct mlimg_err *err)
{
	const char *name = getenv("MLIMG_QEMU_USER");
	struct mlimg_confine c = *ret;
	const struct passwd *user;

	if (geteuid() != 0)
		return 0;
	errno = 0;
	user = getpwnam(name && *name ? name : MLIMG_QEMU_USER);
	if (!user && name && *name)
		return errno
			? mlimg_err_set(err, errno, "user '%.64s' (MLIMG_QEMU_USER)", name)
			: mlimg_err_set(err, 0, "there is no user '%.64s' (MLIMG_QEMU_USER)", name);
	if (!user || user->pw_uid == 0)
		return 0;
	c.uid = user->pw_uid;
	c.n_groups = MLIMG_CONFINE_GROUPS_MAX - 1;
	if (getgrouplist(user->pw_name, user->pw_gid, c.groups, &c.n_groups) < 0)
		return mlimg_err_set(err, E2BIG, "groups of user '%s'", user->pw_name);
	add_kvm(&c);
	c.is_on = true;
	*ret = c;
	return 0;
}

static int keep(struct mlimg_confine *c, int *fd)
{
	/* Not in the place of a stream that is closed here. */
	int kept = *fd > STDERR_FILENO ? mlimg_steal_fd(fd)
				       : fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	c->fds[c->n_fds++] = kept;
	return kept;
}

static int open_disk(
	struct mlimg_confine *c, struct mlimg_vm_disk *disk, bool is_written, struct mlimg_err *err)
{
	mlimg_autoclose int fd =
		open(disk->path, (is_written ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%.300s'", disk->path);
	disk->fd = keep(c, &fd);
	return 0;
}

/* Opened a second time by QEMU, by /proc/self/fd: whoever may read it. */
static int open_boot_file(struct mlimg_confine *c, const struct mlimg_vm_spec *spec,
	const char *path, int *ret_fd, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	bool is_ours = strncmp(path, spec->dir, strlen(spec->dir)) == 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "open '%.300s'", path);
	if (!(st.st_mode & 04) && (!is_ours || fchmod(fd, 0444) < 0))
		return mlimg_err_set(
			err, EACCES, "QEMU's user must be able to read '%.300s'", path);
	*ret_fd = keep(c, &fd);
	return 0;
}

static int listen_on(struct mlimg_confine *c, const char *dir, const char *file, int *ret_fd,
	struct mlimg_err *err)
{
	mlimg_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s.sock", dir, file);

	if (n >= (int)sizeof(addr.sun_path))
		return mlimg_err_set(err, ENAMETOOLONG, "socket '%.300s/%s.sock'", dir, file);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0)
		return mlimg_err_set(err, errno, "socket '%s'", addr.sun_path);
	*ret_fd = keep(c, &fd);
	return 0;
}

static int open_sockets(struct mlimg_confine *c, struct mlimg_vm_spec *spec, struct mlimg_err *err)
{
	int ret = 0;

	for (int i = 0; ret == 0 && i < MLIMG_VM_SOCKETS; i++)
		if (i != MLIMG_VM_CONSOLE_SOCKET || spec->console == MLIMG_CONSOLE_SOCKET)
			ret = listen_on(
				c, spec->dir, mlimg_vm_socket_name(i), &spec->socket_fds[i], err);
	return ret;
}

int mlimg_confine_open(struct mlimg_confine *c, struct mlimg_vm_spec *spec, struct mlimg_err *err)
{
	bool is_written = spec->mode != MLIMG_BOOT_READONLY;
	int ret = 0;

	if (c->is_on && spec->index.is_vmdk)
		c->is_on = false;
	if (!c->is_on)
		return 0;
	for (size_t i = 0; i < spec->n_forwards; i++)
		c->binds_low |= spec->forwards[i].host < FIRST_LOW_FREE;
	for (size_t i = 0; ret == 0 && i < spec->n_disks; i++)
		ret = open_disk(c, &spec->disks[i], is_written && i + 1 == spec->n_disks, err);
	if (ret == 0 && spec->index.path)
		ret = open_disk(c, &spec->index, false, err);
	if (ret == 0)
		ret = open_boot_file(c, spec, spec->kernel, &spec->kernel_fd, err);
	if (ret == 0)
		ret = open_boot_file(c, spec, spec->initrd, &spec->initrd_fd, err);
	return ret < 0 ? ret : open_sockets(c, spec, err);
}

void mlimg_confine_close(struct mlimg_confine *c)
{
	for (size_t i = 0; i < c->n_fds; i++)
		close(c->fds[i]);
	c->n_fds = 0;
}

/* Of all rights of root's only this one, and QEMU has it after execve(2), too (capabilities(7)). */
static int keep_binding(void)
{
	const uint32_t bind = 1u << CAP_NET_BIND_SERVICE;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = bind, .permitted = bind, .inheritable = bind}};

	if (syscall(SYS_capset, &header, data) < 0 ||
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) < 0)
		return -errno;
	return 0;
}

int mlimg_confine_enter(const struct mlimg_confine *c)
{
	if (!c->is_on)
		return 0;
	for (size_t i = 0; i < c->n_fds; i++)
		if (fcntl(c->fds[i], F_SETFD, 0) < 0)
			return -errno;
	if (c->binds_low && prctl(PR_SET_KEEPCAPS, 1) < 0)
		return -errno;
	if (setgroups((size_t)c->n_groups, c->groups) < 0 ||
		setresgid(c->groups[0], c->groups[0], c->groups[0]) < 0 ||
		setresuid(c->uid, c->uid, c->uid) < 0)
		return -errno;
	return c->binds_low ? keep_binding() : 0;
}
