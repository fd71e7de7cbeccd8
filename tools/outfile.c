/* SPDX-License-Identifier: MIT */
#include "tools/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the signal handler has to remove; absolute or relative to a working directory that nobody
 * changes. */
static char *volatile pending[MLIMG_OUTFILES_MAX];

static const int caught[] = {
	SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXCPU, SIGALRM, SIGUSR1, SIGUSR2};

static void remove_and_die(int sig)
{
	for (size_t i = 0; i < MLIMG_OUTFILES_MAX; i++)
		if (pending[i])
			unlink(pending[i]);
	/* SA_RESETHAND has restored the default: the shell must see that a signal ended us. */
	raise(sig);
}

static void block_signals(sigset_t *ret_old)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaddset(&set, caught[i]);
	pthread_sigmask(SIG_BLOCK, &set, ret_old);
}

/* A signal that was ignored (nohup) or is handled by the program itself is left alone. */
static void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = remove_and_die, .sa_flags = (int)SA_RESETHAND}, old;

	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		if (sigaction(caught[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(caught[i], &sa, NULL);
}

static int claim_slot(char *tmp_path)
{
	for (int i = 0; i < MLIMG_OUTFILES_MAX; i++) {
		if (!pending[i]) {
			pending[i] = tmp_path;
			return i;
		}
	}
	return -1;
}

static int check_target(const char *path, bool can_replace, struct mlimg_err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : mlimg_err_set(err, errno, "write '%s'", path);
	if (S_ISDIR(st.st_mode))
		return mlimg_err_set(err, EISDIR, "write '%s'", path);
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return mlimg_err_set(err, EEXIST, "write '%s', which is not a regular file", path);
	if (!can_replace)
		return mlimg_err_set(err, EEXIST, "write '%s' without --force", path);
	return 0;
}

/* Opened before anything is made, so that what would make the last step fail fails here. */
static int open_directory(struct mlimg_outfile *out, struct mlimg_err *err)
{
	mlimg_autofree char *copy = strdup(out->path);
	const char *dir;

	if (!copy)
		return mlimg_err_set(err, ENOMEM, "write '%s'", out->path);
	dir = dirname(copy);
	out->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out->dir_fd < 0)
		return mlimg_err_set(err, errno, "write '%s'", out->path);
	/* Not made of the target's name, which may be as long as a name can be. */
	if (asprintf(&out->tmp_path, "%s/.mlimg.XXXXXX", dir) < 0) {
		out->tmp_path = NULL;
		return mlimg_err_set(err, ENOMEM, "write '%s'", out->path);
	}
	return 0;
}

/* From here on the temporary file exists only while a signal would remove it. */
static int create_temporary(struct mlimg_outfile *out, struct mlimg_err *err)
{
	sigset_t old;
	int ret = 0;

	block_signals(&old);
	out->slot = claim_slot(out->tmp_path);
	if (out->slot < 0) {
		ret = mlimg_err_set(err, EMFILE, "write '%s'", out->path);
	} else {
		catch_signals();
		out->fd = mkostemp(out->tmp_path, O_CLOEXEC);
		if (out->fd < 0) {
			ret = mlimg_err_set(err, errno, "write '%s'", out->path);
			pending[out->slot] = NULL;
			out->slot = -1;
		}
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

int mlimg_outfile_watch(char *path)
{
	sigset_t old;
	int slot;

	signal(SIGXFSZ, SIG_IGN);
	block_signals(&old);
	slot = claim_slot(path);
	if (slot >= 0)
		catch_signals();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return slot < 0 ? -EMFILE : slot;
}

void mlimg_outfile_unwatch(int slot)
{
	if (slot >= 0)
		pending[slot] = NULL;
}

int mlimg_outfile_open(
	struct mlimg_outfile *out, const char *path, bool can_replace, struct mlimg_err *err)
{
	struct mlimg_outfile new = MLIMG_OUTFILE_INIT;
	int ret = check_target(path, can_replace, err);

	if (ret < 0)
		return ret;
	signal(SIGXFSZ, SIG_IGN);
	new.can_replace = can_replace;
	new.path = strdup(path);
	ret = new.path ? open_directory(&new, err) : mlimg_err_set(err, ENOMEM, "write '%s'", path);
	if (ret == 0)
		ret = create_temporary(&new, err);
	if (ret < 0)
		mlimg_outfile_abort(&new);
	else
		*out = new;
	return ret;
}

bool mlimg_outfile_is_input(const char *target, const char *input)
{
	struct stat to, from;

	return stat(target, &to) == 0 && S_ISREG(to.st_mode) && stat(input, &from) == 0 &&
		to.st_dev == from.st_dev && to.st_ino == from.st_ino;
}

static int put_in_place(const struct mlimg_outfile *out)
{
	if (out->can_replace)
		return rename(out->tmp_path, out->path);
	if (renameat2(AT_FDCWD, out->tmp_path, AT_FDCWD, out->path, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system without RENAME_NOREPLACE: link(2) does not replace either. */
	if (link(out->tmp_path, out->path) < 0)
		return -1;
	return unlink(out->tmp_path);
}

static int sync_file(const struct mlimg_outfile *out, struct mlimg_err *err)
{
	mode_t mask = umask(0);

	umask(mask);
	if (fchmod(out->fd, 0666 & ~mask) < 0 || fsync(out->fd) < 0)
		return mlimg_err_set(err, errno, "write '%s'", out->path);
	return 0;
}

static int sync_directory(const struct mlimg_outfile *out, struct mlimg_err *err)
{
	/* Some file systems cannot sync a directory, and say so with EINVAL. */
	if (fsync(out->dir_fd) < 0 && errno != EINVAL)
		return mlimg_err_set(err, errno, "sync the directory of '%s'", out->path);
	return 0;
}

static int remove_stale(
	const struct mlimg_outfile *out, const char *const stale[], size_t n, struct mlimg_err *err)
{
	bool is_any_removed = false;

	for (size_t i = 0; i < n; i++) {
		if (unlink(stale[i]) == 0)
			is_any_removed = true;
		else if (errno != ENOENT && errno != ENAMETOOLONG)
			return mlimg_err_set(err, errno, "remove '%s'", stale[i]);
	}
	return is_any_removed ? sync_directory(out, err) : 0;
}

static int place(struct mlimg_outfile *out, struct mlimg_err *err)
{
	if (put_in_place(out) < 0)
		return mlimg_err_set(err, errno, "write '%s'", out->path);
	pending[out->slot] = NULL;
	out->slot = -1;
	return 0;
}

static int place_all(struct mlimg_outfile *const outs[], size_t n, struct mlimg_err *err)
{
	for (size_t i = 0; i < n; i++) {
		int ret = place(outs[i], err);

		for (size_t k = 0; ret < 0 && k < i; k++)
			if (!outs[k]->can_replace)
				unlink(outs[k]->path);
		if (ret == 0)
			ret = sync_directory(outs[i], err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int mlimg_outfile_commit_all(struct mlimg_outfile *const outs[], size_t n,
	const char *const stale[], size_t n_stale, struct mlimg_err *err)
{
	sigset_t old;
	int ret = 0;

	for (size_t i = 0; i < n && ret == 0; i++)
		ret = sync_file(outs[i], err);
	if (ret == 0) {
		/* Between the rename and the forgetting of the name a signal must not unlink it. */
		block_signals(&old);
		ret = remove_stale(outs[0], stale, n_stale, err);
		if (ret == 0)
			ret = place_all(outs, n, err);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	for (size_t i = 0; i < n; i++)
		mlimg_outfile_abort(outs[i]);
	return ret;
}

int mlimg_outfile_commit(struct mlimg_outfile *out, struct mlimg_err *err)
{
	return mlimg_outfile_commit_all(&out, 1, NULL, 0, err);
}

void mlimg_outfile_abort(struct mlimg_outfile *out)
{
	sigset_t old;

	if (!out)
		return;
	if (out->slot >= 0) {
		block_signals(&old);
		unlink(out->tmp_path);
		pending[out->slot] = NULL;
		out->slot = -1;
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	if (out->fd >= 0)
		close(out->fd);
	if (out->dir_fd >= 0)
		close(out->dir_fd);
	out->fd = out->dir_fd = -1;
	free(out->path);
	free(out->tmp_path);
	out->path = out->tmp_path = NULL;
}
