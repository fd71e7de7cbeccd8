/* SPDX-License-Identifier: MIT */
/**
 * @file spool.h
 * A copy of what can be read only once, or not at any place: a pipe, or a compressed archive whose
 * members are wanted in another order. The copy is a file without a name, gone with its last
 * descriptor.
 */
#ifndef MLIMG_TOOLS_SPOOL_H
#define MLIMG_TOOLS_SPOOL_H

#include "tools/source.h"

/**
 * Copy what is left of a file, as it is.
 *
 * @param fd    replaced by the copy, at its beginning
 * @param name  the source's, for messages
 * @param to    where the copy may lie; the copy is taken from its budget
 */
int mlimg_spool(int *fd, const char *name, const struct mlimg_source_to *to,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Make an empty file of that kind. @return its descriptor, or -errno */
int mlimg_spool_file(const char *dir, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
