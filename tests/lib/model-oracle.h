/* SPDX-License-Identifier: MIT */
/**
 * @file model-oracle.h
 * What a user must see after a reconcile, by the words of libmlimg/reconcile.h and
 * libmlimg/reconcile-plan.h, computed apart from the planner and without its plan: path by path,
 * from what the old stack and the new one have there and what he has made of it.
 */
#ifndef MLIMG_TEST_MODEL_ORACLE_H
#define MLIMG_TEST_MODEL_ORACLE_H

#include "libmlimg/path-class.h"
#include "tests/lib/model-random.h"

/** Lines of a class file that give the trees all classes: etc is config, usr owned, var data. */
#define MODEL_CLASSES \
	"etc/b config:dpkg-dist\netc/c config:alone\netc/d keep\nusr/d keep\nvar/c derived\n"

/** A file in the upper whose contents stay and whose attributes may change. */
struct oracle_wish {
	const char *path;
	struct mlimg_entry mine, wanted;
};

/** A directory of the upper that shows one of the layers from another place. */
struct oracle_renamed {
	const char *from, *path;
};

struct oracle {
	struct tree *base, *next, *upper;
	struct tree plain;   /**< the upper, where what is compared is not opaque */
	struct tree *seen;   /**< the answer */
	struct tree *beside; /**< files that are put beside the user's */
	struct tree *aside;  /**< what is set aside */
	struct oracle_wish wishes[TREE_MAX];
	size_t n_wishes;
	uint32_t gone[2 * TREE_MAX]; /**< names that go singly: which file's */
	size_t n_gone;
	struct oracle_renamed renamed[TREE_MAX]; /**< that are not set aside with something */
	size_t n_renamed;
};

TEST_UNUSED static enum mlimg_path_class oracle_class(const char *path)
{
	static const struct {
		const char *dir;
		enum mlimg_path_class class;
	} all[] = {{"etc/d", MLIMG_CLASS_KEEP}, {"usr/d", MLIMG_CLASS_KEEP},
		{"var/c", MLIMG_CLASS_DERIVED}, {"etc", MLIMG_CLASS_CONFIG},
		{"usr", MLIMG_CLASS_OWNED}, {"var", MLIMG_CLASS_DATA}};

	for (size_t i = 0; i < 6; i++)
		if (strcmp(path, all[i].dir) == 0 || is_under(path, all[i].dir))
			return all[i].class;
	FAIL("'%s' has no class", path);
}

/* --- one entry, by component --- */

struct oracle_merge {
	struct mlimg_entry e;
	bool is_conflict, has_content_conflict, has_next_contents;
};

/*
 * Three ways: @return which of mine (0) and next (1); notes a conflict. "Not in base" is not equal
 * to anything.
 */
TEST_UNUSED static int choose(
	bool mine_is_base, bool next_is_base, bool mine_is_next, bool *conflict)
{
	if (mine_is_next)
		return 0;
	if (!mine_is_base && !next_is_base)
		*conflict = true;
	return mine_is_base;
}

TEST_UNUSED static struct oracle_merge merge_entries(const struct mlimg_entry *base,
	const struct mlimg_entry *next, const struct mlimg_entry *mine)
{
	struct oracle_merge m = {.e = *mine};
	bool has = base && base->type == mine->type;

	if (choose(has && has_equal_contents(mine, base), has && has_equal_contents(next, base),
		    has_equal_contents(mine, next), &m.has_content_conflict)) {
		m.has_next_contents = true;
		m.e.size_bytes = next->size_bytes;
		m.e.has_digest = next->has_digest;
		memcpy(m.e.digest, next->digest, sizeof(m.e.digest));
		m.e.link = next->link;
		m.e.dev_major = next->dev_major;
		m.e.dev_minor = next->dev_minor;
	}
	if (choose(has && mine->mode == base->mode, has && next->mode == base->mode,
		    mine->mode == next->mode, &m.is_conflict))
		m.e.mode = next->mode;
	if (choose(has && mine->uid == base->uid, has && next->uid == base->uid,
		    mine->uid == next->uid, &m.is_conflict))
		m.e.uid = next->uid;
	if (choose(has && mine->gid == base->gid, has && next->gid == base->gid,
		    mine->gid == next->gid, &m.is_conflict))
		m.e.gid = next->gid;
	for (int i = 0; i < MODEL_XATTRS; i++) {
		const char *name = model_xattrs[i], *a = rights_beside_mode(mine, name),
			   *b = has ? rights_beside_mode(base, name) : NULL,
			   *c = rights_beside_mode(next, name);

		if (choose(has && has_equal_text(a, b), has && has_equal_text(c, b),
			    has_equal_text(a, c), &m.is_conflict))
			set_xattr(&m.e, name, c);
	}
	fit_acl(&m.e);
	m.is_conflict = m.is_conflict || m.has_content_conflict;
	return m;
}

/* @return the contents merged by lines, or -1 when the changes touch or it is no text */
TEST_UNUSED static int merge_contents(int base, int next, int mine)
{
	int merged = 0;

	if (base < 1 || base > 64 || next < 1 || next > 64 || mine < 1 || mine > 64)
		return -1;
	for (int line = 0; line < 6; line += 2) {
		int b = (base - 1) >> line & 3, n = (next - 1) >> line & 3,
		    m = (mine - 1) >> line & 3;

		if (m != n && m != b && n != b)
			return -1;
		merged |= (m == b ? n : m) << line;
	}
	return merged + 1;
}

/* --- what was renamed --- */

/*
 * @return whether something that lies beneath at @lower hides from where a directory was renamed
 * that is not below @path itself, if that is given
 */
TEST_UNUSED static bool covers(struct oracle *o, const char *path, const char *lower)
{
	for (size_t i = 0; lower && i < o->n_renamed; i++) {
		const struct oracle_renamed *r = &o->renamed[i];

		if ((strcmp(r->from, lower) == 0 || is_under(r->from, lower)) &&
			!(path && is_under(r->path, path)))
			return true;
	}
	return false;
}

/* @return whether a directory makes way for something else, but for what it hides */
TEST_UNUSED static bool is_type_changed(
	struct oracle *o, const char *path, const char *lower, const struct mlimg_entry *mine)
{
	const struct mlimg_entry *base = tree_get(o->base, lower), *next = tree_get(o->next, lower);

	return next && !is_a_dir(next) &&
		(!xattr_text(mine, REDIRECT) || xattr_text(mine, OPAQUE)) &&
		oracle_class(path) != MLIMG_CLASS_KEEP && !(base && has_equal_contents(base, next));
}

/*
 * @return whether a directory shows nothing of the layers: it did not, and must not begin to. One
 * of class keep shows what it did; and what was renamed from there shows elsewhere
 */
TEST_UNUSED static bool is_closed(
	struct oracle *o, const char *path, const char *own, const struct mlimg_entry *mine)
{
	bool is_kept = oracle_class(path) == MLIMG_CLASS_KEEP;

	if (xattr_text(mine, OPAQUE))
		return is_a_dir(tree_get(o->base, own)) || is_kept || xattr_text(mine, REDIRECT) ||
			covers(o, NULL, own);
	if (xattr_text(mine, REDIRECT) || is_a_dir(tree_get(o->base, own)) ||
		!is_a_dir(tree_get(o->next, own)))
		return false;
	for (size_t i = 0; i < o->n_renamed; i++)
		if (strcmp(o->renamed[i].from, own) == 0)
			return true;
	return is_kept;
}

/* @return where what is in a directory lies beneath */
TEST_UNUSED static const char *beneath_of(
	struct oracle *o, const char *path, const char *own, const struct mlimg_entry *mine)
{
	return is_closed(o, path, own, mine) ? NULL : redirected(mine, own);
}

/* --- what is opaque --- */

/* @return whether something below has a redirect that would name something else in another place */
static bool has_name_below(struct oracle *o, const char *path)
{
	for (size_t i = 0; i < o->upper->n; i++) {
		const char *to = xattr_text(&o->upper->e[i], REDIRECT);

		if (to && *to != '/' && is_under(o->upper->e[i].path, path))
			return true;
	}
	return false;
}

/*
 * A directory that shows nothing of the old stack, which has one there: whether what the user has
 * made of that is compared, whatever kept it from showing.
 */
static bool is_plain_dir(struct oracle *o, const char *path)
{
	const struct mlimg_entry *next = tree_get(o->next, path);
	enum mlimg_path_class class = oracle_class(path);

	return class != MLIMG_CLASS_KEEP && class != MLIMG_CLASS_DATA &&
		(!next || is_a_dir(next)) && !covers(o, NULL, path) && !has_name_below(o, path);
}

/* What the old stack has there and the user does not see he has removed. */
static void remove_unseen(struct oracle *o, const char *path, struct tree *seen)
{
	const struct mlimg_entry whiteout = {.type = MLIMG_CHAR, .nlink = 1};

	for (size_t i = 0; i < o->base->n; i++) {
		const char *at = o->base->e[i].path;

		if (name_in(at, path) && !tree_get(seen, at) && !tree_get(&o->plain, at))
			tree_put(&o->plain, at, &whiteout);
	}
}

/*
 * The directories in @dir. @lower: where that lies beneath, or nothing. @is_apart: it shows nothing of
 * the old stack but what was renamed
 */
static void make_plain_in(
	struct oracle *o, const char *dir, const char *lower, bool is_apart, struct tree *seen)
{
	for (size_t i = 0; i < o->plain.n; i++) {
		struct mlimg_entry *e = &o->plain.e[i];
		const char *name = name_in(e->path, dir), *own, *to = xattr_text(e, REDIRECT);
		bool is_hidden = is_apart || xattr_text(e, OPAQUE);

		if (!name || !is_a_dir(e))
			continue;
		own = lower ? model_path(lower, name) : NULL;
		if (to || !is_a_dir(tree_get(o->base, own))) {
			own = xattr_text(e, OPAQUE) || !to ? NULL : redirected(e, own);
			is_hidden = false;
		} else if (is_hidden && strcmp(own, e->path) == 0 && is_plain_dir(o, own)) {
			set_xattr(e, OPAQUE, NULL);
			remove_unseen(o, own, seen);
		} else if (is_hidden) {
			set_xattr(e, OPAQUE, "y");
			own = NULL;
		}
		make_plain_in(o, e->path, own, is_hidden, seen);
	}
}

/*
 * What a user's directory shows of the old stack is what counts, not how it has come to that: so he
 * might as well have removed what he does not see, one by one.
 */
TEST_UNUSED static void make_plain(struct oracle *o)
{
	struct tree *seen = shown(o->base, o->upper);

	o->plain = *o->upper;
	make_plain_in(o, "", "", false, seen);
	free(seen);
}

TEST_UNUSED static void find_renamed_in(struct oracle *o, const char *path, const char *lower,
	bool is_first, struct oracle_renamed *ret, size_t *ret_n)
{
	for (size_t i = 0; i < o->plain.n; i++) {
		const struct mlimg_entry *e = &o->plain.e[i];
		const char *name = name_in(e->path, path), *own, *to;

		if (!name || !is_a_dir(e))
			continue;
		own = lower ? model_path(lower, name) : NULL;
		if (!is_first && is_type_changed(o, e->path, own, e) && !covers(o, e->path, own))
			continue;
		/* Of both marks overlayfs looks at this one first. */
		to = xattr_text(e, REDIRECT) && !xattr_text(e, OPAQUE) ? redirected(e, own) : NULL;
		if (to)
			ret[(*ret_n)++] = (struct oracle_renamed){to, e->path};
		find_renamed_in(o, e->path, beneath_of(o, e->path, own, e), is_first, ret, ret_n);
	}
}

/*
 * What is set aside takes others with it, so that what hides something for their sake may be set
 * aside as well. That ends where no more goes: what went may come back for want of what hid it.
 */
TEST_UNUSED static void find_renamed(struct oracle *o)
{
	static struct oracle_renamed found[TREE_MAX];
	size_t before;
	bool is_first = true;

	o->n_renamed = 0;
	do {
		size_t n = 0;

		before = o->n_renamed;
		make_plain(o);
		find_renamed_in(o, "", "", is_first, found, &n);
		memcpy(o->renamed, found, n * sizeof(*found));
		o->n_renamed = n;
		if (is_first)
			before = TREE_MAX;
		is_first = false;
	} while (o->n_renamed < before);
	make_plain(o);
}

/* --- one path --- */

TEST_UNUSED static void see(struct oracle *o, const char *path, const struct mlimg_entry *e)
{
	if (e)
		tree_put(o->seen, path, e);
}

/* @return whether a directory of the new stack shows elsewhere, and so nowhere else */
TEST_UNUSED static bool is_shown_elsewhere(struct oracle *o, const char *lower)
{
	for (size_t i = 0; i < o->n_renamed; i++)
		if (strcmp(o->renamed[i].from, lower) == 0)
			return is_a_dir(tree_get(o->next, lower));
	return false;
}

/* What the new stack has shows, whatever the user had. */
TEST_UNUSED static void see_next(struct oracle *o, const char *path, const char *lower)
{
	const struct mlimg_entry *e = lower ? tree_get(o->next, lower) : NULL;

	if (!e || is_shown_elsewhere(o, lower))
		return;
	see(o, path, e);
	for (size_t i = 0; i < o->next->n && is_a_dir(e); i++) {
		const char *name = name_in(o->next->e[i].path, lower);

		if (name)
			see_next(o, model_path(path, name), o->next->e[i].path);
	}
}

TEST_UNUSED static void set_aside(struct oracle *o, const char *path)
{
	for (size_t i = 0; i < o->upper->n; i++) {
		const struct mlimg_entry *e = &o->upper->e[i];

		if (strcmp(e->path, path) == 0 || is_under(e->path, path))
			tree_put(o->aside, e->path, e);
	}
}

/* The file stays, with other attributes if all its names are to have them. */
TEST_UNUSED static bool stay(struct oracle *o, const char *path, const struct mlimg_entry *mine,
	const struct mlimg_entry *wanted)
{
	o->wishes[o->n_wishes++] = (struct oracle_wish){path, *mine, *wanted};
	see(o, path, wanted);
	return true;
}

/* What lies there already is another change's when it is what the old stack has, a file. */
TEST_UNUSED static void put_beside(struct oracle *o, const char *path,
	const struct mlimg_entry *base, const struct mlimg_entry *next)
{
	char *name = mlimg_arena_alloc(model_memory, strlen(path) + 32);
	const char *dist = strchr(model_new_suffix(path) + 1, '.');
	const struct mlimg_entry *there = NULL;

	if (next->type != MLIMG_FILE || strcmp(path, "etc/c") == 0 || is_under(path, "etc/c"))
		return;
	sprintf(name, "%s%s", path, model_new_suffix(path));
	for (int i = 1; is_a_dir(there = tree_get(o->upper, name)); i++)
		sprintf(name, "%s.mlimg-new.%d%s", path, i, dist ? dist : "");
	if (there && has_equal_contents(there, next))
		return;
	tree_put(o->beside, name, next);
	if (there)
		o->gone[o->n_gone++] = there->hardlink;
	if (there && !is_a_whiteout(there) &&
		!(there->type == MLIMG_FILE && base && has_equal_contents(there, base)))
		tree_put(o->aside, name, there);
}

/* @return whether the agent has the text of a file of the old stack: base-texts.h, by contents */
TEST_UNUSED static bool is_text_kept(struct tree *base, const struct mlimg_entry *e)
{
	for (size_t i = 0; i < base->n; i++)
		if (base->e[i].type == MLIMG_FILE && has_equal_contents(&base->e[i], e) &&
			oracle_class(base->e[i].path) == MLIMG_CLASS_CONFIG)
			return true;
	return false;
}

TEST_UNUSED static bool judge_conflict(struct oracle *o, const char *path, const char *lower,
	const struct mlimg_entry *base, const struct mlimg_entry *next,
	const struct mlimg_entry *mine)
{
	struct oracle_merge m = merge_entries(base, next, mine);
	int merged = -1;

	if (m.has_content_conflict && base && base->type == MLIMG_FILE &&
		mine->type == MLIMG_FILE && is_text_kept(o->base, base))
		merged = merge_contents(content_of(base), content_of(next), content_of(mine));
	if (m.is_conflict && oracle_class(path) == MLIMG_CLASS_OWNED) {
		if (covers(o, path, lower))
			return stay(o, path, mine, mine);
		set_aside(o, path);
		see_next(o, path, lower);
		return false;
	}
	if (oracle_class(path) == MLIMG_CLASS_CONFIG && merged >= 0) {
		set_content(&m.e, merged);
		m.has_next_contents = merged != content_of(mine);
	} else if (oracle_class(path) == MLIMG_CLASS_CONFIG && m.has_content_conflict) {
		put_beside(o, path, base, next);
	}
	if (!is_equal(&m.e, next) && !m.has_next_contents)
		return stay(o, path, mine, &m.e);
	if (is_equal(&m.e, next) && covers(o, path, lower))
		return stay(o, path, mine, mine);
	see(o, path, &m.e);
	return !is_equal(&m.e, next);
}

TEST_UNUSED static bool judge_type_change(struct oracle *o, const char *path, const char *lower,
	const struct mlimg_entry *base, const struct mlimg_entry *next,
	const struct mlimg_entry *mine)
{
	if (next->type == MLIMG_DIR || oracle_class(path) == MLIMG_CLASS_OWNED) {
		if (covers(o, path, lower))
			return stay(o, path, mine, mine);
		set_aside(o, path);
		see_next(o, path, lower);
		return false;
	}
	if (oracle_class(path) == MLIMG_CLASS_CONFIG)
		put_beside(o, path, base, next);
	return stay(o, path, mine, mine);
}

/* @return whether something of the user's is there afterwards */
TEST_UNUSED static bool judge_other(
	struct oracle *o, const char *path, const char *lower, const struct mlimg_entry *mine)
{
	enum mlimg_path_class class = oracle_class(path);
	const struct mlimg_entry *base = tree_get(o->base, lower), *next = tree_get(o->next, lower);

	if (class != MLIMG_CLASS_DERIVED && is_a_whiteout(mine))
		return class == MLIMG_CLASS_KEEP || next || covers(o, path, lower);
	if (class == MLIMG_CLASS_DERIVED && covers(o, path, lower))
		return is_a_whiteout(mine) || stay(o, path, mine, mine);
	if (class == MLIMG_CLASS_DERIVED) {
		if (!is_a_whiteout(mine) && !is_equal(mine, next) && !is_equal(mine, base))
			set_aside(o, path);
		see_next(o, path, lower);
		return false;
	}
	if (class == MLIMG_CLASS_KEEP)
		return stay(o, path, mine, mine);
	if ((is_equal(mine, next) || (!is_equal(base, next) && is_equal(mine, base))) &&
		covers(o, path, lower))
		return stay(o, path, mine, mine);
	if (is_equal(mine, next) || (!is_equal(base, next) && is_equal(mine, base))) {
		see_next(o, path, lower);
		return false;
	}
	if (is_equal(base, next))
		return stay(o, path, mine, mine);
	if (!next && class == MLIMG_CLASS_OWNED && !covers(o, path, lower)) {
		set_aside(o, path);
		return false;
	}
	if (!next || (mine->type != next->type && base && has_equal_contents(base, next)))
		return stay(o, path, mine, mine);
	if (mine->type != next->type)
		return judge_type_change(o, path, lower, base, next, mine);
	return judge_conflict(o, path, lower, base, next, mine);
}

TEST_UNUSED static bool judge_dir(
	struct oracle *o, const char *path, const char *own, const struct mlimg_entry *mine);

/* What is in a directory: @return whether any of it stays the user's */
TEST_UNUSED static bool judge_within(struct oracle *o, const char *path, const char *lower)
{
	bool stays = false;

	for (size_t i = 0; i < o->plain.n; i++) {
		const struct mlimg_entry *e = &o->plain.e[i];
		const char *name = name_in(e->path, path), *beneath;

		if (!name)
			continue;
		beneath = lower ? model_path(lower, name) : NULL;
		if (is_a_dir(e))
			stays |= judge_dir(o, e->path, beneath, e);
		else if (judge_other(o, e->path, beneath, e))
			stays = true;
		else if (!tree_get(o->beside, e->path))
			o->gone[o->n_gone++] = e->hardlink;
	}
	for (size_t i = 0; lower && i < o->next->n; i++) {
		const char *name = name_in(o->next->e[i].path, lower);

		if (name && !tree_get(&o->plain, model_path(path, name)))
			see_next(o, model_path(path, name), o->next->e[i].path);
	}
	return stays;
}

/* @own: where it would lie beneath if it had not been renamed */
TEST_UNUSED static bool judge_dir(
	struct oracle *o, const char *path, const char *own, const struct mlimg_entry *mine)
{
	bool is_renamed = xattr_text(mine, REDIRECT),
	     is_kept = oracle_class(path) == MLIMG_CLASS_KEEP, holds;
	const char *lower = xattr_text(mine, OPAQUE) ? own : redirected(mine, own);
	const struct mlimg_entry *base = tree_get(o->base, lower), *next = tree_get(o->next, lower);
	struct mlimg_entry wanted = *mine;

	if (is_type_changed(o, path, lower, mine) && !covers(o, path, own)) {
		set_aside(o, path);
		see_next(o, path, lower);
		return false;
	}
	if (is_closed(o, path, own, mine)) {
		is_renamed = true; /* neither can go */
		lower = NULL;
	}
	if (is_a_dir(next) && !is_kept)
		wanted = merge_entries(base, next, mine).e;
	holds = judge_within(o, path, lower);
	if (!holds && !is_renamed && !is_kept &&
		((next && is_equal(&wanted, next)) || (base && is_equal(mine, base)))) {
		see(o, path, next);
		if (!lower || !is_shown_elsewhere(o, lower))
			return false;
		tree_remove(o->seen, path);
		return true;
	}
	see(o, path, &wanted);
	return true;
}

/* --- several names of one file --- */

/* The attributes change if all names of the file that stay are to have the same ones. */
TEST_UNUSED static void grant_wishes(struct oracle *o)
{
	for (size_t i = 0; i < o->n_wishes; i++) {
		const struct oracle_wish *w = &o->wishes[i];
		uint32_t n = 0;

		if (tree_get(o->beside, w->path))
			continue;
		for (size_t k = 0; k < o->n_wishes; k++)
			n += !tree_get(o->beside, o->wishes[k].path) &&
				o->wishes[k].mine.hardlink == w->mine.hardlink &&
				is_equal(&o->wishes[k].wanted, &w->wanted);
		for (size_t k = 0; k < o->n_gone; k++)
			n += o->gone[k] == w->mine.hardlink;
		if (w->mine.hardlink && n != w->mine.nlink)
			see(o, w->path, &w->mine);
	}
}

/** What the user must see. The trees of the answer are the caller's, empty. */
TEST_UNUSED static void ask_oracle(struct oracle *o)
{
	o->n_wishes = o->n_gone = 0;
	find_renamed(o);
	judge_within(o, "", "");
	grant_wishes(o);
	for (size_t i = 0; i < o->beside->n; i++)
		see(o, o->beside->e[i].path, &o->beside->e[i]);
}

#endif
