/* SPDX-License-Identifier: MIT */
/**
 * @file qemu-img.h
 * Running qemu-img(1) on a disk that no guest has open.
 */
#ifndef MLIMG_TOOLS_QEMU_IMG_H
#define MLIMG_TOOLS_QEMU_IMG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "libmlimg/err.h"

/**
 * What it may print: `info` has some 200 bytes for a snapshot, of which a qcow2 image has 65536 at
 * most. mlimg_qemu_img_check() has no limit: a line or two for each cluster are all right.
 */
#define MLIMG_QEMU_IMG_OUTPUT_MAX (16u << 20)

/**
 * How long it may take for what does not grow with what is in an image: `info`, `create`, `resize`,
 * `snapshot`. A disk of 8 TiB has some hundred MiB of tables, which the slowest of a host's disks
 * writes in a minute or two; a server of files that hangs never does. `convert`, `check` and `map`
 * read an image, and take as long as they take: whoever waits can end the command.
 */
#define MLIMG_QEMU_IMG_MS 600000

/**
 * Run qemu-img and wait for its end, MLIMG_QEMU_IMG_MS at most where that is said of its command. It
 * is ended when this process dies, which an image survives: all that it may have then is clusters
 * that nobody refers to (`check -r leaks`).
 *
 * @param args        its arguments, without the program, NULL-terminated; at most 30. The format of
 *                    an image that a guest writes must be among them: -f qcow2
 * @param ret_output  what it printed, NUL-terminated; free() it. May be NULL
 * @param err         "qemu-img COMMAND: " and what it says last
 * @return            0 when it ended with 0, -ENOENT when there is none, -ETIMEDOUT, -EIO or other
 *                    -errno
 */
int mlimg_qemu_img(
	const char *const *args, char **ret_output, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The same, with a limit of the caller's.
 *
 * @param args        as of mlimg_qemu_img()
 * @param limit_ms    how long it may take; 0: as long as it takes. Then it is killed, and is not
 *                    waited for where the kernel does not let it end
 * @param ret_output  as of mlimg_qemu_img()
 * @param err         as of mlimg_qemu_img()
 * @return            as of mlimg_qemu_img()
 */
int mlimg_qemu_img_within(const char *const *args, uint64_t limit_ms, char **ret_output,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

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

/** What `qemu-img check` has found in a qcow2 image, in clusters. */
struct mlimg_qemu_img_report {
	uint64_t errors; /**< that are damage: used, and not counted */
	/**
	 * Clusters whose mark says other than their count whether a snapshot has them too. Who found no
	 * room for a snapshot leaves them so, counted once too often: a leak, and no damage.
	 */
	uint64_t marks;
	uint64_t leaks; /**< that are counted as used, and nobody refers to: room lost, no more */
	uint64_t freed; /**< leaks that are free again */
};

/**
 * Compare the clusters of a qcow2 image that are counted as used with those that something refers to.
 * It reads its tables, not its data: those have 8 bytes for each 64 KiB that were written, once for
 * the disk and once for each snapshot, as far as they differ.
 *
 * @param path   the image; nobody has it open
 * @param frees  free what has leaked and set marks right, where a look has found no errors; else it is
 *               not written to
 * @param ret    what was found, or is left
 * @param err    as of mlimg_qemu_img(): it is no such image, cannot be read, or somebody has it open
 * @return       0, also of a damaged one; else as of mlimg_qemu_img()
 */
int mlimg_qemu_img_check(const char *path, bool frees, struct mlimg_qemu_img_report *ret,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
