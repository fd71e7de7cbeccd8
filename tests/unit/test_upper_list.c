/* SPDX-License-Identifier: MIT */
#include "guest-agent/upper-list.h"

#include "libmlimg/text.h"
#include "libmlimg/whiteout.h"
#include "tests/lib/test.h"

static struct mlimg_err err = MLIMG_ERR_INIT;

static void ignore(void *ctx, const char *data, size_t size)
{
}

static struct mlimg_text written(const char *const *paths, size_t n)
{
	struct mlimg_upper_list list = {.n = 0};
	struct mlimg_text text = {.data = NULL};

	for (size_t i = 0; i < n; i++)
		ASSERT_EQ(mlimg_upper_list_add(&list, paths[i]), 0);
	mlimg_upper_list_put(&list, mlimg_text_put, &text);
	ASSERT(!text.has_failed);
	mlimg_upper_list_done(&list);
	return text;
}

TEST(of_directories_it_says_whether_they_were_opaque_unless_it_was_written_without)
{
	struct mlimg_upper_list list = {.n = 0}, without = {.n = 0};
	struct mlimg_manifest *m = mlimg_manifest_new();
	struct mlimg_entry *e;

	ASSERT(m);
	ASSERT(mlimg_manifest_add(
		m, &(struct mlimg_entry){.path = (char[]){""}, .type = MLIMG_DIR}));
	ASSERT(mlimg_manifest_add(
		m, &(struct mlimg_entry){.path = (char[]){"etc"}, .type = MLIMG_DIR}));
	e = mlimg_manifest_add(
		m, &(struct mlimg_entry){.path = (char[]){"usr"}, .type = MLIMG_DIR});
	ASSERT(e);
	ASSERT_EQ(mlimg_entry_mark(m->arena, e, MLIMG_XATTR_OPAQUE, "y"), 0);
	ASSERT_EQ(mlimg_upper_list_add_all(&list, m), 0);
	ASSERT_EQ(mlimg_upper_list_add(&without, "etc"), 0);
	mlimg_upper_list_put(&list, ignore, NULL);
	ASSERT(mlimg_upper_list_has(&list, "etc") && mlimg_upper_list_has(&list, "usr"));
	ASSERT(!mlimg_upper_list_may_be_opaque(&list, "etc"));
	ASSERT(mlimg_upper_list_may_be_opaque(&list, "usr"));
	ASSERT(mlimg_upper_list_may_be_opaque(&without, "etc"));
	mlimg_upper_list_done(&list);
	mlimg_upper_list_done(&without);
	mlimg_manifest_free(m);
}

TEST(what_was_added_is_there_in_whatever_order)
{
	static const char *const there[] = {"etc", "usr/bin/a", "usr", "etc/b", "etc", "x\ny"};
	static const char *const again[] = {"x\ny", "etc/b", "usr/bin/a", "usr", "etc"};
	static const char *const not_there[] = {"", "et", "etc/", "usr/bin", "usr/bin/a/b"};
	struct mlimg_text text = written(there, 6), other = written(again, 5);
	struct mlimg_upper_list list;

	ASSERT_EQ(text.size, strlen("mlimg paths 1 5\n") + 5 * 8 + 32);
	ASSERT_EQ(other.size, text.size);
	ASSERT_MEM(other.data, text.data, text.size);
	ASSERT_OK(mlimg_upper_list_parse(text.data, text.size, &list, &err), err);
	for (size_t i = 0; i < 6; i++)
		ASSERT(mlimg_upper_list_has(&list, there[i]));
	for (size_t i = 0; i < 5; i++)
		ASSERT(!mlimg_upper_list_has(&list, not_there[i]));
	mlimg_upper_list_done(&list);
	free(text.data);
	free(other.data);
}

TEST(of_nothing)
{
	struct mlimg_text text = written(NULL, 0);
	struct mlimg_upper_list list;

	ASSERT_OK(mlimg_upper_list_parse(text.data, text.size, &list, &err), err);
	ASSERT(!mlimg_upper_list_has(&list, "etc"));
	mlimg_upper_list_done(&list);
	free(text.data);
}

/* Its digest is made right again. */
static void check_refused(const char *data, size_t size, const char *why)
{
	struct mlimg_upper_list list;
	uint8_t digest[MLIMG_SHA256_SIZE];
	char *text = malloc(size + sizeof(digest) + 1);

	memcpy(text, data, size);
	mlimg_sha256_of(data, size, digest);
	memcpy(text + size, digest, sizeof(digest));
	ASSERT_EQ(mlimg_upper_list_parse(text, size + sizeof(digest), &list, &err), -EUCLEAN);
	ASSERT_STR(err.text, why);
	free(text);
}

TEST(refused)
{
	static const char *const paths[] = {"a", "b"};
	struct mlimg_text text = written(paths, 2);
	struct mlimg_upper_list list;
	char swapped[32];
	size_t head = strlen("mlimg paths 1 2\n");

	for (size_t i = 0; i < text.size; i++) {
		text.data[i] ^= 1;
		ASSERT_EQ(mlimg_upper_list_parse(text.data, text.size, &list, &err), -EUCLEAN);
		text.data[i] ^= 1;
		ASSERT_EQ(mlimg_upper_list_parse(text.data, i, &list, &err), -EUCLEAN);
	}
	memcpy(swapped, text.data, head);
	memcpy(swapped + head, text.data + head + 8, 8);
	memcpy(swapped + head + 8, text.data + head, 8);
	check_refused(swapped, head + 16, "list of paths: not in order");
	memcpy(swapped + head, text.data + head + 8, 8);
	memcpy(swapped + head + 8, text.data + head + 8, 8);
	check_refused(swapped, head + 16, "list of paths: not in order");
	check_refused(text.data, head + 8, "list of paths: it has another length than it says");
	check_refused("mlimg paths 1 01\nabcdefgh", 25, "list of paths: not of a known format");
	check_refused("mlimg paths 2 0\n", 16, "list of paths: not of a known format");
	free(text.data);
}
