/* SPDX-License-Identifier: MIT */
/**
 * @file rollout-fleet.h
 * A fleet of tenants for rollouts (tools/rollout-run.h) that is a few numbers each: their hosts
 * vanish and come back, their guests do not come up, their owners write, reboot, power off, start,
 * destroy, and give them other generations; the clock jumps; and who carries the rollout out dies
 * at any call. What was begun by one who died is done all the same, some time later. For a test
 * program, which includes test.h by this.
 */
#ifndef MLIMG_TEST_ROLLOUT_FLEET_H
#define MLIMG_TEST_ROLLOUT_FLEET_H

#include "tests/lib/store-case.h"
#include "tools/rollout-run.h"

#define FROM 1
#define TO 2
#define FOREIGN 7
#define JOBS 4096

/* A tenant. */
static struct guest {
	bool exists, is_on, is_gone, is_rebooting;
	bool is_bad, is_dead, is_stuck; /* on the new one; and then on the former one, too */
	bool cannot_save, was_on, owner_has_acted;
	uint32_t current, pending;
	int data;           /* what the user wrote, counted */
	int saved;          /* of it at the checkpoint, -1: there is none */
	int written;        /* all that he wrote */
	int kept;           /* what restores have set aside */
	int restored;       /* times that the disk was put back */
	int n_new;          /* times that it came to the new generation */
	bool has_broken;    /* it ran on the new one, and does not come up on the former one */
	bool was_rebooting; /* when it was looked at on hold, */
	unsigned minute;    /* which was then */
} * guests;
static uint32_t n_guests;

static struct job {
	uint32_t position, attempt;
	unsigned life;
	enum mlimg_rollout_place place;
} jobs[JOBS];
static size_t n_jobs;

static unsigned life;          /* of who carries the rollout out */
static uint64_t calls, die_at; /* the call at which he dies; 0: none */
static unsigned die_one_in;    /* and by chance; 0: never */
static unsigned trouble;       /* of 1000 steps, those in which an owner or a host does something */
static uint64_t now_ms;
static uint32_t number; /* of the rollout */
static unsigned most_begun, limit_begun;
static uint32_t looked_at; /* the last one that was */
static struct mlimg_store *fleet_store;

/* @return whether he dies here */
static bool dies(void)
{
	calls++;
	return calls == die_at || (die_one_in && test_random(die_one_in) == 0);
}

static int death(struct mlimg_err *e)
{
	return mlimg_err_set(e, EINTR, "killed");
}

static void start_guest(struct guest *g)
{
	if (g->pending) {
		g->n_new += g->pending == TO && g->current != TO;
		g->current = g->pending;
		g->pending = 0;
	}
	g->is_on = true;
	g->is_rebooting = false;
	if (g->current == TO && g->is_stuck)
		g->has_broken = true;
}

static bool comes_up(const struct guest *g)
{
	return g->current == TO ? !g->is_dead : !g->has_broken;
}

/* As tools/rollout-step.c: what an intent does, however far it came before. */
static enum mlimg_rollout_result back_to(struct guest *g, bool restores)
{
	if (g->current == TO || restores)
		g->is_on = false;
	g->pending = g->current == FROM ? 0 : FROM;
	if (restores) {
		if (g->saved < 0)
			return MLIMG_ROLLOUT_NOT;
		g->kept += g->data - g->saved;
		g->data = g->saved;
		g->restored++;
		g->has_broken = false;
	}
	if (!g->is_on)
		start_guest(g);
	return MLIMG_ROLLOUT_OK;
}

static enum mlimg_rollout_result check_guest(struct guest *g, bool is_new)
{
	if (g->current != (is_new ? TO : FROM))
		return MLIMG_ROLLOUT_CHANGED;
	if (!comes_up(g)) {
		g->is_on = false;
		return MLIMG_ROLLOUT_DOWN;
	}
	/* Its owner has powered it off. */
	if (!g->is_on)
		return is_new ? MLIMG_ROLLOUT_DOWN : MLIMG_ROLLOUT_UNHEALTHY;
	return is_new && g->is_bad ? MLIMG_ROLLOUT_UNHEALTHY : MLIMG_ROLLOUT_OK;
}

static enum mlimg_rollout_result do_intent(struct guest *g, enum mlimg_rollout_place place)
{
	if (!g->exists)
		return MLIMG_ROLLOUT_GONE;
	if (g->is_gone)
		return MLIMG_ROLLOUT_UNREACHABLE;
	if (g->current == FOREIGN || g->pending == FOREIGN ||
		(place == MLIMG_ROLLOUT_CHECKPOINT && g->current != FROM))
		return MLIMG_ROLLOUT_CHANGED;
	switch (place) {
	case MLIMG_ROLLOUT_CHECKPOINT:
		if (!g->cannot_save)
			g->saved = g->data;
		return g->cannot_save ? MLIMG_ROLLOUT_NOT : MLIMG_ROLLOUT_OK;
	case MLIMG_ROLLOUT_SWITCH: g->pending = g->current == TO ? 0 : TO; return MLIMG_ROLLOUT_OK;
	case MLIMG_ROLLOUT_UNDO:
		if (g->current == TO)
			return MLIMG_ROLLOUT_RUNS_NEW;
		g->pending = 0;
		return MLIMG_ROLLOUT_OK;
	case MLIMG_ROLLOUT_RESTART:
		if (g->current == TO)
			return MLIMG_ROLLOUT_OK;
		if (g->pending != TO)
			return MLIMG_ROLLOUT_CHANGED;
		g->is_on = false;
		start_guest(g);
		return MLIMG_ROLLOUT_OK;
	case MLIMG_ROLLOUT_BACK: return back_to(g, false);
	case MLIMG_ROLLOUT_RESTORE: return back_to(g, true);
	default: return check_guest(g, place == MLIMG_ROLLOUT_CHECK);
	}
}

/* Of one who died, too: whoever is told nothing of it any more may do it before, or not at all. */
static bool do_job(size_t at, struct mlimg_rollout_report *ret_report)
{
	struct job job = jobs[at];
	struct mlimg_rollout_row row;
	char id[MLIMG_STORE_ID_SIZE];

	jobs[at] = jobs[--n_jobs];
	snprintf(id, sizeof(id), "%032x", job.position);
	ASSERT_OK(mlimg_store_rollout_row(fleet_store, number, id, &row, &err), err);
	*ret_report = (struct mlimg_rollout_report){.position = job.position};
	if (row.attempt != job.attempt)
		return false;
	/* An attempt is at one intent: what was begun for another is never taken for it. */
	ASSERT_EQ(row.place, job.place);
	ret_report->result = do_intent(&guests[job.position], row.place);
	snprintf(ret_report->text, sizeof(ret_report->text), "result %d", ret_report->result);
	return job.life == life;
}

/* What owners and hosts do. */
static void trouble_guest(struct guest *g)
{
	switch (test_random(10)) {
	case 0: g->is_gone = true; break;
	case 1: g->exists = test_random(8) > 0 && g->exists; break;
	case 2:
		if (test_random(4) == 0 && g->current != FOREIGN)
			g->pending = FOREIGN;
		break;
	case 3:
		g->owner_has_acted = true;
		g->is_on = false;
		break;
	case 4:
		g->owner_has_acted = true;
		if (!g->is_on)
			start_guest(g);
		break;
	case 5:
	case 6: g->is_rebooting = g->is_on; break;
	default:
		g->data += g->is_on;
		g->written += g->is_on;
		break;
	}
}

/* ---- the world ---- */

/* @param sql  a literal, of a count: ?1 is the rollout, ?2 the wave; statements are kept by address */
static int64_t count_rows(const char *sql, uint32_t wave)
{
	int64_t n = -1;
	int ret = mlimg_db_get(fleet_store->db, sql,
		MLIMG_DB_VALUES(MLIMG_DB_NUMBER(number), MLIMG_DB_NUMBER(wave)), &n, &err);

	ASSERT_EQ(ret, 1);
	return n;
}

/* What must be so when one that has waited is begun; of large fleets some are looked at. */
static void check_turn(const struct mlimg_rollout *rollout, const struct mlimg_rollout_row *row)
{
	if (row->place != MLIMG_ROLLOUT_CHECKPOINT || row->attempt != 1 ||
		(n_guests > 500 && row->position % 64 != 0))
		return;
	/* One on hold is settled when it has been off long enough; if it is started later it comes to be restarted or checked. */
	ASSERT_EQ(count_rows(trouble ? "SELECT count(*) FROM rollout_tenant WHERE rollout = ?1 AND "
				       "wave < ?2"
				       " AND is_lost = 0 AND place IN ('waiting', 'checkpoint', "
				       "'switch')"
				     : "SELECT count(*) FROM rollout_tenant WHERE rollout = ?1 AND "
				       "wave < ?2"
				       " AND is_lost = 0 AND place NOT IN"
				       " ('hold', 'done', 'off', 'returned', 'failed', 'skipped')",
			  row->wave),
		0);
	ASSERT(count_rows("SELECT count(*) FROM rollout_tenant WHERE rollout = ?1 AND wave < ?2"
			  " AND place IN ('returned', 'failed')",
		       MLIMG_ROLLOUT_WAVES) <= (int64_t)rollout->max_failures + rollout->forgiven);
}

/* None is restarted that waits for its own restart, or out of the window. */
static void check_restart(const struct mlimg_rollout *rollout, const struct mlimg_rollout_row *row)
{
	const struct guest *g = &guests[row->position];
	unsigned from = rollout->window_from, length = (rollout->window_to + 1440 - from) % 1440;

	if (row->place != MLIMG_ROLLOUT_RESTART)
		return;
	if (rollout->policy == MLIMG_ROLLOUT_NEXT)
		ASSERT(g->was_rebooting);
	if (rollout->policy == MLIMG_ROLLOUT_WINDOW)
		ASSERT((g->minute + 1440 - from) % 1440 < length);
}

static int fleet_begin(void *ctx, const struct mlimg_rollout *rollout,
	const struct mlimg_rollout_row *row, struct mlimg_err *e)
{
	unsigned n = 0;

	if (dies())
		return death(e);
	ASSERT(n_jobs < JOBS);
	ASSERT(mlimg_rollout_is_intent(row->place));
	check_turn(rollout, row);
	check_restart(rollout, row);
	jobs[n_jobs++] = (struct job){row->position, row->attempt, life, row->place};
	for (size_t i = 0; i < n_jobs; i++) {
		n += jobs[i].life == life;
		/* One tenant has one intent at a time. */
		ASSERT(i + 1 == n_jobs || jobs[i].life != life ||
			jobs[i].position != row->position);
	}
	most_begun = n > most_begun ? n : most_begun;
	return dies() ? death(e) : 0;
}

static int fleet_wait(void *ctx, unsigned timeout_ms, struct mlimg_rollout_report *ret_report,
	struct mlimg_err *e)
{
	bool is_told = false;

	if (test_random(1000) < trouble)
		trouble_guest(&guests[test_random(n_guests)]);
	for (int i = 0; i < 4 && trouble; i++)
		guests[test_random(n_guests)].is_gone = false;
	now_ms += n_jobs ? test_random(50) : timeout_ms;
	if (n_jobs)
		is_told = do_job(test_random(n_jobs), ret_report);
	return dies() ? death(e) : is_told;
}

static int fleet_look(void *ctx, const struct mlimg_rollout_row *row,
	enum mlimg_rollout_look *ret_look, struct mlimg_err *e)
{
	struct guest *g = &guests[row->position];

	if (dies())
		return death(e);
	*ret_look = !g->exists     ? MLIMG_ROLLOUT_IS_GONE
		: g->is_gone       ? MLIMG_ROLLOUT_IS_UNKNOWN
		: g->current == TO ? MLIMG_ROLLOUT_IS_NEW
		: !g->is_on        ? MLIMG_ROLLOUT_IS_OFF
		: g->is_rebooting  ? MLIMG_ROLLOUT_IS_REBOOT
				   : MLIMG_ROLLOUT_IS_ON;
	g->was_rebooting = *ret_look == MLIMG_ROLLOUT_IS_REBOOT;
	looked_at = row->position;
	g->is_rebooting = g->is_rebooting || test_random(16) == 0;
	return 0;
}

/* It jumps: nothing may hang on it but windows. */
static unsigned fleet_minute(void *ctx)
{
	guests[looked_at].minute = (unsigned)test_random(1440);
	return guests[looked_at].minute;
}

static uint64_t fleet_clock(void *ctx)
{
	return now_ms;
}

static bool fleet_is_interrupted(void *ctx)
{
	return false;
}

static const struct mlimg_rollout_world fleet_world = {.begin = fleet_begin,
	.wait = fleet_wait,
	.look = fleet_look,
	.minute = fleet_minute,
	.clock_ms = fleet_clock,
	.is_interrupted = fleet_is_interrupted};

/** A new fleet, all on the former generation, with a rollout for it. */
TEST_UNUSED static struct mlimg_rollout fleet_make(
	struct mlimg_store *store, uint32_t n, const struct mlimg_rollout *how)
{
	struct mlimg_rollout_row *rows = calloc(n, sizeof(*rows));
	struct mlimg_rollout rollout = *how;
	uint32_t ends[MLIMG_ROLLOUT_WAVES];
	unsigned n_waves, wave = 0;

	ASSERT_OK(mlimg_rollout_waves(how->waves, n, ends, &n_waves, &err), err);
	free(guests);
	guests = calloc(n, sizeof(*guests));
	ASSERT(rows && guests);
	n_guests = n;
	n_jobs = 0;
	most_begun = 0;
	limit_begun = how->at_once;
	for (uint32_t i = 0; i < n; i++) {
		while (i >= ends[wave])
			wave++;
		rows[i] = (struct mlimg_rollout_row){
			.position = i, .wave = wave, .from = FROM, .to = TO};
		snprintf(rows[i].tenant_id, sizeof(rows[i].tenant_id), "%032x", i);
		snprintf(rows[i].name, sizeof(rows[i].name), "t%u", i);
		guests[i] = (struct guest){.exists = true,
			.is_on = true,
			.was_on = true,
			.current = FROM,
			.saved = -1};
	}
	ASSERT_OK(mlimg_store_rollout_add(store, &rollout, rows, n, &err), err);
	free(rows);
	number = rollout.number;
	fleet_store = store;
	return rollout;
}

#endif
