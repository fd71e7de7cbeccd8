/* SPDX-License-Identifier: MIT */
/**
 * @file records.h
 * What fuzz targets share whose input is several texts of records, with lines "%%" between them.
 */
#ifndef MLIMG_FUZZ_RECORDS_H
#define MLIMG_FUZZ_RECORDS_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/packages.h"

/** The first @p n texts from @p at on; those beyond the end stay as they are. */
static inline void records_split(
	const char *at, const char *end, struct mlimg_records_text *texts, size_t n)
{
	for (size_t i = 0; i < n && at < end; i++) {
		const char *stop = memmem(at, (size_t)(end - at), "%%\n", 3);

		texts[i] = (struct mlimg_records_text){at, (size_t)((stop ? stop : end) - at)};
		at = stop ? stop + 3 : end;
	}
}

/** A copy, as who reads a database gives it. @return 0, -ENOENT when there is no such text */
static inline int records_give(
	const struct mlimg_records_text *text, char **ret_text, size_t *ret_size)
{
	if (!text || !text->text)
		return -ENOENT;
	*ret_text = malloc(text->size + 1);
	if (!*ret_text)
		abort();
	memcpy(*ret_text, text->text, text->size);
	(*ret_text)[text->size] = '\0';
	*ret_size = text->size;
	return 0;
}

/** The law of every merge: @p twice, merged from what @p once was, says the same. */
static inline void records_same(
	const struct mlimg_packages_merged *once, const struct mlimg_packages_merged *twice)
{
	size_t size = once->files[0].text.size;

	if (twice->files[0].text.size != size ||
		(size && memcmp(twice->files[0].text.text, once->files[0].text.text, size) != 0))
		abort();
}

#endif
