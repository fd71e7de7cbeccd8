/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-err.h
 * libext2fs reports an errcode_t: an errno value, or one of its own codes (EXT2_ET_*). Here, and
 * nowhere else, that becomes a struct mlimg_err.
 */
#ifndef MLIMG_TOOLS_EXT4_ERR_H
#define MLIMG_TOOLS_EXT4_ERR_H

#include <et/com_err.h>

#include "libmlimg/err.h"

/**
 * A libext2fs call failed: kind MLIMG_ERR_FAILED whatever the code. For who writes an image.
 *
 * @param err   where to put it; may be NULL
 * @param code  what libext2fs returned; 0 counts as an I/O error
 * @param fmt   printf format: what was being done to which image; libext2fs' own text is appended
 * @return      a negative errno value, never 0
 */
int mlimg_ext4_err_set(struct mlimg_err *err, errcode_t code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold)) MLIMG_MUST_CHECK;

/**
 * The same for who reads an image: libext2fs' own codes say that the image is not what it should be
 * (MLIMG_ERR_REFUSED, -EUCLEAN); errno values and lack of memory are failures as above.
 *
 * @param err   where to put it; may be NULL
 * @param code  what libext2fs returned
 * @param fmt   printf format: names image and place
 * @return      a negative errno value, never 0
 */
int mlimg_ext4_err_refuse(struct mlimg_err *err, errcode_t code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold)) MLIMG_MUST_CHECK;

#endif
