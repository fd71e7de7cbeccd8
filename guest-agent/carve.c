/* SPDX-License-Identifier: MIT */
#include "guest-agent/carve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/protect.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/declared.h"
#include "libmlimg/io.h"

#define NEW ".new" /* a directory that does not yet have its owner and mode */

#define note(carve, ...) \
	mlimg_boot_add_note((carve)->notes, &(carve)->n_notes, MLIMG_CARVE_NOTES_MAX, __VA_ARGS__)

static bool is_within(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (!path[len] || path[len] == '/');
}

static bool is_taken(const char *path)
{
	static const char *const taken[] = {"dev", "proc", "run", "sys", "etc/mlimg"};

	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (is_within(path, taken[i]) || is_within(taken[i], path))
			return true;
	return false;
}

static void take_line(const char *name, unsigned n, const char *path, const char *flaw, void *ctx)
{
	struct mlimg_carve *carve = ctx;

	if (!path) {
		note(carve, "%s, line %u: %s", name, n, flaw);
		return;
	}
	if (is_taken(path)) {
		note(carve, "%s, line %u: '/%.200s' is not to be carved out", name, n, path);
		return;
	}
	for (size_t i = 0; i < carve->n_paths; i++) {
		if (strcmp(path, carve->paths[i]) == 0)
			return;
		if (is_within(path, carve->paths[i]) || is_within(carve->paths[i], path)) {
			note(carve, "%s, line %u: '/%.200s' and '/%.200s' lie in each other", name,
				n, path, carve->paths[i]);
			return;
		}
	}
	if (carve->n_paths == MLIMG_CARVE_MAX)
		note(carve, "%s, line %u: more than %d carve-outs", name, n, MLIMG_CARVE_MAX);
	else
		strcpy(carve->paths[carve->n_paths++], path);
}

void mlimg_carve_parse(const char *name, const char *text, size_t size, struct mlimg_carve *carve)
{
	mlimg_declared_parse(name, text, size, take_line, carve);
}

/* What the user may have put there must not stop the boot. */
static void read_one(int dir_fd, const char *name, struct mlimg_carve *carve)
{
	mlimg_autofree char *text = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char shown[64];
	size_t size;

	mlimg_declared_show(name, shown);
	if (mlimg_declared_read(dir_fd, name, &text, &size, &err) < 0)
		note(carve, "carve-outs.d/%s", err.text);
	else
		mlimg_carve_parse(shown, text, size, carve);
}

static void read_all(int root_fd, struct mlimg_carve *carve)
{
	mlimg_autoclose int fd =
		mlimg_open_beneath_strict(root_fd, MLIMG_CARVE_CONF, O_RDONLY | O_DIRECTORY);
	struct dirent **names = NULL;
	int n = fd < 0 ? 0 : mlimg_declared_list(fd, &names);

	if (n < 0)
		note(carve, "carve-outs.d: %s", strerror(-n));
	for (int i = 0; i < n; i++)
		read_one(fd, names[i]->d_name, carve);
	mlimg_declared_free(names, n);
}

/* A user's carve-out would cover what is protected as well as a user's file. */
static int leave_protected(int run_fd, struct mlimg_carve *carve, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_protect *protect = calloc(1, sizeof(*protect));
	size_t n = 0;
	int r = protect ? mlimg_protect_recall(run_fd, protect, err)
			: mlimg_err_set(err, ENOMEM, "carve-outs");

	if (r < 0)
		return r;
	for (size_t i = 0; i < carve->n_paths; i++) {
		if (mlimg_protect_is_covered_by(protect, carve->paths[i]))
			note(carve, "the carve-out '/%.200s' would cover a protected path",
				carve->paths[i]);
		else if (n++ != i)
			strcpy(carve->paths[n - 1], carve->paths[i]);
	}
	carve->n_paths = n;
	return 0;
}

/*
 * Gives the directory NEW its name. unionfs-fuse 1.0 has no rename with flags; a plain one takes
 * the place of an empty directory at most.
 */
static int name_new(int dir, const char *name)
{
	if (renameat2(dir, NEW, dir, name, RENAME_NOREPLACE) == 0)
		return 0;
	return errno == EINVAL ? renameat(dir, NEW, dir, name) : -1;
}

/*
 * Opens the directory @path beneath @fd, and makes what of it is missing where @can_make says so.
 * @param like  the last part is made with this owner and mode; NULL: root's, 0755
 */
static int open_path(int fd, const char *path, bool can_make, const struct stat *like)
{
	char part[MLIMG_CARVE_PATH_MAX + 1];
	mlimg_autoclose int dir = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	const char *rest = path;

	while (dir >= 0 && *rest) {
		size_t len = strcspn(rest, "/");
		bool is_last = !rest[len];
		int next;

		snprintf(part, sizeof(part), "%.*s", (int)len, rest);
		next = mlimg_open_beneath_strict(dir, part, O_RDONLY | O_DIRECTORY);
		if (next == -ENOENT && can_make) {
			/* Never there without its owner and mode, whenever the power is cut. */
			unlinkat(dir, NEW, AT_REMOVEDIR);
			if (mkdirat(dir, NEW, 0700) < 0 ||
				(is_last && like &&
					fchownat(dir, NEW, like->st_uid, like->st_gid, 0) < 0) ||
				fchmodat(dir, NEW, is_last && like ? like->st_mode & 07777 : 0755,
					0) < 0 ||
				name_new(dir, part) < 0)
				return -errno;
			next = mlimg_open_beneath_strict(dir, part, O_RDONLY | O_DIRECTORY);
		}
		if (next < 0)
			return next;
		close(dir);
		dir = next;
		rest += len + !is_last;
	}
	return dir < 0 ? -errno : mlimg_steal_fd(&dir);
}

/* No name is looked up again but through /proc: what was opened is what is mounted. */
static int bind(int store, int target, int root_fd, const char *path, bool is_read_only,
	struct mlimg_err *err)
{
	unsigned long flags = MS_REMOUNT | MS_BIND | (is_read_only ? MS_RDONLY : 0);
	mlimg_autoclose int mounted = -1;
	char from[40], to[40];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", store);
	snprintf(to, sizeof(to), "/proc/self/fd/%d", target);
	if (mount(from, to, NULL, MS_BIND, NULL) < 0)
		return mlimg_err_set(err, errno, "mount the carve-out '/%s'", path);
	mounted = mlimg_open_beneath_strict(root_fd, path, O_RDONLY | O_DIRECTORY);
	if (mounted < 0)
		return mlimg_err_set(err, mounted, "open the carve-out '/%s'", path);
	/*
	 * Without nosuid and nodev, which the user's file system has: container engines keep
	 * programs there.
	 */
	snprintf(to, sizeof(to), "/proc/self/fd/%d", mounted);
	if (mount(NULL, to, NULL, flags, NULL) < 0)
		return mlimg_err_set(err, errno, "set the options of the carve-out '/%s'", path);
	return 0;
}

/* @return 1 when it was mounted, 0 when it was left out with a note, or -errno */
static int mount_one(int base_fd, int root_fd, const char *path, bool is_read_only,
	struct mlimg_carve *carve, struct mlimg_err *err)
{
	mlimg_autoclose int target = open_path(root_fd, path, !is_read_only, NULL);
	mlimg_autoclose int store = -1;
	struct stat st;
	int r;

	if (target < 0 || fstat(target, &st) < 0) {
		note(carve,
			"the carve-out '/%s' is no directory, or lies behind a symbolic link: %s",
			path, strerror(target < 0 ? -target : errno));
		return 0;
	}
	store = open_path(base_fd, path, false, NULL);
	if (store == -ENOENT && is_read_only)
		return 0;
	if (store == -ENOENT) {
		store = open_path(base_fd, path, true, &st);
		if (store >= 0 && mlimg_dir_has_entries(target, ".") == 1)
			note(carve, "the carve-out '/%s' hides what the layers have there", path);
	}
	if (store < 0) {
		note(carve, "the carve-out '/%s' has no place in the user layer: %s", path,
			strerror(-store));
		return 0;
	}
	r = bind(store, target, root_fd, path, is_read_only, err);
	return r < 0 ? r : 1;
}

static int open_base(int run_fd, enum mlimg_boot_mode mode, struct mlimg_err *err)
{
	const char *where =
		mode == MLIMG_BOOT_NORMAL || mode == MLIMG_BOOT_READONLY ? "user" : "volatile";
	mlimg_autoclose int dir = mlimg_open_beneath_strict(run_fd, where, O_RDONLY | O_DIRECTORY);
	int fd;

	if (dir < 0)
		return mlimg_err_set(err, dir, "open '%s'", where);
	if (mode != MLIMG_BOOT_READONLY && mkdirat(dir, MLIMG_CARVE_DIR, 0700) < 0 &&
		errno != EEXIST)
		return mlimg_err_set(err, errno, "make '%s/%s'", where, MLIMG_CARVE_DIR);
	fd = mlimg_open_beneath_strict(dir, MLIMG_CARVE_DIR, O_RDONLY | O_DIRECTORY);
	return fd < 0 ? mlimg_err_set(err, fd, "open '%s/%s'", where, MLIMG_CARVE_DIR) : fd;
}

int mlimg_carve_mount(int run_fd, const char *root, enum mlimg_boot_mode mode,
	struct mlimg_carve *carve, struct mlimg_err *err)
{
	mlimg_autoclose int root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mlimg_autoclose int base_fd = -1;
	size_t n = 0;
	int r = 0;

	if (root_fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", root);
	read_all(root_fd, carve);
	r = leave_protected(run_fd, carve, err);
	if (r < 0)
		return r;
	if (!carve->n_paths)
		return 0;
	base_fd = open_base(run_fd, mode, err);
	/* No room for a directory, or none that was made before the root became read-only. */
	if (base_fd < 0) {
		note(carve, "no carve-outs: %s", err->text);
		carve->n_paths = 0;
		return 0;
	}
	for (size_t i = 0; i < carve->n_paths && r >= 0; i++) {
		r = mount_one(
			base_fd, root_fd, carve->paths[i], mode == MLIMG_BOOT_READONLY, carve, err);
		if (r == 1 && n++ != i)
			strcpy(carve->paths[n - 1], carve->paths[i]);
	}
	carve->n_paths = n;
	return r < 0 ? r : 0;
}
