/* SPDX-License-Identifier: MIT */
/* `mlimg-upgrade status` and `history`. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/cli.h"
#include "tools/json-any-text.h"
#include "tools/upgrade-carry.h"

#define LOOK_S 1 /* between looks of --follow */

static const char status_help[] =
	"Usage: mlimg-upgrade status [ROLLOUT] [OPTION]...\n"
	"\n"
	"Tell how far a rollout is (default: the newest): what its tenants do, and what\n"
	"became of those that have not simply been done.\n"
	"\n"
	"  --follow         then print what becomes of each tenant, until it ends\n"
	"  --json           print JSON\n" MLIMG_UPGRADE_STORE_HELP;

static const char history_help[] =
	"Usage: mlimg-upgrade history [OPTION]...\n"
	"\n"
	"All rollouts, the newest first.\n"
	"\n"
	"  --json           print JSON, as of 'status'\n" MLIMG_UPGRADE_STORE_HELP;

static const struct option status_options[] = {
	{"follow", no_argument, NULL, MLIMG_UPGRADE_OPT_FOLLOW}, MLIMG_UPGRADE_JSON,
	MLIMG_UPGRADE_COMMON};
static const struct option history_options[] = {MLIMG_UPGRADE_JSON, MLIMG_UPGRADE_COMMON};

struct mlimg_upgrade_counts mlimg_upgrade_counts_of(
	const struct mlimg_rollout_row *rows, uint32_t n)
{
	struct mlimg_upgrade_counts counts = {.n = n};

	for (uint32_t i = 0; i < n; i++) {
		counts.places[rows[i].place]++;
		counts.n_lost += rows[i].is_lost;
	}
	return counts;
}

void mlimg_upgrade_put_counts(FILE *f, const struct mlimg_upgrade_counts *counts)
{
	const char *between = "";

	for (enum mlimg_rollout_place p = 0; p < MLIMG_ROLLOUT_PLACES; p++)
		if (counts->places[p]) {
			fprintf(f, "%s%u %s", between, counts->places[p],
				mlimg_rollout_place_name(p));
			between = ", ";
		}
	if (counts->n_lost)
		fprintf(f, " (%u of them lost)", counts->n_lost);
}

/* ---- JSON ---- */

static json_t *row_json(const struct mlimg_rollout_row *row)
{
	return json_pack("{s:s, s:s, s:i, s:s, s:b, s:I, s:I, s:I, s:o}", "name", row->name, "id",
		row->tenant_id, "wave", (int)row->wave + 1, "place",
		mlimg_rollout_place_name(row->place), "lost", row->is_lost, "from",
		(json_int_t)row->from, "to", (json_int_t)row->to, "since", (json_int_t)row->since_s,
		"text", mlimg_json_any_text(row->text));
}

static json_t *counts_json(const struct mlimg_upgrade_counts *counts)
{
	json_t *o = json_object();

	for (enum mlimg_rollout_place p = 0; p < MLIMG_ROLLOUT_PLACES; p++)
		json_object_set_new(
			o, mlimg_rollout_place_name(p), json_integer(counts->places[p]));
	json_object_set_new(o, "lost", json_integer(counts->n_lost));
	return o;
}

static json_t *number_or_null(int64_t number)
{
	return number ? json_integer(number) : json_null();
}

int mlimg_upgrade_rollout_json(struct mlimg_store *store, const struct mlimg_rollout *rollout,
	json_t **ret, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_rollout_row *rows = NULL;
	char policy[MLIMG_STORE_NAME_SIZE];
	struct mlimg_upgrade_counts counts;
	json_t *tenants;
	uint32_t n = 0;
	int r = mlimg_store_rollout_rows(store, rollout->number, &rows, &n, err);
	int holder = rollout->ended_s ? 0 : mlimg_rollout_holder(store);

	if (r < 0)
		return r;
	counts = mlimg_upgrade_counts_of(rows, n);
	tenants = json_array();
	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(tenants, row_json(&rows[i]));
	*ret = json_pack("{s:I, s:s, s:o, s:s, s:o, s:s, s:i, s:s, s:i, s:I, s:I, s:o, s:o, s:o}",
		"rollout", (json_int_t)rollout->number, "target", rollout->target, "undoes",
		number_or_null(rollout->undoes), "state", mlimg_rollout_state_name(rollout->state),
		"process", number_or_null(holder), "waves", rollout->waves, "at_once",
		(int)rollout->at_once, "restart", mlimg_rollout_policy_text(rollout, policy),
		"health_s", (int)rollout->health_s, "max_failures",
		(json_int_t)rollout->max_failures, "created", (json_int_t)rollout->created_s,
		"ended", number_or_null(rollout->ended_s), "counts", counts_json(&counts),
		"tenants", tenants);
	return *ret ? 0 : mlimg_err_set(err, ENOMEM, "rollout %u", rollout->number);
}

static int put_json(json_t *o)
{
	int ret = json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);

	putchar('\n');
	json_decref(o);
	return ret;
}

/* ---- text ---- */

static void put_row(const struct mlimg_rollout_row *row)
{
	char time_text[MLIMG_CLI_TIME_TEXT];

	printf("%s  %s: %s%s", mlimg_cli_format_time(row->since_s, time_text), row->name,
		mlimg_rollout_place_name(row->place), row->is_lost ? " (lost)" : "");
	if (*row->text)
		printf(": ");
	mlimg_cli_put_safe(stdout, row->text);
	putchar('\n');
}

static bool is_worth_telling(const struct mlimg_rollout_row *row)
{
	return row->is_lost ||
		(row->place != MLIMG_ROLLOUT_WAITING && row->place != MLIMG_ROLLOUT_DONE);
}

/* "running (process 4711)"; one that nobody carries out was killed, or the host went down. */
static void put_state(struct mlimg_store *store, const struct mlimg_rollout *rollout)
{
	int holder = rollout->ended_s ? 0 : mlimg_rollout_holder(store);

	printf("%s", mlimg_rollout_state_name(rollout->state));
	if (holder)
		printf(" (process %d)", holder);
	else if (rollout->state == MLIMG_ROLLOUT_RUNNING)
		printf(", but nobody carries it out: 'mlimg-upgrade resume'");
	if (holder && rollout->request != MLIMG_ROLLOUT_GO)
		printf(", asked to %s",
			rollout->request == MLIMG_ROLLOUT_PAUSE ? "pause" : "abort");
	putchar('\n');
}

static int put_rollout(
	struct mlimg_store *store, const struct mlimg_rollout *r, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_rollout_row *rows = NULL;
	char policy[MLIMG_STORE_NAME_SIZE], begun[MLIMG_CLI_TIME_TEXT], ended[MLIMG_CLI_TIME_TEXT];
	struct mlimg_upgrade_counts counts;
	uint32_t n = 0;
	int ret = mlimg_store_rollout_rows(store, r->number, &rows, &n, err);

	if (ret < 0)
		return ret;
	counts = mlimg_upgrade_counts_of(rows, n);
	printf("rollout   %u: %s, ", r->number, r->target);
	put_state(store, r);
	printf("tenants   %u: ", n);
	mlimg_upgrade_put_counts(stdout, &counts);
	printf("\nhow       waves %s, %u at once, restart %s, health within %u s, %u may fail\n",
		r->waves, r->at_once, mlimg_rollout_policy_text(r, policy), r->health_s,
		r->max_failures);
	printf("begun     %s\n", mlimg_cli_format_time(r->created_s, begun));
	if (r->ended_s)
		printf("ended     %s\n", mlimg_cli_format_time(r->ended_s, ended));
	for (uint32_t i = 0; i < n; i++)
		if (is_worth_telling(&rows[i]))
			put_row(&rows[i]);
	fflush(stdout);
	return 0;
}

/* Prints those that have moved since the last look. */
static int put_moved(struct mlimg_store *store, uint32_t number, struct mlimg_rollout_row **was,
	struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_rollout_row *rows = NULL;
	uint32_t n = 0;
	int ret = mlimg_store_rollout_rows(store, number, &rows, &n, err);

	for (uint32_t i = 0; ret == 0 && *was && i < n; i++)
		if (rows[i].place != (*was)[i].place || rows[i].is_lost != (*was)[i].is_lost)
			put_row(&rows[i]);
	fflush(stdout);
	if (ret == 0) {
		free(*was);
		*was = mlimg_steal(&rows);
	}
	return ret;
}

static int follow(struct mlimg_store *store, struct mlimg_rollout *r, struct mlimg_err *err)
{
	const struct timespec pause = {.tv_sec = LOOK_S};
	mlimg_autofree struct mlimg_rollout_row *was = NULL;
	int ret = put_moved(store, r->number, &was, err);

	while (ret == 0 && r->state == MLIMG_ROLLOUT_RUNNING && mlimg_rollout_holder(store)) {
		nanosleep(&pause, NULL);
		ret = mlimg_store_rollout_get(store, r->number, r, err);
		if (ret == 0)
			ret = put_moved(store, r->number, &was, err);
	}
	if (ret < 0)
		return ret;
	printf("rollout %u: ", r->number);
	put_state(store, r);
	return 0;
}

static int status(const struct mlimg_upgrade_given *g, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	struct mlimg_rollout rollout;
	json_t *o = NULL;
	int ret = mlimg_store_open_given(g->store, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = mlimg_store_rollout_get(store, g->number, &rollout, err);
	if (ret < 0)
		return ret;
	if (g->json) {
		ret = mlimg_upgrade_rollout_json(store, &rollout, &o, err);
		return ret < 0 ? ret : put_json(o);
	}
	ret = put_rollout(store, &rollout, err);
	return ret < 0 || !g->follows ? ret : follow(store, &rollout, err);
}

/* ---- history ---- */

struct history {
	struct mlimg_store *store;
	json_t *all; /* or NULL: text */
};

static int put_one(const struct mlimg_rollout *r, void *ctx, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_rollout_row *rows = NULL;
	const struct history *h = ctx;
	char begun[MLIMG_CLI_TIME_TEXT];
	struct mlimg_upgrade_counts counts;
	json_t *o = NULL;
	uint32_t n = 0;
	int ret;

	if (h->all) {
		ret = mlimg_upgrade_rollout_json(h->store, r, &o, err);
		return ret < 0 ? ret : json_array_append_new(h->all, o);
	}
	ret = mlimg_store_rollout_rows(h->store, r->number, &rows, &n, err);
	if (ret < 0)
		return ret;
	counts = mlimg_upgrade_counts_of(rows, n);
	printf("%-4u %s  %-8s %s: ", r->number, mlimg_cli_format_time(r->created_s, begun),
		mlimg_rollout_state_name(r->state), r->target);
	mlimg_upgrade_put_counts(stdout, &counts);
	putchar('\n');
	return 0;
}

static int history(const struct mlimg_upgrade_given *g, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	struct history h = {.all = g->json ? json_array() : NULL};
	int ret = mlimg_store_open_given(g->store, MLIMG_STORE_USE, &store, err);

	h.store = store;
	if (ret == 0)
		ret = mlimg_store_rollout_each(store, put_one, &h, err);
	if (ret == 0 && h.all)
		return put_json(h.all);
	json_decref(h.all);
	return ret;
}

static int finish(int ret, const struct mlimg_err *err)
{
	return ret < 0 ? mlimg_cli_fail(MLIMG_UPGRADE_PROG, err)
		       : mlimg_cli_close_stdout(MLIMG_UPGRADE_PROG);
}

int mlimg_upgrade_cmd_status(int argc, char **argv)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_upgrade_given g;
	int code = mlimg_upgrade_parse(argc, argv, status_help, status_options, true, &g);

	if (code >= 0)
		return code;
	if (g.json && g.follows)
		return mlimg_cli_usage(
			MLIMG_UPGRADE_PROG, "--json and --follow exclude each other");
	return finish(status(&g, &err), &err);
}

int mlimg_upgrade_cmd_history(int argc, char **argv)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_upgrade_given g;
	int code = mlimg_upgrade_parse(argc, argv, history_help, history_options, false, &g);

	return code >= 0 ? code : finish(history(&g, &err), &err);
}
