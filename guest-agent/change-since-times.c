/* SPDX-License-Identifier: MIT */
/* The times that directories are to have when a change was taken back. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/change-since-impl.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/path.h"

/* @return 1 and the time, 0 when there is no such directory, -errno */
static int time_now(struct since *s, const char *path, struct mlimg_undo_time *ret)
{
	struct mlimg_change_place at;
	struct stat st;
	int r = mlimg_change_find(s->c, path, &at);

	if (r == 0 && fstatat(at.fd, at.name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		r = -errno;
	if (r < 0)
		return mlimg_change_is_nowhere(r)
			? 0
			: mlimg_err_set(s->err, r, "look at 'user/upper/%s'", path);
	*ret = (struct mlimg_undo_time){st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec};
	return 1;
}

/* The old one, unless the user has written in it since. */
static int put_time(struct since *s, struct mlimg_undo_record *record)
{
	struct mlimg_undo_time now;
	size_t at;
	int r = mlimg_path_map_get(&s->first_done, record->path, &at)
		? 0
		: time_now(s, record->path, &now);

	if (r < 0)
		return r;
	if (r == 0 || (now.s == record->new_time.s && now.ns == record->new_time.ns))
		record->new_time = record->old_time;
	else
		record->new_time = now;
	mlimg_change_extra_add(&s->then, record);
	return 0;
}

/* Directories in which something else is done are as the user has left them, or as they are made. */
static int put_present(struct since *s, const char *path)
{
	struct mlimg_undo_record record = {.op = 't', .path = path};
	struct mlimg_entry made;
	size_t at;
	int r = mlimg_path_map_get(&s->first_done, path, &at) ? 0
							      : time_now(s, path, &record.new_time);

	if (r == 0 && mlimg_path_map_get(&s->dirs_done, path, &at)) {
		r = since_dir_like(s, path, &made);
		if (r < 0)
			return r;
		record.new_time = (struct mlimg_undo_time){made.mtime_s, made.mtime_ns};
		r = 1;
	}
	record.old_time = record.new_time;
	if (r > 0)
		mlimg_change_extra_add(&s->then, &record);
	return r < 0 ? r : 0;
}

int since_times(struct since *s)
{
	struct mlimg_undo_record record;
	int r = 0;

	for (size_t n = 0; n < s->log->n_records && r == 0; n++) {
		r = mlimg_undo_log_get(s->log, n, &record, s->err);
		if (r < 0 || record.op != 't')
			continue;
		if (mlimg_path_map_set(&s->timed, record.path, 0) < 0)
			return since_no_memory(s);
		r = put_time(s, &record);
	}
	for (size_t i = 0; i < s->n_touched && r == 0; i++) {
		size_t at;

		if (mlimg_path_map_get(&s->timed, s->touched[i], &at))
			continue;
		if (mlimg_path_map_set(&s->timed, s->touched[i], 0) < 0)
			return since_no_memory(s);
		r = put_present(s, s->touched[i]);
	}
	return r;
}

int since_touch(struct since *s, const char *path)
{
	char *dir = mlimg_arena_strndup(s->arena, path, mlimg_path_dir_size(path));

	if (!dir ||
		mlimg_buffer_reserve(&s->touched, &s->touched_room,
			(s->n_touched + 1) * sizeof(*s->touched)) < 0)
		return since_no_memory(s);
	s->touched[s->n_touched++] = dir;
	return 0;
}
