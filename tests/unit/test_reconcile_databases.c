/* SPDX-License-Identifier: MIT */
/* What is planned where databases are merged by record, and for packages. */
#include "tests/lib/plan-words.h"

/* --- databases --- */

TEST(databases_merged_by_record)
{
	static const struct mlimg_reconcile_text texts[] = {
		{"etc/group", "M\n", 2}, {"etc/passwd", "N\n", 2}};
	const struct mlimg_reconcile_input in = {.texts = texts, .n_texts = 2};

	check_with(in, "etc/passwd=A", "etc/passwd=B etc/group=M", "etc/passwd=C etc/hosts=C",
		"p etc/passwd=N", TOLD("merged", "accounts", "merged"));
	check_with(in, "etc/passwd=A", "etc/passwd=B,m600 etc/group=M", "etc/passwd=C,u5",
		"p etc/passwd=N,m600,u5", NULL);
	/* The text is one that is there. */
	check_with(in, "etc/passwd=A", "etc/passwd=N etc/group=M", "etc/passwd=C",
		"d etc/passwd; D etc=d", NULL);
	check_with(in, "etc/passwd=A", "etc/passwd=N etc/group=M", "etc/passwd=T:longer",
		"d etc/passwd; D etc=d", NULL);
	check_with(in, "etc/passwd=A", "etc/passwd=B etc/group=M", "etc/passwd=N", "", NULL);
	/* Where the upper has nothing. */
	check_with(in, "", "etc/passwd=B etc/group=M", "", "m etc=d; p etc/passwd=N", NULL);
	check_with(in, "", "etc/passwd=N etc/group=B,g5", "etc=d", "p etc/group=M,g5", NULL);
	check_with(in, "", "etc=d", "etc=d", "p etc/group=M; p etc/passwd=N", NULL);
	/* The user removed it. */
	check_with(in, "etc/passwd=A", "etc/passwd=A etc/group=M", "etc/passwd=W", "", NULL);
}

/* A configuration file that a package of the user's has in the old stack alone (packages.h). */
TEST(a_text_of_the_old_stack_keeps_its_mode)
{
	static const struct mlimg_reconcile_text texts[] = {{"etc/x", "N\n", 2}};
	const struct mlimg_reconcile_input in = {.texts = texts, .n_texts = 1};

	check_with(in, "etc/x=N,m600", "etc=d", "", "m etc=d; p etc/x=N,m600", NULL);
	/* Its directory may have gone too. */
	check_with(in, "etc=d,m700 etc/x=N,m600", "", "", "m etc=d,m700; p etc/x=N,m600", NULL);
	check_with(in, "etc/x=N,m600", "", "etc=d", "p etc/x=N,m600", NULL);
}

/* --- packages --- */

/* The first letter of a name tells whose it is. */
static enum mlimg_package_verdict package_of(const char *path, void *ctx)
{
	switch (mlimg_path_name(path)[0]) {
	case 'm': return MLIMG_FILES_MINE;
	case 'n': return MLIMG_FILES_NEXT;
	case 'N': return MLIMG_FILES_NEW;
	case 'r': return MLIMG_FILES_REMOVED;
	default: return MLIMG_FILES_PLAIN;
	}
}

TEST(packages)
{
	const struct mlimg_reconcile_input in = {.package = package_of};

	/* The user's version stays whole, and what he removed stays removed. */
	check_with(in, "usr/m=A usr/m2=A", "usr/m=B usr/m2=B", "usr/m=C usr/m2=A", "", "");
	check_with(in, "usr/m=A", "usr/m=B", "usr/m=B", "", "");
	/* What only a former version has is hidden as long as there is something to hide. */
	check_with(in, "usr/m=A", "usr/m=A", "usr/m=W", "", "");
	check_with(in, "usr/m=A", "usr=d", "usr/m=W", "d usr/m; D usr=d",
		TOLD("whiteout-gone", "owned", "dropped"));
	check_with(in, "usr=d", "usr=d", "usr/m=W", "d usr/m; D usr=d", NULL);
	check_with(in, "usr/r=A", "usr/r=B", "usr/r=W", "", "");
	check_with(in, "usr/r=A", "usr=d", "usr/r=W", "d usr/r; D usr=d",
		TOLD("whiteout-gone", "owned", "dropped"));
	check_with(in, "etc/m=A", "etc/m=B", "etc/m=C", "", "");
	/* The new stack's version: none of the user's is left. */
	check_with(in, "usr=d", "usr/n=B", "usr/n=A", "a usr/n; D usr=d", NULL);
	check_with(in, "usr=d", "usr/x=d", "usr/n=A", "a usr/n; D usr=d",
		TOLD("conflict", "owned", "aside"));
	check_with(in, "usr/n=A", "usr/n=A", "usr/n=B", "a usr/n; D usr=d", NULL);
	check_with(in, "usr/n=A", "usr/n=B", "usr/n=A", "d usr/n; D usr=d",
		TOLD("stale", "owned", "dropped"));
	check_with(in, "usr/n=A", "usr/n=B", "usr/n=W", "d usr/n; D usr=d", NULL);
	check_with(in, "usr/n=A", "usr/n=A", "usr/n=W", "d usr/n; D usr=d",
		TOLD("whiteout-changed", "owned", "dropped"));
	check_with(in, "var=d", "var=d", "var/n=A", "a var/n; D var=d", NULL);
	check_with(in, "var=d", "var=d", "var/lib/dpkg/info/n.list=A", "a var/lib/dpkg/info/n.list",
		TOLD("conflict", "packages", "aside"));
	check_with(in, "var/lib/dpkg/info/n.postinst=A", "var/lib/dpkg/info/n.postinst=B",
		"var/lib/dpkg/info/n.postinst=C",
		"a var/lib/dpkg/info/n.postinst; D var/lib/dpkg/info=d; D var/lib/dpkg=d; D "
		"var/lib=d; D var=d",
		TOLD("conflict", "packages", "aside"));
	check_with(in, "var/lib/dpkg/info/n.postinst=A", "var/lib/dpkg/info/n.postinst=B",
		"var/lib/dpkg/info/n.postinst=A",
		"d var/lib/dpkg/info/n.postinst; D var/lib/dpkg/info=d; D var/lib/dpkg=d; D "
		"var/lib=d; D var=d",
		TOLD("stale", "packages", "dropped"));
	/* A package that only the new stack has: the user's own file is a file as any other. */
	check_with(in, "usr=d", "usr/N=B", "usr/N=A", "a usr/N; D usr=d",
		TOLD("conflict", "owned", "aside"));
	check_with(in, "var=d", "var/N=B", "var/N=A", "", TOLD("conflict", "data", "stays"));
	check_with(in, "usr/N=A", "usr/N=B", "usr/N=W", "d usr/N; D usr=d",
		TOLD("whiteout-changed", "owned", "dropped"));
	/* Caches and what is pinned belong to nobody. */
	check_with(in, "", "", "etc/ld.so.cache=T:glibc-ld.so.cache1.1", "d etc/ld.so.cache", NULL);
	more_classes = "usr/n keep\n";
	check_with(in, "usr/n=A", "usr/n=B", "usr/n=A", "", "");
	more_classes = NULL;
	check_with(in, "usr/o=A", "usr/o=B", "usr/o=C", "a usr/o; D usr=d", NULL);
}

TEST(links_that_follow_from_databases)
{
	static const char *const others[] = {"X", "Y", "Z", NULL};
	static const struct mlimg_packages_link links[] = {
		{"etc/alternatives/a", "X", others, false},
		{"etc/alternatives/b", NULL, others, false}};
	const struct mlimg_reconcile_input in = {.links = links, .n_links = 2};

	/* Whatever is not update-alternatives' is the user's. */
	check_with(in, "", "etc/alternatives/a=>Y", "etc/alternatives/a=>mine",
		"a etc/alternatives/a; t etc/alternatives/a=>X",
		TOLD("conflict", "config", "aside"));
	check_with(in, "", "etc/alternatives/a=>X", "etc/alternatives/a=F etc/alternatives/b=F",
		"a etc/alternatives/a; a etc/alternatives/b; D etc/alternatives=d; D etc=d",
		"not a link that update-alternatives has made");
	check_with(in, "etc/alternatives/a=>W", "etc/alternatives/a=>X", "etc/alternatives/a=>W",
		"d etc/alternatives/a; D etc/alternatives=d; D etc=d", NULL);
	check_with(in, "", "etc/alternatives/a=>X", "etc/alternatives/a=>Y",
		"d etc/alternatives/a; D etc/alternatives=d; D etc=d", NULL);
	check_with(in, "", "etc/alternatives/a=>Y", "etc/alternatives/a=>X", "", "");
	check_with(in, "", "etc/alternatives/a=>Y", "etc/alternatives/a=>Z",
		"d etc/alternatives/a; t etc/alternatives/a=>X",
		TOLD("merged", "config", "dropped"));
	check_with(in, "", "etc/alternatives/a=>Y", "",
		"m etc=d; m etc/alternatives=d; t etc/alternatives/a=>X", "");
	check_with(in, "", "etc/alternatives/a=>X etc/alternatives/b=>Y", "etc/alternatives/b=>Y",
		"d etc/alternatives/b; h etc/alternatives/b", NULL);
	check_with(in, "", "etc/alternatives/a=>X etc/alternatives/b=>Y", "etc/alternatives/b=W",
		"", "");
	/* A directory for it is nowhere, or the user has hidden it. */
	check_with(in, "", "etc=d", "", "", "");
	check_with(in, "etc/alternatives=d", "etc/alternatives=d", "etc/alternatives=o", "", "");
}

/* By which a command is called: the user's own program there is a file as any other. */
TEST(links_of_commands)
{
	static const struct mlimg_packages_link links[] = {{"usr/bin/e", "X", NULL, true}};
	const struct mlimg_reconcile_input in = {.links = links, .n_links = 1};

	check_with(in, "usr/bin/e=>X", "usr/bin=d", "", "m usr=d; m usr/bin=d; t usr/bin/e=>X", "");
	check_with(in, "usr/bin/e=>X", "usr/bin=d", "usr/bin/e=>X", "d usr/bin/e; t usr/bin/e=>X",
		NULL);
	check_with(in, "usr/bin=d", "usr/bin=d", "usr/bin/e=>X", "", "");
	check_with(in, "usr/bin=d", "usr/bin=d", "usr/bin/e=A", "", "");
	check_with(in, "usr/bin/e=>X", "usr/bin=d", "usr/bin/e=A", "a usr/bin/e; t usr/bin/e=>X",
		TOLD("conflict", "owned", "aside"));
}

TEST(what_is_to_be_hidden)
{
	static const char *const hidden[] = {"usr/share/a", "usr/share/b"};
	const struct mlimg_reconcile_input in = {.hidden = hidden, .n_hidden = 2};

	check_with(in, "", "usr/share/a=A usr/share/c=C", "",
		"m usr=d; m usr/share=d; h usr/share/a", "");
	check_with(in, "", "usr/share/a=A usr/share/b=B", "usr/share=d,m700",
		"h usr/share/a; h usr/share/b", NULL);
	check_with(in, "usr/share/a=A", "usr/share/a=A usr/share/b=d", "usr/share/a=W", "", "");
	check_with(in, "", "usr/share/a=A", "usr/share/a=B", "a usr/share/a; h usr/share/a", NULL);
	/* The stale copy goes, and the directory is needed. */
	check_with(in, "usr/share/a=A", "usr/share/a=B", "usr/share/a=A",
		"d usr/share/a; h usr/share/a", NULL);
	/* Hidden already by what is above it. */
	check_with(in, "usr/share/a=A", "usr/share/a=A", "usr/share=W", "", "");
	check_with(in, "usr/share/a=A", "usr/share/a=A", "usr/share=o", "", "");
}

/* Only one thing can be put at a path, and nothing below one that is no directory. */
TEST(what_several_things_want_to_be_put)
{
	static const struct mlimg_reconcile_text texts[] = {
		{"etc/a", "M\n", 2}, {"etc/a", "N\n", 2}, {"etc/b/c", "M\n", 2}};
	static const struct mlimg_packages_link links[] = {{"etc/a", "X", NULL, false},
		{"etc/b", "X", NULL, false}, {"etc/b", "Y", NULL, false},
		{"usr/c", NULL, NULL, false}, {"usr/c", "Z", NULL, false}};
	static const char *const hidden[] = {"etc/a", "usr/c", "usr/c", "usr/d"};
	const struct mlimg_reconcile_input in = {.texts = texts,
		.n_texts = 3,
		.links = links,
		.n_links = 5,
		.hidden = hidden,
		.n_hidden = 4};

	check_with(in, "etc/b=d", "etc/a=A usr/c=B usr/d=C", "etc=d usr=d",
		"p etc/a=M; t etc/b=>X; h usr/c; h usr/d", NULL);
	/* What was put stays the next time. */
	check_with(in, "etc/a=A usr/c=B usr/d=C", "etc/a=A usr/c=B usr/d=C",
		"etc/a=M etc/b=>X usr/c=W usr/d=W", "", NULL);
}

/* The user's version has not got it, and its owner's number is the user's account's. */
TEST(what_is_to_be_hidden_is_not_put_for_its_owner)
{
	static const char *const hidden[] = {"usr/n"};
	struct mlimg_reconcile_input in = {.hidden = hidden, .n_hidden = 1};
	const struct mlimg_moved_id uid = {105, 999};
	const struct mlimg_owner_moves moves = {.uids = &uid, .n_uids = 1};

	in.moved_in_next = &moves;
	check_with(in, "", "usr/n=A,u105 usr/o=A,u105", "usr=d", "h usr/n; t usr/o=A,u999", NULL);
}

/* --- databases of the three sides --- */

/*
 * The accounts as a machine has them, one line each; '/' is a line's end in words, so homes and
 * shells are left out.
 */
TEST(accounts_of_the_three_sides)
{
	struct mlimg_notes notes = {.notes = NULL};
	const struct mlimg_reconcile_input in = {.merges_databases = true, .notes = &notes};

	/* The system adds one, the user another, and a number moves: what belongs to it follows. */
	check_with(in, "etc/passwd=T:r:x:0:0:::/d:x:105:0::: var/d=A,u105",
		"etc/passwd=T:r:x:0:0:::/d:x:106:0:::/n:x:105:0::: var/d=A,u106",
		"etc/passwd=T:r:x:0:0:::/d:x:105:0:::/me:x:1000:0::: var/d=B,u105 home/me=d,u1000",
		"p etc/passwd=T:r:x:0:0:::/d:x:106:0:::/n:x:105:0:::/me:x:1000:0:::; s "
		"var/d=f,u106",
		NULL);
	/* Without a copy of his own the user has changed no account, but owns things. */
	check_with(in, "etc/passwd=T:r:x:0:0:::/d:x:105:0::: var/d=A,u105",
		"etc/passwd=T:r:x:0:0:::/d:x:106:0::: var/d=A,u106", "var/d=B,u105",
		"s var/d=f,u106", NULL);
	/* A number of the system's that the user's account has already. */
	check_with(in,
		"etc/passwd=T:r:x:0:0:::", "etc/passwd=T:r:x:0:0:::/n:x:105:0::: var/n=A,u105",
		"etc/passwd=T:r:x:0:0:::/me:x:105:0::: home/me=d,u105",
		"p etc/passwd=T:r:x:0:0:::/n:x:999:0:::/me:x:105:0:::; m var=d; t var/n=A,u999",
		NULL);
	mlimg_notes_done(&notes);
}

/* What had to give way before is no change of the system's, and a chown(1) of the user's is his. */
TEST(accounts_that_gave_way_before)
{
	const struct mlimg_reconcile_input in = {.merges_databases = true};
	static const char mine[] = "etc/passwd=T:r:x:0:0:::/n:x:999:0:::/me:x:105:0::: usr/n=A";

	check_with(in, "etc/passwd=T:r:x:0:0:::/n:x:105:0::: usr/n=A,u105",
		"etc/passwd=T:r:x:0:0:::/n:x:105:0::: usr/n=A,u105", mine, "", "");
	/* The system's number moves, to one that is free. */
	check_with(in, "etc/passwd=T:r:x:0:0:::/n:x:105:0::: usr/n=A,u105",
		"etc/passwd=T:r:x:0:0:::/n:x:106:0::: usr/n=A,u106 usr/o=A,u106", mine,
		"t usr/o=A,u999", "");
}

/* The user has deleted that account since; or has moved the system's himself. */
TEST(accounts_that_gave_way_to_one_that_is_gone)
{
	const struct mlimg_reconcile_input in = {.merges_databases = true};
	static const char base[] = "etc/passwd=T:r:x:0:0:::/n:x:105:0::: usr/n=A,u105 usr/d=d,u105",
			  next[] = "etc/passwd=T:r:x:0:0:::/n:x:105:0::: usr/n=B,u105 usr/d=d,u105 "
				   "usr/o=A,u105";
#define MINE "etc/passwd=T:r:x:0:0:::/n:x:999:0:::"

	check_with(in, base, next, MINE " usr/n=A,u999 usr/d=d,u999",
		"d usr/n; t usr/n=B,u999; t usr/o=A,u999", NULL);
	/* Hidden, or in a directory that hides it. */
	check_with(in, base, next, MINE " usr/n=W usr/d=d,u999", "t usr/o=A,u999", NULL);
	check_with(in, base, next, MINE " usr/n=A,u999", "t usr/n=B,u999", NULL);
	check_with(in, base, next, MINE, "", NULL);
	/* It shows in a directory that was renamed, as it is: the account was moved by hand. */
	check_with(in, "etc/passwd=T:r:x:0:0:::/n:x:105:0::: usr/d/n=A,u105",
		"etc/passwd=T:r:x:0:0:::/n:x:105:0::: usr/d/n=A,u105 usr/o=A,u105",
		MINE " usr/d=W usr/e=r:d", "", NULL);
	check_with(in, "etc/passwd=T:r:x:0:0:::/n:x:105:0::: usr/d/n=A,u105",
		"etc/passwd=T:r:x:0:0:::/n:x:105:0::: usr/d/n=A,u105 usr/o=A,u105",
		MINE " usr/d=W usr/e=r:d usr/e/n=W", "t usr/o=A,u999", NULL);
}

#define R "r:x:0:0:::"

/* What the user sees where the upper has no such file, or hides that of the stack. */
TEST(accounts_as_the_user_sees_them)
{
	const struct mlimg_reconcile_input in = {.merges_databases = true};
	static const char base[] = "etc/passwd=T:" R "/d:x:105:0:::",
			  next[] = "etc/passwd=T:" R "/d:x:105:0:::/n:x:106:0:::";

	/*
	 * All of etc is his own, with accounts in it, and without: nothing of the system's is added
	 * to what it did not have.
	 */
	check_with(in, base, next, "etc=o etc/passwd=T:" R "/me:x:1000:0:::",
		"u etc; p etc/passwd=T:" R "/n:x:106:0:::/me:x:1000:0:::", NULL);
	check_with(in, base, next, "etc=o", "u etc; h etc/passwd", NULL);
	/* Another directory in its place. */
	check_with(in, "old/passwd=T:" R "/d:x:105:0::: etc=d",
		"old/passwd=T:" R "/d:x:105:0::: etc=d", "old=W etc=r:old", "", NULL);
}

TEST(accounts_behind_links)
{
	static const char *const mine[] = {"etc/passwd=>passwd.mine etc/passwd.mine=T:" R
					   "/me:x:1000:0:::",
		"etc=>srv srv/passwd=T:" R "/me:x:1000:0:::"};
	static const char base[] = "etc/passwd=T:" R "/d:x:105:0:::",
			  next[] = "etc/passwd=T:" R "/d:x:106:0:::";

	for (size_t i = 0; i < 2; i++) {
		struct mlimg_notes notes = {.notes = NULL};
		const struct mlimg_reconcile_input in = {.merges_databases = true, .notes = &notes};

		check_with(in, base, next, mine[i], "", NULL);
		ASSERT_EQ(notes.n, 1);
		ASSERT_STR(notes.notes[0].text,
			"not merged: /etc/passwd of the user is no file, or behind a symbolic "
			"link");
		mlimg_notes_done(&notes);
	}
}

/* @why: the only note of the last planning, without "not merged: " */
static void check_noted(struct mlimg_notes *notes, const char *path, const char *why)
{
	ASSERT_EQ(notes->n, 1);
	ASSERT_STR(notes->notes[0].path, path);
	ASSERT_EQ(notes->notes[0].kind, MLIMG_NOTE_BROKEN);
	ASSERT(strncmp(notes->notes[0].text, "not merged: ", 12) == 0);
	ASSERT_STR(notes->notes[0].text + 12, why);
	mlimg_notes_done(notes);
}

#define LEFT "where there were 2; no program leaves it so: go back, restore it, and change again"

/* No number moves, of nothing, and what shadow has is not taken for that of people who are gone. */
TEST(accounts_that_no_program_leaves)
{
	struct mlimg_notes notes = {.notes = NULL};
	const struct mlimg_reconcile_input in = {.merges_databases = true, .notes = &notes};
	static const char base[] = "etc/passwd=T:" R "/d:x:105:0::: etc/shadow=T:r:#:1:::::: var=d",
			  next[] = "etc/passwd=T:" R "/d:x:106:0::: etc/shadow=T:r:#:2:::::: var=d";

	check_with(
		in, base, next, "etc/passwd=T: etc/shadow=T:r:mine:1:::::: var/d=B,u105", "", NULL);
	check_noted(&notes, "etc/passwd", "/etc/passwd of the user has no record, " LEFT);
	check_with(
		in, base, next, "etc/passwd=W etc/shadow=T:r:mine:1:::::: var/d=B,u105", "", NULL);
	check_noted(&notes, "etc/passwd", "/etc/passwd of the user is missing, " LEFT);
	check_with(in, base, next, "etc=o var/d=B,u105", "u etc; h etc/passwd; h etc/shadow", NULL);
	check_noted(&notes, "etc/passwd", "/etc/passwd of the user is missing, " LEFT);
}

/* One that may not change, of a group. */
TEST(databases_that_are_kept)
{
	struct mlimg_notes notes = {.notes = NULL};
	const struct mlimg_reconcile_input in = {.merges_databases = true, .notes = &notes};
	static const char base[] = "etc/passwd=T:" R "/d:x:105:5::: etc/group=T:d:x:5: var=d",
			  next[] = "etc/passwd=T:" R "/d:x:106:6::: etc/group=T:d:x:6: var=d";

	check_with(in, base, next,
		"etc/passwd=T:" R "/d:x:105:5:::/m:x:107:7:::,p etc/group=T:d:x:5:/m:x:7: "
		"var/d=B,u105,g5",
		"", NULL);
	check_noted(&notes, "etc/passwd",
		"/etc/passwd of the user is immutable or append-only: go back, take that from it "
		"(chattr -ia), and change again");
	more_classes = "etc/group keep\n";
	check_with(in, base, next,
		"etc/passwd=T:" R "/d:x:105:5:::/m:x:107:7::: etc/group=T:d:x:5:/m:x:7: "
		"var/d=B,u105,g5",
		"", NULL);
	check_noted(&notes, "etc/passwd",
		"/etc/group of the user is of class keep, which a pin gives it: go back, unpin it "
		"(mlimg unpin), and change again");
	more_classes = NULL;
}

TEST(accounts_that_cannot_be_read)
{
	struct mlimg_notes notes = {.notes = NULL};
	const struct mlimg_reconcile_input in = {.merges_databases = true, .notes = &notes};

	given.lacks_base = true;
	check_with(in, "etc/passwd=A", "etc/passwd=B", "etc/passwd=C", "",
		TOLD("conflict", "accounts", "stays"));
	given.lacks_base = false;
	ASSERT_EQ(notes.n, 1);
	ASSERT_STR(notes.notes[0].path, "etc/passwd");
	ASSERT_STR(notes.notes[0].text,
		"not merged: /etc/passwd of the old stack: Input/output error");
	mlimg_notes_done(&notes);
}

/*
 * The user has installed a package, and removed one of the system's, of which the new stack has
 * another version.
 */
TEST(packages_of_the_three_sides)
{
	struct mlimg_notes notes = {.notes = NULL};
	const struct mlimg_reconcile_input in = {.merges_databases = true, .notes = &notes};
	struct mlimg_report report;
	struct mlimg_plan plan;
	mlimg_autofree char *words = NULL;

	plan_with(in,
		"var/lib/dpkg/status=T:Package:_old/Status:_install_ok_installed/Architecture:_all/"
		"Version:_1/ "
		"usr/old=A var/lib/dpkg/info/old.list=T:#usr#old",
		"var/lib/dpkg/status=T:Package:_old/Status:_install_ok_installed/Architecture:_all/"
		"Version:_2/ "
		"usr/old=B usr/old2=B var/lib/dpkg/info/old.list=T:#usr#old/#usr#old2",
		"var/lib/dpkg/status=T:Package:_own/Status:_install_ok_installed/Architecture:_all/"
		"Version:_1/ "
		"usr/own=C usr/old=W var/lib/dpkg/info/own.list=T:#usr#own "
		"var/lib/dpkg/info/old.list=W",
		&report, &plan);
	words = words_of(&plan);
	/* Its new file is hidden, and nothing of the user's package is touched. */
	ASSERT_STR(words, "h usr/old2");
	ASSERT_EQ(report.hidden, 1);
	ASSERT_EQ(notes.n, 0);
	mlimg_plan_done(&plan);
	mlimg_report_done(&report);
	mlimg_notes_done(&notes);
}

#define STANZA(NAME, VERSION) \
	"Package:_" NAME "/Status:_install_ok_installed/Architecture:_all/Version:_" VERSION "/"
#define STATUS "var/lib/dpkg/status"
#define STATUS_1 STATUS "=T:" STANZA("a", "1") "/" STANZA("b", "1")
#define STATUS_2 STATUS "=T:" STANZA("a", "2") "/" STANZA("b", "2")
#define LISTS                                                                           \
	" var/lib/dpkg/info/a.list=T:#usr#a var/lib/dpkg/info/b.list=T:#usr#b usr/a=A " \
	"usr/b=A "
#define NEVER                                                                                   \
	"; dpkg never leaves it so: go back, restore it, from 'status-old' beside it say, and " \
	"change again"

static void check_status(const char *mine, const char *why)
{
	struct mlimg_notes notes = {.notes = NULL};
	const struct mlimg_reconcile_input in = {.merges_databases = true, .notes = &notes};

	check_with(in, STATUS_1 LISTS, STATUS_2 LISTS, mine, "", NULL);
	if (why)
		check_noted(&notes, STATUS, why);
	ASSERT_EQ(notes.n, 0);
}

/* What a power cut has emptied or cut off, say: nothing is taken for removed, and hidden. */
TEST(a_status_that_dpkg_never_leaves)
{
	check_status(
		STATUS "=T:", "/" STATUS " of the user lists no package, where there were 2" NEVER);
	check_status(STATUS "=W", "/" STATUS " of the user is missing, where there were 2" NEVER);
	check_status(
		"var/lib/dpkg=W", "/" STATUS " of the user is missing, where there were 2" NEVER);
	check_status(STATUS "=T:" STANZA("a", "1"),
		"/" STATUS " of the user lacks 'b', of which there is the list of files" NEVER);
}

TEST(a_status_behind_links)
{
	static const char *const mine[] = {STATUS "=>status.mine", "var=>srv#var",
		"var/lib/dpkg=>#srv#dpkg srv/dpkg/status=T:" STANZA("a", "1")};

	for (size_t i = 0; i < 3; i++)
		check_status(
			mine[i], "/" STATUS " of the user is no file, or behind a symbolic link");
}

TEST(a_status_that_is_kept)
{
	more_classes = "var/lib/dpkg keep\n";
	check_status(STATUS "=T:" STANZA("a", "1") " var/lib/dpkg/info/b.list=W usr/b=W",
		"/var/lib/dpkg/info/b.list of the user is of class keep, which a pin gives it: go "
		"back, unpin it (mlimg unpin), and change again");
	more_classes = NULL;
	check_status(STATUS "=T:" STANZA("a", "1") ",p var/lib/dpkg/info/b.list=W usr/b=W",
		"/" STATUS " of the user is immutable or append-only: go back, take that from it "
		"(chattr -ia), and change again");
}
