/* SPDX-License-Identifier: MIT */
#include "libmlimg/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/manifest.h"
#include "libmlimg/path.h"

int mlimg_write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size > 0) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

DIR *mlimg_dir_open(int dirfd, const char *path)
{
	mlimg_autoclose int fd =
		openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir)
		mlimg_steal_fd(&fd);
	return dir;
}

int mlimg_dir_has_entries(int dirfd, const char *path)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(dirfd, path);
	const struct dirent *entry;

	if (!dir)
		return -errno;
	while (errno = 0, (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return 1;
	return -errno;
}

ssize_t mlimg_read_full(int fd, void *data, size_t size)
{
	size_t n = 0;

	while (n < size) {
		ssize_t got = read(fd, (char *)data + n, size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : (ssize_t)n;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

/* One byte more than @max is read, to tell "just as long" from "longer". */
int mlimg_read_fd(int fd, const char *name, size_t max, char **ret_data, size_t *ret_size,
	struct mlimg_err *err)
{
	mlimg_autofree char *data = NULL;
	size_t size = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (size == room) {
			size_t wanted = room ? room * 2 : 4096;
			char *bigger;

			if (wanted > max + 1)
				wanted = max + 1;
			bigger = realloc(data, wanted + 1);
			if (!bigger)
				return mlimg_err_set(err, ENOMEM, "read '%s'", name);
			data = bigger;
			room = wanted;
		}
		n = read(fd, data + size, room - size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mlimg_err_set(err, errno, "read '%s'", name);
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > max)
			return mlimg_err_set(
				err, EFBIG, "read '%s': more than %zu bytes", name, max);
	}
	data[size] = '\0';
	*ret_data = mlimg_steal(&data);
	*ret_size = size;
	return 0;
}

/* @fd: open, or a negative errno */
static int check_regular(int fd, const char *path, struct mlimg_err *err)
{
	struct stat st;

	if (fd < 0)
		return mlimg_err_set(err, fd, "open '%s'", path);
	if (fstat(fd, &st) < 0)
		return mlimg_err_set(err, errno, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return mlimg_err_set(err, S_ISDIR(st.st_mode) ? EISDIR : EINVAL,
			"read '%s', which is no regular file", path);
	return 0;
}

static int read_regular(int fd, const char *path, size_t max, char **ret_data, size_t *ret_size,
	struct mlimg_err *err)
{
	int r = check_regular(fd, path, err);

	return r < 0 ? r : mlimg_read_fd(fd, path, max, ret_data, ret_size, err);
}

/* O_NONBLOCK: a FIFO in a file's place must not keep us waiting for a writer. */
#define READ_FLAGS (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

int mlimg_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_size,
	struct mlimg_err *err)
{
	mlimg_autoclose int fd = openat(dirfd, path, READ_FLAGS);

	return read_regular(fd < 0 ? -errno : fd, path, max, ret_data, ret_size, err);
}

int mlimg_read_beneath(int rootfd, const char *path, size_t max, char **ret_data, size_t *ret_size,
	struct mlimg_err *err)
{
	mlimg_autoclose int fd = mlimg_open_beneath_strict(rootfd, path, READ_FLAGS);

	return read_regular(fd, path, max, ret_data, ret_size, err);
}

int mlimg_read_beneath_head(int rootfd, const char *path, size_t max, char **ret_data,
	size_t *ret_size, struct mlimg_err *err)
{
	mlimg_autoclose int fd = mlimg_open_beneath_strict(rootfd, path, READ_FLAGS);
	int r = check_regular(fd, path, err);
	mlimg_autofree char *data = r < 0 ? NULL : malloc(max + 1);
	ssize_t n;

	if (r < 0)
		return r;
	n = data ? mlimg_read_full(fd, data, max) : -ENOMEM;
	if (n < 0)
		return mlimg_err_set(err, (int)n, "read '%s'", path);
	data[n] = '\0';
	*ret_data = mlimg_steal(&data);
	*ret_size = (size_t)n;
	return 0;
}

int mlimg_temporary_name(char ret_name[MLIMG_TEMPORARY_SIZE])
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -errno;
	snprintf(ret_name, MLIMG_TEMPORARY_SIZE, ".mlimg-%016" PRIx64, random);
	return 0;
}

/* Creates a file of a new name in @dir. */
static int open_temporary(int dir, char name[MLIMG_TEMPORARY_SIZE])
{
	for (int tries = 0; tries < 100; tries++) {
		int r = mlimg_temporary_name(name), fd;

		if (r < 0)
			return r;
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int write_and_rename(int dir, int fd, const char *temporary, const char *name,
	const void *data, size_t size, mode_t mode)
{
	int r = mlimg_write_all(fd, data, size);

	if (r < 0)
		return r;
	/* fchmod and not openat's mode, which the umask would cut. */
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		return -errno;
	if (renameat(dir, temporary, dir, name) < 0)
		return -errno;
	return 0;
}

/* Opens the directory that holds @path; the last component goes to @ret_name, which points into
 * @path. */
static int open_parent(int dirfd, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char dir[MLIMG_PATH_MAX + 1];
	size_t n;

	if (!slash) {
		*ret_name = path;
		return openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	n = slash == path ? 1 : (size_t)(slash - path);
	if (n >= sizeof(dir)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(dir, path, n);
	dir[n] = '\0';
	*ret_name = slash + 1;
	return openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int mlimg_replace_file(int dirfd, const char *path, const void *data, size_t size, mode_t mode,
	struct mlimg_err *err)
{
	mlimg_autoclose int dir = -1, fd = -1;
	char temporary[MLIMG_TEMPORARY_SIZE];
	const char *name;
	int r;

	dir = open_parent(dirfd, path, &name);
	if (dir < 0)
		return mlimg_err_set(err, errno, "open the directory of '%s'", path);
	fd = open_temporary(dir, temporary);
	if (fd < 0)
		return mlimg_err_set(err, fd, "create a temporary file beside '%s'", path);
	r = write_and_rename(dir, fd, temporary, name, data, size, mode);
	if (r < 0) {
		unlinkat(dir, temporary, 0);
		return mlimg_err_set(err, r, "write '%s'", path);
	}
	if (fsync(dir) < 0)
		return mlimg_err_set(err, errno, "sync the directory of '%s'", path);
	return 0;
}

/* Opens one component. A symbolic link is -ELOOP, also where O_DIRECTORY makes the kernel say
 * ENOTDIR. */
static int open_component(int dir, const char *name, int flags)
{
	struct stat st;
	int fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	if (errno == ENOTDIR) {
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
			return -ELOOP;
		return -ENOTDIR;
	}
	return -errno;
}

static int open_beneath_by_component(int rootfd, const char *path, int flags)
{
	mlimg_autoclose int dir = -1;
	char name[MLIMG_NAME_MAX + 1];

	if (*path == '/')
		return -EXDEV;
	if (*path == '\0')
		return -ENOENT;
	for (;;) {
		size_t n = strcspn(path, "/");
		const char *rest = path + n + strspn(path + n, "/");
		int at = dir >= 0 ? dir : rootfd, fd;

		if (n > MLIMG_NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, n);
		name[n] = '\0';
		if (strcmp(name, "..") == 0)
			return -EXDEV;
		if (*rest == '\0')
			return open_component(at, name, path[n] ? flags | O_DIRECTORY : flags);
		fd = open_component(at, name, O_PATH | O_DIRECTORY);
		if (fd < 0)
			return fd;
		if (dir >= 0)
			close(dir);
		dir = fd;
		path = rest;
	}
}

static int open_resolved(int rootfd, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
		.mode = flags & O_CREAT ? 0600 : 0,
		.resolve = resolve,
	};

	if (getenv("MLIMG_NO_OPENAT2"))
		return open_beneath_by_component(rootfd, path, flags);
	/* EAGAIN: something was renamed meanwhile and the kernel could not be sure (openat2(2)). */
	for (int tries = 0; tries < 100; tries++) {
		long fd = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if (errno == ENOSYS ||
			errno == EPERM) /* EPERM: a seccomp filter older than openat2 */
			return open_beneath_by_component(rootfd, path, flags);
		if (errno != EAGAIN)
			return -errno;
	}
	return -EAGAIN;
}

int mlimg_open_beneath(int rootfd, const char *path, int flags)
{
	return open_resolved(rootfd, path, flags, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

int mlimg_open_beneath_strict(int rootfd, const char *path, int flags)
{
	return open_resolved(rootfd, path, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

int mlimg_open_parent_strict(int rootfd, const char *path, int flags, const char **ret_name)
{
	mlimg_autofree char *dir = strndup(path, mlimg_path_dir_size(path));

	if (!dir)
		return -ENOMEM;
	if (ret_name)
		*ret_name = mlimg_path_name(path);
	return mlimg_open_beneath_strict(
		rootfd, *dir ? dir : ".", flags | O_DIRECTORY | O_NOFOLLOW);
}

#define BLOCK 65536

int mlimg_files_are_same(int a, int b)
{
	mlimg_autofree char *blocks = malloc(2 * (size_t)BLOCK);

	if (!blocks)
		return -ENOMEM;
	for (;;) {
		ssize_t n = mlimg_read_full(a, blocks, BLOCK),
			m = mlimg_read_full(b, blocks + BLOCK, BLOCK);

		if (n < 0 || m < 0)
			return (int)(n < 0 ? n : m);
		if (n != m || memcmp(blocks, blocks + BLOCK, (size_t)n) != 0)
			return 0;
		if (n < BLOCK)
			return 1;
	}
}

int mlimg_stat_beneath(int rootfd, const char *path, struct stat *ret)
{
	const char *name;
	mlimg_autoclose int fd = mlimg_open_parent_strict(rootfd, path, O_PATH, &name);

	if (fd < 0)
		return fd;
	return fstatat(fd, name, ret, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0 ? -errno : 0;
}
