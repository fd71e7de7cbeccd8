/* SPDX-License-Identifier: MIT */
#include "guest-agent/conflicts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/reports.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/report.h"

struct finding {
	const struct mlimg_view *view;
	mlimg_conflict_fn *fn;
	void *ctx;
	struct mlimg_resolved resolved;
	uint64_t generation;
	void *seen; /* places that were told: tsearch(3)'s */
};

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* In a later report too, what lies beside is the same thing. @return 1 when it is new, -ENOMEM */
static int take(struct finding *f, const char *at)
{
	char *copy = strdup(at);
	char **node = copy ? tsearch(copy, &f->seen, by_text) : NULL;

	if (node && *node == copy)
		return 1;
	free(copy);
	return node ? 0 : -ENOMEM;
}

static int see(const struct mlimg_report_read *e, void *ctx, struct mlimg_err *err)
{
	struct finding *f = ctx;
	struct mlimg_conflict c = {.generation = f->generation,
		.path = e->path,
		.at = e->at,
		.verdict = e->verdict,
		.done = e->done,
		.class = e->class,
		.why = e->why};
	char at[MLIMG_PATH_MAX + 8];
	struct stat st;
	int r;

	c.is_aside = e->done && strcmp(e->done, mlimg_done_name(MLIMG_DONE_ASIDE)) == 0;
	if (!e->at ||
		!(c.is_aside ||
			(e->done && strcmp(e->done, mlimg_done_name(MLIMG_DONE_BESIDE)) == 0)))
		return 0;
	snprintf(at, sizeof(at), "%s%s", c.is_aside ? "mlimg/" : "", e->at);
	c.is_there = mlimg_stat_beneath(
			     c.is_aside ? f->view->user_fd : f->view->merged_fd, at, &st) == 0;
	c.way = mlimg_resolved_find(&f->resolved, f->generation, e->path);
	r = take(f, e->at);
	if (r < 0)
		return mlimg_err_set(err, ENOMEM, "read the reports");
	return r ? f->fn(&c, f->ctx, err) : 0;
}

static int read_resolved(struct finding *f, struct mlimg_err *err)
{
	mlimg_autoclose int own_fd =
		openat(f->view->user_fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return own_fd < 0 ? mlimg_err_set(err, errno, "open 'mlimg'")
			  : mlimg_resolved_read(own_fd, &f->resolved, err);
}

int mlimg_conflicts_find(
	const struct mlimg_view *view, mlimg_conflict_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_reports_close) struct mlimg_reports reports = {.dir_fd = -1};
	struct finding f = {.view = view, .fn = fn, .ctx = ctx};
	int r = mlimg_view_need_user(view, err);

	if (r == 0)
		r = mlimg_reports_open(view->user_fd, &reports, err);
	if (r == 0)
		r = read_resolved(&f, err);
	for (size_t i = reports.n; i-- > 0 && r == 0;) {
		mlimg_autofree char *text = NULL;
		size_t size;

		f.generation = reports.generations[i];
		r = mlimg_reports_read(&reports, f.generation, "json", &text, &size, err);
		if (r == 0)
			r = mlimg_report_read_entries(text, size, see, &f, err);
		if (r < 0)
			r = mlimg_err_wrap(err, r, "generation %" PRIu64, f.generation);
	}
	tdestroy(f.seen, free);
	mlimg_resolved_done(&f.resolved);
	return r;
}
