/* SPDX-License-Identifier: MIT */
#include "tools/rollout-make.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "libmlimg/arena.h"
#include "tools/rollout-step.h"
#include "tools/rollout-verify.h"
#include "tools/store-impl.h"
#include "tools/vm-find.h"

#define LOCK "upgrade.lock"

/* Rows of a rollout that is being made. */
struct making {
	struct mlimg_store *store;
	struct mlimg_rollout_row *rows;
	size_t room;
	uint32_t n, n_todo;
	const char *glob;
	struct mlimg_rollout_left left;
	bool *has_it; /* of the fleet's tenants, those that are left as they are */
};

static int add_row(struct making *m, const struct mlimg_rollout_row *row, struct mlimg_err *err)
{
	if (mlimg_buffer_reserve(&m->rows, &m->room, (m->n + 1) * sizeof(*m->rows)) < 0)
		return mlimg_err_set(err, ENOMEM, "list tenants");
	m->rows[m->n] = *row;
	m->rows[m->n].position = m->n;
	m->n_todo += row->place == MLIMG_ROLLOUT_WAITING;
	m->n++;
	return 0;
}

struct same {
	const char *const *ids;
	size_t n;
	uint32_t number; /* of the newest with the same layers; 0: none */
};

static int find_same(const struct mlimg_store_generation *g, void *ctx, struct mlimg_err *err)
{
	struct same *same = ctx;
	size_t i = 0;

	while (g->n_layers == same->n && i < same->n && strcmp(g->layers[i], same->ids[i]) == 0)
		i++;
	if (i == same->n)
		same->number = g->number;
	return 0;
}

/* A generation is not there twice: without @is_made none is made. @ret_number 0: there is none */
static int have_generation(struct mlimg_store *store, const struct mlimg_upgrade_tenant *t,
	bool is_made, uint32_t *ret_number, struct mlimg_err *err)
{
	const struct mlimg_boot_stack *stack = mlimg_upgrade_stack_boot(t->stack);
	const char *ids[MLIMG_BOOT_LAYERS_MAX];
	struct same same = {.ids = ids, .n = stack->n_layers};
	int ret;

	for (size_t i = 0; i < same.n; i++)
		ids[i] = stack->layers[i].build_id;
	ret = mlimg_store_generation_each(store, t->id, find_same, &same, err);
	if (ret == 0 && is_made && !same.number)
		ret = mlimg_store_generation_add(store, t->id, ids, same.n, &same.number, err);
	if (ret == 0)
		*ret_number = same.number;
	return ret;
}

/*
 * One that is off and has it from its next start on: there is nothing to do for it. Not in a
 * transaction: who looks at a guest may have to write down that it has ended.
 */
static int has_it_already(struct mlimg_store *store, const struct mlimg_upgrade_tenant *t,
	bool *ret_has, struct mlimg_err *err)
{
	enum mlimg_rollout_look look = MLIMG_ROLLOUT_IS_UNKNOWN;
	struct mlimg_rollout_row row = {.place = MLIMG_ROLLOUT_HOLD};
	struct mlimg_store_tenant now;
	int ret = mlimg_store_tenant_find(store, t->name, &now, err);

	*ret_has = false;
	if (ret < 0 || strcmp(now.id, t->id) != 0 || !now.pending)
		return ret == -ENOENT ? 0 : ret;
	strcpy(row.tenant_id, t->id);
	ret = have_generation(store, t, false, &row.to, err);
	if (ret == 0 && row.to == now.pending)
		ret = mlimg_rollout_look_at(store, &row, NULL, &look, err);
	if (ret == 0)
		*ret_has = look == MLIMG_ROLLOUT_IS_OFF;
	return ret;
}

static int take_tenant(
	struct making *m, const struct mlimg_upgrade_tenant *t, struct mlimg_err *err)
{
	struct mlimg_rollout_row row = {.place = MLIMG_ROLLOUT_WAITING};
	struct mlimg_store_tenant now;
	int ret = mlimg_store_tenant_find(m->store, t->name, &now, err);

	if (ret == -ENOENT || (ret == 0 && strcmp(now.id, t->id) != 0))
		return 0;
	if (ret == 0)
		ret = have_generation(m->store, t, true, &row.to, err);
	if (ret < 0)
		return ret;
	if (now.current == row.to && !now.pending) {
		m->left.n_have++;
		return 0;
	}
	strcpy(row.tenant_id, t->id);
	strcpy(row.name, t->name);
	row.from = now.current;
	if (now.pending && now.pending != row.to) {
		row.place = MLIMG_ROLLOUT_SKIPPED;
		snprintf(row.text, sizeof(row.text), "generation %u is to be its next one already",
			now.pending);
	}
	return add_row(m, &row, err);
}

static int give_waves(struct making *m, const struct mlimg_rollout *rollout, struct mlimg_err *err)
{
	uint32_t ends[MLIMG_ROLLOUT_WAVES];
	unsigned n_waves = 0, wave = 0;
	int ret = mlimg_rollout_waves(rollout->waves, m->n, ends, &n_waves, err);

	for (uint32_t i = 0; ret == 0 && i < m->n; i++) {
		while (i >= ends[wave])
			wave++;
		m->rows[i].wave = wave;
	}
	return ret;
}

/* In a transaction: generations and rollout are there together. */
static int write_all(struct making *m, const struct mlimg_upgrade_fleet *fleet,
	struct mlimg_rollout *rollout, struct mlimg_err *err)
{
	int ret = 0;

	for (size_t i = 0; fleet && ret == 0 && i < fleet->n; i++)
		if (fleet->tenants[i].err.code == 0 && !m->has_it[i])
			ret = take_tenant(m, &fleet->tenants[i], err);
		else
			m->left.n_have += fleet->tenants[i].err.code == 0;
	if (ret == 0 && m->n_todo == 0 && m->n)
		return mlimg_store_fail(err, EBUSY, "nothing has been begun: %s: %s",
			m->rows[0].name, m->rows[0].text);
	if (ret < 0 || m->n_todo == 0)
		return ret;
	ret = give_waves(m, rollout, err);
	return ret < 0 ? ret : mlimg_store_rollout_add(m->store, rollout, m->rows, m->n, err);
}

static int make(struct making *m, const struct mlimg_upgrade_fleet *fleet,
	struct mlimg_rollout *rollout, struct mlimg_err *err)
{
	mlimg_autofree bool *has_it = calloc(fleet->n + 1, sizeof(*has_it));
	int ret = has_it ? 0 : mlimg_err_set(err, ENOMEM, "list tenants");

	m->has_it = has_it;
	for (size_t i = 0; ret == 0 && i < fleet->n; i++)
		if (fleet->tenants[i].err.code == 0)
			ret = has_it_already(m->store, &fleet->tenants[i], &has_it[i], err);
	if (ret == 0)
		ret = mlimg_rollout_verify(m->store, fleet, has_it, err);
	if (ret == 0)
		ret = mlimg_store_begin(m->store, err);
	if (ret == 0)
		ret = mlimg_store_end(m->store, write_all(m, fleet, rollout, err), err);
	free(m->rows);
	return ret;
}

int mlimg_rollout_make(struct mlimg_store *store, const struct mlimg_upgrade_wish *wish,
	bool is_partial, struct mlimg_rollout *rollout, struct mlimg_rollout_left *ret_left,
	struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_upgrade_fleet_done) struct mlimg_upgrade_fleet fleet = {.n = 0};
	struct making m = {.store = store};
	int ret = mlimg_upgrade_fleet_load(store, wish, &fleet, err);

	*ret_left = (struct mlimg_rollout_left){.n_have = 0};
	for (size_t i = 0; ret == 0 && i < fleet.n; i++) {
		const struct mlimg_upgrade_tenant *t = &fleet.tenants[i];

		if (t->err.code == 0)
			continue;
		m.left.n_refused = ++ret_left->n_refused;
		if (!is_partial) {
			*err = t->err;
			ret = t->err.code;
		}
	}
	if (ret < 0)
		return ret;
	snprintf(rollout->target, sizeof(rollout->target), "%s %s", fleet.name, fleet.version);
	ret = make(&m, &fleet, rollout, err);
	if (ret == 0)
		*ret_left = m.left;
	return ret;
}

/* ---- back ---- */

/* @return 1: it is there, and meant; 0; -errno */
static int look_up(struct making *m, const struct mlimg_rollout_row *was,
	struct mlimg_store_tenant *ret_now, struct mlimg_err *err)
{
	char name[MLIMG_STORE_NAME_SIZE];
	int ret = mlimg_store_tenant_name(m->store, was->tenant_id, name, err);

	if (ret <= 0 || (m->glob && fnmatch(m->glob, name, 0) != 0))
		return ret < 0 ? ret : 0;
	ret = mlimg_store_tenant_find(m->store, name, ret_now, err);
	return ret < 0 ? ret : 1;
}

static bool is_to_have(const struct mlimg_store_tenant *now, const struct mlimg_rollout_row *was)
{
	return strcmp(now->id, was->tenant_id) == 0 && now->current == was->from &&
		now->pending == was->to;
}

static void step_done(struct mlimg_rollout_step *step)
{
	mlimg_vm_found_done(&step->found);
	mlimg_cleanup_close(&step->lock);
}

/* What it never ran on it need not be taken back from; with its lock nobody starts it meanwhile. */
static int take_pending(struct making *m, const struct mlimg_rollout *rollout,
	const struct mlimg_rollout_row *was, struct mlimg_err *err)
{
	mlimg_cleanup(step_done) struct mlimg_rollout_step step = {.rollout = *rollout, .lock = -1};
	struct mlimg_store_tenant now;
	int ret = look_up(m, was, &now, err);

	if (ret <= 0 || !is_to_have(&now, was))
		return ret < 0 ? ret : 0;
	ret = mlimg_vm_take(
		&(struct mlimg_vm_wanted){.name = now.name, .store = mlimg_store_dir(m->store)},
		"upgrade", &step.found, &step.lock, err);
	if (ret == -EBUSY || ret == -ENOENT) {
		*err = (struct mlimg_err)MLIMG_ERR_INIT;
		m->left.n_busy += ret == -EBUSY;
		return 0;
	}
	if (ret < 0 || !is_to_have(&step.found.tenant.row, was))
		return ret;
	ret = mlimg_rollout_set_next(&step, was->from, err);
	m->left.n_taken += ret == 0;
	return ret;
}

static int take_back(struct making *m, const struct mlimg_rollout_row *was, struct mlimg_err *err)
{
	struct mlimg_rollout_row row = {
		.place = MLIMG_ROLLOUT_WAITING, .from = was->to, .to = was->from};
	struct mlimg_store_tenant now;
	int ret = look_up(m, was, &now, err);

	if (ret <= 0)
		return ret;
	strcpy(row.tenant_id, was->tenant_id);
	strcpy(row.name, now.name);
	if (now.current == was->to)
		return add_row(m, &row, err);
	if (now.current != was->from || (now.pending && now.pending != was->to))
		m->left.n_other++;
	else
		m->left.n_have += !now.pending;
	return 0;
}

int mlimg_rollout_make_back(struct mlimg_store *store, uint32_t of, const char *glob,
	struct mlimg_rollout *rollout, struct mlimg_rollout_left *ret_left, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_rollout_row *rows = NULL;
	struct making m = {.store = store, .glob = glob};
	struct mlimg_rollout was;
	uint32_t n = 0, n_meant = 0;
	int ret = mlimg_store_rollout_get(store, of, &was, err);

	if (ret == 0 && !was.ended_s)
		ret = mlimg_store_fail(err, EBUSY,
			"rollout %u has not ended: 'mlimg-upgrade abort' ends it", was.number);
	if (ret == 0)
		ret = mlimg_store_rollout_rows(store, was.number, &rows, &n, err);
	for (uint32_t i = 0; ret == 0 && i < n; i++)
		n_meant += !glob || fnmatch(glob, rows[i].name, 0) == 0;
	if (ret == 0 && n_meant == 0)
		ret = mlimg_store_fail(err, ENOENT, "no tenant of rollout %u is named '%.100s'",
			was.number, glob ? glob : "");
	for (uint32_t i = 0; ret == 0 && i < n; i++)
		ret = take_pending(&m, &was, &rows[i], err);
	if (ret == 0)
		ret = mlimg_store_begin(store, err);
	if (ret < 0)
		return ret;
	for (uint32_t i = 0; ret == 0 && i < n; i++)
		ret = take_back(&m, &rows[i], err);
	rollout->undoes = was.number;
	snprintf(rollout->target, sizeof(rollout->target), "back from %.300s", was.target);
	if (ret == 0)
		ret = write_all(&m, NULL, rollout, err);
	free(m.rows);
	/* Those from which it was taken have been met again. */
	m.left.n_have -= m.left.n_taken < m.left.n_have ? m.left.n_taken : m.left.n_have;
	*ret_left = m.left;
	return mlimg_store_end(store, ret, err);
}

/* ---- who carries it out ---- */

static int open_lock(struct mlimg_store *store, struct mlimg_err *err)
{
	int fd = openat(
		store->dir_fd, LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

	return fd < 0 ? mlimg_err_set(err, errno, "open '%.300s/" LOCK "'", store->dir) : fd;
}

static int holder(int fd)
{
	char text[16] = "";

	if (flock(fd, LOCK_SH | LOCK_NB) == 0 || pread(fd, text, sizeof(text) - 1, 0) < 0)
		return 0;
	return atoi(text);
}

int mlimg_rollout_holder(struct mlimg_store *store)
{
	mlimg_autoclose int fd = openat(store->dir_fd, LOCK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? 0 : holder(fd);
}

int mlimg_rollout_lock(struct mlimg_store *store, int *ret_fd, struct mlimg_err *err)
{
	mlimg_autoclose int fd = open_lock(store, err);

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return mlimg_store_fail(err, EBUSY,
			"a rollout of '%.300s' is being carried out (process %d)", store->dir,
			holder(fd));
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return mlimg_err_set(err, errno, "write '%.300s/" LOCK "'", store->dir);
	*ret_fd = mlimg_steal_fd(&fd);
	return 0;
}
