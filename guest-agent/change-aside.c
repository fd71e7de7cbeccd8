/* SPDX-License-Identifier: MIT */
/* What finds no place any more, on the way back: moved to aside, where nothing is ever replaced. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "guest-agent/change-place.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

#define ASIDE_NAMES 1000 /* that are tried for a thing where a stranger has put others meanwhile */

/* To the first name that is free: NAME, NAME.1, and so on. @return 0, -errno */
static int move_to_free(int from_fd, const char *from, int to_fd, const char *name)
{
	char other[MLIMG_NAME_MAX + 16];

	if (renameat2(from_fd, from, to_fd, name, RENAME_NOREPLACE) == 0)
		return 0;
	for (unsigned i = 1; errno == EEXIST && i < ASIDE_NAMES; i++) {
		snprintf(other, sizeof(other), "%.*s.%u", MLIMG_NAME_MAX - 12, name, i);
		if (renameat2(from_fd, from, to_fd, other, RENAME_NOREPLACE) == 0)
			return 0;
	}
	return -errno;
}

int mlimg_change_move_aside(struct mlimg_change *c, int fd, const char *slot, const char *path)
{
	const char *name;
	mlimg_autoclose int to_fd = mlimg_open_parent_strict(c->aside_fd, path, O_RDONLY, &name);
	int r = to_fd < 0 ? to_fd : mlimg_change_step(c);

	return r == 0 ? move_to_free(fd, slot, to_fd, name) : r;
}

int mlimg_change_is_in_aside(int aside_fd, const char *path)
{
	mlimg_autoclose int fd = aside_fd < 0
		? -ENOENT
		: mlimg_open_beneath_strict(aside_fd, path, O_PATH | O_NOFOLLOW);

	if (fd >= 0)
		return 1;
	return mlimg_change_is_nowhere(fd) ? 0 : fd;
}
