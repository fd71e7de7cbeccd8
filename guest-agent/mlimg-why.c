/* SPDX-License-Identifier: MIT */
/* `mlimg why`: why a path is what it is. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/pins.h"
#include "guest-agent/reports.h"
#include "guest-agent/view-classes.h"
#include "guest-agent/why-impl.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/report.h"
#include "tools/cli.h"

static const char *const state_names[] = {[WHY_NOTHING] = "nothing",
	[WHY_SHOWS] = "shows",
	[WHY_MERGES] = "merges",
	[WHY_HIDDEN] = "hidden",
	[WHY_DELETES] = "deletes",
	[WHY_ENDS] = "ends"};

struct telling {
	struct why why;
	struct timespec since;       /* of the copy in the upper; 0: not known */
	uint64_t generation;         /* in which that was */
	uint64_t reports_generation; /* of the report that is read */
	uint64_t n_reports;          /* that say something of the path */
	json_t *json_reports;        /* NULL: text */
	struct mlimg_queue *queued;  /* what waits for it, or a directory above; NULL: not known */
};

/* --- since when --- */

/* A copy is made when the path is first changed: that is when its inode came into being. */
static void find_since(struct telling *t)
{
	mlimg_autoclose int fd = -1;
	const char *name;
	struct statx stx;

	if (!t->why.rows[0].is_there)
		return;
	fd = mlimg_open_parent_strict(t->why.cmd->view->trees[0].fd, t->why.path, O_RDONLY, &name);
	if (fd >= 0 &&
		statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BTIME, &stx) == 0 &&
		stx.stx_mask & STATX_BTIME)
		t->since = (struct timespec){stx.stx_btime.tv_sec, stx.stx_btime.tv_nsec};
}

/* The report of a generation is written in the boot that begins it. */
static void find_generation(struct telling *t, const struct mlimg_reports *reports)
{
	uint64_t now = t->why.cmd->view->generation;

	if (!t->since.tv_sec)
		return;
	t->generation = now;
	for (size_t i = reports->n; i-- > 0;) {
		struct timespec made = mlimg_reports_time(reports, reports->generations[i]);

		if (made.tv_sec < t->since.tv_sec ||
			(made.tv_sec == t->since.tv_sec && made.tv_nsec <= t->since.tv_nsec))
			break;
		t->generation = reports->generations[i] - 1;
	}
}

/* --- what waits --- */

/* Of the queue only what has to do with the path. */
static void find_queued(struct telling *t)
{
	struct mlimg_queue *queue = t->queued = mlimg_cmd_queue_if_known(t->why.cmd);
	size_t k = 0;

	for (size_t i = 0; queue && i < queue->n; i++)
		if (mlimg_path_is_within(t->why.path, queue->ops[i].path))
			queue->ops[k++] = queue->ops[i];
	if (queue)
		queue->n = k;
}

static void put_queued(const struct mlimg_queue *queue)
{
	for (size_t i = 0; queue && i < queue->n; i++) {
		printf("%-10s%s ", i == 0 ? "next boot" : "",
			mlimg_queue_verb_name(queue->ops[i].verb));
		mlimg_cmd_put_path(queue->ops[i].path);
		putchar('\n');
	}
}

/* --- printing --- */

static void put_entry(const struct mlimg_entry *e)
{
	char size[MLIMG_CLI_SIZE_TEXT];

	printf("  %s %04o %" PRIu32 ":%" PRIu32, mlimg_type_name(e->type), e->mode, e->uid, e->gid);
	if (e->type == MLIMG_FILE)
		printf(" %s", mlimg_cli_format_size(e->size_bytes, size));
	fputs(", ", stdout);
	mlimg_cmd_put_time(stdout, e->mtime_s);
}

static void put_row(const struct telling *t, const struct why_row *row)
{
	enum mlimg_cmd_color color = row->state == WHY_SHOWS || row->state == WHY_MERGES
		? MLIMG_COLOR_GREEN
		: row->state == WHY_HIDDEN ? MLIMG_COLOR_NONE
					   : MLIMG_COLOR_RED;

	if (row->state == WHY_NOTHING)
		return;
	fputs("  ", stdout);
	mlimg_cmd_paint(t->why.cmd, color);
	printf("%-8s", state_names[row->state]);
	mlimg_cmd_paint(t->why.cmd, MLIMG_COLOR_NONE);
	fputs(row->tree->label, stdout);
	if (row->is_there)
		put_entry(&row->entry);
	if (row->is_opaque)
		fputs(", opaque", stdout);
	if (row->at && strcmp(row->at, t->why.path) != 0) {
		fputs("  (", stdout);
		mlimg_cmd_put_path(row->at);
		putchar(')');
	}
	putchar('\n');
}

static json_t *pack_row(const struct telling *t, const struct why_row *row)
{
	json_t *json = json_pack("{s:o,s:s}", "layer", mlimg_cmd_json_tree(row->tree), "state",
		state_names[row->state]);

	if (row->at && strcmp(row->at, t->why.path) != 0)
		json_object_set_new(json, "at", mlimg_cmd_json_path(row->at));
	if (!row->is_there)
		return json;
	json_object_set_new(json, "type", json_string(mlimg_type_name(row->entry.type)));
	json_object_set_new(json, "mode", json_sprintf("%04o", row->entry.mode));
	json_object_set_new(json, "uid", json_integer(row->entry.uid));
	json_object_set_new(json, "gid", json_integer(row->entry.gid));
	if (row->entry.type == MLIMG_FILE)
		json_object_set_new(
			json, "size_bytes", json_integer((json_int_t)row->entry.size_bytes));
	json_object_set_new(json, "mtime", json_integer(row->entry.mtime_s));
	if (row->is_opaque)
		json_object_set_new(json, "opaque", json_true());
	return json;
}

static int take_report(const struct mlimg_report_read *e, void *ctx, struct mlimg_err *err)
{
	struct telling *t = ctx;

	if (strcmp(e->path, t->why.path) != 0 && !(e->at && strcmp(e->at, t->why.path) == 0))
		return 0;
	t->n_reports++;
	if (t->json_reports) {
		json_array_append_new(t->json_reports,
			json_pack("{s:I,s:s,s:s*,s:o*,s:s*}", "generation",
				(json_int_t)t->reports_generation, "verdict", e->verdict, "done",
				e->done, "at", e->at ? mlimg_cmd_json_path(e->at) : NULL, "why",
				e->why));
		return 0;
	}
	printf("%-10s%" PRIu64 ": %s", t->n_reports == 1 ? "reports" : "", t->reports_generation,
		e->verdict);
	if (e->done)
		printf(", %s", e->done);
	if (e->at) {
		fputs(": ", stdout);
		mlimg_cmd_put_path(e->at);
	}
	if (e->why) {
		fputs(" (", stdout);
		mlimg_cli_put_safe(stdout, e->why);
		putchar(')');
	}
	putchar('\n');
	return 0;
}

static int put_reports(
	struct telling *t, const struct mlimg_reports *reports, struct mlimg_err *err)
{
	int r = 0;

	for (size_t i = 0; i < reports->n && r == 0; i++) {
		mlimg_autofree char *text = NULL;
		size_t size;

		t->reports_generation = reports->generations[i];
		r = mlimg_reports_read(reports, reports->generations[i], "json", &text, &size, err);
		if (r == 0)
			r = mlimg_report_read_entries(text, size, take_report, t, err);
	}
	return r;
}

/* What is the same for text and JSON. */
struct facts {
	const char *class, *hook;
	char pin[MLIMG_PATH_GLOB_MAX + 1]; /* "": not pinned */
	bool is_composed;
};

/* What is the user's own may be no file in the place of a cache (path-class.h). */
static enum mlimg_path_class class_of(
	const struct telling *t, const struct mlimg_path_classes *classes)
{
	const struct why_row *mine = &t->why.rows[0];
	struct mlimg_entry e = mine->entry;

	e.path = (char *)(uintptr_t)t->why.path;
	return mine->is_there ? mlimg_path_class_of_entry(classes, &e)
			      : mlimg_path_class_of(classes, e.path);
}

static int find_facts(const struct telling *t, struct mlimg_path_classes *classes,
	struct facts *ret, struct mlimg_err *err)
{
	struct mlimg_pins pins = {.text = NULL};
	int r = mlimg_pins_read(t->why.cmd->view, &pins, err);

	ret->class = mlimg_path_class_name(class_of(t, classes));
	ret->hook = mlimg_path_class_hook(classes, t->why.path);
	if (r == 0 && !mlimg_pins_find(&pins, t->why.path, ret->pin))
		ret->pin[0] = '\0';
	free(pins.text);
	for (size_t i = 0; i < t->why.n; i++)
		if (t->why.rows[i].tree->kind == MLIMG_VIEW_COMPOSED && t->why.rows[i].is_there &&
			t->why.rows[i].entry.type == MLIMG_FILE)
			ret->is_composed = true;
	return r;
}

static void put_facts(const struct telling *t, const struct facts *f)
{
	if (f->is_composed)
		printf("%-10s%s\n", "database", "composed of the records of all layers");
	printf("%-10s%s%s%s\n", "class", f->class, f->hook ? ":" : "", f->hook ? f->hook : "");
	if (f->pin[0]) {
		printf("%-10s", "pinned");
		mlimg_cli_put_safe(stdout, f->pin);
		putchar('\n');
	}
	if (t->since.tv_sec) {
		printf("%-10s", "since");
		mlimg_cmd_put_time(stdout, t->since.tv_sec);
		printf(", in generation %" PRIu64 "\n", t->generation);
	}
}

static int put_text(struct telling *t, const struct facts *f, const struct mlimg_reports *reports,
	struct mlimg_err *err)
{
	mlimg_cmd_paint(t->why.cmd, MLIMG_COLOR_BOLD);
	mlimg_cmd_put_path(t->why.path);
	mlimg_cmd_paint(t->why.cmd, MLIMG_COLOR_NONE);
	puts(t->why.shown ? "" : "  (nothing shows there)");
	for (size_t i = 0; i < t->why.n; i++)
		put_row(t, &t->why.rows[i]);
	put_facts(t, f);
	put_queued(t->queued);
	return put_reports(t, reports, err);
}

static int put_json(struct telling *t, const struct facts *f, const struct mlimg_reports *reports,
	struct mlimg_err *err)
{
	json_t *layers = json_array();
	int r;

	for (size_t i = 0; i < t->why.n; i++)
		json_array_append_new(layers, pack_row(t, &t->why.rows[i]));
	t->json_reports = json_array();
	r = put_reports(t, reports, err);
	if (r < 0) {
		json_decref(layers);
		json_decref(t->json_reports);
		return r;
	}
	return mlimg_cmd_put_json(
		json_pack("{s:o,s:o,s:o,s:s,s:s*,s:b,s:b,s:o,s:o,s:o}", "path",
			mlimg_cmd_json_path(t->why.path), "shows",
			mlimg_cmd_json_tree(t->why.shown ? t->why.shown->tree : NULL), "layers",
			layers, "class", f->class, "hook", f->hook, "composed", f->is_composed,
			"pinned", f->pin[0] != '\0', "since",
			t->since.tv_sec
				? json_pack("{s:I,s:I}", "time", (json_int_t)t->since.tv_sec,
					  "generation", (json_int_t)t->generation)
				: json_null(),
			"queue",
			t->queued ? mlimg_queue_to_json(t->queued, t->queued->n) : json_null(),
			"reports", t->json_reports),
		JSON_INDENT(2), err);
}

static int tell(struct telling *t, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_reports_close) struct mlimg_reports reports = {.dir_fd = -1};
	struct mlimg_path_classes *classes = NULL;
	struct facts facts = {.class = NULL};
	int r = why_look(&t->why, err);

	if (r == 0)
		r = mlimg_view_classes(t->why.cmd->view, &classes, err);
	if (r == 0)
		r = find_facts(t, classes, &facts, err);
	if (r == 0 && t->why.cmd->view->user_fd >= 0)
		r = mlimg_reports_open(t->why.cmd->view->user_fd, &reports, err);
	if (r == 0) {
		find_since(t);
		find_generation(t, &reports);
		find_queued(t);
		r = mlimg_cmd_has(t->why.cmd, MLIMG_CMD_JSON) ? put_json(t, &facts, &reports, err)
							      : put_text(t, &facts, &reports, err);
	}
	mlimg_queue_free(t->queued);
	mlimg_path_classes_free(classes);
	return r;
}

int mlimg_cmd_why(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	mlimg_autofree struct telling *t = calloc(1, sizeof(*t));
	char path[MLIMG_PATH_MAX + 1];
	int r = t ? mlimg_view_resolve(cmd->view, mlimg_cmd_operand(cmd, 0), path, err)
		  : mlimg_err_set(err, ENOMEM, "begin");

	if (r < 0)
		return r;
	t->why.cmd = cmd;
	t->why.path = path;
	r = tell(t, err);
	cmd->has_failed = cmd->has_failed || !t->why.shown;
	why_done(&t->why);
	return r;
}
