/* SPDX-License-Identifier: MIT */
/*
 * usage: reconcile-plan [-su] [-o PLAN] [-t BASE-TREE -T NEXT-TREE] BASE NEXT UPPER Plans a
 * reconcile: BASE and NEXT are manifests, UPPER is an upper's directory in that of its user layer,
 * or a user layer's image. Prints how many entries there are of each verdict. -s: passes over what
 * cannot be compared, and names it on stderr. -u: unionfs-fuse wrote the upper. -o PLAN: writes the
 * plan instead. -t, -T: directories that have the texts of both stacks, so that these and databases
 * are merged.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-agent/carve-owners.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/reconcile-plan.h"
#include "tests/lib/plan-text.h"
#include "tools/image-owners.h"
#include "tools/upper-image.h"

/* What is planned for: one of two is used. */
struct upper {
	struct mlimg_upper_dir dir;
	struct mlimg_upper_image image;
	struct mlimg_carve_owners dir_owners;
	struct mlimg_image_owners image_owners;
};

struct options {
	bool skips, is_unionfs;
	const char *out, *trees[2]; /* trees: base's and next's texts */
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

static int dir_owns(void *ctx, bool is_group, uint32_t id)
{
	return mlimg_carve_owners_has(ctx, is_group, id);
}

static int open_upper(const char *path, bool is_unionfs, struct upper *upper,
	struct mlimg_reconcile_input *in, struct mlimg_err *err)
{
	struct mlimg_ext4 *fs;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd >= 0) {
		mlimg_upper_dir_init(&upper->dir, fd, is_unionfs);
		in->upper = &upper->dir.source;
		upper->dir_owners.user_fd = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		in->owns_outside = dir_owns;
		in->outside_ctx = &upper->dir_owners;
		return 0;
	}
	r = mlimg_ext4_open(path, &fs, err);
	if (r == 0)
		r = mlimg_upper_image_init(&upper->image, fs, is_unionfs, err);
	in->upper = &upper->image.source;
	upper->image_owners.fs = fs;
	in->owns_outside = mlimg_image_owners_has;
	in->outside_ctx = &upper->image_owners;
	return r;
}

static int read_in(const char *tree, const char *path, size_t max, char **ret, size_t *ret_size)
{
	mlimg_autoclose int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : mlimg_read_beneath(fd, path, max, ret, ret_size, NULL);
}

static int read_base(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	return read_in(((const struct options *)ctx)->trees[0], path, max, ret_data, ret_size);
}

static int read_next(const char *path, const uint8_t digest[MLIMG_SHA256_SIZE], size_t max,
	void *ctx, char **ret_data, size_t *ret_size)
{
	return read_in(((const struct options *)ctx)->trees[1], path, max, ret_data, ret_size);
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

static int print(const struct mlimg_report *report, const struct mlimg_plan *plan)
{
	for (enum mlimg_verdict v = MLIMG_KEEP; v < MLIMG_N_VERDICTS; v++)
		printf("%s %" PRIu64 "\n", mlimg_verdict_name(v), report->counts[v]);
	printf("operations %zu\n", plan->n_ops);
	return 0;
}

static int run(char **argv, struct options *o, struct mlimg_err *err)
{
	struct mlimg_manifest *base, *next;
	struct mlimg_reconcile_input in = {.generation = 2,
		.classes = mlimg_path_classes_new(),
		.read_ctx = o,
		.merges_databases = o->trees[1],
		.skip = o->skips ? skip : NULL};
	struct mlimg_report report;
	struct mlimg_plan plan;
	struct upper upper = {.dir_owners = {.user_fd = -1}};
	char id[MLIMG_SHA256_HEX_SIZE] = "";
	int r = read_manifest(argv[0], &base, err);

	memset(id, '0', sizeof(id) - 1);
	in.from = in.to = id;
	in.read_base = o->trees[0] ? read_base : NULL;
	in.read_next = o->trees[1] ? read_next : NULL;
	in.notes = &report.notes;
	if (r == 0)
		r = read_manifest(argv[1], &next, err);
	if (r == 0)
		r = open_upper(argv[2], o->is_unionfs, &upper, &in, err);
	if (r == 0)
		r = mlimg_report_init(&report, err);
	if (r < 0)
		return r;
	in.base = base;
	in.next = next;
	r = mlimg_reconcile_plan(&in, &report, &plan, err);
	if (r < 0)
		return r;
	return o->out ? write_plan(&plan, o->out, err) : print(&report, &plan);
}

int main(int argc, char **argv)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct options o = {.out = NULL};
	int opt;

	while ((opt = getopt(argc, argv, "suo:t:T:")) != -1) {
		switch (opt) {
		case 's': o.skips = true; break;
		case 'u': o.is_unionfs = true; break;
		case 'o': o.out = optarg; break;
		case 't': o.trees[0] = optarg; break;
		case 'T': o.trees[1] = optarg; break;
		default: return 2;
		}
	}
	if (argc - optind != 3) {
		fputs("usage: reconcile-plan [-su] [-o PLAN] [-t BASE-TREE -T NEXT-TREE] BASE NEXT "
		      "UPPER\n",
			stderr);
		return 2;
	}
	if (run(argv + optind, &o, &err) < 0) {
		fprintf(stderr, "reconcile-plan: %s\n", err.text);
		return err.kind == MLIMG_ERR_REFUSED ? 3 : 1;
	}
	return 0;
}
