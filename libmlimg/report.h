/* SPDX-License-Identifier: MIT */
/**
 * @file report.h
 * The report on what a changed stack means for a user's entries: reports/N.json of boot.h. Built
 * line by line, since an upper may hold a million entries; only those that are listed take memory.
 */
#ifndef MLIMG_REPORT_H
#define MLIMG_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "libmlimg/layer.h"
#include "libmlimg/notes.h"
#include "libmlimg/path-class.h"
#include "libmlimg/reconcile.h"

#define MLIMG_REPORT_ENTRIES_MAX 100000 /**< entries listed; all are counted. "truncated" tells */

#define MLIMG_REPORT_MAX (64u << 20) /**< bytes of a report that a reader accepts */

/** bytes at the beginning of a report as JSON that have its numbers; they take some 600 */
#define MLIMG_REPORT_HEAD_MAX 4096

/** What is done about an entry. */
enum mlimg_done {
	MLIMG_DONE_NOTHING = 0, /**< it stays as it is */
	MLIMG_DONE_DROPPED,     /**< it is gone: what the layers have shows */
	MLIMG_DONE_ASIDE,       /**< it was set aside, with all that is below */
	MLIMG_DONE_BESIDE,      /**< it stays, and the new file lies beside as NAME.mlimg-new */
	MLIMG_DONE_MERGED,      /**< it was changed: attributes, contents, or both */
	MLIMG_DONE_JOINED,      /**< a directory that hid one of the layers is joined with it */
	MLIMG_DONE_CLOSED,      /**< a directory hides one of the layers that is new */
};

#define MLIMG_N_DONE 7 /**< one more than the greatest */

/** @return "stays", "dropped", "aside", "beside", "merged", "joined", "closed" */
const char *mlimg_done_name(enum mlimg_done done);

/** An entry of a report. */
struct mlimg_report_entry {
	const char *path; /**< as in an entry; any bytes */
	enum mlimg_verdict verdict;
	enum mlimg_path_class class;
	enum mlimg_done done;
	uint64_t generation; /**< that the change leads to: names the place of what is set aside */
	const char *at;      /**< beside: the path of the new file */
	const char *from;    /**< a renamed directory: where it was in the layers; or NULL */
	const char *
		why; /**< more than verdict and class say, in a few words without quotes; or NULL */
	const char
		*aside; /**< name of the place of what is set aside: "queue-1"; NULL: generation */
	bool is_asked;  /**< it is listed whatever is done about it: the user waits for an answer */
};

/** A report that is being written. */
struct mlimg_report {
	uint64_t counts[MLIMG_N_VERDICTS]; /**< by verdict */
	uint64_t done[MLIMG_N_DONE]; /**< by what is done; entries of mlimg_report_add_entry() */
	uint64_t moved;              /**< entries that got the numbers that their owners have now */
	bool leaves_accounts, leaves_packages; /**< these were not merged; a note says why */
	uint64_t hidden; /**< files of packages that the user removed, or has another version of */
	uint64_t listed; /**< entries listed */
	char (*rebuild)[MLIMG_LAYER_PATH_MAX +
		1]; /**< caches that were dropped, as layers list them (rebuild.h) */
	size_t n_rebuild;
	struct mlimg_notes notes; /**< what merging databases has to tell; freed with the report */
	const char
		*meanings; /**< lines that say to people what "dropped" and the others mean; NULL:
				 those of a changed stack */
	uint64_t to_list;  /**< private: entries that are or would have been listed */
	FILE *entries;     /**< private: their text */
	FILE *lines;       /**< private: the same for people */
	char *lines_text;  /**< private */
	size_t lines_size; /**< private */
	char *text;        /**< private */
	size_t size;       /**< private */
};

/** Begin. @return 0, -ENOMEM */
int mlimg_report_init(struct mlimg_report *report, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Add an entry.
 *
 * @param report   the report
 * @param path     as in an entry; any bytes
 * @param verdict  MLIMG_KEEP is counted only
 */
void mlimg_report_add(struct mlimg_report *report, const char *path, enum mlimg_verdict verdict);

/**
 * The same with what is done about it. One that stays, with verdict keep, is counted only, unless
 * somebody has asked.
 *
 * @param report  the report
 * @param entry   see there
 */
void mlimg_report_add_entry(struct mlimg_report *report, const struct mlimg_report_entry *entry);

/**
 * Note that a cache was dropped.
 *
 * @param report  the report
 * @param listed  as a layer lists it; more than MLIMG_LAYER_REBUILD_MAX are not noted
 * @return        0, -ENOMEM
 */
int mlimg_report_add_rebuild(struct mlimg_report *report, const char *listed) MLIMG_MUST_CHECK;

/**
 * Write it.
 *
 * @param report      no more is added to it
 * @param generation  the new stack's
 * @param from        stack id of the old one
 * @param to          stack id of the new one
 * @param ret_text    the text, which ends with a newline; free() it
 * @param ret_size    its bytes
 * @param err         see there
 * @return            0, -ENOMEM
 */
int mlimg_report_to_json(struct mlimg_report *report, uint64_t generation, const char *from,
	const char *to, char **ret_text, size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Write it for people: what was done, a line for each entry that is listed, escaped as in
 * manifests.
 *
 * @param report    no more is added to it
 * @param title     the first line
 * @param ret_text  the text, which ends with a newline; free() it
 * @param ret_size  its bytes
 * @param err       see there
 * @return          0, -ENOMEM
 */
int mlimg_report_to_text(struct mlimg_report *report, const char *title, char **ret_text,
	size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read the numbers of a report that was written as JSON. They come before all that may be long, so
 * that a boot which has to tell them need not read a report of 100,000 entries.
 *
 * @param text        its beginning, or all of it; may be a stranger's
 * @param size        bytes; what is behind the first MLIMG_REPORT_HEAD_MAX is not looked at
 * @param ret_counts  by verdict; untouched on failure, as the next one
 * @param ret_done    by what was done
 * @return            0; -EUCLEAN when they are not there in that form; -ENOMEM
 */
int mlimg_report_read_counts(const char *text, size_t size, uint64_t ret_counts[MLIMG_N_VERDICTS],
	uint64_t ret_done[MLIMG_N_DONE]) MLIMG_MUST_CHECK;

/** An entry of a report that is read: texts as they stand there, of later versions perhaps. */
struct mlimg_report_read {
	const char *path; /**< of the entry; any bytes */
	const char *verdict;
	const char *class, *done; /**< NULL where it was only compared */
	const char *at;           /**< where what lost is now; or NULL */
	const char *why;          /**< or NULL */
};

/** Called for each. @return 0, or a negative errno to stop */
typedef int mlimg_report_read_fn(
	const struct mlimg_report_read *entry, void *ctx, struct mlimg_err *err);

/**
 * Read the entries of a report that was written as JSON.
 *
 * @param text  the text; may be a stranger's
 * @param size  its bytes, at most MLIMG_REPORT_MAX
 * @param fn    told of each entry, in the order of the report
 * @param ctx   handed to @p fn
 * @param err   "report: ..."
 * @return      0, what @p fn returned, -EUCLEAN, -ENOMEM
 */
int mlimg_report_read_entries(const char *text, size_t size, mlimg_report_read_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it holds; accepts a zeroed one. */
void mlimg_report_done(struct mlimg_report *report);

#endif
