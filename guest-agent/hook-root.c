/* SPDX-License-Identifier: MIT */
#include "guest-agent/hook-root.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PLAIN (MS_NOSUID | MS_NODEV)

/* --- what it sees --- */

/*
 * The same directory in this process' mount namespace: what was opened in another one cannot be
 * mounted here.
 *
 * @return a descriptor, or -errno
 */
static int open_here(int fd)
{
	char link[40], path[4096];
	struct stat there, here;
	ssize_t n;
	int at;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	at = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0 || fstat(at, &here) < 0 || fstat(fd, &there) < 0)
		return -errno;
	return here.st_dev == there.st_dev && here.st_ino == there.st_ino ? at : -ESTALE;
}

/*
 * The layers by descriptors: short, and whatever characters their paths have. @return 0 or -errno
 */
static int put_options(const struct mlimg_hooks *hooks, char *ret_options, size_t size)
{
	size_t at = (size_t)snprintf(ret_options, size, "lowerdir=");

	for (size_t i = 0; i < hooks->lowers->n_whole; i++) {
		int fd = open_here(hooks->lowers->fds[i]);

		if (fd < 0)
			return fd;
		at += (size_t)snprintf(
			ret_options + at, size - at, "%s/proc/self/fd/%d", i ? ":" : "", fd);
	}
	snprintf(ret_options + at, size - at,
		",index=off,metacopy=off,xino=off,redirect_dir=follow");
	return 0;
}

/* One layer alone is no overlay: overlayfs wants two. @return 0 or -errno */
static int mount_layers(const struct mlimg_hooks *hooks)
{
	const char *at = MLIMG_HOOK_MOUNT_POINT;
	int run = open_here(hooks->root_fd), fd, r;
	char options[4096];

	if (run < 0)
		return run;
	if (fchdir(run) < 0)
		return -errno;
	if (hooks->lowers->n_whole > 1) {
		r = put_options(hooks, options, sizeof(options));
		if (r == 0 && mount("overlay", at, "overlay", MS_RDONLY | PLAIN, options) < 0)
			r = -errno;
		return r;
	}
	fd = open_here(hooks->lowers->fds[0]);
	if (fd < 0)
		return fd;
	snprintf(options, sizeof(options), "/proc/self/fd/%d", fd);
	if (mount(options, at, NULL, MS_BIND, NULL) < 0)
		return -errno;
	return mount(NULL, at, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | PLAIN, NULL) < 0 ? -errno
											 : 0;
}

/* A directory that the layers lack is done without. */
static int mount_at(const char *at, const char *type, unsigned long flags, const char *options)
{
	return mount(type, at, type, flags, options) < 0 && errno != ENOENT ? -1 : 0;
}

static int make_devices(void)
{
	static const struct {
		const char *path;
		unsigned minor;
	} devices[] = {{"/dev/null", 3}, {"/dev/zero", 5}, {"/dev/random", 8}, {"/dev/urandom", 9}};
	struct stat st;

	if (lstat("/dev", &st) < 0)
		return errno == ENOENT ? 0 : -1;
	for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++)
		if (mknod(devices[i].path, S_IFCHR | 0666, makedev(1, devices[i].minor)) < 0)
			return -1;
	return symlink("/proc/self/fd", "/dev/fd");
}

int mlimg_hook_enter(const struct mlimg_hooks *hooks, const char **ret_what)
{
	char tmp[64];
	int r;

	snprintf(tmp, sizeof(tmp), "mode=1777,size=%u", MLIMG_HOOK_TMP);
	umask(0);
	/* What is mounted here is nobody else's to see. */
	*ret_what = "make mounts private";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	*ret_what =
		hooks->lowers->n_whole > 1 ? "mount the layers by overlayfs" : "mount the layer";
	r = mount_layers(hooks);
	if (r < 0)
		return r;
	*ret_what = "enter the layers";
	if (chdir(MLIMG_HOOK_MOUNT_POINT) < 0 || chroot(".") < 0)
		return -errno;
	/* Of the process namespace that this process is the first of. */
	*ret_what = "mount /proc, /dev and /tmp";
	if (mount_at("/proc", "proc", PLAIN | MS_NOEXEC, NULL) < 0 ||
		mount_at("/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k") < 0 ||
		mount_at("/tmp", "tmpfs", PLAIN, tmp) < 0 || make_devices() < 0)
		return -errno;
	umask(077);
	return chdir("/") < 0 ? -errno : 0;
}

/* --- what it may do --- */

static int set_limits(void)
{
	const struct rlimit memory = {MLIMG_HOOK_MEMORY, MLIMG_HOOK_MEMORY}, none = {0, 0},
			    file = {MLIMG_HOOK_TMP, MLIMG_HOOK_TMP};

	return setrlimit(RLIMIT_DATA, &memory) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
			setrlimit(RLIMIT_FSIZE, &file) < 0
		? -errno
		: 0;
}

/* Root gets the bounding set at execve(2) (capabilities(7)), so this is what goes first. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (cap != CAP_DAC_READ_SEARCH && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	data[0].permitted = data[0].effective = 1u << CAP_DAC_READ_SEARCH;
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int mlimg_hook_confine(void)
{
	int r = set_limits();

	if (r == 0 && setgroups(0, NULL) < 0)
		r = -errno;
	return r < 0 ? r : drop_capabilities();
}
