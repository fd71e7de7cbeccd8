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

#include <sys/mount.h>

#include "guest-agent/calls.h"
#include "libmlimg/boot.h"
#include "tests/lib/disk-tree.h"
#include "tests/lib/disk-user.h"
#include "tests/lib/layerdir.h"
#include "tests/lib/model-plan.h"
#include "tests/lib/model-tell.h"
#include "tests/lib/stop-at.h"

#define STACK_LAYERS 3
#define CLASS_FILE "usr/lib/mlimg/reconcile.d/model.conf"

struct stack {
	char dir[16]; /**< in run */
	struct tree layers[STACK_LAYERS];
	size_t n;
	char ids[STACK_LAYERS][MLIMG_SHA256_HEX_SIZE];
	struct tree view; /**< what the kernel shows of it */
};

struct disk {
	struct stack old, next;
	unsigned n_stacks;
	char user_id[MLIMG_SHA256_HEX_SIZE];
	const char *driver;
	uint64_t generation;
	struct tree upper, before; /**< the user's changes, and what he sees, on the old stack */
	struct tree seen, aside;   /**< after the change */
	struct tree wanted, beside, wanted_aside;
};

/* --- random numbers --- */

static uint64_t case_seed, left_out; /**< left_out: a bit for each operation that is not done */

/** Each part of a case has numbers of its own, so that one that is left out changes no other. */
TEST_UNUSED static void reseed(uint64_t part)
{
	test_state = case_seed ^ (part << 32);
	test_random(2);
}

/* --- trees on the disk --- */

static const char *contents_of_model(const struct mlimg_entry *e)
{
	return model_contents[content_of(e)].data;
}

TEST_UNUSED static struct mlimg_manifest *read_manifest(const char *path, unsigned flags)
{
	mlimg_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct mlimg_manifest *m;

	MUST(fd);
	ASSERT_OK(mlimg_walk_manifest(fd, flags, true, &m, &err), err);
	return m;
}

/** Its entries last as long as the case. The table of classes is no part of the model. */
TEST_UNUSED static void read_tree(const char *path, struct tree *ret)
{
	struct mlimg_manifest *m = read_manifest(path, MLIMG_WALK_SKIP_MISSING);

	ret->n = 0;
	for (size_t i = 0; i < m->n_entries; i++) {
		const struct mlimg_entry *e = &m->entries[i];

		if (!*e->path || strncmp(e->path, "usr/lib", 7) == 0)
			continue;
		ASSERT(ret->n < TREE_MAX);
		ret->e[ret->n++] = *e;
	}
}

/**
 * All of a tree as text.
 *
 * @param has_times  else they do not count
 * @param has_notes  else these do not: what the kernel notes in an upper when it is read, and what
 *                   the agent has copies forget
 */
TEST_UNUSED static char *list_tree(const char *path, bool has_times, bool has_notes)
{
	struct mlimg_manifest *m = read_manifest(path, 0);
	struct mlimg_text text = {0};

	for (size_t i = 0; i < m->n_entries; i++) {
		struct mlimg_entry *e = &m->entries[i];

		if (!has_times)
			e->mtime_s = e->mtime_ns = 0;
		if (!has_notes) {
			set_xattr(e, "trusted.overlay.origin", NULL);
			set_xattr(e, "trusted.overlay.impure", NULL);
		}
	}
	mlimg_manifest_put(m, mlimg_text_put, &text);
	ASSERT(!text.has_failed);
	return text.data;
}

TEST_UNUSED static void run_program(const char *const *argv)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (status)
		FAIL("status %d of '%s %s'", status, argv[0], argv[1]);
}

TEST_UNUSED static void copy_dir(const char *from, const char *to)
{
	const char *const argv[] = {"cp", "-a", from, to, NULL};

	remove_all(to);
	run_program(argv);
}

/* --- stacks --- */

/* A layer that lies on others: it hides some of what they have. */
static void random_software(struct tree *t)
{
	char path[12];

	t->n = 0;
	for (int i = 0; i < 3; i++) {
		struct mlimg_entry e = random_dir();

		if (one_in(2))
			continue;
		tree_put(t, model_tops[i], &e);
		random_below(t, model_tops[i]);
	}
	for (size_t i = 0; i < t->n; i++)
		if (is_a_dir(&t->e[i]) && depth_of(t->e[i].path) > 1 && one_in(4))
			set_xattr(&t->e[i], OPAQUE, "y");
	for (int i = 0; i < 4; i++) {
		const struct mlimg_entry hidden = {.type = MLIMG_CHAR, .nlink = 1};
		const char *slash;

		user_path(path);
		slash = strrchr(path, '/');
		if (!tree_get(t, path) &&
			is_a_dir(tree_get(t,
				mlimg_arena_strndup(model_memory, path, (size_t)(slash - path)))))
			tree_put(t, path, &hidden);
	}
}

TEST_UNUSED static void random_layers(struct stack *s)
{
	random_stack(&s->layers[0]);
	s->n = 1 + test_random(STACK_LAYERS);
	for (size_t i = 1; i < s->n; i++)
		random_software(&s->layers[i]);
}

TEST_UNUSED static void next_layers(const struct stack *old, struct stack *ret)
{
	ret->n = old->n;
	if (ret->n > 1 && one_in(5))
		ret->n--;
	for (size_t i = 0; i < ret->n; i++)
		random_next(&old->layers[i], &ret->layers[i]);
	if (ret->n < STACK_LAYERS && one_in(5))
		random_software(&ret->layers[ret->n++]);
}

static void write_classes(const char *root)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%.40s/" CLASS_FILE, root);
	for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			FAIL("%s: %s", path, strerror(errno));
		*slash = '/';
	}
	user_put(path, O_CREAT, MODEL_CLASSES, strlen(MODEL_CLASSES));
}

static void write_layer(struct stack *s, size_t i, unsigned version)
{
	struct mlimg_layer_info info = {.kind = i ? MLIMG_SOFTWARE : MLIMG_SYSTEM};
	char path[PATH_SIZE], out[64];

	snprintf(out, sizeof(out), "run/%s/%zu", s->dir, i);
	snprintf(path, sizeof(path), "%s/rootfs", out);
	MUST(mkdir(out, 0755) | mkdir(path, 0755));
	make_tree(path, manifest_of(&s->layers[i], true), contents_of_model);
	if (i == 0)
		write_classes(path);
	snprintf(info.name, sizeof(info.name), "l%zu", i);
	snprintf(info.version, sizeof(info.version), "%u", version);
	ASSERT_OK(layerdir_make(out, &info, path, &err), err);
	strcpy(s->ids[i], info.build_id);
}

static void mount_union(const struct stack *s, bool has_upper, unsigned long flags)
{
	char options[1024] = "index=off,metacopy=off,xino=auto,redirect_dir=on,lowerdir=";
	const char *path = USER_ROOT;

	for (size_t i = s->n; i-- > 0;)
		sprintf(options + strlen(options), "run/%s/%zu/rootfs%s", s->dir, i, i ? ":" : "");
	if (!has_upper && s->n == 1) /* overlayfs wants two layers */
		strcat(options, ":empty");
	if (has_upper)
		strcat(options, ",upperdir=run/user/upper,workdir=run/user/work");
	if (mount("overlay", path, "overlay", flags, options) < 0)
		FAIL("mount -o %s: %s", options, strerror(errno));
}

static void unmount(void)
{
	const char *path = USER_ROOT;

	MUST(umount(path));
}

/** Read what the user sees on @p s. */
TEST_UNUSED static void read_union(const struct stack *s, struct tree *ret)
{
	fprintf(stderr, "reads what the user sees on %s\n", s->dir);
	mount_union(s, true, MS_RDONLY);
	read_tree(USER_ROOT, ret);
	unmount();
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

/** The user does something on @p s. @param turn  0 to 2: which numbers he has */
TEST_UNUSED static void work(const struct stack *s, unsigned turn, bool has_redirects)
{
	mount_union(s, true, 0);
	for (unsigned i = turn * OPS_OF_A_TURN; i < (turn + 1) * OPS_OF_A_TURN; i++) {
		reseed(1000 + i);
		done_ops[i] = user_random();
		if (!(left_out >> i & 1))
			user_do(&done_ops[i], has_redirects);
	}
	unmount();
}

/** He works on the old stack, and there is a new one. */
TEST_UNUSED static void begin_turn(struct disk *d, unsigned turn, bool has_redirects)
{
	work(&d->old, turn, has_redirects);
	read_union(&d->old, &d->before);
	read_tree("run/user/upper", &d->upper);
	reseed(100 + turn);
	next_layers(&d->old, &d->next);
	write_stack(d, &d->next);
}

/** Read what a change has made. */
TEST_UNUSED static void read_changed(struct disk *d)
{
	char path[PATH_SIZE];

	read_union(&d->next, &d->seen);
	d->aside.n = 0;
	snprintf(path, sizeof(path), "run/user/mlimg/aside/%" PRIu64, d->generation);
	if (user_type(path))
		read_tree(path, &d->aside);
}

#endif
