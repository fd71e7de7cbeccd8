/* SPDX-License-Identifier: MIT */
#include "guest-agent/export-out.h"

static int wrote(struct mlimg_export_out *out, uint64_t size, int r)
{
	out->written = out->dir ? out->written + size : out->tar.written;
	return r;
}

int mlimg_export_out_entry(struct mlimg_export_out *out, const struct mlimg_entry *entry,
	const char *link, struct mlimg_err *err)
{
	return wrote(out, 0,
		out->dir ? mlimg_dir_out_entry(out->dir, entry, link, err)
			 : mlimg_tar_out_entry(&out->tar, entry, link, err));
}

int mlimg_export_out_data(
	struct mlimg_export_out *out, const void *data, size_t size, struct mlimg_err *err)
{
	return wrote(out, size,
		out->dir ? mlimg_dir_out_data(out->dir, data, size, err)
			 : mlimg_tar_out_data(&out->tar, data, size, err));
}

int mlimg_export_out_hole(struct mlimg_export_out *out, uint64_t size, struct mlimg_err *err)
{
	static const char zeros[65536];
	int r = 0;

	if (out->dir)
		return wrote(out, size, mlimg_dir_out_hole(out->dir, size, err));
	while (size > 0 && r == 0) {
		size_t n = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);

		r = mlimg_tar_out_data(&out->tar, zeros, n, err);
		size -= n;
	}
	return wrote(out, 0, r);
}

int mlimg_export_out_file_end(
	struct mlimg_export_out *out, const struct mlimg_entry *entry, struct mlimg_err *err)
{
	return wrote(out, 0,
		out->dir ? mlimg_dir_out_file_end(out->dir, entry, err)
			 : mlimg_tar_out_file_end(&out->tar, err));
}

int mlimg_export_out_end(struct mlimg_export_out *out, struct mlimg_err *err)
{
	return wrote(out, 0,
		out->dir ? mlimg_dir_out_commit(out->dir, err) : mlimg_tar_out_end(&out->tar, err));
}

void mlimg_export_out_done(struct mlimg_export_out *out)
{
	mlimg_dir_out_free(out->dir);
	out->dir = NULL;
	mlimg_tar_out_done(&out->tar);
}
