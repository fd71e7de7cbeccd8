/* SPDX-License-Identifier: MIT */
/* Opening and closing of a store, and making one. */
#include "tools/store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/io.h"
#include "tools/store-impl.h"

#define LOCK_TRIES 100    /* for a lock that others share */
#define LOCK_PAUSE_MS 100 /* between them */

static char *join(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

int mlimg_store_default_dir(char **ret_dir, struct mlimg_err *err)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char *dir;

	if (geteuid() == 0)
		dir = strdup("/var/lib/mlimg");
	else if (state && *state == '/')
		dir = join(state, "mlimg");
	else if (home && *home == '/')
		dir = join(home, ".local/state/mlimg");
	else
		return mlimg_store_fail(err, ENOENT,
			"neither XDG_STATE_HOME nor HOME says where the store is: give --store");
	if (!dir)
		return mlimg_err_set(err, ENOMEM, "directory of the store");
	*ret_dir = dir;
	return 0;
}

/* With those above it: what the XDG specification wants of such directories, root's can be seen. */
static int make_dir(const char *dir, struct mlimg_err *err)
{
	const mode_t mode = geteuid() == 0 ? 0755 : 0700;
	mlimg_autofree char *path = strdup(dir);

	if (!path)
		return mlimg_err_set(err, ENOMEM, "make '%.300s'", dir);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, mode) < 0 && errno != EEXIST && errno != EROFS)
			return mlimg_err_set(err, errno, "make '%.300s'", path);
		*p = '/';
	}
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return mlimg_err_set(err, errno, "make '%.300s'", path);
	return 0;
}

static bool is_ours(const char *name)
{
	static const char *const others[] = {".", "..", "lost+found", "lock", "upgrade.lock",
		MLIMG_STORE_DB, MLIMG_STORE_DB "-wal", MLIMG_STORE_DB "-shm",
		MLIMG_STORE_DB "-journal"};

	for (size_t i = 0; i < MLIMG_STORE_PLACES; i++)
		if (strcmp(name, mlimg_store_dirs[i].name) == 0)
			return true;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(name, others[i]) == 0)
			return true;
	return false;
}

static int no_store(const struct mlimg_store *s, struct mlimg_err *err)
{
	return mlimg_store_fail(
		err, ENOENT, "'%.300s': no store is there; 'mlimg-store add' makes one", s->dir);
}

/* What is no store is not even given a lock. */
static int check_names(const struct mlimg_store *s, struct mlimg_err *err)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(s->dir_fd, ".");
	const struct dirent *entry;

	if (!dir)
		return mlimg_err_set(err, errno, "open '%.300s'", s->dir);
	while (errno = 0, (entry = readdir(dir)))
		if (!is_ours(entry->d_name))
			return mlimg_err_refuse(err, "'%.300s' is no store, and not empty", s->dir);
	return errno ? mlimg_err_set(err, errno, "read '%.300s'", s->dir) : 0;
}

/* @return 1 when there is something in it, 0, -errno */
static int has_files(const struct mlimg_store *s, const char *place, struct mlimg_err *err)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(s->dir_fd, place);
	const struct dirent *entry;

	if (!dir && errno == ENOENT)
		return 0;
	while (dir && (errno = 0, (entry = readdir(dir))))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			strcmp(entry->d_name, "lost+found") != 0)
			return 1;
	return errno ? mlimg_err_set(err, errno, "read '%.300s/%s'", s->dir, place) : 0;
}

static int open_db(struct mlimg_store *s, enum mlimg_db_access access,
	enum mlimg_store_state *ret_state, struct mlimg_err *err)
{
	mlimg_autofree char *path = join(s->dir, MLIMG_STORE_DB);
	struct stat st;
	int ret;

	if (!path)
		return mlimg_err_set(err, ENOMEM, "open '%.300s'", s->dir);
	if (s->is_frozen && fstatat(s->dir_fd, MLIMG_STORE_DB "-wal", &st, 0) == 0 && st.st_size)
		return mlimg_store_fail(err, EROFS,
			"'%.300s-wal' has changes that must be written before the store can be "
			"read: Read-only file system",
			path);
	ret = mlimg_db_open(path, s->is_frozen ? MLIMG_DB_FROZEN : access, &s->db, err);
	return ret < 0 ? ret : mlimg_store_schema_look(s->db, path, s->n_schema, ret_state, err);
}

static int look_at_db(
	struct mlimg_store *s, enum mlimg_store_state *ret_state, struct mlimg_err *err)
{
	*ret_state = MLIMG_STORE_BLANK;
	if (s->db)
		return mlimg_store_schema_look(s->db, s->dir, s->n_schema, ret_state, err);
	return faccessat(s->dir_fd, MLIMG_STORE_DB, F_OK, 0) == 0
		? open_db(s, MLIMG_DB_WRITE, ret_state, err)
		: 0;
}

/*
 * What only a database knew is not given a new one, to which all of it would be nobody's: gc would
 * remove layers that tenants need. While somebody makes the store, its database is there first.
 */
static int check_orphaned(
	struct mlimg_store *s, enum mlimg_store_state *ret_state, struct mlimg_err *err)
{
	static const enum mlimg_store_place known[] = {
		MLIMG_STORE_LAYERS, MLIMG_STORE_TENANTS, MLIMG_STORE_BASES, MLIMG_STORE_REMOVED};
	const char *full = NULL;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < sizeof(known) / sizeof(known[0]); i++) {
		full = mlimg_store_dirs[known[i]].name;
		ret = has_files(s, full, err);
	}
	if (ret == 1)
		ret = look_at_db(s, ret_state, err);
	else
		full = NULL;
	if (ret < 0 || !full || *ret_state != MLIMG_STORE_BLANK)
		return ret;
	return mlimg_err_refuse(err,
		"'%.300s': its database is gone, and '%s' has what it knew: put back a copy of "
		"'" MLIMG_STORE_DB "', or take what is there into a new store (mlimg-store(8), "
		"DIAGNOSTICS)",
		s->dir, full);
}

/*
 * What is there, before anything of it is changed. The database is looked at by SQLite alone: who
 * closes its file himself lets go of the locks that this process has on it.
 */
static int look_at_dir(struct mlimg_store *s, enum mlimg_store_access access,
	enum mlimg_store_state *ret_state, struct mlimg_err *err)
{
	int ret;

	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return errno == ENOENT ? no_store(s, err)
				       : mlimg_err_set(err, errno, "open '%.300s'", s->dir);
	s->is_frozen = faccessat(s->dir_fd, ".", W_OK, 0) < 0 && errno == EROFS;
	ret = look_at_db(s, ret_state, err);
	if (ret == 0 && *ret_state == MLIMG_STORE_BLANK)
		ret = check_names(s, err);
	if (ret == 0 && *ret_state == MLIMG_STORE_BLANK)
		ret = check_orphaned(s, ret_state, err);
	if (ret == 0 && *ret_state == MLIMG_STORE_BLANK && access == MLIMG_STORE_USE)
		ret = no_store(s, err);
	return ret;
}

static int open_lock(struct mlimg_store *s, struct mlimg_err *err)
{
	s->lock_fd = openat(
		s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (s->lock_fd < 0)
		return mlimg_err_set(err, errno, "open '%.300s/lock'", s->dir);
	/* Who has it alone makes the store, which does not last. */
	if (flock(s->lock_fd, LOCK_SH) < 0)
		return mlimg_err_set(err, errno, "lock '%.300s/lock'", s->dir);
	return 0;
}

/* A program that has the store open shares the lock as long as it does. */
static int lock_alone(struct mlimg_store *s, struct mlimg_err *err)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return mlimg_err_set(err, errno, "lock '%.300s/lock'", s->dir);
		poll(NULL, 0, LOCK_PAUSE_MS);
	}
	return mlimg_store_fail(err, EBUSY,
		"'%.300s' is open in another program, and its database is of an older schema: end "
		"that program first",
		s->dir);
}

static int make_places(struct mlimg_store *s, struct mlimg_err *err)
{
	for (size_t i = 0; i < MLIMG_STORE_PLACES; i++)
		if (mkdirat(s->dir_fd, mlimg_store_dirs[i].name, mlimg_store_dirs[i].mode) < 0 &&
			errno != EEXIST)
			return mlimg_err_set(
				err, errno, "make '%.300s/%s'", s->dir, mlimg_store_dirs[i].name);
	return fsync(s->dir_fd) < 0 && errno != EINVAL
		? mlimg_err_set(err, errno, "sync '%.300s'", s->dir)
		: 0;
}

/* The directory that the store is in: a store of which nothing is left is no store either. */
static int sync_parent(const struct mlimg_store *s, struct mlimg_err *err)
{
	mlimg_autoclose int fd = openat(s->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* One that may not be read cannot be synced by us. */
	if (fd < 0 && errno == EACCES)
		return 0;
	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		return mlimg_err_set(err, errno, "sync the directory of '%.300s'", s->dir);
	return 0;
}

static int make_or_renew(struct mlimg_store *s, enum mlimg_store_state state, struct mlimg_err *err)
{
	int ret = lock_alone(s, err);

	/* Somebody else may have done it meanwhile. */
	if (ret == 0 && s->db)
		ret = mlimg_store_schema_look(s->db, s->dir, s->n_schema, &state, err);
	if (ret == 0 && !s->db)
		ret = open_db(s, MLIMG_DB_CREATE, &state, err);
	if (ret == 0 && state != MLIMG_STORE_READY)
		ret = make_places(s, err);
	if (ret == 0 && state != MLIMG_STORE_READY)
		ret = mlimg_store_schema_bring(s->db, s->schema, s->n_schema, err);
	if (ret == 0)
		ret = fsync(s->dir_fd) < 0 && errno != EINVAL
			? mlimg_err_set(err, errno, "sync '%.300s'", s->dir)
			: sync_parent(s, err);
	if (ret == 0 && flock(s->lock_fd, LOCK_SH) < 0)
		ret = mlimg_err_set(err, errno, "lock '%.300s/lock'", s->dir);
	return ret;
}

static int open_places(struct mlimg_store *s, struct mlimg_err *err)
{
	for (size_t i = 0; i < MLIMG_STORE_PLACES; i++) {
		s->fds[i] = openat(s->dir_fd, mlimg_store_dirs[i].name,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (s->fds[i] < 0)
			return mlimg_err_set(
				err, errno, "open '%.300s/%s'", s->dir, mlimg_store_dirs[i].name);
	}
	return 0;
}

/* Whoever had the lock alone may have changed the database since it was looked at. */
static int take_lock(struct mlimg_store *s, enum mlimg_store_state *state, struct mlimg_err *err)
{
	int ret = open_lock(s, err);

	if (ret == 0 && s->db)
		ret = mlimg_store_schema_look(s->db, s->dir, s->n_schema, state, err);
	if (ret == 0 && *state != MLIMG_STORE_READY)
		ret = make_or_renew(s, *state, err);
	return ret;
}

static int open_all(struct mlimg_store *s, enum mlimg_store_access access, struct mlimg_err *err)
{
	enum mlimg_store_state state;
	int ret = access == MLIMG_STORE_MAKE ? make_dir(s->dir, err) : 0;

	if (ret == 0)
		ret = look_at_dir(s, access, &state, err);
	if (ret == 0 && s->is_frozen && state != MLIMG_STORE_READY)
		return mlimg_err_set(err, EROFS, "write '%.300s'", s->dir);
	if (ret == 0 && !s->is_frozen)
		ret = take_lock(s, &state, err);
	if (ret == 0)
		ret = open_places(s, err);
	if (ret == 0 && !s->is_frozen)
		ret = mlimg_store_recover(s, err);
	return ret;
}

int mlimg_store_open_schema(const char *dir, enum mlimg_store_access access,
	const char *const schema[], size_t n_schema, struct mlimg_store **ret_store,
	struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return mlimg_err_set(err, ENOMEM, "open '%.300s'", dir);
	s->schema = schema;
	s->n_schema = n_schema;
	s->dir_fd = s->lock_fd = -1;
	for (size_t i = 0; i < MLIMG_STORE_PLACES; i++)
		s->fds[i] = -1;
	/* Made absolute: who is given a path of it may work elsewhere. */
	s->dir = *dir == '/' ? strdup(dir) : NULL;
	if (*dir != '/') {
		mlimg_autofree char *cwd = getcwd(NULL, 0);

		s->dir = cwd ? join(cwd, dir) : NULL;
	}
	ret = s->dir ? open_all(s, access, err) : mlimg_err_set(err, ENOMEM, "open '%.300s'", dir);
	if (ret == 0)
		*ret_store = mlimg_steal(&s);
	return ret;
}

int mlimg_store_open(const char *dir, enum mlimg_store_access access,
	struct mlimg_store **ret_store, struct mlimg_err *err)
{
	return mlimg_store_open_schema(
		dir, access, mlimg_store_schema, mlimg_store_schema_n, ret_store, err);
}

int mlimg_store_open_given(const char *dir, enum mlimg_store_access access,
	struct mlimg_store **ret_store, struct mlimg_err *err)
{
	mlimg_autofree char *usual = NULL;
	int ret = 0;

	if (dir && !*dir)
		return mlimg_err_usage(err, "--store: no directory given");
	if (!dir)
		ret = mlimg_store_default_dir(&usual, err);
	return ret < 0 ? ret : mlimg_store_open(dir ? dir : usual, access, ret_store, err);
}

void mlimg_store_close(struct mlimg_store *s)
{
	if (!s)
		return;
	mlimg_db_close(s->db);
	for (size_t i = 0; i < MLIMG_STORE_PLACES; i++)
		mlimg_cleanup_close(&s->fds[i]);
	mlimg_cleanup_close(&s->lock_fd);
	mlimg_cleanup_close(&s->dir_fd);
	free(s->dir);
	free(s);
}
