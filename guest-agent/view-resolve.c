/* SPDX-License-Identifier: MIT */
/* From what somebody types to where it lies in the merged root. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest-agent/view.h"
#include "libmlimg/cleanup.h"

/* Takes "." and ".." and double slashes away without looking; ".." of the root is the root. */
static int normalise(const char *path, char ret_path[MLIMG_PATH_MAX + 1])
{
	size_t size = 0;

	for (size_t n; *path; path += n) {
		n = strcspn(path, "/");
		if (n == 2 && path[0] == '.' && path[1] == '.') {
			while (size > 0 && ret_path[--size] != '/')
				;
		} else if (n > 0 && !(n == 1 && path[0] == '.')) {
			if (size + 1 + n > MLIMG_PATH_MAX)
				return -ENAMETOOLONG;
			if (size)
				ret_path[size++] = '/';
			memcpy(ret_path + size, path, n);
			size += n;
		}
		n += path[n] == '/';
	}
	ret_path[size] = '\0';
	return 0;
}

/* @return an absolute path, or NULL when there is no memory */
static char *make_absolute(const struct mlimg_view *view, const char *typed)
{
	mlimg_autofree char *cwd = NULL;
	char *text = NULL;

	/* The working directory means something in the guest's own root only. */
	if (typed[0] != '/' && strcmp(view->merged, "/") == 0)
		cwd = getcwd(NULL, 0);
	return asprintf(&text, "%s/%s", cwd ? cwd : "", typed) < 0 ? NULL : text;
}

static ssize_t path_of(int fd, char ret_path[MLIMG_PATH_MAX + 1])
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, ret_path, MLIMG_PATH_MAX);
	if (n >= 0)
		ret_path[n] = '\0';
	return n;
}

/* The real path of a directory, from the merged root on. @return false when that cannot be known */
static bool real_dir(const struct mlimg_view *view, const char *dir, char ret[MLIMG_PATH_MAX + 1])
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
	mlimg_autoclose int fd = (int)syscall(SYS_openat2, view->merged_fd, dir, &how, sizeof(how));
	char top[MLIMG_PATH_MAX + 1];
	size_t size;

	/* Before Linux 5.6; of another root the name is taken as it was typed. */
	if (fd < 0 && errno == ENOSYS && strcmp(view->merged, "/") == 0)
		fd = open(dir, how.flags);
	if (fd < 0 || path_of(view->merged_fd, top) < 0 || path_of(fd, ret) < 0)
		return false;
	size = strcmp(top, "/") == 0 ? 0 : strlen(top);
	if (strncmp(ret, top, size) != 0 || (ret[size] && ret[size] != '/'))
		return false;
	memmove(ret, ret + size, strlen(ret + size) + 1);
	return true;
}

int mlimg_view_resolve(const struct mlimg_view *view, const char *typed,
	char ret_path[MLIMG_PATH_MAX + 1], struct mlimg_err *err)
{
	mlimg_autofree char *absolute = make_absolute(view, typed), *joined = NULL;
	char dir[MLIMG_PATH_MAX + 1];
	const char *name = NULL;
	size_t end;

	if (!absolute)
		return mlimg_err_set(err, ENOMEM, "look for '%.200s'", typed);
	end = strlen(absolute);
	while (end > 1 && absolute[end - 1] == '/')
		absolute[--end] = '\0';
	name = strrchr(absolute, '/') + 1;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		name = absolute + end;
	if (name > absolute) {
		mlimg_autofree char *parent = strndup(absolute, (size_t)(name - absolute));

		if (!parent)
			return mlimg_err_set(err, ENOMEM, "look for '%.200s'", typed);
		if (real_dir(view, parent, dir) && asprintf(&joined, "%s/%s", dir, name) < 0)
			return mlimg_err_set(err, ENOMEM, "look for '%.200s'", typed);
	}
	if (normalise(joined ? joined : absolute, ret_path) < 0)
		return mlimg_err_set(err, ENAMETOOLONG, "'%.200s'", typed);
	return 0;
}
