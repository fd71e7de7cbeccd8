/* SPDX-License-Identifier: MIT */
/* `mlimg reports`: what became of the user's files when the stack changed. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/mlimg-cmd.h"
#include "guest-agent/queue-run.h"
#include "guest-agent/reports.h"
#include "libmlimg/report.h"
#include "tools/cli.h"

/* --- the list --- */

static json_t *pack_counts(const struct mlimg_reports *reports, uint64_t generation,
	const uint64_t counts[MLIMG_N_VERDICTS], const uint64_t done[MLIMG_N_DONE])
{
	json_t *c = json_object(), *d = json_object();

	for (enum mlimg_verdict v = MLIMG_KEEP; v < MLIMG_N_VERDICTS; v++)
		json_object_set_new(c, mlimg_verdict_name(v), json_integer((json_int_t)counts[v]));
	for (enum mlimg_done i = MLIMG_DONE_NOTHING; i < MLIMG_N_DONE; i++)
		json_object_set_new(d, mlimg_done_name(i), json_integer((json_int_t)done[i]));
	return json_pack("{s:I,s:I,s:o,s:o}", reports->is_queue ? "queue" : "generation",
		(json_int_t)generation, "time",
		(json_int_t)mlimg_reports_time(reports, generation).tv_sec, "counts", c, "done", d);
}

static void put_counts(const struct mlimg_reports *reports, uint64_t generation,
	const uint64_t counts[MLIMG_N_VERDICTS], const uint64_t done[MLIMG_N_DONE])
{
	printf(reports->is_queue ? MLIMG_QUEUE_NAME "%" PRIu64 " " : "%-4" PRIu64 " ", generation);
	mlimg_cmd_put_time(stdout, mlimg_reports_time(reports, generation).tv_sec);
	if (reports->is_queue) {
		printf("  %" PRIu64 " dropped, %" PRIu64 " aside, %" PRIu64 " joined; %" PRIu64
		       " had nothing to do any more\n",
			done[MLIMG_DONE_DROPPED], done[MLIMG_DONE_ASIDE], done[MLIMG_DONE_JOINED],
			done[MLIMG_DONE_NOTHING]);
		return;
	}
	printf("  %" PRIu64 " dropped, %" PRIu64 " aside, %" PRIu64 " beside, %" PRIu64
	       " merged, %" PRIu64 " joined; %" PRIu64 " %s\n",
		done[MLIMG_DONE_DROPPED], done[MLIMG_DONE_ASIDE], done[MLIMG_DONE_BESIDE],
		done[MLIMG_DONE_MERGED], done[MLIMG_DONE_JOINED], counts[MLIMG_CONFLICT],
		mlimg_cli_noun(counts[MLIMG_CONFLICT], "conflict", "conflicts"));
}

/* @all: gets them, for JSON */
static int put_list(const struct mlimg_cmd *cmd, const struct mlimg_reports *reports, json_t *all,
	struct mlimg_err *err)
{
	int r = 0;

	for (size_t i = 0; i < reports->n && r == 0; i++) {
		uint64_t counts[MLIMG_N_VERDICTS], done[MLIMG_N_DONE];
		uint64_t generation = reports->generations[i];
		mlimg_autofree char *text = NULL;
		size_t size;

		r = mlimg_reports_read(reports, generation, "json", &text, &size, err);
		if (r == 0 && mlimg_report_read_counts(text, size, counts, done) < 0)
			r = mlimg_err_refuse(err, "report %s%" PRIu64 " is damaged",
				reports->is_queue ? MLIMG_QUEUE_NAME : "of generation ",
				generation);
		if (r == 0 && mlimg_cmd_has(cmd, MLIMG_CMD_JSON))
			json_array_append_new(all, pack_counts(reports, generation, counts, done));
		else if (r == 0)
			put_counts(reports, generation, counts, done);
	}
	return r;
}

/* Those on what was queued come behind. */
static int put_lists(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	mlimg_autojson json_t *all = json_array();
	int user_fd = cmd->view->user_fd, r = 0;

	for (int is_queue = 0; is_queue < 2 && r == 0; is_queue++) {
		mlimg_cleanup(mlimg_reports_close) struct mlimg_reports reports = {.dir_fd = -1};

		r = is_queue ? mlimg_reports_open_queue(user_fd, &reports, err)
			     : mlimg_reports_open(user_fd, &reports, err);
		if (r == 0)
			r = put_list(cmd, &reports, all, err);
	}
	if (r == 0 && mlimg_cmd_has(cmd, MLIMG_CMD_JSON))
		r = mlimg_cmd_put_json(mlimg_steal(&all), JSON_INDENT(2), err);
	return r;
}

/* --- one --- */

static int put_one(const struct mlimg_cmd *cmd, const struct mlimg_reports *reports,
	uint64_t generation, struct mlimg_err *err)
{
	bool is_json = mlimg_cmd_has(cmd, MLIMG_CMD_JSON);
	mlimg_autofree char *text = NULL;
	json_t *json = NULL;
	size_t size;
	int r = mlimg_reports_read(
		reports, generation, is_json ? "json" : "txt", &text, &size, err);

	if (r == 0 && is_json)
		r = mlimg_json_load("report", text, size, &json, err);
	if (r < 0)
		return r;
	if (is_json)
		return mlimg_cmd_put_json(json, JSON_INDENT(2), err);
	for (char *line = text, *end; line < text + size; line = end + 1) {
		end = memchr(line, '\n', (size_t)(text + size - line));
		end = end ? end : text + size;
		*end = '\0';
		mlimg_cli_put_safe(stdout, line);
		putchar('\n');
	}
	return 0;
}

int mlimg_cmd_reports(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_reports_close) struct mlimg_reports reports = {.dir_fd = -1};
	const char *typed = mlimg_cmd_operand(cmd, 0);
	size_t prefix = strlen(MLIMG_QUEUE_NAME);
	bool is_queue = typed && strncmp(typed, MLIMG_QUEUE_NAME, prefix) == 0;
	int user_fd = cmd->view->user_fd, r = 0;
	uint64_t generation;

	if (typed)
		r = mlimg_cli_number(is_queue ? typed + prefix : typed, 1,
			MLIMG_BOOT_GENERATION_MAX, &generation, err);
	if (r == 0)
		r = mlimg_view_need_user(cmd->view, err);
	if (r < 0)
		return r;
	if (!typed)
		return put_lists(cmd, err);
	r = is_queue ? mlimg_reports_open_queue(user_fd, &reports, err)
		     : mlimg_reports_open(user_fd, &reports, err);
	return r < 0 ? r : put_one(cmd, &reports, generation, err);
}
