/* SPDX-License-Identifier: MIT */
/*
 * The model of reconcile on the disk: stacks of real layers, uppers that the kernel's overlayfs has
 * written, and mlimg-agent's prepare and commit on them. What the user must see is computed apart
 * (model-oracle.h, and below a second time with less: path by path, of what he saw); what he does
 * see the kernel says. Needs root, for mounts, devices and trusted.*.
 *
 * MLIMG_CASES is the number of cases of each law, MLIMG_SEED repeats a run; a case that fails is
 * made as small as leaving out what the user did makes it.
 */
#define MODEL_DEPTH 4
#include "tests/lib/disk-check.h"

/* --- what the user sees --- */

/* Without the directories that lead to what is set aside, packages' files among it. */
static void check_oracle_aside(struct disk *d)
{
	for (size_t i = d->aside.n; i-- > 0;)
		if (is_a_dir(&d->aside.e[i]) && !tree_get(&d->wanted_aside, d->aside.e[i].path) &&
			(tree_has_below(&d->wanted_aside, d->aside.e[i].path) ||
				depth_of(d->aside.e[i].path) == 1))
			d->aside.e[i] = d->aside.e[--d->aside.n];
	fail_unless(is_same_tree("what is set aside", &d->wanted_aside, &d->aside),
		"what is set aside");
}

/*
 * @return whether all directories above are directories for everybody, and show what is beneath
 * them at the same path
 */
static bool is_plain(struct disk *d, const char *path)
{
	char *dir = model_string(path), *slash;

	if (has_mark(&d->upper, path))
		return false;
	while ((slash = strrchr(dir, '/'))) {
		*slash = '\0';
		if (has_mark(&d->upper, dir) || !is_a_dir(tree_get(&d->old.view, dir)) ||
			!is_a_dir(tree_get(&d->next.view, dir)) ||
			!is_a_dir(tree_get(&d->before, dir)))
			return false;
	}
	return true;
}

/*
 * What he did not change follows the stack, and where the stack did not change it is as it was;
 * whatever the upper has.
 */
static void check_path(struct disk *d, const char *path)
{
	const struct mlimg_entry *base = tree_get(&d->old.view, path),
				 *next = tree_get(&d->next.view, path),
				 *before = tree_get(&d->before, path), *wanted;
	enum mlimg_path_class class = oracle_class(path);

	if (class == MLIMG_CLASS_KEEP || class == MLIMG_CLASS_DERIVED || is_a_dir(base) ||
		is_a_dir(next) || is_a_dir(before) || strstr(path, ".mlimg-new") ||
		!is_plain(d, path))
		return;
	if (!is_equal(before, base) && !is_equal(base, next))
		return;
	wanted = is_equal(before, base) ? next : before;
	if (is_equal(wanted, tree_get(&d->seen, path)))
		return;
	print_entry("base", base);
	print_entry("next", next);
	print_entry("before", before);
	print_entry("seen", tree_get(&d->seen, path));
	FAIL("'%s' is not what one side left alone", path);
}

static void check_paths(struct disk *d)
{
	struct tree *trees[] = {&d->old.view, &d->next.view, &d->before, &d->seen};

	for (size_t t = 0; t < 4; t++)
		for (size_t i = 0; i < trees[t]->n; i++)
			check_path(d, trees[t]->e[i].path);
}

static void check_lost(struct disk *d)
{
	const char *lost =
		find_lost(&d->old.view, &d->next.view, &d->upper, &d->seen, &d->aside, NULL);

	if (lost)
		FAIL("'%s' is lost", lost);
}

/* Another stack, but with the same in it: nothing is to be done. */
static void check_twice(struct disk *d)
{
	char *before = list_tree("run/user/upper", true, true);

	write_stack(d, &d->next);
	boot_other(d, &d->next);
	fail_unless(is_same_text(before, list_tree("run/user/upper", true, true)),
		"a second time something is done");
}

static void check_change(struct disk *d)
{
	boot_other(d, &d->next);
	read_changed(d);
	check_oracle(d);
	check_oracle_aside(d);
	check_paths(d);
	check_lost(d);
	check_databases(d);
	if (one_in(3))
		check_twice(d);
	d->old = d->next;
}

static void check_seen(struct disk *d)
{
	has_databases = true;
	begin_case(d, "overlay");
	for (unsigned turn = 0; turn < 3; turn++) {
		begin_turn(d, turn, true);
		check_change(d);
	}
}

TEST(the_user_sees_what_the_model_says_and_loses_nothing)
{
	each_case(300, check_seen);
}

/* --- a stack that comes back --- */

/* @return a directory of the stack that is in another but a top one, or NULL */
static char *deep_dir(struct tree *view)
{
	size_t first = test_random(view->n);

	for (size_t i = 0; i < view->n; i++) {
		const struct mlimg_entry *e = &view->e[(first + i) % view->n];

		if (is_a_dir(e) && depth_of(e->path) > 2)
			return e->path;
	}
	return NULL;
}

/* In the union of @s; @is_made: it is made before, with something in it */
static void move_dir(const struct stack *s, const char *from, const char *to, bool is_made)
{
	mlimg_autofree char *path = path_of(USER_ROOT, from, ""),
			    *other = path_of(USER_ROOT, to, ""),
			    *within = path_of(USER_ROOT, from, "/d");

	mount_union(s, true, 0);
	if (is_made && mkdir(path, 0755) == 0)
		user_write(within, (unsigned)test_random(CONTENTS), 0);
	if (user_type(path) == S_IFDIR) /* it may be gone, or have no place to go */
		(void)!rename(path, other);
	unmount();
}

/* @return whether what is at @path, below or at @dir, is there because the user has renamed something */
static bool is_in_renamed(struct tree *upper, const char *path, const char *dir)
{
	char *at = model_string(path);

	for (;;) {
		const struct mlimg_entry *e = tree_get(upper, at);

		if (e && xattr_text(e, REDIRECT))
			return true;
		if (strcmp(at, dir) == 0)
			return false;
		*strrchr(at, '/') = '\0';
	}
}

/* What was renamed away shows nothing in its place but what the user has there. */
static void check_place(struct disk *d, const char *from, const char *moved)
{
	const struct mlimg_entry *e;

	read_tree("run/user/upper", &d->upper);
	e = tree_get(&d->upper, moved);
	if (!e || !xattr_text(e, REDIRECT) || xattr_text(e, OPAQUE))
		return;
	for (size_t i = 0; i < d->seen.n; i++)
		if (is_under(d->seen.e[i].path, from) && !tree_get(&d->upper, d->seen.e[i].path) &&
			!is_in_renamed(&d->upper, d->seen.e[i].path, from))
			FAIL("'%s' shows, and in '%s' too", d->seen.e[i].path, moved);
}

/*
 * The user renames a directory; a stack comes that has it not, nor what it is in; there he makes
 * one in its place, which overlayfs does not mark, for what it is in is his own; and the first
 * stack comes back, or one that is like it.
 */
static void check_returned(struct disk *d)
{
	struct stack *first = malloc(sizeof(*first));
	char *from, *parent, *made, *moved;

	begin_case(d, "overlay");
	*first = d->old;
	from = deep_dir(&d->old.view);
	if (!from)
		return;
	parent = mlimg_arena_strndup(model_memory, from, (size_t)(strrchr(from, '/') - from));
	made = model_path(parent, "made");
	moved = model_path(parent, "moved");
	move_dir(&d->old, from, moved, false);
	begin_turn_like(d, 0, true, &d->old, parent);
	check_change(d);
	move_dir(&d->old, made, from, true);
	if (one_in(2)) {
		begin_turn_like(d, 1, true, first, NULL);
		check_change(d);
	} else {
		boot_other(d, first);
		read_union(first, &d->seen, NULL);
		check_place(d, from, moved);
	}
	free(first);
}

TEST(a_stack_that_comes_back_shows_nothing_twice)
{
	each_case(60, check_returned);
}

/* --- stopped --- */

static void check_stopped(struct disk *d)
{
	has_databases = true;
	begin_case(d, "overlay");
	begin_turn(d, 0, true);
	check_stops(d, &d->next, 4);
}

TEST(killed_anywhere_and_begun_again_it_ends_the_same)
{
	each_case(60, check_stopped);
}

/* --- back --- */

static void check_back(struct disk *d)
{
	char *before;

	has_databases = has_owners = true;
	begin_case(d, "overlay");
	begin_turn(d, 0, true);
	before = list_tree("run/user/upper", true, false);
	boot_other(d, &d->next);
	read_changed(d);
	check_stops(d, &d->old, 2);
	fail_unless(is_same_text(before, list_tree("run/user/upper", true, false)),
		"the upper is not what it was");
	/* Once more it is a change as any other. */
	boot_other(d, &d->next);
	read_union(&d->next, &d->wanted, NULL);
	fail_unless(is_same_tree("the new stack again", &d->seen, &d->wanted), "the view");
}

TEST(taken_back_it_is_what_it_was_killed_anywhere_too)
{
	each_case(50, check_back);
}
