/* SPDX-License-Identifier: MIT */
/**
 * @file records-parse.h
 * The records of a database as a list: between records-parse.c, which knows the forms, and
 * records.c, which compares and composes.
 */
#ifndef MLIMG_RECORDS_PARSE_H
#define MLIMG_RECORDS_PARSE_H

#include <stdbool.h>

#include "libmlimg/arena.h"
#include "libmlimg/records.h"
#include "libmlimg/text.h"

/** A record. */
struct mlimg_record {
	const char *text; /**< whole lines, in the text that was parsed */
	size_t size;
	const char *key; /**< NUL-terminated; of a stanza "PACKAGE\nARCHITECTURE" */
	size_t line;     /**< its first, from 1 */
	bool is_gone;    /**< a mark */
};

/** The records of a text, in its order. */
struct mlimg_record_list {
	struct mlimg_record *records;
	size_t n, room;
	struct mlimg_record **by_key; /**< sorted */
	struct mlimg_arena *arena;
};

/**
 * Parse.
 *
 * @param form      of the text
 * @param text      must live as long as the list
 * @param is_diff   a difference: marks are kept. In a database a stanza that is a mark is passed
 *                  over, another one refused
 * @param ret_list  mlimg_record_list_done() when done, also on failure
 * @param err       "line N: ..."
 * @return          0, -EUCLEAN, -ENOMEM
 */
int mlimg_record_list_parse(enum mlimg_records_form form, struct mlimg_records_text text,
	bool is_diff, struct mlimg_record_list *ret_list, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the record with that key, or NULL */
struct mlimg_record *mlimg_record_list_find(const struct mlimg_record_list *list, const char *key);

/** Free what it owns; accepts a zeroed one. */
void mlimg_record_list_done(struct mlimg_record_list *list);

/**
 * Write the mark of a record that is gone.
 *
 * @param form  its form
 * @param key   its key
 * @param put   gets the text, in pieces
 * @param ctx   handed to @p put
 */
void mlimg_record_put_mark(enum mlimg_records_form form, const char *key,
	void (*put)(void *ctx, const char *text, size_t size), void *ctx);

/* ---- records-accounts.c ---- */

/**
 * The key of a line of users or groups.
 *
 * @param line      without newline; not empty
 * @param size      its bytes
 * @param ret_gone  whether it is a mark
 * @param ret_key   where the key begins
 * @return          bytes of the key; 0: a mark of nothing
 */
size_t mlimg_record_account_key(
	const char *line, size_t size, bool *ret_gone, const char **ret_key);

/**
 * @return whether a member or administrator begins with '+' or '-', which a difference cannot say
 */
bool mlimg_record_has_signs(enum mlimg_records_form form, const struct mlimg_record *record);

/**
 * Put what differs between two records of one key: fields as they are now, lists as what was added
 * and removed.
 *
 * @return whether anything differs; else nothing is put
 */
bool mlimg_record_put_change(enum mlimg_records_form form, const struct mlimg_record *was,
	const struct mlimg_record *now, struct mlimg_text *out);

/**
 * Put a record of a difference as one of a database.
 *
 * @param was  what is beneath, or NULL
 * @param now  the record of the difference
 */
void mlimg_record_put_changed(enum mlimg_records_form form, const struct mlimg_record *was,
	const struct mlimg_record *now, struct mlimg_text *out);

#endif
