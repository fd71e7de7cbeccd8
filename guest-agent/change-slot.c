/* SPDX-License-Identifier: MIT */
/* What the steps of a change put, made beforehand in a slot of its own. */
#include <fcntl.h>
#include <unistd.h>

#include "guest-agent/change-place.h"
#include "guest-agent/lowers.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/whiteout.h"

static int make_file(int fd, const char *slot, const char *path,
	const struct mlimg_change_contents *contents, struct mlimg_err *err)
{
	mlimg_autoclose int file = openat(fd, slot, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (file < 0)
		return mlimg_err_set(err, errno, "make '/%s'", path);
	if (contents->of)
		return mlimg_lowers_copy(contents->lowers, contents->of, file, err);
	r = mlimg_write_all(file, contents->data, contents->size);
	return r < 0 ? mlimg_err_set(err, r, "make '/%s'", path) : 0;
}

int mlimg_change_make_slot(struct mlimg_change *c, int fd, const char *slot,
	const struct mlimg_entry *entry, const struct mlimg_change_contents *contents,
	struct mlimg_err *err)
{
	static const struct mlimg_entry marker = {.type = MLIMG_FILE};
	bool is_whiteout = mlimg_entry_is_whiteout(entry);
	int r;

	if (entry->type == MLIMG_FILE) {
		r = make_file(fd, slot, entry->path, contents, err);
		if (r < 0)
			return r;
	} else {
		r = mlimg_entry_at_make(fd, slot, is_whiteout && c->is_unionfs ? &marker : entry);
	}
	if (r == 0 && !is_whiteout)
		r = mlimg_entry_at_set(&c->reader, fd, slot, entry);
	return r < 0 ? mlimg_err_set(err, r, "make '/%s'", entry->path) : 0;
}
