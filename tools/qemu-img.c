/* SPDX-License-Identifier: MIT */
#include "tools/qemu-img.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "libmlimg/cleanup.h"
#include "tools/vm-process.h"

#define PROGRAM "qemu-img"
#define ARGS_MAX 30
#define READ_SIZE 65536

/* Stopping in the middle of a line is as good as any place: what is so long is not read anyway. */
static int read_some(int fd, FILE *f, size_t *size)
{
	char buf[READ_SIZE];
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	ssize_t n = poll(&pfd, 1, -1) < 0 ? -1 : read(fd, buf, sizeof(buf));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : -errno;
	*size += (size_t)n;
	if (*size > MLIMG_QEMU_IMG_OUTPUT_MAX)
		return -EFBIG;
	return n == 0 || fwrite(buf, 1, (size_t)n, f) == (size_t)n ? n > 0 : -ENOMEM;
}

static int read_output(int fd, char **ret_output)
{
	mlimg_autofree char *output = NULL;
	size_t size = 0, text_size;
	FILE *f = open_memstream(&output, &text_size);
	int ret = f ? 1 : -ENOMEM;

	while (ret == 1)
		ret = read_some(fd, f, &size);
	if (f && fclose(f) != 0 && ret == 0)
		ret = -ENOMEM;
	if (ret == 0)
		*ret_output = mlimg_steal(&output);
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

int mlimg_qemu_img(const char *const *args, char **ret_output, struct mlimg_err *err)
{
	struct mlimg_process process = MLIMG_PROCESS_INIT;
	mlimg_autofree char *output = NULL;
	mlimg_autoclose int fd = -1;
	char *argv[ARGS_MAX + 2] = {(char *)PROGRAM};
	int ret, status;

	for (size_t i = 0; args[i]; i++) {
		if (i == ARGS_MAX)
			return mlimg_err_set(err, E2BIG, PROGRAM " %s", args[0]);
		argv[i + 1] = (char *)args[i];
	}
	ret = mlimg_process_start(argv, false, &process, &fd, err);
	if (ret < 0)
		return ret;
	ret = read_output(fd, &output);
	if (ret < 0)
		kill(process.pid, SIGTERM);
	status = mlimg_process_wait(&process);
	if (ret < 0)
		return mlimg_err_set(err, ret, PROGRAM " %s", args[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return tell(args[0], status, output, err);
	if (ret_output)
		*ret_output = mlimg_steal(&output);
	return 0;
}

int mlimg_qemu_img_json(const char *const *args, json_t **ret, struct mlimg_err *err)
{
	mlimg_autofree char *output = NULL;
	const char *begin;
	json_t *json;
	int r = mlimg_qemu_img(args, &output, err);

	if (r < 0)
		return r;
	/* Warnings go the same way, on lines before it. */
	begin = output[0] == '{' ? output : strstr(output, "\n{");
	json = begin ? json_loads(begin, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
	if (!json_is_object(json)) {
		json_decref(json);
		return mlimg_err_set(err, 0, PROGRAM " %s: no JSON object", args[0]);
	}
	*ret = json;
	return 0;
}
