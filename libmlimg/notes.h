/* SPDX-License-Identifier: MIT */
/**
 * @file notes.h
 * What a merge of databases has to tell people: things that were decided between two who both
 * wanted something, and things that no longer fit together. The merge itself goes on. So does taking
 * a change back, which tells here what could not return.
 */
#ifndef MLIMG_NOTES_H
#define MLIMG_NOTES_H

#include <stdbool.h>
#include <stddef.h>

#include "libmlimg/arena.h"
#include "libmlimg/err.h"
#include "libmlimg/manifest.h"

#define MLIMG_NOTES_MAX 10000 /**< notes that are kept; more are counted only */
#define MLIMG_NOTES_SIZE_MAX \
	(16u << 20) /**< bytes of what mlimg_notes_put() writes: as many as are kept, with long paths */

/** How much a note matters. */
enum mlimg_note_kind {
	MLIMG_NOTE_TOLD = 1, /**< something was moved or kept, nothing is lost */
	MLIMG_NOTE_CONFLICT, /**< both sides changed it, and one had to give way */
	MLIMG_NOTE_BROKEN, /**< it does not work as it is now: a dependency that no longer holds */
};

/** A note. */
struct mlimg_note {
	enum mlimg_note_kind kind;
	const char *path; /**< of the database, in a tree: "etc/passwd"; "mlimg/aside/N" */
	const char *name; /**< of the account, package, ... */
	const char *text; /**< one line, without a full stop; control characters became '?' */
};

/** Notes in the order in which they came. Zero it to begin with. */
struct mlimg_notes {
	struct mlimg_note *notes;
	size_t n;                  /**< kept */
	size_t n_more;             /**< beyond MLIMG_NOTES_MAX */
	size_t room;               /**< private */
	struct mlimg_arena *arena; /**< private */
};

#define MLIMG_NOTE_UNMERGED "not merged: " /**< how a note begins of what could not be merged */

/** @return whether it tells of a database that could not be merged */
bool mlimg_note_is_unmerged(const struct mlimg_note *note);

/** @return "told", "conflict" or "broken" */
const char *mlimg_note_kind_name(enum mlimg_note_kind kind);

/**
 * Add one.
 *
 * @param notes  where to; NULL: nobody wants to know
 * @param kind   how much it matters
 * @param path   of the database; copied
 * @param name   what it is about; copied
 * @param fmt    printf format of the text; cut at MLIMG_ERR_TEXT_SIZE
 * @return       0, -ENOMEM
 */
int mlimg_notes_add(struct mlimg_notes *notes, enum mlimg_note_kind kind, const char *path,
	const char *name, const char *fmt, ...)
	__attribute__((format(printf, 5, 6))) MLIMG_MUST_CHECK;

/**
 * Write them, for a later boot to tell: a line "mlimg notes 1 MORE", where MORE is n_more; then for
 * each note the first letter of its kind's name, a space, path, name and text, each with a NUL.
 *
 * @param notes  see there
 * @param sink   gets the text
 * @param ctx    handed to @p sink
 */
void mlimg_notes_put(const struct mlimg_notes *notes, mlimg_sink *sink, void *ctx);

/**
 * Read what was so written, by a stranger perhaps.
 *
 * @param text   a NUL is behind it
 * @param size   its bytes
 * @param notes  gets them
 * @return       0; -EUCLEAN, after what was well formed; -ENOMEM
 */
int mlimg_notes_parse(const char *text, size_t size, struct mlimg_notes *notes) MLIMG_MUST_CHECK;

/** Free what they own. */
void mlimg_notes_done(struct mlimg_notes *notes);

#endif
