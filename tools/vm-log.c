/* SPDX-License-Identifier: MIT */
#include "tools/vm-log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

static int open_file(const char *path)
{
	return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
}

int mlimg_vm_log_open(struct mlimg_vm_log *log, const char *path, struct mlimg_err *err)
{
	struct stat st;

	log->path = strdup(path);
	if (!log->path)
		return mlimg_err_set(err, ENOMEM, "log '%s'", path);
	log->out = open_file(path);
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
	if (mlimg_write_all(log->out, buf, (size_t)n) == 0 && log->is_file &&
		log->size >= MLIMG_VM_LOG_MAX)
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
