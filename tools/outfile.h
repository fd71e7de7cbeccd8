/* SPDX-License-Identifier: MIT */
/**
 * @file outfile.h
 * An output file that is there whole or not at all: written under a temporary name beside its
 * target, synced, then renamed. On failure, and on every signal that a user, a terminal, a closed
 * pipe or a limit on processor time sends, the temporary file is removed; SIGKILL and a fault of
 * the program leave it. Opening one makes the process ignore SIGXFSZ, so that a limit on the size
 * of files is an error of write(2) like a full disk. For small content in memory there is
 * mlimg_replace_file().
 */
#ifndef MLIMG_TOOLS_OUTFILE_H
#define MLIMG_TOOLS_OUTFILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/err.h"

#define MLIMG_OUTFILES_MAX 4 /**< files that may be open at a time in one process */

/** An output file. Initialise with MLIMG_OUTFILE_INIT. */
struct mlimg_outfile {
	int fd;     /**< read and write; positioned where the caller left it */
	int dir_fd; /**< private */
	int slot;   /**< private */
	bool can_replace;
	char *path;     /**< the target */
	char *tmp_path; /**< where it is now: for those who need a name (libext2fs) */
};

#define MLIMG_OUTFILE_INIT                         \
	{                                          \
		.fd = -1, .dir_fd = -1, .slot = -1 \
	}

/**
 * Create the temporary file, empty, mode 0600. The directory must be readable, for syncing it.
 *
 * @param out          initialised
 * @param path         the target; a symbolic link is replaced, not followed
 * @param can_replace  whether an existing regular file may be replaced; anything else never is
 * @param err          names the target
 * @return             0; -EEXIST when the target exists and may not be replaced; other -errno
 */
int mlimg_outfile_open(struct mlimg_outfile *out, const char *path, bool can_replace,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * @return whether both names lead to one regular file that exists: an input must not be replaced by
 * what is made of it
 */
bool mlimg_outfile_is_input(const char *target, const char *input);

/**
 * Sync, set the mode to 0666 without the umask's bits, rename to the target, sync the directory,
 * close. On return with 0 the file is on stable storage under its name. On failure the temporary
 * file is gone.
 *
 * @param out  an open one; closed in any case
 * @param err  names the target
 * @return     0 or -errno; -EEXIST when the target has come into being meanwhile and may not be
 * replaced
 */
int mlimg_outfile_commit(struct mlimg_outfile *out, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Commit files that belong together. First all of them are synced; from then on no signal ends the
 * program. What is stale is removed, and the files are renamed one after the other, each of these
 * steps being durable before the next one. When one fails, those before it that cannot replace
 * anything are removed again.
 *
 * @param outs     open ones, in the order in which they are to appear; closed in any case
 * @param n        their number, at least 1
 * @param stale    names to be removed from the directory of the first one; they need not exist
 * @param n_stale  their number
 * @param err      names the file
 * @return         as mlimg_outfile_commit()
 */
int mlimg_outfile_commit_all(struct mlimg_outfile *const outs[], size_t n,
	const char *const stale[], size_t n_stale, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Give up: remove the temporary file, close. Harmless after commit and on an initialised one. */
void mlimg_outfile_abort(struct mlimg_outfile *out);

/**
 * Have a file removed by the same signals, for who makes many files in turn.
 *
 * @param path  not copied: may be changed while it is not watched. No file needs to be there
 * @return      a slot for mlimg_outfile_unwatch(), or -EMFILE
 */
int mlimg_outfile_watch(char *path);

/** Watch no longer; accepts a negative slot. */
void mlimg_outfile_unwatch(int slot);

#define mlimg_autooutfile mlimg_cleanup(mlimg_outfile_abort) /**< mlimg_outfile_abort() */

#endif
