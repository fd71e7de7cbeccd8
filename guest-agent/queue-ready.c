/* SPDX-License-Identifier: MIT */
/* What is made ready of a queue before it is decided: the steps, the report, places, a number. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/change-stage.h"
#include "guest-agent/queue-impl.h"
#include "guest-agent/queue-look.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/remove-tree.h"

static const char meanings[] =
	"\n"
	"dropped  what you had deleted, or its mark, is gone: what the layers have there shows\n"
	"aside    what the layers have there shows; yours lies in /run/mlimg/user/mlimg, at what "
	"the line\n"
	"         says\n"
	"joined   a directory of yours shows what the layers have there, too\n"
	"stays    there was nothing to be done any more, or it must not be done\n\n";

static int open_made(int fd, const char *name, mode_t mode)
{
	return mkdirat(fd, name, mode) < 0 && errno != EEXIST ? -errno : queue_open_dir(fd, name);
}

/* --- the number --- */

static int find_greatest(int own_fd, const char *dir_name, uint64_t *n)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(own_fd, dir_name);
	const struct dirent *entry;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((errno = 0, entry = readdir(dir)))
		if (mlimg_queue_number(entry->d_name) > *n)
			*n = mlimg_queue_number(entry->d_name);
	return -errno;
}

/* The next one: nothing of an earlier queue is ever replaced. */
static int choose_number(struct queue_job *j)
{
	uint64_t n = 0;
	int r = find_greatest(j->c.own_fd, QUEUE_REPORTS, &n);

	if (r == 0)
		r = find_greatest(j->c.own_fd, QUEUE_ASIDE, &n);
	if (r < 0)
		return mlimg_err_set(j->err, r, "count the reports");
	if (n == MLIMG_BOOT_GENERATION_MAX)
		return mlimg_err_set(j->err, 0, "no number after " MLIMG_QUEUE_NAME "%" PRIu64, n);
	queue_name(j, n + 1);
	return 0;
}

static int write_number(struct queue_job *j)
{
	char text[QUEUE_NUMBER_SIZE];

	snprintf(text, sizeof(text), "%" PRIu64 "\n", j->number);
	return mlimg_replace_file(j->dir_fd, QUEUE_NUMBER, text, strlen(text), 0600, j->err);
}

/* --- what is made ready --- */

/* A user layer that never ran has neither. */
static void read_state(
	struct queue_job *j, uint64_t *ret_generation, char ret_id[MLIMG_SHA256_HEX_SIZE])
{
	mlimg_autofree struct mlimg_boot_state *state = calloc(1, sizeof(*state));
	mlimg_autofree char *text = NULL;
	size_t size;

	*ret_generation = 0;
	ret_id[0] = '\0';
	if (!state ||
		mlimg_read_beneath(
			j->c.own_fd, "state.json", MLIMG_BOOT_STATE_MAX, &text, &size, NULL) < 0 ||
		mlimg_boot_state_from_json(text, size, state, NULL) < 0)
		return;
	*ret_generation = state->generation;
	strcpy(ret_id, state->stack.stack_id);
}

static int write_reports(struct queue_job *j, struct mlimg_report *report)
{
	mlimg_autofree char *json = NULL, *text = NULL;
	char title[96], id[MLIMG_SHA256_HEX_SIZE];
	uint64_t generation;
	size_t size;
	int r;

	read_state(j, &generation, id);
	r = mlimg_report_to_json(report, generation, id, id, &json, &size, j->err);
	if (r == 0)
		r = mlimg_replace_file(j->dir_fd, "report.json", json, size, 0644, j->err);
	if (r < 0)
		return r;
	snprintf(title, sizeof(title), "What was queued: %s", j->name);
	report->meanings = meanings;
	r = mlimg_report_to_text(report, title, &text, &size, j->err);
	return r < 0 ? r : mlimg_replace_file(j->dir_fd, "report.txt", text, size, 0644, j->err);
}

static int write_operations(struct queue_job *j, const struct mlimg_queue *queue)
{
	struct mlimg_text text = {.data = NULL};
	int r;

	mlimg_queue_put(queue, mlimg_text_put, &text);
	r = text.has_failed ? mlimg_err_set(j->err, ENOMEM, "write '" QUEUE_OPERATIONS "'")
			    : mlimg_replace_file(j->dir_fd, QUEUE_OPERATIONS, text.data, text.size,
				      0600, j->err);
	free(text.data);
	return r;
}

/* Those that everything goes to in the end, so that there is room for them. */
static int make_places(struct queue_job *j, bool sets_aside)
{
	static const struct {
		const char *name;
		mode_t mode;
	} places[] = {{QUEUE_REPORTS, 0755}, {QUEUE_ASIDE, 0700}};

	for (size_t i = 0; i < 1 + (size_t)sets_aside; i++) {
		mlimg_autoclose int fd = open_made(j->c.own_fd, places[i].name, places[i].mode);

		if (fd < 0)
			return mlimg_err_set(j->err, fd, "make 'user/mlimg/%s'", places[i].name);
	}
	if (!sets_aside)
		return 0;
	j->c.aside_fd = open_made(j->dir_fd, QUEUE_ASIDE, 0700);
	return j->c.aside_fd < 0
		? mlimg_err_set(j->err, j->c.aside_fd, "make '" MLIMG_QUEUE_NEW "/" QUEUE_ASIDE "'")
		: 0;
}

static int open_new(struct queue_job *j)
{
	int r = mlimg_remove_tree(j->c.own_fd, MLIMG_QUEUE_NEW);

	if (r == 0 || r == -ENOENT)
		r = j->dir_fd = open_made(j->c.own_fd, MLIMG_QUEUE_NEW, 0700);
	if (r >= 0)
		r = j->c.taken_fd = open_made(j->dir_fd, "taken", 0700);
	return r < 0 ? mlimg_err_set(j->err, r, "make 'user/mlimg/" MLIMG_QUEUE_NEW "'") : 0;
}

int queue_make_ready(struct queue_job *j, const struct mlimg_queue *queue)
{
	mlimg_cleanup(mlimg_report_done) struct mlimg_report report = {.n_rebuild = 0};
	mlimg_cleanup(mlimg_plan_done) struct mlimg_plan plan = {.n_ops = 0};
	int r = choose_number(j);

	if (r == 0)
		r = open_new(j);
	if (r == 0)
		r = mlimg_plan_init(&plan, j->err);
	if (r == 0)
		r = mlimg_report_init(&report, j->err);
	if (r == 0)
		r = mlimg_queue_plan_upper(
			&j->c, queue, j->name, j->run->upper_memory_max, &plan, &report, j->err);
	if (r >= 0)
		r = make_places(j, r == 1);
	if (r == 0)
		r = write_number(j);
	if (r == 0)
		r = write_operations(j, queue);
	if (r == 0)
		r = write_reports(j, &report);
	if (r == 0)
		r = mlimg_change_stage_log(&j->c, &plan, j->dir_fd, j->err);
	return r;
}
