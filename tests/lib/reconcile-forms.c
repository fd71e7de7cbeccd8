/* SPDX-License-Identifier: MIT */
/*
 * Uppers that the kernel's overlayfs has written (disk-case.h), in other forms: as an image, over
 * an index, and as unionfs-fuse would have written them. What becomes of them is the same.
 * MLIMG_CASES and MLIMG_SEED as for reconcile-disk.c.
 */
#define MODEL_DEPTH 4
#include "tests/lib/disk-check.h"
#include "tests/lib/model-unionfs.h"
#include "tests/lib/plan-text.h"
#include "tools/upper-image.h"

/* --- an image --- */

static char *text_of_plan(const struct mlimg_plan *plan, size_t *ret_size)
{
	struct mlimg_text text = {0};

	plan_text_put(plan, mlimg_text_put, &text);
	ASSERT(!text.has_failed);
	*ret_size = text.size;
	return text.data;
}

static char *plan_text(struct disk *d, struct mlimg_upper_source *upper, size_t *ret_size)
{
	struct model *m = calloc(1, sizeof(*m));
	char *text;

	m->base = d->old.view;
	m->next = d->next.view;
	plan_for(m, upper);
	text = text_of_plan(&m->plan, ret_size);
	plan_done(m);
	free(m);
	return text;
}

static void check_image(struct disk *d)
{
	static const char *const whole[] = {"find", "run/user/upper", "-exec", "touch", "-h", "-d",
		"@1500000000", "{}", "+", NULL};
	static const char *const make[] = {
		"handmade-layer", "-k", "user", "run/user/upper", "user.img", NULL};
	struct mlimg_upper_image image;
	struct mlimg_upper_dir dir;
	struct mlimg_ext4 *fs;
	size_t size, image_size;
	char *text, *image_text;

	begin_case(d, "overlay");
	begin_turn(d, 0, true);
	ASSERT_EQ(run_program(whole), 0); /* mke2fs takes no parts of seconds */
	ASSERT_EQ(run_program(make), 0);
	mlimg_upper_dir_init(&dir, open("run/user/upper", O_RDONLY | O_DIRECTORY), false);
	ASSERT_OK(mlimg_ext4_open("user.img", &fs, &err), err);
	ASSERT_OK(mlimg_upper_image_init(&image, fs, false, &err), err);
	text = plan_text(d, &dir.source, &size);
	image_text = plan_text(d, &image.source, &image_size);
	ASSERT_EQ(size, image_size);
	ASSERT_MEM(text, image_text, size);
	mlimg_ext4_close(fs);
}

TEST(an_image_of_the_upper_has_the_same_plan)
{
	each_case(20, check_image);
}

/* --- unionfs-fuse --- */

/* What unionfs-fuse would have written. */
static void write_raw(struct disk *d)
{
	struct tree *raw = calloc(1, sizeof(*raw));
	const char *path = "run/user/upper";

	make_raw(&d->old.view, &d->upper, raw);
	remove_all(path);
	MUST(mkdir(path, 0755));
	make_tree(path, manifest_of(raw, true), contents_of_model);
	free(raw);
}

static void plan_upper(struct disk *d, bool is_unionfs, struct model *ret)
{
	mlimg_autoclose int fd = open("run/user/upper", O_RDONLY | O_DIRECTORY);
	struct mlimg_upper_dir dir;

	ASSERT(fd >= 0);
	mlimg_upper_dir_init(&dir, fd, is_unionfs);
	ret->base = d->old.view;
	ret->next = d->next.view;
	plan_for(ret, &dir.source);
}

/* --- an index --- */

/* What a mounted index has in its /mlimg, and the view in the place of its tree. */
static void write_index(const struct stack *s)
{
	struct mlimg_text text = {0}, ids = {0};
	uint8_t digest[MLIMG_SHA256_SIZE];
	char hex[MLIMG_SHA256_HEX_SIZE], path[PATH_SIZE], to[PATH_SIZE], *json;
	size_t size;

	MUST(mkdir("run/index", 0755) | mkdir("run/index/mlimg", 0755) |
		mkdir("run/index/mlimg/manifests", 0755) |
		symlink("../../" USER_ROOT, "run/index/rootfs"));
	for (size_t i = 0; i < s->n; i++) {
		snprintf(path, sizeof(path), "run/%s/%zu/mlimg/manifest", s->dir, i);
		snprintf(to, sizeof(to), "run/index/mlimg/manifests/%zu", i);
		MUST(link(path, to));
		mlimg_text_put(&ids, s->ids[i], strlen(s->ids[i]));
		mlimg_text_put(&ids, "\n", 1);
	}
	mlimg_sha256_of(ids.data, ids.size, digest);
	mlimg_sha256_hex(digest, hex);
	snprintf(path, sizeof(path), "{\"format\":1,\"stack_id\":\"%s\",\"stack\":[", hex);
	mlimg_text_put(&text, path, strlen(path));
	for (size_t i = 0; i < s->n; i++) {
		snprintf(path, sizeof(path), "run/%s/%zu/mlimg/layer.json", s->dir, i);
		ASSERT_OK(mlimg_read_file(AT_FDCWD, path, 1 << 20, &json, &size, &err), err);
		mlimg_text_put(&text, json, size);
		mlimg_text_put(&text, ",", i + 1 < s->n);
	}
	mlimg_text_put(&text, "]}", 2);
	user_put("run/index/mlimg/stack.json", O_CREAT, text.data, text.size);
}

/*
 * The same user layer on the same stack through an index: all that is read of the layers is read
 * elsewhere.
 */
static void check_index(struct disk *d)
{
	char *wanted;

	begin_case(d, "overlay");
	begin_turn(d, 0, true);
	copy_dir("run/user", "start");
	boot_other(d, &d->next);
	wanted = list_tree("run/user/upper", true, true);
	copy_dir("start", "run/user");
	d->driver = "index";
	d->generation--;
	write_index(&d->next);
	mount_union(&d->next, false, MS_RDONLY);
	boot_other(d, &d->next);
	unmount();
	fail_unless(is_same_text(wanted, list_tree("run/user/upper", true, true)),
		"through an index it is another change");
}

TEST(an_index_has_the_same_plan)
{
	each_case(80, check_index);
}

static void check_drivers(struct disk *d)
{
	struct model *overlay = calloc(1, sizeof(*overlay)), *raw = calloc(1, sizeof(*raw));
	struct tree *after = calloc(1, sizeof(*after));
	const char *path;

	begin_case(d, "unionfs");
	begin_turn(d, 0, false);
	plan_upper(d, false, overlay);
	write_raw(d);
	plan_upper(d, true, raw);
	path = find_other_op(&overlay->plan, &raw->plan);
	if (path)
		FAIL("overlayfs' upper and unionfs-fuse's have different plans from '%s' on", path);
	boot_other(d, &d->next);
	read_neutral(after); /* the form that shown() knows */
	d->seen = *shown(&d->next.view, after);
	check_oracle(d);
}

TEST(no_plan_depends_on_the_union_driver)
{
	each_case(120, check_drivers);
}

static void check_raw_stops(struct disk *d)
{
	char *before;

	begin_case(d, "unionfs");
	begin_turn(d, 0, false);
	write_raw(d);
	before = list_upper(d, true);
	check_stops(d, &d->next, 3);
	check_stops(d, &d->old, 2);
	fail_unless(is_same_text(before, list_upper(d, true)), "the upper is not what it was");
}

TEST(with_markers_too_it_ends_the_same_and_goes_back)
{
	each_case(40, check_raw_stops);
}
