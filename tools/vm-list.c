/* SPDX-License-Identifier: MIT */
/* `mlimg-vm list`: all tenants, what they do, and what they run on. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/json.h"
#include "tools/backend.h"
#include "tools/cli.h"
#include "tools/tenant-options.h"
#include "tools/tenant-show.h"
#include "tools/vm-agent.h"
#include "tools/vm-watch.h"

/* An agent that is well answers within milliseconds; what is not said in time is not known. */
#define ASK_MS 1000
#define ASK_ALL_MS 10000 /* for all of them: many that hang must not hang who only looks */

static const char help[] =
	"Usage: mlimg-vm list [OPTION]...\n"
	"\n"
	"All tenants: what each does (off, starting, up, silent, stopping, paused, died,\n"
	"unreachable), its generation, the one that is pending, how much room its disk\n"
	"takes, its layers, and how it is.\n"
	"\n"
	"  --json                  print JSON (default: text)\n" MLIMG_TENANT_STORE_HELP;

enum column { NAME, STATE, GENERATION, PENDING, DISK, STACK, HEALTH, N_COLUMNS };

static const char *const titles[N_COLUMNS] = {
	"NAME", "STATE", "GENERATION", "PENDING", "DISK", "LAYERS", "HEALTH"};

#define CELL 320

/* A line of the table. */
struct line {
	char cells[N_COLUMNS][CELL];
};

struct list {
	struct mlimg_store *store;
	json_t *json; /* NULL: text */
	struct line *lines;
	size_t n, room;
	uint64_t deadline_ms; /* for all agents */
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What the agent says of its guest; NULL: nothing in time. */
static json_t *ask(const struct list *l, const struct mlimg_tenant *t)
{
	const struct mlimg_backend *backend = mlimg_backend_of(t);
	uint64_t deadline = least(mlimg_now_ms() + ASK_MS, l->deadline_ms);
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	json_t *status = NULL;

	if (backend->agent(t, &chan.fd, NULL) == 0 &&
		mlimg_agent_sync(&chan, deadline, NULL) == 0 &&
		mlimg_chan_call(&chan, "guest-status", deadline, &status, NULL) < 0)
		status = NULL;
	mlimg_chan_close(&chan);
	return status;
}

/* "degraded: nginx.service" */
static void put_health(const json_t *status, char ret_text[CELL])
{
	char units[CELL];

	snprintf(ret_text, CELL, "%.64s", mlimg_json_text(status, "system_state", "unknown"));
	mlimg_status_failed_units(status, units, sizeof(units));
	if (*units)
		snprintf(ret_text + strlen(ret_text), CELL - strlen(ret_text), ": %.200s", units);
}

/* What is to be told of one. */
struct seen {
	struct mlimg_tenant tenant; /* with the current generation */
	struct mlimg_tenant next;   /* with the pending one, or none */
	struct mlimg_tenant_disk disk;
	bool has_disk;
	enum mlimg_guest_state state;
	char why[MLIMG_GUEST_WHY_SIZE];
	char health[CELL]; /* "": not asked, or not said */
};

static void seen_done(struct seen *s)
{
	mlimg_tenant_done(&s->tenant);
	mlimg_tenant_done(&s->next);
}

static int look(struct list *l, const char *name, struct seen *s, struct mlimg_err *err)
{
	mlimg_autojson json_t *status = NULL;
	int ret = mlimg_tenant_load(l->store, name, &s->tenant, err);

	if (ret == 0)
		ret = mlimg_tenant_load(l->store, name, &s->next, err);
	s->tenant.ask_until_ms = least(mlimg_now_ms() + ASK_MS, l->deadline_ms);
	if (ret == 0)
		ret = mlimg_backend_look(l->store, &s->tenant, &s->state, s->why, err);
	if (ret == 0)
		ret = mlimg_tenant_load_generation(
			l->store, &s->tenant, s->tenant.row.current, err);
	if (ret == 0)
		ret = mlimg_tenant_load_generation(l->store, &s->next, s->tenant.row.pending, err);
	if (ret < 0)
		return ret;
	s->has_disk = mlimg_tenant_disk_look(s->tenant.user_disk, &s->disk, NULL) == 0;
	if (s->state == MLIMG_GUEST_UP && (status = ask(l, &s->tenant)))
		put_health(status, s->health);
	return 0;
}

static json_t *generation_json(const struct mlimg_tenant *t)
{
	if (!t->generation.number)
		return json_null();
	return json_pack("{s:I, s:o}", "number", (json_int_t)t->generation.number, "layers",
		mlimg_tenant_layers_json(t->layers, t->n_layers));
}

static json_t *disk_json(const struct seen *s)
{
	if (!s->has_disk)
		return json_null();
	return json_pack("{s:s, s:I, s:I}", "path", s->tenant.user_disk, "size_bytes",
		(json_int_t)s->disk.size_bytes, "used_bytes", (json_int_t)s->disk.used_bytes);
}

static json_t *tenant_json(const struct seen *s)
{
	const struct mlimg_tenant *t = &s->tenant;

	return json_pack("{s:s, s:s, s:s?, s:s, s:s, s:s?, s:I, s:o, s:o, s:o, s:o}", "name",
		t->row.name, "id", t->row.id, "host", *t->host ? t->host : NULL, "state",
		mlimg_guest_state_name(s->state), "why", s->why, "health",
		*s->health ? s->health : NULL, "created", (json_int_t)t->row.created_s,
		"generation", generation_json(t), "pending", generation_json(&s->next), "settings",
		mlimg_tenant_settings_json(&t->settings), "disk", disk_json(s));
}

static int add_line(struct list *l, const struct seen *s, struct mlimg_err *err)
{
	const struct mlimg_tenant *t = &s->tenant;
	char used[MLIMG_CLI_SIZE_TEXT], size[MLIMG_CLI_SIZE_TEXT];
	struct line *line;

	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 16;

		line = reallocarray(l->lines, room, sizeof(*l->lines));
		if (!line)
			return mlimg_err_set(err, ENOMEM, "list tenants");
		l->lines = line;
		l->room = room;
	}
	line = &l->lines[l->n++];
	memset(line, 0, sizeof(*line));
	snprintf(line->cells[NAME], CELL, "%s", t->row.name);
	snprintf(line->cells[STATE], CELL, "%s", mlimg_guest_state_name(s->state));
	snprintf(line->cells[GENERATION], CELL, "%u", t->generation.number);
	strcpy(line->cells[PENDING], "-");
	if (s->next.generation.number)
		snprintf(line->cells[PENDING], CELL, "%u", s->next.generation.number);
	strcpy(line->cells[DISK], "-");
	if (s->has_disk)
		snprintf(line->cells[DISK], CELL, "%s of %s",
			mlimg_cli_format_size(s->disk.used_bytes, used),
			mlimg_cli_format_size(s->disk.size_bytes, size));
	mlimg_tenant_stack_describe(t->layers, t->n_layers, line->cells[STACK]);
	snprintf(line->cells[HEALTH], CELL, "%s", *s->health ? s->health : *s->why ? s->why : "-");
	return 0;
}

static int take(const struct mlimg_store_tenant *row, void *ctx, struct mlimg_err *err)
{
	mlimg_cleanup(seen_done) struct seen s = {.has_disk = false};
	struct list *l = ctx;
	int ret = look(l, row->name, &s, err);

	/* Destroyed, or renamed, since the list was made. */
	if (ret == -ENOENT)
		return 0;
	if (ret < 0 || !l->json)
		return ret < 0 ? ret : add_line(l, &s, err);
	return json_array_append_new(l->json, tenant_json(&s)) < 0
		? mlimg_err_set(err, ENOMEM, "list tenants")
		: 0;
}

/* Columns as wide as what is in them; the last one holds what a guest says. */
static void put_table(const struct list *l)
{
	size_t width[N_COLUMNS];

	for (int c = 0; c < N_COLUMNS; c++) {
		width[c] = strlen(titles[c]);
		for (size_t i = 0; i < l->n; i++)
			if (strlen(l->lines[i].cells[c]) > width[c])
				width[c] = strlen(l->lines[i].cells[c]);
	}
	for (size_t i = 0; l->n && i <= l->n; i++) {
		for (int c = 0; c < HEALTH; c++)
			printf("%-*s  ", (int)width[c], i ? l->lines[i - 1].cells[c] : titles[c]);
		mlimg_cli_put_safe(stdout, i ? l->lines[i - 1].cells[HEALTH] : titles[HEALTH]);
		putchar('\n');
	}
}

static int run(const char *dir, bool is_json, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	mlimg_autojson json_t *json = is_json ? json_array() : NULL;
	struct list l = {.json = json, .deadline_ms = mlimg_now_ms() + ASK_ALL_MS};
	int ret = mlimg_store_open_given(dir, MLIMG_STORE_USE, &store, err);

	if (ret == 0 && is_json && !json)
		ret = mlimg_err_set(err, ENOMEM, "list tenants");
	l.store = store;
	if (ret == 0)
		ret = mlimg_store_tenant_each(store, take, &l, err);
	if (ret == 0 && is_json) {
		json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
		putchar('\n');
	} else if (ret == 0) {
		put_table(&l);
	}
	free(l.lines);
	return ret;
}

int mlimg_vm_cmd_list(int argc, char **argv)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *dir;
	bool is_json;
	int code = mlimg_tenant_parse(argc, argv, help, NULL, 0, &dir, &is_json);

	if (code >= 0)
		return code;
	if (run(dir, is_json, &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
