/* SPDX-License-Identifier: MIT */
/**
 * @file verity-make.h
 * Making the hash tree of an image with libcryptsetup, whose conventions are known in this module
 * alone: on the file itself, without device-mapper, loop devices or root. What is made is specified
 * in libmlimg/verity.h.
 */
#ifndef MLIMG_TOOLS_VERITY_MAKE_H
#define MLIMG_TOOLS_VERITY_MAKE_H

#include "libmlimg/verity.h"

/**
 * Append superblock and hash tree to an image that is a file system and nothing else. Room is taken
 * first, so that a full disk is found before the work is done. Nothing is durable on return.
 *
 * @param fd          the image, complete, readable and writable
 * @param tmp_path    a name of it, for libcryptsetup
 * @param image       its name for messages
 * @param id          build id of the layer, or stack id of the index: the salt follows from it
 * @param uuid        of the file system; the tree has the same
 * @param ret_verity  all but the signature
 * @param err         names the image
 * @return            0 or -errno
 */
int mlimg_verity_append(int fd, const char *tmp_path, const char *image, const char *id,
	const uint8_t uuid[MLIMG_UUID_SIZE], struct mlimg_verity *ret_verity,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Append a signature behind the hash tree. Nothing is durable on return.
 *
 * @param fd      the image with its hash tree, and nothing else
 * @param image   its name for messages
 * @param verity  with the signature
 * @param err     names the image
 * @return        0 or -errno
 */
int mlimg_verity_append_signature(int fd, const char *image, const struct mlimg_verity *verity,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
