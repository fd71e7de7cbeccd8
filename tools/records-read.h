/* SPDX-License-Identifier: MIT */
/**
 * @file records-read.h
 * The records of databases (libmlimg/records.h) out of layer images.
 */
#ifndef MLIMG_TOOLS_RECORDS_READ_H
#define MLIMG_TOOLS_RECORDS_READ_H

#include "tools/ext4-read.h"

/**
 * Read a file of records. Refused: it is not there, too large, or has not the digest that the
 * layer's description says.
 *
 * @param fs        the image
 * @param records   out of its description
 * @param ret_text  NUL-terminated (the NUL is not counted); free() it
 * @param ret_size  bytes
 * @param err       names the image and the file
 * @return          0 or -errno
 */
int mlimg_records_read(struct mlimg_ext4 *fs, const struct mlimg_layer_records *records,
	char **ret_text, size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read all of a layer's, to see that they are there and what they should be.
 *
 * @return 0 or -errno
 */
int mlimg_records_check(struct mlimg_ext4 *fs, const struct mlimg_layer_info *info,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
