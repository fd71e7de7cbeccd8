/* SPDX-License-Identifier: MIT */
/**
 * @file manifest-lex.h
 * The pieces of a manifest's line: numbers, escaped text, base64. Part of the reader; each takes
 * the canonical spelling (manifest.h) and no other, so that what was read and is written again is
 * the same text.
 */
#ifndef MLIMG_MANIFEST_LEX_H
#define MLIMG_MANIFEST_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A piece of text that is not NUL-terminated. */
struct mlimg_span {
	const char *at;
	size_t size;
};

/** @return whether @p s is the text @p text */
bool mlimg_span_is(struct mlimg_span s, const char *text);

/** Cut off what comes before the first @p c, which is dropped, or all of it where there is none. */
struct mlimg_span mlimg_span_cut(struct mlimg_span *rest, char c);

/** @return whether @p s is a decimal number up to @p max without leading zeros, and the number */
bool mlimg_lex_number(struct mlimg_span s, uint64_t max, uint64_t *ret_number);

/** @return whether @p s is exactly @p n digits to the base 8 or 10, and the number */
bool mlimg_lex_digits(struct mlimg_span s, size_t n, unsigned base, uint32_t *ret_number);

/**
 * Take escapes out of a text.
 *
 * @param s         the text
 * @param more      characters that are escaped beside those of mlimg_manifest_is_plain()
 * @param buf       receives it, NUL-terminated
 * @param max       bytes that may be in it without the NUL; @p buf has one more
 * @param ret_size  its bytes
 * @return          false when an escape is broken or needless, something is not escaped that has to
 *                  be, a NUL is in it, or when it is longer than @p max
 */
bool mlimg_lex_unescape(
	struct mlimg_span s, const char *more, char *buf, size_t max, size_t *ret_size);

/** @return the bytes that @p s stands for when it is base64 */
static inline size_t mlimg_lex_base64_room(struct mlimg_span s)
{
	return s.size / 4 * 3;
}

/**
 * @return whether @p s is base64 with padding, and its bytes; @p buf has mlimg_lex_base64_room()
 */
bool mlimg_lex_base64(struct mlimg_span s, uint8_t *buf, size_t *ret_size);

#endif
