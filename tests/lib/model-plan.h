/* SPDX-License-Identifier: MIT */
/**
 * @file model-plan.h
 * Has the planner of reconcile plan for trees in memory, and carries its plan out there, as
 * libmlimg/plan.h says it.
 */
#ifndef MLIMG_TEST_MODEL_PLAN_H
#define MLIMG_TEST_MODEL_PLAN_H

#include "libmlimg/reconcile-plan.h"
#include "tests/lib/model-oracle.h"
#include "tests/lib/model-trees.h"

#define MODEL_ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

TEST_UNUSED static struct mlimg_err err;
static struct mlimg_path_classes *classes;

/* --- trees as the planner reads them --- */

TEST_UNUSED static int by_path(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(
		((const struct mlimg_entry *)a)->path, ((const struct mlimg_entry *)b)->path);
}

TEST_UNUSED static void check_added(const struct mlimg_entry *e)
{
	ASSERT(e);
}

TEST_UNUSED static struct mlimg_manifest *manifest_of(const struct tree *t, bool has_digests)
{
	struct mlimg_entry root = {
		.path = (char *)(uintptr_t) "", .type = MLIMG_DIR, .mode = 0755, .nlink = 1};
	struct mlimg_manifest *m = mlimg_manifest_new();
	uint32_t groups[TREE_MAX] = {0}, n_groups = 0;
	struct tree *sorted = malloc(sizeof(*sorted));

	*sorted = *t;
	qsort(sorted->e, sorted->n, sizeof(*sorted->e), by_path);
	check_added(mlimg_manifest_add(m, &root));
	for (size_t i = 0; i < sorted->n; i++) {
		struct mlimg_entry e = sorted->e[i];

		if (e.hardlink) {
			if (!groups[e.hardlink])
				groups[e.hardlink] = ++n_groups;
			e.hardlink = groups[e.hardlink];
		}
		e.has_digest = e.has_digest && has_digests;
		check_added(mlimg_manifest_add(m, &e));
	}
	free(sorted);
	return m;
}

struct memory_source {
	struct mlimg_upper_source source;
	struct tree *upper, *raw; /* raw: in unionfs-fuse's form, or NULL */
};

TEST_UNUSED static struct memory_source *memory_of(struct mlimg_upper_source *source)
{
	return (struct memory_source *)source;
}

TEST_UNUSED static int load(struct mlimg_upper_source *source, mlimg_walk_skip_fn *skip, void *ctx,
	struct mlimg_manifest **ret, struct mlimg_err *e)
{
	struct memory_source *m = memory_of(source);

	*ret = manifest_of(m->raw ? m->raw : m->upper, false);
	return m->raw ? mlimg_upper_from_unionfs(*ret, e) : 0;
}

TEST_UNUSED static int digest(struct mlimg_upper_source *source, const char *path,
	uint8_t ret[MLIMG_SHA256_SIZE], struct mlimg_err *e)
{
	const struct mlimg_entry *at = tree_get(memory_of(source)->upper, path);

	ASSERT(at && at->type == MLIMG_FILE);
	memcpy(ret, at->digest, MLIMG_SHA256_SIZE);
	return 0;
}

TEST_UNUSED static int give(int content, char **ret_data, size_t *ret_size)
{
	*ret_size = model_contents[content].size;
	*ret_data = malloc(*ret_size + 1);
	memcpy(*ret_data, model_contents[content].data, *ret_size);
	return 0;
}

TEST_UNUSED static int read_mine(struct mlimg_upper_source *source, const char *path, size_t max,
	char **ret_data, size_t *ret_size, struct mlimg_err *e)
{
	return give(content_of(tree_get(memory_of(source)->upper, path)), ret_data, ret_size);
}

TEST_UNUSED static int content_with(const char *path, const uint8_t wanted[MLIMG_SHA256_SIZE])
{
	for (int i = 0; i < CONTENTS; i++)
		if (memcmp(model_contents[i].digest, wanted, MLIMG_SHA256_SIZE) == 0)
			return i;
	FAIL("'%s' has contents that nobody made", path);
}

TEST_UNUSED static int read_stack(const char *path, const uint8_t wanted[MLIMG_SHA256_SIZE],
	size_t max, void *ctx, char **ret_data, size_t *ret_size)
{
	return give(content_with(path, wanted), ret_data, ret_size);
}

/* What the agent keeps of the old stack; @ctx: its tree */
TEST_UNUSED static int read_kept(const char *path, const uint8_t wanted[MLIMG_SHA256_SIZE],
	size_t max, void *ctx, char **ret_data, size_t *ret_size)
{
	struct mlimg_entry e = {.type = MLIMG_FILE};
	int content = content_with(path, wanted);

	set_content(&e, content);
	return is_text_kept(ctx, &e) ? give(content, ret_data, ret_size) : -ENOENT;
}

/* --- a case --- */

struct model {
	struct tree base, next, upper;
	struct tree raw; /* the upper in unionfs-fuse's form */
	bool is_unionfs;
	struct mlimg_reconcile_input more; /* what the planner is given beside these */
	struct mlimg_plan plan;
	struct mlimg_report report;
	struct tree after;       /* the upper when the plan was carried out */
	struct tree aside, undo; /* what the plan has put there */
	struct tree wanted, beside, wanted_aside;
};

/** Plan for an upper that is not in memory, but what @p m has otherwise. */
TEST_UNUSED static void plan_for(struct model *m, struct mlimg_upper_source *upper)
{
	struct mlimg_manifest *base = manifest_of(&m->base, true),
			      *next = manifest_of(&m->next, true);
	struct mlimg_reconcile_input in = m->more;

	in.base = base;
	in.next = next;
	in.upper = upper;
	in.classes = classes;
	in.generation = 2;
	in.from = in.to = MODEL_ID;
	in.read_base = read_kept;
	in.read_next = read_stack;
	in.read_ctx = &m->base;
	ASSERT_OK(mlimg_report_init(&m->report, &err), err);
	ASSERT_OK(mlimg_reconcile_plan(&in, &m->report, &m->plan, &err), err);
	mlimg_manifest_free(base);
	mlimg_manifest_free(next);
}

TEST_UNUSED static void plan(struct model *m)
{
	struct memory_source source = {
		{load, digest, read_mine, read_mine}, &m->upper, m->is_unionfs ? &m->raw : NULL};

	plan_for(m, &source.source);
}

TEST_UNUSED static void plan_done(struct model *m)
{
	mlimg_plan_done(&m->plan);
	mlimg_report_done(&m->report);
}

/* --- carrying it out, as plan.h says it --- */

TEST_UNUSED static void take(struct model *m, struct tree *to, const char *path)
{
	for (size_t i = 0; i < m->after.n; i++) {
		const struct mlimg_entry *e = &m->after.e[i];

		if (strcmp(e->path, path) == 0 || is_under(e->path, path))
			tree_put(to, e->path, e);
	}
	tree_remove(&m->after, path);
}

TEST_UNUSED static struct mlimg_entry *there(struct model *m, const char *path)
{
	struct mlimg_entry *e = tree_get(&m->after, path);

	if (!e)
		FAIL("'%s' is not there", path);
	return e;
}

TEST_UNUSED static void set_attrs(struct mlimg_entry *to, const struct mlimg_entry *from)
{
	to->mode = from->mode;
	to->uid = from->uid;
	to->gid = from->gid;
	for (int i = 0; i < MODEL_XATTRS; i++)
		set_xattr(to, model_xattrs[i], xattr_text(from, model_xattrs[i]));
	fit_acl(to);
}

/* Of a file that has several names, all. */
TEST_UNUSED static void set_all(struct model *m, const struct mlimg_plan_op *op)
{
	const uint32_t group = there(m, op->path)->hardlink;

	set_attrs(there(m, op->path), op->entry);
	for (size_t i = 0; i < m->after.n && group; i++)
		if (m->after.e[i].hardlink == group)
			set_attrs(&m->after.e[i], op->entry);
}

TEST_UNUSED static void put(struct model *m, const struct mlimg_plan_op *op)
{
	struct mlimg_entry e = *op->entry;
	const struct mlimg_entry *next = tree_get(&m->next, e.path);
	char *path = model_string(op->path);

	if (op->verb == MLIMG_PLAN_PUT)
		ASSERT_MEM(e.digest, m->plan.blobs[op->blob].digest, sizeof(e.digest));
	else if (!next || !has_equal_contents(next, &e))
		FAIL("'%s': the new stack has not got '%s'", path, e.path);
	if (op->verb == MLIMG_PLAN_PUT_BESIDE)
		ASSERT(!tree_get(&m->after, path));
	ASSERT(!is_a_dir(tree_get(&m->after, path)));
	take(m, &m->undo, path);
	e.link = e.link ? model_string(e.link) : NULL;
	e.xattrs = NULL;
	e.n_xattrs = 0;
	e.hardlink = 0;
	e.nlink = 1;
	set_attrs(tree_put(&m->after, path, &e), op->entry);
}

TEST_UNUSED static void hide(struct model *m, const char *path)
{
	const struct mlimg_entry whiteout = {
		.path = model_string(path), .type = MLIMG_CHAR, .nlink = 1};

	ASSERT(!tree_get(&m->after, path));
	tree_put(&m->after, whiteout.path, &whiteout);
}

TEST_UNUSED static void carry_out_one(struct model *m, const struct mlimg_plan_op *op)
{
	/* The plan's memory is gone before the tree is. */
	const struct mlimg_entry dir = {.type = MLIMG_DIR, .nlink = 1};
	struct mlimg_entry *e;

	switch (op->verb) {
	case MLIMG_PLAN_DROP:
		ASSERT(!is_a_dir(there(m, op->path)));
		take(m, &m->undo, op->path);
		break;
	case MLIMG_PLAN_DROP_DIR:
		ASSERT(is_a_dir(there(m, op->path)));
		if (!tree_has_below(&m->after, op->path))
			tree_remove(&m->after, op->path);
		break;
	case MLIMG_PLAN_SET_ASIDE:
		there(m, op->path);
		take(m, &m->aside, op->path);
		break;
	case MLIMG_PLAN_JOIN:
		e = there(m, op->path);
		ASSERT(xattr_text(e, OPAQUE));
		set_xattr(e, OPAQUE, NULL);
		break;
	case MLIMG_PLAN_CLOSE:
		e = there(m, op->path);
		ASSERT(is_a_dir(e) && !xattr_text(e, OPAQUE));
		set_xattr(e, OPAQUE, "y");
		break;
	case MLIMG_PLAN_SET_ATTRS: set_all(m, op); break;
	case MLIMG_PLAN_HIDE: hide(m, op->path); break;
	case MLIMG_PLAN_MAKE_DIR:
		ASSERT(!tree_get(&m->after, op->path));
		set_attrs(tree_put(&m->after, op->path, &dir), op->entry);
		break;
	case MLIMG_PLAN_PUT:
	case MLIMG_PLAN_TAKE_NEXT:
	case MLIMG_PLAN_PUT_BESIDE: put(m, op); break;
	default: FAIL("'%s': '%c' is for what is not in these trees", op->path, op->verb);
	}
}

TEST_UNUSED static void carry_out(struct model *m)
{
	m->after = m->upper;
	m->aside.n = m->undo.n = 0;
	for (size_t i = 0; i < m->plan.n_ops; i++)
		carry_out_one(m, &m->plan.ops[i]);
}

#endif
