/* SPDX-License-Identifier: MIT */
#include "guest-agent/power.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/rtc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "guest-agent/status.h"
#include "guest-agent/worker.h"
#include "libmlimg/cleanup.h"

#define RTC "/dev/rtc0"

static bool is_busybox(pid_t pid)
{
	char link[64], target[PATH_MAX];
	const char *name;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	name = strrchr(target, '/');
	return name && strcmp(name, "/busybox") == 0;
}

json_t *mlimg_shutdown_command(struct mlimg_call *call)
{
	const char *mode = json_string_value(json_object_get(call->arguments, "mode"));
	bool is_halt = mode && strcmp(mode, "halt") == 0;
	bool is_reboot = mode && strcmp(mode, "reboot") == 0;

	if (call->agent->init_pid < 1)
		return mlimg_fail(&call->failure, MLIMG_CLASS_UNSUPPORTED, "no init to tell");
	if (mlimg_status_is_systemd(call->agent))
		call->signal = SIGRTMIN + (is_halt ? 3 : is_reboot ? 5 : 4);
	else if (is_busybox(call->agent->init_pid))
		call->signal = is_halt ? SIGUSR1 : is_reboot ? SIGTERM : SIGUSR2;
	else
		call->program = is_halt ? "halt" : is_reboot ? "reboot" : "poweroff";
	return json_object();
}

static void become(int fd, void *ctx)
{
	const char *program = ctx;

	setsid();
	execlp(program, program, (char *)NULL);
}

void mlimg_power_go(const struct mlimg_agent *agent, int signal, const char *program)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autoclose int fd = -1;

	if (program)
		fd = mlimg_worker_start(become, (void *)program, &err);
	else
		kill(agent->init_pid, signal);
}

/*
 * Days from 1970-01-01 to the first of a month, by the rules of the Gregorian calendar, with March
 * as the first month so that a leap day ends its year. Not timegm(3), which brings 100 KB of time
 * zones along.
 */
static int64_t days_before(int year, int month)
{
	int64_t y = year - (month < 3), m = month + (month < 3 ? 9 : -3);

	return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 - 719468;
}

/* It has UTC, as virtual machines' have. */
static int read_rtc(struct timespec *ret_time, struct mlimg_failure *failure)
{
	mlimg_autoclose int fd = open(RTC, O_RDONLY | O_CLOEXEC);
	struct rtc_time t;

	if (fd < 0 || ioctl(fd, RTC_RD_TIME, &t) < 0) {
		mlimg_fail(failure, MLIMG_CLASS_UNSUPPORTED, "read the clock " RTC ": %s",
			strerror(errno));
		return -1;
	}
	*ret_time = (struct timespec){
		.tv_sec = (((days_before(t.tm_year + 1900, t.tm_mon + 1) + t.tm_mday - 1) * 24 +
				   t.tm_hour) *
					  60 +
				  t.tm_min) *
				60 +
			t.tm_sec};
	return 0;
}

json_t *mlimg_set_time_command(struct mlimg_call *call)
{
	const json_t *time = json_object_get(call->arguments, "time");
	json_int_t ns = json_integer_value(time);
	struct timespec now = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	if (!time && read_rtc(&now, &call->failure) < 0)
		return NULL;
	if (clock_settime(CLOCK_REALTIME, &now) < 0)
		return mlimg_fail(
			&call->failure, MLIMG_CLASS_GENERIC, "set the clock: %s", strerror(errno));
	return json_object();
}
