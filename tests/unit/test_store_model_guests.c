/* SPDX-License-Identifier: MIT */
/*
 * Hosts, volumes, checkpoints and bases of the store beside a naive model in memory, as
 * test_store_model.c does it with layers and tenants. MLIMG_CASES says how many calls.
 */
#include "tools/store-base.h"
#include "tools/store-checkpoint.h"
#include "tools/store-host.h"

#include "tests/lib/store-case.h"

#define TENANTS 3
#define HOSTS 3
#define VOLUMES 3
#define TAGS 4
#define BASES 512 /* that are ever made */
#define ASIDE 512

static const char *const names[TENANTS] = {"alice", "bob", "carol"};
static const char *const hosts[HOSTS] = {"east", "north", "west"};
static const char *const volumes[VOLUMES] = {"0.img", "1.index", "2.kernel"};
static const char *const tags[TAGS] = {"a", "b-2", "c.3", "20261122-054300"};

struct model_base {
	char id[MLIMG_STORE_ID_SIZE];
	int over; /* -1: none */
	bool is_there;
};

struct model_checkpoint {
	uint64_t order; /* 0: there is none */
	enum mlimg_checkpoint_kind kind;
	enum mlimg_checkpoint_state state;
	uint64_t saved_bytes;
};

static struct mlimg_store *store;
static struct {
	bool is_there;
	char id[MLIMG_STORE_ID_SIZE];
	int host, base; /* -1: none */
	struct model_checkpoint checkpoints[TAGS];
} tenants[TENANTS];
static struct {
	bool is_there;
	uint64_t sizes[VOLUMES]; /* 0: not noted */
} model_hosts[HOSTS];
static struct model_base bases[BASES];
static size_t n_bases;
static int aside[ASIDE]; /* bases of removed tenants' disks */
static size_t n_aside;
static uint64_t now;

static unsigned tenants_on(int host)
{
	unsigned n = 0;

	for (size_t i = 0; i < TENANTS; i++)
		n += tenants[i].is_there && tenants[i].host == host;
	return n;
}

/* Comparing. */

static int see_host(const struct mlimg_store_host *host, void *ctx, struct mlimg_err *e)
{
	size_t *n = ctx;

	for (int i = 0; i < HOSTS; i++)
		if (strcmp(hosts[i], host->name) == 0) {
			ASSERT(model_hosts[i].is_there);
			ASSERT_EQ(host->n_tenants, tenants_on(i));
			++*n;
			return 0;
		}
	FAIL("a host that nobody added: %s", host->name);
}

static int see_volume(const struct mlimg_store_volume *volume, void *ctx, struct mlimg_err *e)
{
	const uint64_t *sizes = ctx;

	for (int i = 0; i < VOLUMES; i++)
		if (strcmp(volumes[i], volume->name) == 0) {
			ASSERT_EQ(volume->size_bytes, sizes[i]);
			return 0;
		}
	FAIL("a volume that nobody noted: %s", volume->name);
}

struct seen {
	const struct model_checkpoint *checkpoints;
	uint64_t order;
	size_t n;
};

static int see_checkpoint(const struct mlimg_checkpoint *c, void *ctx, struct mlimg_err *e)
{
	struct seen *seen = ctx;

	for (int i = 0; i < TAGS; i++) {
		const struct model_checkpoint *m = &seen->checkpoints[i];

		if (strcmp(tags[i], c->tag) != 0)
			continue;
		ASSERT(m->order > seen->order);
		ASSERT_EQ(c->kind, m->kind);
		ASSERT_EQ(c->state, m->state);
		ASSERT_EQ(c->saved_bytes, m->saved_bytes);
		seen->order = m->order;
		seen->n++;
		return 0;
	}
	FAIL("a checkpoint that nobody took: %s", c->tag);
}

static void compare_tenant(size_t i)
{
	struct seen seen = {.checkpoints = tenants[i].checkpoints};
	struct mlimg_store_host host = {.name = ""};
	char base[MLIMG_STORE_ID_SIZE] = "";
	size_t n = 0;

	ASSERT_EQ(mlimg_store_host_of_tenant(store, tenants[i].id, &host, &err),
		tenants[i].host >= 0);
	ASSERT_STR(host.name, tenants[i].host >= 0 ? hosts[tenants[i].host] : "");
	ASSERT_EQ(mlimg_store_base_of(store, tenants[i].id, base, &err), tenants[i].base >= 0);
	ASSERT_STR(base, tenants[i].base >= 0 ? bases[tenants[i].base].id : "");
	for (size_t k = 0; k < TAGS; k++)
		n += tenants[i].checkpoints[k].order != 0;
	ASSERT_OK(mlimg_store_checkpoint_each(store, tenants[i].id, see_checkpoint, &seen, &err),
		err);
	ASSERT_EQ(seen.n, n);
}

static void compare(void)
{
	size_t n = 0, seen = 0;

	for (int i = 0; i < HOSTS; i++) {
		n += model_hosts[i].is_there;
		for (int k = 0; model_hosts[i].is_there && k < VOLUMES; k++) {
			struct mlimg_store_volume volume;

			ASSERT_EQ(
				mlimg_store_volume_get(store, hosts[i], volumes[k], &volume, &err),
				model_hosts[i].sizes[k] != 0);
		}
		ASSERT_OK(mlimg_store_volume_each(
				  store, hosts[i], see_volume, model_hosts[i].sizes, &err),
			err);
	}
	ASSERT_OK(mlimg_store_host_each(store, see_host, &seen, &err), err);
	ASSERT_EQ(seen, n);
	for (size_t i = 0; i < TENANTS; i++)
		if (tenants[i].is_there)
			compare_tenant(i);
}

/* Calls. */

static void call_create(void)
{
	size_t which = test_random(TENANTS);
	const char *layers[] = {images[OLD].build_id};
	const struct mlimg_store_new new_tenant = {
		.name = names[which], .layers = layers, .n_layers = 1, .fill = fill_tenant};
	struct mlimg_store_tenant got;
	int ret = mlimg_store_tenant_create(store, &new_tenant, &got, &err);

	ASSERT_EQ(ret, tenants[which].is_there ? -EEXIST : 0);
	if (ret < 0)
		return;
	memset(&tenants[which], 0, sizeof(tenants[which]));
	tenants[which].is_there = true;
	tenants[which].host = tenants[which].base = -1;
	strcpy(tenants[which].id, got.id);
}

/* What its disk lies over stays, as long as it is set aside. */
static void call_destroy(void)
{
	size_t which = test_random(TENANTS);
	int ret = mlimg_store_tenant_remove(store, names[which], &err);

	ASSERT_EQ(ret, tenants[which].is_there ? 0 : -ENOENT);
	if (ret == 0 && tenants[which].base >= 0) {
		ASSERT(n_aside < ASIDE);
		aside[n_aside++] = tenants[which].base;
	}
	tenants[which].is_there = false;
}

static void call_host_add(void)
{
	int which = (int)test_random(HOSTS);
	struct mlimg_store_host host = {.name = ""};
	int ret;

	strcpy(host.name, hosts[which]);
	snprintf(host.uri, sizeof(host.uri), "qemu+ssh://%s/system", hosts[which]);
	ret = mlimg_store_host_add(store, &host, &err);
	ASSERT_EQ(ret, model_hosts[which].is_there ? -EEXIST : 0);
	model_hosts[which].is_there = true;
}

/* Its volumes go with it. */
static void call_host_remove(void)
{
	int which = (int)test_random(HOSTS);
	int ret = mlimg_store_host_remove(store, hosts[which], &err);

	ASSERT_EQ(ret, !model_hosts[which].is_there ? -ENOENT : tenants_on(which) ? -EBUSY : 0);
	if (ret == 0)
		memset(&model_hosts[which], 0, sizeof(model_hosts[which]));
}

static void call_host_set(void)
{
	size_t which = test_random(TENANTS);
	int host = (int)test_random(HOSTS + 1) - 1, ret;

	if (!tenants[which].is_there)
		return;
	ret = mlimg_store_host_set(store, tenants[which].id, host < 0 ? NULL : hosts[host], &err);
	ASSERT_EQ(ret, host >= 0 && !model_hosts[host].is_there ? -ENOENT : 0);
	if (ret == 0)
		tenants[which].host = host;
}

static void call_volume(void)
{
	int host = (int)test_random(HOSTS), which = (int)test_random(VOLUMES);
	struct mlimg_store_volume volume = {.size_bytes = 1 + test_random(1000), .mark = "1.5"};

	if (!model_hosts[host].is_there)
		return;
	strcpy(volume.name, volumes[which]);
	memset(volume.digest, 'd', MLIMG_SHA256_HEX_SIZE - 1);
	if (test_random(3) == 0) {
		volume.size_bytes = 0;
		ASSERT_OK(mlimg_store_volume_forget(store, hosts[host], volumes[which], &err), err);
	} else {
		ASSERT_OK(mlimg_store_volume_set(store, hosts[host], &volume, &err), err);
	}
	model_hosts[host].sizes[which] = volume.size_bytes;
}

static void call_checkpoint_add(void)
{
	size_t which = test_random(TENANTS), tag = test_random(TAGS);
	struct model_checkpoint *m = &tenants[which].checkpoints[tag];
	struct mlimg_checkpoint c = {.generation = 1, .created_s = 1};
	int ret;

	if (!tenants[which].is_there)
		return;
	strcpy(c.tag, tags[tag]);
	c.kind = test_random(2) ? MLIMG_CHECKPOINT_MEMORY : MLIMG_CHECKPOINT_DISK;
	c.state = MLIMG_CHECKPOINT_SAVING;
	if (c.kind == MLIMG_CHECKPOINT_MEMORY)
		c.machine = (struct mlimg_machine){.memory_bytes = 1 << 20, .cpus = 1};
	ret = mlimg_store_checkpoint_add(store, tenants[which].id, &c, &err);
	ASSERT_EQ(ret, m->order ? -EEXIST : 0);
	if (ret == 0)
		*m = (struct model_checkpoint){.order = ++now, .kind = c.kind, .state = c.state};
}

static void call_checkpoint_change(void)
{
	size_t which = test_random(TENANTS), tag = test_random(TAGS);
	struct model_checkpoint *m = &tenants[which].checkpoints[tag];
	bool removes = test_random(3) == 0;
	enum mlimg_checkpoint_state state =
		(enum mlimg_checkpoint_state)test_random(MLIMG_CHECKPOINT_DELETING + 1);
	uint64_t size = test_random(1000);
	int ret;

	if (!tenants[which].is_there)
		return;
	ret = removes ? mlimg_store_checkpoint_remove(store, tenants[which].id, tags[tag], &err)
		      : mlimg_store_checkpoint_set(
				store, tenants[which].id, tags[tag], state, size, &err);
	ASSERT_EQ(ret, m->order ? 0 : -ENOENT);
	if (ret < 0)
		return;
	m->state = state;
	m->saved_bytes = size;
	if (removes)
		m->order = 0;
}

static int make_over(const char *path, const char *base, void *ctx, struct mlimg_err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	return fd < 0 || close(fd) < 0 ? mlimg_err_set(e, errno, "'%s'", path) : 0;
}

static void call_base(void)
{
	size_t which = test_random(TENANTS);

	if (!tenants[which].is_there || n_bases == BASES)
		return;
	ASSERT_OK(mlimg_store_base_make(store, tenants[which].id, "user.qcow2", make_over, NULL,
			  bases[n_bases].id, &err),
		err);
	bases[n_bases].over = tenants[which].base;
	bases[n_bases].is_there = true;
	tenants[which].base = (int)n_bases++;
}

/* As a linked clone does: another tenant's disk over the same base. */
static void call_share(void)
{
	size_t from = test_random(TENANTS), to = test_random(TENANTS);

	if (from == to || !tenants[from].is_there || !tenants[to].is_there ||
		tenants[from].base < 0 || tenants[to].base >= 0)
		return;
	ASSERT_OK(mlimg_store_base_use(store, tenants[to].id, bases[tenants[from].base].id, &err),
		err);
	tenants[to].base = tenants[from].base;
}

static void keep(bool *is_kept, int base)
{
	for (; base >= 0; base = bases[base].over)
		is_kept[base] = true;
}

static int see_finding(const struct mlimg_store_finding *f, void *ctx, struct mlimg_err *e)
{
	return 0;
}

static void call_gc(void)
{
	const struct mlimg_store_gc gc = {
		.kept_former = UINT64_MAX, .kept_events = UINT64_MAX, .fn = see_finding};
	bool is_kept[BASES] = {false};
	size_t n = 0;

	for (size_t i = 0; i < TENANTS; i++)
		if (tenants[i].is_there)
			keep(is_kept, tenants[i].base);
	for (size_t i = 0; i < n_aside; i++)
		keep(is_kept, aside[i]);
	ASSERT_OK(mlimg_store_gc(store, &gc, &err), err);
	for (size_t i = 0; i < n_bases; i++) {
		bases[i].is_there &= is_kept[i];
		n += bases[i].is_there;
	}
	shell("[ $(ls store/bases | wc -l) -eq %zu ]", n);
}

/* Of what was set aside nothing is there any more: what it lay over is nobody's. */
static void call_forget_aside(void)
{
	shell("rm -rf store/removed/*");
	n_aside = 0;
}

static void reopen(void)
{
	check_agreement(store);
	mlimg_store_close(store);
	store = open_store(MLIMG_STORE_USE);
}

TEST(hosts_checkpoints_and_bases_as_in_a_model)
{
	static void (*const calls[])(void) = {call_create, call_create, call_destroy, call_host_add,
		call_host_remove, call_host_set, call_host_set, call_volume, call_volume,
		call_checkpoint_add, call_checkpoint_add, call_checkpoint_add,
		call_checkpoint_change, call_checkpoint_change, call_base, call_share, call_gc,
		call_forget_aside};
	const char *given = getenv("MLIMG_CASES");
	size_t n = given && *given ? strtoul(given, NULL, 10) : 400;

	test_seed();
	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD));
	for (size_t i = 0; i < n; i++) {
		calls[test_random(sizeof(calls) / sizeof(calls[0]))]();
		compare();
		if (test_random(40) == 0)
			reopen();
	}
	reopen();
	mlimg_store_close(store);
}
