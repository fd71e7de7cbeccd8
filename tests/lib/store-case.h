/* SPDX-License-Identifier: MIT */
/**
 * @file store-case.h
 * Images for a store, and what tests of it ask: for a test program, which includes test.h by this.
 */
#ifndef MLIMG_TEST_STORE_CASE_H
#define MLIMG_TEST_STORE_CASE_H

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "tests/lib/test.h"
#include "tools/ext4-read.h"
#include "tools/store-impl.h"

static struct mlimg_err err;

/** Layers; what each lies over is there, or may be. */
enum image {
	OLD,   /**< system debian 12.1 */
	NEW,   /**< system debian 12.2 */
	OTHER, /**< another build of debian 12.1 */
	PATCH, /**< patch debian 12.2 for OLD: its result is NEW */
	WEB,   /**< software nginx 1.0 over OLD */
	WEB2,  /**< the same version over NEW */
	FREE,  /**< software tools 1 over nothing */
	N_IMAGES,
};

static const char *const image_names[N_IMAGES] = {
	[OLD] = "old",
	[NEW] = "new",
	[OTHER] = "other",
	[PATCH] = "patch",
	[WEB] = "web",
	[WEB2] = "web2",
	[FREE] = "free",
};

static struct mlimg_layer_info images[N_IMAGES];

__attribute__((format(printf, 1, 2))) static void shell(const char *fmt, ...)
{
	char command[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command) != 0)
		FAIL("failed: %s", command);
}

/** @return the image, in the test's directory; a buffer that the next call uses again */
TEST_UNUSED static const char *image_path(enum image i)
{
	static char path[64];

	snprintf(path, sizeof(path), "images/%s.img", image_names[i]);
	return path;
}

/**
 * Make all images, and go to the test's directory: in memory, where syncing takes no time. What
 * must be there after a power cut is nothing that a killed process can show.
 */
TEST_UNUSED static void make_images(void)
{
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	ASSERT_EQ(chdir(test_tmpdir()), 0);
	shell("export SOURCE_DATE_EPOCH=1700000000; mkfs='mlimg-mkfs --quiet' && "
	      "mkdir -p images trees/old/etc trees/new/etc trees/web/srv && cd trees && "
	      "echo one >old/etc/one && echo two >new/etc/one && echo web >web/srv/web && "
	      "cp -a old other && echo other >other/etc/other && "
	      "find . -exec touch -h -d @1600000000 {} + && i=../images && "
	      "$mkfs --kind system --name debian --version 12.1 old $i/old.img && "
	      "$mkfs --kind system --name debian --version 12.2 new $i/new.img && "
	      "$mkfs --kind system --name debian --version 12.1 other $i/other.img && "
	      "$mkfs --base $i/old.img --name debian --version 12.2 new $i/patch.img && "
	      "$mkfs --kind software --name nginx --version 1.0 --over $i/old.img --partial web "
	      "$i/web.img && "
	      "$mkfs --kind software --name nginx --version 1.0 --over $i/new.img --partial web "
	      "$i/web2.img && "
	      "$mkfs --kind software --name tools --version 1 web $i/free.img");
	for (enum image i = 0; i < N_IMAGES; i++) {
		mlimg_autoext4 struct mlimg_ext4 *fs = NULL;

		ASSERT_OK(mlimg_ext4_open(image_path(i), &fs, &err), err);
		ASSERT_OK(mlimg_ext4_layer_info(fs, &images[i], &err), err);
	}
	ASSERT_STR(images[PATCH].result, images[NEW].build_id);
	ASSERT_STR(images[PATCH].base, images[OLD].build_id);
	ASSERT_STR(images[WEB].over[0], images[OLD].build_id);
}

TEST_UNUSED static struct mlimg_store *open_store(enum mlimg_store_access access)
{
	struct mlimg_store *store = NULL;

	ASSERT_OK(mlimg_store_open("store", access, &store, &err), err);
	return store;
}

/** Add an image. @return whether it is new */
TEST_UNUSED static bool add_image(struct mlimg_store *store, enum image i)
{
	struct mlimg_store_added added;
	bool is_new;

	ASSERT_OK(mlimg_store_layer_add(store, image_path(i), false, &added, &err), err);
	ASSERT_STR(added.layer.info.build_id, images[i].build_id);
	is_new = added.is_new;
	mlimg_store_layer_done(&added.layer);
	return is_new;
}

/** Make what a tenant has: one file. */
TEST_UNUSED static int fill_tenant(
	const char *dir, char ret_user_id[MLIMG_SHA256_HEX_SIZE], void *ctx, struct mlimg_err *e)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/user.qcow2", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || write(fd, "disk\n", 5) != 5 || fsync(fd) < 0 || close(fd) < 0)
		return mlimg_err_set(e, errno, "fill '%s'", path);
	memset(ret_user_id, 'a', 64);
	ret_user_id[64] = '\0';
	return 0;
}

static int finding_fails(const struct mlimg_store_finding *f, void *ctx, struct mlimg_err *e)
{
	FAIL("database and directory do not agree: %s (%d)", f->what, (int)f->found);
}

static int layer_is_sound(const struct mlimg_store_layer *layer, void *ctx, struct mlimg_err *e)
{
	return mlimg_store_layer_verify(ctx, layer, e);
}

/** Database and directory agree, nothing is under way, every layer is what it was. */
TEST_UNUSED static void check_agreement(struct mlimg_store *store)
{
	int64_t n = -1;

	ASSERT_OK(mlimg_store_check(store, finding_fails, NULL, &err), err);
	ASSERT_OK(mlimg_store_layer_each(store, 0, layer_is_sound, store, &err), err);
	ASSERT_OK(mlimg_db_get(store->db, "SELECT count(*) FROM operation", MLIMG_DB_NO_VALUES, &n,
			  &err),
		err);
	ASSERT_EQ(n, 0);
	shell("[ -z \"$(ls -A store/incoming)\" ]");
}

#endif
