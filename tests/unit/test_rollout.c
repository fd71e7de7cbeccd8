/* SPDX-License-Identifier: MIT */
/*
 * Rollouts with a simulated fleet (lib/rollout-fleet.h). What must be so whatever happened:
 *
 *  - when a rollout has ended, or was aborted, no tenant lies between two states but those whose
 *    host has not answered to the last;
 *  - a tenant that is done runs on the new generation; one that is off has it as its next; one that
 *    was returned runs on the former one; one that waits has nothing of the new one;
 *  - none comes to the new generation twice in one rollout;
 *  - what a user wrote is there, or, where a disk had to be put back, kept beside;
 *  - who was on is on, unless his owner, or his host, has done something, or the rollout says that
 *    he failed;
 *  - none is restarted out of the window, or before it restarts itself where that is asked;
 *  - no more tenants than allowed at once; no wave before the one before has settled; none is begun
 *    when too many have failed.
 */
#include "tests/lib/rollout-fleet.h"

#define SMALL 6

static const struct mlimg_rollout usual = {.waves = "1,10%,100%", .at_once = 8, .health_s = 60};

static void fail_row(const struct mlimg_rollout_row *row, const char *what)
{
	const struct guest *g = &guests[row->position];

	FAIL("tenant %u is %s%s: %s (on %d, current %u, pending %u, data %d, kept %d, restored %d: "
	     "%s)",
		row->position, mlimg_rollout_place_name(row->place), row->is_lost ? ", lost" : "",
		what, g->is_on, g->current, g->pending, g->data, g->kept, g->restored, row->text);
}

static bool has_been_left_alone(const struct guest *g)
{
	return g->exists && g->current != FOREIGN && g->pending != FOREIGN && !g->is_gone;
}

/* He has also who has given it another generation, which the rollout does not touch then. */
static bool has_owner_acted(const struct guest *g)
{
	return g->owner_has_acted || !g->exists || g->current == FOREIGN || g->pending == FOREIGN;
}

/* Where it ended; owners may have done something since. */
static void check_place(const struct mlimg_rollout_row *row, bool is_quiet)
{
	const struct guest *g = &guests[row->position];

	switch (row->place) {
	case MLIMG_ROLLOUT_DONE:
		if (has_been_left_alone(g) && g->current != TO)
			fail_row(row, "it does not run on the new one");
		break;
	case MLIMG_ROLLOUT_OFF:
		if (has_been_left_alone(g) && g->current != TO && g->pending != TO)
			fail_row(row, "it has not got the new one");
		break;
	case MLIMG_ROLLOUT_RETURNED:
		if (has_been_left_alone(g) && (g->current != FROM || g->pending))
			fail_row(row, "it does not run on the former one");
		break;
	case MLIMG_ROLLOUT_WAITING:
		if (g->n_new || g->pending == TO)
			fail_row(row, "it has something of the new one");
		break;
	case MLIMG_ROLLOUT_SKIPPED:
		if (is_quiet)
			fail_row(row, "nobody has touched it");
		break;
	default: break;
	}
}

static void check_row(const struct mlimg_rollout_row *row, bool has_ended, bool is_quiet)
{
	const struct guest *g = &guests[row->position];

	if (g->n_new > 1)
		fail_row(row, "it came to the new one twice");
	if (has_ended && mlimg_rollout_is_intent(row->place) && !row->is_lost)
		fail_row(row, "it lies between two states");
	if (g->data + g->kept != g->written)
		fail_row(row, "what the user wrote is lost");
	if (g->restored && !g->is_stuck)
		fail_row(row, "its disk was put back, though it came up");
	if (has_ended && g->was_on && !g->is_on && row->place != MLIMG_ROLLOUT_FAILED &&
		!row->is_lost && !has_owner_acted(g))
		fail_row(row, "it was on");
	check_place(row, is_quiet);
}

static void check_fleet(const struct mlimg_rollout *r, bool is_quiet)
{
	struct mlimg_rollout_row *rows;
	uint32_t n;

	ASSERT_OK(mlimg_store_rollout_rows(fleet_store, r->number, &rows, &n, &err), err);
	ASSERT_EQ(n, n_guests);
	for (uint32_t i = 0; i < n; i++)
		check_row(&rows[i], r->state != MLIMG_ROLLOUT_RUNNING, is_quiet);
	ASSERT(most_begun <= limit_begun);
	free(rows);
}

static unsigned count_place(enum mlimg_rollout_place place)
{
	struct mlimg_rollout_row *rows;
	unsigned found = 0;
	uint32_t n;

	ASSERT_OK(mlimg_store_rollout_rows(fleet_store, number, &rows, &n, &err), err);
	for (uint32_t i = 0; i < n; i++)
		found += rows[i].place == place;
	free(rows);
	return found;
}

/* Until nobody dies any more. @return how often who carried it out was killed */
static unsigned carry(struct mlimg_rollout *r, unsigned deaths_max, bool is_quiet)
{
	unsigned deaths = 0;

	for (;;) {
		int ret;

		if (deaths == deaths_max)
			die_one_in = 0;
		ret = mlimg_rollout_run(fleet_store, r, &fleet_world, NULL, &err);
		if (ret == 0)
			return deaths;
		ASSERT_EQ(ret, -EINTR);
		deaths++;
		life++;
		check_fleet(r, is_quiet);
		/* Another one: he knows what is written down, and nothing else. */
		ASSERT_OK(mlimg_store_rollout_get(fleet_store, r->number, r, &err), err);
	}
}

static void end_rollout(struct mlimg_rollout *r)
{
	trouble = 0;
	for (uint32_t i = 0; i < n_guests; i++)
		guests[i].is_gone = false;
	while (!r->ended_s) {
		r->state = MLIMG_ROLLOUT_RUNNING;
		r->request = MLIMG_ROLLOUT_ABORT;
		carry(r, 0, false);
		ASSERT_OK(mlimg_store_rollout_get(fleet_store, r->number, r, &err), err);
	}
}

static struct mlimg_store *begin(void)
{
	test_seed();
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	ASSERT_EQ(chdir(test_tmpdir()), 0);
	return open_store(MLIMG_STORE_MAKE);
}

TEST(all_is_well)
{
	mlimg_autostore struct mlimg_store *store = begin();
	struct mlimg_rollout r = fleet_make(store, 100, &usual);

	carry(&r, 0, true);
	ASSERT_EQ(r.state, MLIMG_ROLLOUT_ENDED);
	check_fleet(&r, true);
	ASSERT_EQ(count_place(MLIMG_ROLLOUT_DONE), 100);
	ASSERT_EQ(most_begun, 8);
}

/* One of the first wave comes back, and no other is begun. */
TEST(stops_when_too_many_fail)
{
	mlimg_autostore struct mlimg_store *store = begin();
	struct mlimg_rollout r = fleet_make(store, 100, &usual);

	guests[0].is_bad = true;
	carry(&r, 0, true);
	ASSERT_EQ(r.state, MLIMG_ROLLOUT_STOPPED);
	check_fleet(&r, true);
	ASSERT_EQ(count_place(MLIMG_ROLLOUT_RETURNED), 1);
	ASSERT_EQ(count_place(MLIMG_ROLLOUT_WAITING), 99);
	/* Who resumes forgives it. */
	r.forgiven = 1;
	r.state = MLIMG_ROLLOUT_RUNNING;
	carry(&r, 0, true);
	ASSERT_EQ(r.state, MLIMG_ROLLOUT_ENDED);
	ASSERT_EQ(count_place(MLIMG_ROLLOUT_DONE), 99);
}

/* Those that wait for their restart must not get later what was stopped. */
TEST(takes_back_what_is_on_hold)
{
	mlimg_autostore struct mlimg_store *store = begin();
	struct mlimg_rollout how = usual, r;

	strcpy(how.waves, "100%");
	how.policy = MLIMG_ROLLOUT_NEXT;
	r = fleet_make(store, 20, &how);
	for (uint32_t i = 0; i < 20; i++)
		guests[i].is_bad = true;
	carry(&r, 0, true);
	ASSERT_EQ(r.state, MLIMG_ROLLOUT_STOPPED);
	check_fleet(&r, true);
	for (uint32_t i = 0; i < 20; i++)
		ASSERT_EQ(guests[i].pending, 0);
	ASSERT_EQ(count_place(MLIMG_ROLLOUT_HOLD), 0);
	ASSERT(count_place(MLIMG_ROLLOUT_WAITING) > 0);
}

/* The disk is put back only where the former generation does not come up. */
TEST(goes_back_in_two_steps)
{
	mlimg_autostore struct mlimg_store *store = begin();
	struct mlimg_rollout how = usual, r;

	how.max_failures = 3;
	r = fleet_make(store, 4, &how);
	guests[1].is_dead = true;
	guests[2].is_dead = guests[2].is_stuck = true;
	guests[2].data = guests[2].written = 5;
	guests[3].cannot_save = true;
	carry(&r, 0, true);
	ASSERT_EQ(r.state, MLIMG_ROLLOUT_ENDED);
	check_fleet(&r, true);
	ASSERT_EQ(count_place(MLIMG_ROLLOUT_RETURNED), 2);
	ASSERT_EQ(count_place(MLIMG_ROLLOUT_FAILED), 1);
	ASSERT_EQ(guests[1].restored, 0);
	ASSERT_EQ(guests[2].restored, 1);
	ASSERT_EQ(guests[3].n_new, 0);
}

TEST(one_that_is_off_stays_off)
{
	mlimg_autostore struct mlimg_store *store = begin();
	struct mlimg_rollout r = fleet_make(store, 3, &usual);

	guests[0].is_on = guests[0].was_on = false;
	carry(&r, 0, true);
	ASSERT_EQ(r.state, MLIMG_ROLLOUT_ENDED);
	ASSERT_EQ(count_place(MLIMG_ROLLOUT_OFF), 1);
	ASSERT(!guests[0].is_on && guests[0].pending == TO && guests[0].n_new == 0);
	ASSERT_EQ(count_place(MLIMG_ROLLOUT_DONE), 2);
}

TEST(a_host_that_does_not_come_back)
{
	mlimg_autostore struct mlimg_store *store = begin();
	struct mlimg_rollout how = usual, r;

	how.max_failures = 1;
	r = fleet_make(store, 3, &how);
	guests[0].is_gone = true;
	carry(&r, 0, true);
	ASSERT_EQ(r.state, MLIMG_ROLLOUT_STOPPED);
	ASSERT_EQ(count_place(MLIMG_ROLLOUT_DONE), 2);
	ASSERT_EQ(count_place(MLIMG_ROLLOUT_CHECKPOINT), 1);
	guests[0].is_gone = false;
	carry(&r, 0, true);
	ASSERT_EQ(r.state, MLIMG_ROLLOUT_ENDED);
	ASSERT_EQ(count_place(MLIMG_ROLLOUT_DONE), 3);
}

TEST(pause_and_abort)
{
	mlimg_autostore struct mlimg_store *store = begin();
	struct mlimg_rollout r = fleet_make(store, 50, &usual);

	/* The first one is killed when a few have begun. */
	calls = 0;
	die_at = 100;
	ASSERT_EQ(mlimg_rollout_run(store, &r, &fleet_world, NULL, &err), -EINTR);
	die_at = 0;
	life++;
	ASSERT_OK(mlimg_store_rollout_ask(store, number, MLIMG_ROLLOUT_PAUSE, &err), err);
	carry(&r, 0, true);
	ASSERT_EQ(r.state, MLIMG_ROLLOUT_PAUSED);
	check_fleet(&r, true);
	ASSERT(count_place(MLIMG_ROLLOUT_WAITING) > 0 && count_place(MLIMG_ROLLOUT_DONE) > 0);
	ASSERT_OK(mlimg_store_rollout_ask(store, number, MLIMG_ROLLOUT_ABORT, &err), err);
	carry(&r, 0, true);
	ASSERT_EQ(r.state, MLIMG_ROLLOUT_ABORTED);
	check_fleet(&r, true);
	ASSERT(count_place(MLIMG_ROLLOUT_WAITING) > 0);
}

/* One rollout at a time has not ended. */
TEST(a_second_rollout_waits)
{
	mlimg_autostore struct mlimg_store *store = begin();
	struct mlimg_rollout r = fleet_make(store, 2, &usual), second = usual;
	const struct mlimg_rollout_row row = {.tenant_id = "00000000000000000000000000000000"};

	ASSERT_FAILS(mlimg_store_rollout_add(store, &second, &row, 1, &err), err, -EBUSY,
		"rollout 1 has not ended: 'mlimg-upgrade resume' or 'mlimg-upgrade abort' ends it");
	ASSERT_FAILS(mlimg_store_rollout_forget(store, r.number, &err), err, -EBUSY,
		"rollout 1 has not ended");
	carry(&r, 0, true);
	ASSERT_OK(mlimg_store_rollout_add(store, &second, &row, 1, &err), err);
	ASSERT_OK(mlimg_store_rollout_forget(store, r.number, &err), err);
	ASSERT_FAILS(
		mlimg_store_rollout_get(store, r.number, &r, &err), err, -ENOENT, "no rollout 1");
}

static void make_troubled(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct guest *g = &guests[i];

		g->is_bad = test_random(20) == 0;
		g->is_dead = test_random(20) == 0;
		g->is_stuck = g->is_dead && test_random(3) == 0;
		g->cannot_save = test_random(40) == 0;
		g->is_on = g->was_on = test_random(10) > 0;
		g->data = g->written = (int)test_random(5);
	}
}

/* Killed at each of its calls, once for each; the same fleet each time. */
TEST(killed_at_every_step)
{
	mlimg_autostore struct mlimg_store *store = begin();
	struct mlimg_rollout how = usual, r;
	uint64_t seed = test_state, n_calls = 0;

	how.max_failures = SMALL;
	for (uint64_t at = 0; at <= n_calls; at++) {
		test_state = seed;
		r = fleet_make(store, SMALL, &how);
		make_troubled(SMALL);
		guests[1].is_bad = guests[2].is_dead = guests[2].is_stuck = guests[3].is_dead =
			true;
		calls = 0;
		die_at = at;
		ASSERT_EQ(carry(&r, 1, true), at > 0 && calls >= at);
		if (at == 0)
			n_calls = calls;
		ASSERT_EQ(r.state, MLIMG_ROLLOUT_ENDED);
		check_fleet(&r, true);
	}
	printf("%llu calls\n", (unsigned long long)n_calls);
	ASSERT(n_calls > 50);
}

/* Random fleets: who carries the rollout out is killed again and again, owners and hosts do things. */
static void random_fleet(
	struct mlimg_store *store, uint32_t n, unsigned one_in, uint32_t max_failures)
{
	struct mlimg_rollout how = usual, r;
	unsigned deaths;

	how.policy = (enum mlimg_rollout_policy)test_random(3);
	how.window_from = (unsigned)test_random(1440);
	how.window_to = (how.window_from + 600) % 1440;
	how.at_once = 1 + (unsigned)test_random(n > 1000 ? 128 : 8);
	how.max_failures = max_failures;
	r = fleet_make(store, n, &how);
	make_troubled(n);
	trouble = 100;
	die_at = 0;
	die_one_in = one_in;
	deaths = carry(&r, 200, false);
	check_fleet(&r, false);
	printf("%u tenants: %s, %u done, %u returned, killed %u times\n", n,
		mlimg_rollout_state_name(r.state), count_place(MLIMG_ROLLOUT_DONE),
		count_place(MLIMG_ROLLOUT_RETURNED), deaths);
	die_one_in = 0;
	ASSERT_OK(mlimg_store_rollout_get(store, r.number, &r, &err), err);
	end_rollout(&r);
	check_fleet(&r, false);
}

TEST(random_fleets)
{
	mlimg_autostore struct mlimg_store *store = begin();
	const char *cases = getenv("MLIMG_CASES");
	int n = cases ? atoi(cases) : 200;

	for (int i = 0; i < n; i++)
		random_fleet(store, 1 + (uint32_t)test_random(60), 20 + (unsigned)test_random(200),
			(uint32_t)test_random(20));
}

TEST(ten_thousand)
{
	mlimg_autostore struct mlimg_store *store = begin();

	random_fleet(store, 10000, 10000, 10000);
}
