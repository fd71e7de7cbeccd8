/* SPDX-License-Identifier: MIT */
#include "tools/upgrade-carry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/rollout-world.h"
#include "tools/store-impl.h"

/* What is told while it lasts. */
struct telling {
	struct mlimg_rollout_processes processes;
	struct mlimg_upgrade_counts counts;
	enum mlimg_rollout_place *places; /* of each tenant, as was told last */
	bool json, is_tty;
};

/* One line of a terminal, overwritten. */
static void put_line(const struct telling *t, const struct mlimg_rollout *rollout)
{
	if (!t->is_tty)
		return;
	fprintf(stderr, "\r\033[Krollout %u: ", rollout->number);
	mlimg_upgrade_put_counts(stderr, &t->counts);
	fflush(stderr);
}

static void wipe_line(const struct telling *t)
{
	if (t->is_tty)
		fputs("\r\033[K", stderr);
}

static void put_row(const struct mlimg_rollout_row *row)
{
	printf("%s: %s", row->name, row->is_lost ? "lost" : mlimg_rollout_place_name(row->place));
	if (*row->text)
		printf(": ");
	mlimg_cli_put_safe(stdout, row->text);
	putchar('\n');
	fflush(stdout);
}

/* Of a tenant what became of it, and that it goes back; of a wave that it begins. */
static void tell(void *ctx, const struct mlimg_rollout *rollout,
	const struct mlimg_rollout_row *row, unsigned wave)
{
	struct telling *t = ctx;

	if (row) {
		t->counts.places[t->places[row->position]]--;
		t->places[row->position] = row->place;
		t->counts.places[row->place]++;
		t->counts.n_lost += row->is_lost;
	}
	if (t->json)
		return;
	if (row ? !row->is_lost && !mlimg_rollout_is_last(row->place) &&
				row->place != MLIMG_ROLLOUT_BACK &&
				row->place != MLIMG_ROLLOUT_RESTORE
		: rollout->state != MLIMG_ROLLOUT_RUNNING) {
		put_line(t, rollout);
		return;
	}
	wipe_line(t);
	if (row)
		put_row(row);
	else
		printf("wave %u of rollout %u: %s\n", wave + 1, rollout->number, rollout->target);
	fflush(stdout);
	put_line(t, rollout);
}

static int begin(struct telling *t, struct mlimg_store *store, const struct mlimg_rollout *rollout,
	struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_rollout_row *rows = NULL;
	uint32_t n = 0;
	int ret = mlimg_store_rollout_rows(store, rollout->number, &rows, &n, err);

	if (ret < 0)
		return ret;
	t->places = calloc(n + 1, sizeof(*t->places));
	if (!t->places)
		return mlimg_err_set(err, ENOMEM, "carry out rollout %u", rollout->number);
	for (uint32_t i = 0; i < n; i++) {
		rows[i].is_lost = false;
		t->places[i] = rows[i].place;
	}
	t->counts = mlimg_upgrade_counts_of(rows, n);
	return 0;
}

static const char *way_out(enum mlimg_rollout_state state)
{
	switch (state) {
	case MLIMG_ROLLOUT_STOPPED:
		return "; 'mlimg-upgrade resume' goes on, 'mlimg-upgrade abort' ends it";
	case MLIMG_ROLLOUT_PAUSED: return "; 'mlimg-upgrade resume' goes on";
	default: return "";
	}
}

static int show_end(struct mlimg_store *store, const struct mlimg_rollout *rollout, bool json,
	struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_rollout_row *rows = NULL;
	struct mlimg_upgrade_counts counts;
	json_t *o = NULL;
	uint32_t n = 0;
	int ret;

	if (json) {
		ret = mlimg_upgrade_rollout_json(store, rollout, &o, err);
		if (ret == 0)
			json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
		json_decref(o);
		putchar('\n');
		return ret;
	}
	ret = mlimg_store_rollout_rows(store, rollout->number, &rows, &n, err);
	if (ret < 0)
		return ret;
	counts = mlimg_upgrade_counts_of(rows, n);
	printf("rollout %u: %s: ", rollout->number, mlimg_rollout_state_name(rollout->state));
	mlimg_upgrade_put_counts(stdout, &counts);
	printf("%s\n", way_out(rollout->state));
	return 0;
}

static void telling_done(struct telling *t)
{
	mlimg_rollout_world_done(&t->processes);
	free(t->places);
}

/* A world that tells: its own context is the processes, which come first in what tells. */
int mlimg_upgrade_carry(
	struct mlimg_store *store, struct mlimg_rollout *rollout, bool json, struct mlimg_err *err)
{
	mlimg_cleanup(telling_done) struct telling t = {
		.json = json, .is_tty = !json && isatty(STDERR_FILENO)};
	struct mlimg_rollout_world world;
	uint32_t n_other = 0;
	int ret = mlimg_rollout_world_init(store, &t.processes, &world, err);

	if (ret == 0)
		ret = begin(&t, store, rollout, err);
	if (ret < 0)
		return ret;
	world.tell = tell;
	mlimg_rollout_catch_signals();
	ret = mlimg_rollout_run(store, rollout, &world, &n_other, err);
	wipe_line(&t);
	if (ret < 0)
		return mlimg_err_wrap(err, ret,
			"rollout %u is left as it is ('mlimg-upgrade "
			"resume' goes on)",
			rollout->number);
	ret = mlimg_store_rollout_get(store, rollout->number, rollout, err);
	if (ret == 0)
		ret = show_end(store, rollout, json, err);
	if (ret < 0)
		return ret;
	return n_other || rollout->state != MLIMG_ROLLOUT_ENDED ? MLIMG_EXIT_FAILED
								: MLIMG_EXIT_DONE;
}

int mlimg_upgrade_find_open(
	struct mlimg_store *store, struct mlimg_rollout *ret_rollout, struct mlimg_err *err)
{
	int ret = mlimg_store_rollout_get(store, 0, ret_rollout, err);

	/* None is begun as long as one has not ended: it is the newest. */
	if (ret == 0 && ret_rollout->ended_s)
		return mlimg_store_fail(err, ENOENT, "no rollout is under way: rollout %u is %s",
			ret_rollout->number, mlimg_rollout_state_name(ret_rollout->state));
	return ret;
}

int mlimg_upgrade_count_failed(struct mlimg_store *store, const struct mlimg_rollout *rollout,
	uint32_t *ret_n, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_rollout_row *rows = NULL;
	uint32_t n = 0, n_failed = 0;
	int ret = mlimg_store_rollout_rows(store, rollout->number, &rows, &n, err);

	for (uint32_t i = 0; ret == 0 && i < n; i++)
		n_failed += !rows[i].is_lost && mlimg_rollout_has_failed(&rows[i]);
	if (ret == 0)
		*ret_n = n_failed;
	return ret;
}
