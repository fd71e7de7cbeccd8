/* SPDX-License-Identifier: MIT */
/*
 * The model of reconcile on the disk, as in reconcile-disk.c, where a change is taken back after the
 * user has gone on to work on the newer stack: what he has written since stays, all else is what it
 * was, and things are whose they were.
 */
#define MODEL_DEPTH 4
#include "tests/lib/disk-check.h"

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
			has_anywhere(asides, content))
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
	has_things_in_place = false;
	begin_case(d, "overlay");
	begin_turn(d, 0, true);
	boot_other(d, &d->next);
	read_changed(d);
	read_tree("run/user/upper", &s->made);
	has_things_in_place = true;
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

static const char *const acl_names_of_model[] = {MODEL_ACL, MODEL_DEFAULT_ACL};

static uint32_t nobody(uint32_t id, void *ctx)
{
	return 0;
}

/* Both are of one path. @return whether it is the same thing, whoever has it */
static bool is_alike(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	struct mlimg_entry c = *a, d = *b;

	c.uid = b->uid;
	c.gid = b->gid;
	for (size_t i = 0; i < 2; i++) {
		map_acl(&c, acl_names_of_model[i], nobody, NULL);
		map_acl(&d, acl_names_of_model[i], nobody, NULL);
	}
	return is_untouched(&c, &d);
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
static void check_owner(const char *path, bool is_group, uint32_t number, uint32_t before,
	uint32_t after, const struct times *t)
{
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
	FAIL("'%s': %s %u was %s's, and %u is %s's", path, is_group ? "group" : "user", before,
		a ? a->name : "nobody", after, b ? b->name : "nobody");
}

/* Those that ACLs name, which are alike in @e and in @now. */
static void check_acls(const struct mlimg_entry *first, const struct mlimg_entry *e,
	const struct mlimg_entry *now, const struct times *t)
{
	for (size_t i = 0; i < 2; i++) {
		const char *name = acl_names_of_model[i];
		uint32_t number, before, after;
		bool is_group, is_group_first;

		for (unsigned k = 0; acl_names(e, name, k, &before, &is_group); k++) {
			ASSERT(acl_names(now, name, k, &after, &is_group));
			/* At first it may have been another ACL. */
			if (!acl_names(first, name, k, &number, &is_group_first) ||
				is_group_first != is_group)
				number = before;
			check_owner(e->path, is_group, number, before, after, t);
		}
	}
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
		if (!first)
			first = e;
		check_owner(e->path, false, first->uid, e->uid, now->uid, t);
		check_owner(e->path, true, first->gid, e->gid, now->gid, t);
		check_acls(first, e, now, t);
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
