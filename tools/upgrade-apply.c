/* SPDX-License-Identifier: MIT */
/* `mlimg-upgrade apply`, `resume` and `rollback`: carrying a rollout out. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/rollout-world.h"
#include "tools/upgrade-carry.h"

static const char apply_help[] =
	"Usage: mlimg-upgrade apply --system LAYER [OPTION]...\n"
	"\n"
	"Give tenants a new system, wave by wave. Of each the disk is saved, it is\n"
	"restarted, and its health watched; one that is worse than before gets its former\n"
	"system back, with what its user wrote since. One that is off has the new system\n"
	"from its next start on.\n"
	"\n"
	"It can be interrupted, and killed: 'mlimg-upgrade resume' goes on.\n"
	"\n"
	"  --system LAYER   the new system, as of 'plan'\n"
	"  --software LAYER software in the place of another version, as of 'plan'\n"
	"  --tenants GLOB   only tenants whose names are like that: 'web-*'\n"
	"                   (default: all)\n"
	"  --partial        leave out tenants that cannot be upgraded (default: then\n"
	"                   nothing is begun)\n" MLIMG_UPGRADE_ROLLING_HELP
	"  --json           print JSON at the end, as of 'status'\n" MLIMG_UPGRADE_STORE_HELP "\n"
	"Exit status: 0 all tenants have it, but for those that --partial leaves out when\n"
	"others get it; 1 failed, or some have not; 2 wrong usage; 3 the new system, a\n"
	"tenant or the store refused.\n";

static const char resume_help[] =
	"Usage: mlimg-upgrade resume [OPTION]...\n"
	"\n"
	"Go on with the rollout that has not ended: it was paused, it has stopped, or who\n"
	"carried it out was killed. Tenants that have failed until now count no more.\n"
	"\n" MLIMG_UPGRADE_MAX_FAILURES_HELP
	"                   (here the default is that of the rollout)\n"
	"  --json           print JSON at the end, as of 'status'\n" MLIMG_UPGRADE_STORE_HELP;

static const char rollback_help[] =
	"Usage: mlimg-upgrade rollback [ROLLOUT] [OPTION]...\n"
	"\n"
	"Give tenants back what they had before a rollout (default: the newest), in the\n"
	"same way: what the change did to a user's files is taken back, what he wrote\n"
	"since is kept. Tenants that have another generation by now are left alone.\n"
	"\n"
	"  --tenants GLOB   only tenants whose names are like that: 'web-*'\n"
	"                   (default: all)\n" MLIMG_UPGRADE_ROLLING_HELP
	"  --json           print JSON at the end, as of 'status'\n" MLIMG_UPGRADE_STORE_HELP;

static const struct option apply_options[] = {
	{"system", required_argument, NULL, MLIMG_UPGRADE_OPT_SYSTEM},
	{"software", required_argument, NULL, MLIMG_UPGRADE_OPT_SOFTWARE},
	{"partial", no_argument, NULL, MLIMG_UPGRADE_OPT_PARTIAL}, MLIMG_UPGRADE_TENANTS,
	MLIMG_UPGRADE_ROLLING, MLIMG_UPGRADE_JSON, MLIMG_UPGRADE_COMMON};
static const struct option resume_options[] = {
	MLIMG_UPGRADE_MAX_FAILURES, MLIMG_UPGRADE_JSON, MLIMG_UPGRADE_COMMON};
static const struct option rollback_options[] = {
	MLIMG_UPGRADE_TENANTS, MLIMG_UPGRADE_ROLLING, MLIMG_UPGRADE_JSON, MLIMG_UPGRADE_COMMON};

/* Makes g->rollout to be carried out; number 0: there is nothing to do. */
typedef int make_fn(struct mlimg_store *store, struct mlimg_upgrade_given *g,
	struct mlimg_rollout_left *ret_left, struct mlimg_err *err);

static int make_apply(struct mlimg_store *store, struct mlimg_upgrade_given *g,
	struct mlimg_rollout_left *ret_left, struct mlimg_err *err)
{
	int ret = mlimg_rollout_make(store, &g->wish, g->is_partial, &g->rollout, ret_left, err);

	if (ret < 0 && ret_left->n_refused)
		return mlimg_err_wrap(err, ret,
			"nothing has been begun ('mlimg-upgrade plan' tells more, --partial leaves "
			"such tenants out)");
	if (ret == 0 && ret_left->n_refused)
		mlimg_cli_warn(MLIMG_UPGRADE_PROG, "%u %s left out: 'mlimg-upgrade plan' tells why",
			ret_left->n_refused,
			mlimg_cli_noun(ret_left->n_refused, "tenant is", "tenants are"));
	return ret;
}

static int make_rollback(struct mlimg_store *store, struct mlimg_upgrade_given *g,
	struct mlimg_rollout_left *ret_left, struct mlimg_err *err)
{
	int ret =
		mlimg_rollout_make_back(store, g->number, g->wish.glob, &g->rollout, ret_left, err);

	if (ret == 0 && ret_left->n_busy)
		mlimg_cli_warn(MLIMG_UPGRADE_PROG,
			"%u %s busy with another command, and left out: roll back once more",
			ret_left->n_busy,
			mlimg_cli_noun(ret_left->n_busy, "tenant is", "tenants are"));
	return ret;
}

static int make_resume(struct mlimg_store *store, struct mlimg_upgrade_given *g,
	struct mlimg_rollout_left *ret_left, struct mlimg_err *err)
{
	struct mlimg_rollout rollout;
	int ret = mlimg_upgrade_find_open(store, &rollout, err);

	if (ret == 0)
		ret = mlimg_upgrade_count_failed(store, &rollout, &rollout.forgiven, err);
	if (ret < 0)
		return ret;
	rollout.state = MLIMG_ROLLOUT_RUNNING;
	rollout.request = MLIMG_ROLLOUT_GO;
	if (g->has_max_failures)
		rollout.max_failures = g->rollout.max_failures;
	g->rollout = rollout;
	return mlimg_store_rollout_set(store, &rollout, err);
}

#define TAKEN_ONE "stays as it is at its next start"
#define TAKEN_MORE "stay as they are at their next start"

static void put_left(uint32_t n, const char *one, const char *more, bool *is_first)
{
	if (n)
		printf("%s%u %s%s", *is_first ? "" : ", ", n,
			!*is_first       ? ""
				: n == 1 ? "tenant "
					 : "tenants ",
			n == 1 ? one : more);
	*is_first = *is_first && n == 0;
}

/* Nothing is begun. */
static void say_left(const struct mlimg_rollout_left *left, bool json)
{
	bool is_first = true;

	if (json) {
		printf("{\"rollout\": null, \"have\": %u, \"refused\": %u, \"other\": %u, "
		       "\"taken_back\": %u, \"busy\": %u}\n",
			left->n_have, left->n_refused, left->n_other, left->n_taken, left->n_busy);
		return;
	}
	if (!left->n_refused && !left->n_other && !left->n_busy && !left->n_taken) {
		printf("nothing to do: %s\n",
			left->n_have ? "all tenants have it" : "there is no tenant");
		return;
	}
	printf("nothing is begun: ");
	put_left(left->n_have, "has it", "have it", &is_first);
	put_left(left->n_taken, TAKEN_ONE, TAKEN_MORE, &is_first);
	put_left(left->n_other, "has another generation, or is to have one",
		"have another generation, or are to have one", &is_first);
	put_left(left->n_refused, "cannot have it", "cannot have it", &is_first);
	put_left(left->n_busy, "is busy", "are busy", &is_first);
	putchar('\n');
}

/* @return the exit code, or -errno */
static int run(make_fn *make, struct mlimg_upgrade_given *g, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	struct mlimg_rollout_left left = {.n_have = 0};
	mlimg_autoclose int lock = -1;
	int ret = mlimg_store_open_given(g->store, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = mlimg_rollout_lock(store, &lock, err);
	if (ret == 0)
		ret = make(store, g, &left, err);
	if (ret < 0)
		return ret;
	if (g->rollout.number && left.n_taken && !g->json)
		printf("%u %s %s\n", left.n_taken,
			mlimg_cli_noun(left.n_taken, "tenant", "tenants"),
			left.n_taken == 1 ? TAKEN_ONE : TAKEN_MORE);
	if (g->rollout.number)
		ret = mlimg_upgrade_carry(store, &g->rollout, g->json, err);
	else
		say_left(&left, g->json);
	if (ret != MLIMG_EXIT_DONE)
		return ret;
	return left.n_busy || (!g->rollout.number && (left.n_other || left.n_refused))
		? MLIMG_EXIT_FAILED
		: MLIMG_EXIT_DONE;
}

static int finish(make_fn *make, struct mlimg_upgrade_given *g)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	int code = run(make, g, &err);

	if (code < 0) {
		fflush(stdout);
		return mlimg_cli_fail(MLIMG_UPGRADE_PROG, &err);
	}
	if (mlimg_cli_close_stdout(MLIMG_UPGRADE_PROG) != MLIMG_EXIT_DONE)
		return MLIMG_EXIT_FAILED;
	return code;
}

int mlimg_upgrade_cmd_apply(int argc, char **argv)
{
	struct mlimg_upgrade_given g;
	int code = mlimg_upgrade_parse(argc, argv, apply_help, apply_options, false, &g);

	if (code >= 0)
		return code;
	if (!g.wish.system)
		return mlimg_cli_usage(MLIMG_UPGRADE_PROG, "--system is missing");
	return finish(make_apply, &g);
}

int mlimg_upgrade_cmd_resume(int argc, char **argv)
{
	struct mlimg_upgrade_given g;
	int code = mlimg_upgrade_parse(argc, argv, resume_help, resume_options, false, &g);

	return code >= 0 ? code : finish(make_resume, &g);
}

int mlimg_upgrade_cmd_rollback(int argc, char **argv)
{
	struct mlimg_upgrade_given g;
	int code = mlimg_upgrade_parse(argc, argv, rollback_help, rollback_options, true, &g);

	return code >= 0 ? code : finish(make_rollback, &g);
}
