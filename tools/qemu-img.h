/* SPDX-License-Identifier: MIT */
/**
 * @file qemu-img.h
 * Running qemu-img(1) on a disk that no guest has open.
 */
#ifndef MLIMG_TOOLS_QEMU_IMG_H
#define MLIMG_TOOLS_QEMU_IMG_H

#include <jansson.h>

#include "libmlimg/err.h"

/**
 * What it may print: `info` has some 200 bytes for a snapshot, of which a qcow2 image has 65536 at
 * most.
 */
#define MLIMG_QEMU_IMG_OUTPUT_MAX (16u << 20)

/**
 * Run qemu-img and wait for its end. It is ended when this process dies, which an image survives:
 * all that it may have then is clusters that nobody refers to (`check -r leaks`).
 *
 * @param args        its arguments, without the program, NULL-terminated; at most 30. The format of
 *                    an image that a guest writes must be among them: -f qcow2
 * @param ret_output  what it printed, NUL-terminated; free() it. May be NULL
 * @param err         "qemu-img COMMAND: " and what it says last
 * @return            0 when it ended with 0, -ENOENT when there is none, -EIO or other -errno
 */
int mlimg_qemu_img(
	const char *const *args, char **ret_output, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The same, of a command with --output=json.
 *
 * @param args  as of mlimg_qemu_img()
 * @param ret   the object that it printed; json_decref() it
 * @param err   as of mlimg_qemu_img()
 * @return      0 or -errno
 */
int mlimg_qemu_img_json(
	const char *const *args, json_t **ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
