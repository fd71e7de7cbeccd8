/* SPDX-License-Identifier: MIT */
/**
 * @file profile-place.h
 * Puts the contents of a profile's files first into a read-only image, one behind the other in the
 * profile's order.
 *
 * A source is read once and in its own order, and how long the files of the profile are is not
 * known before. So their contents are kept in a file of their own meanwhile. When all sources are
 * read, room is made in front of all other contents: by fallocate(2) with FALLOC_FL_INSERT_RANGE,
 * which moves no data, or where the file system cannot do that, by copying. What the image is in
 * the end does not depend on the way, nor on the form of the source.
 *
 * Of a file with several names, of which the source has another one first than the profile names,
 * the contents are copied from where they are; the blocks there are free for directories.
 */
#ifndef MLIMG_TOOLS_PROFILE_PLACE_H
#define MLIMG_TOOLS_PROFILE_PLACE_H

#include "tools/profile.h"
#include "tools/source.h"

/** A profile at work. */
struct mlimg_place;

/**
 * Begin, before the sources are read.
 *
 * @param profile    must live as long
 * @param to         tree, top, data, which must live as long, and spool_dir
 * @param ret_place  mlimg_place_free() it, before tree and data
 */
int mlimg_place_new(const struct mlimg_profile *profile, const struct mlimg_source_to *to,
	struct mlimg_place **ret_place, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Put the contents into their place. What is written after this lies behind all of them.
 *
 * @param place        all sources are read, the tree is finished
 * @param fd           the image
 * @param image        its name, for messages
 * @param ret_unknown  paths of the profile that are no regular files in the tree
 */
int mlimg_place_apply(struct mlimg_place *place, int fd, const char *image, size_t *ret_unknown,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Stop; accepts NULL. */
void mlimg_place_free(struct mlimg_place *place);

#endif
