/* SPDX-License-Identifier: MIT */
/**
 * @file json-any-text.h
 * Text of a guest's or a stranger's as a string of JSON, which is UTF-8 only (RFC 8259, 8.1). Not
 * for names that must come back as they are.
 */
#ifndef MLIMG_TOOLS_JSON_ANY_TEXT_H
#define MLIMG_TOOLS_JSON_ANY_TEXT_H

#include <jansson.h>

#define MLIMG_JSON_ANY_TEXT_MAX 1024 /**< bytes that are kept of a text that is no UTF-8 */

/**
 * @param text  any text
 * @return      a string with it; when it is no UTF-8, with '?' for each byte above 0x7f and at most
 *              MLIMG_JSON_ANY_TEXT_MAX of its bytes. NULL when there is no memory
 */
json_t *mlimg_json_any_text(const char *text);

#endif
