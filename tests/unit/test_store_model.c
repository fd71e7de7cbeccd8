/* SPDX-License-Identifier: MIT */
/*
 * The store beside a naive model in memory: the same random calls, and after each of them the same
 * is in both. MLIMG_CASES says how many calls.
 */
#include "tools/store.h"

#include "tests/lib/store-case.h"

#define TENANTS 4
#define GENERATIONS 64
#define TOP 4

static const char *const names[TENANTS] = {"alice", "bob", "carol", "dave"};

/* Stacks, and one that is none. */
static const struct {
	size_t n;
	enum image layers[TOP];
	bool is_stack;
} stacks[] = {
	{1, {OLD}, true},
	{2, {OLD, WEB}, true},
	{2, {OLD, PATCH}, true},
	{4, {OLD, PATCH, WEB2, FREE}, true},
	{2, {NEW, WEB2}, true},
	{2, {OTHER, FREE}, true},
	{1, {WEB}, false},
	{3, {NEW, FREE, FREE}, false},
};
#define STACKS (sizeof(stacks) / sizeof(stacks[0]))

struct model_tenant {
	bool is_there;
	char id[MLIMG_STORE_ID_SIZE];
	size_t n;                        /* generations */
	size_t generations[GENERATIONS]; /* stacks; generation i + 1 */
	uint32_t current, pending;
};

static struct mlimg_store *store;
static uint64_t added[N_IMAGES]; /* when; 0: it is not there */
static uint64_t now;
static struct model_tenant tenants[TENANTS];
static size_t n_removed; /* tenants */

static const char *provides(enum image i)
{
	return i == PATCH ? images[i].result : images[i].build_id;
}

static bool lies_over(enum image i, const char *id)
{
	if (i == PATCH)
		return strcmp(images[i].base, id) == 0;
	return images[i].n_over && strcmp(images[i].over[0], id) == 0;
}

static bool is_in_generation(enum image image)
{
	for (size_t t = 0; t < TENANTS; t++)
		for (size_t g = 0; tenants[t].is_there && g < tenants[t].n; g++)
			for (size_t i = 0; i < stacks[tenants[t].generations[g]].n; i++)
				if (stacks[tenants[t].generations[g]].layers[i] == image)
					return true;
	return false;
}

static bool is_used(enum image image)
{
	if (is_in_generation(image))
		return true;
	for (enum image i = 0; i < N_IMAGES; i++)
		if (added[i] && i != image && strcmp(provides(i), provides(image)) == 0)
			return false;
	for (enum image i = 0; i < N_IMAGES; i++)
		if (added[i] && lies_over(i, provides(image)))
			return true;
	return false;
}

static int missing_of(size_t stack)
{
	for (size_t i = 0; i < stacks[stack].n; i++) {
		if (!added[stacks[stack].layers[i]])
			return -ENOENT;
		/* What makes no stack shows before what comes behind it is looked for. */
		if (!stacks[stack].is_stack && (stacks[stack].n == 1 || i == 2))
			return -EUCLEAN;
	}
	return 0;
}

/* Comparing. */

static int see_layer(const struct mlimg_store_layer *layer, void *ctx, struct mlimg_err *e)
{
	size_t *n = ctx;

	for (enum image i = 0; i < N_IMAGES; i++)
		if (strcmp(images[i].build_id, layer->info.build_id) == 0) {
			ASSERT(added[i]);
			ASSERT_EQ(layer->info.kind, images[i].kind);
			ASSERT_STR(layer->info.name, images[i].name);
			ASSERT_STR(layer->info.version, images[i].version);
			ASSERT_STR(layer->info.base, images[i].base);
			ASSERT_STR(layer->info.result, images[i].result);
			ASSERT_EQ(layer->info.n_over, images[i].n_over);
			++*n;
			return 0;
		}
	FAIL("a layer that nobody added: %s", layer->info.build_id);
}

static int see_generation(const struct mlimg_store_generation *g, void *ctx, struct mlimg_err *e)
{
	const struct model_tenant *t = ctx;
	size_t stack;

	ASSERT(g->number >= 1 && g->number <= t->n);
	stack = t->generations[g->number - 1];
	ASSERT_EQ(g->n_layers, stacks[stack].n);
	for (size_t i = 0; i < g->n_layers; i++)
		ASSERT_STR(g->layers[i], images[stacks[stack].layers[i]].build_id);
	ASSERT_STR(g->system_id,
		g->n_layers > 1 && stacks[stack].layers[1] == PATCH
			? images[PATCH].result
			: images[stacks[stack].layers[0]].build_id);
	return 0;
}

static int see_tenant(const struct mlimg_store_tenant *tenant, void *ctx, struct mlimg_err *e)
{
	size_t *n = ctx;

	for (size_t i = 0; i < TENANTS; i++) {
		struct model_tenant *t = &tenants[i];

		if (strcmp(names[i], tenant->name) != 0)
			continue;
		ASSERT(t->is_there);
		ASSERT_STR(tenant->id, t->id);
		ASSERT_EQ(tenant->current, t->current);
		ASSERT_EQ(tenant->pending, t->pending);
		ASSERT_OK(mlimg_store_generation_each(store, t->id, see_generation, t, &err), err);
		++*n;
		return 0;
	}
	FAIL("a tenant that nobody created: %s", tenant->name);
}

static void compare(void)
{
	size_t n_layers = 0, n_tenants = 0, seen = 0;

	for (enum image i = 0; i < N_IMAGES; i++)
		n_layers += added[i] != 0;
	for (size_t i = 0; i < TENANTS; i++)
		n_tenants += tenants[i].is_there;
	ASSERT_OK(mlimg_store_layer_each(store, 0, see_layer, &seen, &err), err);
	ASSERT_EQ(seen, n_layers);
	seen = 0;
	ASSERT_OK(mlimg_store_tenant_each(store, see_tenant, &seen, &err), err);
	ASSERT_EQ(seen, n_tenants);
}

/* Calls. */

static void call_add(void)
{
	enum image i = (enum image)test_random(N_IMAGES);
	bool is_other = (i == OLD && added[OTHER]) || (i == OTHER && added[OLD]);
	struct mlimg_store_added got;
	int ret = mlimg_store_layer_add(store, image_path(i), false, &got, &err);

	if (is_other) {
		ASSERT_EQ(ret, -EEXIST);
		return;
	}
	ASSERT_OK(ret, err);
	ASSERT_EQ(got.is_new, added[i] == 0);
	mlimg_store_layer_done(&got.layer);
	if (!added[i])
		added[i] = ++now;
}

static void call_remove(void)
{
	enum image i = (enum image)test_random(N_IMAGES);
	int ret = mlimg_store_layer_remove(store, images[i].build_id, &err);

	ASSERT_EQ(ret, !added[i] ? -ENOENT : is_used(i) ? -EBUSY : 0);
	if (ret == 0)
		added[i] = 0;
}

static void call_create(void)
{
	size_t which = test_random(TENANTS), stack = test_random(STACKS);
	struct model_tenant *t = &tenants[which];
	const char *ids[TOP];
	struct mlimg_store_new new_tenant = {
		.name = names[which], .layers = ids, .fill = fill_tenant};
	struct mlimg_store_tenant got;
	int ret;

	for (size_t i = 0; i < stacks[stack].n; i++)
		ids[i] = images[stacks[stack].layers[i]].build_id;
	new_tenant.n_layers = test_random(4) ? stacks[stack].n : 0;
	ret = mlimg_store_tenant_create(store, &new_tenant, &got, &err);
	ASSERT_EQ(ret, t->is_there ? -EEXIST : new_tenant.n_layers ? missing_of(stack) : 0);
	if (ret < 0)
		return;
	*t = (struct model_tenant){.is_there = true};
	strcpy(t->id, got.id);
	if (new_tenant.n_layers) {
		t->generations[t->n++] = stack;
		t->current = 1;
	}
}

static void call_rename(void)
{
	size_t from = test_random(TENANTS), to = test_random(TENANTS);
	int ret = mlimg_store_tenant_rename(store, names[from], names[to], &err);

	ASSERT_EQ(ret,
		!tenants[from].is_there                      ? -ENOENT
			: from != to && tenants[to].is_there ? -EEXIST
							     : 0);
	if (ret == 0 && from != to) {
		tenants[to] = tenants[from];
		tenants[from].is_there = false;
	}
}

static void call_destroy(void)
{
	size_t which = test_random(TENANTS);
	int ret = mlimg_store_tenant_remove(store, names[which], &err);

	ASSERT_EQ(ret, tenants[which].is_there ? 0 : -ENOENT);
	n_removed += ret == 0;
	tenants[which].is_there = false;
}

static void call_generation(void)
{
	size_t stack = test_random(STACKS);
	struct model_tenant *t = &tenants[test_random(TENANTS)];
	const char *ids[TOP];
	uint32_t number = 0;
	int ret;

	if (!t->is_there || t->n == GENERATIONS)
		return;
	for (size_t i = 0; i < stacks[stack].n; i++)
		ids[i] = images[stacks[stack].layers[i]].build_id;
	ret = mlimg_store_generation_add(store, t->id, ids, stacks[stack].n, &number, &err);
	ASSERT_EQ(ret, missing_of(stack));
	if (ret < 0)
		return;
	t->generations[t->n++] = stack;
	ASSERT_EQ(number, t->n);
}

static void call_switch(void)
{
	struct model_tenant *t = &tenants[test_random(TENANTS)];
	uint32_t number = (uint32_t)test_random(t->n + 2);
	bool is_pending = test_random(2);
	int ret;

	if (!t->is_there)
		return;
	ret = is_pending ? mlimg_store_generation_set_pending(store, t->id, number, &err)
			 : mlimg_store_generation_set_current(store, t->id, number, &err);
	ASSERT_EQ(ret, number > t->n || (number == 0 && !is_pending) ? -ENOENT : 0);
	if (ret < 0)
		return;
	if (is_pending)
		t->pending = number;
	else
		t->current = number;
	if (!is_pending && t->pending == number)
		t->pending = 0;
}

static int see_finding(const struct mlimg_store_finding *f, void *ctx, struct mlimg_err *e)
{
	bool *is_told = ctx;

	if (f->found == MLIMG_STORE_OLD)
		return 0;
	ASSERT_EQ(f->found, MLIMG_STORE_UNUSED);
	for (enum image i = 0; i < N_IMAGES; i++)
		if (strcmp(f->layer->info.build_id, images[i].build_id) == 0)
			is_told[i] = true;
	return 0;
}

static bool is_newest(enum image image)
{
	for (enum image i = 0; i < N_IMAGES; i++)
		if (added[i] > added[image] && images[i].kind == images[image].kind &&
			strcmp(images[i].name, images[image].name) == 0)
			return false;
	return true;
}

static void call_gc(void)
{
	bool is_kept[N_IMAGES] = {false}, is_told[N_IMAGES] = {false};
	const struct mlimg_store_gc gc = {.all = test_random(2),
		.kept_former = UINT64_MAX,
		.is_dry = test_random(2),
		.kept_events = test_random(20),
		.fn = see_finding,
		.ctx = is_told};

	for (enum image i = 0; i < N_IMAGES; i++)
		is_kept[i] = added[i] && (is_in_generation(i) || (!gc.all && is_newest(i)));
	/* No chain of them is longer. */
	for (int round = 0; round < N_IMAGES; round++)
		for (enum image i = 0; i < N_IMAGES; i++)
			for (enum image k = 0; k < N_IMAGES; k++)
				if (is_kept[i] && added[k] && lies_over(i, provides(k)))
					is_kept[k] = true;
	ASSERT_OK(mlimg_store_gc(store, &gc, &err), err);
	for (enum image i = 0; i < N_IMAGES; i++) {
		ASSERT_EQ(is_told[i], added[i] && !is_kept[i]);
		if (!gc.is_dry && !is_kept[i])
			added[i] = 0;
	}
}

static void reopen(void)
{
	check_agreement(store);
	shell("[ $(ls store/removed | wc -l) -eq %zu ]", n_removed);
	mlimg_store_close(store);
	store = open_store(MLIMG_STORE_USE);
}

TEST(the_same_as_in_a_model)
{
	static void (*const calls[])(void) = {call_add, call_add, call_add, call_remove,
		call_create, call_rename, call_destroy, call_generation, call_generation,
		call_switch, call_switch, call_gc};
	const char *given = getenv("MLIMG_CASES");
	size_t n = given && *given ? strtoul(given, NULL, 10) : 300;

	test_seed();
	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	for (size_t i = 0; i < n; i++) {
		calls[test_random(sizeof(calls) / sizeof(calls[0]))]();
		compare();
		if (test_random(25) == 0)
			reopen();
	}
	reopen();
	mlimg_store_close(store);
}
