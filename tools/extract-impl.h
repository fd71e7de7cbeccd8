/* SPDX-License-Identifier: MIT */
/**
 * @file extract-impl.h
 * What the files of extract share among themselves; nobody else includes this.
 */
#ifndef MLIMG_TOOLS_EXTRACT_IMPL_H
#define MLIMG_TOOLS_EXTRACT_IMPL_H

#include <sys/types.h>

#include "libmlimg/arena.h"
#include "tools/extract.h"
#include "tools/idmap.h"
#include "tools/progress.h"

/** The first name of a file with several. */
struct extract_first {
	const char *path;
	dev_t dev; /**< in a directory: what it became */
	ino_t ino;
};

/** An extraction. */
struct extract {
	const struct mlimg_itree *tree;
	const struct mlimg_extract_options *options;
	struct mlimg_extract_result *result;
	struct mlimg_progress progress;
	struct mlimg_arena *arena;
	struct mlimg_idmap seen; /**< inode number -> index of firsts */
	struct extract_first *firsts;
	size_t n_firsts, room;
	bool *was_found; /**< for each of options->paths */
	bool is_ending;  /**< the failure at hand ends all */
	const struct extract_sink *sink;
	void *out; /**< the sink's */
};

/** Where entries go. All return 0 or -errno. */
struct extract_sink {
	int (*begin)(struct extract *x, struct mlimg_err *err);
	/**
	 * Write one entry.
	 *
	 * @param is_leading  a directory that was not asked for, but leads to what was
	 * @param first       not NULL: the file is there already, under that name
	 * @param ret_first   what the entry became; the path is not the sink's
	 */
	int (*entry)(struct extract *x, const struct mlimg_entry *entry,
		const struct mlimg_itree_node *node, bool is_leading,
		const struct extract_first *first, struct extract_first *ret_first,
		struct mlimg_err *err);
	/**
	 * All entries have come, or it is ended: @p ret says which. Failures of single entries are
	 * for extract_note().
	 */
	int (*end)(struct extract *x, int ret, struct mlimg_err *err);
};

extern const struct extract_sink extract_dir_sink, extract_tar_sink;

/** Keep a failure. @return 0, -ENOMEM */
int extract_note(struct extract *x, const char *path, const struct mlimg_err *failure,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether an xattr is written; counts what is left out */
bool extract_takes_xattr(struct extract *x, const struct mlimg_xattr *xattr);

/**
 * Read a file, for the sink, and tell the progress bar.
 *
 * @return 0, what @p fn returned, or -errno
 */
int extract_read(struct extract *x, const struct mlimg_itree_node *node, mlimg_ext4_data_fn *fn,
	void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
