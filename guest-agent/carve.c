/* SPDX-License-Identifier: MIT */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/carve-impl.h"
#include "guest-agent/protect.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/declared.h"
#include "libmlimg/io.h"
#include "libmlimg/path.h"

static bool is_taken(const char *path)
{
	static const char *const taken[] = {"dev", "proc", "run", "sys", "etc/mlimg"};

	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (mlimg_path_is_within(path, taken[i]) || mlimg_path_is_within(taken[i], path))
			return true;
	return false;
}

static void take_line(const char *name, unsigned n, const char *path, const char *flaw, void *ctx)
{
	struct mlimg_carve *carve = ctx;

	if (!path) {
		mlimg_carve_note(carve, "%s, line %u: %s", name, n, flaw);
		return;
	}
	if (is_taken(path)) {
		mlimg_carve_note(
			carve, "%s, line %u: '/%.200s' is not to be carved out", name, n, path);
		return;
	}
	for (size_t i = 0; i < carve->n_paths; i++) {
		if (strcmp(path, carve->paths[i]) == 0)
			return;
		if (mlimg_path_is_within(path, carve->paths[i]) ||
			mlimg_path_is_within(carve->paths[i], path)) {
			mlimg_carve_note(carve,
				"%s, line %u: '/%.200s' and '/%.200s' lie in each other", name, n,
				path, carve->paths[i]);
			return;
		}
	}
	if (carve->n_paths == MLIMG_CARVE_MAX)
		mlimg_carve_note(
			carve, "%s, line %u: more than %d carve-outs", name, n, MLIMG_CARVE_MAX);
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
		mlimg_carve_note(carve, "carve-outs.d/%s", err.text);
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
		mlimg_carve_note(carve, "carve-outs.d: %s", strerror(-n));
	for (int i = 0; i < n; i++)
		read_one(fd, names[i]->d_name, carve);
	mlimg_declared_free(names, n);
}

/* A user's carve-out would cover what is protected as well as a user's file. */
static bool is_protected(struct mlimg_carving *c, const char *path)
{
	if (!mlimg_protect_is_covered_by(c->protect, path))
		return false;
	mlimg_carve_note(c->carve, "the carve-out '/%.200s' would cover a protected path", path);
	return true;
}

/* @return NULL, or the former carve-out with files that @path lies in */
static const char *former_around(struct mlimg_carving *c, const char *path)
{
	for (size_t i = 0; i < c->made.n_paths; i++) {
		const char *former = c->made.paths[i];

		if (mlimg_path_is_within(path, former) && strcmp(path, former) != 0 &&
			mlimg_carve_has_store(c, former) > 0)
			return former;
	}
	return NULL;
}

static int mount_declared(struct mlimg_carving *c, struct mlimg_err *err)
{
	struct mlimg_carve *carve = c->carve;
	int r = 0;

	carve->n_paths = 0;
	for (size_t i = 0; i < c->n_declared && r >= 0; i++) {
		const char *path = c->declared[i], *former = former_around(c, path);

		if (is_protected(c, path))
			continue;
		if (former)
			mlimg_carve_note(carve,
				"the carve-out '/%.200s' lies in '/%.200s', which is no longer "
				"declared and has files",
				path, former);
		r = former ? 0 : mlimg_carve_mount_one(c, path, err);
		if (r == 1)
			strcpy(carve->paths[carve->n_paths++], path);
	}
	return r < 0 ? r : 0;
}

static bool is_declared(const struct mlimg_carving *c, const char *path)
{
	for (size_t i = 0; i < c->n_declared; i++)
		if (strcmp(c->declared[i], path) == 0)
			return true;
	return false;
}

static bool is_in_view(const struct mlimg_carve *carve, const char *path)
{
	for (size_t i = 0; i < carve->n_paths; i++)
		if (mlimg_path_is_within(path, carve->paths[i]))
			return true;
	return false;
}

/*
 * What an earlier boot made and nobody declares any more, or what could not be mounted now: files
 * in there stay in view, or it is said where they are.
 * @return 1: the user layer still has it, beside what is mounted; 0; -errno
 */
static int mount_former(struct mlimg_carving *c, const char *path, struct mlimg_err *err)
{
	struct mlimg_carve *carve = c->carve;
	int r = is_in_view(carve, path) ? 0 : mlimg_carve_has_store(c, path);

	if (r <= 0)
		return r < 0; /* what cannot be opened is not forgotten */
	if (!is_declared(c, path) && !is_protected(c, path) && carve->n_paths < MLIMG_CARVE_MAX) {
		r = mlimg_carve_mount_one(c, path, err);
		if (r < 0)
			return r;
		if (r == 1) {
			strcpy(carve->paths[carve->n_paths++], path);
			mlimg_carve_note(carve,
				"the carve-out '/%.200s' is no longer declared, and stays for the "
				"files in it: move them elsewhere, and the next boot leaves it out",
				path);
			return 0;
		}
	}
	mlimg_carve_tell(carve,
		"the carve-out '/%.200s' is not mounted: its files are in "
		"/run/mlimg/user/" MLIMG_CARVE_DIR "/%.200s",
		path, path);
	return 1;
}

static int mount_all(struct mlimg_carving *c, struct mlimg_err *err)
{
	size_t n = 0;
	int r = mount_declared(c, err);

	for (size_t i = 0; i < c->made.n_paths && r >= 0; i++) {
		r = mount_former(c, c->made.paths[i], err);
		if (r == 1 && n++ != i)
			strcpy(c->made.paths[n - 1], c->made.paths[i]);
	}
	c->made.n_paths = n;
	return r < 0 ? r : 0;
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

static int carve_out(struct mlimg_carving *c, int run_fd, struct mlimg_err *err)
{
	struct mlimg_carve *carve = c->carve;
	mlimg_autoclose int base_fd = -1;
	int r;

	read_all(c->root_fd, carve);
	memcpy(c->declared, carve->paths, sizeof(c->declared));
	c->n_declared = carve->n_paths;
	r = mlimg_protect_recall(run_fd, c->protect, err);
	if (r < 0)
		return r;
	mlimg_carve_made_read(c);
	if (!c->n_declared && !c->made.n_paths)
		return 0;
	carve->n_paths = 0;
	base_fd = open_base(run_fd, c->mode, err);
	/* No room for a directory, or none that was made before the root became read-only. */
	if (base_fd < 0) {
		mlimg_carve_note(carve, "no carve-outs: %s", err->text);
		return 0;
	}
	c->base_fd = base_fd;
	r = mount_all(c, err);
	if (r == 0 && c->mode == MLIMG_BOOT_NORMAL)
		mlimg_carve_made_write(c);
	return r;
}

int mlimg_carve_mount(int run_fd, const char *root, enum mlimg_boot_mode mode,
	struct mlimg_carve *carve, struct mlimg_err *err)
{
	mlimg_autoclose int root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mlimg_autoclose int user_fd = -1;
	mlimg_autofree struct mlimg_carving *c = calloc(1, sizeof(*c));
	mlimg_autofree struct mlimg_protect *protect = calloc(1, sizeof(*protect));
	int r;

	if (root_fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", root);
	if (!c || !protect)
		return mlimg_err_set(err, ENOMEM, "carve-outs");
	/* A rescue has nothing of the user's. */
	if (mode != MLIMG_BOOT_RESCUE)
		user_fd = mlimg_open_beneath_strict(run_fd, "user", O_RDONLY | O_DIRECTORY);
	c->root_fd = root_fd;
	c->user_fd = user_fd;
	c->mode = mode;
	c->carve = carve;
	c->protect = protect;
	r = carve_out(c, run_fd, err);
	free(c->text);
	return r;
}
