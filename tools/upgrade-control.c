/* SPDX-License-Identifier: MIT */
/* `mlimg-upgrade pause`, `abort` and `forget`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/checkpoint.h"
#include "tools/cli.h"
#include "tools/upgrade-carry.h"
#include "tools/vm-checkpoint.h"

static const char pause_help[] =
	"Usage: mlimg-upgrade pause [OPTION]...\n"
	"\n"
	"Begin with no more tenants. What has been begun with a tenant is brought to an\n"
	"end; whoever carries the rollout out ends then. 'mlimg-upgrade resume' goes on.\n"
	"\n" MLIMG_UPGRADE_STORE_HELP;

static const char abort_help[] =
	"Usage: mlimg-upgrade abort [OPTION]...\n"
	"\n"
	"End a rollout. What has been begun with a tenant is brought to an end; those\n"
	"that wait for their restart keep what they have, the others stay as they are.\n"
	"What has the new system keeps it: 'mlimg-upgrade rollback' takes it back.\n"
	"\n" MLIMG_UPGRADE_STORE_HELP;

static const char forget_help[] =
	"Usage: mlimg-upgrade forget ROLLOUT [OPTION]...\n"
	"\n"
	"Forget a rollout that has ended, and delete the checkpoints of it. Then it\n"
	"cannot be rolled back any more, and 'mlimg-store gc' may remove what it left.\n"
	"\n" MLIMG_UPGRADE_STORE_HELP;

static const struct option options[] = {MLIMG_UPGRADE_COMMON};

/*
 * Asks whoever carries the rollout out. @return 1: nobody does, the lock is ours and *rollout what
 * is there now; 0: that one will do it, which was told; -errno
 */
static int ask(struct mlimg_store *store, enum mlimg_rollout_request request, const char *what,
	struct mlimg_rollout *rollout, int *ret_lock, struct mlimg_err *err)
{
	int ret = mlimg_upgrade_find_open(store, rollout, err);

	if (ret == 0)
		ret = mlimg_store_rollout_ask(store, rollout->number, request, err);
	if (ret == 0)
		ret = mlimg_rollout_lock(store, ret_lock, err);
	if (ret == -EBUSY) {
		printf("rollout %u: asked to %s; 'mlimg-upgrade status' tells when it does\n",
			rollout->number, what);
		return 0;
	}
	/* Whoever carried it out may have ended it meanwhile. */
	if (ret == 0)
		ret = mlimg_upgrade_find_open(store, rollout, err);
	return ret < 0 ? ret : 1;
}

static int pause_rollout(
	struct mlimg_store *store, const struct mlimg_upgrade_given *g, struct mlimg_err *err)
{
	mlimg_autoclose int lock = -1;
	struct mlimg_rollout rollout;
	int ret = ask(store, MLIMG_ROLLOUT_PAUSE, "pause", &rollout, &lock, err);

	if (ret <= 0)
		return ret;
	if (rollout.state == MLIMG_ROLLOUT_RUNNING)
		rollout.state = MLIMG_ROLLOUT_PAUSED;
	ret = mlimg_store_rollout_set(store, &rollout, err);
	if (ret == 0)
		printf("rollout %u: %s\n", rollout.number, mlimg_rollout_state_name(rollout.state));
	return ret;
}

static int abort_rollout(
	struct mlimg_store *store, const struct mlimg_upgrade_given *g, struct mlimg_err *err)
{
	mlimg_autoclose int lock = -1;
	struct mlimg_rollout rollout;
	int ret = ask(store, MLIMG_ROLLOUT_ABORT, "abort", &rollout, &lock, err);

	if (ret <= 0)
		return ret;
	rollout.request = MLIMG_ROLLOUT_ABORT;
	ret = mlimg_upgrade_carry(store, &rollout, false, err);
	/* What is not done is what was wanted. */
	return ret < 0 ? ret : rollout.state == MLIMG_ROLLOUT_ABORTED ? 0 : ret;
}

/* ---- forget ---- */

static int remove_checkpoint(struct mlimg_store *store, const struct mlimg_rollout *rollout,
	const char *name, const char *id, struct mlimg_err *err)
{
	mlimg_autotenant struct mlimg_tenant tenant = {.run_s = 0};
	mlimg_autoclose int lock = -1;
	char tag[MLIMG_CHECKPOINT_TAG_SIZE];
	struct mlimg_checkpoint checkpoint;
	struct mlimg_checkpoints of;
	int ret;

	snprintf(tag, sizeof(tag), MLIMG_ROLLOUT_TAG "%u", rollout->number);
	ret = mlimg_store_checkpoint_get(store, id, tag, &checkpoint, err);
	/* What a user called so is his. */
	if (ret == -ENOENT || (ret == 0 && checkpoint.origin != MLIMG_CHECKPOINT_UPGRADE))
		return 0;
	if (ret == 0)
		ret = mlimg_tenant_take(store, name, "forget", &tenant, &lock, err);
	if (ret == 0)
		ret = mlimg_checkpoints_of(store, &tenant, &of, err);
	if (ret == 0)
		ret = mlimg_checkpoint_settle(&of, err);
	return ret < 0 ? ret : mlimg_checkpoint_delete(&of, tag, err);
}

static int forget_rollout(
	struct mlimg_store *store, const struct mlimg_upgrade_given *g, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_rollout_row *rows = NULL;
	char name[MLIMG_STORE_NAME_SIZE];
	struct mlimg_rollout rollout;
	uint32_t n = 0;
	int ret = mlimg_store_rollout_get(store, g->number, &rollout, err);

	if (ret == 0 && !rollout.ended_s)
		ret = mlimg_store_rollout_forget(store, rollout.number, err);
	if (ret == 0)
		ret = mlimg_store_rollout_rows(store, rollout.number, &rows, &n, err);
	for (uint32_t i = 0; ret >= 0 && i < n; i++) {
		ret = mlimg_store_tenant_name(store, rows[i].tenant_id, name, err);
		if (ret > 0)
			ret = remove_checkpoint(store, &rollout, name, rows[i].tenant_id, err);
	}
	return ret < 0 ? ret : mlimg_store_rollout_forget(store, rollout.number, err);
}

/* ---- */

typedef int work_fn(
	struct mlimg_store *store, const struct mlimg_upgrade_given *g, struct mlimg_err *err);

static int finish(work_fn *work, const struct mlimg_upgrade_given *g)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	int ret = mlimg_store_open_given(g->store, MLIMG_STORE_USE, &store, &err);

	if (ret == 0)
		ret = work(store, g, &err);
	fflush(stdout);
	if (ret < 0)
		return mlimg_cli_fail(MLIMG_UPGRADE_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_UPGRADE_PROG) ? MLIMG_EXIT_FAILED : ret;
}

int mlimg_upgrade_cmd_pause(int argc, char **argv)
{
	struct mlimg_upgrade_given g;
	int code = mlimg_upgrade_parse(argc, argv, pause_help, options, false, &g);

	return code >= 0 ? code : finish(pause_rollout, &g);
}

int mlimg_upgrade_cmd_abort(int argc, char **argv)
{
	struct mlimg_upgrade_given g;
	int code = mlimg_upgrade_parse(argc, argv, abort_help, options, false, &g);

	return code >= 0 ? code : finish(abort_rollout, &g);
}

int mlimg_upgrade_cmd_forget(int argc, char **argv)
{
	struct mlimg_upgrade_given g;
	int code = mlimg_upgrade_parse(argc, argv, forget_help, options, true, &g);

	if (code >= 0)
		return code;
	if (!g.number)
		return mlimg_cli_usage(MLIMG_UPGRADE_PROG, "the number of a rollout is missing");
	return finish(forget_rollout, &g);
}
