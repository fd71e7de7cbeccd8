/* SPDX-License-Identifier: MIT */
/*
 * The process that keeps a freeze, on a clock of the test's own and without a file system: what it
 * does, and when. With a real one: ../root/agent-freeze.bats.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "guest-agent/clock.h"
#include "guest-agent/freeze-impl.h"
#include "tests/lib/test.h"

#define FREEZING_MS 5000 /* it writes all out before */
#define NEVER (-1)

static int64_t now_ms;
static int64_t asked_ms; /* when the daemon asks for the end */
static bool has_asked;
static int daemon_fd;
static char happened[256];

/* --- what stands for the kernel --- */

static int64_t fake_clock_ms(void)
{
	return now_ms;
}

static int fake_ioctl(int fd, unsigned long request, int argument)
{
	size_t used = strlen(happened);

	ASSERT_EQ(argument, 0);
	now_ms += request == FIFREEZE ? FREEZING_MS : 0;
	snprintf(happened + used, sizeof(happened) - used, "%s %lld; ",
		request == FIFREEZE         ? "frozen"
			: request == FITHAW ? "thawed"
					    : "?",
		(long long)now_ms);
	return 0;
}

/* Sleeps for as long as it may, unless the daemon asks before. */
static int fake_poll(struct pollfd *p, nfds_t n, int timeout_ms)
{
	int64_t end_ms = now_ms + timeout_ms;

	ASSERT(timeout_ms > 0);
	if (has_asked)
		return 1;
	if (asked_ms == NEVER || asked_ms > end_ms) {
		now_ms = end_ms;
		return 0;
	}
	now_ms = asked_ms;
	has_asked = true;
	ASSERT_EQ(write(daemon_fd, "?", 1), 1);
	shutdown(daemon_fd, SHUT_WR);
	return 1;
}

static int fake_open_user(const struct mlimg_agent *agent, struct mlimg_failure *failure)
{
	return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

#define mlimg_clock_ms fake_clock_ms
#define mlimg_freeze_open_user fake_open_user
#define ioctl fake_ioctl
#define poll fake_poll
#define fork() (-1) /* no witness */

#include "guest-agent/freeze-keep.c"

/* --- */

/* @return what the daemon reads */
static const char *keep(int timeout_ms)
{
	static char said[256];
	struct mlimg_freeze_shared shared = {.stage = FREEZE_BEGINS};
	struct mlimg_agent agent = {.freeze = &shared};
	const struct mlimg_command command = {.name = "guest-fsfreeze-freeze"};
	struct mlimg_call call = {.agent = &agent, .command = &command};
	struct mlimg_freeze freeze = {.call = &call, .timeout_ms = timeout_ms};
	int ends[2];
	ssize_t n;

	ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	daemon_fd = ends[0];
	happened[0] = '\0';
	now_ms = 1000;
	has_asked = false;
	mlimg_freeze_keep(ends[1], &freeze);
	ASSERT_EQ(shared.stage, FREEZE_OVER);
	ASSERT_EQ(shared.deadline_ms, 1000 + FREEZING_MS + timeout_ms);
	n = read(ends[0], said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	close(ends[0]);
	close(ends[1]);
	return said;
}

/* Counted from when it is frozen: how long it takes to write all out nobody knows before. */
TEST(it_lasts_until_its_time_is_over_and_not_longer)
{
	asked_ms = NEVER;
	ASSERT_STR(keep(1000), "{\"return\":1}\n");
	ASSERT_STR(happened, "frozen 6000; thawed 7000; ");
	ASSERT_STR(keep(MLIMG_FREEZE_MAX_MS), "{\"return\":1}\n");
	ASSERT_STR(happened, "frozen 6000; thawed 66000; ");
	ASSERT_STR(keep(1), "{\"return\":1}\n");
	ASSERT_STR(happened, "frozen 6000; thawed 6001; ");
}

TEST(it_lasts_until_the_daemon_asks)
{
	asked_ms = 6500;
	ASSERT_STR(keep(1000), "{\"return\":1}\n{\"return\":1}\n");
	ASSERT_STR(happened, "frozen 6000; thawed 6500; ");
	asked_ms = 7001;
	ASSERT_STR(keep(1000), "{\"return\":1}\n");
	ASSERT_STR(happened, "frozen 6000; thawed 7000; ");
}
