/* SPDX-License-Identifier: MIT */
#include "tools/qemu-img.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "libmlimg/cleanup.h"
#include "tools/vm-chan.h"
#include "tools/vm-process.h"

#define PROGRAM "qemu-img"
#define ARGS_MAX 30
#define READ_SIZE 65536
#define TAIL_SIZE 65536 /* of the end that is kept: a report, or what is wrong */
#define MARK "ERROR OFLAG_COPIED "
#define MARK_SIZE (sizeof(MARK) - 1)
#define KILL_MS 5000 /* how long one that was killed may take to end */

/* @return 1 when there is something to read of @fd, 0 when the time is up, -1 and errno */
static int wait_for(int fd, uint64_t deadline_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	uint64_t now = mlimg_now_ms();

	if (!deadline_ms)
		return poll(&pfd, 1, -1);
	return poll(&pfd, 1, deadline_ms > now ? (int)(deadline_ms - now) : 0);
}

/* What it prints. Its end only, where it has a line for each cluster: then MARKs are counted. */
struct output {
	char *text; /* NUL-terminated */
	size_t size, room;
	size_t matched; /* how much of MARK the last line begins with; no more is read of it: MARK_SIZE */
	uint64_t n_marks;
	bool is_tail;
};

static void cleanup_output(struct output *output)
{
	free(output->text);
}
#define autooutput mlimg_cleanup(cleanup_output)

static void count_marks(struct output *output, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\n')
			output->matched = 0;
		else if (output->matched < MARK_SIZE && text[i] == MARK[output->matched])
			output->n_marks += ++output->matched == MARK_SIZE;
		else
			output->matched = MARK_SIZE;
	}
}

/* For READ_SIZE more, and NUL. */
static int make_room(struct output *output)
{
	size_t room = 2 * (output->size + READ_SIZE + 1);
	char *text;

	if (output->room - output->size > READ_SIZE)
		return 0;
	if (output->is_tail && output->size >= 2 * TAIL_SIZE) {
		memmove(output->text, output->text + output->size - TAIL_SIZE, TAIL_SIZE);
		output->size = TAIL_SIZE;
		return 0;
	}
	text = realloc(output->text, room);
	if (!text)
		return -ENOMEM;
	output->text = text;
	output->room = room;
	return 0;
}

/* Stopping in the middle of a line is as good as any place: what is so long is not read anyway. */
static int read_some(int fd, uint64_t deadline_ms, struct output *output)
{
	int ready = make_room(output) < 0 ? -ENOMEM : wait_for(fd, deadline_ms);
	char *text;
	ssize_t n;

	if (ready == -ENOMEM)
		return ready;
	if (ready == 0)
		return -ETIMEDOUT;
	text = output->text + output->size;
	n = ready > 0 ? read(fd, text, READ_SIZE) : ready;
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : -errno;
	text[n] = '\0';
	output->size += (size_t)n;
	if (output->is_tail)
		count_marks(output, text, (size_t)n);
	else if (output->size > MLIMG_QEMU_IMG_OUTPUT_MAX)
		return -EFBIG;
	return n > 0;
}

static int read_output(int fd, uint64_t deadline_ms, struct output *output)
{
	int ret;

	while ((ret = read_some(fd, deadline_ms, output)) == 1)
		;
	return ret;
}

/* The last line, without the program's name. */
static const char *last_line(char *output)
{
	char *line;

	for (size_t size = strlen(output); size && output[size - 1] == '\n';)
		output[--size] = '\0';
	line = strrchr(output, '\n');
	line = line ? line + 1 : output;
	return strncmp(line, PROGRAM ": ", strlen(PROGRAM ": ")) == 0 ? line + strlen(PROGRAM ": ")
								      : line;
}

static int tell(const char *command, int status, char *output, struct mlimg_err *err)
{
	const char *line = last_line(output);

	if (WIFSIGNALED(status))
		return mlimg_err_set(
			err, 0, PROGRAM " %s: killed by signal %d", command, WTERMSIG(status));
	if (!*line)
		return mlimg_err_set(
			err, 0, PROGRAM " %s: ended with status %d", command, WEXITSTATUS(status));
	return mlimg_err_set(err, 0, PROGRAM " %s: %s", command, line);
}

/* @return 0 and how it ended, -ETIMEDOUT */
static int wait_end(struct mlimg_process *process, uint64_t deadline_ms, int *ret_status)
{
	int ready = 1;

	while (deadline_ms && (ready = wait_for(process->pidfd, deadline_ms)) < 0 && errno == EINTR)
		;
	if (ready == 0)
		return -ETIMEDOUT;
	*ret_status = mlimg_process_wait(process);
	return 0;
}

/* What hangs in the kernel hears no signal, and is left behind. */
static int run(struct mlimg_process *process, int fd, uint64_t limit_ms, struct output *output,
	int *ret_status)
{
	uint64_t deadline_ms = limit_ms ? mlimg_now_ms() + limit_ms : 0;
	int ret = read_output(fd, deadline_ms, output);

	if (ret == 0)
		ret = wait_end(process, deadline_ms, ret_status);
	if (ret == 0)
		return 0;
	kill(process->pid, SIGKILL);
	if (wait_end(process, mlimg_now_ms() + KILL_MS, ret_status) < 0)
		mlimg_cleanup_close(&process->pidfd);
	return ret;
}

static int fill(const char *const *args, char *argv[ARGS_MAX + 2], struct mlimg_err *err)
{
	argv[0] = (char *)PROGRAM;
	for (size_t i = 0; args[i]; i++) {
		if (i == ARGS_MAX)
			return mlimg_err_set(err, E2BIG, PROGRAM " %s", args[0]);
		argv[i + 1] = (char *)args[i];
	}
	return 0;
}

/* However it ended. */
static int run_to_end(const char *const *args, uint64_t limit_ms, struct output *output,
	int *ret_status, struct mlimg_err *err)
{
	struct mlimg_process process = MLIMG_PROCESS_INIT;
	mlimg_autoclose int fd = -1;
	char *argv[ARGS_MAX + 2] = {NULL};
	int ret = fill(args, argv, err);

	if (ret == 0)
		ret = mlimg_process_start(argv, false, &process, &fd, err);
	if (ret < 0)
		return ret;
	ret = run(&process, fd, limit_ms, output, ret_status);
	if (ret == -ETIMEDOUT)
		return mlimg_err_set(err, ETIMEDOUT, PROGRAM " %s: it has not ended after %llu s",
			args[0], (unsigned long long)limit_ms / 1000);
	return ret < 0 ? mlimg_err_set(err, ret, PROGRAM " %s", args[0]) : 0;
}

int mlimg_qemu_img_within(
	const char *const *args, uint64_t limit_ms, char **ret_output, struct mlimg_err *err)
{
	autooutput struct output output = {.text = NULL};
	int status = 0, ret = run_to_end(args, limit_ms, &output, &status, err);

	if (ret < 0)
		return ret;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return tell(args[0], status, output.text, err);
	if (ret_output)
		*ret_output = mlimg_steal(&output.text);
	return 0;
}

static bool reads_image(const char *command)
{
	static const char *const commands[] = {"convert", "check", "map"};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(command, commands[i]) == 0)
			return true;
	return false;
}

int mlimg_qemu_img(const char *const *args, char **ret_output, struct mlimg_err *err)
{
	return mlimg_qemu_img_within(
		args, reads_image(args[0]) ? 0 : MLIMG_QEMU_IMG_MS, ret_output, err);
}

/* Warnings go the same way, on lines before it. */
static int read_json(const char *command, const char *output, json_t **ret, struct mlimg_err *err)
{
	const char *begin = output[0] == '{' ? output : strstr(output, "\n{");
	json_t *json = begin ? json_loads(begin, JSON_DISABLE_EOF_CHECK, NULL) : NULL;

	if (!json_is_object(json)) {
		json_decref(json);
		return mlimg_err_set(err, 0, PROGRAM " %s: no JSON object", command);
	}
	*ret = json;
	return 0;
}

int mlimg_qemu_img_json(const char *const *args, json_t **ret, struct mlimg_err *err)
{
	mlimg_autofree char *output = NULL;
	int r = mlimg_qemu_img(args, &output, err);

	return r < 0 ? r : read_json(args[0], output, ret, err);
}

/* qemu-img(1), check: 2: there are errors; 3: there are leaks, and no errors. */
static bool has_report(int status)
{
	return WIFEXITED(status) &&
		(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2 || WEXITSTATUS(status) == 3);
}

/* It counts marks among the errors; each is said before it, on a line of its own. */
static struct mlimg_qemu_img_report report_of(const json_t *report, uint64_t marks)
{
	const uint64_t errors =
		(uint64_t)json_integer_value(json_object_get(report, "corruptions"));

	return (struct mlimg_qemu_img_report){.errors = errors > marks ? errors - marks : 0,
		.marks = errors > marks ? marks : errors,
		.leaks = (uint64_t)json_integer_value(json_object_get(report, "leaks")),
		.freed = (uint64_t)json_integer_value(json_object_get(report, "leaks-fixed"))};
}

int mlimg_qemu_img_check(
	const char *path, bool frees, struct mlimg_qemu_img_report *ret, struct mlimg_err *err)
{
	const char *const looks[] = {"check", "-f", "qcow2", "--output=json", path, NULL};
	const char *const mends[] = {
		"check", "-r", "all", "-f", "qcow2", "--output=json", path, NULL};
	autooutput struct output output = {.is_tail = true};
	json_t *report = NULL;
	int status = 0, r = run_to_end(frees ? mends : looks, 0, &output, &status, err);

	if (r < 0)
		return r;
	if (!has_report(status))
		return tell("check", status, output.text, err);
	r = read_json("check", output.text, &report, err);
	if (r == 0)
		*ret = report_of(report, output.n_marks);
	json_decref(report);
	return r;
}
