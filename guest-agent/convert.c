/* SPDX-License-Identifier: MIT */
/* Carries out the plan of a conversion. */
#include "guest-agent/convert.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/calls.h"
#include "guest-agent/change.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/whiteout.h"
#include "tools/cli.h"

#define MAKING "mlimg-convert" /* in work: a directory until it is whole */

struct conversion {
	const struct mlimg_mounted *user;
	const struct mlimg_boot_state *state;
	bool to_unionfs;
	int upper_fd, work_fd, dir_fd; /* dir_fd: /mlimg */
	struct mlimg_manifest *base;   /* read when first needed */
	mlimg_convert_step_fn *step;
	void *ctx;
};

/* Where a record's path leads. */
struct place {
	int fd;           /* the directory that holds it; closed by who opened it */
	const char *name; /* in there */
};

static int step(struct conversion *c)
{
	return c->step && c->step(c->ctx) ? -ECANCELED : 0;
}

/* @return 0 or -errno; -ENOENT when the directory is not there */
static int open_place(int root_fd, const char *path, struct place *ret)
{
	mlimg_autofree char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir)
		return -ENOMEM;
	*(slash ? slash : dir) = '\0';
	ret->name = slash ? path + (slash - dir) + 1 : path;
	if (!*ret->name || strcmp(ret->name, ".") == 0 || strcmp(ret->name, "..") == 0)
		return -EUCLEAN;
	ret->fd = mlimg_open_beneath_strict(root_fd, *dir ? dir : ".", O_RDONLY | O_DIRECTORY);
	return ret->fd < 0 ? ret->fd : 0;
}

/* Makes the marker of @path, and the directories on its way as unionfs-fuse does. */
static int make_marker(struct conversion *c, const char *path, bool is_dir)
{
	char marker[sizeof(MLIMG_UNIONFS_DIR) + MLIMG_UNIONFS_PATH_MAX + 16];
	struct place place = {.fd = -1};
	int r;

	strcpy(marker, MLIMG_UNIONFS_DIR "/");
	if (mlimg_unionfs_marker_of(path, marker + strlen(marker), NULL) < 0)
		return -EUCLEAN;
	for (char *slash = strchr(marker, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		r = open_place(c->upper_fd, marker, &place);
		if (r == 0 && mkdirat(place.fd, place.name, 0770) < 0 && errno != EEXIST)
			r = -errno;
		mlimg_cleanup_close(&place.fd);
		place.fd = -1;
		*slash = '/';
		if (r < 0)
			return r;
	}
	r = open_place(c->upper_fd, marker, &place);
	if (r == 0 &&
		(is_dir ? mkdirat(place.fd, place.name, 0700)
			: mknodat(place.fd, place.name, S_IFREG | 0600, 0)) < 0 &&
		errno != EEXIST)
		r = -errno;
	mlimg_cleanup_close(&place.fd);
	return r;
}

static int make_whiteout(struct conversion *c, const char *path)
{
	struct place place = {.fd = -1};
	int r = open_place(c->upper_fd, path, &place);

	if (r == 0 && mknodat(place.fd, place.name, S_IFCHR, makedev(0, 0)) < 0 && errno != EEXIST)
		r = -errno;
	mlimg_cleanup_close(&place.fd);
	return r;
}

static int make_opaque(struct conversion *c, const char *path)
{
	mlimg_autoclose int fd =
		mlimg_open_beneath_strict(c->upper_fd, path, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return fd;
	return fsetxattr(fd, MLIMG_XATTR_OPAQUE, "y", 1, 0) < 0 ? -errno : 0;
}

static int set_attributes(int fd, const struct mlimg_entry *entry)
{
	const struct timespec times[2] = {
		{entry->mtime_s, entry->mtime_ns}, {entry->mtime_s, entry->mtime_ns}};

	if (fchown(fd, entry->uid, entry->gid) < 0 || fchmod(fd, entry->mode) < 0)
		return -errno;
	for (uint32_t i = 0; i < entry->n_xattrs; i++)
		if (fsetxattr(fd, entry->xattrs[i].name, entry->xattrs[i].value,
			    entry->xattrs[i].size, 0) < 0)
			return -errno;
	return futimens(fd, times) < 0 ? -errno : 0;
}

/* Made aside, so that it is there with its attributes or not at all. */
static int make_directory_in(struct conversion *c, const struct place *to, const char *path)
{
	const struct mlimg_entry *entry;
	mlimg_autoclose int fd = -1;
	struct stat st;
	int r;

	if (fstatat(to->fd, to->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	r = c->base ? 0 : mlimg_base_read(c->user, c->state, &c->base, NULL);
	entry = r < 0 ? NULL : mlimg_manifest_find(c->base, path);
	if (!entry || entry->type != MLIMG_DIR)
		return r < 0 ? r : -EUCLEAN;
	unlinkat(c->work_fd, MAKING, AT_REMOVEDIR);
	if (mkdirat(c->work_fd, MAKING, 0700) < 0)
		return -errno;
	fd = openat(c->work_fd, MAKING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : set_attributes(fd, entry);
	if (r == 0)
		r = step(c);
	if (r == 0 && renameat(c->work_fd, MAKING, to->fd, to->name) < 0)
		r = -errno;
	return r;
}

static int make_directory(struct conversion *c, const char *path)
{
	struct place place = {.fd = -1};
	int r = open_place(c->upper_fd, path, &place);

	if (r == 0)
		r = make_directory_in(c, &place, path);
	mlimg_cleanup_close(&place.fd);
	return r;
}

static int remove_whiteout(struct conversion *c, const char *path)
{
	struct place place = {.fd = -1};
	struct stat st;
	int r = open_place(c->upper_fd, path, &place);

	if (r == 0 && fstatat(place.fd, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISCHR(st.st_mode) && st.st_rdev == 0 && unlinkat(place.fd, place.name, 0) < 0)
		r = -errno;
	mlimg_cleanup_close(&place.fd);
	return r;
}

/* @name: a path that leads to the entry itself */
static int remove_own_xattrs(const char *name)
{
	mlimg_autofree char *list = NULL;
	ssize_t size = llistxattr(name, NULL, 0);

	if (size < 0)
		return -errno;
	list = malloc((size_t)size + 1);
	size = list ? llistxattr(name, list, (size_t)size) : -1;
	if (size < 0)
		return list ? -errno : -ENOMEM;
	for (const char *x = list; x < list + size; x += strlen(x) + 1)
		if (strncmp(x, MLIMG_XATTR_OVERLAY, strlen(MLIMG_XATTR_OVERLAY)) == 0 &&
			lremovexattr(name, x) < 0)
			return -errno;
	return 0;
}

static int remove_xattrs(struct conversion *c, const char *path)
{
	char name[64 + MLIMG_NAME_MAX];
	struct place place = {.fd = -1};
	int r;

	snprintf(name, sizeof(name), "/proc/self/fd/%d/.", c->upper_fd);
	if (!*path)
		return remove_own_xattrs(name);
	r = open_place(c->upper_fd, path, &place);
	if (r == 0) {
		snprintf(name, sizeof(name), "/proc/self/fd/%d/%.255s", place.fd, place.name);
		r = remove_own_xattrs(name);
	}
	mlimg_cleanup_close(&place.fd);
	return r;
}

static int remove_meta(struct conversion *c, const char *path)
{
	mlimg_autofree char *whole = NULL;
	struct place place = {.fd = -1};
	int r;

	if (asprintf(&whole, MLIMG_UNIONFS_DIR "%s%s", *path ? "/" : "", path) < 0)
		return -ENOMEM;
	r = open_place(c->upper_fd, whole, &place);
	if (r == 0 && unlinkat(place.fd, place.name, 0) < 0) {
		r = -errno;
		if (r == -EISDIR)
			r = unlinkat(place.fd, place.name, AT_REMOVEDIR) < 0 ? -errno : 0;
	}
	mlimg_cleanup_close(&place.fd);
	return r == -ENOENT ? 0 : r;
}

static int set_time(struct conversion *c, const char *record)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
	mlimg_autoclose int fd = -1;
	long long s = 0;
	unsigned long ns = 0;
	int n = 0;

	if (sscanf(record, "%lld.%9lu%n", &s, &ns, &n) != 2 || record[n] != ' ')
		return -EUCLEAN;
	record += n + 1;
	times[1].tv_sec = s;
	times[1].tv_nsec = (long)ns;
	fd = mlimg_open_beneath_strict(c->upper_fd, *record ? record : ".", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	return futimens(fd, times) < 0 ? -errno : 0;
}

static int carry_out(struct conversion *c, const char *record)
{
	const char *path = record + 2;

	switch (*record) {
	case 'd': return make_directory(c, path);
	case 'w': return c->to_unionfs ? make_marker(c, path, false) : make_whiteout(c, path);
	case 'o': return c->to_unionfs ? make_marker(c, path, true) : make_opaque(c, path);
	case 'r': return remove_whiteout(c, path);
	case 'x': return remove_xattrs(c, path);
	case 'm': return remove_meta(c, path);
	default: return set_time(c, path);
	}
}

static int sync_all(struct conversion *c, struct mlimg_err *err)
{
	int r = step(c);

	if (r == 0 && syncfs(c->upper_fd) < 0)
		r = -errno;
	return r < 0 ? mlimg_err_set(err, r, "sync") : 0;
}

static int carry_out_all(
	struct conversion *c, const struct mlimg_convert_plan *plan, struct mlimg_err *err)
{
	bool is_removing = false;
	int r = 0;

	for (const char *at = plan->text; at < plan->text + plan->size && r == 0;
		at += strlen(at) + 1) {
		if (!is_removing && strchr("rxm", *at)) {
			is_removing = true;
			r = sync_all(c, err);
			if (r < 0)
				return r;
		}
		r = step(c);
		if (r == 0)
			r = carry_out(c, at);
		if (r < 0)
			return mlimg_err_set(err, r, "upper: '%s'", at);
	}
	unlinkat(c->work_fd, MAKING, AT_REMOVEDIR);
	return sync_all(c, err);
}

static int write_state(struct conversion *c, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_boot_state *state = malloc(sizeof(*state));
	mlimg_autofree char *text = NULL;
	int r;

	if (!state)
		return mlimg_err_set(err, ENOMEM, "convert");
	*state = *c->state;
	strcpy(state->stack.union_driver,
		c->to_unionfs ? MLIMG_UNION_UNIONFS : MLIMG_UNION_OVERLAY);
	r = mlimg_boot_state_to_json(state, &text, err);
	if (r == 0)
		r = step(c);
	if (r == 0)
		r = mlimg_replace_file(c->dir_fd, "state.json", text, strlen(text), 0644, err);
	if (r == 0)
		r = step(c);
	if (r == 0 && (unlinkat(c->dir_fd, MLIMG_CONVERT_PLAN, 0) < 0 || fsync(c->dir_fd) < 0))
		r = mlimg_err_set(err, errno, "remove '" MLIMG_CONVERT_PLAN "'");
	return r;
}

/* A plan that is there already was stopped, and is ended first. */
static int find_plan(
	struct conversion *c, struct mlimg_convert_plan *ret_plan, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r;

	if (mlimg_convert_is_pending(c->dir_fd)) {
		r = mlimg_mounted_read(c->user, "mlimg/" MLIMG_CONVERT_PLAN, MLIMG_CONVERT_PLAN_MAX,
			&text, &size, err);
		return r < 0 ? r : mlimg_convert_parse(text, size, ret_plan, err);
	}
	r = mlimg_convert_make_plan(c->user, c->state, ret_plan, err);
	if (r == 0)
		r = mlimg_convert_put(ret_plan, &text, &size, err);
	if (r == 0)
		r = step(c);
	return r < 0 ? r : mlimg_replace_file(c->dir_fd, MLIMG_CONVERT_PLAN, text, size, 0600, err);
}

static int open_all(struct conversion *c, struct mlimg_err *err)
{
	static const char *const names[] = {"upper", "work", "mlimg"};
	int *const fds[] = {&c->upper_fd, &c->work_fd, &c->dir_fd};

	for (size_t i = 0; i < 3; i++) {
		*fds[i] = openat(
			c->user->fd, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (*fds[i] < 0)
			return mlimg_err_set(err, errno, "open '%s'", names[i]);
	}
	return 0;
}

static void conversion_done(struct conversion *c)
{
	mlimg_cleanup_close(&c->upper_fd);
	mlimg_cleanup_close(&c->work_fd);
	mlimg_cleanup_close(&c->dir_fd);
	mlimg_manifest_free(c->base);
}

static int convert_once(struct conversion *c, uint64_t *ret_n, struct mlimg_err *err)
{
	struct mlimg_convert_plan plan = {.text = NULL};
	int r = find_plan(c, &plan, err);

	c->to_unionfs = plan.to_unionfs;
	if (r == 0)
		r = carry_out_all(c, &plan, err);
	if (r == 0)
		r = write_state(c, err);
	if (r == 0)
		*ret_n = plan.n_marks;
	free(plan.text);
	return r;
}

/* A user layer that has never run was written by nobody. */
static int check_unused(const struct conversion *c, struct mlimg_err *err)
{
	int r = mlimg_dir_has_entries(c->upper_fd, ".");

	if (r < 0)
		return mlimg_err_set(err, r, "read 'upper'");
	return r ? mlimg_err_refuse(err,
			   "mlimg/state.json is missing, which would tell what driver wrote "
			   "upper; restore it, or boot once with that driver")
		 : 0;
}

/* @return 0; 1 when there is none */
static int read_state(
	const struct conversion *c, struct mlimg_boot_state *state, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_mounted_read(
		c->user, "mlimg/state.json", MLIMG_BOOT_STATE_MAX, &text, &size, err);

	if (r == -ENOENT)
		return 1;
	return r < 0 ? r : mlimg_boot_state_from_json(text, size, state, err);
}

bool mlimg_convert_is_pending(int dir_fd)
{
	return faccessat(dir_fd, MLIMG_CONVERT_PLAN, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int mlimg_convert(const struct mlimg_mounted *user, const char *to, mlimg_convert_step_fn *step_fn,
	void *ctx, uint64_t *ret_n, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_boot_state *state = malloc(sizeof(*state));
	struct conversion c = {.user = user,
		.state = state,
		.upper_fd = -1,
		.work_fd = -1,
		.dir_fd = -1,
		.step = step_fn,
		.ctx = ctx};
	struct mlimg_change_call change = {.user_fd = user->fd};
	int r = state ? open_all(&c, err) : mlimg_err_set(err, ENOMEM, "convert");

	*ret_n = 0;
	/* Its steps are in the present form. */
	if (r == 0)
		r = mlimg_change_resume(&change, err);
	while (r == 0) {
		r = read_state(&c, state, err);
		if (r == 1) {
			r = check_unused(&c, err);
			break;
		}
		if (r < 0 ||
			(!mlimg_convert_is_pending(c.dir_fd) &&
				mlimg_boot_is_same_upper(state->stack.union_driver, to)))
			break;
		r = convert_once(&c, ret_n, err);
	}
	conversion_done(&c);
	return r;
}
