/* SPDX-License-Identifier: MIT */
#include "tools/vm-runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/layer.h"

#define LONGEST_SOCKET "/monitor.sock"
#define NUMBER_TRIES 1000 /* of a millisecond: who has taken the lock writes his number at once */

char *mlimg_runtime_file(const char *dir, const char *file)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, file) < 0 ? NULL : path;
}

static char *default_base(void)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	char *base;

	if (geteuid() == 0)
		return strdup("/run/mlimg-vm");
	if (xdg && *xdg == '/')
		return mlimg_runtime_file(xdg, "mlimg-vm");
	return asprintf(&base, "/tmp/mlimg-vm-%u", (unsigned)geteuid()) < 0 ? NULL : base;
}

int mlimg_runtime_dir(const char *base, const char *name, char **ret_dir, struct mlimg_err *err)
{
	mlimg_autofree char *fallback = base ? NULL : default_base();
	mlimg_autofree char *dir = NULL;
	const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);

	if (!mlimg_layer_name_is_valid(name))
		return mlimg_err_usage(err,
			"'%s' cannot be a guest's name (1 to %d letters, digits and ._+~:-, the "
			"first a "
			"letter or digit)",
			name, MLIMG_LAYER_NAME_MAX);
	if (base || fallback)
		dir = mlimg_runtime_file(base ? base : fallback, name);
	if (!dir)
		return mlimg_err_set(err, ENOMEM, "runtime directory");
	if (strlen(dir) + strlen(LONGEST_SOCKET) >= room)
		return mlimg_err_usage(err,
			"runtime directory '%s' is too long for a socket's path: at most %zu bytes",
			dir, room - 1 - strlen(LONGEST_SOCKET));
	*ret_dir = mlimg_steal(&dir);
	return 0;
}

int mlimg_runtime_make_dir(const char *path, struct mlimg_err *err)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return mlimg_err_set(err, errno, "create '%s'", path);
	if (lstat(path, &st) < 0)
		return mlimg_err_set(err, errno, "'%s'", path);
	if (!S_ISDIR(st.st_mode))
		return mlimg_err_set(err, ENOTDIR, "'%s'", path);
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return mlimg_err_set(
			err, EPERM, "'%s' belongs to, or can be written by, somebody else", path);
	return 0;
}

static int make_dirs(const char *dir, struct mlimg_err *err)
{
	mlimg_autofree char *base = strdup(dir);
	int ret;

	if (!base)
		return mlimg_err_set(err, ENOMEM, "'%s'", dir);
	*strrchr(base, '/') = '\0';
	ret = *base ? mlimg_runtime_make_dir(base, err) : 0;
	if (ret == 0)
		ret = mlimg_runtime_make_dir(dir, err);
	if (ret == 0 && chmod(dir, 0700) < 0)
		ret = mlimg_err_set(err, errno, "'%s'", dir);
	return ret;
}

static pid_t read_pid(int fd)
{
	char text[16] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* Of the open file, as flock(2)'s are, but one can ask who has it without taking it. */
static struct flock whole_file(void)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

int mlimg_runtime_lock(const char *dir, int *ret_lock, struct mlimg_err *err)
{
	mlimg_autofree char *path = mlimg_runtime_file(dir, "lock");
	mlimg_autoclose int fd = -1;
	struct flock whole = whole_file();
	int ret = path ? make_dirs(dir, err) : mlimg_err_set(err, ENOMEM, "'%s'", dir);

	if (ret < 0)
		return ret;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", path);
	if (fcntl(fd, F_OFD_SETLK, &whole) < 0)
		return errno == EAGAIN || errno == EACCES
			? mlimg_err_set(err, 0, "guest '%s' is already running (process %d)",
				  strrchr(dir, '/') + 1, (int)read_pid(fd))
			: mlimg_err_set(err, errno, "lock '%s'", path);
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return mlimg_err_set(err, errno, "write '%s'", path);
	*ret_lock = mlimg_steal_fd(&fd);
	return 0;
}

/* @return who has the lock; 0 when nobody has; -EAGAIN when he has not said yet who he is; -errno */
static pid_t ask_owner(int fd)
{
	struct flock whole = whole_file();
	pid_t pid;

	if (fcntl(fd, F_OFD_GETLK, &whole) < 0)
		return -errno;
	if (whole.l_type == F_UNLCK)
		return 0;
	pid = read_pid(fd);
	return pid > 0 ? pid : -EAGAIN;
}

pid_t mlimg_runtime_owner(const char *dir)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	mlimg_autofree char *path = mlimg_runtime_file(dir, "lock");
	mlimg_autoclose int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	pid_t pid;

	if (fd < 0)
		return path && (errno == ENOENT || errno == ENOTDIR) ? 0 : -errno;
	pid = ask_owner(fd);
	for (int i = 0; i < NUMBER_TRIES && pid == -EAGAIN; i++) {
		nanosleep(&pause, NULL);
		pid = ask_owner(fd);
	}
	return pid == -EAGAIN ? -EBUSY : pid;
}

static void remove_files(const char *dir, const char *const files[])
{
	for (size_t i = 0; files[i]; i++) {
		mlimg_autofree char *path = mlimg_runtime_file(dir, files[i]);

		if (path)
			unlink(path);
	}
}

void mlimg_runtime_clean(const char *dir)
{
	static const char *const files[] = {"qmp.sock", "monitor.sock", "agent.sock",
		"console.sock", "terminal.sock", "kernel", "initrd", "disk.vmdk", NULL};

	remove_files(dir, files);
}

void mlimg_runtime_remove(const char *dir)
{
	static const char *const files[] = {
		"console.log", "console.log.1", "qemu.log", "qemu.log.1", "state", "lock", NULL};

	mlimg_runtime_clean(dir);
	remove_files(dir, files);
	rmdir(dir);
}
