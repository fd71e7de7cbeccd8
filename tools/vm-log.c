/* SPDX-License-Identifier: MIT */
#include "tools/vm-log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

/*
 * The largest piece that is written to what says it is ready. A pipe then takes PIPE_BUF (4096)
 * bytes at least, but a terminal is ready with less than 256 bytes waiting, and would make a longer
 * piece wait when it is stopped meanwhile.
 */
#define PIECE 256

static int open_file(const char *path)
{
	const int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct stat st;

	/* Not O_RDWR: with itself as a reader, a FIFO would never show that it has none. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return open(path, O_WRONLY | flags);
	return open(path, O_RDWR | O_CREAT | O_TRUNC | flags, 0600);
}

int mlimg_vm_log_open(struct mlimg_vm_log *log, const char *path, struct mlimg_err *err)
{
	struct stat st;

	log->path = strdup(path);
	if (!log->path)
		return mlimg_err_set(err, ENOMEM, "log '%s'", path);
	log->out = open_file(path);
	if (log->out < 0 && errno == ENXIO && stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
		return mlimg_err_set(err, 0, "log '%s' is a FIFO that nobody reads", path);
	if (log->out < 0 || fstat(log->out, &st) < 0)
		return mlimg_err_set(err, errno, "log '%s'", path);
	log->is_file = S_ISREG(st.st_mode);
	return 0;
}

static void rotate(struct mlimg_vm_log *log)
{
	mlimg_autofree char *old = NULL;

	if (asprintf(&old, "%s.1", log->path) < 0) {
		old = NULL;
		return;
	}
	rename(log->path, old);
	close(log->out);
	log->out = open_file(log->path);
	log->size = 0;
}

void mlimg_vm_log_put(int fd, const char *text, size_t size)
{
	while (size > 0) {
		struct pollfd pfd = {.fd = fd, .events = POLLOUT};
		ssize_t n = -1;

		if (poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLOUT))
			n = write(fd, text, size < PIECE ? size : PIECE);
		if (n <= 0)
			return;
		text += n;
		size -= (size_t)n;
	}
}

bool mlimg_vm_log_pump(struct mlimg_vm_log *log)
{
	char buf[16384];
	ssize_t n = log->in >= 0 ? read(log->in, buf, sizeof(buf)) : -1;

	if (n <= 0) {
		if (log->in >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR))) {
			close(log->in);
			log->in = -1;
		}
		return false;
	}
	log->bytes += (uint64_t)n;
	log->size += (uint64_t)n;
	if (log->also)
		log->also(log->also_ctx, buf, (size_t)n);
	if (!log->is_file)
		mlimg_vm_log_put(log->out, buf, (size_t)n);
	else if (mlimg_write_all(log->out, buf, (size_t)n) == 0 && log->size >= MLIMG_VM_LOG_MAX)
		rotate(log);
	return true;
}

void mlimg_vm_log_last_line(const struct mlimg_vm_log *log, char *ret_line, size_t size)
{
	char text[4096];
	off_t from = log->size >= sizeof(text) ? (off_t)(log->size - sizeof(text) + 1) : 0;
	ssize_t n = pread(log->out, text, sizeof(text) - 1, from);
	char *newline;

	ret_line[0] = '\0';
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	if (n <= 0)
		return;
	text[n] = '\0';
	newline = strrchr(text, '\n');
	snprintf(ret_line, size, "%s", newline ? newline + 1 : text);
}

void mlimg_vm_log_close(struct mlimg_vm_log *log)
{
	mlimg_cleanup_close(&log->in);
	mlimg_cleanup_close(&log->out);
	free(log->path);
	*log = (struct mlimg_vm_log)MLIMG_VM_LOG_INIT;
}
