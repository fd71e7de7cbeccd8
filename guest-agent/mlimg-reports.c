/* SPDX-License-Identifier: MIT */
/* `mlimg reports` and `mlimg conflicts`: what became of the user's files when the stack changed. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/change.h"
#include "guest-agent/mlimg-cmd.h"
#include "guest-agent/queue-run.h"
#include "guest-agent/reports.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
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

/* --- conflicts --- */

struct conflicts {
	struct mlimg_cmd *cmd;
	uint64_t generation;
	void *seen; /* places that were told: tsearch(3)'s */
	uint64_t n;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* @return whether something is at @path of a directory; no links are followed on the way */
static bool is_there(int top_fd, const char *path)
{
	const char *name;
	mlimg_autoclose int fd = mlimg_open_parent_strict(top_fd, path, O_PATH, &name);
	struct stat st;

	return fd >= 0 && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* In a later report too, what lies beside is the same thing. @return 1 when it is new, -ENOMEM */
static int take(struct conflicts *c, const char *at)
{
	char *copy = strdup(at);
	char **node = copy ? tsearch(copy, &c->seen, by_text) : NULL;

	if (node && *node == copy)
		return 1;
	free(copy);
	return node ? 0 : -ENOMEM;
}

static int put_conflict(struct conflicts *c, const struct mlimg_report_read *e, bool is_aside,
	struct mlimg_err *err)
{
	c->n++;
	if (mlimg_cmd_has(c->cmd, MLIMG_CMD_JSON))
		return mlimg_cmd_put_json(
			json_pack("{s:o,s:s,s:o,s:I,s:s,s:s*,s:s*}", "path",
				mlimg_cmd_json_path(e->path), "done", e->done, "at",
				mlimg_cmd_json_path(e->at), "generation", (json_int_t)c->generation,
				"verdict", e->verdict, "class", e->class, "why", e->why),
			JSON_COMPACT, err);
	mlimg_cmd_paint(c->cmd, MLIMG_COLOR_YELLOW);
	printf("%-7s", is_aside ? "aside" : "beside");
	mlimg_cmd_paint(c->cmd, MLIMG_COLOR_NONE);
	mlimg_cmd_put_path(e->path);
	if (is_aside)
		printf("  (yours: %s/user/mlimg", c->cmd->view->root);
	else
		fputs("  (the system's: ", stdout);
	mlimg_cmd_put_path(e->at);
	printf("; generation %" PRIu64 ")\n", c->generation);
	return 0;
}

static int see(const struct mlimg_report_read *e, void *ctx, struct mlimg_err *err)
{
	struct conflicts *c = ctx;
	bool is_aside = e->done && strcmp(e->done, mlimg_done_name(MLIMG_DONE_ASIDE)) == 0;
	bool is_beside = e->done && strcmp(e->done, mlimg_done_name(MLIMG_DONE_BESIDE)) == 0;
	char at[MLIMG_PATH_MAX + 8];
	int r;

	if (!e->at || !(is_aside || is_beside))
		return 0;
	snprintf(at, sizeof(at), "%s%s", is_aside ? "mlimg/" : "", e->at);
	if (!is_there(is_aside ? c->cmd->view->user_fd : c->cmd->view->merged_fd, at))
		return 0;
	r = take(c, e->at);
	if (r < 0)
		return mlimg_err_set(err, ENOMEM, "read the reports");
	return r ? put_conflict(c, e, is_aside, err) : 0;
}

int mlimg_cmd_conflicts(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_reports_close) struct mlimg_reports reports = {.dir_fd = -1};
	struct conflicts c = {.cmd = cmd};
	int r = mlimg_view_need_user(cmd->view, err);

	if (r == 0)
		r = mlimg_reports_open(cmd->view->user_fd, &reports, err);
	/* The newest first. */
	for (size_t i = reports.n; i-- > 0 && r == 0;) {
		mlimg_autofree char *text = NULL;
		size_t size;

		c.generation = reports.generations[i];
		r = mlimg_reports_read(&reports, c.generation, "json", &text, &size, err);
		if (r == 0)
			r = mlimg_report_read_entries(text, size, see, &c, err);
		if (r < 0)
			r = mlimg_err_wrap(err, r, "generation %" PRIu64, c.generation);
	}
	tdestroy(c.seen, free);
	if (r == 0 && c.n == 0 && !mlimg_cmd_has(cmd, MLIMG_CMD_JSON))
		puts("There are no conflicts.");
	return r;
}
