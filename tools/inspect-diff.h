/* SPDX-License-Identifier: MIT */
/**
 * @file inspect-diff.h
 * What the files of `mlimg-inspect diff` share among themselves; nobody else includes this.
 */
#ifndef MLIMG_TOOLS_INSPECT_DIFF_H
#define MLIMG_TOOLS_INSPECT_DIFF_H

#include "tools/dpkg-status.h"
#include "tools/inspect-commands.h"

/** How to print. */
struct diff_options {
	bool is_json;
	bool is_summary; /**< packages and sums only */
	bool has_times;  /**< also what differs in nothing but its time; JSON always has that */
};

/** Sums of one directory at the top. What is at the top itself and no directory belongs to ".". */
struct diff_sums {
	const char *name; /**< as long a string as the manifests live; its first component counts */
	int name_size;
	uint64_t n_added, n_removed, n_changed;
	uint64_t n_times; /**< that differ in their time only */
	uint64_t old_bytes,
		/** of files that are removed, added or have another content; every name counts */
		new_bytes;
};

/** One of the two layers, or of two indexes. */
struct diff_side {
	struct mlimg_ext4 *fs;
	const struct mlimg_layer_info *info;
	struct mlimg_inspect_stack *stack; /**< an index, then the two above are NULL */
	struct mlimg_manifest *manifest;
	char *status; /**< dpkg's database, or NULL */
	/** it is that of a layer that was made over others: what it has other than those */
	bool has_records;
	struct mlimg_packages packages;
};

/** A comparison. */
struct diff {
	const struct diff_options *options;
	struct diff_side old_side, new_side;
	struct mlimg_manifest *merged; /**< of both, where the new one is a patch for the old one */
	struct diff_sums *sums;        /**< the first is that of "." */
	size_t n_sums, room;
	bool has_packages; /**< both have a database, of the same sort */
	bool has_places;   /**< digests are MLIMG_DIGESTS_PLACES */
	bool has_listed;   /**< an entry has been printed */
};

/** A package that differs; NULL on the side where it is not. */
typedef int diff_package_fn(const struct mlimg_package *old_package,
	const struct mlimg_package *new_package, void *ctx, struct mlimg_err *err);

/** Call @p fn for every package that differs. @return 0, what @p fn returned when negative */
int diff_packages(const struct diff *d, diff_package_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Print one entry for people. */
void diff_put_entry(
	unsigned changes, const struct mlimg_entry *old_entry, const struct mlimg_entry *new_entry);

/** Print for people what comes before the entries. */
void diff_put_head(const struct diff *d);

/** Print for people what comes after them. @return 0 or -errno */
int diff_put_tail(const struct diff *d, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Begin the JSON. @return 0 or -errno */
int diff_json_head(const struct diff *d, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** An entry in JSON. @return 0 or -errno */
int diff_json_entry(const struct diff *d, unsigned changes, const struct mlimg_entry *old_entry,
	const struct mlimg_entry *new_entry, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** End the JSON. @return 0 or -errno */
int diff_json_tail(const struct diff *d, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
