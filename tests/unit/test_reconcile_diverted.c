/* SPDX-License-Identifier: MIT */
/* What is planned for files that the user has had dpkg divert. */
#include "tests/lib/plan-words.h"

static const struct mlimg_packages_diversion diversions[] = {{"usr/bin/x", "usr/bin/x.real"}};
static const struct mlimg_reconcile_input in = {.diversions = diversions, .n_diversions = 1};

/* The wrapper stays, and what was moved away follows the system. */
TEST(what_is_diverted_follows_the_system)
{
	check_with(in, "usr/bin/x=A", "usr/bin/x=B", "usr/bin/x=M usr/bin/x.real=A",
		"t usr/bin/x.realusr/bin/x=B", "the system's file, which is diverted to here");
	/* The next time the copy is that of the old stack. */
	check_with(in, "usr/bin/x=B", "usr/bin/x=C,m755", "usr/bin/x=M usr/bin/x.real=B",
		"t usr/bin/x.realusr/bin/x=C,m755", NULL);
	check_with(in, "usr/bin/x=A", "usr/bin/x=A", "usr/bin/x=M usr/bin/x.real=A", "", "");
	/* Nothing shows there but what is put. */
	check_with(in, "usr/bin/x=A", "usr/bin/x=B", "usr/bin/x=M usr/bin/x.real=B", "", "");
	/* Moved away with nothing in its place. */
	check_with(in, "usr/bin/x=A", "usr/bin/x=B", "usr/bin/x=W usr/bin/x.real=A",
		"t usr/bin/x.realusr/bin/x=B", NULL);
	check_with(in, "usr/bin/x=A", "usr/bin/x=>y", "usr/bin/x=M usr/bin/x.real=A",
		"t usr/bin/x.realusr/bin/x=>y", NULL);
	/* The system has it no more. */
	check_with(in, "usr/bin/x=A", "usr/bin=d", "usr/bin/x=M usr/bin/x.real=A",
		"d usr/bin/x.real", TOLD("stale", "owned", "dropped"));
	check_with(in, "usr/bin/x=A", "usr/bin=d", "usr/bin/x=W usr/bin/x.real=A",
		"d usr/bin/x; d usr/bin/x.real; D usr/bin=d; D usr=d", NULL);
}

TEST(what_is_diverted_and_changed)
{
	check_with(in, "usr/bin/x=A", "usr/bin/x=B", "usr/bin/x=M usr/bin/x.real=C",
		"a usr/bin/x.real; t usr/bin/x.realusr/bin/x=B",
		TOLD("conflict", "owned", "aside"));
	check_with(in, "usr/bin/x=A", "usr/bin/x=B", "usr/bin/x=M usr/bin/x.real=A,m700",
		"t usr/bin/x.realusr/bin/x=B,m700", NULL);
	check_with(in, "usr/bin/x=A", "usr/bin/x=A", "usr/bin/x=M usr/bin/x.real=C", "", "");
	check_with(in, "usr/bin/x=A", "usr/bin/x=B", "usr/bin/x=M usr/bin/x.real=A,p", "", NULL);
}

/* The diversion says where a version of the user's was, which gives way. */
static enum mlimg_package_verdict gave_way(const char *path, void *ctx)
{
	return strcmp(path, "usr/bin/x.real") == 0 ? MLIMG_FILES_NEXT : MLIMG_FILES_PLAIN;
}

TEST(what_is_diverted_of_a_version_that_gave_way)
{
	struct mlimg_reconcile_input of_package = in;

	of_package.package = gave_way;
	check_with(of_package, "usr/bin/x=A", "usr/bin/x=B", "usr/bin/x=M usr/bin/x.real=C",
		"a usr/bin/x.real; t usr/bin/x.realusr/bin/x=B", NULL);
}

TEST(what_the_system_has_anew_where_the_user_diverts)
{
	check_with(
		in, "usr/bin=d", "usr/bin/x=B", "usr/bin/x=M", "t usr/bin/x.realusr/bin/x=B", "");
	check_with(in, "usr/bin=d", "usr/bin/x=B", "",
		"m usr=d; m usr/bin=d; h usr/bin/x; t usr/bin/x.realusr/bin/x=B", "");
	/* He has removed it since, or has something there. */
	check_with(in, "usr/bin/x=A", "usr/bin/x=B", "usr/bin/x=M", "", "");
	check_with(in, "usr/bin=d", "usr/bin/x=B", "usr/bin/x=M usr/bin/x.real=N",
		"a usr/bin/x.real; t usr/bin/x.realusr/bin/x=B", NULL);
}

TEST(what_is_no_work_of_the_diversion)
{
	/* A copy of the system's file is no wrapper. */
	check_with(in, "usr/bin/x=A", "usr/bin/x=B", "usr/bin/x=A",
		"d usr/bin/x; D usr/bin=d; D usr=d", TOLD("stale", "owned", "dropped"));
	/* A stack has something there, or a directory: ordinary rules. */
	check_with(in, "usr/bin/x=A usr/bin/x.real=A", "usr/bin/x=B usr/bin/x.real=B",
		"usr/bin/x=M usr/bin/x.real=A", "d usr/bin/x.real", NULL);
	check_with(in, "usr/bin/x=d", "usr/bin/x=d", "usr/bin/x.real=A", "", NULL);
}
