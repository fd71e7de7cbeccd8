/* SPDX-License-Identifier: MIT */
/**
 * @file manifest.h
 * The manifest: a sorted list of what a tree holds, as mtree(5) text.
 *
 * Format (version 1). The first line is "#mtree". Lines that begin with "# mlimg-" are the
 * manifest's own header (see struct mlimg_layer_info in layer.h); other comment lines and empty
 * lines are ignored. Every other line is one entry: its path, then keywords, separated by one space:
 *
 *     . type=dir mode=0755 uid=0 gid=0 time=1700000000.000000000
 *     ./usr/bin/env type=file mode=0755 uid=0 gid=0 size=48536 time=1663669823.000000000 sha256digest=<64 hex>
 *     ./bin type=link mode=0777 uid=0 gid=0 time=1700000000.000000000 link=usr/bin
 *     ./dev/null type=char mode=0666 uid=0 gid=0 time=1700000000.000000000 device=native,1,3
 *
 * - Paths are relative to the tree's root, which is "." itself; all others begin with "./". Bytes outside
 *   0x21..0x7e and the characters '#', '\\', '=', '*', '?', '[' are written as a backslash and three octal
 *   digits (vis(3), VIS_OCTAL). The same goes for link targets and xattr names.
 * - Order: a directory comes before what is in it, what is in it is contiguous, and names within one
 *   directory are in strict byte order. mlimg_manifest_path_cmp() is that order.
 * - type: file, dir, link, char, block, fifo, socket. mode: the twelve permission bits, four octal digits.
 *   uid, gid: 0..4294967294. size: bytes, regular files only. time: seconds and nanoseconds, nine digits;
 *   seconds may be negative.
 * - Hard links: every name of a file with several names within the tree carries `nlink=N inode=K`; K
 *   numbers the groups from 1 in order of first appearance. All names of a group carry the same attributes.
 * - xattrs: one keyword `xattr.NAME=BASE64` each (as go-mtree writes them), names in byte order.
 *   POSIX ACLs and file capabilities are xattrs (`system.posix_acl_access`, `security.capability`), values in
 *   the form getxattr(2) returns.
 * - Keywords come in the order: type mode uid gid nlink inode size time sha256digest link device xattr.*.
 * - Whiteouts and opaque directories of a layer appear in overlayfs' own form: type=char
 *   device=native,0,0, and `xattr.trusted.overlay.opaque=eQ==`.
 *
 * The writer is canonical: equal content gives equal bytes. The reader takes only this form, with keywords
 * in any order, and is bounded (limits below); input comes from strangers.
 *
 * Source of the format: mtree(5) of FreeBSD and libarchive.
 */
#ifndef MLIMG_MANIFEST_H
#define MLIMG_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/err.h"
#include "libmlimg/sha256.h"

#define MLIMG_NAME_MAX 255          /**< bytes of one name: ext4's and the VFS' limit */
#define MLIMG_PATH_MAX 4095         /**< bytes of a path without its NUL: PATH_MAX of the kernel */
#define MLIMG_LINK_MAX 4095         /**< bytes of a symlink's target */
#define MLIMG_XATTR_VALUE_MAX 65536 /**< bytes of an xattr's value: the VFS' limit */
#define MLIMG_XATTRS_MAX 1024       /**< xattrs of one entry; ext4 holds fewer */
#define MLIMG_ENTRIES_MAX 16777216  /**< entries of a manifest (2^24) */

/** Type of an entry. */
enum mlimg_type {
	MLIMG_FILE = 1,
	MLIMG_DIR,
	MLIMG_LINK,
	MLIMG_CHAR,
	MLIMG_BLOCK,
	MLIMG_FIFO,
	MLIMG_SOCKET,
};

/** One extended attribute. */
struct mlimg_xattr {
	char *name;    /**< full name, "user.x", NUL-terminated */
	uint8_t *value; /**< may be NULL when @p size is 0 */
	size_t size;   /**< bytes of @p value */
};

/** One entry. Everything it points to belongs to whoever holds the entry. */
struct mlimg_entry {
	char *path;                        /**< relative, without "./"; "" is the root itself */
	char *link;                        /**< MLIMG_LINK: target; else NULL */
	struct mlimg_xattr *xattrs;        /**< sorted by name */
	uint64_t size_bytes;               /**< MLIMG_FILE: length; else 0 */
	int64_t mtime_s;                   /**< seconds since the epoch */
	uint32_t mtime_ns;                 /**< 0..999999999 */
	uint32_t uid, gid;                 /**< owner */
	uint32_t dev_major, dev_minor;     /**< MLIMG_CHAR, MLIMG_BLOCK: 12 and 20 bits */
	uint32_t hardlink;                 /**< group number, 0 when the file has one name */
	uint32_t nlink;                    /**< names within the tree; 1 when @p hardlink is 0 */
	uint32_t n_xattrs;                 /**< entries of @p xattrs */
	uint16_t mode;                     /**< permission bits, 07777 */
	uint8_t type;                      /**< enum mlimg_type */
	bool has_digest;                   /**< @p digest is set */
	uint8_t digest[MLIMG_SHA256_SIZE]; /**< MLIMG_FILE: SHA-256 of the contents */
};

/** A manifest in memory, sorted. */
struct mlimg_manifest {
	struct mlimg_entry *entries; /**< sorted by mlimg_manifest_path_cmp() */
	size_t n_entries;
	char **header;               /**< header lines, without "# mlimg-" and newline */
	size_t n_header;
	void *arena;                 /**< memory of the strings; private */
};

/** The order of manifests: byte order in which '/' sorts below every other byte. */
int mlimg_manifest_path_cmp(const char *a, const char *b);

/** Receives text; cannot fail, so a sink that can remembers its failure itself. */
typedef void mlimg_sink(void *ctx, const char *data, size_t size);

/**
 * Write one entry as one line, newline included, in the canonical form.
 *
 * @param entry  what to write
 * @param sink   gets the text, in one or several pieces
 * @param ctx    handed to @p sink
 */
void mlimg_manifest_put_entry(const struct mlimg_entry *entry, mlimg_sink *sink, void *ctx);

/**
 * Write a whole manifest: first line, header, entries.
 *
 * @param m     what to write; sorted
 * @param sink  gets the text
 * @param ctx   handed to @p sink
 */
void mlimg_manifest_put(const struct mlimg_manifest *m, mlimg_sink *sink, void *ctx);

/**
 * Read a manifest from memory. Refuses: a wrong first line, an unknown keyword, a keyword that does not fit
 * the type, a number out of range, a path that is absolute or has ".", ".." or empty components, an order that is
 * not strictly ascending, an entry whose parent directory is not there, and anything above the limits.
 *
 * @param text          bytes; need not be NUL-terminated
 * @param size          bytes of @p text
 * @param ret_manifest  on success a new manifest; free with mlimg_manifest_free()
 * @param err           names the line
 * @return              0, -EUCLEAN when refused, -ENOMEM
 */
int mlimg_manifest_parse(const char *text, size_t size, struct mlimg_manifest **ret_manifest,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return the entry at @p path ("" is the root), or NULL. Binary search. */
const struct mlimg_entry *mlimg_manifest_find(const struct mlimg_manifest *m, const char *path);

/** Free it; accepts NULL. */
void mlimg_manifest_free(struct mlimg_manifest *m);

#endif
