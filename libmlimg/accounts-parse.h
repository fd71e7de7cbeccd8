/* SPDX-License-Identifier: MIT */
/**
 * @file accounts-parse.h
 * Files of accounts as lines, and what the parts of accounts.h share. Private to them.
 */
#ifndef MLIMG_ACCOUNTS_PARSE_H
#define MLIMG_ACCOUNTS_PARSE_H

#include "libmlimg/accounts.h"
#include "libmlimg/arena.h"
#include "libmlimg/text.h"

#define MLIMG_ACCOUNT_FIELDS_MAX 9 /* of shadow */
#define MLIMG_ID_NONE UINT32_MAX   /* chown(2)'s "leave it": nobody's id */

/** A part of a text. */
struct mlimg_span {
	const char *at;
	size_t size;
};

/** A line. */
struct mlimg_account_line {
	struct mlimg_span text; /**< without its newline */
	const char *key;        /**< "a" and the name, or "o" and the text */
	uint32_t nth;           /**< of the lines with that key, from 0 */
	uint32_t node;          /**< for whoever builds a new file */
};

/** The lines of a file. */
struct mlimg_account_list {
	struct mlimg_account_line *lines;
	size_t n, room;
	struct mlimg_account_line **by_key; /**< sorted by key, then nth */
	bool is_there;
};

/** @return whether the spans have the same bytes */
bool mlimg_span_is_same(struct mlimg_span a, struct mlimg_span b);

/** @return whether @p line is an account, not a comment and the like */
static inline bool mlimg_account_line_is_account(const struct mlimg_account_line *line)
{
	return line->key[0] == 'a';
}

/** Split an account into fields. @return their number, as the file's manual page says */
size_t mlimg_account_split(struct mlimg_span line, struct mlimg_span fields[]);

/** @return the id that the text is, or MLIMG_ID_NONE when it is none */
uint32_t mlimg_account_id(struct mlimg_span text);

/**
 * Parse a file.
 *
 * @param file      which
 * @param text      must live as long as the list
 * @param arena     gets the keys
 * @param ret_list  mlimg_account_list_done() when done, also on failure
 * @param err       "etc/passwd: ..."
 */
int mlimg_account_list_parse(enum mlimg_accounts_file file, struct mlimg_records_text text,
	struct mlimg_arena *arena, struct mlimg_account_list *ret_list,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the line with that key, or NULL */
struct mlimg_account_line *mlimg_account_list_find(
	const struct mlimg_account_list *list, const char *key, uint32_t nth);

/** Free what it owns. */
void mlimg_account_list_done(struct mlimg_account_list *list);

/* ---- accounts-ids.c ---- */

/** A name that next or mine has, and its ids. */
struct mlimg_account_name {
	const char *key;
	uint32_t nth;
	bool stays;    /**< is in the merged file */
	bool arrives;  /**< with an id that is not its one in mine */
	bool is_fixed; /**< its id of mine is */
	bool is_covered; /**< its id of base is nobody's in mine, and base's files of it do not show */
	uint32_t id[MLIMG_N_MERGE_SIDES]; /**< MLIMG_ID_NONE: not there */
	uint32_t is;                      /**< what it has in the end */
};

/** The users, or the groups. */
struct mlimg_account_names {
	struct mlimg_account_name *names; /**< sorted by key, then nth */
	size_t n;
};

/** A merge under way. */
struct mlimg_accounts_job {
	struct mlimg_account_list lists[MLIMG_N_MERGE_SIDES][MLIMG_N_ACCOUNTS_FILES];
	struct mlimg_account_names users, groups;
	struct mlimg_owner_moves upper, lower, base, came;
	const struct mlimg_accounts_used *used;
	struct mlimg_notes *notes;
	struct mlimg_arena *arena;
	struct mlimg_err *err;
};

/** Where a free id is looked for, from first to last. */
struct mlimg_id_range {
	uint32_t first, last;
};

/** @return where one is looked for that takes the place of @p id; all below 65536 */
struct mlimg_id_range mlimg_id_range_of(uint32_t id);

/** @return the name, or NULL when neither next nor mine has it */
struct mlimg_account_name *mlimg_account_names_find(
	const struct mlimg_account_names *names, const char *key, uint32_t nth);

/**
 * Decide which users and groups stay and which ids they have; fills users, groups and the moves.
 */
int mlimg_accounts_decide(struct mlimg_accounts_job *job) MLIMG_MUST_CHECK;

/* ---- accounts-whole.c ---- */

/** @return 0; -EUCLEAN, refused: the user's files are not what any program leaves (accounts.h) */
int mlimg_accounts_check_whole(const struct mlimg_accounts_job *job) MLIMG_MUST_CHECK;

/* ---- accounts-moves.c ---- */

/** @return whether one of @p names that stays, but not @p but, is to have the id */
bool mlimg_account_names_want(
	const struct mlimg_account_names *names, const struct mlimg_account_name *but, uint32_t id);

/** List the moves (accounts.h), when all is decided. @return 0, -ENOMEM */
int mlimg_accounts_list_moves(struct mlimg_accounts_job *job) MLIMG_MUST_CHECK;

/** Add a note, whose name is that of an account's key. */
#define mlimg_accounts_note(job, kind, file, key, ...)                                        \
	(mlimg_notes_add(                                                                     \
		 (job)->notes, (kind), mlimg_accounts_path(file), (key) + 1, __VA_ARGS__) < 0 \
			? mlimg_err_set((job)->err, ENOMEM, "accounts")                       \
			: 0)

/* ---- accounts-line.c ---- */

/** A line of all sides. */
struct mlimg_account_three {
	const struct mlimg_account_line *side[MLIMG_N_MERGE_SIDES];
	const char *key;
	uint32_t nth;
};

/** A file while it is merged. */
struct mlimg_accounts_merge {
	struct mlimg_accounts_job *job;
	enum mlimg_accounts_file file;
	const struct mlimg_account_list *sides; /**< of that file */
	struct mlimg_text out;
	uint64_t moved; /**< ids of ranges that got new places */
};

/** Put an account, merged by field, without a newline. */
int mlimg_accounts_put_account(
	struct mlimg_accounts_merge *m, const struct mlimg_account_three *t) MLIMG_MUST_CHECK;

/** Put a line of subuid or subgid that next alone has, without a newline. */
int mlimg_accounts_put_range(
	struct mlimg_accounts_merge *m, const struct mlimg_account_three *t) MLIMG_MUST_CHECK;

#endif
