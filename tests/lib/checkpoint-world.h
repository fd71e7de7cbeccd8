/* SPDX-License-Identifier: MIT */
/**
 * @file checkpoint-world.h
 * A backend whose guest is two numbers, one in its memory and one on its disk, and whose snapshots
 * are in memory that is shared with children: these may die at any call. For a test program, which
 * includes test.h by this.
 */
#ifndef MLIMG_TEST_CHECKPOINT_WORLD_H
#define MLIMG_TEST_CHECKPOINT_WORLD_H

#include <sys/mman.h>

#include "tests/lib/store-case.h"
#include "tools/checkpoint.h"

#define SNAPSHOTS 64
#define KILLED 77 /* exit status of a process that was to be killed */
#define FOREIGN "theirs"

struct snapshot {
	char tag[MLIMG_CHECKPOINT_TAG_SIZE]; /* "": none */
	bool has_memory;
	int memory, disk;
};

/* Shared with children, which may die at any call. */
static struct world {
	bool is_on, is_paused;
	int memory, disk;
	struct mlimg_machine machine;
	struct snapshot snapshots[SNAPSHOTS];
	char fails[16];    /* this call fails: "save", and so on */
	int calls, die_at; /* the call before which, and after which, the process dies: odd, even */
} * world;

/* @return 0 or what the failing call returns */
static int call(const char *name, struct mlimg_err *e)
{
	if (++world->calls == world->die_at)
		_exit(KILLED);
	if (strcmp(world->fails, name) == 0)
		return mlimg_store_fail(e, EIO, "no %s", name);
	return 0;
}

static void called(void)
{
	if (++world->calls == world->die_at)
		_exit(KILLED);
}

static struct snapshot *find(const char *tag)
{
	for (size_t i = 0; i < SNAPSHOTS; i++)
		if (strcmp(world->snapshots[i].tag, tag) == 0)
			return &world->snapshots[i];
	return NULL;
}

static int fake_state(const struct mlimg_tenant *t, enum mlimg_guest_state *ret_state,
	char ret_why[MLIMG_GUEST_WHY_SIZE], struct mlimg_err *e)
{
	*ret_why = '\0';
	*ret_state = !world->is_on ? MLIMG_GUEST_OFF
		: world->is_paused ? MLIMG_GUEST_PAUSED
				   : MLIMG_GUEST_UP;
	return strcmp(world->fails, "host") == 0
		? (*ret_state = MLIMG_GUEST_UNREACHABLE, strcpy(ret_why, "no route"), 0)
		: 0;
}

static int fake_start(struct mlimg_store *s, struct mlimg_tenant *t,
	const struct mlimg_backend_start *how, struct mlimg_err *e)
{
	int ret = call("start", e);

	if (ret < 0)
		return ret;
	ASSERT(!world->is_on && how->is_paused && find(how->load_tag)->has_memory);
	world->is_on = world->is_paused = true;
	world->memory = 0;
	called();
	return 0;
}

static int fake_end(const struct mlimg_tenant *t, struct mlimg_err *e)
{
	int ret = call("end", e);

	if (ret == 0)
		world->is_on = world->is_paused = false;
	called();
	return ret;
}

static int fake_agent(const struct mlimg_tenant *t, int *ret_fd, struct mlimg_err *e)
{
	return mlimg_store_fail(e, ENOTCONN, "no agent");
}

static int fake_save(
	const struct mlimg_tenant *t, const char *tag, bool with_memory, struct mlimg_err *e)
{
	struct snapshot *s = find("");
	int ret = call("save", e);

	ASSERT(!find(tag) && s);
	if (ret < 0)
		return ret;
	ASSERT(world->is_on || !with_memory);
	*s = (struct snapshot){.has_memory = with_memory,
		.memory = with_memory ? world->memory : 0,
		.disk = world->disk};
	strcpy(s->tag, tag);
	called();
	return 0;
}

static int fake_load(struct mlimg_store *store, struct mlimg_tenant *t, const char *tag,
	bool with_memory, struct mlimg_err *e)
{
	const struct snapshot *s = find(tag);
	bool is_before = strncmp(tag, MLIMG_CHECKPOINT_BEFORE_PREFIX, 15) == 0;
	int ret = 0;

	if (!is_before || strcmp(world->fails, "load") != 0)
		ret = call("load", e);
	ASSERT(s && with_memory == world->is_on && (s->has_memory || !with_memory));
	/* What fails may have left half of each. */
	world->is_paused = with_memory;
	world->disk = s->disk;
	if (ret < 0) {
		world->memory = -1;
		return ret;
	}
	called();
	if (with_memory)
		world->memory = s->memory;
	world->is_paused = false;
	called();
	return 0;
}

static int fake_remove(const struct mlimg_tenant *t, const char *tag, struct mlimg_err *e)
{
	int ret = call("remove", e);

	ASSERT(find(tag));
	if (ret == 0)
		find(tag)->tag[0] = '\0';
	called();
	return ret;
}

static int fake_saved(const struct mlimg_tenant *t, json_t **ret_saved, struct mlimg_err *e)
{
	int ret = call("saved", e);

	if (ret < 0)
		return ret;
	*ret_saved = json_object();
	for (size_t i = 0; i < SNAPSHOTS; i++)
		if (world->snapshots[i].tag[0])
			json_object_set_new(*ret_saved, world->snapshots[i].tag,
				json_integer(world->snapshots[i].has_memory ? 1000 : 0));
	return 0;
}

static int fake_machine(
	const struct mlimg_tenant *t, struct mlimg_machine *ret_machine, struct mlimg_err *e)
{
	ASSERT(world->is_on);
	*ret_machine = world->machine;
	return call("machine", e);
}

static const struct mlimg_backend fake = {.name = "fake",
	.state = fake_state,
	.start = fake_start,
	.end = fake_end,
	.agent = fake_agent,
	.save = fake_save,
	.load = fake_load,
	.remove = fake_remove,
	.saved = fake_saved,
	.machine = fake_machine};

static struct mlimg_store *store;
static struct mlimg_tenant alice;
static struct mlimg_checkpoints of;
static struct mlimg_checkpoint taken;
static struct mlimg_checkpoint_restored restored;

static void open_all(void)
{
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT_OK(mlimg_tenant_load(store, "alice", &alice, &err), err);
	of = (struct mlimg_checkpoints){.store = store, .tenant = &alice, .backend = &fake};
}

TEST_UNUSED static void close_all(void)
{
	mlimg_tenant_done(&alice);
	mlimg_store_close(store);
}

/* A guest that is on, with 1 in its memory and 2 on its disk. */
TEST_UNUSED static void begin(void)
{
	const char *layers[] = {NULL};
	const struct mlimg_store_new tenant = {
		.name = "alice", .layers = layers, .n_layers = 1, .fill = fill_tenant};
	struct mlimg_store_tenant t;

	world = mmap(
		NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT(world != MAP_FAILED);
	*world = (struct world){.is_on = true, .memory = 1, .disk = 2};
	world->machine = (struct mlimg_machine){.memory_bytes = 1 << 30, .cpus = 1};
	strcpy(world->machine.devices, "pc tcg disk");
	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD) && add_image(store, NEW));
	layers[0] = images[OLD].build_id;
	ASSERT_OK(mlimg_store_tenant_create(store, &tenant, &t, &err), err);
	mlimg_store_close(store);
	open_all();
}

#endif
