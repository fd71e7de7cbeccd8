/* SPDX-License-Identifier: MIT */
/**
 * @file declared.h
 * Files in which layers declare paths, such as /etc/mlimg/carve-outs.d/NAME.conf: which files of a
 * directory they are, and their lines. What a path means is the caller's affair.
 *
 * A line is an absolute path, in plain ASCII without blanks, without "//", "." and ".." and without
 * '/' at its end; blanks behind it (' ', tab, CR) do not count. Empty lines and those that begin with '#' are nothing.
 */
#ifndef MLIMG_DECLARED_H
#define MLIMG_DECLARED_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/err.h"

#define MLIMG_DECLARED_PATH_MAX 255   /**< bytes of a path */
#define MLIMG_DECLARED_FILE_MAX 65536 /**< bytes of a file */

/**
 * Called for each line that is something.
 *
 * @param file  the file's name, printable
 * @param line  its number, from 1
 * @param path  without the first '/'; NULL when it is no path of this form
 * @param flaw  then what is wrong with it, for a note
 * @param ctx   mlimg_declared_parse()'s
 */
typedef void mlimg_declared_fn(
	const char *file, unsigned line, const char *path, const char *flaw, void *ctx);

/**
 * Read the lines of a file.
 *
 * @param file  what it is called
 * @param text  bytes
 * @param size  their number
 * @param fn    told of each
 * @param ctx   handed to @p fn
 */
void mlimg_declared_parse(
	const char *file, const char *text, size_t size, mlimg_declared_fn *fn, void *ctx);

/** @return whether a name is that of a file of declarations: it ends in ".conf", and begins not with '.' */
bool mlimg_declared_is_file(const char *name);

/**
 * List the files of declarations in a directory.
 *
 * @param dir_fd     the directory
 * @param ret_names  in byte order; mlimg_declared_free() it
 * @return           their number, or -errno
 */
int mlimg_declared_list(int dir_fd, struct dirent ***ret_names);

/** Free the list; accepts none. */
void mlimg_declared_free(struct dirent **names, int n);

/** A file's name for messages: what is not printable becomes '?'; longer ones are cut. */
void mlimg_declared_show(const char *name, char ret_text[64]);

/**
 * Read one of them. Symbolic links are not followed, and nothing but a regular file is read.
 *
 * @param dir_fd    the directory
 * @param name      in there
 * @param ret_text  free() it
 * @param ret_size  bytes
 * @param err       names it
 * @return          0 or -errno
 */
int mlimg_declared_read(int dir_fd, const char *name, char **ret_text, size_t *ret_size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
