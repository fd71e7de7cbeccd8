/* SPDX-License-Identifier: MIT */
/*
 * The store, killed: whatever changes it is stopped before one of its calls that write, and the
 * next program finds database and directory in agreement, and can do the same again. And two
 * programs at a time.
 */
#include "tools/store.h"

#include "tests/lib/stop-at.h"
#include "tests/lib/store-case.h"

/* Not in this process: a database is not handed on to a child. */
#define MAY_FAIL(call) ((call) < 0 ? 1 : 0)

static int open_for(struct mlimg_store **ret_store)
{
	return mlimg_store_open("store", MLIMG_STORE_MAKE, ret_store, &err);
}

static int do_add(void *ctx)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	struct mlimg_store_added added = {.is_new = false};
	const char *image = ctx;
	int ret = open_for(&store);

	if (ret == 0)
		ret = mlimg_store_layer_add(
			store, image, strcmp(image, "moved.img") == 0, &added, &err);
	mlimg_store_layer_done(&added.layer);
	/* What has been moved is there no longer. */
	return MAY_FAIL(ret == -ENOENT && strcmp(image, "moved.img") == 0 ? 0 : ret);
}

static int do_remove(void *ctx)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	int ret = open_for(&store);

	if (ret == 0)
		ret = mlimg_store_layer_remove(store, images[WEB].build_id, &err);
	return MAY_FAIL(ret == -ENOENT ? 0 : ret);
}

static int do_create(void *ctx)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	const char *layers[] = {images[OLD].build_id, images[WEB].build_id};
	const struct mlimg_store_new tenant = {
		.name = "alice", .layers = layers, .n_layers = 2, .fill = fill_tenant};
	struct mlimg_store_tenant t;
	int ret = open_for(&store);

	if (ret == 0)
		ret = mlimg_store_tenant_create(store, &tenant, &t, &err);
	return MAY_FAIL(ret == -EEXIST ? 0 : ret);
}

static int do_destroy(void *ctx)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	int ret = open_for(&store);

	if (ret == 0)
		ret = mlimg_store_tenant_remove(store, "alice", &err);
	return MAY_FAIL(ret == -ENOENT ? 0 : ret);
}

static int pass_finding(const struct mlimg_store_finding *f, void *ctx, struct mlimg_err *e)
{
	return 0;
}

static const bool keeps_newest = true;

/* Everything, but for what somebody would take next where that is wanted. */
static int do_gc(void *ctx)
{
	const struct mlimg_store_gc gc = {
		.all = !ctx, .kept_former = UINT64_MAX, .fn = pass_finding};
	mlimg_autostore struct mlimg_store *store = NULL;
	int ret = open_for(&store);

	if (ret == 0)
		ret = mlimg_store_gc(store, &gc, &err);
	return MAY_FAIL(ret);
}

/* What is in the store, in words: what it was before, or is afterwards, and nothing between. */
static int put_layer(const struct mlimg_store_layer *layer, void *ctx, struct mlimg_err *e)
{
	char *all = ctx;

	snprintf(all + strlen(all), 512 - strlen(all), "%s %s ", layer->info.name,
		layer->info.version);
	return 0;
}

static int put_tenant(const struct mlimg_store_tenant *tenant, void *ctx, struct mlimg_err *e)
{
	char *all = ctx;

	snprintf(all + strlen(all), 512 - strlen(all), "%s:%u ", tenant->name, tenant->current);
	shell("[ \"$(cat store/tenants/%s/user.qcow2)\" = disk ]", tenant->id);
	return 0;
}

static void contents(char ret_text[512])
{
	mlimg_autostore struct mlimg_store *store = open_store(MLIMG_STORE_MAKE);

	ret_text[0] = '\0';
	check_agreement(store);
	ASSERT_OK(mlimg_store_layer_each(store, 0, put_layer, ret_text, &err), err);
	ASSERT_OK(mlimg_store_tenant_each(store, put_tenant, ret_text, &err), err);
}

struct kill_case {
	int (*fn)(void *ctx);
	const char *image; /* for do_add() */
	const char *before, *after;
};

static void restore(void)
{
	shell("rm -rf store && { [ ! -e start ] || cp -a --reflink=auto start store; } && "
	      "cp images/free.img moved.img");
}

/* An image that was to be moved is in one place at least. */
static void check_moved(const struct kill_case *c)
{
	if (c->image && strcmp(c->image, "moved.img") == 0)
		shell("[ -e moved.img ] || [ -e store/layers/%s.img ]", images[FREE].build_id);
}

/* By default every few of its calls, from a random one on; MLIMG_CASES says how many. */
static uint64_t first_call(uint64_t n, uint64_t *ret_step)
{
	const char *given = getenv("MLIMG_CASES");
	uint64_t cases = given && *given ? strtoull(given, NULL, 10) : 16;

	test_seed();
	*ret_step = cases && n > cases ? n / cases : 1;
	return test_random(*ret_step);
}

static void kill_at_calls(const struct kill_case *c)
{
	uint64_t n, step, n_after = 0, n_kills = 0;
	char found[512];
	int status;

	restore();
	n = stop_at(STOP_NEVER, c->fn, (void *)c->image, &status);
	ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	contents(found);
	ASSERT_STR(found, c->after);
	for (uint64_t at = first_call(n, &step); at < n; at += step, n_kills++) {
		restore();
		stop_at(at, c->fn, (void *)c->image, &status);
		/* One that waits for nobody may save itself a call. */
		if (!WIFSIGNALED(status)) {
			ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
			continue;
		}
		check_moved(c);
		contents(found);
		if (strcmp(found, c->after) == 0)
			n_after++;
		else
			ASSERT_STR(found, c->before);
		ASSERT_EQ(c->fn((void *)c->image), 0);
		contents(found);
		ASSERT_STR(found, c->after);
	}
	fprintf(stderr, "%" PRIu64 " kills, %" PRIu64 " after it was done\n", n_kills, n_after);
	ASSERT(n > 20 && n_after > 0 && n_after < n_kills);
}

static void make_start(bool with_tenant)
{
	make_images();
	{
		mlimg_autostore struct mlimg_store *store = open_store(MLIMG_STORE_MAKE);

		ASSERT(add_image(store, OLD) && add_image(store, WEB));
	}
	if (with_tenant)
		ASSERT_EQ(do_create(NULL), 0);
	shell("mv store start");
}

TEST(killed_while_a_store_is_made)
{
	make_images();
	kill_at_calls(&(struct kill_case){do_add, "images/old.img", "", "debian 12.1 "});
}

TEST(killed_while_a_layer_is_added)
{
	make_start(false);
	kill_at_calls(&(struct kill_case){do_add, "images/new.img", "debian 12.1 nginx 1.0 ",
		"debian 12.1 debian 12.2 nginx 1.0 "});
}

TEST(killed_while_a_layer_is_moved)
{
	make_start(false);
	kill_at_calls(&(struct kill_case){
		do_add, "moved.img", "debian 12.1 nginx 1.0 ", "debian 12.1 nginx 1.0 tools 1 "});
}

TEST(killed_while_a_layer_is_removed)
{
	make_start(false);
	kill_at_calls(
		&(struct kill_case){do_remove, NULL, "debian 12.1 nginx 1.0 ", "debian 12.1 "});
}

TEST(killed_while_a_tenant_is_created)
{
	make_start(false);
	kill_at_calls(&(struct kill_case){
		do_create, NULL, "debian 12.1 nginx 1.0 ", "debian 12.1 nginx 1.0 alice:1 "});
}

TEST(killed_while_a_tenant_is_removed)
{
	make_start(true);
	kill_at_calls(&(struct kill_case){
		do_destroy, NULL, "debian 12.1 nginx 1.0 alice:1 ", "debian 12.1 nginx 1.0 "});
	shell("[ \"$(cat store/removed/*/user.qcow2)\" = disk ]");
}

/* Several steps, each of which is whole: from the top down. */
TEST(killed_while_layers_are_collected)
{
	uint64_t n, step;
	char found[512];
	int status, seen = 0;

	make_start(false);
	restore();
	n = stop_at(STOP_NEVER, do_gc, NULL, &status);
	for (uint64_t at = first_call(n, &step); at < n; at += step) {
		restore();
		stop_at(at, do_gc, NULL, &status);
		contents(found);
		seen |= strcmp(found, "debian 12.1 nginx 1.0 ") == 0 ? 1
			: strcmp(found, "debian 12.1 ") == 0         ? 2
			: strcmp(found, "") == 0                     ? 4
								     : 8;
		ASSERT_EQ(do_gc(NULL), 0);
		contents(found);
		ASSERT_STR(found, "");
	}
	ASSERT_EQ(seen, 7);
}

/* @return its process, which has begun to add the image and goes on when it gets a signal */
static pid_t begin_operation(void)
{
	int pipes[2];
	char c;
	pid_t pid;

	ASSERT_EQ(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		struct mlimg_store *store = NULL;
		struct mlimg_store_op op = MLIMG_STORE_OP_INIT;
		int ret = open_for(&store);

		if (ret == 0)
			ret = mlimg_store_op_begin(
				store, MLIMG_STORE_ADD_LAYER, images[NEW].build_id, &op, &err);
		if (ret == 0)
			ret = mlimg_store_op_announce(&op, &err);
		if (ret == 0)
			close(openat(store->fds[MLIMG_STORE_INCOMING], op.token, O_CREAT | O_RDWR,
				0600));
		if (ret < 0 || write(pipes[1], "x", 1) != 1)
			_exit(1);
		raise(SIGSTOP);
		mlimg_store_op_end(&op);
		mlimg_store_close(store);
		_exit(0);
	}
	close(pipes[1]);
	ASSERT_EQ(read(pipes[0], &c, 1), 1);
	close(pipes[0]);
	return pid;
}

static int64_t n_operations(void)
{
	mlimg_autostore struct mlimg_store *store = open_store(MLIMG_STORE_USE);
	int64_t n = -1;

	ASSERT_EQ(mlimg_db_get(store->db, "SELECT count(*) FROM operation", MLIMG_DB_NO_VALUES, &n,
			  &err),
		1);
	return n;
}

TEST(what_the_living_do_is_let_alone)
{
	int status;
	pid_t pid;

	make_start(false);
	restore();
	pid = begin_operation();
	ASSERT_EQ(n_operations(), 1);
	shell("[ $(ls store/incoming | wc -l) -eq 2 ]");
	kill(pid, SIGCONT);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	ASSERT_EQ(n_operations(), 0);
	shell("[ -z \"$(ls -A store/incoming)\" ]");
	pid = begin_operation();
	kill(pid, SIGKILL);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	shell("[ $(ls store/incoming | wc -l) -eq 2 ]");
	ASSERT_EQ(n_operations(), 0);
	shell("[ -z \"$(ls -A store/incoming)\" ]");
}

/* Each of them makes the store, adds, removes, creates and collects what the others do, too. */
static int do_all(unsigned k)
{
	static const enum image order[] = {OLD, WEB, NEW, FREE, PATCH};
	const size_t n = sizeof(order) / sizeof(order[0]);

	for (size_t i = 0; i < 2 * n; i++) {
		enum image image = order[(i + k) % n];

		if (do_add((void *)image_path(image)) != 0)
			return 1;
		if (i % 4 == 3 && do_remove(NULL) != 0 && err.code != -EBUSY)
			return 2;
		if (i % 3 == 2 && do_create(NULL) != 0 && err.code != -ENOENT)
			return 3;
		if (i % 3 == 0 && do_destroy(NULL) != 0)
			return 4;
		if (do_gc((void *)&keeps_newest) != 0)
			return 5;
	}
	return 0;
}

TEST(several_at_a_time)
{
	pid_t pids[3];
	char found[512];
	int status;

	make_images();
	for (unsigned k = 0; k < 3; k++) {
		pids[k] = fork();
		if (pids[k] == 0) {
			status = do_all(k);
			if (status)
				fprintf(stderr, "%d: %s\n", status, err.text);
			_exit(status);
		}
	}
	for (unsigned k = 0; k < 3; k++) {
		ASSERT_EQ(waitpid(pids[k], &status, 0), pids[k]);
		ASSERT_EQ(status, 0);
	}
	contents(found);
	ASSERT(strstr(found, "debian 12.1 ") && strstr(found, "tools 1 "));
}
