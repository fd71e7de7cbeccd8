/* SPDX-License-Identifier: MIT */
#include "libmlimg/base-texts.h"

#include "libmlimg/text.h"
#include "tests/lib/test.h"

static void add(struct mlimg_base_texts *texts, const char *data)
{
	uint8_t digest[MLIMG_SHA256_SIZE];

	mlimg_sha256_of(data, strlen(data), digest);
	ASSERT_EQ(mlimg_base_texts_add(texts, digest, strdup(data), strlen(data)), 0);
}

static const struct mlimg_base_text *find(const struct mlimg_base_texts *texts, const char *data)
{
	uint8_t digest[MLIMG_SHA256_SIZE];

	mlimg_sha256_of(data, strlen(data), digest);
	return mlimg_base_texts_find(texts, digest);
}

/* By their digests "b\n" comes first. */
#define HEX_A "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"
#define HEX_B "0263829989b6fd954f72baaf2fc64bc2e2f01d692d4de72986ea808f6e99813f"
#define TEXT "mlimg base-texts 1 2\n" HEX_B " 2\n" HEX_A " 2\nb\na\n"

TEST(written_in_the_order_of_digests_and_once)
{
	struct mlimg_base_texts texts = {0};
	struct mlimg_text text = {0};

	add(&texts, "a\n");
	add(&texts, "b\n");
	add(&texts, "a\n");
	mlimg_base_texts_put(&texts, mlimg_text_put, &text);
	ASSERT_STR(text.data, TEXT);
	mlimg_base_texts_done(&texts);
	free(text.data);
}

TEST(found_by_digest_unless_it_is_damaged)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_base_texts texts;
	char *data = strdup(TEXT);

	ASSERT_OK(mlimg_base_texts_parse(data, strlen(data), &texts, &err), err);
	ASSERT_EQ(find(&texts, "a\n")->size, 2);
	ASSERT_MEM(find(&texts, "a\n")->data, "a\n", 2);
	ASSERT_MEM(find(&texts, "b\n")->data, "b\n", 2);
	ASSERT(!find(&texts, "c\n"));
	data[strlen(data) - 2] = 'x';
	ASSERT(!find(&texts, "a\n"));
	ASSERT(find(&texts, "b\n"));
	mlimg_base_texts_done(&texts);
}

TEST(copied_whole_whatever_is_in_it)
{
	static const char nul[] = "a\0b\n";
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_base_texts texts = {0}, read;
	struct mlimg_text text = {0};
	uint8_t digest[MLIMG_SHA256_SIZE];
	char *copy = malloc(4);
	size_t size = 0;

	mlimg_sha256_of(nul, 4, digest);
	memcpy(copy, nul, 4);
	ASSERT_EQ(mlimg_base_texts_add(&texts, digest, copy, 4), 0);
	mlimg_base_texts_put(&texts, mlimg_text_put, &text);
	ASSERT_OK(mlimg_base_texts_parse(text.data, text.size, &read, &err), err);
	copy = NULL;
	ASSERT_EQ(mlimg_base_texts_read(&read, digest, 3, &copy, &size), -EFBIG);
	digest[0] ^= 1;
	ASSERT_EQ(mlimg_base_texts_read(&read, digest, 4, &copy, &size), -ENOENT);
	ASSERT(!copy && !size);
	digest[0] ^= 1;
	ASSERT_EQ(mlimg_base_texts_read(&read, digest, 4, &copy, &size), 0);
	ASSERT_EQ(size, 4);
	ASSERT_MEM(copy, nul, 5);
	free(copy);
	mlimg_base_texts_done(&texts);
	mlimg_base_texts_done(&read);
}

TEST(none_at_all)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_base_texts texts = {0};
	struct mlimg_text text = {0};

	ASSERT(!find(&texts, "a\n"));
	mlimg_base_texts_put(&texts, mlimg_text_put, &text);
	ASSERT_STR(text.data, "mlimg base-texts 1 0\n");
	ASSERT_OK(mlimg_base_texts_parse(text.data, text.size, &texts, &err), err);
	ASSERT(!find(&texts, "a\n"));
	mlimg_base_texts_done(&texts);
}

TEST(what_is_refused)
{
	static const char *const cases[][2] = {
		{"", "not of a known format"},
		{"mlimg base-texts 2 0\n", "not of a known format"},
		{"mlimg base-texts 1 0", "not of a known format"},
		{"mlimg base-texts 1 00\n", "malformed number of texts"},
		{"mlimg base-texts 1 65537\n", "malformed number of texts"},
		{"mlimg base-texts 1 1\n", "malformed list of texts"},
		{"mlimg base-texts 1 1\n" HEX_A " 02\na\n", "malformed list of texts"},
		{"mlimg base-texts 1 1\n" HEX_A " 134217729\na\n", "malformed list of texts"},
		{"mlimg base-texts 1 2\n" HEX_A " 2\n" HEX_B " 2\na\nb\n",
			"malformed list of texts"},
		{"mlimg base-texts 1 2\n" HEX_A " 2\n" HEX_A " 2\na\na\n",
			"malformed list of texts"},
		{"mlimg base-texts 1 1\n" HEX_A " 3\na\n", "it is cut off"},
		{"mlimg base-texts 1 1\n" HEX_A " 1\na\n", "something is behind its end"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mlimg_err err = MLIMG_ERR_INIT;
		struct mlimg_base_texts texts;
		char message[128], *data = strdup(cases[i][0]);

		snprintf(message, sizeof(message), "base.texts: %s", cases[i][1]);
		ASSERT_FAILS(mlimg_base_texts_parse(data, strlen(data), &texts, &err), err,
			-EUCLEAN, message);
		free(data);
	}
}
