/* SPDX-License-Identifier: MIT */
/**
 * @file manifest.h
 * The manifest: a sorted list of what a tree holds, as mtree(5) text.
 *
 * Format (version 1). The first line is "#mtree". Lines that begin with "# mlimg-" are the
 * manifest's own header (see struct mlimg_layer_info in layer.h) and come before the first entry;
 * other comment lines and empty lines are ignored. Every other line is one entry: its path, then
 * keywords, separated by one space (here folded after a comma):
 *
 *     . type=dir mode=0755 uid=0 gid=0 time=1700000000.000000000
 *     ./bin type=link mode=0777 uid=0 gid=0 time=1700000000.000000000 link=usr/bin
 *     ./dev type=dir mode=0755 uid=0 gid=0 time=1700000000.000000000
 *     ./dev/null type=char mode=0666 uid=0 gid=0 time=1700000000.000000000 device=native,1,3
 *     ./perl type=file mode=0755 uid=0 gid=0 size=36 time=1663669823.000000000 tags=links:1:2,
 *         xattr:user.a:AQ==
 *
 * - Paths are relative to the tree's root, which is "." itself, a directory, and the first entry;
 *   all others begin with "./". Bytes outside 0x21..0x7e and the characters '#', '\\', '=', '*',
 *   '?', '[' are written as a backslash and three octal digits (vis(3), VIS_OCTAL), no others. The
 *   same goes for link targets; in xattr names ',' and ':' are escaped as well.
 * - Order: a directory comes before what is in it, what is in it is contiguous, and names within
 *   one directory are in strict byte order. mlimg_manifest_path_cmp() is that order.
 * - type: file, dir, link, char, block, fifo, socket. mode: the twelve permission bits, four octal
 *   digits. uid, gid: 0..4294967294. size: bytes, regular files only, less than 2^63. time:
 *   seconds, which may be negative, and the nanoseconds to add to them, nine digits. sha256digest:
 *   of a regular file's contents, 64 lower-case hexadecimal digits; may be missing where nobody has
 *   computed it. device: major (12 bits) and minor (20 bits). Numbers have no leading zeros.
 * - tags: a comma-separated list of what mtree(5) has no keyword for, in this order:
 *     - links:K:N  one of the N >= 2 names of a file; K numbers such groups from 1 in order of
 *       first appearance. All names of a group have the same attributes. A merged manifest
 *       (merge.h) may show fewer than N of them. Directories have none.
 *     - xattr:NAME:BASE64  one for each extended attribute, in strict byte order of the names.
 *       POSIX ACLs and file capabilities are xattrs (system.posix_acl_access, security.capability),
 *       with the values that getxattr(2) returns.
 * - Keywords come in the order: type mode uid gid size time sha256digest link device tags.
 * - Whiteouts and opaque directories of a layer appear in overlayfs' own form: type=char
 *   device=native,0,0, and xattr:trusted.overlay.opaque:eQ==.
 *
 * The writer is canonical: equal content gives equal bytes. The reader takes this form only, except
 * that the keywords may come in any order, and is bounded (limits below); input comes from
 * strangers.
 *
 * Source of the format: mtree(5) of FreeBSD and libarchive. Why tags: to bsdtar 3.6 `xattr.NAME=`,
 * which go-mtree writes, is an error, and to NetBSD's mtree(8) so is libarchive's `inode=`; both
 * skip tags. bsdtar 3.6 does not know type=socket, though mtree(5) has it: it warns, and lists a
 * regular file.
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

/**
 * @return the type's name in manifests: "file", "dir", "link", "char", "block", "fifo" or "socket"
 */
const char *mlimg_type_name(enum mlimg_type type);

/** @return the type of what has the st_mode @p mode, or 0 when it is of none */
uint8_t mlimg_type_of_mode(uint32_t mode);

/** @return the type's bits of st_mode (S_IFMT) */
uint16_t mlimg_type_mode(uint8_t type);

/** One extended attribute. */
struct mlimg_xattr {
	char *name;     /**< full name, "user.x", NUL-terminated */
	uint8_t *value; /**< may be NULL when @p size is 0 */
	size_t size;    /**< bytes of @p value */
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
	uint32_t nlink;                    /**< names of the group; 1 when @p hardlink is 0 */
	uint32_t n_xattrs;                 /**< entries of @p xattrs */
	uint16_t mode;                     /**< permission bits, 07777 */
	uint8_t type;                      /**< enum mlimg_type */
	bool has_digest;                   /**< @p digest is set */
	uint8_t digest[MLIMG_SHA256_SIZE]; /**< MLIMG_FILE: SHA-256 of the contents */
};

/**
 * @return whether @p a and @p b agree in type, mode, owner, size, link target, device and xattrs,
 *         where overlayfs' own xattrs do not count. Paths, times, hard links and digests are not
 *         compared.
 */
bool mlimg_entry_has_same_attrs(const struct mlimg_entry *a, const struct mlimg_entry *b);

/** @return whether @p a and @p b agree in xattrs, where overlayfs' own do not count */
bool mlimg_entry_has_same_xattrs(const struct mlimg_entry *a, const struct mlimg_entry *b);

/** A manifest in memory, sorted. */
struct mlimg_manifest {
	struct mlimg_entry *entries; /**< sorted by mlimg_manifest_path_cmp() */
	size_t n_entries;
	char **header; /**< header lines, without "# mlimg-" and newline */
	size_t n_header;
	void *arena; /**< memory of the strings; private */
};

/** The order of manifests: byte order in which '/' sorts below every other byte. */
int mlimg_manifest_path_cmp(const char *a, const char *b);

/** @return whether the byte @p c stands for itself in paths and link targets; others are escaped */
static inline bool mlimg_manifest_is_plain(unsigned char c)
{
	return c >= 0x21 && c <= 0x7e && c != '#' && c != '\\' && c != '=' && c != '*' &&
		c != '?' && c != '[';
}

#define MLIMG_ESCAPED_SIZE (4 * MLIMG_PATH_MAX + 1) /**< of an escaped path, NUL included */

/** @return @p text escaped as paths are, in @p buf, which holds four times its length and a NUL */
const char *mlimg_manifest_escape(const char *text, char *buf);

/**
 * @return an empty manifest to build on, or NULL when there is no memory; mlimg_manifest_free() it
 */
struct mlimg_manifest *mlimg_manifest_new(void);

/**
 * Append a header line.
 *
 * @param m     the manifest
 * @param text  the line without "# mlimg-" and newline; copied
 * @param size  its bytes
 * @return      0, -ENOMEM
 */
int mlimg_manifest_add_header(
	struct mlimg_manifest *m, const char *text, size_t size) MLIMG_MUST_CHECK;

/**
 * Append an entry. The caller sees to the order.
 *
 * @param m      the manifest; built only through these functions
 * @param entry  copied with all it points to
 * @return       the copy, which may be changed until the next is added (then it may move); NULL
 *               when there is no memory
 */
struct mlimg_entry *mlimg_manifest_add(struct mlimg_manifest *m, const struct mlimg_entry *entry);

/** @return bytes of memory that it takes, headers aside */
size_t mlimg_manifest_memory(const struct mlimg_manifest *m);

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
 * Read a manifest from memory. Refuses what the format above does not have: a wrong first line, an
 * unknown, missing or repeated keyword, one that does not fit the type, a number out of range, a
 * path that is absolute or has ".", ".." or empty components, an order that is not strictly
 * ascending, an entry whose parent directory is not there, hard links that do not agree, a last
 * line without newline, anything above the limits. Takes about 2.5 times the text in address space
 * meanwhile, and less afterwards.
 *
 * @param text          bytes; need not be NUL-terminated
 * @param size          bytes of @p text
 * @param ret_manifest  on success a new manifest; free with mlimg_manifest_free()
 * @param err           names the line
 * @return              0, -EUCLEAN when refused, -ENOMEM
 */
int mlimg_manifest_parse(const char *text, size_t size, struct mlimg_manifest **ret_manifest,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

struct mlimg_arena;

/**
 * Read the line of one entry. Hard links are taken as they are: whether the names of a group agree
 * is not known here.
 *
 * @param line       bytes, without newline
 * @param size       of @p line
 * @param arena      for what the entry points to
 * @param ret_entry  the entry
 * @param err        "line 1: ..."
 * @return           0, -EUCLEAN when refused, -ENOMEM
 */
int mlimg_manifest_parse_line(const char *line, size_t size, struct mlimg_arena *arena,
	struct mlimg_entry *ret_entry, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Copy what an entry points to. @return 0, -ENOMEM; then @p entry is of no use */
int mlimg_entry_copy_to(struct mlimg_arena *arena, struct mlimg_entry *entry) MLIMG_MUST_CHECK;

/**
 * @return whether @p path can be that of an entry but the root: components of 1..255 bytes, none
 * "." or ".."; its length is the caller's affair
 */
bool mlimg_manifest_path_is_valid(const char *path);

/**
 * @return the index of the first entry that is not before @p path in the order; n_entries when
 * there is none. Binary search.
 */
size_t mlimg_manifest_first_from(const struct mlimg_manifest *m, const char *path);

/** @return the entry at @p path ("" is the root), or NULL. Binary search. */
const struct mlimg_entry *mlimg_manifest_find(const struct mlimg_manifest *m, const char *path);

/** Free it; accepts NULL. */
void mlimg_manifest_free(struct mlimg_manifest *m);

#endif
