/* SPDX-License-Identifier: MIT */
/*
 * guest-set-time, with a clock chip and a system clock of the test's own: what is set, and what is
 * said where one of them cannot. In a guest: ../vm/agent.bats.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtc.h>
#include <sys/ioctl.h>
#include <time.h>

#include "guest-agent/protocol.h"
#include "tests/lib/test.h"

static struct rtc_time chip;
static int chip_errno, clock_errno;
static struct timespec set;

/* --- what stands for the kernel --- */

static int fake_open(const char *path, int flags)
{
	ASSERT_STR(path, "/dev/rtc0");
	errno = chip_errno;
	return chip_errno ? -1 : open("/dev/null", flags);
}

static int fake_ioctl(int fd, unsigned long request, struct rtc_time *ret_time)
{
	ASSERT_EQ(request, RTC_RD_TIME);
	*ret_time = chip;
	return 0;
}

static int fake_clock_settime(clockid_t clock, const struct timespec *time)
{
	ASSERT_EQ(clock, CLOCK_REALTIME);
	set = *time;
	errno = clock_errno;
	return clock_errno ? -1 : 0;
}

#define open fake_open
#define ioctl fake_ioctl
#define clock_settime fake_clock_settime

#include "guest-agent/power.c"

/* --- */

/* @return why it failed, NULL when it did not */
static const char *set_time(int64_t ns, enum mlimg_class *ret_class)
{
	static struct mlimg_call call;
	json_t *arguments = ns < 0 ? NULL : json_pack("{s:I}", "time", (json_int_t)ns), *result;

	call = (struct mlimg_call){.arguments = arguments};
	set = (struct timespec){-1, -1};
	result = mlimg_set_time_command(&call);
	json_decref(arguments);
	*ret_class = call.failure.class;
	if (!result)
		return call.failure.desc;
	ASSERT_EQ(json_object_size(result), 0);
	json_decref(result);
	return NULL;
}

/* What `date -u -d DATE +%s` says of it. */
static void check_chip(int year, int month, int day, int64_t wanted_s)
{
	enum mlimg_class class;

	chip = (struct rtc_time){.tm_year = year - 1900,
		.tm_mon = month - 1,
		.tm_mday = day,
		.tm_hour = 23,
		.tm_min = 59,
		.tm_sec = 58};
	ASSERT_STR(set_time(-1, &class), NULL);
	ASSERT_EQ(set.tv_sec, wanted_s);
	ASSERT_EQ(set.tv_nsec, 0);
}

TEST(the_time_that_is_given)
{
	enum mlimg_class class;

	chip_errno = ENOENT;
	ASSERT_STR(set_time(1700000000123456789, &class), NULL);
	ASSERT_EQ(set.tv_sec, 1700000000);
	ASSERT_EQ(set.tv_nsec, 123456789);
}

TEST(the_clock_chips_time)
{
	check_chip(1970, 1, 1, 86398);
	check_chip(1999, 12, 31, 946684798);
	check_chip(2000, 2, 29, 951868798);
	check_chip(2000, 3, 1, 951955198);
	check_chip(2038, 1, 19, 2147558398);
	check_chip(2100, 2, 28, 4107542398);
	check_chip(2100, 3, 1, 4107628798);
}

TEST(a_machine_without_a_clock_chip)
{
	enum mlimg_class class;

	chip_errno = ENOENT;
	ASSERT_STR(set_time(-1, &class), "read the clock /dev/rtc0: No such file or directory");
	ASSERT_EQ(class, MLIMG_CLASS_UNSUPPORTED);
	ASSERT_EQ(set.tv_sec, -1);
}

TEST(a_clock_that_cannot_be_set)
{
	enum mlimg_class class;

	clock_errno = EPERM;
	ASSERT_STR(set_time(0, &class), "set the clock: Operation not permitted");
	ASSERT_EQ(class, MLIMG_CLASS_GENERIC);
}
