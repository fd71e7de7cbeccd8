/* SPDX-License-Identifier: MIT */
/**
 * @file tar-out.h
 * Writing a tar. mlimg-inspect has libarchive for it; the guest's command is static and small, and
 * needs one form only.
 *
 * The form is POSIX.1-2008's pax interchange format ("pax", sections "pax Interchange Format", "ustar
 * Interchange Format"): headers of ustar, and before an entry an extended header ('x') with what ustar
 * has no room for:
 *
 *     path, linkpath    longer than 100 bytes, or not ASCII; hdrcharset=BINARY first where they are not UTF-8
 *     size              8 GiB and more
 *     uid, gid          2097152 and more
 *     mtime             with parts of seconds: SECONDS.NANOSECONDS; before 1970 the whole seconds before it, since
 *                       GNU tar 1.34 and libarchive 3.6 take a fraction there for different times
 *     SCHILY.xattr.NAME each xattr, its value as it is: star(1)'s, which GNU tar and libarchive read too
 *
 * Directories end with '/', the root is "./". Names of owners are left out: a layer has numbers. Sockets
 * cannot be in a tar. Whiteouts are what overlayfs has for them, character devices 0,0.
 */
#ifndef MLIMG_TAR_OUT_H
#define MLIMG_TAR_OUT_H

#include "libmlimg/manifest.h"

/** A tar that is being written. Zero it and set @p fd to begin with. */
struct mlimg_tar_out {
	int fd;           /**< writable; stays the caller's */
	uint64_t written; /**< bytes, those of the buffer included */
	size_t used;      /**< private */
	char *buffer;     /**< private */
};

/**
 * Write an entry, but for the contents of a file, which follow.
 *
 * @param tar    see there
 * @param entry  hard links, times and xattrs included; what the latter are is not looked at
 * @param link   of a further name of a file: the first one's path; else NULL. No contents follow
 * @param err    what cannot be written: a socket, an xattr with '=' in its name
 * @return       0, -errno
 */
int mlimg_tar_out_entry(struct mlimg_tar_out *tar, const struct mlimg_entry *entry,
	const char *link, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Write contents; size_bytes of the entry in all. @return 0, -errno */
int mlimg_tar_out_data(struct mlimg_tar_out *tar, const void *data, size_t size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** End the contents of a file. @return 0, -errno */
int mlimg_tar_out_file_end(struct mlimg_tar_out *tar, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** End the tar; all is with the kernel then. @return 0, -errno */
int mlimg_tar_out_end(struct mlimg_tar_out *tar, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free its buffer. */
void mlimg_tar_out_done(struct mlimg_tar_out *tar);

#endif
