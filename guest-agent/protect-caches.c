/* SPDX-License-Identifier: MIT */
/* Of what covers protected paths, caches that mlimg has made itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/protect-impl.h"
#include "guest-agent/rebuild.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/rebuild.h"
#include "libmlimg/remove-tree.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"

void mlimg_cover_read_derived(struct mlimg_cover *c)
{
	size_t size;

	if (mlimg_read_beneath(c->user_fd, "mlimg/" MLIMG_REBUILD_DERIVED, MLIMG_REBUILD_LIST_MAX,
		    &c->derived, &size, NULL) < 0)
		c->derived = NULL;
}

/* Whether it is a cache, or part of one, that the list has. */
static bool is_derived(const struct mlimg_cover *c, const char *path)
{
	char listed[MLIMG_LAYER_PATH_MAX + 1];
	size_t size;

	if (!mlimg_rebuild_is_cache(path, listed))
		return false;
	size = strlen(listed);
	for (const char *at = c->derived; at && *at; at += strcspn(at, "\n"), at += *at == '\n')
		if (strncmp(at, listed, size) == 0 && (at[size] == '\n' || !at[size]))
			return true;
	return false;
}

/* And was not replaced by hand since. */
static bool is_made(const struct mlimg_cover *c, int dir, const char *name, const char *path)
{
	return is_derived(c, path) && mlimg_rebuild_is_made_beneath(dir, name, path);
}

struct looking {
	const struct mlimg_cover *c;
	const char *top;
	bool has_any;
};

static int visit(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	char path[2 * MLIMG_PATH_MAX + 2];
	struct looking *l = ctx;

	/* A directory that hides or shows another one is the user's. */
	if (entry->type == MLIMG_DIR)
		return mlimg_entry_is_opaque(entry) ||
				mlimg_entry_xattr(entry, MLIMG_XATTR_REDIRECT)
			? -ECANCELED
			: 0;
	snprintf(path, sizeof(path), "%s/%s", l->top, entry->path);
	if (entry->type != MLIMG_FILE || !is_made(l->c, at->parent_fd, at->name, path))
		return -ECANCELED;
	l->has_any = true;
	return 0;
}

/* @return 1 when there is something in the directory, and nothing else; 0, -errno */
static int has_only_caches(const struct mlimg_cover *c, int dir, const char *name, const char *path)
{
	mlimg_autoclose int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct looking l = {.c = c, .top = path};

	if (fd < 0)
		return -errno;
	/* What cannot be read is something else. */
	return mlimg_walk(fd, 0, visit, &l, NULL) == 0 && l.has_any;
}

int mlimg_cover_remove_caches(struct mlimg_cover *c, int dir, const char *name, const char *path)
{
	struct stat st;
	int r = 0;

	if (!c->derived || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISREG(st.st_mode))
		r = is_made(c, dir, name, path);
	else if (S_ISDIR(st.st_mode))
		r = has_only_caches(c, dir, name, path);
	if (r <= 0)
		return r < 0 ? mlimg_err_set(c->err, r, "read '/%.200s' of the upper", path) : 0;
	if (!c->can_write) {
		mlimg_boot_add_note(c->protect->notes, &c->protect->n_notes,
			MLIMG_PROTECT_NOTES_MAX,
			"a cache covers '/%.200s', which is protected: it stays in this mode",
			path);
		return 1;
	}
	r = mlimg_cover_mark(c);
	if (r == 0)
		r = mlimg_remove_tree(dir, name);
	return r < 0 ? mlimg_err_set(c->err, r, "remove '/%.200s' of the upper", path) : 1;
}
