/* SPDX-License-Identifier: MIT */
#include "tools/sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libmlimg/io.h"

static int path_beside(
	const char *image, const char *suffix, char **ret_path, struct mlimg_err *err)
{
	if (asprintf(ret_path, "%s%s", image, suffix) >= 0)
		return 0;
	*ret_path = NULL;
	return mlimg_err_set(err, ENOMEM, "'%s%s'", image, suffix);
}

static int begin(struct mlimg_outfile *out, const char *path, bool is_wanted, bool can_replace,
	struct mlimg_err *err)
{
	struct stat st;

	if (lstat(path, &st) == 0 && !can_replace)
		return mlimg_err_set(
			err, EEXIST, "'%s', which would be taken for the new image's", path);
	return is_wanted ? mlimg_outfile_open(out, path, can_replace, err) : 0;
}

int mlimg_sidecar_open(struct mlimg_sidecar_out *out, const char *image, bool can_replace,
	bool has_json, bool has_signature, struct mlimg_err *err)
{
	int r = path_beside(image, MLIMG_SIDECAR_SUFFIX, &out->json_path, err);

	out->can_replace = can_replace;
	if (r == 0)
		r = path_beside(image, MLIMG_SIGNATURE_SUFFIX, &out->signature_path, err);
	if (r == 0)
		r = begin(&out->json, out->json_path, has_json, can_replace, err);
	if (r == 0)
		r = begin(&out->signature, out->signature_path, has_signature, can_replace, err);
	/* What is there will have been removed. */
	out->json.can_replace = out->signature.can_replace = false;
	return r;
}

static int put(struct mlimg_outfile *out, const void *data, size_t size, struct mlimg_err *err)
{
	int r = mlimg_write_all(out->fd, data, size);

	return r < 0 ? mlimg_err_set(err, r, "write '%s'", out->path) : 0;
}

static int write_files(struct mlimg_sidecar_out *out, const struct mlimg_layer_info *info,
	const struct mlimg_verity *verity, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	int r = mlimg_sidecar_to_json(info, verity, &text, err);

	if (r == 0)
		r = put(&out->json, text, strlen(text), err);
	if (r == 0 && verity->signature)
		r = put(&out->signature, verity->signature, verity->signature_size, err);
	return r;
}

int mlimg_sidecar_commit(struct mlimg_sidecar_out *out, struct mlimg_outfile *image,
	const struct mlimg_layer_info *info, const struct mlimg_verity *verity,
	struct mlimg_err *err)
{
	const char *stale[] = {out->json_path, out->signature_path};
	struct mlimg_outfile *outs[3];
	struct stat st;
	bool is_replacing = lstat(image->path, &st) == 0;
	size_t n = 0;
	int r = verity ? write_files(out, info, verity, err) : 0;

	if (r < 0)
		return r;
	if (is_replacing)
		outs[n++] = image;
	if (verity)
		outs[n++] = &out->json;
	if (verity && verity->signature)
		outs[n++] = &out->signature;
	if (!is_replacing)
		outs[n++] = image;
	r = mlimg_outfile_commit_all(outs, n, stale, out->can_replace ? 2 : 0, err);
	mlimg_sidecar_abort(out);
	return r;
}

void mlimg_sidecar_abort(struct mlimg_sidecar_out *out)
{
	if (!out)
		return;
	mlimg_outfile_abort(&out->json);
	mlimg_outfile_abort(&out->signature);
	free(out->json_path);
	free(out->signature_path);
	out->json_path = out->signature_path = NULL;
}

/* A file that is not there leaves NULL; nor is one whose name would be too long. */
static int read_beside(const char *image, const char *suffix, size_t max, char **ret_data,
	size_t *ret_size, char **ret_path, struct mlimg_err *err)
{
	int r = path_beside(image, suffix, ret_path, err);

	if (r == 0)
		r = mlimg_read_file(AT_FDCWD, *ret_path, max, ret_data, ret_size, err);
	return r == -ENOENT || r == -ENAMETOOLONG ? 0 : r;
}

static int read_json(const char *image, struct mlimg_sidecar *sidecar, struct mlimg_err *err)
{
	mlimg_autofree char *path = NULL, *text = NULL;
	size_t size;
	int r = read_beside(
		image, MLIMG_SIDECAR_SUFFIX, MLIMG_SIDECAR_MAX, &text, &size, &path, err);

	if (r < 0 || !text)
		return r;
	r = mlimg_sidecar_from_json(text, size, &sidecar->info, &sidecar->verity, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "%.200s", path);
	sidecar->is_there = true;
	return 0;
}

static int read_signature(const char *image, struct mlimg_sidecar *sidecar, struct mlimg_err *err)
{
	struct mlimg_verity *verity = &sidecar->verity;
	mlimg_autofree char *path = NULL, *data = NULL;
	size_t size;
	int r = read_beside(
		image, MLIMG_SIGNATURE_SUFFIX, MLIMG_SIGNATURE_MAX, &data, &size, &path, err);

	if (r < 0 || !data)
		return r;
	if (sidecar->is_there &&
		(!verity->signature || verity->signature_size != size ||
			memcmp(verity->signature, data, size) != 0))
		return mlimg_err_refuse(err, "%.200s: is not the signature in '%.140s%s'", path,
			image, MLIMG_SIDECAR_SUFFIX);
	if (!sidecar->is_there) {
		verity->signature = (uint8_t *)mlimg_steal(&data);
		verity->signature_size = size;
	}
	return 0;
}

int mlimg_sidecar_read(const char *image, struct mlimg_sidecar *ret_sidecar, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_sidecar_done) struct mlimg_sidecar sidecar = {.is_there = false};
	int r = read_json(image, &sidecar, err);

	if (r == 0)
		r = read_signature(image, &sidecar, err);
	if (r < 0)
		return r;
	*ret_sidecar = sidecar;
	sidecar = (struct mlimg_sidecar){.is_there = false};
	return 0;
}

void mlimg_sidecar_done(struct mlimg_sidecar *sidecar)
{
	if (!sidecar)
		return;
	mlimg_layer_info_done(&sidecar->info);
	mlimg_verity_done(&sidecar->verity);
}
