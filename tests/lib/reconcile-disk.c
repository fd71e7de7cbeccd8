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

static bool has_mark(struct tree *upper, const char *path)
{
	const struct mlimg_entry *e = tree_get(upper, path);

	return e && (xattr_text(e, OPAQUE) || xattr_text(e, REDIRECT) || is_a_whiteout(e));
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

/* Both are of uppers. Of what is no directory the time is the user's, too. */
static bool is_untouched(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	if (!is_equal(a, b) || !a)
		return is_equal(a, b);
	return a->type == MLIMG_DIR
		? has_equal_text(xattr_text(a, OPAQUE), xattr_text(b, OPAQUE)) &&
			has_equal_text(xattr_text(a, REDIRECT), xattr_text(b, REDIRECT))
		: a->mtime_s == b->mtime_s && a->mtime_ns == b->mtime_ns;
}

/* @return whether there is something below that the user has changed */
static bool is_written_below(struct tree *then, struct tree *now, const char *path)
{
	struct tree *trees[] = {then, now};

	for (size_t t = 0; t < 2; t++)
		for (size_t i = 0; i < trees[t]->n; i++)
			if (is_under(trees[t]->e[i].path, path) &&
				!is_untouched(tree_get(then, trees[t]->e[i].path),
					tree_get(now, trees[t]->e[i].path)))
				return true;
	return false;
}

/* @return whether the user has changed it, or one of the directories above it, since */
static bool is_written(struct tree *then, struct tree *now, const char *path)
{
	char *dir = model_string(path), *slash;

	if (!is_untouched(tree_get(then, dir), tree_get(now, dir)))
		return true;
	while ((slash = strrchr(dir, '/'))) {
		*slash = '\0';
		if (!is_untouched(tree_get(then, dir), tree_get(now, dir)))
			return true;
	}
	return false;
}

/* @return whether it is, or was before the change, one file with something that is_written() */
static bool is_written_by_name(
	struct tree *before, struct tree *then, struct tree *now, const char *path)
{
	const struct mlimg_entry *entry = tree_get(before, path);

	if (is_written(then, now, path))
		return true;
	for (size_t i = 0; entry && entry->hardlink && i < before->n; i++)
		if (before->e[i].hardlink == entry->hardlink &&
			is_written(then, now, before->e[i].path))
			return true;
	return false;
}

/* What has become of a change, and of what was written since. */
struct since {
	struct tree made, upper; /* the upper after the change, and before it is taken back */
	struct tree seen, back;  /* what the user sees before that, and after */
};

/* @return whether the upper has another mark there, or above, than the change left */
static bool has_new_mark(struct since *s, const char *path)
{
	char *dir = model_string(path), *slash;

	do {
		if (has_mark(&s->upper, dir) && !has_mark(&s->made, dir))
			return true;
		slash = strrchr(dir, '/');
		if (slash)
			*slash = '\0';
	} while (slash);
	return false;
}

/*
 * A copy that was made since and that nobody changed, whatever its time: what it is a copy of
 * showed right after the change.
 */
static bool is_unchanged_copy(struct disk *d, struct since *s, const char *path)
{
	const struct mlimg_entry *copy = tree_get(&s->upper, path);
	char *dir = model_string(path), *slash;

	if (!copy || is_a_dir(copy) || tree_get(&s->made, path) || has_new_mark(s, path) ||
		oracle_class(path) == MLIMG_CLASS_KEEP || !is_equal(copy, tree_get(&d->seen, path)))
		return false;
	while ((slash = strrchr(dir, '/'))) {
		*slash = '\0';
		if (!is_a_dir(tree_get(&d->before, dir)) || !is_a_dir(tree_get(&d->seen, dir)))
			return false;
	}
	return true;
}

/*
 * What was not written since is what it was, what was is there; contents that have no place any
 * more are aside.
 */
static void check_path_back(struct disk *d, struct since *s, const char *path)
{
	struct mlimg_entry *was = tree_get(&d->before, path), *is = tree_get(&s->back, path),
			   *since = tree_get(&s->seen, path);

	if (is_unchanged_copy(d, s, path) && !is_equal(was, is)) {
		print_entry("was", was);
		print_entry("is", is);
		FAIL("'%s' is not what it was, though nobody changed the copy", path);
	}
	if (!is_written_by_name(&d->upper, &s->made, &s->upper, path)) {
		if (is_equal(was, is) ||
			((is_a_dir(was) || is_a_dir(is)) &&
				is_written_below(&s->made, &s->upper, path)))
			return;
		print_entry("was", was);
		print_entry("is", is);
		FAIL("'%s' is not what it was, though nobody wrote there", path);
	}
	if (since && since->type == MLIMG_FILE && content_of(since) &&
		!has_anywhere(&d->next.view, content_of(since)) &&
		!has_anywhere(&d->seen, content_of(since)) &&
		!has_content(&s->back, path, content_of(since)))
		FAIL("'%s', written since, is lost", path);
}

/* Below directories named by generations; without packages' files, whose contents are not the model's. */
static void read_asides(struct tree *ret)
{
	size_t n = 0;

	read_tree("run/user/mlimg/aside", ret);
	for (size_t i = 0; i < ret->n; i++) {
		const char *slash = strchr(ret->e[i].path, '/');

		if (!slash || !is_of_databases(slash + 1))
			ret->e[n++] = ret->e[i];
	}
	ret->n = n;
}

/* What the change had taken away and what has no place any more is aside, wherever there. */
static void check_aside(struct disk *d, struct tree *back)
{
	struct tree *asides = calloc(1, sizeof(*asides));

	if (user_type("run/user/mlimg/aside"))
		read_asides(asides);
	for (size_t i = 0; i < d->before.n; i++) {
		const struct mlimg_entry *e = &d->before.e[i];
		int content = e->type == MLIMG_FILE ? content_of(e) : 0;

		if (!content || has_anywhere(&d->old.view, content) ||
			has_anywhere(&d->seen, content) || has_anywhere(back, content) ||
			has_anywhere(asides, content) ||
			oracle_class(e->path) == MLIMG_CLASS_DERIVED)
			continue;
		FAIL("'%s' had come away with the change, and is lost", e->path);
	}
	free(asides);
}

/* Accounts that the user has made since. */
static void check_accounts_back(struct disk *d)
{
	for (size_t i = 0; i < d->mine.n_accounts; i++) {
		const struct disk_account *a = &d->mine.accounts[i];

		if (!find_account(&d->old.databases, a->name) &&
			!find_account(&d->next.databases, a->name) &&
			!find_account(&d->after, a->name))
			FAIL("account '%s' is lost", a->name);
	}
}

static void check_since(struct disk *d)
{
	struct since *s = calloc(1, sizeof(*s));
	struct tree *trees[] = {&d->before, &s->back, &s->seen};

	has_databases = true;
	begin_case(d, "overlay");
	begin_turn(d, 0, true);
	boot_other(d, &d->next);
	read_changed(d);
	read_tree("run/user/upper", &s->made);
	work(&d->next, 1, true);
	read_tree("run/user/upper", &s->upper);
	read_union(&d->next, &s->seen, &d->mine);
	if (one_in(4))
		check_stops(d, &d->old, 1);
	else
		boot_other(d, &d->old);
	read_union(&d->old, &s->back, &d->after);
	for (size_t t = 0; t < 3; t++)
		for (size_t i = 0; i < trees[t]->n; i++)
			check_path_back(d, s, trees[t]->e[i].path);
	check_aside(d, &s->back);
	check_accounts_back(d);
	free(s);
}

TEST(taken_back_it_keeps_what_was_written_since)
{
	each_case(100, check_since);
}

/* --- whose things are --- */

/* Both are of one path. @return whether it is the same thing, whoever has it */
static bool is_alike(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	struct mlimg_entry c = *a;

	c.uid = b->uid;
	c.gid = b->gid;
	return is_untouched(&c, b);
}

/* @return whether it is there by its own path, and is nobody's but the user's */
static bool is_of_user(struct disk *d, struct tree *upper, const char *path)
{
	char *dir = model_string(path), *slash;

	if (!tree_get(upper, path) || is_a_whiteout(tree_get(upper, path)) ||
		tree_get(&d->old.view, path) || tree_get(&d->next.view, path))
		return false;
	do {
		const struct mlimg_entry *e = tree_get(upper, dir);

		if (e && xattr_text(e, REDIRECT))
			return false;
		slash = strrchr(dir, '/');
		if (slash)
			*slash = '\0';
	} while (slash);
	return true;
}

/* Databases at the times of a way there and back. */
struct times {
	struct databases *first, *was, *is;
};

/*
 * Number @before in @was, and number @after in @is, are the same name's. It may again be what it
 * was at first, or whose it was, when that account had gone meanwhile: the user has removed it, and
 * perhaps given its number to another one, or made it anew. And again nobody's.
 */
static void check_owner(const struct mlimg_entry *first, bool is_group, uint32_t before,
	uint32_t after, const struct times *t)
{
	uint32_t number = is_group ? first->gid : first->uid;
	const struct disk_account *a = find_owner(t->was, is_group, NULL, before),
				  *b = find_owner(t->is, is_group, NULL, after),
				  *f = find_owner(t->first, is_group, NULL, number);

	if (a && b ? strcmp(a->name, b->name) == 0 : !a && before == after)
		return;
	if (b && f && strcmp(f->name, b->name) == 0 &&
		(!a || !find_owner(t->first, is_group, a->name, 0)))
		return;
	if (after == number && (!a || (f ? !find_owner(t->is, is_group, f->name, 0) : !b)))
		return;
	FAIL("'%s': %s %u was %s's, and %u is %s's", first->path, is_group ? "group" : "user",
		before, a ? a->name : "nobody", after, b ? b->name : "nobody");
}

/*
 * Of what was there before, and is as it was. A file of several names, one of which goes, keeps its
 * owner, which is told (reconcile-plan.h).
 */
static void check_owners(struct disk *d, struct tree *upper, struct tree *before,
	struct tree *after, const struct times *t)
{
	for (size_t i = 0; i < before->n; i++) {
		const struct mlimg_entry *e = &before->e[i], *now = tree_get(after, e->path),
					 *first = tree_get(&d->before, e->path);

		if (!now || e->hardlink || !is_of_user(d, upper, e->path) || !is_alike(e, now))
			continue;
		check_owner(first ? first : e, false, e->uid, now->uid, t);
		check_owner(first ? first : e, true, e->gid, now->gid, t);
	}
}

/* What was @was's is not somebody else's, as long as he is there. */
static void check_returned_owner(struct disk *d, const struct databases *mine, const char *path,
	bool is_group, uint32_t was, uint32_t is)
{
	const struct disk_account *a = find_owner(mine, is_group, NULL, was),
				  *b = find_owner(&d->after, is_group, NULL, is);

	if (a && b && find_owner(&d->after, is_group, a->name, 0) && strcmp(a->name, b->name) != 0)
		FAIL("'%s', which has returned: %s %u was %s's, and %u is %s's", path,
			is_group ? "group" : "user", was, a->name, is, b->name);
}

/* What the upper had, and the change has taken away, and nobody else, and what comes back. */
static void check_returned_owners(struct disk *d, struct since *s, const struct databases *mine)
{
	for (size_t i = 0; i < d->before.n; i++) {
		const struct mlimg_entry *e = &d->before.e[i], *now = tree_get(&s->back, e->path);

		if (!now || !tree_get(&d->upper, e->path) || tree_get(&d->seen, e->path) ||
			tree_get(&s->seen, e->path) || e->hardlink || !is_alike(e, now))
			continue;
		check_returned_owner(d, mine, e->path, false, e->uid, now->uid);
		check_returned_owner(d, mine, e->path, true, e->gid, now->gid);
	}
}

static void check_hands(struct disk *d)
{
	struct since *s = calloc(1, sizeof(*s));
	struct databases mine;

	has_databases = has_owners = true;
	begin_case(d, "overlay");
	begin_turn(d, 0, true);
	mine = d->mine;
	boot_other(d, &d->next);
	read_changed(d);
	check_owners(d, &d->upper, &d->before, &d->seen, &(struct times){&mine, &mine, &d->after});
	work(&d->next, 1, true);
	read_tree("run/user/upper", &s->upper);
	read_union(&d->next, &s->seen, &d->mine);
	boot_other(d, &d->old);
	read_union(&d->old, &s->back, &d->after);
	check_owners(d, &s->upper, &s->seen, &s->back, &(struct times){&mine, &d->mine, &d->after});
	check_returned_owners(d, s, &mine);
	free(s);
}

TEST(forth_and_back_things_stay_their_owners)
{
	each_case(200, check_hands);
}
