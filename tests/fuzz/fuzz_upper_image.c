/* SPDX-License-Identifier: MIT */
/*
 * A reconcile planned for a hostile user layer. The input is a list of changes to a sound image, as
 * of fuzz_ext4.c; the lowest bit of the third byte says which union driver wrote the upper. What is
 * planned is a plan.
 */
#include "tests/lib/ext4-base.h"

#include "libmlimg/le.h"
#include "libmlimg/reconcile-plan.h"
#include "tests/lib/plan-text.h"
#include "tools/upper-image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * As the user's layer was made on, and as it will lie on: whatever is in both, and something
 * besides.
 */
static struct mlimg_manifest *stack_of(const char *text)
{
	struct mlimg_manifest *m;

	if (mlimg_manifest_parse(text, strlen(text), &m, NULL) < 0)
		abort();
	return m;
}

#define DIR_ENTRY(path) path " type=dir mode=0755 uid=0 gid=0 time=1500000000.000000000\n"
#define FILE_ENTRY(path, size, digit)                                                             \
	path " type=file mode=0644 uid=0 gid=0 size=" size " time=1500000000.000000000 "          \
	     "sha256digest=000000000000000000000000000000000000000000000000000000000000000" digit \
	     "\n"

static const char base_text[] = "#mtree\n" DIR_ENTRY(".") DIR_ENTRY("./etc")
	FILE_ENTRY("./etc/holes", "1048576", "1") FILE_ENTRY("./etc/motd", "5", "1")
		FILE_ENTRY("./gone", "1", "1") DIR_ENTRY("./home") DIR_ENTRY("./home/opaque");
static const char next_text[] = "#mtree\n" DIR_ENTRY(".") DIR_ENTRY("./etc") FILE_ENTRY("./etc/a",
	"4", "2") FILE_ENTRY("./etc/motd", "5", "2") DIR_ENTRY("./home") DIR_ENTRY("./home/opaque");

static void check_plan(const struct mlimg_plan *plan)
{
	size_t at;

	if (plan_flaw(plan, &at))
		abort();
}

static int plan(struct mlimg_ext4 *fs, bool is_unionfs, struct mlimg_err *err)
{
	static struct mlimg_manifest *base, *next;
	static struct mlimg_path_classes *classes;
	struct mlimg_reconcile_input in = {.generation = 2};
	struct mlimg_upper_image image;
	struct mlimg_report report;
	struct mlimg_plan planned;
	char id[MLIMG_SHA256_HEX_SIZE];
	int r = mlimg_upper_image_init(&image, fs, is_unionfs, err);

	if (!base) {
		base = stack_of(base_text);
		next = stack_of(next_text);
		classes = mlimg_path_classes_new();
	}
	memset(id, 'a', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	in.from = in.to = id;
	in.base = base;
	in.next = next;
	in.classes = classes;
	in.upper = &image.source;
	if (r < 0)
		return r;
	if (mlimg_report_init(&report, err) < 0)
		abort();
	r = mlimg_reconcile_plan(&in, &report, &planned, err);
	if (r == 0) {
		check_plan(&planned);
		mlimg_plan_done(&planned);
	}
	mlimg_report_done(&report);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *sound, *image;
	static size_t image_size;
	mlimg_autoclose int fd = memfd_create("image", MFD_CLOEXEC);
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	char path[32];

	if (!sound) {
		sound = base_image_of(user_script, "^metadata_csum", &image_size);
		image = malloc(image_size);
		if (!image)
			abort();
	}
	memcpy(image, sound, image_size);
	for (size_t i = 0; i + 5 <= size; i += 5)
		image[mlimg_get_le32(data + i) % image_size] = data[i + 4];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || mlimg_write_all(fd, image, image_size) < 0)
		abort();
	if ((mlimg_ext4_open(path, &fs, &err) < 0 || plan(fs, size > 2 && data[2] & 1, &err) < 0) &&
		!err.text[0])
		abort();
	return 0;
}
