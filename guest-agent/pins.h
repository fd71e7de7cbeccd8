/* SPDX-License-Identifier: MIT */
/**
 * @file pins.h
 * Pins: paths that no change of the stack touches. They are lines of one file in the merged root,
 * of the form that class files have (libmlimg/class-files.h), and of class keep:
 *
 *     # Made by 'mlimg pin'.
 *     /etc/nginx/nginx.conf keep
 *     /srv/my\ site keep
 *
 * In a path '*', '?', '[', ']', blanks and backslashes have a backslash before them, so that they
 * mean themselves. Other lines are left alone. It is a file like any other, read with the others
 * when the stack changes: what stands in a file of a later name wins.
 */
#ifndef MLIMG_PINS_H
#define MLIMG_PINS_H

#include "guest-agent/view.h"
#include "libmlimg/path-glob.h"

#define MLIMG_PINS_DIR "etc/mlimg/reconcile.d" /**< in the merged root */
#define MLIMG_PINS_FILE "pins.conf"            /**< in there */

/** The file. Zero it to begin with; free() its text in the end. */
struct mlimg_pins {
	char *text; /**< NUL-terminated; NULL: there is none */
	size_t size;
};

/** Read it. @return 0, also when there is none; -errno */
int mlimg_pins_read(const struct mlimg_view *view, struct mlimg_pins *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * A path as a line has it.
 *
 * @param path      as in manifests
 * @param ret_glob  NUL-terminated, with its '/'
 * @param err       the root, a newline in it, too long
 * @return          0, -EINVAL
 */
int mlimg_pins_glob(const char *path, char ret_glob[MLIMG_PATH_GLOB_MAX + 1],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Find the next pin.
 *
 * @param pins      see there
 * @param at        where to go on; 0 to begin with
 * @param ret_glob  of the line
 * @return          whether there is one
 */
bool mlimg_pins_next(
	const struct mlimg_pins *pins, size_t *at, char ret_glob[MLIMG_PATH_GLOB_MAX + 1]);

/**
 * Find what pins a path.
 *
 * @param pins      see there
 * @param path      as in manifests
 * @param ret_glob  that of the path itself, if there is one, else of what is above it
 * @return          whether it is pinned
 */
bool mlimg_pins_find(
	const struct mlimg_pins *pins, const char *path, char ret_glob[MLIMG_PATH_GLOB_MAX + 1]);

/** Add a line, or take it away. In memory only. @return 0, -ENOMEM */
int mlimg_pins_set(struct mlimg_pins *pins, const char *glob, bool is_pinned) MLIMG_MUST_CHECK;

/**
 * Write the file, durably, or remove it when there is no pin in it.
 *
 * @param view  whose merged root
 * @param pins  see there
 * @param err   names the file; more lines or bytes than class files may have
 * @return      0, -errno
 */
int mlimg_pins_write(const struct mlimg_view *view, const struct mlimg_pins *pins,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
