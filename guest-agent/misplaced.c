/* SPDX-License-Identifier: MIT */
#include "guest-agent/misplaced.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define TRIES 1000000

static const struct {
	const char *name;
	mode_t type;
} own[] = {{"aside", S_IFDIR}, {"derived", S_IFREG}, {"rebuild", S_IFREG}, {"reports", S_IFDIR},
	{"reset", S_IFREG}, {"reset-begun", S_IFREG}, {"reset-new", S_IFDIR}, {"spare", S_IFDIR},
	{"undo", S_IFDIR}};

static int rename_away(int own_fd, const char *name, char ret_to[64])
{
	for (int n = 1; n < TRIES; n++) {
		snprintf(ret_to, 64, n == 1 ? "%s.misplaced" : "%s.misplaced-%d", name, n);
		if (renameat2(own_fd, name, own_fd, ret_to, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int mlimg_misplaced_set_aside(int own_fd, struct mlimg_boot *boot, struct mlimg_err *err)
{
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		struct stat st;
		char to[64];
		int r;

		if (fstatat(own_fd, own[i].name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			(st.st_mode & S_IFMT) == own[i].type)
			continue;
		r = rename_away(own_fd, own[i].name, to);
		if (r < 0)
			return mlimg_err_set(err, r, "set '%s' aside", own[i].name);
		mlimg_boot_note(boot, "user/mlimg/%s was no %s: set aside as user/mlimg/%s",
			own[i].name, own[i].type == S_IFDIR ? "directory" : "file", to);
	}
	return 0;
}
