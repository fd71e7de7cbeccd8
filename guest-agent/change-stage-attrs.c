/* SPDX-License-Identifier: MIT */
/* Attributes of what is there, made ready to be set. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "guest-agent/change-stage-impl.h"

/* What @entry has of attributes, and @old of the rest. */
static struct mlimg_entry with_attributes(
	const struct mlimg_entry *old, const struct mlimg_entry *entry)
{
	struct mlimg_entry fresh = *old;

	fresh.mode = entry->mode;
	fresh.uid = entry->uid;
	fresh.gid = entry->gid;
	fresh.mtime_s = entry->mtime_s;
	fresh.mtime_ns = entry->mtime_ns;
	fresh.xattrs = entry->xattrs;
	fresh.n_xattrs = entry->n_xattrs;
	return fresh;
}

/* Both of one type; without contents. */
static int set_and_set_back(
	struct staging *s, const struct mlimg_entry *old, const struct mlimg_entry *fresh)
{
	static const char name[] = "tried";
	struct mlimg_entry_reader reader = {.link = ""};
	int fd = s->c.new_fd, r;

	r = old->type == MLIMG_FILE ? (mknodat(fd, name, S_IFREG | 0600, 0) < 0 ? -errno : 0)
				    : mlimg_entry_at_make(fd, name, old);
	if (r == 0)
		r = mlimg_entry_at_set_all_xattrs(fd, name, old);
	if (r == 0)
		r = mlimg_entry_at_set(&reader, fd, name, fresh);
	if (r == 0)
		r = mlimg_entry_at_set(&reader, fd, name, old);
	unlinkat(fd, name, old->type == MLIMG_DIR ? AT_REMOVEDIR : 0);
	mlimg_entry_reader_done(&reader);
	return r;
}

/*
 * A file system has little room for the xattrs of one file, and says so when they are set: here to
 * something of the same type that has the same ones, there and back.
 */
static int try_xattrs(
	struct staging *s, const struct mlimg_entry *old, const struct mlimg_entry *fresh)
{
	struct statvfs st;
	int r;

	if (mlimg_entry_has_same_xattrs(old, fresh))
		return 0;
	r = set_and_set_back(s, old, fresh);
	/* With room on the disk it is no matter of that. */
	if (r == -ENOSPC && fstatvfs(s->c.new_fd, &st) == 0 && st.f_bavail > 16)
		r = -E2BIG;
	return r < 0 ? mlimg_err_set(s->err, r, "set the attributes of '/%s'", old->path) : 0;
}

int stage_set_attributes(struct staging *s, const struct mlimg_plan_op *op)
{
	const struct mlimg_entry *e = op->entry;
	struct mlimg_undo_record record = {.op = 's', .path = op->path};
	struct mlimg_change_place at;
	int r = mlimg_path_map_covers(&s->gone, op->path) ? -ENOENT
							  : mlimg_change_find(&s->c, op->path, &at);

	if (r == 0)
		r = mlimg_entry_at_read(
			&s->c.reader, at.fd, at.name, op->path, false, &record.entry);
	if (mlimg_change_is_nowhere(r) || (r == 0 && record.entry.type != e->type))
		return stage_refuse(s, op, "is not there");
	if (r < 0)
		return mlimg_err_set(s->err, r, "look at 'user/upper/%s'", op->path);
	record.fresh = with_attributes(&record.entry, e);
	r = try_xattrs(s, &record.entry, &record.fresh);
	if (r < 0)
		return r;
	stage_emit(s, &record);
	if (e->type != MLIMG_DIR)
		return 0;
	return stage_add_time(s, op->path,
		(struct mlimg_undo_time){record.entry.mtime_s, record.entry.mtime_ns},
		(struct mlimg_undo_time){e->mtime_s, e->mtime_ns});
}
