/* SPDX-License-Identifier: MIT */
/**
 * @file dir-out.h
 * Writing a directory as source of a layer: the counterpart of tar-out.h.
 *
 * What is deleted is told as unionfs-fuse tells it (libmlimg/unionfs.h), which mlimg-mkfs takes from
 * directories by their .unionfs-fuse: overlayfs, on which a guest's root mostly is, lets nobody make
 * its own whiteouts and marks. So the tree can lie anywhere, and be looked at and changed with
 * ordinary tools.
 *
 * It is there whole or not at all: made beside its place under another name and renamed when it is
 * on stable storage. Signals that would end the process wait meanwhile: the next call fails, and they
 * are delivered when what was made is removed again. Needs root, since owners, devices and xattrs are
 * kept.
 */
#ifndef MLIMG_DIR_OUT_H
#define MLIMG_DIR_OUT_H

#include "libmlimg/manifest.h"

/** A directory that is being written. */
struct mlimg_dir_out;

/**
 * Begin.
 *
 * @param path     where it is to be; nothing may be there
 * @param ret_out  mlimg_dir_out_free() it
 * @param err      names the path; EEXIST when something is there
 * @return         0, -errno
 */
int mlimg_dir_out_new(
	const char *path, struct mlimg_dir_out **ret_out, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return a descriptor of it; belongs to @p out */
int mlimg_dir_out_fd(const struct mlimg_dir_out *out);

/**
 * Make an entry; of a file without its contents, which follow.
 *
 * @param out    see there
 * @param entry  in overlayfs' form, its parent made before; a directory's attributes are set in the
 *               end
 * @param link   of a further name of a file: the first one's path; else NULL. No contents follow
 * @param err    what cannot be made; that a name is too long to be told as deleted
 * @return       0, -errno; -EINTR when a signal waits
 */
int mlimg_dir_out_entry(struct mlimg_dir_out *out, const struct mlimg_entry *entry,
	const char *link, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Write contents. What is zeros becomes a hole, in blocks of 4096 bytes. @return 0, -errno */
int mlimg_dir_out_data(struct mlimg_dir_out *out, const void *data, size_t size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Leave a hole of so many bytes. @return 0, -errno */
int mlimg_dir_out_hole(
	struct mlimg_dir_out *out, uint64_t size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** End the contents of a file, and set the attributes of @p entry. @return 0, -errno */
int mlimg_dir_out_file_end(struct mlimg_dir_out *out, const struct mlimg_entry *entry,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Sync, and give it its name; all is on stable storage then. @return 0, -errno */
int mlimg_dir_out_commit(struct mlimg_dir_out *out, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free it; what has not got its name is removed. Accepts NULL. */
void mlimg_dir_out_free(struct mlimg_dir_out *out);

#endif
