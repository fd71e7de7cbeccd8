/* SPDX-License-Identifier: MIT */
#include "guest-agent/last-report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/json.h"

/* @return the generation of reports/N.json; 0 for another name */
static uint64_t generation_of(const char *name)
{
	char again[32];
	uint64_t n = strtoull(name, NULL, 10);

	snprintf(again, sizeof(again), "%" PRIu64 ".json", n);
	return n <= MLIMG_BOOT_GENERATION_MAX && strcmp(name, again) == 0 ? n : 0;
}

static uint64_t find_last(int dir_fd)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(dir_fd, ".");
	const struct dirent *entry;
	uint64_t last = 0;

	while (dir && (entry = readdir(dir)))
		if (generation_of(entry->d_name) > last)
			last = generation_of(entry->d_name);
	return last;
}

static int open_reports(const struct mlimg_agent *agent)
{
	mlimg_autofree char *root = NULL;
	mlimg_autoclose int root_fd = -1;

	if (asprintf(&root, "%s/mlimg", agent->run_dir) < 0)
		return -1;
	root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0
		? -1
		: mlimg_open_beneath_strict(root_fd, "user/mlimg/reports", O_RDONLY | O_DIRECTORY);
}

static json_t *read_report(int dir_fd, uint64_t generation, struct mlimg_failure *failure)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *text = NULL;
	json_t *report;
	char name[32];
	size_t size;

	snprintf(name, sizeof(name), "%" PRIu64 ".json", generation);
	if (mlimg_read_beneath(dir_fd, name, MLIMG_REPORT_MAX, &text, &size, &err) < 0 ||
		mlimg_json_load(name, text, size, &report, &err) < 0)
		return mlimg_fail(failure, MLIMG_CLASS_GENERIC, "%s", err.text);
	return report;
}

/* The first ones stay. */
static void cut(json_t *list, size_t n)
{
	while (json_array_size(list) > n)
		json_array_remove(list, json_array_size(list) - 1);
}

json_t *mlimg_last_report_command(struct mlimg_call *call)
{
	const json_t *generation = json_object_get(call->arguments, "generation");
	const json_t *wanted = json_object_get(call->arguments, "entries");
	size_t n = wanted ? (size_t)json_integer_value(wanted) : MLIMG_LAST_REPORT_ENTRIES;
	mlimg_autoclose int dir_fd = open_reports(call->agent);
	uint64_t number = (uint64_t)json_integer_value(generation);
	json_t *report, *entries;
	size_t listed;

	if (!generation && dir_fd >= 0)
		number = find_last(dir_fd);
	if (number == 0 || dir_fd < 0)
		return generation ? mlimg_fail(&call->failure, MLIMG_CLASS_GENERIC,
					    "this guest has no reports")
				  : json_null();
	report = read_report(dir_fd, number, &call->failure);
	if (!report)
		return NULL;
	entries = json_object_get(report, "entries");
	listed = json_array_size(entries);
	cut(entries, n);
	cut(json_object_get(report, "databases"), n);
	return json_pack("{s:I,s:I,s:o}", "generation", (json_int_t)number, "entries_listed",
		(json_int_t)listed, "report", report);
}
