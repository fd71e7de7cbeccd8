/* SPDX-License-Identifier: MIT */
/* What is queued, done in a user layer: on directories. */
#include "tests/lib/queue-case.h"

static void check_run(bool of_unionfs)
{
	const char *dir = test_tmpdir();
	mlimg_autofree char *once = NULL, *twice = NULL;
	struct mlimg_queue_run ret;

	is_unionfs = of_unionfs;
	make_user(dir);
	again(dir, "start", "done");
	ASSERT_OK(run(dir, "done", &ret), err);
	ASSERT_EQ(ret.number, 1);
	ASSERT_EQ(ret.n_done, 9);
	ASSERT_EQ(ret.n_left, 3);
	ASSERT_STR(ret.bad, "");
	check_done(dir, "done");
	check_report(dir, "done");
	once = look_at(dir, "done");
	ASSERT_OK(run(dir, "done", &ret), err);
	ASSERT_EQ(ret.number, 0);
	twice = look_at(dir, "done");
	assert_same("again", 0, once, twice);
}

TEST(each_operation_does_what_it_says)
{
	if (can_trusted())
		check_run(false);
}

TEST(with_marks_of_unionfs_too)
{
	check_run(true);
}

/* --- stopped --- */

static void check_stops(bool of_unionfs)
{
	const char *dir = in_memory();
	mlimg_autofree char *wanted = NULL;
	struct mlimg_queue_run ret;
	uint64_t at = 0;
	int status;

	is_unionfs = of_unionfs;
	make_user(dir);
	again(dir, "start", "done");
	ASSERT_OK(run(dir, "done", &ret), err);
	wanted = look_at(dir, "done");
	do {
		mlimg_autofree char *found = NULL;

		again(dir, "start", "try");
		stop_at(at, run_apart, (void *)dir, &status);
		ASSERT(WIFSIGNALED(status) || status == 0);
		ASSERT_OK(run(dir, "try", &ret), err);
		found = look_at(dir, "try");
		assert_same("queue", (long)at++, wanted, found);
	} while (WIFSIGNALED(status));
	ASSERT(at > 60);
}

TEST(killed_anywhere_and_begun_again_it_ends_the_same)
{
	if (can_trusted())
		check_stops(false);
}

TEST(killed_anywhere_with_marks_of_unionfs)
{
	check_stops(true);
}

/* A process of the guest may be killed, and its user go on. */
TEST(what_is_queued_while_another_one_is_stopped_is_done_after_it)
{
	const char *dir = in_memory();
	mlimg_autoclose int user_fd = -1;
	struct mlimg_queue_run ret;

	is_unionfs = true;
	make_user(dir);
	stop_when_begun(dir);
	user_fd = open_dir(dir, "try");
	ADD(user_fd, RESET, "etc/kept");
	ASSERT_OK(run(dir, "try", &ret), err);
	ASSERT_EQ(ret.number, 2);
	ASSERT_EQ(ret.n_done, 1);
	shell("cd %s/try/mlimg && [ \"$(cat aside/queue-2/etc/kept)\" = 'mine etc/kept' ] && "
	      "[ -f aside/queue-1/etc/file ] && [ \"$(ls)\" = 'aside\nreports\nstate.json' ]",
		dir);
}

/* --- what is damaged, and what has no room --- */

TEST(a_damaged_queue_is_put_aside_and_told)
{
	const char *dir = test_tmpdir();
	struct mlimg_queue_run ret;

	is_unionfs = true;
	make_user(dir);
	for (int i = 0; i < 2; i++) {
		shell("cd %s/start/mlimg && echo rubbish %d >queue", dir, i);
		ASSERT_OK(run(dir, "start", &ret), err);
		ASSERT_STR(ret.bad, "queue: line 1: not of a known format");
		ASSERT_EQ(ret.number, 0);
	}
	shell("cd %s/start/mlimg && [ \"$(ls)\" = 'queue.bad\nqueue.bad-2\nstate.json' ] && "
	      "[ \"$(cat queue.bad queue.bad-2)\" = 'rubbish 0\nrubbish 1' ]",
		dir);
	ASSERT_OK(run(dir, "start", &ret), err);
	ASSERT_STR(ret.bad, "");
}

static void check_bad_run(const char *damage)
{
	const char *dir = test_tmpdir();
	struct mlimg_queue_run ret;

	again(dir, "start", "try");
	shell("cd %s/try/mlimg && mkdir queue.run && cd queue.run && mkdir taken && echo 1 >number "
	      "&& "
	      "printf 'mlimg undo 1 unionfs\\n' >log && printf 'mlimg-queue 1\\nreset x\\n' "
	      ">operations && %s",
		dir, damage);
	ASSERT_OK(run(dir, "try", &ret), err);
	ASSERT(ret.bad[0]);
	/* What waits is done nevertheless. */
	ASSERT_EQ(ret.n_done, 9);
	shell("cd %s/try/mlimg && [ \"$(ls)\" = 'aside\nqueue.bad\nreports\nstate.json' ]", dir);
}

TEST(what_was_begun_and_is_damaged_is_put_aside_too)
{
	is_unionfs = true;
	make_user(test_tmpdir());
	check_bad_run("rm log");
	check_bad_run("echo x >log");
	check_bad_run("rm number");
	check_bad_run("echo 0 >number");
	check_bad_run("echo 1x >number");
	check_bad_run("rmdir taken");
	check_bad_run("rm operations");
	check_bad_run("echo x >operations");
	check_bad_run("cd .. && rm -r queue.run && echo x >queue.run");
	check_bad_run("mkdir aside && mkdir -p ../aside/queue-1/x");
	check_bad_run("printf 'a m no/such\\0' >>log && mkdir aside && rm number");
}

/* What was to be set aside by one that is damaged is where it was, or in queue.bad. */
TEST(what_waits_is_numbered_after_all_that_is_there)
{
	const char *dir = test_tmpdir();
	struct mlimg_queue_run ret;

	is_unionfs = true;
	make_user(dir);
	shell("cd %s/start/mlimg && mkdir -p aside/queue-8 aside/9 aside/queue-x reports && "
	      ": >reports/queue-6.json && : >reports/queue-11x.json && : >reports/12.json",
		dir);
	ASSERT_OK(run(dir, "start", &ret), err);
	ASSERT_EQ(ret.number, 9);
	shell("cd %s/start/mlimg && [ -d aside/queue-9/etc ] && [ -f reports/queue-9.txt ]", dir);
}

TEST(marks_of_unionfs_are_not_to_be_reset)
{
	const char *dir = test_tmpdir();
	mlimg_autoclose int user_fd = -1;
	struct mlimg_queue_run ret;

	is_unionfs = true;
	make_user(dir);
	shell("rm %s/start/mlimg/queue", dir);
	user_fd = open_dir(dir, "start");
	ADD(user_fd, RESET, ".unionfs-fuse");
	ADD(user_fd, RESET, ".unionfs-fuse/etc");
	ASSERT_OK(run(dir, "start", &ret), err);
	ASSERT_EQ(ret.n_left, 2);
	shell("[ -f %s/start/upper/.unionfs-fuse/etc/gone_HIDDEN~ ]", dir);
}

/* --- the way back to the former stack --- */

/* A change, then a reset of what it has made, then the former stack again. */
static void check_back(bool of_unionfs)
{
	const char *dir = test_tmpdir();
	mlimg_autoclose int user_fd = -1;
	struct mlimg_queue_run ret;
	struct mlimg_plan plan;

	is_unionfs = of_unionfs;
	make_start(dir);
	make_plan(&plan);
	again(dir, "start", "done");
	steps_left = -1;
	ASSERT_OK(change(dir, "done", &plan), err);
	user_fd = open_dir(dir, "done");
	ADD(user_fd, RESET, "etc/both");
	ADD(user_fd, RESET, "etc/other");
	ADD(user_fd, RESTORE, "etc/newhidden");
	ASSERT_OK(run(dir, "done", &ret), err);
	ASSERT_EQ(ret.n_done, 3);
	told[0] = '\0';
	ASSERT_OK(back(dir, "done"), err);
	/* What he has reset stays so: of the merged file his former one is kept aside. */
	ASSERT_STR(told, "aside/7/etc/both;");
	shell("cd %s/done && [ ! -e upper/etc/both ] && [ ! -e upper/etc/other ] && "
	      "[ \"$(cat mlimg/aside/7/etc/both)\" = 'mine both' ] && "
	      "[ \"$(cat mlimg/aside/queue-1/etc/both mlimg/aside/queue-1/etc/other)\" = "
	      "'merged\nmine other' ] && "
	      "[ \"$(cat upper/etc/stale upper/etc/takes upper/etc/asidefile)\" = "
	      "'mine stale\nmine takes\nmine asidefile' ]",
		dir);
	mlimg_plan_done(&plan);
}

TEST(the_former_stack_is_to_be_had_again)
{
	check_back(false);
}

TEST(the_former_stack_is_to_be_had_again_with_marks_of_unionfs)
{
	check_back(true);
}
