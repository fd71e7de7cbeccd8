/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/base.h"
#include "guest-agent/convert.h"
#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"

/* What is collected while the upper is looked at. */
struct planning {
	const struct mlimg_mounted *user;
	const struct mlimg_boot_state *state;
	int upper_fd;
	FILE *begin, *removal, *times; /* steps, in the order of the plan */
	uint64_t n_marks;
	struct mlimg_manifest *base; /* read when first needed */
	struct mlimg_arena *arena;
	char **hidden; /* to overlayfs: paths of the markers */
	size_t n_hidden, hidden_room;
	char *done;    /* the last path to which "w" or "o" was given: what is below it is hidden */
	char *touched; /* the last directory whose time was noted */
};

static void put(FILE *f, char op, const char *path)
{
	fprintf(f, "%c %s", op, path);
	putc('\0', f);
}

/* The directory that holds @path; "" for the root. Shortens @path. */
static const char *parent_of(char *path)
{
	char *slash = strrchr(path, '/');

	*(slash ? slash : path) = '\0';
	return path;
}

/* The step will change the time of the directory. */
static int keep_time(
	struct planning *p, const char *dir, int64_t s, uint32_t ns, struct mlimg_err *err)
{
	if (p->touched && strcmp(p->touched, dir) == 0)
		return 0;
	free(p->touched);
	p->touched = strdup(dir);
	if (!p->touched)
		return mlimg_err_set(err, ENOMEM, "convert");
	fprintf(p->times, "t %" PRId64 ".%09" PRIu32 " %s", s, ns, dir);
	putc('\0', p->times);
	return 0;
}

static int keep_time_of_parent(struct planning *p, const char *path, struct mlimg_err *err)
{
	mlimg_autofree char *dir = strdup(path);
	mlimg_autoclose int fd = -1;
	struct stat st;

	if (!dir)
		return mlimg_err_set(err, ENOMEM, "convert");
	parent_of(dir);
	fd = mlimg_open_beneath_strict(p->upper_fd, *dir ? dir : ".", O_RDONLY | O_DIRECTORY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return mlimg_err_set(err, fd < 0 ? fd : errno, "'%s'", dir);
	return keep_time(p, dir, st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec, err);
}

/* @return whether it is overlayfs' own, and means nothing to unionfs-fuse */
static bool is_own_xattr(const char *name)
{
	return mlimg_xattr_is_overlay(name) && strcmp(name, MLIMG_XATTR_PROTATTR) != 0;
}

/* --- to unionfs-fuse's form --- */

/*
 * Attributes that tell of the layers beneath, and of nothing that shows (tools/source-upper.h).
 * What the user has made immutable keeps its mark, whatever the driver.
 */
static bool is_droppable(const char *name)
{
	static const char *const names[] = {"origin", "impure", "uuid", "upper"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name + strlen(MLIMG_XATTR_OVERLAY), names[i]) == 0)
			return true;
	return false;
}

static int refuse_mark(const struct mlimg_entry *entry, const char *name, struct mlimg_err *err)
{
	const char *path = entry->path;

	if (strcmp(name, MLIMG_XATTR_REDIRECT) == 0 && entry->type == MLIMG_DIR)
		return mlimg_err_refuse(err,
			"'/%s' was renamed and shows what a layer has elsewhere, for which "
			"unionfs-fuse has no form; replace it by a copy in the guest, and convert "
			"then: cp -a /%s /%s.new && rm -r /%s && mv /%s.new /%s",
			path, path, path, path, path, path);
	return mlimg_err_refuse(
		err, "'/%s' has %s, for which unionfs-fuse has no form", path, name);
}

static int plan_xattrs(struct planning *p, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	bool has_any = false, is_opaque = mlimg_entry_is_opaque(entry);

	for (uint32_t i = 0; i < entry->n_xattrs; i++) {
		const char *name = entry->xattrs[i].name;

		if (!is_own_xattr(name))
			continue;
		has_any = true;
		/* What is opaque takes nothing from a directory elsewhere. */
		if (!is_droppable(name) &&
			!(is_opaque && entry->type == MLIMG_DIR &&
				(strcmp(name, MLIMG_XATTR_OPAQUE) == 0 ||
					strcmp(name, MLIMG_XATTR_REDIRECT) == 0)))
			return refuse_mark(entry, name, err);
	}
	if (has_any)
		put(p->removal, 'x', entry->path);
	return 0;
}

static int visit_upper(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	char marker[MLIMG_UNIONFS_PATH_MAX + 16];
	struct planning *p = ctx;
	int r;

	if (mlimg_unionfs_is_meta(entry->path))
		return mlimg_err_refuse(err,
			"'/%s' is a name that unionfs-fuse takes for its own: rename it first",
			entry->path);
	if (strlen(entry->path) > MLIMG_UNIONFS_PATH_MAX)
		return mlimg_err_refuse(
			err, "'/%.200s...': unionfs-fuse knows no path as long", entry->path);
	if (!mlimg_entry_is_whiteout(entry) && !mlimg_entry_is_opaque(entry))
		return plan_xattrs(p, entry, err);
	if (!*entry->path) /* overlayfs pays no heed to it either */
		return plan_xattrs(p, entry, err);
	r = mlimg_unionfs_marker_of(entry->path, marker, err);
	if (r < 0)
		return r;
	p->n_marks++;
	put(p->begin, entry->type == MLIMG_DIR ? 'o' : 'w', entry->path);
	if (entry->type == MLIMG_DIR)
		return plan_xattrs(p, entry, err);
	put(p->removal, 'r', entry->path);
	return keep_time_of_parent(p, entry->path, err);
}

static int plan_to_unionfs(struct planning *p, struct mlimg_err *err)
{
	int r = keep_time_of_parent(p, "", err); /* which gets MLIMG_UNIONFS_DIR */

	return r < 0 ? r : mlimg_walk(p->upper_fd, MLIMG_WALK_ONE_FS, visit_upper, p, err);
}

/* --- to overlayfs' form --- */

static int visit_branch(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	if (mlimg_unionfs_is_meta(entry->path))
		return 1;
	if (mlimg_entry_is_whiteout(entry))
		return mlimg_err_refuse(err,
			"'/%s' is a device 0,0, which overlayfs would take for a whiteout: "
			"remove it first",
			entry->path);
	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		if (is_own_xattr(entry->xattrs[i].name))
			return mlimg_err_refuse(err,
				"'/%s' has %s, which is overlayfs' own: remove it first",
				entry->path, entry->xattrs[i].name);
	return 0;
}

static int visit_marker(const struct mlimg_entry *entry, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct planning *p = ctx;
	char *path = NULL;
	size_t size;

	put(p->removal, 'm', entry->path);
	if (!mlimg_unionfs_marker(entry->path, &size))
		return 0;
	if (mlimg_buffer_reserve(
		    &p->hidden, &p->hidden_room, (p->n_hidden + 1) * sizeof(*p->hidden)) == 0)
		path = mlimg_arena_strndup(p->arena, entry->path, size);
	if (!path)
		return mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
	p->hidden[p->n_hidden++] = path;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(*(char *const *)a, *(char *const *)b);
}

static const struct mlimg_entry *find_in_base(
	struct planning *p, const char *path, int *ret, struct mlimg_err *err)
{
	*ret = p->base ? 0 : mlimg_base_read(p->user, p->state, &p->base, err);
	return *ret < 0 ? NULL : mlimg_manifest_find(p->base, path);
}

/*
 * The directories on the way to @path, which the branch need not have: they become copies of those
 * beneath.
 *
 * @return 1; 0 when there is no such directory, so that the marker hides nothing; -errno
 */
static int plan_way(struct planning *p, const char *path, struct mlimg_err *err)
{
	mlimg_autofree char *dir = strdup(path);
	const struct mlimg_entry *entry;
	struct stat st;
	int r;

	for (char *slash = dir; slash && (slash = strchr(slash, '/')); *slash++ = '/') {
		mlimg_autoclose int fd = -1;

		*slash = '\0';
		fd = mlimg_open_beneath_strict(p->upper_fd, dir, O_PATH | O_NOFOLLOW);
		if (fd >= 0 && fstat(fd, &st) == 0) {
			if (!S_ISDIR(st.st_mode))
				return 0;
			r = keep_time(p, dir, st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec, err);
		} else if (fd == -ENOENT) {
			entry = find_in_base(p, dir, &r, err);
			if (!entry || entry->type != MLIMG_DIR)
				return r < 0 ? r : 0;
			put(p->begin, 'd', dir);
			r = keep_time(p, dir, entry->mtime_s, entry->mtime_ns, err);
		} else {
			r = mlimg_err_set(err, fd < 0 ? fd : errno, "'/%s'", dir);
		}
		if (r < 0)
			return r;
	}
	return dir ? 1 : mlimg_err_set(err, ENOMEM, "convert");
}

static int plan_marker(struct planning *p, char *path, struct mlimg_err *err)
{
	mlimg_autoclose int fd = -1;
	struct stat st;
	int r;

	if (p->done && mlimg_path_is_below(path, p->done))
		return 0;
	r = plan_way(p, path, err);
	if (r <= 0)
		return r;
	fd = mlimg_open_beneath_strict(p->upper_fd, path, O_PATH | O_NOFOLLOW);
	if (fd < 0 && fd != -ENOENT)
		return mlimg_err_set(err, fd, "'/%s'", path);
	p->done = path; /* what is no directory has nothing below it that could be hidden */
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode)))
		return 0;
	p->n_marks++;
	put(p->begin, fd < 0 ? 'w' : 'o', path);
	return 0;
}

static int plan_to_overlay(struct planning *p, struct mlimg_err *err)
{
	mlimg_autoclose int fd = openat(
		p->upper_fd, MLIMG_UNIONFS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = mlimg_walk(p->upper_fd, MLIMG_WALK_ONE_FS, visit_branch, p, err);

	if (r < 0 || (fd < 0 && errno == ENOENT))
		return r;
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '/" MLIMG_UNIONFS_DIR "'");
	r = keep_time_of_parent(p, "", err);
	if (r == 0)
		r = mlimg_walk(fd, MLIMG_WALK_NO_XATTRS | MLIMG_WALK_ONE_FS, visit_marker, p, err);
	if (p->n_hidden)
		qsort(p->hidden, p->n_hidden, sizeof(*p->hidden), by_path);
	for (size_t i = 0; i < p->n_hidden && r == 0; i++)
		r = plan_marker(p, p->hidden[i], err);
	return r;
}

/* --- both --- */

/* Removal goes from the end: what is in a directory comes before it. */
static void reverse(char *text, size_t size, FILE *to)
{
	while (size > 0) {
		size_t at = size - 1;

		while (at > 0 && text[at - 1] != '\0')
			at--;
		fwrite(text + at, 1, size - at, to);
		size = at;
	}
}

static int collect(struct planning *p, bool to_unionfs, struct mlimg_err *err)
{
	p->upper_fd = openat(p->user->fd, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->upper_fd < 0)
		return mlimg_err_set(err, errno, "open 'upper'");
	p->arena = mlimg_arena_new();
	if (!p->arena)
		return mlimg_err_set(err, ENOMEM, "convert");
	return to_unionfs ? plan_to_unionfs(p, err) : plan_to_overlay(p, err);
}

int mlimg_convert_make_plan(const struct mlimg_mounted *user, const struct mlimg_boot_state *state,
	struct mlimg_convert_plan *ret_plan, struct mlimg_err *err)
{
	mlimg_autofree char *removal = NULL, *times = NULL, *text = NULL;
	struct planning p = {.user = user, .state = state, .upper_fd = -1};
	bool to_unionfs = strcmp(state->stack.union_driver, MLIMG_UNION_UNIONFS) != 0;
	size_t size = 0, removal_size = 0, times_size = 0;
	int r;

	p.begin = open_memstream(&text, &size);
	p.removal = open_memstream(&removal, &removal_size);
	p.times = open_memstream(&times, &times_size);
	r = p.begin && p.removal && p.times ? collect(&p, to_unionfs, err)
					    : mlimg_err_set(err, ENOMEM, "convert");
	if ((p.removal && fclose(p.removal) != 0) || (p.times && fclose(p.times) != 0))
		r = mlimg_err_set(err, ENOMEM, "convert");
	if (r == 0) {
		reverse(removal, removal_size, p.begin);
		reverse(times, times_size, p.begin);
	}
	if (p.begin && fclose(p.begin) != 0 && r == 0)
		r = mlimg_err_set(err, ENOMEM, "convert");
	if (p.upper_fd >= 0)
		close(p.upper_fd);
	mlimg_manifest_free(p.base);
	mlimg_arena_free(p.arena);
	free(p.hidden);
	free(p.touched);
	if (r == 0)
		*ret_plan = (struct mlimg_convert_plan){.to_unionfs = to_unionfs,
			.text = mlimg_steal(&text),
			.size = size,
			.n_marks = p.n_marks};
	return r;
}
