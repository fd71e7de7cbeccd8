/* SPDX-License-Identifier: MIT */
/**
 * @file base-texts.h
 * Contents of those files of a stack that are merged by lines or by records when both the user and
 * the next stack have changed them. They are kept in the user layer beside the base manifest, from
 * the first boot of a stack on: when that stack is replaced it is there no more, and a user may
 * change a file in the very last hour before.
 *
 * /mlimg/base.texts.<generation>, mode 0600, since shadow is among them; state.json has its digest
 * and size (boot.h). Contents are known by their SHA-256, which the base manifest has, so there are
 * no paths in it, and what several files have in common is there once:
 *
 *     mlimg base-texts 1 N
 *     SHA256 SIZE             N lines, in the order of the digests: 64 lower-case hexadecimal digits, decimal bytes
 *     ...                     the contents in the same order, nothing between them
 *
 * In it are the regular files of classes config and merge (path-class.h), of at most
 * MLIMG_BASE_TEXT_MAX bytes each, and databases of at most MLIMG_RECORDS_SIZE_MAX: class accounts,
 * and of class packages those that packages.h merges; in the order of the manifest, as long as all
 * of them but the databases have no more than MLIMG_BASE_TEXTS_SUM_MAX, and all together no more
 * than MLIMG_BASE_TEXTS_MAX. What does not fit is not there, and is then not merged.
 */
#ifndef MLIMG_BASE_TEXTS_H
#define MLIMG_BASE_TEXTS_H

#include <stdbool.h>

#include "libmlimg/manifest.h"

#define MLIMG_BASE_TEXT_MAX \
	(256u << 10) /**< bytes of a text: there are no larger ones in a Debian's /etc that somebody edits */
#define MLIMG_BASE_TEXTS_SUM_MAX \
	(8u << 20) /**< bytes of all that are no databases: a full desktop's /etc has less */
#define MLIMG_BASE_TEXTS_MAX (128u << 20) /**< bytes of the file that a reader accepts */
#define MLIMG_BASE_TEXTS_N_MAX 65536      /**< contents in it */

/** One of the contents. */
struct mlimg_base_text {
	uint8_t digest[MLIMG_SHA256_SIZE];
	const char *data;
	size_t size;
};

/** All of them. Zero it to begin with. */
struct mlimg_base_texts {
	struct mlimg_base_text *texts; /**< in the order of their digests when they were read */
	size_t n, room;
	char *data; /**< private: what was read */
};

/**
 * Add contents to be written.
 *
 * @param texts   see there
 * @param digest  theirs
 * @param data    allocated; taken over on success
 * @param size    bytes
 * @return        0, -ENOMEM, -E2BIG
 */
int mlimg_base_texts_add(struct mlimg_base_texts *texts, const uint8_t digest[MLIMG_SHA256_SIZE],
	char *data, size_t size) MLIMG_MUST_CHECK;

/** Write them. The same contents added twice are written once. */
void mlimg_base_texts_put(struct mlimg_base_texts *texts, mlimg_sink *sink, void *ctx);

/**
 * Read the file. Contents are compared with their digests when they are asked for.
 *
 * @param data       its bytes, allocated; taken over on success
 * @param size       their number
 * @param ret_texts  mlimg_base_texts_done() it
 * @param err        "base.texts: ..."
 * @return           0, -EUCLEAN, -ENOMEM
 */
int mlimg_base_texts_parse(char *data, size_t size, struct mlimg_base_texts *ret_texts,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the contents that have this digest, or NULL. Of texts that were read */
const struct mlimg_base_text *mlimg_base_texts_find(
	const struct mlimg_base_texts *texts, const uint8_t digest[MLIMG_SHA256_SIZE]);

/**
 * Copy them, as what reads for a reconcile does (reconcile-plan.h).
 *
 * @param texts     that were read
 * @param digest    theirs
 * @param max       bytes that they may have
 * @param ret_data  free() it; a NUL is behind it
 * @param ret_size  bytes
 * @return          0; -ENOENT when they are not there, -EFBIG, -ENOMEM
 */
int mlimg_base_texts_read(const struct mlimg_base_texts *texts,
	const uint8_t digest[MLIMG_SHA256_SIZE], size_t max, char **ret_data,
	size_t *ret_size) MLIMG_MUST_CHECK;

/** Free them; accepts a zeroed one. */
void mlimg_base_texts_done(struct mlimg_base_texts *texts);

#endif
