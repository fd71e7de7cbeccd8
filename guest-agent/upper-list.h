/* SPDX-License-Identifier: MIT */
/**
 * @file upper-list.h
 * Which paths an upper had at some time, so that one can tell later what has come since; in little
 * room, for an upper may have a million of them.
 *
 * /mlimg/undo/<gen>/paths in the user layer, which a stranger may have written: a line "mlimg paths
 * 1 COUNT", then COUNT numbers of eight bytes, the least significant first, in strictly ascending
 * order: the first eight bytes of the SHA-256 of each path (as in manifests, without "./"), taken
 * for such a number. Then the 32 bytes of the SHA-256 of all before. The root is not listed.
 *
 * Opaque directories are listed once more, with a '/' at the end; and with them "/", by which one
 * knows that they are: lists were written without.
 *
 * Of two paths with one number, should there be any, both are there if one is.
 */
#ifndef MLIMG_UPPER_LIST_H
#define MLIMG_UPPER_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/manifest.h"

#define MLIMG_UPPER_LIST_MAX \
	(8 * (size_t)MLIMG_ENTRIES_MAX + 128) /**< bytes: as many paths as a manifest may have */

/** A list. Zero it to begin with. */
struct mlimg_upper_list {
	uint64_t *numbers; /**< private, as the next ones */
	size_t n, room;
};

/** Add a path. @return 0, -ENOMEM */
int mlimg_upper_list_add(struct mlimg_upper_list *list, const char *path) MLIMG_MUST_CHECK;

/** Add all that a manifest has, and which of it is opaque. @return 0, -ENOMEM */
int mlimg_upper_list_add_all(
	struct mlimg_upper_list *list, const struct mlimg_manifest *m) MLIMG_MUST_CHECK;

/** Write it. @param sink  gets the text */
void mlimg_upper_list_put(struct mlimg_upper_list *list, mlimg_sink *sink, void *ctx);

/**
 * Write it to a file, durably.
 *
 * @param list    as above
 * @param dir_fd  the directory
 * @param name    the file
 * @param err     names it
 * @return        0, -errno
 */
int mlimg_upper_list_write(struct mlimg_upper_list *list, int dir_fd, const char *name,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read one.
 *
 * @param text      bytes of the file
 * @param size      their number
 * @param ret_list  mlimg_upper_list_done() it
 * @param err       "list of paths: ..."
 * @return          0, -EUCLEAN, -ENOMEM
 */
int mlimg_upper_list_parse(const char *text, size_t size, struct mlimg_upper_list *ret_list,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether a list that was read has the path */
bool mlimg_upper_list_has(const struct mlimg_upper_list *list, const char *path);

/** @return whether a directory of the list was opaque; also when the list does not say that */
bool mlimg_upper_list_may_be_opaque(const struct mlimg_upper_list *list, const char *path);

/** Free it; accepts a zeroed one. */
void mlimg_upper_list_done(struct mlimg_upper_list *list);

#endif
