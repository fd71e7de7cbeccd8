/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints over a guest that is two numbers, one in its memory and one on its disk: rows and
 * snapshots agree, also when whoever works on them is killed at any call.
 */
#include "tools/checkpoint.h"

#include "tests/lib/checkpoint-world.h"

static int take(const char *tag, bool is_disk)
{
	return mlimg_checkpoint_take(&of, tag, is_disk, &taken, &err);
}

static int go_back(const char *tag, bool is_disk, bool discard)
{
	const struct mlimg_checkpoint_restore how = {
		.tag = tag, .is_disk = is_disk, .discard = discard};

	return mlimg_checkpoint_go_back(&of, &how, &restored, &err);
}

static void turn_off(void)
{
	world->is_on = world->is_paused = false;
	world->memory = 0;
}

/* Tags, with what is known of each: "one:memory:named " */
static int put_row(const struct mlimg_checkpoint *row, void *ctx, struct mlimg_err *e)
{
	char *text = ctx;

	snprintf(text + strlen(text), 4096 - strlen(text), "%s:%s:%s ", row->tag,
		mlimg_checkpoint_kind_name(row->kind), mlimg_checkpoint_origin_name(row->origin));
	ASSERT_EQ(row->state, MLIMG_CHECKPOINT_SAVED);
	ASSERT_EQ(row->saved_bytes, row->kind == MLIMG_CHECKPOINT_MEMORY ? 1000 : 0);
	ASSERT(find(row->tag));
	return 0;
}

/* All of them, each of which is whole; and no snapshot is without a row. */
static const char *listed(void)
{
	static char text[4096];

	text[0] = '\0';
	ASSERT_OK(mlimg_store_checkpoint_each(store, alice.row.id, put_row, text, &err), err);
	for (size_t i = 0; i < SNAPSHOTS; i++) {
		struct mlimg_checkpoint row;
		const char *tag = world->snapshots[i].tag;

		if (*tag && strcmp(tag, FOREIGN) != 0)
			ASSERT_OK(mlimg_store_checkpoint_get(store, alice.row.id, tag, &row, &err),
				err);
	}
	return text;
}

TEST(a_guest_goes_on_from_the_moment)
{
	begin();
	ASSERT_OK(take("one", false), err);
	ASSERT_EQ(taken.kind, MLIMG_CHECKPOINT_MEMORY);
	ASSERT_EQ(taken.saved_bytes, 1000);
	ASSERT_EQ(taken.generation, 1);
	world->memory = world->disk = 5;
	ASSERT_OK(go_back("one", false, false), err);
	ASSERT(world->is_on && world->memory == 1 && world->disk == 2);
	ASSERT_STR(restored.clock, "no agent");
	ASSERT_EQ(restored.kind, MLIMG_CHECKPOINT_MEMORY);
	/* And back again. */
	ASSERT_OK(go_back(restored.before, false, true), err);
	ASSERT(world->is_on && world->memory == 5 && world->disk == 5);
	ASSERT_STR(restored.before, "");
	/* One that is off is started for it, and its disk alone is what was before. */
	turn_off();
	world->disk = 6;
	ASSERT_OK(go_back("one", false, false), err);
	ASSERT(world->is_on && world->memory == 1 && world->disk == 2);
	turn_off();
	ASSERT_OK(go_back(restored.before, false, true), err);
	ASSERT(!world->is_on && world->disk == 6);
	ASSERT_STR(restored.clock, "");
	/* The disk of one with memory. */
	ASSERT_OK(go_back("one", true, true), err);
	ASSERT(!world->is_on && world->disk == 2);
	close_all();
}

TEST(the_disk_of_a_guest_that_is_off)
{
	begin();
	turn_off();
	ASSERT_OK(take(NULL, false), err);
	ASSERT_EQ(taken.kind, MLIMG_CHECKPOINT_DISK);
	ASSERT_EQ(taken.origin, MLIMG_CHECKPOINT_TIMED);
	world->disk = 9;
	world->is_on = true;
	ASSERT_FAILS(go_back(taken.tag, false, false), err, -EBUSY,
		"'alice' is up, and a disk can only be restored while the guest is off: 'mlimg-vm "
		"stop alice', then restore");
	turn_off();
	ASSERT_OK(go_back(taken.tag, false, false), err);
	ASSERT_EQ(world->disk, 2);
	ASSERT_EQ(find(restored.before)->disk, 9);
	close_all();
}

TEST(what_cannot_be)
{
	char tag[65];

	begin();
	ASSERT_OK(take("one", false), err);
	ASSERT_FAILS(take("one", false), err, -EEXIST,
		"checkpoint 'one' of 'alice': there is a checkpoint 'one' already");
	ASSERT_FAILS(take("-x", false), err, -EINVAL,
		"checkpoint '-x' of 'alice': '-x' cannot be a checkpoint's tag (1 to 63 letters, "
		"digits and ._-, the first a letter or digit)");
	ASSERT_EQ(err.kind, MLIMG_ERR_USAGE);
	/* One letter too many is not cut off. */
	memset(tag, 'x', 64);
	tag[64] = '\0';
	ASSERT_EQ(take(tag, false), -EINVAL);
	tag[63] = '\0';
	ASSERT_OK(take(tag, false), err);
	ASSERT_OK(mlimg_checkpoint_delete(&of, tag, &err), err);
	ASSERT_FAILS(go_back("two", false, false), err, -ENOENT, "'alice' has no checkpoint 'two'");
	ASSERT_FAILS(mlimg_checkpoint_delete(&of, "two", &err), err, -ENOENT,
		"'alice' has no checkpoint 'two'");
	strcpy(world->fails, "host");
	ASSERT_FAILS(take("two", false), err, -EHOSTUNREACH,
		"checkpoint 'two' of 'alice': the host of 'alice' does not answer: no route");
	strcpy(world->fails, "save");
	ASSERT_FAILS(take("two", false), err, -EIO, "checkpoint 'two' of 'alice': no save");
	ASSERT_FAILS(go_back("one", false, false), err, -EIO,
		"what 'alice' is now cannot be kept (--discard: it need not be): no save");
	ASSERT_STR(listed(), "one:memory:named ");
	close_all();
}

TEST(another_stack_or_machine)
{
	const char *layers[] = {NULL};
	uint32_t number = 0;

	begin();
	ASSERT_OK(take("one", false), err);
	layers[0] = images[NEW].build_id;
	ASSERT_OK(mlimg_store_generation_add(store, alice.row.id, layers, 1, &number, &err), err);
	ASSERT_OK(mlimg_store_generation_set_pending(store, alice.row.id, number, &err), err);
	mlimg_tenant_done(&alice);
	ASSERT_OK(mlimg_tenant_load(store, "alice", &alice, &err), err);
	ASSERT_FAILS(go_back("one", false, false), err, -ESTALE,
		"checkpoint 'one' was taken on generation 1, and 'alice' runs generation 2, which "
		"has other layers: 'mlimg-vm stop alice', 'mlimg-vm set alice --generation 1', "
		"then restore");
	turn_off();
	ASSERT_FAILS(go_back("one", true, false), err, -ESTALE,
		"checkpoint 'one' was taken on generation 1, and 'alice' starts with generation 2, "
		"which has other layers: 'mlimg-vm set alice --generation 1', then restore");
	/* Another generation of the same layers is as good. */
	layers[0] = images[OLD].build_id;
	ASSERT_OK(mlimg_store_generation_add(store, alice.row.id, layers, 1, &number, &err), err);
	ASSERT_OK(mlimg_store_generation_set_pending(store, alice.row.id, number, &err), err);
	mlimg_tenant_done(&alice);
	ASSERT_OK(mlimg_tenant_load(store, "alice", &alice, &err), err);
	alice.settings.cpus = 2;
	ASSERT_FAILS(go_back("one", false, false), err, -ESTALE,
		"checkpoint 'one' is of a machine with 1024 MiB of memory and 1 CPUs, 'alice' has "
		"1024 and 2: 'mlimg-vm set alice --memory 1024M --cpus 1', then restore");
	alice.settings.cpus = 1;
	/* What only a machine that has been started says. */
	strcpy(world->machine.devices, "pc kvm disk net");
	ASSERT_FAILS(go_back("one", false, false), err, -ESTALE,
		"'alice' is as it was before: checkpoint 'one' is of another machine than that of "
		"'alice', which lacks tcg and also has kvm net: make it the same, or restore the "
		"disk alone, with --disk-only");
	ASSERT(!world->is_on && world->disk == 2);
	ASSERT_STR(listed(), "one:memory:named ");
	world->is_on = true;
	world->machine.memory_bytes <<= 1;
	ASSERT_FAILS(go_back("one", false, false), err, -ESTALE,
		"checkpoint 'one' is of a machine with 1024 MiB of memory and 1 CPUs, 'alice' has "
		"2048 and 1: 'mlimg-vm stop alice', 'mlimg-vm set alice --memory 1024M --cpus 1', "
		"then restore");
	ASSERT_STR(listed(), "one:memory:named ");
	close_all();
}

TEST(a_restore_that_fails_goes_back)
{
	begin();
	ASSERT_OK(take("one", false), err);
	world->memory = 7;
	world->disk = 8;
	strcpy(world->fails, "load");
	ASSERT_FAILS(
		go_back("one", false, false), err, -EIO, "'alice' is as it was before: no load");
	ASSERT(world->is_on && !world->is_paused && world->memory == 7 && world->disk == 8);
	ASSERT_STR(listed(), "one:memory:named ");
	/* Nobody wanted it back: but half a memory does not run. */
	ASSERT_FAILS(go_back("one", false, true), err, -EIO, "'alice' is off: no load");
	ASSERT(!world->is_on);
	world->disk = 8;
	ASSERT_FAILS(
		go_back("one", false, false), err, -EIO, "'alice' is as it was before: no load");
	ASSERT(!world->is_on && world->disk == 8);
	strcpy(world->fails, "start");
	ASSERT_FAILS(
		go_back("one", false, false), err, -EIO, "'alice' is as it was before: no start");
	ASSERT(!world->is_on && world->disk == 8);
	close_all();
}

TEST(the_oldest_of_a_kind_go)
{
	char first[MLIMG_CHECKPOINT_TAG_SIZE], second[MLIMG_CHECKPOINT_TAG_SIZE];
	char text[512];

	begin();
	ASSERT_OK(take(NULL, false), err);
	strcpy(first, taken.tag);
	ASSERT_OK(take("mine", false), err);
	ASSERT_OK(take(NULL, true), err);
	strcpy(second, taken.tag);
	ASSERT_OK(take(NULL, false), err);
	ASSERT_OK(mlimg_checkpoint_prune(&of, MLIMG_CHECKPOINT_MEMORY, MLIMG_CHECKPOINT_TIMED, 1,
			  NULL, NULL, &err),
		err);
	snprintf(text, sizeof(text), "mine:memory:named %s:disk:timed %s:memory:timed ", second,
		taken.tag);
	ASSERT_STR(listed(), text);
	ASSERT(!find(first));
	ASSERT_OK(mlimg_checkpoint_prune(&of, MLIMG_CHECKPOINT_MEMORY, MLIMG_CHECKPOINT_TIMED, 1,
			  NULL, NULL, &err),
		err);
	ASSERT_STR(listed(), text);
	close_all();
}

TEST(what_somebody_else_did_to_the_disk)
{
	begin();
	strcpy(find("")->tag, FOREIGN);
	ASSERT_OK(take("one", false), err);
	find("one")->tag[0] = '\0';
	ASSERT_FAILS(go_back("one", false, false), err, -ENOENT,
		"checkpoint 'one' is lost: the user disk of 'alice' has it no more");
	ASSERT_OK(mlimg_checkpoint_delete(&of, "one", &err), err);
	ASSERT_STR(listed(), "");
	ASSERT(find(FOREIGN));
	close_all();
}

TEST(a_tenant_goes_with_its_checkpoints)
{
	int64_t n = -1;

	begin();
	ASSERT_OK(take("one", false), err);
	ASSERT_OK(mlimg_store_tenant_remove(store, "alice", &err), err);
	ASSERT_EQ(mlimg_db_get(store->db, "SELECT count(*) FROM checkpoint", MLIMG_DB_NO_VALUES, &n,
			  &err),
		1);
	ASSERT_EQ(n, 0);
	check_agreement(store);
	close_all();
}

/* What a child does, which may die on the way. */
enum work { TAKE, TAKE_DISK, RESTORE, DELETE, WORKS };

static void work_in_child(enum work work, const char *tag)
{
	int ret = 0, status = 0;
	pid_t pid = fork();

	ASSERT(pid >= 0);
	if (pid == 0) {
		open_all();
		ret = mlimg_checkpoint_settle(&of, &err);
		if (ret == 0 && (work == TAKE || work == TAKE_DISK))
			ret = take(tag, work == TAKE_DISK);
		else if (ret == 0 && work == RESTORE)
			ret = go_back(tag, false, test_random(2));
		else if (ret == 0)
			ret = mlimg_checkpoint_delete(&of, tag, &err);
		/* What is not there; a disk while it is on. */
		if (ret < 0 && ret != -ENOENT && ret != -EEXIST && ret != -EBUSY)
			FAIL("%s", err.text);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == KILLED));
}

/* A snapshot is what was there when it was taken, so long as it is listed. */
static void check_moments(void)
{
	for (size_t i = 0; i < SNAPSHOTS; i++) {
		const struct snapshot *s = &world->snapshots[i];

		if (s->tag[0] && s->has_memory)
			ASSERT_EQ(s->disk, s->memory + 1);
	}
	/* Memory and disk that run are of one moment. */
	if (world->is_on) {
		ASSERT(!world->is_paused);
		ASSERT_EQ(world->disk, world->memory + 1);
	}
}

TEST(killed_at_any_call)
{
	const char *given = getenv("MLIMG_CASES");
	uint64_t n = given && *given ? strtoull(given, NULL, 10) : 300;
	static const char *const tags[] = {"a", "b", "c", "d"};

	begin();
	close_all();
	test_seed();
	for (uint64_t i = 0; i < n; i++) {
		world->calls = 0;
		world->die_at = (int)test_random(10);
		work_in_child((enum work)test_random(WORKS), tags[test_random(4)]);
		world->die_at = 0;
		open_all();
		ASSERT_OK(mlimg_checkpoint_settle(&of, &err), err);
		listed();
		check_moments();
		ASSERT_OK(mlimg_checkpoint_prune(&of, MLIMG_CHECKPOINT_MEMORY,
				  MLIMG_CHECKPOINT_BEFORE, 2, NULL, NULL, &err),
			err);
		ASSERT_OK(mlimg_checkpoint_prune(&of, MLIMG_CHECKPOINT_DISK,
				  MLIMG_CHECKPOINT_BEFORE, 2, NULL, NULL, &err),
			err);
		close_all();
		/* The guest goes on; or is turned on, or off. */
		if (test_random(4) == 0)
			world->is_on = !world->is_on;
		world->memory = (int)i * 10;
		world->disk = world->memory + 1;
	}
}
