/* SPDX-License-Identifier: MIT */
#include "guest-agent/reports.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/queue-run.h"
#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/manifest-lex.h"

#define DIR_PATH "mlimg/reports"
#define NAME_SIZE 32

static const char *prefix_of(const struct mlimg_reports *reports)
{
	return reports->is_queue ? MLIMG_QUEUE_NAME : "";
}

static void name_of(const struct mlimg_reports *reports, uint64_t generation, const char *suffix,
	char ret_name[NAME_SIZE])
{
	snprintf(ret_name, NAME_SIZE, "%s%" PRIu64 ".%s", prefix_of(reports), generation, suffix);
}

/* @return whether it is that of a report as JSON, and of which generation */
static bool is_report(const char *name, const char *prefix, uint64_t *ret_generation)
{
	size_t size = strlen(prefix);
	struct mlimg_span rest = {name + size, 0}, number;

	if (strncmp(name, prefix, size) != 0)
		return false;
	rest.size = strlen(rest.at);
	number = mlimg_span_cut(&rest, '.');
	return mlimg_span_is(rest, "json") &&
		mlimg_lex_number(number, MLIMG_BOOT_GENERATION_MAX, ret_generation);
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int list(struct mlimg_reports *reports)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(reports->dir_fd, ".");
	const struct dirent *d;

	if (!dir)
		return -errno;
	while ((errno = 0, d = readdir(dir))) {
		uint64_t generation;

		if (!is_report(d->d_name, prefix_of(reports), &generation))
			continue;
		if (mlimg_buffer_reserve(&reports->generations, &reports->room,
			    (reports->n + 1) * sizeof(*reports->generations)) < 0)
			return -ENOMEM;
		reports->generations[reports->n++] = generation;
	}
	if (reports->n > 1)
		qsort(reports->generations, reports->n, sizeof(*reports->generations), by_number);
	return -errno;
}

static int open_list(int user_fd, bool is_queue, struct mlimg_reports *ret, struct mlimg_err *err)
{
	int r;

	*ret = (struct mlimg_reports){.dir_fd = -1, .is_queue = is_queue};
	ret->dir_fd =
		mlimg_open_beneath_strict(user_fd, DIR_PATH, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	r = ret->dir_fd < 0 ? ret->dir_fd : list(ret);
	return r < 0 && r != -ENOENT ? mlimg_err_set(err, r, "read '" DIR_PATH "'") : 0;
}

int mlimg_reports_open(int user_fd, struct mlimg_reports *ret, struct mlimg_err *err)
{
	return open_list(user_fd, false, ret, err);
}

int mlimg_reports_open_queue(int user_fd, struct mlimg_reports *ret, struct mlimg_err *err)
{
	return open_list(user_fd, true, ret, err);
}

void mlimg_reports_close(struct mlimg_reports *reports)
{
	if (reports->dir_fd >= 0)
		close(reports->dir_fd);
	free(reports->generations);
	*reports = (struct mlimg_reports){.dir_fd = -1};
}

int mlimg_reports_read(const struct mlimg_reports *reports, uint64_t generation, const char *suffix,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	char name[NAME_SIZE];
	int r = -ENOENT;

	name_of(reports, generation, suffix, name);
	if (reports->dir_fd >= 0)
		r = mlimg_read_beneath(
			reports->dir_fd, name, MLIMG_REPORT_MAX, ret_text, ret_size, err);
	if (r != -ENOENT)
		return r;
	return mlimg_err_set(err, r, "report %s%" PRIu64,
		reports->is_queue ? MLIMG_QUEUE_NAME : "of generation ", generation);
}

struct timespec mlimg_reports_time(const struct mlimg_reports *reports, uint64_t generation)
{
	char name[NAME_SIZE];
	struct stat st;

	name_of(reports, generation, "json", name);
	if (fstatat(reports->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return (struct timespec){0, 0};
	return st.st_mtim;
}
