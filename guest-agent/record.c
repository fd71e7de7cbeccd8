/* SPDX-License-Identifier: MIT */
#include "guest-agent/record.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/clock.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/manifest.h"

#define EVENTS_SIZE 4096 /* each event is a descriptor: 170 of them at a time */
#define WAITING_MAX 128  /* times so many: more than the kernel's queue holds */

/*
 * Without it a file of 2 GiB and more is not told. In glibc it is 0 on 64-bit machines, where
 * open(2) needs none; fanotify_init(2) does.
 */
#ifdef __x86_64__
#define LARGE_FILES 0100000
#else
#define LARGE_FILES O_LARGEFILE
#endif

struct mlimg_record {
	int fan_fd, root_fd, proc_fd;
	struct mlimg_profile *paths;
	size_t paths_size;               /* bytes */
	char prefix[MLIMG_PATH_MAX + 2]; /* what their paths begin with, a slash at the end */
	bool has_lost;
};

MLIMG_DEFINE_CLEANUP(struct mlimg_record, mlimg_record_free)

/* @return the size of the path, or -errno */
static ssize_t path_of_fd(int proc_fd, int fd, char ret_path[MLIMG_PATH_MAX + 2])
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof(link), "self/fd/%d", fd);
	n = readlinkat(proc_fd, link, ret_path, MLIMG_PATH_MAX + 1);
	if (n < 0 || n > MLIMG_PATH_MAX)
		return n < 0 ? -errno : -ENAMETOOLONG;
	ret_path[n] = '\0';
	return n;
}

int mlimg_record_begin(
	int root_fd, int proc_fd, struct mlimg_record **ret_record, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_record_free_cleanup) struct mlimg_record *record =
		calloc(1, sizeof(*record));
	ssize_t size;

	if (!record)
		return mlimg_err_set(err, ENOMEM, "record");
	record->root_fd = root_fd;
	record->proc_fd = proc_fd;
	/* A FIFO would keep us waiting; and nobody's access times are to change. */
	record->fan_fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK,
		O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOATIME | LARGE_FILES);
	if (record->fan_fd < 0)
		return mlimg_err_set(err, errno, "ask the kernel for what is opened (fanotify)");
	record->paths = mlimg_profile_new();
	if (!record->paths)
		return mlimg_err_set(err, ENOMEM, "record");
	size = path_of_fd(proc_fd, root_fd, record->prefix);
	if (size < 0)
		return mlimg_err_set(err, (int)size, "look into /proc");
	if (record->prefix[size - 1] != '/')
		strcpy(record->prefix + size, "/");
	if (fanotify_mark(record->fan_fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN, root_fd,
		    NULL) < 0)
		return mlimg_err_set(err, errno, "ask the kernel for what is opened (fanotify)");
	*ret_record = mlimg_steal(&record);
	return 0;
}

static int add(struct mlimg_record *record, const char *path)
{
	size_t size = strlen(path) + 1;

	if (mlimg_profile_has(record->paths, path))
		return 0;
	if (mlimg_profile_count(record->paths) == MLIMG_RECORD_FILES_MAX ||
		record->paths_size + size > MLIMG_RECORD_PATHS_MAX) {
		record->has_lost = true;
		return 0;
	}
	record->paths_size += size;
	return mlimg_profile_add(record->paths, path);
}

/*
 * Whether it is this file that is at the path. A process that has ended may have had a mount of its
 * own of a part of the file system, which is told from its own root on then.
 */
static bool is_at(const struct mlimg_record *record, const struct stat *st, const char *path)
{
	struct stat there;

	return mlimg_manifest_path_is_valid(path) &&
		fstatat(record->root_fd, path, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
		there.st_ino == st->st_ino && there.st_dev == st->st_dev;
}

static int take(struct mlimg_record *record, const struct fanotify_event_metadata *event)
{
	size_t prefix_size = strlen(record->prefix);
	char path[MLIMG_PATH_MAX + 2];
	struct stat st;

	if (event->mask & FAN_Q_OVERFLOW)
		record->has_lost = true;
	if (event->fd < 0 || event->pid == getpid() || fstat(event->fd, &st) < 0 ||
		!S_ISREG(st.st_mode) || st.st_nlink == 0)
		return 0;
	if (path_of_fd(record->proc_fd, event->fd, path) < 0 ||
		strncmp(path, record->prefix, prefix_size) != 0 ||
		!is_at(record, &st, path + prefix_size)) {
		record->has_lost = true;
		return 0;
	}
	return add(record, path + prefix_size);
}

/* @return 1 when there may be more, 0, -errno */
static int take_some(struct mlimg_record *record, struct mlimg_err *err)
{
	char events[EVENTS_SIZE] __attribute__((aligned(8)));
	const struct fanotify_event_metadata *event = (void *)events;
	ssize_t size = read(record->fan_fd, events, sizeof(events));
	int r = 0;

	if (size < 0 && errno == EAGAIN)
		return 0;
	if (size < 0 && (errno == EBADF || errno == EFAULT || errno == EINVAL))
		return mlimg_err_set(err, errno, "read what is opened");
	/* Any other error is that of one file, which cannot be opened once more. */
	if (size < 0 && errno != EINTR)
		record->has_lost = true;
	for (; size > 0 && FAN_EVENT_OK(event, size); event = FAN_EVENT_NEXT(event, size)) {
		r = r < 0 ? r : take(record, event);
		if (event->fd >= 0)
			close(event->fd);
	}
	return r < 0 ? mlimg_err_set(err, r, "record") : 1;
}

int mlimg_record_run(
	struct mlimg_record *record, int stop_fd, unsigned seconds, struct mlimg_err *err)
{
	int64_t end_ms = mlimg_clock_ms() + (int64_t)seconds * 1000, left_ms;
	struct pollfd fds[] = {
		{.fd = record->fan_fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
	int r = 0;

	while (r >= 0 && fds[1].revents == 0 && (left_ms = end_ms - mlimg_clock_ms()) > 0) {
		if (poll(fds, 2, (int)left_ms) < 0 && errno != EINTR)
			return mlimg_err_set(err, errno, "wait for what is opened");
		r = take_some(record, err);
	}
	/* What waits, but not what is opened meanwhile without an end. */
	for (int i = 0; i < WAITING_MAX && r > 0; i++)
		r = take_some(record, err);
	close(record->fan_fd);
	record->fan_fd = -1;
	return r < 0 ? r : 0;
}

const struct mlimg_profile *mlimg_record_paths(const struct mlimg_record *record)
{
	return record->paths;
}

bool mlimg_record_has_lost(const struct mlimg_record *record)
{
	return record->has_lost;
}

void mlimg_record_free(struct mlimg_record *record)
{
	if (!record)
		return;
	if (record->fan_fd >= 0)
		close(record->fan_fd);
	mlimg_profile_free(record->paths);
	free(record);
}
