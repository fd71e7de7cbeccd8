/* SPDX-License-Identifier: MIT */
/**
 * @file disk-case.h
 * A case of the model of reconcile on the disk: stacks of layers, a user layer whose upper the
 * kernel's overlayfs writes, and boots of mlimg-agent. In the working directory, an empty file
 * system of the case's own:
 *
 *     run/                   what mlimg-agent is given as --root
 *     run/STACK/N/           layer N of a stack: rootfs and mlimg
 *     run/layers             link to the stack that is booted
 *     run/user/              the user layer
 *     merged/                the union, while it is mounted
 *     empty/
 */
#ifndef MLIMG_TEST_DISK_CASE_H
#define MLIMG_TEST_DISK_CASE_H

#include "guest-agent/calls.h"
#include "libmlimg/boot.h"
#include "tests/lib/disk-stack.h"
#include "tests/lib/stop-at.h"

struct disk {
	struct stack old, next;
	unsigned n_stacks;
	char user_id[MLIMG_SHA256_HEX_SIZE];
	const char *driver;
	uint64_t generation;
	struct tree upper, before; /**< the user's changes, and what he sees, on the old stack */
	struct tree seen, aside;   /**< after the change */
	struct tree wanted, beside, wanted_aside;
	struct databases mine, after; /**< the user's, before the change and after it */
};

/* --- random numbers --- */

static uint64_t case_seed, left_out; /**< left_out: a bit for each operation that is not done */

/** Each part of a case has numbers of its own, so that one that is left out changes no other. */
TEST_UNUSED static void reseed(uint64_t part)
{
	test_state = case_seed ^ (part << 32);
	test_random(2);
}

/** Write a stack to the disk; one with the same layers is another one. */
TEST_UNUSED static void write_stack(struct disk *d, struct stack *s)
{
	char path[PATH_SIZE];

	snprintf(s->dir, sizeof(s->dir), "stack%u", d->n_stacks++);
	snprintf(path, sizeof(path), "run/%s", s->dir);
	MUST(mkdir(path, 0755));
	for (size_t i = 0; i < s->n; i++)
		write_layer(s, i, d->n_stacks);
	mount_union(s, false, MS_RDONLY);
	read_tree(USER_ROOT, &s->view);
	unmount();
}

/* --- boots --- */

struct boot_call {
	const struct disk *disk;
	const struct stack *stack;
};

/* In a process of its own. @return the exit code */
static int boot_agent(void *ctx)
{
	const struct boot_call *call = ctx;
	const struct stack *s = call->stack;
	const char *argv[24] = {"prepare", "--root", "run", "--union", call->disk->driver, "--user",
		call->disk->user_id, "--system", s->ids[0]};
	const char *commit[] = {"commit", "--root", "run", NULL};
	int argc = 9, r;

	for (size_t i = 1; i < s->n; i++) {
		argv[argc++] = "--software";
		argv[argc++] = s->ids[i];
	}
	if (!freopen("/dev/null", "w", stdout))
		return 126;
	optind = 1;
	r = mlimg_call_prepare(argc, (char **)(uintptr_t)argv);
	optind = 1;
	return r ? r : mlimg_call_commit(3, (char **)(uintptr_t)commit);
}

/** Boot, and kill the agent before one of its calls (stop-at.h). @return how many calls it made */
TEST_UNUSED static uint64_t boot_until(
	const struct disk *d, const struct stack *s, uint64_t at, int *ret_status)
{
	struct boot_call call = {d, s};
	const char *path = "run/layers";

	unlink(path);
	MUST(symlink(s->dir, path));
	return stop_at(at, boot_agent, &call, ret_status);
}

TEST_UNUSED static uint64_t read_generation(void)
{
	mlimg_autofree char *text = NULL;
	struct mlimg_boot_state state;
	size_t size;

	ASSERT_OK(mlimg_read_file(AT_FDCWD, "run/user/mlimg/state.json", MLIMG_BOOT_STATE_MAX,
			  &text, &size, &err),
		err);
	ASSERT_OK(mlimg_boot_state_from_json(text, size, &state, &err), err);
	return state.generation;
}

static void print_file(const char *path)
{
	mlimg_autofree char *text = NULL;
	size_t size;

	if (mlimg_read_file(AT_FDCWD, path, 1 << 20, &text, &size, NULL) == 0)
		fprintf(stderr, "%s:\n%s\n", path, text);
}

/** Boot. @return how many calls that took */
TEST_UNUSED static uint64_t boot(struct disk *d, const struct stack *s)
{
	int status;
	uint64_t n = boot_until(d, s, STOP_NEVER, &status);

	if (status) {
		print_file("run/boot.json");
		FAIL("mlimg-agent on %s: status %d", s->dir, status);
	}
	d->generation = read_generation();
	return n;
}

/** Boot another stack, which makes the next generation. */
TEST_UNUSED static uint64_t boot_other(struct disk *d, const struct stack *s)
{
	uint64_t wanted = d->generation + 1, n = boot(d, s);

	if (d->generation != wanted) {
		print_file("run/boot.json");
		FAIL("generation %" PRIu64 " on %s, and not %" PRIu64, d->generation, s->dir,
			wanted);
	}
	return n;
}

/* --- a case --- */

static void make_user(struct disk *d)
{
	struct mlimg_layer_info info = {.kind = MLIMG_USER, .name = "alice", .version = "1"};
	const char *path = "run/user";

	MUST(mkdir(path, 0755) | mkdir("run/user/upper", 0755) | mkdir("run/user/work", 0755));
	ASSERT_OK(layerdir_make(path, &info, "run/user/upper", &err), err);
	strcpy(d->user_id, info.build_id);
}

/** A user layer that has run on a random stack. */
TEST_UNUSED static void begin_case(struct disk *d, const char *driver)
{
	const char *path = "run";

	d->driver = driver;
	MUST(mkdir(path, 0755) | mkdir(USER_ROOT, 0755) | mkdir("empty", 0755));
	reseed(1);
	random_layers(&d->old);
	write_stack(d, &d->old);
	make_user(d);
	boot(d, &d->old);
	ASSERT_EQ(d->generation, 1);
}

#define OPS_OF_A_TURN 21 /**< three turns have no more than left_out has bits */

static struct user_op done_ops[3 * OPS_OF_A_TURN];

static void work_on_databases(void)
{
	struct databases old, d;

	read_databases(USER_ROOT, &old);
	d = old;
	for (size_t i = test_random(6); i > 0; i--)
		change_by_user(&d);
	write_databases(USER_ROOT, &old, &d);
}

static void note_user_ids(void)
{
	struct databases d;

	read_databases(USER_ROOT, &d);
	n_user_ids = d.n_accounts;
	for (size_t i = 0; i < d.n_accounts; i++)
		user_ids[i] = d.accounts[i].id;
}

/* Some things that no stack has anything to do with. */
static void give_away(void)
{
	char path[PATH_SIZE];

	note_user_ids();
	for (unsigned i = 0; i < 10; i++) {
		if (one_in(2))
			continue;
		snprintf(path, sizeof(path), USER_ROOT "/var/given%u", i);
		user_put(path, O_CREAT, "", 0);
		MUST(lchown(path, user_id((unsigned)test_random(32)),
			user_id((unsigned)test_random(32))));
		if (one_in(3))
			user_set_binary(path, MODEL_ACL,
				acl_text(0640, user_id((unsigned)test_random(32)),
					(unsigned)test_random(6)));
	}
}

/** The user does something on @p s. @param turn  0 to 2: which numbers he has */
TEST_UNUSED static void work(const struct stack *s, unsigned turn, bool has_redirects)
{
	mount_union(s, true, 0);
	if (has_owners)
		note_user_ids();
	for (unsigned i = turn * OPS_OF_A_TURN; i < (turn + 1) * OPS_OF_A_TURN; i++) {
		reseed(1000 + i);
		done_ops[i] = user_random();
		if (!(left_out >> i & 1))
			user_do(&done_ops[i], has_redirects);
	}
	reseed(2000 + turn);
	if (has_databases && !(has_owners && one_in(2)))
		work_on_databases();
	if (has_owners)
		give_away();
	unmount();
}

/**
 * He works on the old stack, and there is a new one.
 *
 * @param like     of which it is made
 * @param without  a path that none of its layers has, or NULL
 */
TEST_UNUSED static void begin_turn_like(struct disk *d, unsigned turn, bool has_redirects,
	const struct stack *like, const char *without)
{
	work(&d->old, turn, has_redirects);
	read_union(&d->old, &d->before, &d->mine);
	read_tree("run/user/upper", &d->upper);
	reseed(100 + turn);
	next_layers(like, &d->next);
	for (size_t i = 0; without && i < d->next.n; i++) {
		tree_remove(&d->next.layers[i], without);
		next_links(&d->next.layers[i]);
	}
	write_stack(d, &d->next);
}

/** The same with one that is made of the old stack. */
TEST_UNUSED static void begin_turn(struct disk *d, unsigned turn, bool has_redirects)
{
	begin_turn_like(d, turn, has_redirects, &d->old, NULL);
}

/** Read what a change has made. */
TEST_UNUSED static void read_changed(struct disk *d)
{
	char path[PATH_SIZE];

	read_union(&d->next, &d->seen, &d->after);
	d->aside.n = 0;
	snprintf(path, sizeof(path), "run/user/mlimg/aside/%" PRIu64, d->generation);
	if (user_type(path))
		read_tree(path, &d->aside);
}

#endif
