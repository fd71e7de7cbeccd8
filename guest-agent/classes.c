/* SPDX-License-Identifier: MIT */
#include "guest-agent/classes.h"

#include <errno.h>

#include "libmlimg/class-files.h"

void mlimg_classes_left_out(const struct mlimg_err *why, void *ctx)
{
	mlimg_boot_note(ctx, "left out: %.480s", why->text);
}

/* @ctx: struct mlimg_lowers */
static int read_lower(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	return mlimg_lowers_read(ctx, path, digest, max, ret_data, ret_size);
}

/* What cannot be read of the upper declares nothing. */
static void pass_over(const char *path, int error, bool was_visited, void *ctx)
{
}

int mlimg_classes_declared(const struct mlimg_manifest *stack, struct mlimg_lowers *lowers,
	int upper_fd, bool is_unionfs, struct mlimg_boot *boot,
	struct mlimg_path_classes **ret_classes, struct mlimg_err *err)
{
	struct mlimg_path_classes *classes = mlimg_path_classes_new();
	struct mlimg_manifest *mine = NULL;
	struct mlimg_upper_dir upper;
	struct mlimg_class_files files = {.stack = stack,
		.before = stack,
		.upper = &upper.source,
		.read = read_lower,
		.read_ctx = lowers,
		.left_out = mlimg_classes_left_out,
		.left_out_ctx = boot};
	int r;

	if (!classes)
		return mlimg_err_set(err, ENOMEM, "read " MLIMG_CLASS_DIR);
	mlimg_upper_dir_init(&upper, upper_fd, is_unionfs);
	r = upper.source.load(&upper.source, pass_over, NULL, &mine, err);
	files.mine = mine;
	if (r == 0)
		r = mlimg_class_files_read(&files, classes, err);
	mlimg_manifest_free(mine);
	if (r < 0)
		mlimg_path_classes_free(classes);
	else
		*ret_classes = classes;
	return r;
}
