/* SPDX-License-Identifier: MIT */
#include "tools/rollout-step.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/checkpoint.h"
#include "tools/store-impl.h"
#include "tools/vm-life.h"
#include "tools/vm-loop.h"

void mlimg_rollout_say(
	struct mlimg_rollout_step *step, enum mlimg_rollout_result result, const char *text)
{
	step->report.result = result;
	snprintf(
		step->report.text, sizeof(step->report.text), "%.*s", MLIMG_ROLLOUT_TEXT - 1, text);
}

/* ---- what several intents do ---- */

int mlimg_rollout_set_next(
	struct mlimg_rollout_step *step, uint32_t generation, struct mlimg_err *err)
{
	struct mlimg_tenant *tenant = &step->found.tenant;
	struct mlimg_store *store = step->found.store;
	uint32_t pending = generation == tenant->row.current ? 0 : generation;
	char text[64];
	int ret;

	if (tenant->row.pending == pending)
		return 0;
	snprintf(text, sizeof(text), "rollout %u: generation %u", step->rollout.number, generation);
	ret = mlimg_store_begin(store, err);
	if (ret < 0)
		return ret;
	ret = mlimg_store_generation_set_pending(store, tenant->row.id, pending, err);
	if (ret == 0)
		ret = mlimg_store_event_add(
			store, MLIMG_STORE_TENANT, tenant->row.id, "set", text, err);
	ret = mlimg_store_end(store, ret, err);
	return ret < 0 ? ret : mlimg_vm_find_again(&step->found, err);
}

/* Having had to be ended is being off, too. */
int mlimg_rollout_stop(struct mlimg_rollout_step *step, struct mlimg_err *err)
{
	struct mlimg_err stop_err = MLIMG_ERR_INIT;
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	char why[MLIMG_GUEST_WHY_SIZE];
	int stopped = mlimg_vm_life_stop(&step->found, MLIMG_POWERDOWN_MS, &stop_err);
	int ret = mlimg_backend_look(step->found.store, &step->found.tenant, &state, why, err);

	if (ret < 0 || (!mlimg_guest_is_on(state) && state != MLIMG_GUEST_UNREACHABLE))
		return ret;
	return mlimg_err_set(err, 0, "%s", stopped < 0 ? stop_err.text : "it does not power off");
}

int mlimg_rollout_start(struct mlimg_rollout_step *step, struct mlimg_err *err)
{
	return mlimg_vm_life_start(&step->found, &step->lock, true, err);
}

/* ---- intents ---- */

static int do_switch(struct mlimg_rollout_step *step, struct mlimg_err *err)
{
	return mlimg_rollout_set_next(step, step->row.to, err);
}

static int do_undo(struct mlimg_rollout_step *step, struct mlimg_err *err)
{
	if (step->found.tenant.row.current != step->row.to)
		return mlimg_rollout_set_next(step, step->row.from, err);
	mlimg_rollout_say(step, MLIMG_ROLLOUT_RUNS_NEW, "");
	return 0;
}

/* That it has been started on the new one is what was wanted, whoever did it. */
static int do_restart(struct mlimg_rollout_step *step, struct mlimg_err *err)
{
	const struct mlimg_store_tenant *row = &step->found.tenant.row;
	int ret;

	if (row->current == step->row.to)
		return 0;
	if (row->pending != step->row.to) {
		mlimg_rollout_say(
			step, MLIMG_ROLLOUT_CHANGED, "somebody has taken its next generation back");
		return 0;
	}
	ret = mlimg_rollout_stop(step, err);
	return ret < 0 ? ret : mlimg_rollout_start(step, err);
}

static int do_back(struct mlimg_rollout_step *step, struct mlimg_err *err)
{
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	char why[MLIMG_GUEST_WHY_SIZE];
	int ret = 0;

	if (step->found.tenant.row.current == step->row.to)
		ret = mlimg_rollout_stop(step, err);
	if (ret == 0)
		ret = mlimg_rollout_set_next(step, step->row.from, err);
	if (ret == 0)
		ret = mlimg_backend_look(step->found.store, &step->found.tenant, &state, why, err);
	return ret < 0 || mlimg_guest_is_on(state) ? ret : mlimg_rollout_start(step, err);
}

typedef int intent_fn(struct mlimg_rollout_step *step, struct mlimg_err *err);

static intent_fn *const intents[MLIMG_ROLLOUT_PLACES] = {
	[MLIMG_ROLLOUT_CHECKPOINT] = mlimg_rollout_do_checkpoint,
	[MLIMG_ROLLOUT_SWITCH] = do_switch,
	[MLIMG_ROLLOUT_UNDO] = do_undo,
	[MLIMG_ROLLOUT_RESTART] = do_restart,
	[MLIMG_ROLLOUT_CHECK] = mlimg_rollout_do_check,
	[MLIMG_ROLLOUT_BACK] = do_back,
	[MLIMG_ROLLOUT_RECHECK] = mlimg_rollout_do_check,
	[MLIMG_ROLLOUT_RESTORE] = mlimg_rollout_do_restore,
	[MLIMG_ROLLOUT_LASTCHECK] = mlimg_rollout_do_check,
};

/* Somebody else may have it on other generations: then it is his. @return whether it is still ours */
static bool is_ours(struct mlimg_rollout_step *step)
{
	const struct mlimg_store_tenant *t = &step->found.tenant.row;
	const struct mlimg_rollout_row *row = &step->row;
	char text[128];
	uint32_t other = t->current != row->from && t->current != row->to ? t->current : 0;

	if (!other && t->pending && t->pending != row->from && t->pending != row->to)
		other = t->pending;
	/* Nothing has been done yet: it runs on what it did when the rollout began. */
	if (!other && row->place == MLIMG_ROLLOUT_CHECKPOINT && t->current != row->from)
		other = t->current;
	if (!other)
		return true;
	snprintf(text, sizeof(text), "somebody has given it generation %u", other);
	mlimg_rollout_say(step, MLIMG_ROLLOUT_CHANGED, text);
	return false;
}

static bool is_check(enum mlimg_rollout_place place)
{
	return place == MLIMG_ROLLOUT_CHECK || place == MLIMG_ROLLOUT_RECHECK ||
		place == MLIMG_ROLLOUT_LASTCHECK;
}

/* A check may last: who would stop the guest meanwhile can. */
static int take(struct mlimg_rollout_step *step, const char *store_dir, const char *name,
	struct mlimg_err *err)
{
	const struct mlimg_vm_wanted wanted = {.name = name, .store = store_dir};

	if (is_check(step->row.place))
		return mlimg_vm_find_tenant(&wanted, &step->found, err);
	return mlimg_vm_take(&wanted, "upgrade", &step->found, &step->lock, err);
}

/* @return 1: it is there, and its lock is ours; 0: it is said what not; -errno */
static int find(struct mlimg_rollout_step *step, struct mlimg_store *store, struct mlimg_err *err)
{
	char name[MLIMG_STORE_NAME_SIZE];
	int ret = mlimg_store_tenant_name(store, step->row.tenant_id, name, err);

	if (ret > 0)
		ret = take(step, mlimg_store_dir(store), name, err);
	else if (ret == 0)
		ret = -ENOENT;
	/* Another one has its name by now: it has another one, and is looked for again. */
	if (ret == 0 && strcmp(step->found.tenant.row.id, step->row.tenant_id) != 0)
		ret = mlimg_err_set(err, EBUSY, "tenant '%s' has been renamed meanwhile", name);
	if (ret == -ENOENT)
		mlimg_rollout_say(step, MLIMG_ROLLOUT_GONE, "there is no such tenant any more");
	else if (ret == -EBUSY)
		mlimg_rollout_say(step, MLIMG_ROLLOUT_UNREACHABLE, err->text);
	else
		return ret < 0 ? ret : 1;
	return 0;
}

static int look_up(struct mlimg_rollout_step *step, struct mlimg_store *store, uint32_t number,
	const char *tenant_id, uint32_t attempt, struct mlimg_err *err)
{
	int ret = mlimg_store_rollout_get(store, number, &step->rollout, err);

	if (ret == 0)
		ret = mlimg_store_rollout_row(store, number, tenant_id, &step->row, err);
	if (ret < 0)
		return ret;
	step->report.position = step->row.position;
	if (step->row.attempt != attempt || !mlimg_rollout_is_intent(step->row.place))
		return mlimg_store_fail(err, ESTALE, "a later attempt has begun");
	return 0;
}

/* With the lock: nobody else does anything to the tenant. */
static int work(struct mlimg_rollout_step *step, struct mlimg_err *err)
{
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	char why[MLIMG_GUEST_WHY_SIZE] = "";
	int ret = mlimg_backend_look(step->found.store, &step->found.tenant, &state, why, err);

	if (ret < 0)
		return ret;
	if (state == MLIMG_GUEST_UNREACHABLE) {
		mlimg_rollout_say(step, MLIMG_ROLLOUT_UNREACHABLE, why);
		return 0;
	}
	/* One that has died runs on nothing any more. */
	ret = mlimg_vm_find_again(&step->found, err);
	if (ret < 0 || !is_ours(step))
		return ret;
	return intents[step->row.place](step, err);
}

static void step_done(struct mlimg_rollout_step *step)
{
	mlimg_vm_found_done(&step->found);
	mlimg_cleanup_close(&step->lock);
}

int mlimg_rollout_step(const char *store_dir, uint32_t number, const char *tenant_id,
	uint32_t attempt, struct mlimg_rollout_report *ret_report, struct mlimg_err *err)
{
	mlimg_cleanup(step_done) struct mlimg_rollout_step step = {.lock = -1};
	mlimg_autostore struct mlimg_store *store = NULL;
	int ret = mlimg_store_open(store_dir, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = look_up(&step, store, number, tenant_id, attempt, err);
	if (ret < 0)
		return ret;
	ret = find(&step, store, err);
	/* Somebody may have begun it again while the lock was waited for. */
	if (ret == 1) {
		ret = look_up(&step, store, number, tenant_id, attempt, err);
		if (ret < 0)
			return ret;
		ret = work(&step, err);
	}
	/* The disk is all tenants': the next one would find it full, too. */
	if (ret < 0)
		mlimg_rollout_say(&step,
			ret == -ENOSPC && step.row.place == MLIMG_ROLLOUT_CHECKPOINT
				? MLIMG_ROLLOUT_NO_ROOM
				: MLIMG_ROLLOUT_NOT,
			err->text);
	*ret_report = step.report;
	return 0;
}

static bool is_another_boot(const struct mlimg_rollout_row *row,
	const struct mlimg_rollout_seen *seen, const struct mlimg_rollout_boot *now)
{
	const char *was = *row->boot ? row->boot : seen->boot.id;

	if (*was && *now->id)
		return strcmp(was, now->id) != 0;
	return now->uptime_ms && now->uptime_ms < seen->boot.uptime_ms;
}

/*
 * A guest says what it likes: one that lies is restarted, as it could restart itself. One of QEMU's
 * is asked once, for what it did while nobody looked; who watches it tells the rest.
 */
static void ask_boot(const struct mlimg_tenant *tenant, const struct mlimg_rollout_row *row,
	struct mlimg_rollout_seen *seen)
{
	bool is_watched = !mlimg_backend_of(tenant)->is_shared;
	struct mlimg_rollout_boot now;

	if (seen->has_rebooted || (is_watched && (seen->is_asked || !*row->boot)) ||
		!mlimg_rollout_ask_boot(tenant, &now))
		return;
	seen->has_rebooted = is_another_boot(row, seen, &now);
	if (!*seen->boot.id)
		strcpy(seen->boot.id, now.id);
	if (now.uptime_ms)
		seen->boot.uptime_ms = now.uptime_ms;
	seen->is_asked = true;
}

int mlimg_rollout_look_at(struct mlimg_store *store, const struct mlimg_rollout_row *row,
	struct mlimg_rollout_seen *seen, enum mlimg_rollout_look *ret_look, struct mlimg_err *err)
{
	mlimg_autotenant struct mlimg_tenant tenant = {.run_s = 0};
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	char why[MLIMG_GUEST_WHY_SIZE], name[MLIMG_STORE_NAME_SIZE];
	int ret = mlimg_store_tenant_name(store, row->tenant_id, name, err);

	*ret_look = MLIMG_ROLLOUT_IS_GONE;
	if (ret > 0)
		ret = mlimg_tenant_load(store, name, &tenant, err);
	else
		return ret;
	if (ret == 0)
		ret = mlimg_backend_look(store, &tenant, &state, why, err);
	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	if (seen && state == MLIMG_GUEST_UP && tenant.row.current != row->to)
		ask_boot(&tenant, row, seen);
	if (state == MLIMG_GUEST_UNREACHABLE)
		*ret_look = MLIMG_ROLLOUT_IS_UNKNOWN;
	else if (tenant.row.current == row->to)
		*ret_look = MLIMG_ROLLOUT_IS_NEW;
	else if (!mlimg_guest_is_on(state))
		*ret_look = MLIMG_ROLLOUT_IS_OFF;
	else
		*ret_look = state == MLIMG_GUEST_STARTING || (seen && seen->has_rebooted)
			? MLIMG_ROLLOUT_IS_REBOOT
			: MLIMG_ROLLOUT_IS_ON;
	return 0;
}
