/* SPDX-License-Identifier: MIT */
/**
 * @file source-cursor.h
 * Entries of a source that comes in the order of manifests, as directories and images do, on their
 * way into the tree: which directory is theirs, and which of them are names of the same file.
 */
#ifndef MLIMG_TOOLS_SOURCE_CURSOR_H
#define MLIMG_TOOLS_SOURCE_CURSOR_H

#include "tools/source.h"

struct mlimg_link;

/** Files with several names, by two numbers such as device and inode. Zero it to begin with. */
struct mlimg_links {
	struct mlimg_link *slots;
	size_t n_slots, n_links;
};

/** @return what mlimg_links_add() was given for these numbers, or NULL */
struct mlimg_inode *mlimg_links_find(const struct mlimg_links *links, uint64_t a, uint64_t b);

/** Remember @p inode. @return 0, -ENOMEM */
int mlimg_links_add(struct mlimg_links *links, uint64_t a, uint64_t b,
	struct mlimg_inode *inode) MLIMG_MUST_CHECK;

/** Free the table; accepts a zeroed one. */
void mlimg_links_done(struct mlimg_links *links);

/** A source on its way into the tree. */
struct mlimg_cursor {
	const struct mlimg_source_to *to;
	struct mlimg_node *dir; /**< the last directory; begin with @p to 's top */
	struct mlimg_links links;
};

/** What tells one file from another, for those that may have further names. */
struct mlimg_identity {
	bool is_shared; /**< the file may have several names */
	uint64_t a, b;
};

/**
 * Put the next entry, in the order of manifests and with directories before what is in them.
 *
 * @param cursor    the source
 * @param entry     its path decides where it goes; "" is the source's root
 * @param id        of the file; not used for directories
 * @param ret_node  the node if it is to be filled; NULL when it is hidden or when its file is there
 *                  already, and for the root
 * @param err       names the path
 * @return          0; 1 for a directory that is hidden with all that is in it, so that nothing in
 *                  it must follow; -errno
 */
int mlimg_cursor_put(struct mlimg_cursor *cursor, const struct mlimg_entry *entry,
	const struct mlimg_identity *id, struct mlimg_node **ret_node,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
