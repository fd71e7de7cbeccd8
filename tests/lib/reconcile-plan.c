/* SPDX-License-Identifier: MIT */
/*
 * usage: reconcile-plan [-su] [-o PLAN] BASE NEXT UPPER Plans a reconcile: BASE and NEXT are
 * manifests, UPPER is an upper's directory, or a user layer's image. Prints how many entries there
 * are of each verdict. -s: passes over what cannot be compared, and names it on stderr. -u:
 * unionfs-fuse wrote the upper. -o PLAN: writes the plan instead. No texts are merged.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/reconcile-plan.h"
#include "tests/lib/plan-text.h"
#include "tools/upper-image.h"

/* What is planned for: one of the two is used. */
struct upper {
	struct mlimg_upper_dir dir;
	struct mlimg_upper_image image;
};

static int read_manifest(const char *path, struct mlimg_manifest **ret, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_file(AT_FDCWD, path, 1 << 30, &text, &size, err);

	if (r == 0)
		r = mlimg_manifest_parse(text, size, ret, err);
	return r < 0 ? mlimg_err_wrap(err, r, "%s", path) : 0;
}

static int open_upper(const char *path, bool is_unionfs, struct upper *upper,
	struct mlimg_upper_source **ret_source, struct mlimg_err *err)
{
	struct mlimg_ext4 *fs;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd >= 0) {
		mlimg_upper_dir_init(&upper->dir, fd, is_unionfs);
		*ret_source = &upper->dir.source;
		return 0;
	}
	r = mlimg_ext4_open(path, &fs, err);
	if (r == 0)
		r = mlimg_upper_image_init(&upper->image, fs, is_unionfs, err);
	*ret_source = &upper->image.source;
	return r;
}

static void put(void *ctx, const char *data, size_t size)
{
	fwrite(data, 1, size, ctx);
}

static int write_plan(const struct mlimg_plan *plan, const char *path, struct mlimg_err *err)
{
	mlimg_autofclose FILE *f = fopen(path, "we");

	if (!f)
		return mlimg_err_set(err, errno, "%s", path);
	plan_text_put(plan, put, f);
	return fflush(f) == 0 && !ferror(f) ? 0 : mlimg_err_set(err, EIO, "%s", path);
}

static void skip(const char *path, int error, bool was_visited, void *ctx)
{
	fprintf(stderr, "not compared: %s: %s\n", path, strerror(-error));
}

static int run(char **argv, bool skips, bool is_unionfs, const char *out, struct mlimg_err *err)
{
	struct mlimg_manifest *base, *next;
	struct mlimg_reconcile_input in = {
		.generation = 2, .classes = mlimg_path_classes_new(), .skip = skips ? skip : NULL};
	struct mlimg_report report;
	struct mlimg_plan plan;
	struct upper upper;
	char id[MLIMG_SHA256_HEX_SIZE] = "";
	int r = read_manifest(argv[0], &base, err);

	memset(id, '0', sizeof(id) - 1);
	in.from = in.to = id;
	if (r == 0)
		r = read_manifest(argv[1], &next, err);
	if (r == 0)
		r = open_upper(argv[2], is_unionfs, &upper, &in.upper, err);
	if (r == 0)
		r = mlimg_report_init(&report, err);
	if (r < 0)
		return r;
	in.base = base;
	in.next = next;
	r = mlimg_reconcile_plan(&in, &report, &plan, err);
	if (r < 0)
		return r;
	if (out)
		return write_plan(&plan, out, err);
	for (enum mlimg_verdict v = MLIMG_KEEP; v < MLIMG_N_VERDICTS; v++)
		printf("%s %" PRIu64 "\n", mlimg_verdict_name(v), report.counts[v]);
	printf("operations %zu\n", plan.n_ops);
	return 0;
}

int main(int argc, char **argv)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	bool is_unionfs = false, skips = false;
	const char *out = NULL;
	int opt;

	while ((opt = getopt(argc, argv, "suo:")) != -1) {
		if (opt == '?')
			return 2;
		is_unionfs = is_unionfs || opt == 'u';
		skips = skips || opt == 's';
		out = opt == 'o' ? optarg : out;
	}
	if (argc - optind != 3) {
		fputs("usage: reconcile-plan [-su] [-o PLAN] BASE NEXT UPPER\n", stderr);
		return 2;
	}
	if (run(argv + optind, skips, is_unionfs, out, &err) < 0) {
		fprintf(stderr, "reconcile-plan: %s\n", err.text);
		return err.kind == MLIMG_ERR_REFUSED ? 3 : 1;
	}
	return 0;
}
