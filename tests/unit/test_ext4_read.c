/* SPDX-License-Identifier: MIT */
/*
 * Damage at random: whatever an image holds, reading it ends with an answer. Named cases are in
 * inspect-damage.bats.
 */
#include "tests/lib/test.h"

#include <fcntl.h>

#include "tests/lib/ext4-base.h"

#define ROUNDS 400
#define CHANGES_MAX 6

TEST(a_sound_image_is_read)
{
	static const char *const features[] = {"metadata_csum", "^metadata_csum"};
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (size_t i = 0; i < 2; i++) {
		size_t size;
		uint8_t *image = base_image(features[i], &size);

		ASSERT_OK(base_examine(image, size, &err), err);
		free(image);
	}
}

/* A block in which there is something: nearly all of those are metadata. */
static size_t used_block(const uint8_t *image, size_t size)
{
	static const uint8_t zeros[4096];
	size_t block;

	do
		block = test_random(size / 4096);
	while (memcmp(image + block * 4096, zeros, 4096) == 0);
	return block;
}

static void change(uint8_t *image, size_t size)
{
	uint8_t *block = image + used_block(image, size) * 4096;
	uint8_t *p = block + test_random(4096);

	/* Near something: a change amid zeros mostly changes nothing. */
	while (p < block + 4095 && !*p)
		p++;
	switch (test_random(4)) {
	case 0: *p ^= (uint8_t)(1u << test_random(8)); break;
	case 1: *p = (uint8_t)test_random(256); break;
	case 2: *p = test_random(2) ? 0 : 0xff; break;
	case 3: *p = image[test_random(size)]; break;
	}
}

static void damage(const char *features, size_t *ret_sound, size_t *ret_refused)
{
	size_t size;
	uint8_t *base = base_image(features, &size), *image = malloc(size);

	ASSERT(image);
	for (int round = 0; round < ROUNDS; round++) {
		struct mlimg_err err = MLIMG_ERR_INIT;
		size_t n = 1 + test_random(CHANGES_MAX);
		int ret;

		memcpy(image, base, size);
		for (size_t i = 0; i < n; i++)
			change(image, size);
		ret = base_examine(image, size, &err);
		++*(ret == 0 ? ret_sound : ret_refused);
		if (ret < 0 && err.kind != MLIMG_ERR_REFUSED && ret != -ENOENT && ret != -ENOTDIR &&
			ret != -ELOOP)
			FAIL("round %d: %d, %s", round, ret, err.text);
	}
	free(base);
	free(image);
}

TEST(random_damage_is_answered)
{
	size_t sound = 0, refused = 0;

	test_seed();
	alarm(120); /* a walk that does not end */
	damage("^metadata_csum", &sound, &refused);
	ASSERT(sound > 0 && refused > ROUNDS / 4);
}

TEST(random_damage_is_answered_with_checksums_too)
{
	size_t sound = 0, refused = 0;

	test_seed();
	alarm(120);
	damage("metadata_csum", &sound, &refused);
	ASSERT(refused > ROUNDS / 2);
}

TEST(an_image_cut_anywhere_is_refused)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size;
	uint8_t *image = base_image("metadata_csum", &size);

	test_seed();
	for (int round = 0; round < 50; round++) {
		size_t cut = test_random(size);

		if (base_examine(image, cut, &err) != -EUCLEAN)
			FAIL("%zu of %zu bytes: %s", cut, size, err.text);
	}
	free(image);
}

TEST(versions_are_compared_as_dpkg_does)
{
	static const char *const ascending[] = {"~", "~1", "", "1~rc1", "1", "1a", "1+b", "1-1",
		"1.0", "2", "5.10.0-28-amd64", "6.1.0-2-amd64", "6.1.0-10-amd64",
		"6.1.0-10-cloud-amd64", "6.12"};
	const size_t n = sizeof(ascending) / sizeof(ascending[0]);

	ASSERT_EQ(mlimg_version_cmp("", "0"), 0);
	ASSERT_EQ(mlimg_version_cmp("1.01", "1.1"), 0);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			int c = mlimg_version_cmp(ascending[i], ascending[j]);

			if ((c > 0) - (c < 0) != (i > j) - (i < j))
				FAIL("'%s' and '%s': %d", ascending[i], ascending[j], c);
		}
}

/* An image whose /boot the commands make; they run in the tree's root. */
static struct mlimg_ext4 *boot_image(const char *commands)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_ext4 *fs = NULL;
	char *script, path[300];

	snprintf(path, sizeof(path), "%s/x.img", test_tmpdir());
	ASSERT(asprintf(&script,
		       "PATH=$PATH:$PWD/tests/lib:$PWD/build/bin; cd %s && rm -rf t && mkdir t && "
		       "cd t && %s && "
		       "cd .. && handmade-layer t x.img",
		       test_tmpdir(), commands) > 0);
	ASSERT_EQ(system(script), 0);
	free(script);
	ASSERT_OK(mlimg_ext4_open(path, &fs, &err), err);
	return fs;
}

static void expect_version(const char *commands, const char *version)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = boot_image(commands);
	struct mlimg_itree tree = mlimg_ext4_tree(fs);
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_bootfiles files;

	ASSERT_OK(mlimg_bootfiles_find(&tree, &files, &err), err);
	ASSERT_STR(files.version, version);
}

#define KERNEL(v) "echo k" v " >boot/vmlinuz-" v " && echo i" v " >boot/initrd.img-" v " && "

TEST(the_kernel_to_boot_is_found)
{
	expect_version("mkdir boot && " KERNEL("6.1.0-9") KERNEL("6.1.0-10")
			       KERNEL("5.10.0-20") "true",
		"6.1.0-10");
	/* A newer one without initramfs does not count. */
	expect_version(
		"mkdir boot && " KERNEL("6.1.0-9") "echo k >boot/vmlinuz-6.1.0-11", "6.1.0-9");
	/* Debian's links decide. */
	expect_version("mkdir boot && " KERNEL("6.1.0-9")
			       KERNEL("6.1.0-10") "ln -s boot/vmlinuz-6.1.0-9 vmlinuz",
		"6.1.0-9");
	expect_version(
		"mkdir boot && " KERNEL("1") KERNEL("2") "ln -s vmlinuz-1 boot/vmlinuz", "1");
	expect_version("mkdir boot && " KERNEL("1") KERNEL(
			       "2") "ln -s vmlinuz-1 boot/vmlinuz && ln -s /boot/vmlinuz-2 vmlinuz",
		"2");
	/* One that leads nowhere does not. */
	expect_version(
		"mkdir boot && " KERNEL("1") KERNEL("2") "ln -s boot/vmlinuz-3 vmlinuz", "2");
	/* Everything may be behind links. */
	expect_version("mkdir -p usr/boot && ln -s usr/boot boot && " KERNEL(
			       "1") "ln -s vmlinuz-1 boot/vmlinuz-2 && ln -s initrd.img-1 "
				    "boot/initrd.img-2",
		"2");
}

static void expect_refusal(const char *commands, const char *message)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = boot_image(commands);
	struct mlimg_itree tree = mlimg_ext4_tree(fs);
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_bootfiles files;
	char wanted[600];

	snprintf(wanted, sizeof(wanted), "%s/x.img: %s", test_tmpdir(), message);
	ASSERT_FAILS(mlimg_bootfiles_find(&tree, &files, &err), err, -EUCLEAN, wanted);
}

TEST(without_kernel_the_message_says_what_is_missing)
{
	expect_refusal("true", "there is no /boot in it");
	expect_refusal("echo >boot", "there is no /boot in it");
	expect_refusal("mkdir boot && echo >boot/vmlinuz-", "there is no kernel in its /boot");
	expect_refusal("mkdir boot && echo >boot/vmlinuz-6.1",
		"there is no initramfs for its kernel /boot/vmlinuz-6.1");
	expect_refusal("mkdir -p boot/vmlinuz-6.1 && echo >boot/initrd.img-6.1",
		"there is no initramfs for its kernel /boot/vmlinuz-6.1");
}

TEST(boot_files_are_copied_out)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = boot_image("mkdir boot && " KERNEL("6.1") "true");
	struct mlimg_itree tree = mlimg_ext4_tree(fs);
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *text = NULL;
	struct mlimg_bootfiles files;
	char path[300];
	size_t size;

	ASSERT_OK(mlimg_bootfiles_find(&tree, &files, &err), err);
	snprintf(path, sizeof(path), "%s/kernel", test_tmpdir());
	for (int i = 0; i < 2; i++) /* the second time it is there already */
		ASSERT_OK(mlimg_bootfiles_extract(&tree, files.kernel, path, &err), err);
	ASSERT_OK(mlimg_read_file(AT_FDCWD, path, 100, &text, &size, &err), err);
	ASSERT_STR(text, "k6.1\n");
	ASSERT_FAILS(mlimg_bootfiles_extract(&tree, files.initrd, "/nonexistent/initrd", &err), err,
		-ENOENT, "write '/nonexistent/initrd': No such file or directory");
}
