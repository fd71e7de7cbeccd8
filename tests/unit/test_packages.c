/* SPDX-License-Identifier: MIT */
#include "tests/lib/packages-words.h"

TEST(which_files_are_databases)
{
	ASSERT(mlimg_packages_is_database(STATUS));
	ASSERT(mlimg_packages_is_database("var/lib/dpkg/alternatives/editor"));
	ASSERT(!mlimg_packages_is_database("var/lib/dpkg/alternatives"));
	ASSERT(!mlimg_packages_is_database("var/lib/dpkg/alternatives/a/b"));
	ASSERT(!mlimg_packages_is_database("var/lib/dpkg/status-old"));
	ASSERT(mlimg_packages_is_database("var/cache/debconf/config.dat"));
	ASSERT(mlimg_packages_is_database("var/cache/debconf/templates.dat"));
	ASSERT(!mlimg_packages_is_database("var/cache/debconf/config.dat-old"));
	ASSERT(!mlimg_packages_is_database("etc/passwd"));
	ASSERT(!mlimg_packages_is_database(INFO "a.list"));
}

TEST(packages_that_the_user_left_alone)
{
	check("a 1; b 1; c 1", "a 2; c 1; d 1", "a 1; b 1; c 1", "a 2; c 1; d 1", "", "");
	ASSERT_EQ(merged.files[0].text.from, MLIMG_FROM_NEXT);
	check("a 1", "a 1", "a 1", "a 1", "", "");
	/* A trigger that waits; and not when next has the package done. */
	check("a 1", "a 1", "a 1 install triggers-pending", "a 1 install triggers-pending", "", "");
	ASSERT_EQ(merged.files[0].text.from, MLIMG_FROM_MINE);
	check("a 1", "a 2", "a 1 install half-configured", "a 2", "", "");
}

TEST(packages_that_the_user_installed)
{
	check("a 1", "a 2", "a 1; b 1", "a 2; b 1", "b mine", "");
	check("a 1", "a 1; b 1", "a 1; b 1", "a 1; b 1", "", "");
	check("a 1", "a 1; b 2", "a 1; b 1", "a 1; b 2", "b next",
		"told b: 1, installed here, gives way to the system's 2\n");
	check("a 1", "a 1; b 1", "a 1; b 1+x", "a 1; b 1+x", "b mine", "");
	check("a 1", "a 1; b 2", "a 1; b 1 hold", "a 1; b 1 hold", "b mine",
		"told b: on hold at 1, while the system has 2\n");
	check("a 1", "a 1; b 2", "a 1; b 1 hold half-installed", "a 1; b 2 hold", "b next",
		"told b: 1, installed here, gives way to the system's 2\n");
}

TEST(packages_that_the_user_upgraded)
{
	check("a 1", "a 1", "a 2", "a 2", "a mine", "");
	check("a 2", "a 2", "a 1", "a 1", "a mine", "");
	check("a 1", "a 2", "a 2", "a 2", "", "");
	check("a 1", "a 2", "a 3", "a 3", "a mine", "");
	check("a 1", "a 3", "a 2", "a 3", "a next",
		"told a: 2, installed here, gives way to the system's 3\n");
	check("a 1; b 1", "b 1", "a 2; b 1", "a 2; b 1", "a mine",
		"told a: the system has it no more; 2, installed here, stays\n");
}

TEST(packages_that_the_user_removed)
{
	check("a 1; b 1", "a 1; b 1", "b 1", "b 1", "a removed", "");
	check("a 1; b 1", "a 2; b 2", "b 1", "b 2", "a removed", "");
	check("a 1; b 1", "a 2; b 2", "a 1 deinstall config-files; b 1",
		"a 1 deinstall config-files; b 2", "a removed", "");
	check("a 1; b 1", "b 2", "b 1", "b 2", "a removed", "");
	/* His own, once; then the system has it. */
	check("b 1", "a 1; b 1", "a 1 deinstall config-files; b 1", "a 1; b 1", "", "");
	check("b 1", "b 2", "a 1 deinstall config-files; b 1", "a 1 deinstall config-files; b 2",
		"", "");
}

TEST(packages_on_hold)
{
	check("a 1", "a 1", "a 1 hold", "a 1 hold", "", "");
	check("a 1", "a 2", "a 1 hold", "a 2 hold", "",
		"conflict a: on hold at 1, but the system has 2, and the files are the system's\n");
	check("a 1", "b 1", "a 1 hold", "b 1", "",
		"conflict a: on hold at 1, but the system has it no more\n");
	check("a 1 hold", "a 2 hold", "a 1", "a 2", "", "");
}

TEST(no_base)
{
	check("", "a 2; b 1", "a 1; c 1", "a 2; c 1; b 1", "a next, c mine",
		"told a: 1, installed here, gives way to the system's 2\n");
}

static void depends(const char *fields, const char *next_more, const char *note)
{
	char mine[512], next[512];

	sprintf(mine,
		"Package: own\nStatus: install ok installed\nArchitecture: amd64\nVersion: "
		"1\n%s\n\n"
		"Package: lib\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n",
		fields);
	sprintf(next,
		"Package: lib\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n%s\n",
		next_more);
	set_all(STATUS,
		"Package: lib\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n",
		next, mine);
	merge(STATUS);
	ASSERT_STR(told(), note);
}

#define SHORT(NAME, VERSION, FIELDS)                                             \
	"Package: " NAME "\nStatus: install ok installed\nArchitecture: amd64\n" \
	"Version: " VERSION "\n" FIELDS "\n"

TEST(dependencies_that_hold_no_more)
{
	depends("Depends: lib", "", "");
	depends("Depends: lib (= 1)", "", "broken own: Depends: lib (= 1), but lib 2 is there\n");
	depends("Depends: x | lib (<< 2)", "",
		"broken own: Depends: x | lib (<< 2), which is not "
		"there\n");
	depends("Pre-Depends: lib (<= 1), lib", "",
		"broken own: Pre-Depends: lib (<= 1), but lib 2 is there\n");
	depends("Depends: lib (>> 1) | x", "", "");
	depends("Depends: none", "", "");
	depends("Breaks: lib (>= 2)", "", "broken own: Breaks: lib (>= 2), but lib 2 is there\n");
	depends("Conflicts: v", "Provides: v (= 3), w\n",
		"broken own: Conflicts: v, but lib 2 is there\n");
	depends("Conflicts: v (<< 3)", "Provides: v (= 3)\n", "");
	depends("Depends: lib:any (= 1) | lib:i386", "",
		"broken own: Depends: lib:any (= 1) | lib:i386, but lib 2 is there\n");
	depends("Depends: lib:amd64 (>= 1)", "", "");
	depends("Conflicts: own, v\nProvides: v", "Provides: w\n", "");
	/* The system's version asks for more than the one that it replaces. */
	set_all(STATUS, SHORT("a", "1", "") SHORT("b", "1", "Depends: a\n"),
		SHORT("a", "2", "") SHORT("b", "3", "Depends: a (>= 2)\n"),
		SHORT("a", "1.5", "") SHORT("b", "1", "Depends: a\n"));
	merge(STATUS);
	ASSERT_STR(told(), "told a: 1.5, installed here, gives way to the system's 2\n");
	set(2, STATUS, SHORT("b", "2", "Depends: c\n"));
	merge(STATUS);
	ASSERT_STR(told(),
		"told b: 2, installed here, gives way to the system's 3\n"
		"broken b: Depends: a (>= 2), which is not there\n");
	/* Folded. */
	depends("Depends: lib,\n lib (=\n  1)", "",
		"broken own: Depends: lib (=?  1), but lib 2 is "
		"there\n");
}

static void check_refused(const char *message)
{
	const char *path = STATUS;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_FAILS(merge_paths(&path, 1, &err), err, -EUCLEAN, message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	ASSERT_EQ(notes.n, 0);
}

#define NEVER                                                                                   \
	"; dpkg never leaves it so: go back, restore it, from 'status-old' beside it say, and " \
	"change again"

TEST(a_status_that_dpkg_never_leaves_is_not_merged)
{
	set_all(STATUS, "Package: a\nStatus: install ok installed\nVersion: 1\n\n", "", NULL);
	check_refused("/" STATUS " of the user is missing, where there was 1" NEVER);
	set_status("a 1; b 1", "a 2; b 2", "");
	check_refused("/" STATUS " of the user lists no package, where there were 2" NEVER);
	/* Cut off at a record's end: the list of files of what is not there any more is. */
	has_list = INFO "b.list";
	set_status("a 1; b 1", "a 2 hold; b 2", "a 1 hold");
	check_refused(
		"/" STATUS " of the user lacks 'b', of which there is the list of files" NEVER);
	/* What dpkg leaves: purged, removed, and there was none in base. */
	has_list = INFO "c.list";
	ASSERT_EQ(merge_status(), 1);
	has_list = INFO "b.list";
	set_status("a 1; b 1", "a 2; b 2", "a 1; b 1 deinstall config-files");
	ASSERT_EQ(merge_status(), 1);
	set_status("a 1; b 1 deinstall config-files", "a 2", "a 1");
	ASSERT_EQ(merge_status(), 1);
	set_status("", "a 2", "");
	ASSERT_EQ(merge_status(), 1);
	has_list = NULL;
}

TEST(what_is_refused)
{
	const char *path = STATUS;
	struct mlimg_err err = MLIMG_ERR_INIT;

	set_all(STATUS, "", "Package: a\n", "Package: a\n\nnonsense\n");
	ASSERT_FAILS(merge_paths(&path, 1, &err), err, -EUCLEAN,
		"mine: " STATUS ": line 3: not 'Field: value'");
	path = "var/lib/dpkg/arch";
	set_all(path, "a\n", "a\n", "a\na\n");
	ASSERT_FAILS(merge_paths(&path, 1, &err), err, -EUCLEAN,
		"mine: var/lib/dpkg/arch: line 2: 'a' is there already");
}

TEST(architectures_of_different_versions)
{
#define SAME(ARCHITECTURE, VERSION)                                             \
	"Package: l\nStatus: install ok installed\nArchitecture: " ARCHITECTURE \
	"\nMulti-Arch: same\nVersion: " VERSION "\n\n"
	set_all(STATUS, SAME("amd64", "1"), SAME("amd64", "2"),
		SAME("amd64", "1") SAME("i386", "1"));
	merge(STATUS);
	ASSERT_STR(told(),
		"broken l: Multi-Arch: same: that of amd64 is 2, that of i386 1; install both of "
		"one version\n");
	/* Told once; and nothing to tell where the user had it so. */
	set_all(STATUS, SAME("amd64", "2"), SAME("amd64", "3"),
		SAME("amd64", "2") SAME("i386", "1"));
	merge(STATUS);
	ASSERT_STR(told(), "");
	set_all(STATUS, SAME("amd64", "1"), SAME("amd64", "1"),
		SAME("amd64", "1") SAME("i386", "1"));
	merge(STATUS);
	ASSERT_STR(told(), "");
}
