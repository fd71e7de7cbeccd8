/* SPDX-License-Identifier: MIT */
#include "guest-agent/misplaced.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "guest-agent/base.h"

#define TRIES 1000000

static const struct {
	const char *name;
	mode_t type;
} own[] = {{"aside", S_IFDIR}, {"carve-outs", S_IFREG}, {"derived", S_IFREG}, {"rebuild", S_IFREG},
	{"reports", S_IFDIR}, {"reset", S_IFREG}, {"reset-begun", S_IFREG}, {"reset-new", S_IFDIR},
	{"spare", S_IFDIR}, {"undo", S_IFDIR}};

/* What a generation has, in parts of the name around its number. */
static const struct {
	const char *before, *behind;
} of_generation[] = {{MLIMG_BASE_PREFIX, ""}, {MLIMG_TEXTS_PREFIX, ""}, {"reports/", ".json"},
	{"reports/", ".txt"}};

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

static int check(
	int own_fd, const char *name, mode_t type, struct mlimg_boot *boot, struct mlimg_err *err)
{
	struct stat st;
	char to[64];
	int r;

	if (fstatat(own_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (st.st_mode & S_IFMT) == type)
		return 0;
	r = rename_away(own_fd, name, to);
	if (r < 0)
		return mlimg_err_set(err, r, "set '%s' aside", name);
	mlimg_boot_note(boot, "user/mlimg/%s was no %s: set aside as user/mlimg/%s", name,
		type == S_IFDIR ? "directory" : "file", to);
	return 0;
}

int mlimg_misplaced_set_aside(int own_fd, struct mlimg_boot *boot, struct mlimg_err *err)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]) && r == 0; i++)
		r = check(own_fd, own[i].name, own[i].type, boot, err);
	return r;
}

int mlimg_misplaced_set_aside_of(
	int own_fd, uint64_t generation, struct mlimg_boot *boot, struct mlimg_err *err)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(of_generation) / sizeof(of_generation[0]) && r == 0; i++) {
		char name[48];

		snprintf(name, sizeof(name), "%s%" PRIu64 "%s", of_generation[i].before, generation,
			of_generation[i].behind);
		r = check(own_fd, name, S_IFREG, boot, err);
	}
	return r;
}
