/* SPDX-License-Identifier: MIT */
#include "tools/upgrade-fleet.h"

#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tools/backend.h"
#include "tools/checkpoint-qemu.h"
#include "tools/store-checkpoint.h"
#include "tools/store-impl.h"
#include "tools/upgrade-away.h"
#include "tools/upgrade-checkpoint.h"

#define THREADS_MAX 64 /* each has a qemu-nbd beside it */

void mlimg_upgrade_fleet_done(struct mlimg_upgrade_fleet *fleet)
{
	for (size_t i = 0; i < fleet->n; i++)
		mlimg_upgrade_tenant_done(&fleet->tenants[i]);
	for (size_t i = 0; i < fleet->n_stacks; i++)
		mlimg_upgrade_stack_close(fleet->stacks[i]);
	free(fleet->tenants);
	free(fleet->stacks);
	mlimg_upgrade_bases_free(fleet->bases);
	*fleet = (struct mlimg_upgrade_fleet){.n = 0};
}

/* ---- which tenants, which stacks ---- */

struct loading {
	struct mlimg_store *store;
	struct mlimg_upgrade_fleet *fleet;
	const struct mlimg_upgrade_wish *wish;
	char (*names)[MLIMG_LAYER_NAME_MAX + 1]; /* of wish->software */
};

static int take_tenant(const struct mlimg_store_tenant *tenant, void *ctx, struct mlimg_err *err)
{
	struct loading *l = ctx;
	struct mlimg_upgrade_fleet *fleet = l->fleet;
	struct mlimg_upgrade_tenant *t;

	if (l->wish->glob && fnmatch(l->wish->glob, tenant->name, 0) != 0)
		return 0;
	if (mlimg_buffer_reserve(&fleet->tenants, &fleet->tenants_room,
		    (fleet->n + 1) * sizeof(*fleet->tenants)) < 0)
		return mlimg_err_set(err, ENOMEM, "list tenants");
	t = &fleet->tenants[fleet->n++];
	*t = (struct mlimg_upgrade_tenant){.outcome = MLIMG_UPGRADE_FAILED};
	strcpy(t->name, tenant->name);
	strcpy(t->id, tenant->id);
	strcpy(t->user_id, tenant->user_id);
	return 0;
}

static int have_stack(struct loading *l, const struct mlimg_tenant_stack *layers,
	struct mlimg_upgrade_stack **ret, struct mlimg_err *err)
{
	struct mlimg_upgrade_fleet *f = l->fleet;
	int r;

	for (size_t i = 0; i < f->n_stacks; i++)
		if (mlimg_upgrade_stack_is_of(f->stacks[i], layers)) {
			*ret = f->stacks[i];
			return 0;
		}
	if (mlimg_buffer_reserve(
		    &f->stacks, &f->stacks_room, (f->n_stacks + 1) * sizeof(*f->stacks)) < 0)
		return mlimg_err_set(err, ENOMEM, "open layers");
	r = mlimg_upgrade_stack_open(l->store, layers, ret, err);
	if (r == 0)
		f->stacks[f->n_stacks++] = *ret;
	return r;
}

struct looking {
	struct mlimg_upgrade_tenant *t;
	uint32_t current;
};

/*
 * The newest of the disk alone: one with memory was taken of a file system that was being written.
 * One of an earlier generation has not seen the change to this one.
 */
static int take_checkpoint(
	const struct mlimg_checkpoint *checkpoint, void *ctx, struct mlimg_err *err)
{
	const struct looking *looking = ctx;
	struct mlimg_upgrade_tenant *t = looking->t;
	char snapshot[MLIMG_SNAPSHOT_NAME_SIZE], *copy;

	if (checkpoint->kind != MLIMG_CHECKPOINT_DISK ||
		checkpoint->state != MLIMG_CHECKPOINT_SAVED ||
		checkpoint->generation != looking->current)
		return 0;
	copy = strdup(mlimg_snapshot_name(checkpoint->tag, snapshot));
	if (!copy)
		return mlimg_err_set(err, ENOMEM, "%s", t->name);
	free(t->snapshot);
	t->snapshot = copy;
	strcpy(t->checkpoint, checkpoint->tag);
	t->checkpoint_s = checkpoint->created_s;
	return 0;
}

static bool has_software(const struct mlimg_tenant *tenant, const char *name)
{
	for (size_t i = 0; i < tenant->n_layers; i++)
		if (tenant->layers[i].info.kind == MLIMG_SOFTWARE &&
			strcmp(tenant->layers[i].info.name, name) == 0)
			return true;
	return false;
}

static int choose(struct loading *l, const struct mlimg_tenant *was, struct mlimg_upgrade_tenant *t,
	struct mlimg_tenant_stack *layers, struct mlimg_err *err)
{
	struct mlimg_stack_wish wish = {.system = l->wish->system};
	int r;

	for (size_t i = 0; i < l->wish->n_software; i++)
		if (has_software(was, l->names[i]))
			wish.add[wish.n_add++] = l->wish->software[i];
	r = mlimg_tenant_stack_choose(l->store, &wish, was, layers, err);
	if (r == 0) {
		mlimg_tenant_stack_describe(layers->layers, layers->stack.n_layers, t->to);
		r = mlimg_upgrade_check_software(l->store, was, layers, &t->way_out, err);
	}
	return r < 0 ? r : have_stack(l, layers, &t->stack, err);
}

static int load_tenant(struct loading *l, struct mlimg_upgrade_tenant *t, struct mlimg_err *err)
{
	struct mlimg_tenant_stack *layers = calloc(1, sizeof(*layers));
	mlimg_autotenant struct mlimg_tenant was = {.run_s = 0};
	int r = layers ? 0 : mlimg_err_set(err, ENOMEM, "%s", t->name);

	if (r == 0 && l->wish->checkpoints)
		r = mlimg_upgrade_checkpoint_take(l->store, t->name, t->taken, err);
	if (r == 0)
		r = mlimg_tenant_load(l->store, t->name, &was, err);
	if (r == 0) {
		mlimg_tenant_stack_describe(was.layers, was.n_layers, t->from);
		t->union_driver = was.settings.union_driver;
		if (mlimg_backend_has_disk_away(&was))
			strcpy(t->away, was.host);
		t->disk = mlimg_steal(&was.user_disk);
		r = mlimg_store_checkpoint_each(l->store, t->id, take_checkpoint,
			&(struct looking){t, was.row.current}, err);
	}
	if (r == 0)
		r = choose(l, &was, t, layers, err);
	if (r == -EUCLEAN)
		t->outcome = MLIMG_UPGRADE_REFUSED;
	if (layers)
		mlimg_tenant_stack_done(layers);
	free(layers);
	return r;
}

/* The new system itself: without it there is nothing to plan. */
static int load_system(struct loading *l, struct mlimg_err *err)
{
	const struct mlimg_stack_wish wish = {.system = l->wish->system};
	struct mlimg_tenant_stack *layers = calloc(1, sizeof(*layers));
	struct mlimg_upgrade_stack *stack;
	int r = layers ? mlimg_tenant_stack_choose(l->store, &wish, NULL, layers, err)
		       : mlimg_err_set(err, ENOMEM, "open layers");

	if (r == 0)
		r = have_stack(l, layers, &stack, err);
	if (r == 0) {
		const struct mlimg_layer_info *top =
			&layers->layers[layers->stack.n_layers - 1].info;

		strcpy(l->fleet->name, top->name);
		strcpy(l->fleet->version, top->version);
		strcpy(l->fleet->system_id, mlimg_stack_system_id(&layers->stack));
	}
	if (layers)
		mlimg_tenant_stack_done(layers);
	free(layers);
	return r;
}

/* What their names are: only tenants that have one of these get another. */
static int name_software(struct loading *l, struct mlimg_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->wish->n_software; i++) {
		mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};

		r = mlimg_store_layer_find(l->store, l->wish->software[i],
			MLIMG_STORE_KIND(MLIMG_SOFTWARE), &layer, NULL, err);
		if (r == 0)
			strcpy(l->names[i], layer.info.name);
		else if (r == -ENOENT)
			r = mlimg_store_fail(err, ENOENT, "the store has no software layer '%.64s'",
				l->wish->software[i]);
	}
	return r;
}

int mlimg_upgrade_fleet_load(struct mlimg_store *store, const struct mlimg_upgrade_wish *wish,
	struct mlimg_upgrade_fleet *ret_fleet, struct mlimg_err *err)
{
	char names[MLIMG_STACK_SOFTWARE_MAX][MLIMG_LAYER_NAME_MAX + 1];
	struct loading l = {store, ret_fleet, wish, names};
	int r;

	ret_fleet->bases = mlimg_upgrade_bases_new();
	if (!ret_fleet->bases)
		return mlimg_err_set(err, ENOMEM, "list tenants");
	r = load_system(&l, err);
	if (r == 0)
		r = name_software(&l, err);
	if (r == 0)
		r = mlimg_store_tenant_each(store, take_tenant, &l, err);
	if (r == 0 && wish->glob && ret_fleet->n == 0)
		r = mlimg_store_fail(err, ENOENT, "no tenant's name is '%.100s'", wish->glob);
	for (size_t i = 0; r == 0 && i < ret_fleet->n; i++) {
		struct mlimg_upgrade_tenant *t = &ret_fleet->tenants[i];

		if (load_tenant(&l, t, &t->err) == -ENOMEM)
			r = mlimg_err_set(err, ENOMEM, "%s", t->name);
	}
	return r;
}

void mlimg_upgrade_fleet_release(
	struct mlimg_upgrade_fleet *fleet, struct mlimg_store *store, mlimg_upgrade_stays_fn *fn)
{
	for (size_t i = 0; i < fleet->n; i++) {
		struct mlimg_upgrade_tenant *t = &fleet->tenants[i];
		struct mlimg_err err = MLIMG_ERR_INIT;

		if (t->taken[0] &&
			mlimg_upgrade_checkpoint_delete(store, t->name, t->taken, &err) < 0)
			fn(t->name, t->taken, &err);
		t->taken[0] = '\0';
	}
}

/* ---- planning ---- */

struct work {
	struct mlimg_upgrade_fleet *fleet;
	const char *dir; /* of the store */
	atomic_size_t next;
};

/* A connection to a database is one thread's. */
static void check_checkpoint(
	const struct work *w, struct mlimg_store **store, struct mlimg_upgrade_tenant *t)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r = *store ? 0 : mlimg_store_open(w->dir, MLIMG_STORE_USE, store, &err);

	if (r == 0)
		r = mlimg_upgrade_checkpoint_check(*store, t, &err);
	if (r < 0)
		mlimg_upgrade_plan_fails(t, &err);
}

static void *work(void *ctx)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	struct work *w = ctx;
	size_t i;

	while ((i = atomic_fetch_add(&w->next, 1)) < w->fleet->n) {
		struct mlimg_upgrade_tenant *t = &w->fleet->tenants[i];

		if (*t->away)
			continue;
		mlimg_upgrade_plan(t, w->fleet->bases);
		if (t->is_snapshot)
			check_checkpoint(w, &store, t);
	}
	return NULL;
}

static size_t threads_wanted(const struct mlimg_upgrade_fleet *fleet)
{
	cpu_set_t set;
	size_t n = sched_getaffinity(0, sizeof(set), &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;

	n = n < THREADS_MAX ? n : THREADS_MAX;
	return n < fleet->n ? n : fleet->n;
}

int mlimg_upgrade_fleet_plan(
	struct mlimg_upgrade_fleet *fleet, struct mlimg_store *store, struct mlimg_err *err)
{
	size_t wanted = threads_wanted(fleet), n = 0;
	struct work w = {.fleet = fleet, .dir = mlimg_store_dir(store)};
	pthread_t threads[THREADS_MAX];
	int error = 0;

	while (n < wanted && error == 0) {
		error = pthread_create(&threads[n], NULL, work, &w);
		n += error == 0;
	}
	for (size_t i = 0; i < fleet->n; i++)
		if (*fleet->tenants[i].away)
			mlimg_upgrade_plan_away(store, &fleet->tenants[i], fleet->bases);
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	return n < wanted && n == 0 ? mlimg_err_set(err, error, "start a thread") : 0;
}
