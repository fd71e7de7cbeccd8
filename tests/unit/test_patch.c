/* SPDX-License-Identifier: MIT */
/*
 * Patch layers of random pairs of systems: the old one and its patches must show exactly the new
 * one.
 */
#include "libmlimg/patch.h"

#include "libmlimg/merge.h"
#include "tests/lib/random-tar.h"
#include "tests/lib/test.h"
#include "tools/beneath.h"
#include "tools/data.h"
#include "tools/mkfs-build.h"

#define ROUNDS 25
#define VERSIONS 4
#define PATH_SIZE 300

static const char *file_of(char path[PATH_SIZE], const char *kind, size_t version)
{
	snprintf(path, PATH_SIZE, "%s/%s%zu", test_tmpdir(), kind, version);
	return path;
}

/* Build what the tar of @version holds: a system, or a patch over @bases. */
static struct mlimg_layer_info build(
	const char *image, size_t version, const char *const *bases, size_t n_bases)
{
	struct mlimg_layer_info info = {
		.kind = n_bases ? MLIMG_PATCH : MLIMG_SYSTEM, .name = "random"};
	char tar[PATH_SIZE], *source = tar;
	struct mlimg_build b = {
		.sources = &source,
		.n_sources = 1,
		.bases = bases,
		.n_bases = n_bases,
		.limit_bytes = 1 << 30,
		.image = image,
		.can_replace = true,
		.is_quiet = true,
	};
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t size;

	file_of(tar, "tar", version);
	snprintf(info.version, sizeof(info.version), "%zu", version);
	ASSERT_OK(mlimg_build_layer(&b, &info, &size, &err), err);
	return info;
}

/* The next version: some of the old one, with what a software layer could do to it. */
static struct mlimg_manifest *next_version(const struct mlimg_manifest *old)
{
	struct mlimg_manifest *layer = random_tar_manifest(RANDOM_LAYER), *merged, *copy;
	const struct mlimg_manifest *layers[] = {old, layer};
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_manifest_merge(layers, 2, &merged, &err), err);
	copy = mlimg_manifest_new();
	for (size_t i = 0; i < merged->n_entries; i++) {
		struct mlimg_entry *e = mlimg_manifest_add(copy, &merged->entries[i]);

		ASSERT(e);
		/* Other attributes, the same contents; all names of a file must agree. */
		if (!e->hardlink && test_random(8) == 0)
			e->mode ^= 0111;
		if (!e->hardlink && test_random(8) == 0)
			e->mtime_s++;
	}
	mlimg_manifest_free(merged);
	mlimg_manifest_free(layer);
	return copy;
}

static void collect(void *ctx, const char *data, size_t size)
{
	ASSERT_EQ(fwrite(data, 1, size, ctx), size);
}

/* The entries as text, without the header. */
static char *entries_of(const struct mlimg_manifest *m)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (size_t i = 0; i < m->n_entries; i++)
		mlimg_manifest_put_entry(&m->entries[i], collect, f);
	fclose(f);
	return text;
}

static struct mlimg_beneath *open_stack(const char *const *images, size_t n)
{
	struct mlimg_beneath *b;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_beneath_open(images, n, &b, &err), err);
	return b;
}

/* Contents are found from every layer, through references. */
static void check_contents(const struct mlimg_beneath *b)
{
	const struct mlimg_manifest *m = mlimg_beneath_manifest(b);

	for (size_t i = 0; i < m->n_entries; i++) {
		const struct mlimg_entry *e = &m->entries[i];
		uint8_t digest[MLIMG_SHA256_SIZE];
		struct mlimg_err err = MLIMG_ERR_INIT;
		struct mlimg_sha256 sha;

		if (e->type != MLIMG_FILE)
			continue;
		mlimg_sha256_init(&sha);
		ASSERT_OK(mlimg_beneath_read(b, e, mlimg_data_to_sha256, &sha, &err), err);
		mlimg_sha256_end(&sha, digest);
		ASSERT_MEM(digest, e->digest, sizeof(digest));
	}
}

static void check_same(const char *const *images, size_t n, const char *whole)
{
	mlimg_autobeneath struct mlimg_beneath *patched = open_stack(images, n),
					       *new = open_stack(&whole, 1);
	mlimg_autofree char *wanted = entries_of(mlimg_beneath_manifest(new)),
			    *found = entries_of(mlimg_beneath_manifest(patched));
	char id[MLIMG_SHA256_HEX_SIZE], new_id[MLIMG_SHA256_HEX_SIZE];

	ASSERT_STR(found, wanted);
	ASSERT_STR(mlimg_stack_system_id(mlimg_beneath_stack(patched)),
		mlimg_beneath_info(new, 0)->build_id);
	mlimg_stack_id(mlimg_beneath_stack(patched), id);
	mlimg_stack_id(mlimg_beneath_stack(new), new_id);
	ASSERT_STR(id, new_id);
	check_contents(patched);
}

/* @patches: how many references they hold in all */
static size_t count_references(const char *const *images, size_t n)
{
	size_t count = 0;

	for (size_t i = 1; i < n; i++) {
		mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
		struct mlimg_layer_info info;
		struct mlimg_manifest *m;
		struct mlimg_err err = MLIMG_ERR_INIT;
		mlimg_autofree char *text = NULL;
		size_t size;

		ASSERT_OK(mlimg_ext4_open(images[i], &fs, &err), err);
		ASSERT_OK(mlimg_ext4_layer_info(fs, &info, &err), err);
		ASSERT_OK(mlimg_ext4_manifest_stored(fs, info.build_id, &text, &size, &err), err);
		ASSERT_OK(mlimg_manifest_parse(text, size, &m, &err), err);
		for (size_t k = 0; k < m->n_entries; k++)
			count += mlimg_entry_has_reference(&m->entries[k]);
		mlimg_manifest_free(m);
		mlimg_layer_info_done(&info);
	}
	return count;
}

static size_t check_versions(void)
{
	char paths[VERSIONS][PATH_SIZE], tar[PATH_SIZE], whole[PATH_SIZE], last[PATH_SIZE] = "";
	const char *images[VERSIONS], *base = last;
	struct mlimg_manifest *m = random_tar_manifest(RANDOM_PLAIN_NAMES), *next;

	for (size_t v = 0; v < VERSIONS; v++) {
		struct mlimg_layer_info info, other;

		random_tar(m, file_of(tar, "tar", v), RANDOM_TAR_OVERLAY, ARCHIVE_FILTER_NONE);
		info = build(file_of(whole, "whole", v), v, NULL, 0);
		images[v] = file_of(paths[v], "patch", v);
		if (v == 0)
			ASSERT_EQ(rename(whole, images[0]), 0);
		else
			other = build(images[v], v, images, v);
		if (v > 0) {
			ASSERT_STR(other.result, info.build_id);
			check_same(images, v + 1, whole);
			/* Whether the system beneath is patched or whole makes no difference. */
			info = build(file_of(tar, "again", v), v, &base, 1);
			ASSERT_STR(info.build_id, other.build_id);
		}
		strcpy(last, v ? whole : images[0]);
		next = next_version(m);
		mlimg_manifest_free(m);
		m = next;
	}
	mlimg_manifest_free(m);
	return count_references(images, VERSIONS);
}

TEST(old_and_patches_show_the_new_system)
{
	size_t n_references = 0;

	test_seed();
	for (int i = 0; i < ROUNDS; i++)
		n_references += check_versions();
	ASSERT(n_references > ROUNDS); /* else this would not show much */
}

TEST(a_patch_to_the_same_is_empty)
{
	struct mlimg_manifest *m;
	struct mlimg_layer_info info;
	char tar[PATH_SIZE], whole[PATH_SIZE], patch[PATH_SIZE];
	const char *base = whole;

	test_seed();
	m = random_tar_manifest(RANDOM_PLAIN_NAMES);
	random_tar(m, file_of(tar, "tar", 0), RANDOM_TAR_OVERLAY, ARCHIVE_FILTER_NONE);
	build(file_of(whole, "whole", 0), 0, NULL, 0);
	info = build(file_of(patch, "patch", 0), 0, &base, 1);
	ASSERT_EQ(info.entries, 1);
	ASSERT_STR(info.base, info.result);
	mlimg_manifest_free(m);
}

#define ATTRS " mode=0644 uid=0 gid=0 time=1.000000000"
#define DIGEST " sha256digest=2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
#define ROOT ". type=dir" ATTRS "\n"

static struct mlimg_manifest *parsed(const char *text)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_manifest *m;

	ASSERT_OK(mlimg_manifest_parse(text, strlen(text), &m, &err), err);
	return m;
}

/*
 * A system with a/b, a patch that has @middle, and above it one that refers to /a/b. @return
 * mlimg_manifest_merge()'s
 */
static int merge_with(const char *middle, struct mlimg_err *err)
{
	char text[512];
	struct mlimg_manifest *layers[3], *merged;
	int r;

	snprintf(text, sizeof(text), "#mtree\n# mlimg-kind patch\n" ROOT "%s\n", middle);
	layers[0] = parsed(
		"#mtree\n" ROOT "./a type=dir" ATTRS "\n./a/b type=file size=3" ATTRS DIGEST "\n");
	layers[1] = parsed(text);
	layers[2] = parsed("#mtree\n# mlimg-kind patch\n" ROOT "./c type=file size=3" ATTRS DIGEST
			   " tags=xattr:trusted.overlay.metacopy:,xattr:trusted.overlay.redirect:"
			   "L2EvYg==\n");
	r = mlimg_manifest_merge((const struct mlimg_manifest *const *)layers, 3, &merged, err);
	if (r == 0)
		mlimg_manifest_free(merged);
	for (size_t i = 0; i < 3; i++)
		mlimg_manifest_free(layers[i]);
	return r;
}

/* As the kernel, which follows a redirect through what the layers beneath show. */
TEST(what_a_layer_between_hides_cannot_be_referred_to)
{
	static const char message[] =
		"layer 3 of 3: 'c': refers to contents at 'a/b', where there is "
		"no file beneath";
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(merge_with("./a type=dir" ATTRS, &err), err);
	ASSERT_FAILS(
		merge_with("./a type=char device=native,0,0" ATTRS, &err), err, -EUCLEAN, message);
	ASSERT_FAILS(merge_with("./a type=link link=x" ATTRS, &err), err, -EUCLEAN, message);
	ASSERT_FAILS(
		merge_with("./a type=dir" ATTRS " tags=xattr:trusted.overlay.opaque:eQ==", &err),
		err, -EUCLEAN, message);
}
