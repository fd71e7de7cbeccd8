/* SPDX-License-Identifier: MIT */
/**
 * @file json.h
 * Reading of JSON that a stranger may have written: what jansson does not bound by itself. Writing
 * needs no help.
 */
#ifndef MLIMG_JSON_H
#define MLIMG_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/err.h"

MLIMG_DEFINE_CLEANUP(json_t, json_decref)
#define mlimg_autojson mlimg_cleanup(json_decref_cleanup) /**< json_decref() */

/**
 * Objects and arrays within each other. jansson descends by recursion and stops only at 2048; no
 * format here needs more than five.
 */
#define MLIMG_JSON_DEPTH_MAX 32

/**
 * Read an object.
 *
 * @param what      what it is, for messages: "layer.json"
 * @param text      bytes; need not be NUL-terminated. How many are too many is the caller's to say
 * @param size      their number
 * @param ret_json  the object, a new reference
 * @param err       of kind MLIMG_ERR_REFUSED: "WHAT: nested too deep", "WHAT: line N: ...", "WHAT:
 *                  no object". Refused are also duplicate keys, text that is not UTF-8, NULs in
 *                  strings, and anything behind the object
 * @return          0, -EUCLEAN, -ENOMEM
 */
int mlimg_json_load(const char *what, const char *text, size_t size, json_t **ret_json,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Read an array, else as mlimg_json_load(); "WHAT: no array". */
int mlimg_json_load_array(const char *what, const char *text, size_t size, json_t **ret_json,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Copy a string member.
 *
 * @param what       for messages
 * @param json       the object
 * @param key        the member
 * @param ret_field  NUL-terminated
 * @param size       bytes of @p ret_field
 * @param err        "WHAT: no string 'KEY'", "WHAT: 'KEY' is too long"
 * @return           0, -EUCLEAN
 */
int mlimg_json_get_text(const char *what, const json_t *json, const char *key, char *ret_field,
	size_t size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Get an integer member.
 *
 * @param what        for messages
 * @param json        the object
 * @param key         the member
 * @param min         the least that is taken
 * @param ret_number  the number
 * @param err         "WHAT: no integer 'KEY'", "WHAT: 'KEY' is N"
 * @return            0, -EUCLEAN
 */
int mlimg_json_get_integer(const char *what, const json_t *json, const char *key, json_int_t min,
	json_int_t *ret_number, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
