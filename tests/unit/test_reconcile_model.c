/* SPDX-License-Identifier: MIT */
/*
 * The planner of reconcile against a model of it: random stacks and uppers, what the user must see
 * computed apart (model-oracle.h), and laws that hold whatever the trees are. All in memory; uppers
 * that the kernel has written are tests/root/reconcile.bats'.
 *
 * MLIMG_CASES is the number of cases of each law, MLIMG_SEED repeats a run.
 */
static unsigned model_depth;
#define MODEL_DEPTH model_depth
#include "libmlimg/cleanup.h"
#include "tests/lib/model-oracle.h"
#include "tests/lib/model-plan.h"
#include "tests/lib/model-random.h"
#include "tests/lib/model-tell.h"
#include "tests/lib/model-unionfs.h"

/* --- telling what is wrong --- */

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
	if (is_same_tree(what, wanted, found))
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

static void check_nothing_lost(struct model *m)
{
	struct tree *seen = shown(&m->next, &m->after);
	const char *lost = find_lost(&m->base, &m->next, &m->upper, seen, &m->aside, &m->undo);

	if (lost) {
		print_model(m);
		FAIL("'%s' is lost", lost);
	}
	free(seen);
}

/*
 * @return in how many places an upper shows what the layers have at @lower, whether or not they
 *         have it. @at: a directory of the upper, @beneath: in the layers, or nothing
 */
static int places_of(struct tree *upper, const char *lower, const char *at, const char *beneath)
{
	int n = beneath && strcmp(beneath, lower) == 0;

	if (beneath && !n && is_under(lower, beneath)) {
		const char *name = lower + strlen(beneath) + (*beneath != '\0');

		name = mlimg_arena_strndup(model_memory, name, strcspn(name, "/"));
		n = !tree_get(upper, model_path(at, name));
	}
	for (size_t i = 0; i < upper->n; i++) {
		const struct mlimg_entry *e = &upper->e[i];
		const char *name = name_in(e->path, at);

		if (!name || !is_a_dir(e))
			continue;
		n += places_of(upper, lower, e->path,
			xattr_text(e, OPAQUE)
				? NULL
				: redirected(e, beneath ? model_path(beneath, name) : NULL));
	}
	return n;
}

/*
 * Where a directory of the layers was renamed to shows it, and no other place does that did not
 * before.
 */
static void check_renamed(struct model *m)
{
	for (size_t i = 0; i < m->after.n; i++) {
		const char *to = xattr_text(&m->after.e[i], REDIRECT);
		int before, after;

		if (!to || *to != '/')
			continue;
		before = places_of(&m->upper, to + 1, "", "");
		after = places_of(&m->after, to + 1, "", "");
		if (after <= 1 || after <= before)
			continue;
		print_model(m);
		FAIL("'%s' shows in %d places, and in %d before", to, after, before);
	}
}

/* The same stack again: nothing is to be done. */
static void check_twice(struct model *m)
{
	struct model *again = malloc(sizeof(*again));

	*again = *m;
	again->base = m->next;
	again->upper = m->after;
	again->more.moved_in_base = m->more.moved_in_next;
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

/*
 * Directories in opaque directories are in the deeper trees; what was renamed is in many places in
 * trees of few names as it is.
 */
static void random_case(struct model *m, bool has_redirects)
{
	model_depth = has_redirects ? 3 : 4;
	random_stack(&m->base);
	random_next(&m->base, &m->next);
	random_user(&m->base, &m->next, has_redirects, &m->upper);
	m->after.n = m->aside.n = m->undo.n = 0;
}

static void expect_same_plan(struct model *a, struct model *b)
{
	static const enum mlimg_done same[] = {
		MLIMG_DONE_DROPPED, MLIMG_DONE_ASIDE, MLIMG_DONE_BESIDE};
	const char *path = find_other_op(&a->plan, &b->plan);

	if (path) {
		print_model(a);
		FAIL("overlayfs' upper and unionfs-fuse's have different plans from '%s' on", path);
	}
	for (int i = 1; i < MLIMG_N_VERDICTS; i++)
		ASSERT_EQ(a->report.counts[i], b->report.counts[i]);
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(a->report.done[same[i]], b->report.done[same[i]]);
}

/* What the user sees afterwards, whose upper is in overlayfs' form as libmlimg reads it. */
static void check_same_view(struct model *m, struct model *raw)
{
	struct mlimg_manifest *neutral = manifest_of(&raw->raw, true);
	struct tree *seen, *raw_seen;

	ASSERT_OK(mlimg_upper_from_unionfs(neutral, &err), err);
	raw->upper.n = 0;
	for (size_t i = 1; i < neutral->n_entries; i++)
		tree_put(&raw->upper, neutral->entries[i].path, &neutral->entries[i]);
	carry_out(m);
	carry_out(raw);
	seen = shown(&m->next, &m->after);
	raw_seen = shown(&m->next, &raw->after);
	expect_tree(m, "what the user sees with both drivers", seen, raw_seen);
	free(seen);
	free(raw_seen);
	mlimg_manifest_free(neutral);
}

static void check_drivers(struct model *m)
{
	struct model *raw = malloc(sizeof(*raw));

	random_case(m, false);
	make_raw(&m->base, &m->upper, &m->raw);
	*raw = *m;
	raw->is_unionfs = true;
	plan(m);
	plan(raw);
	expect_same_plan(m, raw);
	check_same_view(m, raw);
	plan_done(m);
	plan_done(raw);
	free(raw);
}

/* --- what is put where the upper has nothing --- */

#define EXTRAS 8

struct extras {
	struct mlimg_reconcile_text texts[EXTRAS];
	const char *hidden[EXTRAS];
	struct mlimg_packages_link links[EXTRAS];
	struct mlimg_moved_id uid;
	struct mlimg_owner_moves moves;
};

static const char *extra_path(void)
{
	const char *path = model_tops[test_random(3)];

	for (unsigned depth = 1 + (unsigned)test_random(3); depth; depth--)
		path = model_path(path, model_names[test_random(MODEL_NAMES)]);
	if (one_in(12))
		path = strcat(strcpy(mlimg_arena_alloc(model_memory, strlen(path) + 32), path),
			model_new_suffix(path));
	return path;
}

static int by_text(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(((const struct mlimg_reconcile_text *)a)->path,
		((const struct mlimg_reconcile_text *)b)->path);
}

static int by_hidden(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_link(const void *a, const void *b)
{
	return strcmp(((const struct mlimg_packages_link *)a)->path,
		((const struct mlimg_packages_link *)b)->path);
}

/* Some more than once, and some at the same paths. */
static void random_extras(struct model *m, struct extras *x)
{
	const char *paths[EXTRAS];

	for (size_t i = 0; i < EXTRAS; i++)
		paths[i] = extra_path();
	for (size_t i = 0; i < EXTRAS; i++) {
		x->texts[i] = (struct mlimg_reconcile_text){
			paths[test_random(EXTRAS)], one_in(2) ? "M\n" : "N\n", 2};
		x->hidden[i] = paths[test_random(EXTRAS)];
		x->links[i] = (struct mlimg_packages_link){paths[test_random(EXTRAS)],
			one_in(3)           ? NULL
				: one_in(2) ? "X"
					    : "Y",
			NULL, false};
	}
	qsort(x->texts, EXTRAS, sizeof(*x->texts), by_text);
	qsort(x->hidden, EXTRAS, sizeof(*x->hidden), by_hidden);
	qsort(x->links, EXTRAS, sizeof(*x->links), by_link);
	x->uid = (struct mlimg_moved_id){1, 7};
	x->moves = (struct mlimg_owner_moves){.uids = &x->uid, .n_uids = 1};
	m->more = (struct mlimg_reconcile_input){.texts = x->texts,
		.n_texts = test_random(EXTRAS + 1),
		.hidden = x->hidden,
		.n_hidden = test_random(EXTRAS + 1),
		.links = x->links,
		.n_links = test_random(EXTRAS + 1),
		.moved_in_next = one_in(2) ? &x->moves : NULL};
}

static bool is_put(const struct mlimg_plan_op *op)
{
	return strchr("hptnm", op->verb);
}

/* @return why whoever carries it out would refuse operation @i, or NULL. @now: the upper by then */
static const char *misfit(struct model *m, size_t i, struct tree *now)
{
	const struct mlimg_plan_op *op = &m->plan.ops[i];
	struct mlimg_entry *at = tree_get(now, op->path);
	const char *slash = strrchr(op->path, '/');

	if (!is_put(op))
		return at ? NULL : "nothing is there";
	for (size_t k = 0; k < i; k++)
		if (is_put(&m->plan.ops[k]) && strcmp(m->plan.ops[k].path, op->path) == 0)
			return "an operation before has put something there";
	if (at && (strchr("hn", op->verb) || (is_a_dir(at) != (op->verb == 'm'))))
		return "something is there";
	if (slash &&
		!is_a_dir(tree_get(now,
			mlimg_arena_strndup(model_memory, op->path, (size_t)(slash - op->path)))))
		return "there is no directory for it";
	return NULL;
}

static void check_places(struct model *m)
{
	const struct mlimg_entry whiteout = {.type = MLIMG_CHAR, .nlink = 1};
	struct tree *now = malloc(sizeof(*now));

	*now = m->upper;
	for (size_t i = 0; i < m->plan.n_ops; i++) {
		const struct mlimg_plan_op *op = &m->plan.ops[i];
		const char *why = misfit(m, i, now);

		if (why) {
			print_model(m);
			FAIL("'%c %s': %s", op->verb, op->path, why);
		}
		if (is_put(op))
			tree_put(now, op->path, op->entry ? op->entry : &whiteout);
		else if (strchr("da", op->verb) ||
			(op->verb == 'D' && !tree_has_below(now, op->path)))
			tree_remove(now, op->path);
	}
	free(now);
}

static void check_extras(struct model *m)
{
	struct extras x;

	random_case(m, true);
	random_extras(m, &x);
	plan(m);
	check_places(m);
	plan_done(m);
	m->more = (struct mlimg_reconcile_input){.texts = NULL};
}

/*
 * Things of the new stack whose owner gives way to one of the user's are copied up, once. The user
 * himself owns nothing where the stack has something of that number: on the next stack nobody could
 * tell his from the stack's.
 */
static void check_moves(struct model *m)
{
	const struct mlimg_moved_id moved[] = {{1, 7}};
	const struct mlimg_owner_moves moves = {
		.uids = moved, .n_uids = 1, .gids = moved, .n_gids = 1};

	random_case(m, true);
	for (size_t i = 0; i < m->upper.n; i++) {
		m->upper.e[i].uid += m->upper.e[i].uid == 1;
		m->upper.e[i].gid += m->upper.e[i].gid == 1;
	}
	m->more = (struct mlimg_reconcile_input){.moved_in_next = &moves};
	plan(m);
	check_places(m);
	carry_out(m);
	check_twice(m);
	plan_done(m);
	m->more = (struct mlimg_reconcile_input){.texts = NULL};
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
	check_renamed(m);
}

/* Of the stacks that come later some are as the first one was. */
static void check_changes(struct model *m)
{
	struct tree *first = malloc(sizeof(*first));

	random_case(m, one_in(2));
	*first = m->base;
	for (int i = 0; i < 3; i++) {
		check_change(m);
		check_twice(m);
		plan_done(m);
		m->base = m->next;
		m->upper = m->after;
		random_remake(&m->base, &m->upper);
		random_beside(&m->upper);
		random_next(one_in(2) ? first : &m->base, &m->next);
	}
	free(first);
}

TEST(the_user_sees_what_the_model_says_and_loses_nothing)
{
	each_case(1500, check_changes);
}

TEST(no_plan_depends_on_the_union_driver)
{
	each_case(1500, check_drivers);
}

TEST(no_plan_puts_two_things_at_one_path_or_one_that_has_no_directory)
{
	each_case(1500, check_extras);
}

TEST(what_is_copied_for_its_owner_is_copied_once)
{
	each_case(1500, check_moves);
}
