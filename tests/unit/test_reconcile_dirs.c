/* SPDX-License-Identifier: MIT */
/* What is planned for directories, and where owners have moved. */
#include "tests/lib/plan-words.h"

TEST(directories)
{
	/* They stay with what is in them, and get what the user did not change. */
	check("etc/a=d", "etc/a=d,m700", "etc/a/b=B", "s etc/a=d,m700",
		TOLD("stale", "config", "merged"));
	check("etc/a=d", "etc/a=d,m700", "etc/a=d,u5", "s etc/a=d,m700,u5",
		TOLD("merged", "config", "merged"));
	check("etc/a=d", "etc/a=d,m700", "etc/a=d,m750", "", TOLD("conflict", "config", "stays"));
	check("usr/a=d", "usr/a=d,m700,u5", "usr/a=d,m750", "s usr/a=d,m750,u5",
		TOLD("conflict", "owned", "merged"));
	check("etc/a=d", "etc=d", "etc/a/b=B", "", TOLD("stale", "config", "stays"));
	check("etc/a=d", "etc=d", "etc/a=d,m700", "", TOLD("conflict", "config", "stays"));
	check("", "", "etc/a=d", "", "");
	/* Copies that hold nothing go. */
	check("etc/a=d", "etc/a=d,m700", "etc/a=d", "D etc/a=d; D etc=d",
		TOLD("stale", "config", "dropped"));
	check("etc/a/b/c=A", "etc/a/b/c=B", "etc/a/b/c=A etc/a/d=D", "d etc/a/b/c; D etc/a/b=d",
		NULL);
	check("etc/a=d", "etc/a=d", "etc/a=W", "", "");
}

TEST(renamed_directories)
{
	/* usr/b shows what usr/a has. */
	check("usr/a/x=A", "usr/a/x=A usr/a/y=B", "usr/a=W usr/b=r:a", "", "");
	check("usr/a/x=A", "usr/a/x=B", "usr/a=W usr/b=r:/usr/a usr/b/x=A", "d usr/b/x", NULL);
	check("usr/a/x=A", "usr/a/x=B", "usr/a=W usr/b=r:a usr/b/x=A,m600",
		"t usr/b/xusr/a/x=B,m600", NULL);
	check("etc/a/x=A", "etc/a/x=B", "etc/a=W etc/b=r:a etc/b/x=C",
		"n etc/b/x.mlimg-newetc/a/x=B", NULL);
	check("usr/a/d/x=A", "usr/a/d/x=B", "usr/a=W usr/b=r:/usr/a usr/b/d=d usr/b/d/x=A",
		"d usr/b/d/x; D usr/b/d=d", NULL);
	/* The class is that of where it is now. */
	check("usr/a/x=A", "usr/a/x=B", "usr/a=W home/b=r:/usr/a home/b/x=C", "",
		TOLD("conflict", "data", "stays"));
	/* A second redirect within, and back by name. */
	check("a/b/x=A", "a/b/x=B", "a=W c=r:/a c/b=W c/d=r:b c/d/x=A", "d c/d/x", NULL);
	/* A renamed directory stays, with the attributes of what it was. */
	check("usr/a=d", "usr/a=d,m700", "usr/a=W usr/b=r:a", "s usr/b=d,m700",
		TOLD("stale", "owned", "merged"));
	/* What it was renamed from is gone, and has become a file. */
	check("usr/a/x=A", "usr=d", "usr/a=W usr/b=r:a", "", TOLD("conflict", "owned", "stays"));
	check("usr/a/x=A", "usr/a=B", "usr/b=r:a usr/b/y=C", "",
		TOLD("conflict", "owned", "stays"));
	/* Something new in its place. */
	check("usr/a/x=A", "usr/a/x=A usr/b/z=B", "usr/a=W usr/b=r:a", "",
		"hides what the new stack has");
	/* Within an opaque directory nothing lies beneath, but for what is named from the root. */
	check("usr/o/a/x=A", "usr/o/a/x=B", "usr/o=o usr/o/b=r:a usr/o/b/x=A", "", "");
	check("usr/o=d usr/a/x=A", "usr/o=d usr/a/x=B",
		"usr/a=W usr/o=o usr/o/b=r:/usr/a usr/o/b/x=A", "d usr/o/b/x", NULL);
	/* What overlayfs would not take. */
	check("usr/a/x=A", "usr/a/x=B", "usr/b=r:../a usr/b/x=A", "", "");
	check("usr/a/x=A", "usr/a/x=B", "usr/b=r:/usr/../usr/a usr/b/x=A", "", "");
}

TEST(what_hides_the_place_of_a_renamed_directory_stays)
{
	/*
	 * A whiteout of the directory itself, of one above, or in a directory that was renamed in
	 * its turn.
	 */
	check("usr/a/x=A", "usr=d", "usr/a=W usr/b=r:a", "", NULL);
	check("usr/a/d/x=A", "usr=d", "usr/a=W usr/b=r:/usr/a/d", "", NULL);
	check("a/b/x=A", "c=d", "a=W c=r:/a c/b=W d=r:/a/b", "", NULL);
	check("usr/a/x=A", "usr=d", "usr/a=W usr/b=r:c", "d usr/a", NULL);
	/* A file, whatever becomes of it. */
	check("usr=d", "usr/a/x=A", "usr/a=C usr/b=r:a", "", TOLD("type-change", "owned", "stays"));
	check("usr/a/x=A", "usr/a=C", "usr/a=C usr/b=r:a", "", NULL);
	check("usr/a/x=A", "usr/a=D", "usr/a=C usr/b=r:a", "", TOLD("conflict", "owned", "stays"));
	/* A directory that hides what has come there anew. */
	check("usr=d", "usr/a/x=A", "usr/a=o usr/a/y=B usr/b=r:a", "", NULL);
	check("usr=d", "usr/a/x=A", "usr/a=o usr/a/y=B", "u usr/a", NULL);
	/* A directory with such a thing in it, unless what was renamed goes with it. */
	check("usr/a/x/y=A", "usr/a=B", "usr/a/x=W usr/b=r:/usr/a/x", "",
		TOLD("conflict", "owned", "stays"));
	check("usr/a/x/y=A", "usr/a=B", "usr/a/x=W usr/a/z=r:x", "a usr/a; D usr=d", NULL);
	check("usr/a/x/y=A usr/c=d", "usr/a=B usr/c=C", "usr/a/x=W usr/c/z=r:/usr/a/x",
		"a usr/a; a usr/c; D usr=d", NULL);
	/* What was renamed into the directory that came in its place counts there. */
	check("usr=d", "usr/a/x=A", "usr/a=o usr/a/b=r:/usr/a", "", NULL);
}

TEST(places_of_renamed_directories_that_nothing_hides_any_more)
{
	check("usr=d", "usr/a/x=A", "usr/b=r:a", "h usr/a", NULL);
	check("usr=d", "usr=d", "usr/b=r:a", "", NULL);
	check("usr=d", "usr/a=A", "usr/b=r:a", "", NULL);
	check("usr/a/x=A", "usr/a/x=A", "home/b=r:/usr/a", "m usr=d; h usr/a", NULL);
	check("usr/a/x=A", "usr/a/x=A", "usr=d home/b=r:/usr/a", "h usr/a", NULL);
	check("usr/a/d/x=A", "usr/a/d/x=A", "usr/b=r:/usr/a/d", "m usr/a=d; h usr/a/d", NULL);
	/* What is above hides it, too. */
	check("usr/a/d/x=A", "usr/a/d/x=A", "usr/a=W usr/b=r:/usr/a/d", "", NULL);
	check("usr/a/d/x=A", "usr/a/d/x=A", "usr/a=o usr/b=r:/usr/a/d", "", NULL);
	/* In a directory that was renamed itself; of one twice once. */
	check("a/b/x=A", "a/b/x=A", "a=W c=r:/a d=r:/a/b", "h c/b", NULL);
	check("a/x=A", "a/x=A", "b=r:/a c=r:/a", "h a", NULL);
}

TEST(renamed_directories_in_one_that_is_set_aside)
{
	static const char base[] = "usr/a/x/y=A usr/c/q=C", next[] = "usr/a=B usr/c/q=C";

	check(base, next, "usr/a/z=r:x usr/a/z/own=D", "a usr/a; D usr=d",
		"{\"path\": \"usr/a/z\", \"verdict\": \"conflict\", \"class\": \"owned\", "
		"\"done\": \"aside\", \"at\": \"aside/2/usr/a/z\", \"from\": \"usr/a/x\", "
		"\"why\": \"what it showed of the system is not in there\"}");
	check(base, next, "usr/c=W usr/a/d/z=r:/usr/c", "a usr/a", "\"from\": \"usr/c\"");
	/* One in another; what is opaque shows nothing, and a name that is none neither. */
	check(base, next, "usr/a/z=r:x usr/a/z/w=r:v", "a usr/a; D usr=d",
		"\"from\": \"usr/a/x/v\"");
	check(base, next, "usr/a=o usr/a/z=r:x", "a usr/a; D usr=d",
		TOLD("type-change", "owned", "aside") ", \"at\": \"aside/2/usr/a\"}");
}

/* Where nothing but the user's own directory is, which overlayfs has not marked. */
TEST(a_directory_made_in_the_place_of_a_renamed_one_becomes_opaque)
{
	check("usr=d", "usr/a/x=A", "usr/a=d usr/a/y=B usr/b=r:a", "c usr/a",
		TOLD("keep", "owned", "closed"));
	check("usr=d", "usr/a/y=A", "usr/a=d usr/a/y=B usr/b=r:a", "c usr/a", NULL);
	check("usr=d", "usr/a/x=A", "usr/a=d usr/b=r:a", "c usr/a", NULL);
	check("usr=d", "usr/a=d,m700 usr/a/x=A", "usr/a=d usr/b=r:a", "c usr/a",
		TOLD("conflict", "owned", "closed"));
	check("a=d", "a/b/x=A", "a=W c=r:/a c/b=d d=r:/a/b", "c c/b", NULL);
	/* Not where the new stack has none, or the old one had one as well. */
	check("usr=d", "usr=d", "usr/a=d usr/a/y=B usr/b=r:a", "", NULL);
	check("usr/a/x=A", "usr/a/x=A", "usr/a=d usr/a/y=B usr/b=r:a", "", NULL);
	check("usr=d", "usr/a/x=A", "usr/a=d usr/a/y=B usr/b=r:c", "", NULL);
	/* What the new stack has further below is hidden there. */
	check("usr=d", "usr/a/d/x=A", "usr/a=d usr/a/y=B usr/b=r:/usr/a/d", "h usr/a/d", NULL);
}

/* As the user has made them, whether or not they are marked. */
TEST(directories_that_are_kept_show_nothing_of_the_new_stack)
{
	check("etc=d", "etc/machine-id/x=A", "etc/machine-id=d etc/machine-id/y=B",
		"c etc/machine-id", TOLD("keep", "keep", "closed"));
	check("etc=d", "etc/machine-id/x=A", "etc/machine-id=o etc/machine-id/y=B", "", "");
	check("etc/machine-id/x=A", "etc/machine-id/x=C", "etc/machine-id=d etc/machine-id/y=B", "",
		"");
	check("etc=d", "etc=d", "etc/machine-id=d etc/machine-id/y=B", "", "");
}

/* The place from which it was renamed shows only if it does not: a stranger's. */
TEST(a_redirect_that_hides_what_it_shows)
{
	check("usr=d", "usr/a/q/x=A", "usr/a=o usr/a/p=r:q", "", NULL);
}

/* --- owners --- */

static const struct mlimg_moved_id five_to_six[] = {{5, 6}};
static const struct mlimg_owner_moves moved = {five_to_six, 1, five_to_six, 1};

TEST(owners_that_have_moved)
{
	const struct mlimg_reconcile_input in = {.moved = &moved};

	check_with(in, "var/a=A,u5,g5", "var/a=A,u6,g6", "var/a=B,u5,g5", "s var/a=f,u6,g6",
		TOLD("keep", "data", "merged"));
	check_with(in, "var/a=A,u5", "var/a=B,u6", "var/a=A,u5", "d var/a; D var=d",
		TOLD("stale", "data", "dropped"));
	check_with(
		in, "", "", "var/a=d,u5 var/a/b=B,u5,g7", "s var/a/b=f,u6,g7; s var/a=d,u6", NULL);
	check_with(in, "var/a=A", "var/a=B", "var/a=A,u5", "t var/a=B,u6", NULL);
	check_with(in, "", "", "etc/machine-id=A,u5", "s etc/machine-id=f,u6", NULL);
	check_with(in, "var/a=A,u5", "var/a=A,u6", "var/a=W", "", "");
	check_with(in, "", "", "var/a=B,u6", "", "");
	check_with(in, "", "", "var/a=B,u5,#1 var/b=B,u5,#1", "s var/a=f,u6; s var/b=f,u6", NULL);
}

TEST(owners_of_files_with_several_names)
{
	const struct mlimg_reconcile_input in = {.moved = &moved};

	/* One name goes, as nobody has changed it. */
	check_with(in, "var/a=A,u5", "var/a=B,u6", "var/a=A,u5,#1 var/b=A,u5,#1",
		"d var/a; s var/b=f,u6", NULL);
	/* The names want different modes. */
	check_with(in, "var/a=A var/b=A", "var/a=A,m600 var/b=A,m640",
		"var/a=B,u5,#1 var/b=B,u5,#1", "s var/a=f,u6; s var/b=f,u6", "has other names");
	/* What is set aside with a directory is as it was. */
	check_with(in, "usr/x=d", "usr/x=C", "usr/b=A,u5,#1 usr/x/a=A,u5,#1", "a usr/x",
		"has other names");
}

TEST(owners_of_the_new_stack_that_are_taken)
{
	const struct mlimg_reconcile_input in = {.moved_in_next = &moved};

	/* They are copied up, with the directories on their way. */
	check_with(in, "", "var/x/a=A,u5 var/x/b=B,g5 var/x/c=C", "",
		"m var=d; m var/x=d; t var/x/a=A,u6; t var/x/b=B,g6", "");
	check_with(in, "", "var/x=d,u5 var/x/a=A,u5 usr/l=>x,u5", "var=d",
		"m usr=d; t usr/l=>x,u6; m var/x=d,u6; t var/x/a=A,u6", NULL);
	/* What the user has there, or hides. */
	check_with(in, "", "var/x/a=A,u5", "var/x/a=B", "", NULL);
	check_with(in, "var/x/a=A", "var/x/a=A,u5", "var/x=W", "", NULL);
	check_with(in, "var/x=d", "var/x/a=A,u5", "var/x=o", "", NULL);
	check_with(in, "var/x=d", "var/x=d,u5", "var/x=d", "s var/x=d,u6", NULL);
	check_with(in, "var/x=d", "var/x=d,u5", "var/x/a=B", "s var/x=d,u6", NULL);
}

/* usr/b shows what usr/a has: there it is copied up, and its contents are read where they lie. */
TEST(owners_that_are_taken_in_renamed_directories)
{
	const struct mlimg_reconcile_input in = {.moved_in_next = &moved};

	check_with(in, "usr/a/x=A", "usr/a/x=A,u5", "usr/a=W usr/b=r:a", "t usr/b/xusr/a/x=A,u6",
		NULL);
	check_with(in, "usr/a/d/x=A", "usr/a/d/x=A,u5", "usr/a=W home/b=r:/usr/a",
		"m home/b/d=d; t home/b/d/xusr/a/d/x=A,u6", NULL);
	check_with(in, "usr/a/d/x=A", "usr/a/d=d,u5 usr/a/d/x=A,g5", "usr/a=W usr/b=r:a",
		"m usr/b/d=d,u6; t usr/b/d/xusr/a/d/x=A,g6", NULL);
	check_with(in, "usr/a/d/x=A", "usr/a/d/x=A,u5", "usr/a=W usr/b=r:a usr/b/d=d",
		"t usr/b/d/xusr/a/d/x=A,u6", NULL);
	/* A renamed directory in a renamed one. */
	check_with(in, "usr/a/d/x=A", "usr/a/d/x=A,u5", "usr/a=W usr/b=r:a usr/b/d=W usr/b/e=r:d",
		"t usr/b/e/xusr/a/d/x=A,u6", NULL);
	/* But not in the place that is hidden on that occasion. */
	check_with(in, "usr/a/x=A", "usr/a/x=A,u5", "usr/b=r:a", "h usr/a; t usr/b/xusr/a/x=A,u6",
		NULL);
	/* What the user has in there himself, or hides. */
	check_with(in, "usr/a/x=A", "usr/a/x=A,u5", "usr/a=W usr/b=r:a usr/b/x=W", "", NULL);
	check_with(in, "usr/a/d/x=A", "usr/a/d/x=A,u5", "usr/a=W usr/b=r:a usr/b/d=o", "", NULL);
}

/* What a change before has copied up for its owner's sake, and nobody has changed since. */
TEST(copies_for_owners_that_are_taken_stay)
{
	const struct mlimg_reconcile_input in = {.moved_in_next = &moved};
	static const char old[] = "var/x/a=A,u5 usr/l=>x,g5";

	check_with(in, old, old, "var/x/a=A,u6 usr/l=>x,g6", "", "");
	check_with(in, "", "var/x/a=A,u5", "var/x/a=A,u6", "", "");
	check_with(in, "var/x/a=A,u5", "var/x/a=B,u5", "var/x/a=A,u6", "t var/x/a=B,u6", NULL);
	check_with(in, "usr/a/x=A,u5", "usr/a/x=A,u5", "usr/a=W usr/b=r:a usr/b/x=A,u6", "", "");
	check_with(
		in, "var/x/a=A,u5", "var=d", "var/x/a=A,u5", "d var/x/a; D var/x=d; D var=d", NULL);
	/* A copy as the layers have it shows an account that is another one. */
	check_with(in, "var/x/a=A,u5", "var/x/a=A,u5", "var/x/a=A,u5", "d var/x/a; t var/x/a=A,u6",
		NULL);
	/* Where no owner gives way it is superfluous. */
	check_with(
		in, "var/x/a=A", "var/x/a=B", "var/x/a=B", "d var/x/a; D var/x=d; D var=d", NULL);
}

/* --- many of them --- */

/* @number: behind its name; 0: none */
static void add_dir(struct mlimg_manifest *m, const char *redirect, const char *name, size_t number)
{
	struct mlimg_xattr x = {(char *)(uintptr_t)MLIMG_XATTR_REDIRECT,
		(uint8_t *)(uintptr_t)redirect, redirect ? (uint32_t)strlen(redirect) : 0};
	char path[64];
	struct mlimg_entry e = {.path = path,
		.type = MLIMG_DIR,
		.mode = 0755,
		.nlink = 1,
		.xattrs = &x,
		.n_xattrs = redirect != NULL};

	if (number)
		snprintf(path, sizeof(path), "%s%06zu", name, number);
	else
		strcpy(path, name);
	ASSERT(mlimg_manifest_add(m, &e));
}

/* @return usr/a, with @n directories in it */
static struct mlimg_manifest *stack_of(size_t n)
{
	struct mlimg_manifest *m = mlimg_manifest_new();

	ASSERT(m);
	add_dir(m, NULL, "", 0);
	add_dir(m, NULL, "usr", 0);
	add_dir(m, NULL, "usr/a", 0);
	for (size_t i = 1; i <= n; i++)
		add_dir(m, NULL, "usr/a/", i);
	return m;
}

/* @return @n_whole directories that show usr/a, and @n that show one each of those in it */
static struct mlimg_manifest *renamed_of(size_t n_whole, size_t n)
{
	struct mlimg_manifest *m = mlimg_manifest_new();

	ASSERT(m);
	add_dir(m, NULL, "", 0);
	add_dir(m, NULL, "usr", 0);
	for (size_t i = 1; i <= n_whole; i++)
		add_dir(m, "/usr/a", "usr/b", i);
	for (size_t i = 1; i <= n; i++) {
		char from[64];

		snprintf(from, sizeof(from), "/usr/a/%06zu", i);
		add_dir(m, from, "usr/c", i);
	}
	return m;
}

/* @return the planner's; @ret_n_hidden: whiteouts that it puts */
static int plan_many(size_t n_whole, size_t n, size_t *ret_n_hidden, struct mlimg_err *err)
{
	struct mlimg_manifest *stack = stack_of(n), *mine = renamed_of(n_whole, n);
	struct mlimg_path_classes *classes = mlimg_path_classes_new();
	struct mlimg_reconcile_input in = {.base = stack,
		.next = stack,
		.upper = &given.source,
		.classes = classes,
		.generation = 2,
		.from = ID_A,
		.to = ID_B,
		.read_base = read_base,
		.read_next = read_next,
		.skip = skip};
	struct mlimg_report report;
	struct mlimg_plan plan = {0};
	int r;

	given.source = (struct mlimg_upper_source){load, digest, read_mine, read_head};
	given.mine = mine;
	in.read_ctx = &in;
	ASSERT_OK(mlimg_report_init(&report, err), *err);
	r = mlimg_reconcile_plan(&in, &report, &plan, err);
	*ret_n_hidden = 0;
	for (size_t i = 0; i < plan.n_ops && r == 0; i++)
		*ret_n_hidden += plan.ops[i].verb == MLIMG_PLAN_HIDE;
	mlimg_plan_done(&plan);
	mlimg_report_done(&report);
	mlimg_path_classes_free(classes);
	mlimg_manifest_free(stack);
	mlimg_manifest_free(mine);
	return r;
}

/* None is compared with all others. */
TEST(many_renamed_directories)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t n_hidden;

	ASSERT_OK(plan_many(0, 60000, &n_hidden, &err), err);
	ASSERT_EQ(n_hidden, 60000);
	ASSERT_OK(plan_many(3, 1000, &n_hidden, &err), err);
	ASSERT_EQ(n_hidden, 3001); /* usr/a with all that is in it, and in what shows it */
}

/* Hiding each in each would take 225 million whiteouts. */
TEST(renamed_directories_that_show_each_other_in_too_many_places)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t n_hidden;

	ASSERT_EQ(plan_many(15000, 15000, &n_hidden, &err), -E2BIG);
	ASSERT(strstr(err.text, "directories that were renamed show '/usr/a/"));
}
