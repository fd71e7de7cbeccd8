/* SPDX-License-Identifier: MIT */
/**
 * @file printable.h
 * Text with names in it that strangers chose, for one line of a terminal, a log or a JSON string:
 * it must not end the line, drive the terminal or be refused as something that is not UTF-8
 * (RFC 3629). Where the bytes matter names are escaped instead (manifest.h).
 */
#ifndef MLIMG_PRINTABLE_H
#define MLIMG_PRINTABLE_H

#include <stddef.h>

/**
 * @return bytes of the UTF-8 character at @p text when it can be shown; 0 for control characters,
 *         those that reorder what is around them (Unicode's annex 9) and what is no UTF-8, a
 *         character that was cut among them; 0 at the end
 */
size_t mlimg_printable_size(const char *text);

/** Have each byte of @p text that belongs to no such character be '?'. */
void mlimg_make_printable(char *text);

#endif
