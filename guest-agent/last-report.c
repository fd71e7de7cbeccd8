/* SPDX-License-Identifier: MIT */
#include "guest-agent/last-report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "guest-agent/reports.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/json.h"

/* The user layer's top; -1: there is none. */
static int open_user(const struct mlimg_agent *agent)
{
	mlimg_autofree char *path = NULL;

	if (asprintf(&path, "%s/mlimg/user", agent->run_dir) < 0)
		return -1;
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int list_reports(const struct mlimg_agent *agent, bool is_queue, struct mlimg_reports *ret,
	struct mlimg_err *err)
{
	mlimg_autoclose int user_fd = open_user(agent);

	*ret = (struct mlimg_reports){.dir_fd = -1};
	if (user_fd < 0)
		return 0;
	return is_queue ? mlimg_reports_open_queue(user_fd, ret, err)
			: mlimg_reports_open(user_fd, ret, err);
}

static json_t *read_report(
	const struct mlimg_reports *reports, uint64_t generation, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	json_t *report;
	char name[32];
	size_t size;
	int r = mlimg_reports_read(reports, generation, "json", &text, &size, err);

	snprintf(name, sizeof(name), "%" PRIu64 ".json", generation);
	if (r == 0)
		r = mlimg_json_load(name, text, size, &report, err);
	return r < 0 ? NULL : report;
}

/* The first ones stay. */
static void cut(json_t *list, size_t n)
{
	while (json_array_size(list) > n)
		json_array_remove(list, json_array_size(list) - 1);
}

json_t *mlimg_last_report_command(struct mlimg_call *call)
{
	const json_t *queue = json_object_get(call->arguments, "queue");
	const json_t *generation = json_object_get(call->arguments, queue ? "queue" : "generation");
	const json_t *wanted = json_object_get(call->arguments, "entries");
	size_t n = wanted ? (size_t)json_integer_value(wanted) : MLIMG_LAST_REPORT_ENTRIES;
	mlimg_cleanup(mlimg_reports_close) struct mlimg_reports reports;
	uint64_t number = (uint64_t)json_integer_value(generation);
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r = list_reports(call->agent, queue != NULL, &reports, &err);
	json_t *report, *entries;
	size_t listed;

	if (!generation && reports.n > 0)
		number = reports.generations[reports.n - 1];
	if (r == 0 && (number == 0 || reports.dir_fd < 0))
		return generation ? mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC,
					    "this guest has no reports")
				  : json_null();
	report = r == 0 ? read_report(&reports, number, &err) : NULL;
	if (!report)
		return mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC, "%s", err.text);
	entries = json_object_get(report, "entries");
	listed = json_array_size(entries);
	cut(entries, n);
	cut(json_object_get(report, "databases"), n);
	return json_pack("{s:I,s:I,s:o}", queue ? "queue" : "generation", (json_int_t)number,
		"entries_listed", (json_int_t)listed, "report", report);
}
