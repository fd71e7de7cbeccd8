/* SPDX-License-Identifier: MIT */
/**
 * @file walk-level.h
 * A directory of a walk with the names in it. Part of walk.h; nobody else includes this.
 */
#ifndef MLIMG_WALK_LEVEL_H
#define MLIMG_WALK_LEVEL_H

#include <stddef.h>
#include <sys/stat.h>

#include "libmlimg/err.h"

/** A directory that a walk is in. */
struct mlimg_walk_level {
	char *names;   /**< all of them, a NUL after each */
	size_t *order; /**< where they begin, in byte order of the names */
	size_t names_room, order_room, names_size;
	size_t n, next;
	size_t path_size; /**< of the directory's own path */
	dev_t dev;
	ino_t ino;
	struct timespec mtime; /**< as the visitor was told */
	int fd;                /**< -1: closed for the time being */
};

/** Read the names of the directory that is open, and sort them. @return 0, -errno */
int mlimg_walk_level_read(struct mlimg_walk_level *l) MLIMG_MUST_CHECK;

/** Free its names and close it. */
void mlimg_walk_level_done(struct mlimg_walk_level *l);

#endif
