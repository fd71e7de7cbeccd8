/* SPDX-License-Identifier: MIT */
/**
 * @file ext4-base.h
 * A small layer image that has one of everything, in memory, for tests that damage it, and what
 * they do with it; and two more to lie above. They are made by tests/lib/handmade-layer, which must
 * be in PATH or beneath the working directory.
 */
#ifndef MLIMG_TEST_EXT4_BASE_H
#define MLIMG_TEST_EXT4_BASE_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libmlimg/io.h"
#include "tools/bootfiles.h"
#include "tools/du.h"
#include "tools/ext4-check.h"
#include "tools/extract.h"

/** Before each script: an empty directory $d. */
static const char base_prologue[] = "set -eu\n"
				    "PATH=$PATH:tests/lib:build/bin\n"
				    "d=$(mktemp -d) && trap 'rm -rf \"$d\"' EXIT\n";

static const char base_script[] =
	"mkdir -p $d/t/boot $d/t/etc $d/t/many\n"
	"echo motd >$d/t/etc/motd\n"
	"ln $d/t/etc/motd $d/t/etc/motd2\n"
	"ln -s /etc/motd $d/t/vmlinuz.old\n"
	"ln -s boot/vmlinuz-1 $d/t/vmlinuz\n"
	"ln -s $(printf 'long%.0s' $(seq 50)) $d/t/long\n"
	"for i in $(seq 120); do : >$d/t/many/a-long-name-so-that-blocks-fill-$i; done\n"
	"for i in 0 2 4 6 8 10; do echo x | dd of=$d/t/holes bs=4096 seek=$i conv=notrunc "
	"status=none; done\n"
	"echo k >$d/t/boot/vmlinuz-1; echo i >$d/t/boot/initrd.img-1\n"
	"find $d/t -exec touch -h -d @1600000000 {} +\n"
	"head -c 600 /dev/zero | tr '\\0' v >$d/value\n"
	"printf "
	"'\\2\\0\\0\\0\\1\\0\\6\\0\\377\\377\\377\\377\\2\\0\\4\\0\\350\\3\\0\\0\\4\\0\\4\\0\\377\\"
	"377\\377\\377"
	"\\20\\0\\4\\0\\377\\377\\377\\377\\40\\0\\4\\0\\377\\377\\377\\377' >$d/acl\n"
	"cat >$d/script <<END\n"
	"cd /rootfs\n"
	"mknod null c 1 3\n"
	"mknod pipe p\n"
	"ea_set -f $d/value etc user.value\n"
	"ea_set etc user.small 1\n"
	"ea_set -f $d/acl etc/motd system.posix_acl_access\n"
	"END\n"
	"handmade-layer -s 1M -d $d/script $d/t $1 -N 256 -O ^has_journal,^resize_inode,$2\n";

/**
 * A software layer above it: merged and opaque directories, whiteouts, another type, hard links.
 */
static const char above_script[] =
	"mkdir -p $d/t/etc $d/t/many $d/t/boot $d/t/vmlinuz\n"
	"echo other >$d/t/etc/motd; echo new >$d/t/etc/new; ln $d/t/etc/new $d/t/many/also-new\n"
	"for i in $(seq 60); do : >$d/t/many/a-long-name-so-that-blocks-fill-$i-too; done\n"
	"find $d/t -exec touch -h -d @1500000000 {} +\n"
	"cat >$d/script <<END\n"
	"cd /rootfs\n"
	"mknod long c 0 0\n"
	"ea_set boot trusted.overlay.opaque y\n"
	"ea_set etc user.small 1\n"
	"cd etc\n"
	"mknod motd2 c 0 0\n"
	"END\n"
	"handmade-layer -k software -s 1M -d $d/script $d/t $1 -N 256 -O "
	"^has_journal,^resize_inode,$2\n";

/**
 * A patch between the two: references by another path, by their own, of several names, and a file
 * that only the patch has.
 */
static const char patch_script[] =
	"mkdir -p $d/t/etc $d/t/boot $d/t/deep/er\n"
	"truncate -s 5 $d/t/etc/moved $d/t/etc/motd $d/t/deep/er/again\n"
	"ln $d/t/etc/moved $d/t/deep/moved; echo patched >$d/t/boot/patched\n"
	"find $d/t -exec touch -h -d @1550000000 {} +\n"
	": >$d/none; printf /etc/motd >$d/to; printf /etc/motd2 >$d/to2\n"
	"cat >$d/script <<END\n"
	"cd /rootfs\n"
	"mknod vmlinuz c 0 0\n"
	"ea_set -f $d/none etc/moved trusted.overlay.metacopy\n"
	"ea_set -f $d/to etc/moved trusted.overlay.redirect\n"
	"ea_set -f $d/none etc/motd trusted.overlay.metacopy\n"
	"ea_set -f $d/none deep/er/again trusted.overlay.metacopy\n"
	"ea_set -f $d/to2 deep/er/again trusted.overlay.redirect\n"
	"END\n"
	"handmade-layer -k patch -b $(printf %064d 2) -s 1M -d $d/script $d/t $1 -N 256 -O "
	"^has_journal,^resize_inode,$2\n";

/**
 * A user layer: copies, whiteouts, an opaque and a renamed directory, hard links, and what
 * unionfs-fuse would have written.
 */
static const char user_script[] =
	"mkdir -p $d/t/etc $d/t/home/opaque $d/t/home/renamed $d/t/.unionfs-fuse/home\n"
	"echo mine >$d/t/etc/motd; echo one >$d/t/etc/a; ln $d/t/etc/a $d/t/home/b\n"
	": >$d/t/.unionfs-fuse/home/x_HIDDEN~\n"
	"truncate -s 1M $d/t/etc/holes\n"
	"find $d/t -exec touch -h -d @1500000000 {} +\n"
	"cat >$d/script <<END\n"
	"cd /upper\n"
	"mknod gone c 0 0\n"
	"ea_set home/opaque trusted.overlay.opaque y\n"
	"ea_set home/renamed trusted.overlay.redirect /etc\n"
	"END\n"
	"handmade-layer -k user -s 1M -d $d/script $d/t $1 -N 256 -O "
	"^has_journal,^resize_inode,$2\n";

/**
 * Run a script that makes an image.
 *
 * @param script    after base_prologue
 * @param path      $1, where the image shall be: as for mkstemp(3), which changes it
 * @param argument  $2
 */
static inline void base_run(const char *script, char *path, const char *argument)
{
	char *command = NULL, *text = NULL;
	int fd = mkstemp(path);

	if (fd < 0 ||
		asprintf(&command, "bash -c 'eval \"$BASE_SCRIPT\"' base %s '%s'", path, argument) <
			0 ||
		asprintf(&text, "%s%s", base_prologue, script) < 0)
		abort();
	setenv("BASE_SCRIPT", text, 1);
	if (system(command) != 0) {
		fprintf(stderr, "the base image could not be made\n");
		unlink(path);
		exit(1);
	}
	close(fd);
	free(command);
	free(text);
}

/** Read a file that a script made, and delete it. @return free() it */
static inline uint8_t *base_take(const char *path, size_t *ret_size)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *data;

	if (mlimg_read_file(AT_FDCWD, path, 1 << 22, &data, ret_size, &err) < 0) {
		fprintf(stderr, "the base image could not be made: %s\n", err.text);
		unlink(path);
		exit(1);
	}
	unlink(path);
	return (uint8_t *)data;
}

/**
 * Make an image.
 *
 * @param script    base_script, above_script or patch_script
 * @param features  "metadata_csum" or "^metadata_csum"
 * @param ret_size  its bytes
 * @return          free() it
 */
static inline uint8_t *base_image_of(const char *script, const char *features, size_t *ret_size)
{
	char path[] = "/tmp/mlimg-base.XXXXXX";

	base_run(script, path, features);
	return base_take(path, ret_size);
}

/** The image that has one of everything. */
static inline uint8_t *base_image(const char *features, size_t *ret_size)
{
	return base_image_of(base_script, features, ret_size);
}

static inline int base_visit(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode,
	void *ctx, struct mlimg_err *err)
{
	++*(size_t *)ctx;
	return 0;
}

/**
 * Add up and extract a tree, into nothing.
 *
 * @param tree  of any image
 * @param errs  two: of what ended either
 * @param ret   two: 0 or -errno
 */
static inline void base_take_out(const struct mlimg_itree *tree, struct mlimg_err *errs, int *ret)
{
	mlimg_autoclose int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const struct mlimg_extract_options options = {
		.tar_fd = null, .tar_holes_max = 1 << 24, .keeps_owners = true};
	struct mlimg_extract_result result;
	struct mlimg_itree_room room;
	struct mlimg_itree_node root;
	struct mlimg_du du = {0};

	ret[0] = mlimg_itree_lookup(tree, "", false, &room, &root, &errs[0]);
	if (ret[0] == 0)
		ret[0] = mlimg_du(tree, &root, UINT64_MAX, true, &du, &errs[0]);
	if (ret[0] == 0 && (du.n_rows == 0 || du.rows[0].path[0]))
		abort();
	mlimg_du_done(&du);
	ret[1] = mlimg_extract(tree, &options, &result, &errs[1]);
	for (size_t i = 0; i < MLIMG_EXTRACT_NAMED_MAX && i < result.n_failed; i++)
		if (!result.failures[i].reason[0])
			abort();
	mlimg_extract_result_done(&result);
}

/**
 * Do with an image all that the tools do with one.
 *
 * @param data  the image
 * @param size  its bytes
 * @param err   the first error
 * @return      0 when nothing was wrong, else the first error's code; aborts when an error is not
 *              one
 */
static inline int base_examine(const uint8_t *data, size_t size, struct mlimg_err *err)
{
	mlimg_autoclose int fd = memfd_create("image", MFD_CLOEXEC);
	struct mlimg_layer_info info = {0};
	mlimg_autofree char *manifest = NULL;
	mlimg_autofree struct mlimg_bootfiles *boot = malloc(sizeof(*boot));
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	struct mlimg_err errs[7] = {MLIMG_ERR_INIT, MLIMG_ERR_INIT, MLIMG_ERR_INIT, MLIMG_ERR_INIT,
		MLIMG_ERR_INIT, MLIMG_ERR_INIT, MLIMG_ERR_INIT};
	struct mlimg_ext4_usage usage;
	struct mlimg_itree tree;
	struct mlimg_ext4_inode inode;
	size_t manifest_size, n = 0;
	int ret[7] = {0};
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || !boot || mlimg_write_all(fd, data, size) < 0)
		abort();
	ret[0] = mlimg_ext4_open(path, &fs, &errs[0]);
	if (ret[0] == 0) {
		ret[1] = mlimg_ext4_layer_info(fs, &info, &errs[1]);
		if (ret[1] == 0)
			ret[1] = mlimg_ext4_manifest_stored(
				fs, info.build_id, &manifest, &manifest_size, &errs[1]);
		mlimg_layer_info_done(&info);
		ret[2] = mlimg_ext4_manifest_walk(fs, 1 << 24, 1 << 24, base_visit, &n, &errs[2]);
		tree = mlimg_ext4_tree(fs);
		ret[3] = mlimg_bootfiles_find(&tree, boot, &errs[3]);
		if (ret[3] == 0)
			ret[3] = mlimg_ext4_lookup(
				fs, "/rootfs", "vmlinuz.old", true, &inode, &errs[3]);
		ret[4] = mlimg_ext4_check(fs, &usage, &errs[4]);
		base_take_out(&tree, &errs[5], &ret[5]);
	}
	for (int i = 0; i < 7; i++) {
		if (ret[i] > 0 || (ret[i] < 0 && (errs[i].code != ret[i] || !errs[i].text[0])))
			abort();
		if (ret[i] < 0) {
			*err = errs[i];
			return ret[i];
		}
	}
	return 0;
}

#endif
