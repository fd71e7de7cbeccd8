/* SPDX-License-Identifier: MIT */
/**
 * @file export-out.h
 * Where `mlimg export` writes to: a tar or a directory. Parameters are those of tar-out.h and
 * dir-out.h.
 */
#ifndef MLIMG_EXPORT_OUT_H
#define MLIMG_EXPORT_OUT_H

#include "guest-agent/dir-out.h"
#include "guest-agent/tar-out.h"

/** One of the two. */
struct mlimg_export_out {
	struct mlimg_dir_out *dir; /**< NULL: a tar */
	struct mlimg_tar_out tar;
	uint64_t written; /**< bytes of the tar, or of contents */
};

int mlimg_export_out_entry(struct mlimg_export_out *out, const struct mlimg_entry *entry,
	const char *link, struct mlimg_err *err) MLIMG_MUST_CHECK;

int mlimg_export_out_data(struct mlimg_export_out *out, const void *data, size_t size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Write @p size bytes that are zeros. */
int mlimg_export_out_hole(
	struct mlimg_export_out *out, uint64_t size, struct mlimg_err *err) MLIMG_MUST_CHECK;

int mlimg_export_out_file_end(struct mlimg_export_out *out, const struct mlimg_entry *entry,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** End the tar, or give the directory its name. */
int mlimg_export_out_end(struct mlimg_export_out *out, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it has; what is not ended is removed. */
void mlimg_export_out_done(struct mlimg_export_out *out);

#endif
