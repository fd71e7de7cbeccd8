/* SPDX-License-Identifier: MIT */
/**
 * @file source-tar.h
 * The parts of the tar reader among themselves: source-tar.c (a tar as source), source-tar-read.c
 * (its entries into the tree), source-tar-path.c (what their paths mean), source-tar-links.c (hard
 * links to what is hidden), source-tar-entry.c (what libarchive says of an entry, as a struct
 * mlimg_entry). OCI images use it for their layers.
 */
#ifndef MLIMG_TOOLS_SOURCE_TAR_H
#define MLIMG_TOOLS_SOURCE_TAR_H

#include "tools/source.h"

struct archive;
struct archive_entry;

#define MLIMG_ACL_SIZE(n) (4 + 8 * (size_t)(n)) /**< bytes of an ACL xattr with so many entries */

/** Buffers for entries, used again for each one. Zero it to begin with. */
struct mlimg_tar_entry {
	struct mlimg_entry entry; /**< valid until the next call */
	struct mlimg_xattr *xattrs;
	size_t xattrs_room; /**< elements */
	uint8_t *acls[2];   /**< access, default */
};

/**
 * Attributes of an entry that is no hard link.
 *
 * @param te      its ->entry is filled
 * @param from    libarchive's
 * @param path    the entry's path as it shall be, for ->entry.path and messages
 */
int mlimg_tar_entry_fill(struct mlimg_tar_entry *te, struct archive_entry *from, const char *path,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free the buffers. */
void mlimg_tar_entry_done(struct mlimg_tar_entry *te);

/**
 * Let an archive be compressed. Filters are named one by one: libarchive's "all" has some that run
 * a program of whatever name, because a stranger's first bytes say so.
 *
 * @return whether libarchive has them
 */
bool mlimg_tar_filters(struct archive *a);

/** A tar that can be read, and once more if need be. */
struct mlimg_tar {
	const char *name; /**< for messages */
	/**
	 * A layer of an OCI image: names that begin with ".wh." say what is hidden, and
	 * overlayfs' own marks, which nobody can mean there, are refused.
	 */
	bool is_oci;
	uint64_t
		stored_bytes; /**< of what is stored, that have been read; for the progress bar, where the archive does not tell */
	/**
	 * Start at the first byte.
	 *
	 * @return 0; 1 when libarchive cannot, and the archive tells why; negative, without an
	 *         archive
	 */
	int (*open)(struct mlimg_tar *tar, struct archive **ret_archive, struct mlimg_err *err);
	/**
	 * Check what can be checked now that the entries were read, and free the archive.
	 *
	 * @param r  0 or what failed, as @p err tells; returned unless something else is worse
	 */
	int (*close)(struct mlimg_tar *tar, struct archive *archive, int r, struct mlimg_err *err);
};

/** Read its entries as the next level, which the caller has begun. */
int mlimg_tar_read(struct mlimg_tar *tar, const struct mlimg_source_to *to,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** What the parts know while a tar is read. */
struct mlimg_tar_reader {
	const struct mlimg_source_to *to;
	struct mlimg_tar *tar;
	struct archive *archive;
	struct mlimg_tar_entry entry;
	char path[MLIMG_PATH_MAX + 1]; /**< of the present entry, normalised */
	int64_t end;                   /**< of the last entry, in the uncompressed archive */
	uint64_t reported;             /**< bytes as they are stored, to the progress bar */
	bool has_entries;
	void *wanted; /**< hard links' targets that are hidden: tsearch(3)'s */
	size_t n_missing;
};

/**
 * Bring a path of the archive into the form of manifests: no "." and no double slashes. It must not
 * lead out of the tree.
 *
 * @param name      the archive's, for messages
 * @param whole     the path
 * @param what      "entry", "hard link to"
 * @param ret_path  the path
 */
int mlimg_tar_normalise(const char *name, const char *whole, const char *what,
	char ret_path[MLIMG_PATH_MAX + 1], struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return what the present level has at @p path, or NULL */
struct mlimg_node *mlimg_tar_lookup(const struct mlimg_tar_reader *rd, const char *path);

/**
 * Do what an OCI layer's entry @p rd->path says if its name is a marker's.
 *
 * @param rd    the reader
 * @param from  the entry
 * @return      1 when it is one, 0 when not, negative when refused
 */
int mlimg_tar_marker(struct mlimg_tar_reader *rd, struct archive_entry *from,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Attributes of the present entry into @p rd->entry, checked for what no OCI layer may have. */
int mlimg_tar_fill(struct mlimg_tar_reader *rd, struct archive_entry *from,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Contents of the present entry into @p file. */
int mlimg_tar_contents(struct mlimg_tar_reader *rd, struct archive_entry *from,
	struct mlimg_file *file, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Add the hard link @p rd->path to @p target. */
int mlimg_tar_link(
	struct mlimg_tar_reader *rd, const char *target, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The second reading: if hard links want the present entry, they get what it is. */
int mlimg_tar_wanted(struct mlimg_tar_reader *rd, struct archive_entry *from,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Refuse hard links whose target never came. */
int mlimg_tar_links_check(struct mlimg_tar_reader *rd, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what is known about hard links. */
void mlimg_tar_links_done(struct mlimg_tar_reader *rd);

#endif
