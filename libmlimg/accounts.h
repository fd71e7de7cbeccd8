/* SPDX-License-Identifier: MIT */
/**
 * @file accounts.h
 * passwd, group, shadow, gshadow, subuid and subgid merged three ways by record: base (the stack
 * that the user's layer was made on), next (the stack that it will lie on), mine (the files as the
 * user has them). And which owners of files follow from that. Nothing is read or written here.
 *
 * Formats: passwd(5), group(5), shadow(5), gshadow(5), subuid(5). A line is an account when it has
 * a name and the number of fields that the manual page says; its name is its key, a second line of
 * that name the second of that key. All other lines (comments, the "+" and "-" of
 * nsswitch.conf(5)'s compat, malformed ones) are known by their whole text, and are kept or go as a
 * whole. Empty files are files; one that is not there (text NULL) has no lines.
 *
 * Which lines show, with shadow following passwd and gshadow following group:
 *
 *     mine has it, next too            merged by field, below
 *     mine has it, base and next not   the user's own: stays
 *     mine and base have it, next not  goes, unless the user changed it in either file, or
 *                                      something of the user's belongs to that id: then it
 *                                      stays, and is told
 *     next has it, mine and base not   new: comes
 *     next and base have it, mine not  the user deleted it: stays away
 *
 * Fields: one that only one side changed has that side's value; one that both changed otherwise has
 * mine, which is told (but for the day of the last password change). Members and administrators of
 * groups are sets: what either side added is in, what either side removed is not. Lines are in the
 * order of mine (of next, when mine is as base), those of the other side behind the one that is
 * before them there.
 *
 * Ids, of users as of groups:
 *
 *  1. An id that only one side changed is that side's. When both did, it is mine.
 *  2. An account that both made since base has mine, a service as a person: things have it that
 *     nobody here sees, as another host's. Files of next follow it. Told.
 *  3. A new or moved id of next that is another account's in mine gives way: it stays what it was
 *     in mine, or is the highest that is free from 999 down to 100, for ids from 1000 to 59999 the
 *     lowest free one among these. Told. Only when the other one is an account that next no longer
 *     has, and its id is not fixed (rule 6), does that other one move.
 *  4. Ids that several names share in next, or in mine, are shared on purpose.
 *  5. Primary groups of the user's accounts follow a group that moved.
 *  6. An id of mine that is fixed stays, whatever next says: files have it that are not rewritten
 *     when the system is replaced, as those of carve-outs, of which there may be millions. Told.
 *     For others it is as an account of the user's own: a system's that is new or moved and has
 *     that id in next gives way by rule 3.
 *
 * So two maps come out: `upper`, from ids as they are in the user's layer to what they have to be;
 * and `lower`, from ids in next's layers to what they are here, for the accounts that have to give
 * way (rule 3) or had to before, those that both sides moved or made and that keep mine (rules 1
 * and 2), and those of rule 6: files of next with these owners do not fit as they are. Each applies
 * at once, to all files: {100 -> 101, 101 -> 100} is a swap. A third one, `base`, goes from ids in
 * base's layers to what is of whoever they belonged to: `upper`, and the accounts that had given
 * way when base came.
 *
 * No map has 0, from which or to which: root's files are root's, whatever the user calls him.
 *
 * An account had given way when its id of base is another one's in mine; when that one was deleted
 * since, one sees it by what base's layers have of that id: where it gave way there is a copy of
 * all of that in the user's layer. Where the user has moved the account himself (usermod -u),
 * usually not: then `lower` leaves it alone, or all that next has of it would be copied.
 *
 * Ranges of subuid and subgid that next adds and that overlap others' in mine are moved behind all
 * of them.
 *
 * What no program leaves is not merged, none of the files, and no number moves: what is behind it is
 * not that the user has removed everybody, but an editor's accident or a disk's. That is passwd or
 * group without any account, or missing, where base has some; shadow, missing or without any, while
 * passwd says "x" of somebody who had a line there; and gshadow without any, likewise. (pwunconv(8)
 * and grpunconv(8) remove these two; userdel(8) may leave subuid and subgid empty.)
 *
 * What becomes of numbers that two layers of a stack both took says accounts-layers.h.
 */
#ifndef MLIMG_ACCOUNTS_H
#define MLIMG_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/err.h"
#include "libmlimg/notes.h"
#include "libmlimg/owner-moves.h"
#include "libmlimg/records.h"

#define MLIMG_ACCOUNTS_SIZE_MAX (8u << 20) /**< bytes of one file: 100,000 accounts of 80 */
#define MLIMG_ACCOUNTS_LINES_MAX 100000    /**< lines of one file */

/** The files. */
enum mlimg_accounts_file {
	MLIMG_PASSWD,
	MLIMG_GROUP,
	MLIMG_SHADOW,
	MLIMG_GSHADOW,
	MLIMG_SUBUID,
	MLIMG_SUBGID,
	MLIMG_N_ACCOUNTS_FILES,
};

/** @return "etc/passwd", ... */
const char *mlimg_accounts_path(enum mlimg_accounts_file file);

/** @return which file @p path of a tree is, or MLIMG_N_ACCOUNTS_FILES when it is none of them */
enum mlimg_accounts_file mlimg_accounts_file_of(const char *path);

/** The accounts of one side: the text of each file; text NULL where it is not there. */
struct mlimg_accounts {
	struct mlimg_records_text files[MLIMG_N_ACCOUNTS_FILES];
};

/** Who owns things in the user's layer. */
struct mlimg_accounts_used {
	/**
	 * @return whether anything there belongs to the user (or, with @p is_group, to the group)
	 *         @p id
	 */
	bool (*is_used)(void *ctx, bool is_group, uint32_t id);
	/**
	 * @return 1 when there is something of theirs whose owner cannot be changed (rule 6), -1
	 *         when there may be, 0 when not; NULL: there is nothing
	 */
	int (*is_fixed)(void *ctx, bool is_group, uint32_t id);
	/**
	 * @return whether anything of base's layers that belongs to the number @p id shows with it,
	 *         neither hidden nor covered by the user's; asked of numbers that an account had in
	 *         base, and that nobody has in mine. NULL: it may
	 */
	bool (*shows)(void *ctx, bool is_group, uint32_t id);
	void *ctx;
};

/** What comes out. */
struct mlimg_accounts_merged {
	struct mlimg_merged_text files[MLIMG_N_ACCOUNTS_FILES];
	struct mlimg_owner_moves upper; /**< for files of the user's layer */
	struct mlimg_owner_moves lower; /**< for files of next's layers */
	struct mlimg_owner_moves base;  /**< for files of base's, to compare them */
	/**
	 * Numbers that are somebody's in the merged files who did not have them in mine, each to
	 * UINT32_MAX: what the user's layer had of them belonged to somebody else, or to nobody
	 */
	struct mlimg_owner_moves came;
};

/**
 * Merge.
 *
 * A file that mine has not while base has it, and that may be missing, was deleted by the user: it is
 * not there. To learn of owners alone, when the user's layer has none of these files, call it with @p base as @p mine.
 *
 * @param base   all zero when not known: then nothing counts as deleted
 * @param next   next
 * @param mine   mine
 * @param used   for the third row of the table; NULL: anything may be used
 * @param ret    mlimg_accounts_merged_done() when done; untouched on failure
 * @param notes  what people should know; may be NULL
 * @param err    of kind MLIMG_ERR_REFUSED, "etc/passwd: ...": more than MLIMG_ACCOUNTS_SIZE_MAX
 *               bytes or MLIMG_ACCOUNTS_LINES_MAX lines, NULs; or "/etc/passwd of the user ...",
 *               which no program leaves so
 * @return       0, -EUCLEAN, -ENOMEM
 */
int mlimg_accounts_merge(const struct mlimg_accounts *base, const struct mlimg_accounts *next,
	const struct mlimg_accounts *mine, const struct mlimg_accounts_used *used,
	struct mlimg_accounts_merged *ret, struct mlimg_notes *notes,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_accounts_merged_done(struct mlimg_accounts_merged *merged);

#endif
