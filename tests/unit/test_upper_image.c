/* SPDX-License-Identifier: MIT */
#include "tools/upper-image.h"

#include "libmlimg/text.h"
#include "libmlimg/whiteout.h"
#include "tests/lib/ext4-base.h"
#include "tests/lib/test.h"

static char path[512];

static void remove_image(void)
{
	unlink(path);
}

static struct mlimg_ext4 *open_image(const char *script)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_ext4 *fs;

	snprintf(path, sizeof(path), "%s/image.XXXXXX", test_tmpdir());
	base_run(script, path, "metadata_csum");
	ASSERT_OK(mlimg_ext4_open(path, &fs, &err), err);
	return fs;
}

/*
 * Every entry: its path, and '/' for a directory, '!' for an opaque one, '>' for a renamed one, '-'
 * for a whiteout, '@' and the number of a group.
 */
static void check(struct mlimg_ext4 *fs, bool is_unionfs, const char *wanted)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_text words = {.data = NULL};
	struct mlimg_upper_image image;
	struct mlimg_manifest *m;

	ASSERT_OK(mlimg_upper_image_init(&image, fs, is_unionfs, &err), err);
	ASSERT_OK(image.source.load(&image.source, NULL, NULL, &m, &err), err);
	for (size_t i = 1; i < m->n_entries; i++) {
		const struct mlimg_entry *e = &m->entries[i];
		char mark[16] = "";

		if (mlimg_entry_is_opaque(e))
			strcpy(mark, "!");
		else if (mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT))
			strcpy(mark, ">");
		else if (e->type == MLIMG_DIR)
			strcpy(mark, "/");
		else if (mlimg_entry_is_whiteout(e))
			strcpy(mark, "-");
		else if (e->hardlink)
			snprintf(mark, sizeof(mark), "@%u", e->hardlink);
		ASSERT(!e->has_digest);
		mlimg_text_put(&words, " ", i > 1);
		mlimg_text_put(&words, e->path, strlen(e->path));
		mlimg_text_put(&words, mark, strlen(mark));
	}
	ASSERT_STR(words.data, wanted);
	free(words.data);
	mlimg_manifest_free(m);
}

TEST(entries)
{
	struct mlimg_ext4 *fs = open_image(user_script);

	check(fs, false,
		".unionfs-fuse/ .unionfs-fuse/home/ .unionfs-fuse/home/x_HIDDEN~ "
		"etc/ etc/a@1 etc/holes etc/motd gone- home/ home/b@1 home/opaque! home/renamed>");
	check(fs, true,
		"etc/ etc/a@1 etc/holes etc/motd gone- home/ home/b@1 home/opaque! home/renamed> "
		"home/x-");
	mlimg_ext4_close(fs);
	remove_image();
}

TEST(contents)
{
	struct mlimg_ext4 *fs = open_image(user_script);
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint8_t digest[MLIMG_SHA256_SIZE], wanted[MLIMG_SHA256_SIZE];
	struct mlimg_upper_image image;
	char *text;
	size_t size;

	ASSERT_OK(mlimg_upper_image_init(&image, fs, false, &err), err);
	ASSERT_OK(image.source.digest(&image.source, "etc/motd", digest, &err), err);
	mlimg_sha256_of("mine\n", 5, wanted);
	ASSERT_MEM(digest, wanted, sizeof(wanted));
	ASSERT_OK(image.source.read(&image.source, "etc/motd", 5, &text, &size, &err), err);
	ASSERT_STR(text, "mine\n");
	free(text);
	ASSERT_EQ(image.source.read(&image.source, "etc/motd", 4, &text, &size, &err), -EUCLEAN);
	ASSERT_OK(image.source.read_head(&image.source, "etc/motd", 4, &text, &size, &err), err);
	ASSERT_STR(text, "mine");
	ASSERT_EQ(size, 4);
	free(text);
	ASSERT_OK(image.source.read_head(&image.source, "etc/motd", 9, &text, &size, &err), err);
	ASSERT_EQ(size, 5);
	free(text);
	ASSERT_EQ(image.source.read_head(&image.source, "etc", 9, &text, &size, &err), -EUCLEAN);
	ASSERT_EQ(image.source.digest(&image.source, "etc", digest, &err), -EUCLEAN);
	ASSERT_EQ(image.source.digest(&image.source, "none", digest, &err), -ENOENT);
	mlimg_ext4_close(fs);
	remove_image();
}

TEST(more_than_may_be)
{
	struct mlimg_ext4 *fs = open_image(user_script);
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_upper_image image;
	struct mlimg_manifest *m;
	char message[1024];

	ASSERT_OK(mlimg_upper_image_init(&image, fs, false, &err), err);
	ASSERT_EQ(image.memory_max, MLIMG_WALK_MEMORY_MAX);
	image.memory_max = 1;
	snprintf(message, sizeof(message), "%s: names and attributes of more than 0 MiB", path);
	ASSERT_FAILS(
		image.source.load(&image.source, NULL, NULL, &m, &err), err, -EUCLEAN, message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	mlimg_ext4_close(fs);
	remove_image();
}

TEST(other_layers_are_refused)
{
	struct mlimg_ext4 *fs = open_image(above_script);
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_upper_image image;
	char message[1024];

	snprintf(message, sizeof(message), "%s: is a software layer, not a user layer", path);
	ASSERT_FAILS(mlimg_upper_image_init(&image, fs, false, &err), err, -EUCLEAN, message);
	mlimg_ext4_close(fs);
	remove_image();
}
