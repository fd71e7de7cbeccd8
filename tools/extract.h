/* SPDX-License-Identifier: MIT */
/**
 * @file extract.h
 * Writing the entries of a tree (itree.h) somewhere else: into a directory, or as a tar. Neither
 * the image nor what already lies in the directory is trusted: nothing is written but beneath it,
 * and no symbolic link in it is followed, whether it came from the image or not.
 *
 * One entry that cannot be written does not end it: it is noted, and what is below it left out.
 * What would go wrong for all others too (a full disk, no memory, a pipe that nobody reads) ends
 * it.
 */
#ifndef MLIMG_TOOLS_EXTRACT_H
#define MLIMG_TOOLS_EXTRACT_H

#include "tools/itree.h"

#define MLIMG_EXTRACT_NAMED_MAX \
	20 /**< failures that are kept with name and reason; the rest is counted */

/** What is to be extracted, and how. */
struct mlimg_extract_options {
	/**
	 * Directory to write into, made if it is not there; NULL: write a tar to @p tar_fd. It gets
	 * the attributes of the tree's root if it was made; and where everything is extracted, if
	 * it was empty or things may be replaced, unless it is another user's.
	 */
	const char *directory;
	int tar_fd;
	/**
	 * Bytes of holes that a tar may have in all: libarchive wants to see each, and a file of
	 * holes costs its maker nothing.
	 */
	uint64_t tar_holes_max;
	/**
	 * within the tree, as mlimg_extract_normalize() makes them; links in them are not followed
	 */
	char **paths;
	size_t n_paths; /**< 0: everything */
	/**
	 * replace what is there; directories are merged in any case, and never replaced by anything
	 * else
	 */
	bool can_replace;
	/** else neither owners, nor set-ID bits, nor xattrs in trusted.* and security.* are set */
	bool keeps_owners;
	/** of a patch layer: files whose contents lie beneath it cannot be written */
	bool is_patch;
	uint64_t total_bytes; /**< for the progress bar; 0 when not known */
};

/** What came of it. */
struct mlimg_extract_result {
	uint64_t n_entries; /**< written */
	uint64_t n_bytes;   /**< of contents, holes included */
	uint64_t n_failed;  /**< not written, without what is below them */
	uint64_t
		n_overlay; /**< xattrs of overlayfs that were left out: all but the mark of an opaque directory */
	bool is_refused; /**< some failed because the image is damaged */
	struct mlimg_extract_failure {
		char *path, *reason;
	} failures[MLIMG_EXTRACT_NAMED_MAX]; /**< the first ones */
};

/**
 * Bring a path that a user gave into the form of manifests: without '/' at the ends, "." and empty
 * components.
 *
 * @param path  changed in place; "" is the root
 * @param err   of kind MLIMG_ERR_USAGE: it has ".."
 * @return      0, -EINVAL
 */
int mlimg_extract_normalize(char *path, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Extract. Files are written under a temporary name and put in place when they are whole, which a
 * signal keeps to; nothing is synced. Directories get their attributes at the end.
 *
 * @param tree        from where
 * @param options     what and how
 * @param ret_result  always filled; mlimg_extract_result_done() when done
 * @param err         what ended it
 * @return            0, also when single entries failed; -errno when it was ended
 */
int mlimg_extract(const struct mlimg_itree *tree, const struct mlimg_extract_options *options,
	struct mlimg_extract_result *ret_result, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns. */
void mlimg_extract_result_done(struct mlimg_extract_result *result);

#endif
