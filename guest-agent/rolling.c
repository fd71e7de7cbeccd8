/* SPDX-License-Identifier: MIT */
#include "guest-agent/rolling.h"

#include <errno.h>

#include "guest-agent/rebuild.h"
#include "guest-agent/reconcile-report.h"

int mlimg_rolling_init(struct mlimg_rolling *rolling, struct mlimg_err *err)
{
	int r = mlimg_report_init(&rolling->report, err);

	rolling->classes = mlimg_path_classes_new();
	return r < 0 || rolling->classes ? r : mlimg_err_set(err, ENOMEM, "roll back");
}

void mlimg_rolling_tell(struct mlimg_rolling *rolling, const char *path,
	enum mlimg_change_told what, bool is_file, uint64_t generation)
{
	const struct mlimg_entry thing = {.path = (char *)(uintptr_t)path,
		.type = is_file ? MLIMG_FILE : MLIMG_LINK}; /* or anything else that is no file */
	struct mlimg_report_entry entry = {.path = path,
		.verdict = MLIMG_CONFLICT,
		.class = mlimg_path_class_of_entry(rolling->classes, &thing),
		.done = MLIMG_DONE_ASIDE,
		.generation = generation,
		.why = "written since"};

	if (what == MLIMG_CHANGE_MERGED) {
		entry.verdict = MLIMG_MERGED;
		entry.done = MLIMG_DONE_MERGED;
	} else if (what == MLIMG_CHANGE_DROPPED) {
		entry.verdict = MLIMG_STALE;
		entry.why = "made since";
		entry.done = MLIMG_DONE_DROPPED;
	} else if (what == MLIMG_CHANGE_GAVE_WAY) {
		entry.why = "what was there before is back, or is made anew";
	}
	mlimg_report_add_entry(&rolling->report, &entry);
}

void mlimg_rolling_report(struct mlimg_rolling *rolling, uint64_t generation,
	const struct mlimg_boot_state *from, const struct mlimg_boot_state *to)
{
	const struct mlimg_reported about = {
		rolling->dir_fd, generation, true, &from->stack, &to->stack};

	struct mlimg_err err = MLIMG_ERR_INIT;

	rolling->is_report_lost = mlimg_reported_write(&about, &rolling->report, &err) < 0;
}

int mlimg_rolling_make_ready(struct mlimg_rolling *rolling, int new_fd, struct mlimg_err *err)
{
	int r = mlimg_reported_keep_notes(rolling->dir_fd, &rolling->report.notes, err);

	return r < 0 ? r
		     : mlimg_rebuild_stage_layers(rolling->dir_fd, new_fd, rolling->layers,
			       rolling->n_layers, &rolling->report, err);
}

void mlimg_rolling_done(struct mlimg_rolling *rolling)
{
	mlimg_report_done(&rolling->report);
	mlimg_path_classes_free(rolling->classes);
	rolling->classes = NULL;
}
