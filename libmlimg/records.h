/* SPDX-License-Identifier: MIT */
/**
 * @file records.h
 * Databases that are one file for a whole tree, as differences of their records. A layer that
 * carried such a file would hide the one beneath it, and with it every package that a newer system
 * or another layer has. So mlimg-mkfs --over leaves the file out of the tree, and stores what
 * differs from the file beneath.
 *
 * A layer has them at /mlimg/records/PATH beside its tree (PATH as the file's in the tree, below);
 * its manifest's header names each with its digest (layer.h). Such a file holds, in the syntax of
 * the database itself:
 *
 * - each record that is new or other than beneath, as it is, in the order of the database;
 * - then each record that is gone, as a mark with its key, in the order of the database beneath.
 *
 * What shows in a stack is composed: records onto what the layers beneath them show (compose.h says
 * what that is). A record takes the place of the one with its key, a mark removes it, others come
 * behind.
 *
 * The databases (dpkg(1), deb822(5), dpkg-divert(1), dpkg-statoverride(1), dpkg-trigger(1); of apt,
 * apt-mark(8)):
 *
 *     form       file                       record       key            mark of one that is gone
 *     stanzas    var/lib/dpkg/status        a stanza,    Package,       Package: NAME
 *                var/lib/apt/               an empty     Architecture   Status: unknown ok
 *                extended_states            line                        not-installed
 *                                                                       Architecture: ...
 *     diversions var/lib/dpkg/diversions    three lines  the first one  the first one, "-", "-"
 *     overrides  var/lib/dpkg/statoverride  a line       what is        "- - - PATH"
 *                                                        behind the
 *                                                        third space
 *     lines      var/lib/dpkg/arch          a line       the line       "-" before the line
 *                var/lib/dpkg/triggers/NAME
 *                etc/subuid, etc/subgid
 *     accounts   etc/passwd, etc/shadow     a line       the name; of   ":" before the key
 *     groups     etc/group                               what is no
 *     gshadows   etc/gshadow                             account, the
 *                                                        line
 *
 * What is no account is a line without ':' and one that begins with '#', '+' or '-' (passwd(5),
 * nsswitch.conf(5)). Empty lines of these files say nothing, and are passed over. In the record of
 * a group that was beneath already, members and administrators are what was added, "+NAME", and
 * what was removed, "-NAME", so that two layers can each put somebody into it; in that of a new one
 * they are all there are, and are added where another layer made the group too.
 *
 * Of the triggers, Lock and Unincorp are no such databases: they are what a running dpkg keeps. In
 * a stanza, Architecture is left out where the record has none; the fields that it is known by have
 * one line each. The mark of a stanza is what dpkg
 * itself does: it notes changes of packages as files of one stanza each in var/lib/dpkg/updates,
 * where a later one takes the place of an earlier one, and a package that is "unknown ok
 * not-installed" is not written to the status again (dpkg's lib/dpkg/dbmodify.c and dump.c;
 * packages.h says what becomes of a user's updates). So in
 * the databases themselves such a stanza says nothing, and is passed over.
 *
 * Not among them: info, which are files for each package; alternatives, files of which several
 * packages have their part, and which stay files of their layers (compose-alternatives.h); available, which apt does not keep; the debconf databases, which stay files of their layers. When
 * a user's layer comes onto another stack these are merged all the same (mlimg_records_merge()), as
 * questions: stanzas whose key is Name (debconf.conf(5), the format 822 of its driver File).
 */
#ifndef MLIMG_RECORDS_H
#define MLIMG_RECORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/err.h"
#include "libmlimg/notes.h"

#define MLIMG_RECORDS_DIR "/mlimg/records" /**< where they lie in an image */
#define MLIMG_RECORDS_SIZE_MAX \
	(64u << 20) /**< bytes of a database; the status of all Debian's packages has less */
#define MLIMG_RECORDS_LINE_MAX \
	16384 /**< bytes of a line of users or groups: a group of 2000 members */
#define MLIMG_RECORDS_PATH_MAX 128 /**< bytes of such a file's path */

/** How a file is divided into records; the table above. */
enum mlimg_records_form {
	MLIMG_RECORDS_NONE, /**< it is no such database */
	MLIMG_RECORDS_STANZAS,
	MLIMG_RECORDS_DIVERSIONS,
	MLIMG_RECORDS_OVERRIDES,
	MLIMG_RECORDS_LINES,
	MLIMG_RECORDS_ACCOUNTS,
	MLIMG_RECORDS_GROUPS,
	MLIMG_RECORDS_GSHADOWS,
	MLIMG_RECORDS_QUESTIONS, /**< merged only: has neither marks nor differences */
};

#define MLIMG_RECORDS_FORM_LAST MLIMG_RECORDS_GSHADOWS /**< for loops over all with differences */

/** @return whether the form is that of users or groups */
static inline bool mlimg_records_is_accounts(enum mlimg_records_form form)
{
	return form >= MLIMG_RECORDS_ACCOUNTS && form <= MLIMG_RECORDS_GSHADOWS;
}

/** @return whether the form's records are stanzas, between which there are empty lines */
static inline bool mlimg_records_is_stanzas(enum mlimg_records_form form)
{
	return form == MLIMG_RECORDS_STANZAS || form == MLIMG_RECORDS_QUESTIONS;
}

/** @return the form of the file @p path ("var/lib/dpkg/status") of a tree; never questions */
enum mlimg_records_form mlimg_records_form_of(const char *path);

/** @return whether the database @p path is root's alone to read, as are records of it */
bool mlimg_records_is_secret(const char *path);

/** A text. */
struct mlimg_records_text {
	const char *text; /**< need not be NUL-terminated; may be NULL when @p size is 0 */
	size_t size;
};

/** What a difference consists of. */
struct mlimg_records_sums {
	size_t changed; /**< records that are new or other than before */
	size_t gone;    /**< records that are there no more */
};

/**
 * What differs between two states of a database.
 *
 * @param form      of both
 * @param old       what lies beneath
 * @param fresh     what shall be
 * @param ret_text  the records, NUL-terminated (the NUL is not counted), empty when nothing
 *                  differs; free() it
 * @param ret_size  bytes
 * @param ret_sums  what is in it; may be NULL
 * @param err       of kind MLIMG_ERR_REFUSED: "beneath: line N: ..." or "line N: ...". Refused are
 *                  a text above MLIMG_RECORDS_SIZE_MAX, a last line without newline, NULs, what has
 *                  not the form, two records with one key
 * @return          0, -EUCLEAN, -ENOMEM
 */
int mlimg_records_diff(enum mlimg_records_form form, struct mlimg_records_text old,
	struct mlimg_records_text fresh, char **ret_text, size_t *ret_size,
	struct mlimg_records_sums *ret_sums, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Compose a database.
 *
 * @param form       of the database
 * @param base       the file that shows; empty when there is none
 * @param records    differences, the lowest layer's first
 * @param n_records  their number
 * @param ret_text   the database, NUL-terminated (the NUL is not counted): the records of the base
 *                   in their order, then new ones in the order in which they came; free() it
 * @param ret_size   bytes
 * @param err        as for mlimg_records_diff(); "records N of M: line N: ..."
 * @return           0, -EUCLEAN, -ENOMEM
 */
int mlimg_records_compose(enum mlimg_records_form form, struct mlimg_records_text base,
	const struct mlimg_records_text *records, size_t n_records, char **ret_text,
	size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Sides of a merge. */
enum mlimg_merge_side {
	MLIMG_SIDE_BASE, /**< the stack that the user's layer was made on */
	MLIMG_SIDE_NEXT, /**< the stack that it will lie on */
	MLIMG_SIDE_MINE, /**< as the user has it */
	MLIMG_N_MERGE_SIDES,
};

/** Whose text a merged file has. */
enum mlimg_merged_from {
	MLIMG_FROM_NEXT = 1, /**< next's, byte for byte (or it is not there, as in next) */
	MLIMG_FROM_MINE,     /**< mine, byte for byte (or it is not there, as in mine) */
	MLIMG_FROM_BOTH,     /**< a new one */
};

/** A merged file. */
struct mlimg_merged_text {
	char *text; /**< NUL-terminated (the NUL is not counted); NULL: it is not there */
	size_t size;
	enum mlimg_merged_from from;
};

/** @return where @p merged comes from; also cuts a last newline that neither side has */
enum mlimg_merged_from mlimg_merged_text_from(
	struct mlimg_records_text next, struct mlimg_records_text mine, char *text, size_t *size);

/** @return whose order a merged text has: next's when mine is as base or not there, else mine */
enum mlimg_merge_side mlimg_merge_order(const struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES]);

/**
 * Says that a record follows something else.
 *
 * @param ctx       the caller's
 * @param text      of the record on any side
 * @param size      bytes
 * @param ret_side  whose record it is to be, which may be none
 * @return          false: as the three sides have it
 */
typedef bool mlimg_records_follow_fn(
	void *ctx, const char *text, size_t size, enum mlimg_merge_side *ret_side);

/**
 * Merge a database three ways by record. One that one side alone changed, made or removed is that
 * side's; one that both changed otherwise is mine, and told. In the order of mlimg_merge_order();
 * what the other side alone has comes behind.
 *
 * @param form   of all
 * @param path   of the database, for notes and errors
 * @param texts  base, next, mine; text NULL where it is not there, which has no records
 * @param follow asked for each record; may be NULL
 * @param ctx    handed to @p follow
 * @param ret    the result; free() its text. Not there when it has no records, and next or mine is
 *               not there
 * @param notes  gets what both changed; may be NULL
 * @param err    as mlimg_records_diff(); "mine: PATH: line N: ..."
 * @return       0, -EUCLEAN, -ENOMEM
 */
int mlimg_records_merge(enum mlimg_records_form form, const char *path,
	const struct mlimg_records_text texts[MLIMG_N_MERGE_SIDES], mlimg_records_follow_fn *follow,
	void *ctx, struct mlimg_merged_text *ret, struct mlimg_notes *notes,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
