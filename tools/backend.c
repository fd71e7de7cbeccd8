/* SPDX-License-Identifier: MIT */
#include "tools/backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tools/backend-libvirt.h"
#include "tools/libvirt-conn.h"
#include "tools/store-impl.h"

#define LOOK_MS 100         /* pause between looks at a guest that boots, or goes on */
#define STUCK_LOOKS 10      /* at one that goes on */
#define EVENTS_LOOKED_AT 50 /* behind more of other kinds than these, a death is long ago */

const struct mlimg_backend *mlimg_backend_of(const struct mlimg_tenant *tenant)
{
	return tenant->uri ? &mlimg_backend_libvirt : &mlimg_backend_qemu;
}

bool mlimg_backend_has_disk_away(const struct mlimg_tenant *tenant)
{
	return tenant->uri && !mlimg_libvirt_is_local(tenant->uri) &&
		access(tenant->user_disk, F_OK) < 0;
}

bool mlimg_backend_has_lost_disk(const struct mlimg_tenant *tenant)
{
	return access(tenant->user_disk, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR) &&
		!mlimg_backend_has_disk_away(tenant);
}

int mlimg_backend_check_disk(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	if (!mlimg_backend_has_lost_disk(tenant))
		return 0;
	return mlimg_store_fail(err, ENOENT, "tenant '%s': its disk is not there ('%.300s')",
		tenant->row.name, tenant->user_disk);
}

bool mlimg_backend_is_half_started(const struct mlimg_tenant *tenant, enum mlimg_guest_state state)
{
	return mlimg_backend_of(tenant)->is_shared && !tenant->run_s && state == MLIMG_GUEST_PAUSED;
}

/* Whether somebody else has started it. */
static bool is_new(const struct mlimg_tenant *tenant, enum mlimg_guest_state state)
{
	return mlimg_backend_of(tenant)->is_shared && !tenant->run_s && tenant->row.current &&
		mlimg_guest_is_on(state) && state != MLIMG_GUEST_PAUSED;
}

static int write_down_start(
	struct mlimg_store *store, struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	int64_t now = (int64_t)time(NULL);
	int ret = mlimg_tenant_run_set(store, tenant->row.id, now, err);

	if (ret == 0)
		ret = mlimg_store_event_add(store, MLIMG_STORE_TENANT, tenant->row.id, "started",
			"by somebody else", err);
	if (ret == 0)
		tenant->run_s = now;
	return ret;
}

/* Under the transaction: somebody else may have written it down, or started the guest again. */
static int write_down(struct mlimg_store *store, struct mlimg_tenant *tenant,
	enum mlimg_guest_state *state, char why[MLIMG_GUEST_WHY_SIZE], struct mlimg_err *err)
{
	struct mlimg_tenant_settings settings;
	int64_t run_s;
	int ret = mlimg_tenant_settings_get(store, tenant->row.id, &settings, &run_s, err);

	if (ret < 0)
		return ret;
	mlimg_tenant_settings_done(&settings);
	tenant->run_s = run_s;
	ret = mlimg_backend_of(tenant)->state(tenant, state, why, err);
	if (ret == 0 && is_new(tenant, *state))
		return write_down_start(store, tenant, err);
	if (ret < 0 || !run_s || mlimg_guest_is_on(*state) || *state == MLIMG_GUEST_UNREACHABLE)
		return ret;
	ret = mlimg_tenant_run_set(store, tenant->row.id, 0, err);
	if (ret == 0)
		ret = mlimg_store_event_add(store, MLIMG_STORE_TENANT, tenant->row.id,
			mlimg_guest_state_name(*state), why, err);
	if (ret == 0)
		tenant->run_s = 0;
	return ret;
}

/* What cannot be written down is told all the same. */
static void agree(struct mlimg_store *store, struct mlimg_tenant *tenant,
	enum mlimg_guest_state *state, char why[MLIMG_GUEST_WHY_SIZE])
{
	if (mlimg_store_begin(store, NULL) == 0 &&
		mlimg_store_end(store, write_down(store, tenant, state, why, NULL), NULL) < 0)
		return;
}

/* Whoever starts it with the tenant's lock writes it down himself. */
static bool is_being_started(const struct mlimg_tenant *tenant)
{
	mlimg_autoclose int lock = -1;

	return !tenant->lock && mlimg_tenant_lock_within(tenant, "look", 0, &lock, NULL) == -EBUSY;
}

struct last {
	char *why;
	bool is_known, has_died;
};

/* The newest event that tells whether the guest is on. */
static int take_event(const struct mlimg_store_event *event, void *ctx, struct mlimg_err *err)
{
	enum mlimg_guest_state state;
	struct last *last = ctx;

	if (last->is_known)
		return 0;
	last->is_known =
		strcmp(event->kind, "started") == 0 || mlimg_guest_state_of(event->kind, &state);
	last->has_died = strcmp(event->kind, mlimg_guest_state_name(MLIMG_GUEST_DIED)) == 0;
	if (last->has_died)
		snprintf(last->why, MLIMG_GUEST_WHY_SIZE, "%.*s", MLIMG_GUEST_WHY_SIZE - 1,
			event->text);
	return 0;
}

/* That it died outlasts what the host forgets when it starts. */
static int remember(struct mlimg_store *store, const struct mlimg_tenant *tenant,
	enum mlimg_guest_state *state, char why[MLIMG_GUEST_WHY_SIZE], struct mlimg_err *err)
{
	struct last last = {.why = why};
	int ret = mlimg_store_event_each(
		store, tenant->row.id, EVENTS_LOOKED_AT, take_event, &last, err);

	if (ret == 0 && last.has_died)
		*state = MLIMG_GUEST_DIED;
	return ret;
}

/* Of one that was interrupted nobody knows how far it came, until the next command ends it. */
static int tell_restore(const struct mlimg_checkpoint *c, void *ctx, struct mlimg_err *err)
{
	char *why = ctx;

	if (c->state == MLIMG_CHECKPOINT_RESTORING)
		snprintf(why, MLIMG_GUEST_WHY_SIZE,
			"a restore of checkpoint '%s' is under way, or was interrupted", c->tag);
	return 0;
}

/* A guest that is on has it open; that it cannot be started again is seen by mlimg-store verify. */
static void tell_lost_disk(const struct mlimg_tenant *tenant, enum mlimg_guest_state state,
	char why[MLIMG_GUEST_WHY_SIZE])
{
	static const char text[] = "its disk is not there";
	size_t size = strnlen(why, MLIMG_GUEST_WHY_SIZE - sizeof(text) - 2);

	if (mlimg_guest_is_on(state) || state == MLIMG_GUEST_UNREACHABLE ||
		!mlimg_backend_has_lost_disk(tenant))
		return;
	snprintf(why + size, MLIMG_GUEST_WHY_SIZE - size, "%s%s", size ? "; " : "", text);
}

int mlimg_backend_look(struct mlimg_store *store, struct mlimg_tenant *tenant,
	enum mlimg_guest_state *ret_state, char ret_why[MLIMG_GUEST_WHY_SIZE],
	struct mlimg_err *err)
{
	char why[MLIMG_GUEST_WHY_SIZE] = "";
	enum mlimg_guest_state state = MLIMG_GUEST_OFF;
	int ret = mlimg_backend_of(tenant)->state(tenant, &state, why, err);
	bool is_on = mlimg_guest_is_on(state) || state == MLIMG_GUEST_UNREACHABLE;

	if (ret == 0 && is_new(tenant, state)) {
		if (!is_being_started(tenant))
			agree(store, tenant, &state, why);
		ret = mlimg_tenant_load_generation(store, tenant, tenant->row.current, err);
	} else if (ret == 0 && !is_on && tenant->run_s) {
		agree(store, tenant, &state, why);
	} else if (ret == 0 && state == MLIMG_GUEST_OFF && !*why) {
		ret = remember(store, tenant, &state, why, err);
	}
	if (ret == 0 && mlimg_backend_is_half_started(tenant, state) && !*why)
		strcpy(why, "it is being started, or its start was interrupted");
	if (ret == 0 && !*why)
		ret = mlimg_store_checkpoint_each(store, tenant->row.id, tell_restore, why, err);
	if (ret == 0) {
		tell_lost_disk(tenant, state, why);
		*ret_state = state;
		memcpy(ret_why, why, sizeof(why));
	}
	return ret;
}

int mlimg_backend_check_rest(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	const struct mlimg_backend *backend = mlimg_backend_of(tenant);
	const char *name = tenant->row.name;
	bool is_suspended = false;
	int ret = backend->is_suspended ? backend->is_suspended(tenant, &is_suspended, err) : 0;

	if (ret < 0 || !is_suspended)
		return ret;
	return mlimg_store_fail(err, EBUSY,
		"tenant '%s' is saved, and goes on from there: let it ('virsh start %s') and shut "
		"it down, or give its memory up ('virsh managedsave-remove %s')",
		name, name, name);
}

int mlimg_backend_check_off(
	struct mlimg_store *store, struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	char why[MLIMG_GUEST_WHY_SIZE];
	enum mlimg_guest_state state;
	int ret = mlimg_backend_look(store, tenant, &state, why, err);

	if (ret < 0)
		return ret;
	if (mlimg_guest_is_on(state))
		return mlimg_err_set(err, 0, "tenant '%s' is %s: stop it first", tenant->row.name,
			mlimg_guest_state_name(state));
	if (state == MLIMG_GUEST_UNREACHABLE)
		return mlimg_err_set(err, 0, "tenant '%s': %s", tenant->row.name,
			*why ? why : "its host does not answer");
	return mlimg_backend_check_rest(tenant, err);
}

int mlimg_backend_resume(const struct mlimg_tenant *tenant, enum mlimg_backend_resumed *ret_how,
	struct mlimg_err *err)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000l};
	const struct mlimg_backend *backend = mlimg_backend_of(tenant);
	bool was_stuck = false, is_stuck = false;
	int ret = backend->is_stuck(tenant, &was_stuck, err);

	if (ret == 0 && was_stuck)
		ret = backend->go_on(tenant, err);
	for (int i = 0; ret == 0 && was_stuck && !is_stuck && i < STUCK_LOOKS; i++) {
		nanosleep(&pause, NULL);
		ret = backend->is_stuck(tenant, &is_stuck, err);
	}
	if (ret < 0)
		return ret;
	*ret_how = is_stuck ? MLIMG_RESUMED_STUCK : was_stuck ? MLIMG_RESUMED : MLIMG_RESUMED_NOT;
	return 0;
}

int mlimg_backend_wait_up(const struct mlimg_tenant *tenant, uint64_t deadline_ms,
	enum mlimg_guest_state *ret_state, char ret_why[MLIMG_GUEST_WHY_SIZE],
	struct mlimg_err *err)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000l};

	for (;;) {
		char why[MLIMG_GUEST_WHY_SIZE] = "";
		enum mlimg_guest_state state = MLIMG_GUEST_OFF;
		int ret = mlimg_backend_of(tenant)->state(tenant, &state, why, err);
		bool waits = state == MLIMG_GUEST_STARTING || state == MLIMG_GUEST_STOPPING ||
			state == MLIMG_GUEST_UNREACHABLE;

		if (ret < 0)
			return ret;
		if (!waits || mlimg_now_ms() >= deadline_ms) {
			*ret_state = state;
			memcpy(ret_why, why, sizeof(why));
			return 0;
		}
		nanosleep(&pause, NULL);
	}
}
