/* SPDX-License-Identifier: MIT */
#include "guest-agent/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include "tests/lib/test.h"

#define PATIENT 60000 /* ms; a case that waits so long has failed */

static int status;
static char out[16];

static int run(const char *script, int timeout_ms, struct mlimg_err *err)
{
	const char *const argv[] = {"sh", "-c", script, NULL};

	return mlimg_child_run(argv, timeout_ms, out, sizeof(out), &status, err);
}

TEST(output_and_exit_status)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(run("echo one; echo two >&2; echo three; exit 7", PATIENT, &err), err);
	ASSERT_STR(out, "one\nthree\n");
	ASSERT_EQ(status, 7);
	ASSERT_OK(run("kill -TERM $$", PATIENT, &err), err);
	ASSERT_STR(out, "");
	ASSERT_EQ(status, 128 + SIGTERM);
}

TEST(more_output_than_room_is_read_and_dropped)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(run("i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done", PATIENT,
			  &err),
		err);
	ASSERT_STR(out, "0123456789\n0123");
	ASSERT_EQ(status, 0);
}

TEST(standard_input_is_empty)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(run("cat; echo end", PATIENT, &err), err);
	ASSERT_STR(out, "end\n");
}

TEST(what_does_not_exist)
{
	const char *const argv[] = {"/nonexistent/program", NULL};
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_child_run(argv, PATIENT, out, sizeof(out), &status, &err), err);
	ASSERT_EQ(status, 127);
}

TEST(what_it_leaves_running_is_not_waited_for)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(run("sleep 1000 & echo $!", PATIENT, &err), err);
	ASSERT_EQ(status, 0);
	ASSERT_EQ(kill(atoi(out), SIGKILL), 0);
}

/* The child's own child holds the other end of a pipe of ours: its end shows that it is dead. */
TEST(time_out_kills_it_and_its_children)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct pollfd end = {.events = POLLIN};
	char script[100], byte;
	int ends[2];

	ASSERT_EQ(pipe(ends), 0);
	sprintf(script, "sleep 1000 %d>&%d & sleep 1000", ends[1], ends[1]);
	ASSERT_FAILS(run(script, 300, &err), err, -ETIMEDOUT,
		"sh did not end within 300 ms: Connection timed out");
	ASSERT_EQ(status, 128 + SIGKILL);
	close(ends[1]);
	end.fd = ends[0];
	ASSERT_EQ(poll(&end, 1, PATIENT), 1);
	ASSERT_EQ(read(ends[0], &byte, 1), 0);
}

TEST(closing_its_output_is_not_its_end)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(run("echo x; exec >&-; sleep 0.3; exit 5", PATIENT, &err), err);
	ASSERT_STR(out, "x\n");
	ASSERT_EQ(status, 5);
}
