/* SPDX-License-Identifier: MIT */
/*
 * A change of the stack in a user layer, carried out and taken back: on directories, with plans
 * written here.
 */
#include "tests/lib/change-user.h"

static void check_contents(const char *dir, const char *user)
{
	shell("cd %s/%s/upper/etc && "
	      "[ ! -e stale ] && [ ! -e hidden ] && [ ! -e empties ] && "
	      "[ \"$(ls full)\" = y ] && [ ! -e asidedir ] && "
	      "[ \"$(cat asidefile both takes beside beside.mlimg-new ../srv/new/file)\" = "
	      "'next\nmerged\ntakes\nmine beside\nbeside\nnew' ] && "
	      "[ \"$(cat again/x stays/*)\" = 'merged\nmerged\nmine stays/y' ] && "
	      "[ \"$(stat -c '%%a %%Y' asidefile attr attrdir ../srv/new | xargs)\" = "
	      "'640 1200000000 640 1200000000 750 1300000000 750 1300000000' ] && "
	      "[ \"$(stat -c %%.Y . full | xargs)\" = '1100000000.250000000 1100000000.250000000' "
	      "] "
	      "&& [ \"$(readlink link)\" = there ] && "
	      "cd ../../mlimg && "
	      "[ \"$(ls)\" = 'aside\nstate.json\nundo' ] && [ \"$(ls undo)\" = 6 ] && "
	      "[ \"$(cat aside/6/etc/asidefile aside/6/etc/asidedir/below/b)\" = "
	      "'mine asidefile\nmine asidedir/below/b' ] && "
	      "[ \"$(cat undo/6/base.manifest undo/6/base.texts)\" = 'base\ntexts' ]",
		dir, user);
	if (is_unionfs)
		shell("cd %s/%s/upper/.unionfs-fuse/etc && "
		      "[ \"$(ls)\" = 'closed_HIDDEN~\nnewhidden_HIDDEN~' ]",
			dir, user);
	else
		shell("[ -c %s/%s/upper/etc/newhidden ]", dir, user);
}

/* --- the laws --- */

static void forward(const char *dir, struct mlimg_plan *plan)
{
	make_start(dir);
	make_plan(plan);
	again(dir, "start", "done");
	steps_left = -1;
	ASSERT_OK(change(dir, "done", plan), err);
	check_contents(dir, "done");
}

static void check_stops(bool of_unionfs)
{
	const char *dir = test_tmpdir();
	mlimg_autofree char *wanted = NULL;
	struct mlimg_plan plan;
	long at = 0;
	int r;

	is_unionfs = of_unionfs;
	forward(dir, &plan);
	wanted = shown(dir, "done");
	do {
		mlimg_autofree char *found = NULL;

		again(dir, "start", "try");
		steps_left = at;
		r = change(dir, "try", &plan);
		ASSERT(r == 0 || r == -ECANCELED);
		steps_left = -1;
		ASSERT_OK(change(dir, "try", &plan), err);
		found = shown(dir, "try");
		assert_same("change", at++, wanted, found);
	} while (r < 0);
	ASSERT(at > 20);
	mlimg_plan_done(&plan);
}

TEST(stopped_anywhere_and_begun_again_it_ends_the_same)
{
	check_stops(false);
}

TEST(with_marks_of_unionfs_too)
{
	check_stops(true);
}

static void check_back(bool of_unionfs)
{
	const char *dir = test_tmpdir();
	mlimg_autofree char *before = NULL, *wanted = NULL;
	struct mlimg_plan plan;
	long at = 0;
	int r;

	is_unionfs = of_unionfs;
	forward(dir, &plan);
	again(dir, "start", "before");
	before = upper_of(dir, "before");
	again(dir, "done", "back");
	steps_left = -1;
	ASSERT_OK(back(dir, "back"), err);
	wanted = upper_of(dir, "back");
	assert_same("upper", -1, before, wanted);
	ASSERT_STR(told, "");
	shell("cd %s/back/mlimg && [ \"$(ls | xargs)\" = "
	      "'aside base.manifest.7 base.texts.7 state.json' ] && "
	      "! find aside ! -type d | grep .",
		dir);
	do {
		mlimg_autofree char *found = NULL;

		again(dir, "done", "try");
		steps_left = at;
		r = back(dir, "try");
		ASSERT(r == 0 || r == -ECANCELED);
		steps_left = -1;
		ASSERT_OK(back(dir, "try"), err);
		found = upper_of(dir, "try");
		assert_same("way back", at++, before, found);
	} while (r < 0);
	ASSERT(at > 20);
	mlimg_plan_done(&plan);
}

TEST(taken_back_it_is_what_it_was_and_stopped_anywhere_too)
{
	check_back(false);
}

TEST(taken_back_with_marks_of_unionfs)
{
	check_back(true);
}

/* Everything that the change has touched, and the user again since. */
static void check_written_since(bool of_unionfs)
{
	const char *dir = test_tmpdir();
	mlimg_autofree char *wanted = NULL;
	struct mlimg_plan plan;
	long at = 0;
	int r;

	is_unionfs = of_unionfs;
	forward(dir, &plan);
	shell("cd %s/done/upper/etc && for f in stale both takes asidefile beside.mlimg-new "
	      "../srv/new/more; do echo since >$f; done && mkdir empties asidedir && "
	      "echo since >asidedir/a && chmod 0755 attr && rm link && echo since >full/z",
		dir);
	again(dir, "done", "back");
	steps_left = -1;
	told[0] = '\0';
	ASSERT_OK(back(dir, "back"), err);
	ASSERT_STR(told,
		"aside/6/etc/beside.mlimg-new;aside/7/etc/link;aside/7/etc/takes;aside/7/etc/both;"
		"aside/6/etc/asidefile;aside/6/etc/asidedir;aside/7/etc/stale;");
	shell("cd %s/back/upper/etc && [ \"$(cat stale both takes asidefile beside.mlimg-new "
	      "asidedir/a full/z ../srv/new/more | uniq)\" = since ] && "
	      "[ \"$(cat empties/x full/x full/y)\" = "
	      "'mine empties/x\nmine full/x\nmine full/y' ] && "
	      "[ ! -e link ] && [ \"$(stat -c %%a attr)\" = 755 ] && [ ! -e ../srv/new/file ] && "
	      "cd ../../mlimg/aside && [ \"$(cat 7/etc/stale 7/etc/both 6/etc/asidefile "
	      "6/etc/asidedir/below/b)\" = "
	      "'mine stale\nmine both\nmine asidefile\nmine asidedir/below/b' ] && "
	      "[ \"$(readlink 7/etc/link)\" = here ]",
		dir);
	wanted = shown(dir, "back");
	do {
		mlimg_autofree char *found = NULL;

		again(dir, "done", "try");
		steps_left = at;
		r = back(dir, "try");
		steps_left = -1;
		ASSERT_OK(back(dir, "try"), err);
		found = shown(dir, "try");
		assert_same("way back", at++, wanted, found);
	} while (r < 0);
	mlimg_plan_done(&plan);
}

TEST(what_was_written_since_stays_and_the_older_is_aside)
{
	check_written_since(false);
}

TEST(what_was_written_since_with_marks_of_unionfs)
{
	check_written_since(true);
}
