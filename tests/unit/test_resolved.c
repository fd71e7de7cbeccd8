/* SPDX-License-Identifier: MIT */
#include "guest-agent/resolved.h"

#include <fcntl.h>

#include "libmlimg/cleanup.h"
#include "tests/lib/test.h"

#define HEAD "mlimg-resolved 1\n"

TEST(what_was_set_is_found_and_read_again)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_resolved r = {.all = NULL}, again;
	mlimg_autoclose int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT(fd >= 0);
	ASSERT_OK(mlimg_resolved_read(fd, &again, &err), err);
	ASSERT_EQ(again.n, 0);
	ASSERT_EQ(mlimg_resolved_set(&r, 3, "etc/a b\n", MLIMG_KEEP_MINE), 0);
	ASSERT_EQ(mlimg_resolved_set(&r, 2, "etc/b", MLIMG_KEEP_THEIRS), 0);
	ASSERT_EQ(mlimg_resolved_set(&r, 3, "etc/a", MLIMG_KEEP_MERGED), 0);
	ASSERT_EQ(mlimg_resolved_set(&r, 2, "etc/b", MLIMG_KEEP_MERGED), 0);
	ASSERT_EQ(r.n, 3);
	ASSERT_EQ(mlimg_resolved_find(&r, 2, "etc/b"), MLIMG_KEEP_MERGED);
	ASSERT_EQ(mlimg_resolved_find(&r, 3, "etc/b"), MLIMG_KEEP_UNDECIDED);
	ASSERT_OK(mlimg_resolved_write(fd, &r, &err), err);
	ASSERT_OK(mlimg_resolved_read(fd, &again, &err), err);
	ASSERT_EQ(again.n, 3);
	for (size_t i = 0; i < 3; i++) {
		ASSERT_EQ(again.all[i].generation, r.all[i].generation);
		ASSERT_EQ(again.all[i].way, r.all[i].way);
		ASSERT_STR(again.all[i].path, r.all[i].path);
	}
	ASSERT_STR(again.all[2].path, "etc/a b\n");
	mlimg_resolved_done(&r);
	mlimg_resolved_done(&again);
}

TEST(what_is_undecided_again_is_taken_out)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_resolved r;
	mlimg_autoclose int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT(fd >= 0);
	ASSERT_OK(mlimg_resolved_note(fd, 2, "etc/a", MLIMG_KEEP_THEIRS, &err), err);
	ASSERT_OK(mlimg_resolved_note(fd, 2, "etc/b", MLIMG_KEEP_MINE, &err), err);
	ASSERT_OK(mlimg_resolved_note(fd, 3, "etc/a", MLIMG_KEEP_MINE, &err), err);
	ASSERT_OK(mlimg_resolved_note(fd, 2, "etc/a", MLIMG_KEEP_UNDECIDED, &err), err);
	ASSERT_OK(mlimg_resolved_note(fd, 2, "etc/none", MLIMG_KEEP_UNDECIDED, &err), err);
	ASSERT_OK(mlimg_resolved_read(fd, &r, &err), err);
	ASSERT_EQ(r.n, 2);
	ASSERT_EQ(mlimg_resolved_find(&r, 2, "etc/a"), MLIMG_KEEP_UNDECIDED);
	ASSERT_EQ(mlimg_resolved_find(&r, 2, "etc/b"), MLIMG_KEEP_MINE);
	ASSERT_EQ(mlimg_resolved_find(&r, 3, "etc/a"), MLIMG_KEEP_MINE);
	mlimg_resolved_done(&r);
	ASSERT_OK(mlimg_resolved_note(fd, 3, "etc/a", MLIMG_KEEP_UNDECIDED, &err), err);
	ASSERT_OK(mlimg_resolved_note(fd, 2, "etc/b", MLIMG_KEEP_UNDECIDED, &err), err);
	ASSERT_OK(mlimg_resolved_read(fd, &r, &err), err);
	ASSERT_EQ(r.n, 0);
	mlimg_resolved_done(&r);
}

static void refused(const char *text, const char *message)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_resolved r;

	ASSERT_EQ(mlimg_resolved_parse(text, strlen(text), &r, &err), -EUCLEAN);
	ASSERT_STR(err.text, message);
	mlimg_resolved_done(&r);
}

TEST(what_is_damaged_is_refused)
{
	refused("", "resolved: line 1: not 'mlimg-resolved 1'");
	refused("mlimg-resolved 1", "resolved: line 1: not 'mlimg-resolved 1'");
	refused("mlimg-resolved 10\n", "resolved: line 1: not 'mlimg-resolved 1'");
	refused(HEAD "2 mine etc/a", "resolved: line 2: no newline at its end");
	refused(HEAD "02 mine etc/a\n", "resolved: line 2: no generation");
	refused(HEAD "1000000000 mine etc/a\n", "resolved: line 2: no generation");
	refused(HEAD "2 his etc/a\n", "resolved: line 2: neither mine, theirs nor merged");
	refused(HEAD "2 mineminemine etc/a\n", "resolved: line 2: neither mine, theirs nor merged");
	refused(HEAD "2  etc/a\n", "resolved: line 2: neither mine, theirs nor merged");
	refused(HEAD "2 mine\n", "resolved: line 2: no path");
	refused(HEAD "2 mine /etc\n", "resolved: line 2: no path");
	refused(HEAD "2 mine ../etc\n", "resolved: line 2: no path");
	refused(HEAD "2 mine a b\n", "resolved: line 2: no path");
	refused(HEAD "2 mine a\n\n", "resolved: line 3: no generation");
	refused(HEAD "2 mine a\n2 theirs a\n", "resolved: line 3: not in order");
	refused(HEAD "2 mine b\n2 mine a\n", "resolved: line 3: not in order");
	refused(HEAD "3 mine a\n2 mine b\n", "resolved: line 3: not in order");
}

TEST(there_are_not_too_many)
{
	struct mlimg_resolved r = {.all = NULL};
	char path[32];

	for (int i = 0; i < MLIMG_RESOLVED_N_MAX; i++) {
		snprintf(path, sizeof(path), "%08d", i);
		ASSERT_EQ(mlimg_resolved_set(&r, 2, path, MLIMG_KEEP_MINE), 0);
	}
	ASSERT_EQ(mlimg_resolved_set(&r, 2, "one more", MLIMG_KEEP_MINE), -E2BIG);
	ASSERT_EQ(mlimg_resolved_set(&r, 2, "00000007", MLIMG_KEEP_THEIRS), 0);
	ASSERT_EQ(mlimg_resolved_find(&r, 2, "00000007"), MLIMG_KEEP_THEIRS);
	mlimg_resolved_done(&r);
}
