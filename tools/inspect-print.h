/* SPDX-License-Identifier: MIT */
/**
 * @file inspect-print.h
 * How mlimg-inspect shows entries and descriptions. Names, link targets and xattr names are always
 * escaped as in manifests (manifest.h), on a terminal or not: so one line is one entry, JSON is
 * valid UTF-8, and no name can steer a terminal.
 */
#ifndef MLIMG_TOOLS_INSPECT_PRINT_H
#define MLIMG_TOOLS_INSPECT_PRINT_H

#include <stdbool.h>
#include <stdio.h>

#include "tools/ext4-read.h"

/**
 * @return 0, or -errno when standard output has failed: it may be a pipe that nobody reads any more
 */
int mlimg_inspect_check_stdout(struct mlimg_err *err) MLIMG_MUST_CHECK;

/** A list in JSON, one element a line, which is written as it comes. */
struct mlimg_json_list {
	FILE *out;
	bool has_elements;
};

/**
 * Print a line as `ls -l` does: type and mode, names, owner, group, size or device, time (UTC),
 * path.
 */
void mlimg_inspect_put_long(
	FILE *out, const struct mlimg_entry *entry, uint32_t nlink, const char *name);

/** Begin a list. */
void mlimg_inspect_list_begin(struct mlimg_json_list *list, FILE *out);

/**
 * Add an entry. Keys: path type mode uid gid nlink hardlink size mtime sha256 link device xattrs,
 * each where it applies. mode is four octal digits, mtime "SECONDS.NANOSECONDS", both as strings;
 * values of xattrs are base64.
 *
 * @param list   begun
 * @param entry  the entry
 * @param path   what to call it
 * @return       0, -ENOMEM
 */
int mlimg_inspect_list_add(
	struct mlimg_json_list *list, const struct mlimg_entry *entry, const char *path);

/**
 * @return the object that mlimg_inspect_list_add() adds, json_decref() it; NULL when there is no
 * memory
 */
struct json_t *mlimg_inspect_entry_json(const struct mlimg_entry *entry, const char *path);

/**
 * Print a report on standard output.
 *
 * @param report  taken over; NULL when there was no memory for it
 * @param what    for the message: "print the report"
 * @return        0, -ENOMEM
 */
int mlimg_inspect_put_report(
	struct json_t *report, const char *what, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * @return the names of changes (manifest-diff.h) as a list, json_decref() it; NULL when there is no
 * memory
 */
struct json_t *mlimg_inspect_changes_json(unsigned changes);

/** End a list. */
void mlimg_inspect_list_end(struct mlimg_json_list *list);

/**
 * Print the description of a layer for people.
 *
 * @param out      where to
 * @param info     of the layer
 * @param super    of its file system
 * @param pending  what a guest has begun in it and not ended (user-pending.h), or NULL
 */
void mlimg_inspect_put_info(FILE *out, const struct mlimg_layer_info *info,
	const struct mlimg_ext4_super *super, const char *pending);

/**
 * Print it as JSON: the keys of layer.json (layer.h), then uuid, label, file_system_bytes,
 * needs_recovery, pending where something is, and verity where there is a hash tree.
 *
 * @param out      where to
 * @param info     of the layer
 * @param super    of its file system
 * @param pending  as above
 * @param verity   taken over; null where there is no hash tree, NULL where there was no memory
 * @param err      that there is no memory
 * @return         0, -ENOMEM
 */
int mlimg_inspect_put_info_json(FILE *out, const struct mlimg_layer_info *info,
	const struct mlimg_ext4_super *super, const char *pending, struct json_t *verity,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
