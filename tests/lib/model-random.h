/* SPDX-License-Identifier: MIT */
/**
 * @file model-random.h
 * Random stacks and uppers for the model of reconcile: few names, so that all three sides often
 * have the same paths.
 */
#ifndef MLIMG_TEST_MODEL_RANDOM_H
#define MLIMG_TEST_MODEL_RANDOM_H

#include "tests/lib/model-rights.h"

static const char *const model_tops[] = {"etc", "usr", "var"};
static const char *const model_names[] = {"a", "b", "c", "d"};

/** How a file ends that is put beside @p path: etc/b is where programs read every name. */
TEST_UNUSED static const char *model_new_suffix(const char *path)
{
	return strncmp(path, "etc/b", 5) == 0 && (!path[5] || path[5] == '/')
		? ".mlimg-new.dpkg-dist"
		: ".mlimg-new";
}
#define MODEL_NAMES 4
#ifndef MODEL_DEPTH
#define MODEL_DEPTH 3
#endif

TEST_UNUSED static bool one_in(unsigned n)
{
	return test_random(n) == 0;
}

/* ACLs, of few, that fit its mode, and capabilities. */
TEST_UNUSED static void random_rights(struct mlimg_entry *e)
{
	if (e->type == MLIMG_LINK)
		return;
	if (xattr_text(e, MODEL_ACL))
		set_xattr(e, MODEL_ACL, NULL);
	if (one_in(5))
		set_xattr(e, MODEL_ACL,
			acl_text(e->mode, 1 + (uint32_t)test_random(2), (unsigned)test_random(6)));
	if (e->type == MLIMG_DIR && one_in(6))
		set_xattr(e, model_xattrs[3],
			acl_text(0750, 1 + (uint32_t)test_random(2), (unsigned)test_random(6)));
	if (e->type == MLIMG_FILE && one_in(6))
		set_xattr(e, model_xattrs[4], capability_text((unsigned)test_random(2)));
}

TEST_UNUSED static void random_attrs(struct mlimg_entry *e)
{
	static const uint16_t modes[] = {0644, 0600, 0755, 04755, 02755, 01777};

	e->mode = modes[test_random(one_in(4) ? 6 : 3)];
	if (one_in(3))
		e->uid = (uint32_t)test_random(3);
	if (one_in(3))
		e->gid = (uint32_t)test_random(3);
	for (int i = 0; i < 2; i++)
		if (one_in(4))
			set_xattr(e, model_xattrs[i], one_in(2) ? "1" : "2");
	random_rights(e);
	if (e->type == MLIMG_LINK)
		e->mode = 0777;
}

/* Near to what it was: one line of a text is another. */
TEST_UNUSED static void random_contents(struct mlimg_entry *e)
{
	static const char *const links[] = {"a", "b", "../c"};
	int was = e->has_digest ? content_of(e) : 0, line = (int)test_random(3) * 2;

	if (e->type == MLIMG_LINK)
		e->link = model_string(links[test_random(3)]);
	if (e->type == MLIMG_CHAR)
		e->dev_minor = 1 + (uint32_t)test_random(2);
	if (e->type != MLIMG_FILE)
		return;
	if (was >= 1 && was <= 64 && !one_in(8))
		set_content(e, 1 + ((was - 1) ^ (int)(1 + test_random(3)) << line));
	else
		set_content(e, (int)test_random(one_in(4) ? CONTENTS : 65));
}

/** A new entry that is no directory. */
TEST_UNUSED static struct mlimg_entry random_other(void)
{
	static const uint8_t types[] = {MLIMG_FILE, MLIMG_FILE, MLIMG_FILE, MLIMG_FILE, MLIMG_FILE,
		MLIMG_LINK, MLIMG_CHAR, MLIMG_FIFO};
	struct mlimg_entry e = {.type = types[test_random(8)], .nlink = 1};

	e.mtime_s = 1000000000 + (int64_t)test_random(1000);
	random_contents(&e);
	random_attrs(&e);
	return e;
}

TEST_UNUSED static struct mlimg_entry random_dir(void)
{
	struct mlimg_entry e = {.type = MLIMG_DIR, .nlink = 1, .mtime_s = 1000000000};

	random_attrs(&e);
	return e;
}

TEST_UNUSED static unsigned depth_of(const char *path)
{
	unsigned n = 1;

	while ((path = strchr(path, '/'))) {
		path++;
		n++;
	}
	return n;
}

/** Fill a directory of a stack. */
TEST_UNUSED static void random_below(struct tree *t, const char *dir)
{
	for (int i = 0; i < MODEL_NAMES; i++) {
		char *path = model_path(dir, model_names[i]);
		struct mlimg_entry e;

		if (one_in(2))
			continue;
		e = depth_of(path) < MODEL_DEPTH && one_in(2) ? random_dir() : random_other();
		tree_put(t, path, &e);
		if (e.type == MLIMG_DIR)
			random_below(t, path);
	}
}

TEST_UNUSED static void random_stack(struct tree *t)
{
	t->n = 0;
	for (int i = 0; i < 3; i++) {
		struct mlimg_entry e = random_dir();

		tree_put(t, model_tops[i], &e);
		random_below(t, model_tops[i]);
	}
}

/* One change of a stack. */
TEST_UNUSED static void change_stack(struct tree *t)
{
	const struct mlimg_entry *at = &t->e[test_random(t->n)];
	char *path = at->path;
	struct mlimg_entry e = *at;

	switch (test_random(depth_of(path) == 1 ? 3 : 7)) {
	case 0: random_attrs(&e); break;
	case 1: random_contents(&e); break;
	case 2:
		if (e.type != MLIMG_DIR)
			break;
		path = model_path(path, model_names[test_random(MODEL_NAMES)]);
		if (tree_get(t, path) || depth_of(path) > MODEL_DEPTH)
			return;
		e = random_other();
		break;
	case 3: tree_remove(t, path); return;
	case 4:
	case 5: random_contents(&e); break;
	default:
		tree_remove(t, path);
		e = e.type == MLIMG_DIR || one_in(2) ? random_other() : random_dir();
	}
	tree_put(t, path, &e);
	if (e.type == MLIMG_DIR && !tree_has_below(t, path) && depth_of(path) < MODEL_DEPTH)
		random_below(t, path);
}

TEST_UNUSED static void random_next(const struct tree *base, struct tree *ret)
{
	*ret = *base;
	for (size_t i = test_random(1 + base->n); i > 0; i--)
		change_stack(ret);
}

/* --- uppers --- */

struct random_upper {
	struct tree *base, *next, *upper;
	bool has_redirects;
	const char *renamed[TREE_MAX]; /* directories of base that are elsewhere now */
	size_t n_renamed;
};

TEST_UNUSED static void random_within(struct random_upper *r, const char *dir, const char *lower);

/*
 * What the old stack has in a directory is put there again, all or most of it and perhaps changed,
 * as when a package is purged and installed again.
 */
TEST_UNUSED static void random_again(struct random_upper *r, const char *dir)
{
	for (size_t i = 0; i < r->base->n; i++) {
		struct mlimg_entry e = r->base->e[i];

		if (!name_in(e.path, dir) || one_in(6))
			continue;
		if (one_in(6))
			random_contents(&e);
		if (one_in(6))
			random_attrs(&e);
		if (e.type == MLIMG_DIR && one_in(6))
			set_xattr(&e, OPAQUE, "y");
		tree_put(r->upper, e.path, &e);
		if (e.type == MLIMG_DIR)
			random_again(r, e.path);
	}
}

/* A directory of the user's in a place where there was none: new, or one that was renamed. */
TEST_UNUSED static void random_new_dir(
	struct random_upper *r, const char *path, const char *beneath)
{
	struct mlimg_entry e = random_dir();
	const struct mlimg_entry *from = &r->base->e[test_random(r->base->n)];
	const char *name = strrchr(path, '/'), *lower = NULL;
	size_t dir_size = (size_t)(name - path);

	if (r->has_redirects && from->type == MLIMG_DIR && depth_of(from->path) > 1) {
		const char *slash = strrchr(from->path, '/');

		e = *from;
		lower = from->path;
		r->renamed[r->n_renamed++] = from->path;
		if (one_in(2))
			random_attrs(&e);
		if ((size_t)(slash - from->path) == dir_size &&
			strncmp(path, from->path, dir_size) == 0 && one_in(2))
			set_xattr(&e, REDIRECT, slash + 1);
		else
			set_xattr(&e, REDIRECT, model_path("/", from->path) + 1); /* one slash */
	} else if (!one_in(4)) {
		set_xattr(&e, OPAQUE, "y");
	} else {
		lower = beneath;
	}
	tree_put(r->upper, path, &e);
	if (is_a_dir(tree_get(r->base, path)) && xattr_text(&e, OPAQUE) && one_in(2)) {
		random_again(r, path);
		return;
	}
	random_within(r, path, lower);
}

TEST_UNUSED static void random_entry(struct random_upper *r, const char *path, const char *lower)
{
	const struct mlimg_entry *base = tree_get(r->base, lower), *next = tree_get(r->next, lower);
	struct mlimg_entry e = base ? *base : random_other();
	bool may_have_dir = depth_of(path) < MODEL_DEPTH;

	switch (test_random(base ? 10 : 4)) {
	case 0:
		if (base)
			e = random_other();
		break;
	case 1:
		if (may_have_dir) {
			random_new_dir(r, path, lower);
			return;
		}
		break;
	case 2:
		if (next && next->type != MLIMG_DIR)
			e = *next;
		break;
	case 3:
		if (lower)
			e = (struct mlimg_entry){.type = MLIMG_CHAR, .nlink = 1};
		break;
	case 4: return;
	case 5: random_attrs(&e); break;
	case 6:
	case 7: random_contents(&e); break;
	default: break;
	}
	if (!base && e.type != MLIMG_CHAR && one_in(2))
		return;
	if (e.type == MLIMG_DIR && !may_have_dir)
		return;
	tree_put(r->upper, path, &e);
	if (e.type == MLIMG_DIR)
		random_within(r, path, lower);
}

TEST_UNUSED static void random_within(struct random_upper *r, const char *dir, const char *lower)
{
	for (int i = 0; i < MODEL_NAMES; i++)
		if (one_in(2))
			random_entry(r, model_path(dir, model_names[i]),
				lower ? model_path(lower, model_names[i]) : NULL);
}

/* Some files get a second name. */
TEST_UNUSED static void random_links(struct tree *upper)
{
	for (uint32_t group = 1; group < 3 && upper->n > 4; group++) {
		struct mlimg_entry *a = &upper->e[test_random(upper->n)],
				   *b = &upper->e[test_random(upper->n)];
		char *path = b->path;

		if (a == b || a->type != MLIMG_FILE || b->type != MLIMG_FILE || a->hardlink ||
			b->hardlink)
			continue;
		a->hardlink = group;
		a->nlink = 2;
		*b = *a;
		b->path = path;
	}
}

/*
 * What was renamed leaves a whiteout behind, as rename(2) in an overlay does; @return whether the
 * directory of the upper is there for it
 */
TEST_UNUSED static bool has_way(struct random_upper *r, const char *path)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		char *dir = mlimg_arena_strndup(model_memory, path, (size_t)(slash - path));
		struct mlimg_entry *e = tree_get(r->upper, dir);

		if (!e && !is_a_dir(tree_get(r->base, dir)))
			return false;
		if (!e)
			e = tree_put(r->upper, dir, tree_get(r->base, dir));
		if (e->type != MLIMG_DIR || xattr_text(e, OPAQUE) || xattr_text(e, REDIRECT))
			return false;
	}
	return true;
}

TEST_UNUSED static void random_covers(struct random_upper *r)
{
	const struct mlimg_entry whiteout = {.type = MLIMG_CHAR, .nlink = 1};

	for (size_t i = 0; i < r->n_renamed; i++)
		if (!one_in(4) && !tree_get(r->upper, r->renamed[i]) && has_way(r, r->renamed[i]))
			tree_put(r->upper, r->renamed[i], &whiteout);
}

/** Some directories that were renamed on a stack before get others in their places. */
TEST_UNUSED static void random_remake(struct tree *base, struct tree *upper)
{
	struct random_upper r = {.base = base, .upper = upper};
	size_t n = upper->n;

	for (size_t i = 0; i < n; i++) {
		const char *from = xattr_text(&upper->e[i], REDIRECT);
		struct mlimg_entry *there, e = random_dir();

		if (!from || *from++ != '/' || tree_get(base, from) || one_in(3))
			continue;
		there = tree_get(upper, from);
		if ((there && !is_a_whiteout(there)) || !has_way(&r, from))
			continue;
		tree_put(upper, from, &e);
		e = random_other();
		tree_put(upper, model_path(from, model_names[test_random(MODEL_NAMES)]), &e);
	}
}

/** The user writes where a change puts new files, or has put them. */
TEST_UNUSED static void random_beside(struct tree *upper)
{
	for (size_t i = 0, n = upper->n; i < n; i++) {
		const char *path = upper->e[i].path;
		struct mlimg_entry e = one_in(6) ? random_dir() : random_other();

		if (strncmp(path, "etc/", 4) != 0 || is_a_dir(&upper->e[i]) || !one_in(8))
			continue;
		if (!strstr(path, ".mlimg-new"))
			path = strcat(
				strcpy(mlimg_arena_alloc(model_memory, strlen(path) + 32), path),
				model_new_suffix(path));
		if (!is_a_dir(tree_get(upper, path)))
			tree_put(upper, path, &e);
	}
}

/** An upper in overlayfs' form, as a user might have written it on @p base. */
TEST_UNUSED static void random_user(
	struct tree *base, struct tree *next, bool has_redirects, struct tree *ret)
{
	struct random_upper r = {
		.base = base, .next = next, .upper = ret, .has_redirects = has_redirects};

	ret->n = 0;
	for (int i = 0; i < 3; i++) {
		struct mlimg_entry e = *tree_get(base, model_tops[i]);

		if (one_in(4))
			random_attrs(&e);
		tree_put(ret, model_tops[i], &e);
		random_within(&r, model_tops[i], model_tops[i]);
	}
	random_covers(&r);
	random_beside(ret);
	random_links(ret);
}

#endif
