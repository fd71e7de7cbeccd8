/* SPDX-License-Identifier: MIT */
/* Tenants as they are loaded: settings, layers, locks, and what becomes of an older store's. */
#include "tools/tenant.h"

#include <sys/file.h>
#include <sys/wait.h>

#include "tests/lib/store-case.h"
#include "tools/store-checkpoint.h"

static void create(struct mlimg_store *store, const char *name)
{
	const char *layers[] = {images[OLD].build_id, images[WEB].build_id};
	const struct mlimg_store_new tenant = {
		.name = name, .layers = layers, .n_layers = 2, .fill = fill_tenant};
	struct mlimg_store_tenant t;

	ASSERT_OK(mlimg_store_tenant_create(store, &tenant, &t, &err), err);
}

static struct mlimg_store *store_with_alice(void)
{
	struct mlimg_store *store;

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD) && add_image(store, WEB));
	create(store, "alice");
	return store;
}

static void check_defaults(const struct mlimg_tenant_settings *s)
{
	ASSERT_EQ(s->memory_bytes, 1 << 30);
	ASSERT_EQ(s->cpus, 1);
	ASSERT_EQ(s->accel, MLIMG_ACCEL_AUTO);
	ASSERT_EQ(s->union_driver, MLIMG_UNION_AUTO);
	ASSERT_EQ(s->disks, MLIMG_DISKS_SEPARATE);
	ASSERT_EQ(s->verity, MLIMG_VM_VERITY_OFF);
	ASSERT(s->net && s->n_forwards == 0 && !s->append);
	ASSERT_EQ(s->boot_timeout_s, 300);
	ASSERT(!s->autostart);
}

TEST(a_tenant_as_it_was_created)
{
	mlimg_autostore struct mlimg_store *store = store_with_alice();
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	struct mlimg_tenant_settings defaults;
	struct stat st;

	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	ASSERT_STR(t.row.name, "alice");
	check_defaults(&t.settings);
	mlimg_tenant_settings_init(&defaults);
	check_defaults(&defaults);
	ASSERT_EQ(t.run_s, 0);
	ASSERT_STR(t.host, "");
	ASSERT(!t.uri);
	ASSERT_EQ(t.generation.number, 1);
	ASSERT_EQ(t.n_layers, 2);
	ASSERT_STR(t.layers[0].info.name, "debian");
	ASSERT_STR(t.layers[1].info.name, "nginx");
	for (size_t i = 0; i < 2; i++) {
		ASSERT_EQ(stat(t.layer_paths[i], &st), 0);
		ASSERT_EQ((uint64_t)st.st_size, t.layers[i].size_bytes);
	}
	shell("[ \"$(cat %s)\" = disk ] && [ %s/user.qcow2 -ef %s ]", t.user_disk, t.dir,
		t.user_disk);
	mlimg_tenant_done(&t);
	ASSERT_FAILS(mlimg_tenant_load(store, "bob", &t, &err), err, -ENOENT, "no tenant 'bob'");
}

/* What a tenant of the first schema becomes: one with all the defaults. */
TEST(tenants_of_the_first_schema)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};

	make_images();
	ASSERT_OK(mlimg_store_open_schema(
			  "store", MLIMG_STORE_MAKE, mlimg_store_schema, 1, &store, &err),
		err);
	ASSERT(add_image(store, OLD) && add_image(store, WEB));
	create(store, "alice");
	/* And what was under way then when its program was killed. */
	ASSERT_OK(mlimg_db_script(store->db,
			  "INSERT INTO operation VALUES ('00000000000000000000000000000007', "
			  "'add-tenant', '00000000000000000000000000000008', 1)",
			  &err),
		err);
	shell("mkdir store/incoming/%032d store/tenants/%032d", 7, 8);
	mlimg_store_close(store);
	store = open_store(MLIMG_STORE_USE);
	check_agreement(store);
	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	check_defaults(&t.settings);
	ASSERT_EQ(t.run_s, 0);
	ASSERT_EQ(t.n_layers, 2);
	create(store, "bob");
}

static int put_origin(const struct mlimg_checkpoint *row, void *ctx, struct mlimg_err *e)
{
	char *text = ctx;

	snprintf(text + strlen(text), 256 - strlen(text), "%s:%s ", row->tag,
		mlimg_checkpoint_origin_name(row->origin));
	return 0;
}

/* Of checkpoints from before their origin told it, name and time tell which are a rollout's. */
TEST(checkpoints_of_the_eighth_schema)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	struct mlimg_store_tenant alice;
	char said[256] = "";
	int64_t n = 0;

	make_images();
	ASSERT_OK(mlimg_store_open_schema(
			  "store", MLIMG_STORE_MAKE, mlimg_store_schema, 8, &store, &err),
		err);
	ASSERT(add_image(store, OLD) && add_image(store, WEB));
	create(store, "alice");
	ASSERT_OK(mlimg_db_script(store->db,
			  "INSERT INTO rollout (target, state, policy, waves, at_once, health_s,"
			  " max_failures, created_s, ended_s) VALUES"
			  " ('x', 'done', 'now', '1', 1, 1, 0, 100, 101),"
			  " ('y', 'done', 'now', '1', 1, 1, 0, 200, 201);"
			  "INSERT INTO rollout_tenant (rollout, position, tenant_id, name, wave,"
			  " place, from_number, to_number, since_s)"
			  " SELECT r.number, 0, t.id, t.name, 0, 'done', 1, 2, 1 FROM rollout r, "
			  "tenant t;"
			  "INSERT INTO checkpoint (tenant_id, tag, kind, origin, state, generation,"
			  " memory_bytes, cpus, machine, saved_bytes, created_s)"
			  " SELECT t.id, v.column1, 'disk', v.column2, 'saved', 1, 0, 0, '', 0, "
			  "v.column3"
			  " FROM tenant t, (VALUES ('before-upgrade-1', 'named', 100),"
			  " ('before-upgrade-2', 'named', 199), ('before-upgrade-3', 'named', 300),"
			  " ('mine', 'named', 300), ('20261122-054300', 'timed', 300)) v",
			  &err),
		err);
	mlimg_store_close(mlimg_steal(&store));
	store = open_store(MLIMG_STORE_USE);
	check_agreement(store);
	ASSERT_EQ(mlimg_db_get(store->db, "SELECT 1 FROM pragma_foreign_key_check",
			  MLIMG_DB_NO_VALUES, &n, &err),
		0);
	ASSERT_EQ(mlimg_db_get(store->db, "SELECT count(*) FROM checkpoint", MLIMG_DB_NO_VALUES, &n,
			  &err),
		1);
	ASSERT_EQ(n, 5);
	ASSERT_OK(mlimg_store_tenant_find(store, "alice", &alice, &err), err);
	ASSERT_OK(mlimg_store_checkpoint_each(store, alice.id, put_origin, said, &err), err);
	ASSERT_STR(said,
		"before-upgrade-1:upgrade before-upgrade-2:named before-upgrade-3:named mine:named "
		"20261122-054300:timed ");
}

static void fill_settings(struct mlimg_tenant_settings *s)
{
	*s = (struct mlimg_tenant_settings){.memory_bytes = 512ull << 20,
		.cpus = 3,
		.accel = MLIMG_ACCEL_TCG,
		.union_driver = MLIMG_UNION_OF_INDEX,
		.disks = MLIMG_DISKS_JOINED,
		.verity = MLIMG_VM_VERITY_HASH,
		.net = true,
		.forwards = {{"127.0.0.1", 8080, 80}, {"0.0.0.0", 8080, 81}},
		.n_forwards = 2,
		.append = (char *)"quiet x='1 2'",
		.boot_timeout_s = 17,
		.autostart = true};
}

TEST(settings_are_kept)
{
	mlimg_autostore struct mlimg_store *store = store_with_alice();
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	struct mlimg_tenant_settings s, none;

	create(store, "bob");
	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	fill_settings(&s);
	ASSERT_OK(mlimg_tenant_settings_set(store, t.row.id, &s, &err), err);
	mlimg_tenant_done(&t);
	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	ASSERT_EQ(t.settings.memory_bytes, s.memory_bytes);
	ASSERT_EQ(t.settings.cpus, 3);
	ASSERT_EQ(t.settings.accel, s.accel);
	ASSERT_EQ(t.settings.union_driver, s.union_driver);
	ASSERT_EQ(t.settings.disks, s.disks);
	ASSERT_EQ(t.settings.verity, s.verity);
	ASSERT_EQ(t.settings.n_forwards, 2);
	ASSERT_STR(t.settings.forwards[1].address, "0.0.0.0");
	ASSERT_EQ(t.settings.forwards[1].host, 8080);
	ASSERT_EQ(t.settings.forwards[1].guest, 81);
	ASSERT_STR(t.settings.append, s.append);
	ASSERT_EQ(t.settings.boot_timeout_s, 17);
	ASSERT(t.settings.autostart);
	mlimg_tenant_settings_init(&none);
	none.net = false;
	ASSERT_OK(mlimg_tenant_settings_set(store, t.row.id, &none, &err), err);
	mlimg_tenant_done(&t);
	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	ASSERT(!t.settings.net && t.settings.n_forwards == 0 && !t.settings.append);
	mlimg_tenant_done(&t);
	ASSERT_OK(mlimg_tenant_load(store, "bob", &t, &err), err);
	check_defaults(&t.settings);
	ASSERT_FAILS(
		mlimg_tenant_settings_set(store, "0123", &s, &err), err, -ENOENT, "no tenant 0123");
}

TEST(settings_that_cannot_be_together)
{
	mlimg_autostore struct mlimg_store *store = store_with_alice();
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	struct mlimg_tenant_settings s;
	char longest[MLIMG_TENANT_APPEND_MAX + 2];

	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	fill_settings(&s);
	s.net = false;
	ASSERT_FAILS(mlimg_tenant_settings_set(store, t.row.id, &s, &err), err, -EINVAL,
		"--forward needs --net user");
	ASSERT_EQ(err.kind, MLIMG_ERR_USAGE);
	fill_settings(&s);
	s.union_driver = MLIMG_UNION_OF_OVERLAY;
	ASSERT_FAILS(mlimg_tenant_settings_set(store, t.row.id, &s, &err), err, -EINVAL,
		"--disks joined and --union overlay exclude each other");
	fill_settings(&s);
	strcpy(s.forwards[1].address, "127.0.0.1");
	ASSERT_FAILS(mlimg_tenant_settings_set(store, t.row.id, &s, &err), err, -EINVAL,
		"--forward: port 8080 of 127.0.0.1 is given twice");
	fill_settings(&s);
	s.append = (char *)"a\nb";
	ASSERT_FAILS(mlimg_tenant_settings_set(store, t.row.id, &s, &err), err, -EINVAL,
		"--append: a control character is in it");
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	s.append = longest;
	ASSERT_FAILS(mlimg_tenant_settings_set(store, t.row.id, &s, &err), err, -EINVAL,
		"--append: more than 1024 bytes");
	mlimg_tenant_done(&t);
	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	check_defaults(&t.settings);
}

TEST(settings_that_no_program_writes)
{
	mlimg_autostore struct mlimg_store *store = store_with_alice();
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	char wanted[256];

	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	ASSERT_OK(mlimg_db_script(store->db, "UPDATE tenant SET forwards = '1:2,x'", &err), err);
	snprintf(wanted, sizeof(wanted),
		"database is damaged: settings of tenant %s: no program writes these", t.row.id);
	mlimg_tenant_done(&t);
	ASSERT_FAILS(mlimg_tenant_load(store, "alice", &t, &err), err, -EUCLEAN, wanted);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	/* Nothing is under way that others would wait for. */
	ASSERT_OK(mlimg_store_tenant_rename(store, "alice", "bob", &err), err);
}

/* Off, what starts next counts; running, what runs. */
TEST(which_generation_counts)
{
	mlimg_autostore struct mlimg_store *store = store_with_alice();
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	const char *layers[] = {images[OLD].build_id};
	uint32_t number = 0;

	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	ASSERT_OK(mlimg_store_generation_add(store, t.row.id, layers, 1, &number, &err), err);
	ASSERT_OK(mlimg_store_generation_set_pending(store, t.row.id, number, &err), err);
	mlimg_tenant_done(&t);
	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	ASSERT_EQ(t.generation.number, 2);
	ASSERT_EQ(t.n_layers, 1);
	ASSERT_OK(mlimg_tenant_run_set(store, t.row.id, 1700000000, &err), err);
	mlimg_tenant_done(&t);
	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	ASSERT_EQ(t.run_s, 1700000000);
	ASSERT_EQ(t.generation.number, 1);
	ASSERT_EQ(t.n_layers, 2);
	ASSERT_OK(mlimg_tenant_run_set(store, t.row.id, 0, &err), err);
	mlimg_tenant_done(&t);
	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	ASSERT_EQ(t.run_s, 0);
	ASSERT_FAILS(mlimg_tenant_run_set(store, "0123", 7, &err), err, -ENOENT, "no tenant 0123");
}

TEST(one_command_on_a_tenant_at_a_time)
{
	mlimg_autostore struct mlimg_store *store = store_with_alice();
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0}, second = {.run_s = 0};
	mlimg_autoclose int fd = -1, other = -1;
	char wanted[256];

	ASSERT_OK(mlimg_tenant_take(store, "alice", "checkpoint", &t, &fd, &err), err);
	ASSERT_STR(t.row.name, "alice");
	snprintf(wanted, sizeof(wanted),
		"tenant 'alice' is in use by 'checkpoint' (process %ld): gave up after 1 s",
		(long)getpid());
	ASSERT_FAILS(
		mlimg_tenant_lock_within(&t, "start", 1000, &other, &err), err, -EBUSY, wanted);
	ASSERT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	fd = -1;
	ASSERT_OK(mlimg_tenant_take(store, "alice", "start", &second, &other, &err), err);
	shell("grep -qx \"'start' (process %ld)\" %s/lock", (long)getpid(), t.dir);
}

/* Who waited finds what it is by then, not what it was. */
TEST(a_tenant_that_changed_while_one_waited)
{
	mlimg_autostore struct mlimg_store *store = store_with_alice();
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	int fd = -1, status;
	pid_t child;

	ASSERT_OK(mlimg_tenant_take(store, "alice", "destroy", &t, &fd, &err), err);
	child = fork();
	ASSERT(child >= 0);
	if (child == 0) {
		/* The parent's store is not used after fork(2). */
		struct mlimg_store *mine = open_store(MLIMG_STORE_USE);
		struct mlimg_tenant now = {.run_s = 0};
		int mine_fd = -1;
		int ret;

		close(fd);
		ret = mlimg_tenant_take(mine, "alice", "start", &now, &mine_fd, &err);
		_exit(ret == -ENOENT && strcmp(err.text, "no tenant 'alice'") == 0 ? 0 : 1);
	}
	/* It waits: it has the lock's file open. */
	shell("until ls -l /proc/%ld/fd | grep -q '%s/lock'; do sleep 0.05; done", (long)child,
		t.row.id);
	ASSERT_OK(mlimg_store_tenant_remove(store, "alice", &err), err);
	close(fd);
	ASSERT_EQ(waitpid(child, &status, 0), child);
	ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ASSERT_EQ(mlimg_tenant_lock(&t, "start", &fd, &err), -ENOENT);
}
