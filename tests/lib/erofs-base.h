/* SPDX-License-Identifier: MIT */
/**
 * @file erofs-base.h
 * A small index over two layers, with one of everything, in memory, for tests that damage it; and
 * what they do with it. The programs that make it must be in PATH or beneath the working directory.
 */
#ifndef MLIMG_TEST_EROFS_BASE_H
#define MLIMG_TEST_EROFS_BASE_H

#include <endian.h>

#include "libmlimg/crc32c.h"
#include "libmlimg/erofs-format.h"
#include "tests/lib/ext4-base.h"
#include "tools/inspect-stack.h"

static const char erofs_base_script[] =
	"mkdir -p $d/a/etc $d/a/many $d/b/etc\n"
	"echo motd >$d/a/etc/motd\n"
	"ln $d/a/etc/motd $d/a/etc/motd2\n"
	"ln -s etc/motd $d/a/link\n"
	"ln -s $(printf 'long%.0s' $(seq 900)) $d/a/long\n"
	"for i in $(seq 120); do : >$d/a/many/a-long-name-so-that-blocks-fill-$i; done\n"
	"for i in 0 2 4 6 7 10; do echo x | dd of=$d/a/holes bs=4096 seek=$i conv=notrunc "
	"status=none; done\n"
	"echo b >$d/b/etc/motd3\n"
	"find $d/a $d/b -exec touch -h -d @1600000000 {} +\n"
	"touch -d @1700000000 $d/a/etc/motd\n"
	"cat >$d/script <<END\n"
	"cd /rootfs\n"
	"mknod null c 1 3\n"
	"mknod pipe p\n"
	"ea_set holes user.small 1\n"
	"ea_set many user.small 1\n"
	"ea_set many user.other 2\n"
	"ea_set etc/motd security.x 3\n"
	"sif holes uid 100000\n"
	"END\n"
	"handmade-layer -s 1M -d $d/script $d/a $1.0 -N 256 -O ^has_journal,^resize_inode\n"
	"handmade-layer -s 1M -k software $d/b $1.1 -N 64 -O ^has_journal,^resize_inode\n"
	"mlimg-index --force -q --joined -o $1 $1.0 $1.1\n"
	"cat $1 $1.0 $1.1 >$1.disk\n"
	"mlimg-index --force -q -o $1 $1.0 $1.1\n";

/** An index and its layers. */
struct erofs_base {
	uint8_t *data;
	size_t size;
	uint8_t *disk; /**< the same as a joined one, which is as large, and its layers behind it */
	size_t disk_size;
	char layers[2][64]; /**< paths; the files are deleted, but open */
};

/** Make a deleted file. @return a descriptor */
static inline int base_keep(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || unlink(path) < 0)
		abort();
	return fd;
}

/** Make the index. What @p ret_base has lives as long as the process. */
static inline void erofs_base_make(struct erofs_base *ret_base)
{
	char path[] = "/tmp/mlimg-base.XXXXXX", layer[64];

	base_run(erofs_base_script, path, "");
	snprintf(layer, sizeof(layer), "%s.disk", path);
	ret_base->data = base_take(path, &ret_base->size);
	ret_base->disk = base_take(layer, &ret_base->disk_size);
	for (int i = 0; i < 2; i++) {
		snprintf(layer, sizeof(layer), "%s.%d", path, i);
		snprintf(ret_base->layers[i], sizeof(ret_base->layers[i]), "/proc/self/fd/%d",
			base_keep(layer));
	}
}

/** Make the superblock's checksum right again. */
static inline void erofs_base_sum(uint8_t *data)
{
	uint32_t crc;

	memset(data + EROFS_SB_OFFSET + 4, 0, 4);
	crc = htole32(
		mlimg_crc32c(~0u, data + EROFS_SB_OFFSET, EROFS_BLOCK_SIZE - EROFS_SB_OFFSET));
	memcpy(data + EROFS_SB_OFFSET + 4, &crc, 4);
}

static inline int erofs_base_visit(const struct mlimg_entry *entry,
	const struct mlimg_itree_node *node, void *ctx, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_itree_run *runs = NULL;
	uint64_t used;
	size_t n;
	int ret = mlimg_itree_used(ctx, node, &used, err);

	if (ret == 0 && node->type == MLIMG_FILE)
		ret = mlimg_itree_data(ctx, node, &runs, &n, err);
	return ret;
}

static inline int erofs_base_entry(
	const struct mlimg_entry *entry, bool is_own, void *ctx, struct mlimg_err *err)
{
	return 0;
}

/** All of the image, whatever its description says. */
static inline int erofs_base_walk(const char *path, struct mlimg_err *err)
{
	struct mlimg_erofs_image *image = NULL;
	struct mlimg_itree_room room;
	struct mlimg_itree_node root;
	struct mlimg_itree tree;
	int ret = mlimg_erofs_open(path, &image, err);

	if (ret < 0)
		return ret;
	tree = mlimg_erofs_tree(image, "/");
	ret = mlimg_itree_lookup(&tree, "", false, &room, &root, err);
	if (ret == 0)
		ret = mlimg_itree_walk(&tree, &root, erofs_base_visit, &tree, err);
	mlimg_erofs_close(image);
	return ret;
}

/**
 * Do with an index all that mlimg-inspect does with one.
 *
 * @param data    the index; a joined one may have its layers behind it
 * @param size    its bytes
 * @param layers  paths of its layers
 * @param err     the first error
 * @return        0 when nothing was wrong, else the first error's code; aborts when an error is not
 *                one
 */
static inline int erofs_base_examine(
	const uint8_t *data, size_t size, char layers[2][64], struct mlimg_err *err)
{
	mlimg_autoclose int fd = memfd_create("index", MFD_CLOEXEC);
	const char *const paths[] = {layers[0], layers[1]};
	struct mlimg_err errs[6] = {MLIMG_ERR_INIT, MLIMG_ERR_INIT, MLIMG_ERR_INIT, MLIMG_ERR_INIT,
		MLIMG_ERR_INIT, MLIMG_ERR_INIT};
	struct mlimg_inspect_stack *stack = NULL;
	bool is_used[2] = {false};
	int ret[6] = {0};
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || mlimg_write_all(fd, data, size) < 0)
		abort();
	ret[0] = erofs_base_walk(path, &errs[0]);
	ret[1] = mlimg_inspect_stack_open(path, paths, 2, is_used, &stack, &errs[1]);
	if (ret[1] == 0) {
		ret[2] = mlimg_inspect_stack_walk(
			stack, MLIMG_DIGESTS_PLACES, 0, erofs_base_entry, NULL, &errs[2]);
		ret[3] = mlimg_inspect_stack_walk(
			stack, MLIMG_DIGESTS_COMPUTED, 1 << 24, erofs_base_entry, NULL, &errs[3]);
		base_take_out(&stack->tree, &errs[4], &ret[4]);
	}
	mlimg_inspect_stack_close(stack);
	for (int i = 0; i < 6; i++) {
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
