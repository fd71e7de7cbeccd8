/* SPDX-License-Identifier: MIT */
/*
 * The planner of reconcile against a model of it: random stacks and uppers, what the user must see computed apart (model-oracle.h), and laws that
 * hold whatever the trees are. All in memory; uppers that the kernel has written are tests/root/reconcile.bats'.
 *
 * MLIMG_CASES is the number of cases of each law, MLIMG_SEED repeats a run.
 */
#include "libmlimg/cleanup.h"
#include "libmlimg/text.h"
#include "libmlimg/unionfs.h"
#include "tests/lib/model-oracle.h"
#include "tests/lib/model-plan.h"
#include "tests/lib/model-random.h"

/* --- telling what is wrong --- */

static void print_entry(const char *what, const struct mlimg_entry *e)
{
	struct mlimg_text text = {0};

	if (e)
		mlimg_manifest_put_entry(e, mlimg_text_put, &text);
	fprintf(stderr, "  %-8s%s", what, e ? text.data : "-\n");
	free(text.data);
}

static void print_tree(const char *what, const struct tree *t)
{
	fprintf(stderr, "%s:\n", what);
	for (size_t i = 0; i < t->n; i++)
		print_entry("", &t->e[i]);
}

static void print_model(struct model *m)
{
	print_tree("base", &m->base);
	print_tree("next", &m->next);
	print_tree("upper", &m->upper);
	print_tree("after", &m->after);
	fprintf(stderr, "plan:\n");
	for (size_t i = 0; i < m->plan.n_ops; i++)
		fprintf(stderr, "  %c %s\n", m->plan.ops[i].verb, m->plan.ops[i].path);
}

static void expect_tree(struct model *m, const char *what, struct tree *wanted, struct tree *found)
{
	bool is_same = true;

	for (int turn = 0; turn < 2; turn++) {
		struct tree *t = turn ? found : wanted, *other = turn ? wanted : found;

		for (size_t i = 0; i < t->n; i++) {
			struct mlimg_entry *e = tree_get(other, t->e[i].path);

			if (is_equal(e, &t->e[i]) || (turn && e))
				continue;
			fprintf(stderr, "%s: '%s'\n", what, t->e[i].path);
			print_entry("wanted", turn ? e : &t->e[i]);
			print_entry("found", turn ? &t->e[i] : e);
			is_same = false;
		}
	}
	if (is_same)
		return;
	print_model(m);
	FAIL("%s", what);
}

/* --- the laws --- */

static void check_seen(struct model *m)
{
	struct oracle *o = calloc(1, sizeof(*o));
	struct tree *seen = shown(&m->next, &m->after);

	*o = (struct oracle){.base = &m->base,
		.next = &m->next,
		.upper = &m->upper,
		.seen = &m->wanted,
		.beside = &m->beside,
		.aside = &m->wanted_aside};
	m->wanted.n = m->beside.n = m->wanted_aside.n = 0;
	ask_oracle(o);
	expect_tree(m, "what the user sees", &m->wanted, seen);
	expect_tree(m, "what is set aside", &m->wanted_aside, &m->aside);
	free(seen);
	free(o);
}

static bool has_content(const struct tree *t, const char *path, int content)
{
	const struct mlimg_entry *e = tree_get((struct tree *)(uintptr_t)t, path);

	return e && e->type == MLIMG_FILE && content_of(e) == content;
}

/* @return whether some file of the tree has these contents */
static bool has_anywhere(const struct tree *t, int content)
{
	for (size_t i = 0; i < t->n; i++)
		if (has_content(t, t->e[i].path, content))
			return true;
	return false;
}

/*
 * No contents that the stacks have not got go, but where they became part of a merged text; a derived file, which is made anew; or the
 * NAME.mlimg-new of a former change.
 */
static void check_nothing_lost(struct model *m)
{
	struct tree *seen = shown(&m->next, &m->after);

	for (size_t i = 0; i < m->upper.n; i++) {
		const struct mlimg_entry *e = &m->upper.e[i];
		int content = e->type == MLIMG_FILE ? content_of(e) : 0;

		if (!content || has_anywhere(&m->base, content) || has_anywhere(&m->next, content))
			continue;
		if (has_content(seen, e->path, content) || has_content(&m->aside, e->path, content))
			continue;
		ASSERT(has_content(&m->undo, e->path, content));
		if (oracle_class(e->path) == MLIMG_CLASS_DERIVED ||
			(oracle_class(e->path) == MLIMG_CLASS_CONFIG && tree_get(seen, e->path)))
			continue;
		print_model(m);
		FAIL("'%s' is lost", e->path);
	}
	free(seen);
}

/* The same stack again: nothing is to be done. */
static void check_twice(struct model *m)
{
	struct model *again = malloc(sizeof(*again));

	*again = *m;
	again->base = m->next;
	again->upper = m->after;
	plan(again);
	if (again->plan.n_ops) {
		print_model(m);
		FAIL("a second time there is '%c %s'", again->plan.ops[0].verb,
			again->plan.ops[0].path);
	}
	plan_done(again);
	free(again);
}

/* --- the union driver --- */

static void random_case(struct model *m, bool has_redirects)
{
	random_stack(&m->base);
	random_next(&m->base, &m->next);
	random_user(&m->base, &m->next, has_redirects, &m->upper);
	m->after.n = m->aside.n = m->undo.n = 0;
}

static void add_marker(struct tree *raw, const char *path)
{
	struct mlimg_entry dir = {.type = MLIMG_DIR, .mode = 0755, .nlink = 1},
			   file = {.type = MLIMG_FILE, .mode = 0644, .nlink = 1};
	char *marker = model_path(MLIMG_UNIONFS_DIR, path), *name;

	for (char *slash = strchr(marker, '/'); slash; slash = strchr(slash + 1, '/'))
		tree_put(raw, mlimg_arena_strndup(model_memory, marker, (size_t)(slash - marker)),
			&dir);
	name = mlimg_arena_alloc(model_memory, strlen(marker) + sizeof(MLIMG_UNIONFS_TAG));
	strcpy(stpcpy(name, marker), MLIMG_UNIONFS_TAG);
	tree_put(raw, name, &file);
}

/* The same changes as unionfs-fuse writes them: it makes no directory opaque that hides nothing. */
static void make_raw(struct model *m)
{
	m->raw.n = 0;
	for (size_t i = 0; i < m->upper.n; i++) {
		struct mlimg_entry e = m->upper.e[i];
		bool is_opaque = xattr_text(&e, OPAQUE);

		if (is_a_whiteout(&e) || (is_opaque && tree_get(&m->base, e.path)))
			add_marker(&m->raw, e.path);
		set_xattr(&e, OPAQUE, NULL);
		if (!is_a_whiteout(&e))
			tree_put(&m->raw, e.path, &e);
	}
}

/* The next operation but those by which a directory that is opaque is joined, of which there are more in overlayfs' form. */
static const struct mlimg_plan_op *next_op(const struct model *m, size_t *at)
{
	while (*at < m->plan.n_ops && m->plan.ops[*at].verb == MLIMG_PLAN_JOIN)
		++*at;
	return *at < m->plan.n_ops ? &m->plan.ops[(*at)++] : NULL;
}

static bool is_same_op(const struct mlimg_plan_op *a, const struct mlimg_plan_op *b)
{
	return a && b && a->verb == b->verb && strcmp(a->path, b->path) == 0 &&
		is_equal(a->entry, b->entry);
}

static void expect_same_plan(struct model *a, struct model *b)
{
	static const enum mlimg_done same[] = {
		MLIMG_DONE_DROPPED, MLIMG_DONE_ASIDE, MLIMG_DONE_BESIDE};
	const struct mlimg_plan_op *x, *y;
	size_t at = 0, bt = 0;

	do {
		x = next_op(a, &at);
		y = next_op(b, &bt);
		if ((x || y) && !is_same_op(x, y)) {
			print_model(a);
			FAIL("overlayfs' upper has '%s' planned, unionfs-fuse's '%s'",
				x ? x->path : "nothing", y ? y->path : "nothing");
		}
	} while (x);
	for (int i = 1; i < MLIMG_N_VERDICTS; i++)
		ASSERT_EQ(a->report.counts[i], b->report.counts[i]);
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(a->report.done[same[i]], b->report.done[same[i]]);
}

static void check_drivers(struct model *m)
{
	struct model *raw = malloc(sizeof(*raw));

	random_case(m, false);
	make_raw(m);
	*raw = *m;
	raw->is_unionfs = true;
	plan(m);
	plan(raw);
	expect_same_plan(m, raw);
	plan_done(m);
	plan_done(raw);
	free(raw);
}

/* --- the cases --- */

static uint64_t case_seed; /* 0: all is done */

static void tell_case(void)
{
	if (case_seed)
		fprintf(stderr, "again: MLIMG_CASES=1 MLIMG_SEED=%" PRIu64 "\n", case_seed);
}

static void begin(void)
{
	make_contents();
	test_seed();
	ASSERT_EQ(atexit(tell_case), 0);
	classes = mlimg_path_classes_new();
	ASSERT_OK(mlimg_path_classes_add(
			  classes, "model", MODEL_CLASSES, strlen(MODEL_CLASSES), &err),
		err);
}

static unsigned long cases(unsigned long usual)
{
	const char *given = getenv("MLIMG_CASES");

	return given && *given ? strtoul(given, NULL, 0) : usual;
}

/* Each case has a seed of its own, which a failure tells: the next number. */
static void each_case(unsigned long usual, void (*check)(struct model *m))
{
	struct model *m = calloc(1, sizeof(*m));

	begin();
	for (unsigned long i = cases(usual); i > 0; i--) {
		case_seed = test_state;
		model_memory = mlimg_arena_new();
		check(m);
		mlimg_arena_free(model_memory);
		test_state = case_seed + 1;
	}
	case_seed = 0;
	mlimg_path_classes_free(classes);
	free(m);
}

static void check_change(struct model *m)
{
	plan(m);
	carry_out(m);
	check_seen(m);
	check_nothing_lost(m);
}

static void check_changes(struct model *m)
{
	random_case(m, true);
	for (int i = 0; i < 3; i++) {
		check_change(m);
		check_twice(m);
		plan_done(m);
		m->base = m->next;
		m->upper = m->after;
		random_next(&m->base, &m->next);
	}
}

TEST(the_user_sees_what_the_model_says_and_loses_nothing)
{
	each_case(1500, check_changes);
}

TEST(no_plan_depends_on_the_union_driver)
{
	each_case(1500, check_drivers);
}
