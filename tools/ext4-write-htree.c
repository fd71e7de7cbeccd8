/* SPDX-License-Identifier: MIT */
/*
 * Large directories as hash trees, so that a name is found in two or three blocks (the kernel's
 * Documentation/filesystems/ext4/directory.rst, "Hash Tree Directories"): block 0 is the root, then
 * come the nodes below it, if one block is not enough for pointers to all leaves, then the leaves,
 * ordinary blocks of entries.
 *
 * A leaf has the names whose hashes lie between its own in the node above and the next leaf's.
 * Where names of one hash are spread over leaves, the lowest bit of the hash, which names do not
 * have, marks the leaves that go on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "tools/ext4-err.h"
#include "tools/ext4-write-dir.h"

#define BS MLIMG_BLOCK_SIZE
#define POINTER_SIZE sizeof(struct ext2_dx_entry)
#define ROOT_POINTERS_AT 32 /* behind ".", ".." and struct ext2_dx_root_info */
#define NODE_POINTERS_AT 8  /* behind an entry that is not in use */
/* The last pointer's room is for the checksum. */
#define ROOT_POINTERS ((BS - ROOT_POINTERS_AT) / POINTER_SIZE - 1)
#define NODE_POINTERS ((BS - NODE_POINTERS_AT) / POINTER_SIZE - 1)
#define DOT_SIZE 12 /* of the entry "." */
/* The kernel's EXT4_HTREE_EOF_32BIT means the end of a directory; no name has the hash. */
#define HASH_END UINT32_C(0xfffffffe)

struct named {
	uint32_t hash, minor;
	const struct mlimg_node *node;
};

struct mlimg_htree {
	struct named *list;
	size_t n;
	uint32_t *leaves; /* the first hash of each */
	size_t n_leaves;
	size_t n_nodes; /* between the root and the leaves */
};

static int by_hash(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->minor != y->minor)
		return x->minor < y->minor ? -1 : 1;
	return strcmp(x->node->name, y->node->name);
}

static int hash(const struct mlimg_writer *image, struct named *named, struct mlimg_err *err)
{
	const char *name = named->node->name;
	uint32_t seed[4];
	errcode_t code;

	memcpy(seed, image->hash_seed, sizeof(seed));
	code = ext2fs_dirhash2(EXT2_HASH_HALF_MD4, name, (int)strlen(name), NULL, 0, seed,
		&named->hash, &named->minor);
	if (code)
		return mlimg_writer_fail(image, code, err);
	if (named->hash == HASH_END)
		named->hash -= 2;
	return 0;
}

static int sort(const struct mlimg_writer *image, const struct mlimg_node *dir,
	struct mlimg_htree *t, struct mlimg_err *err)
{
	int r = 0;

	for (const struct mlimg_node *e = dir->inode->entries; e; e = e->next)
		t->n++;
	t->list = calloc(t->n, sizeof(*t->list));
	t->leaves = calloc(t->n, sizeof(*t->leaves));
	if (!t->list || !t->leaves)
		return mlimg_err_set(err, ENOMEM, "write '%s'", image->name);
	t->n = 0;
	for (const struct mlimg_node *e = dir->inode->entries; e && r == 0; e = e->next) {
		t->list[t->n].node = e;
		r = hash(image, &t->list[t->n++], err);
	}
	qsort(t->list, t->n, sizeof(*t->list), by_hash);
	return r;
}

static void divide(struct mlimg_htree *t)
{
	struct mlimg_dir_packer p = {.used = BS}; /* full */

	for (size_t i = 0; i < t->n; i++) {
		size_t size = strlen(t->list[i].node->name);

		if (!mlimg_dir_has_room(&p, size)) {
			bool goes_on = i > 0 && t->list[i - 1].hash == t->list[i].hash;

			p = (struct mlimg_dir_packer){0};
			t->leaves[t->n_leaves++] = t->list[i].hash | goes_on;
		}
		mlimg_dir_add(&p, t->list[i].node->name, size, 0, 0);
	}
	if (t->n_leaves > ROOT_POINTERS)
		t->n_nodes = (t->n_leaves + NODE_POINTERS - 1) / NODE_POINTERS;
}

int mlimg_htree_new(const struct mlimg_writer *image, const struct mlimg_node *dir,
	struct mlimg_htree **ret_htree, struct mlimg_err *err)
{
	struct mlimg_htree *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return mlimg_err_set(err, ENOMEM, "write '%s'", image->name);
	r = sort(image, dir, t, err);
	if (r == 0)
		divide(t);
	if (r < 0 || t->n_nodes > ROOT_POINTERS) {
		mlimg_htree_free(t);
		t = NULL;
	}
	if (r == 0)
		*ret_htree = t;
	return r;
}

void mlimg_htree_free(struct mlimg_htree *t)
{
	if (!t)
		return;
	free(t->list);
	free(t->leaves);
	free(t);
}

uint64_t mlimg_htree_blocks(const struct mlimg_htree *t)
{
	return 1 + t->n_nodes + t->n_leaves;
}

/*
 * The pointers of one block; what is less than the first hash belongs to the first as well, which
 * has none.
 */
static void fill_pointers(uint8_t *block, size_t at, size_t limit, size_t n, uint32_t first_block,
	const uint32_t *hashes, size_t step)
{
	struct ext2_dx_countlimit head = {.limit = ext2fs_cpu_to_le16((uint16_t)limit),
		.count = ext2fs_cpu_to_le16((uint16_t)n)};

	for (size_t i = 0; i < n; i++) {
		struct ext2_dx_entry pointer = {.hash = ext2fs_cpu_to_le32(hashes[i * step]),
			.block = ext2fs_cpu_to_le32(first_block + (uint32_t)i)};

		memcpy(block + at + i * POINTER_SIZE, &pointer, sizeof(pointer));
	}
	memcpy(block + at, &head, sizeof(head));
}

static void fill_root(const struct mlimg_htree *t, const struct mlimg_node *dir, uint8_t *block)
{
	const struct mlimg_node *up = dir->parent ? dir->parent : dir;
	struct ext2_dx_root_info info = {.hash_version = EXT2_HASH_HALF_MD4,
		.info_length = sizeof(info),
		.indirect_levels = t->n_nodes > 0};
	struct mlimg_dir_packer p = {.block = block};
	struct ext2_dir_entry_2 *up_entry;

	mlimg_dir_add(&p, ".", 1, dir->inode->number, EXT2_FT_DIR);
	mlimg_dir_add(&p, "..", 2, up->inode->number, EXT2_FT_DIR);
	/* To whoever does not know hash trees, the second entry takes the rest of the block. */
	up_entry = (void *)(block + p.last);
	up_entry->rec_len = ext2fs_cpu_to_le16(BS - DOT_SIZE);
	memcpy(block + ROOT_POINTERS_AT - sizeof(info), &info, sizeof(info));
	if (t->n_nodes)
		fill_pointers(block, ROOT_POINTERS_AT, ROOT_POINTERS, t->n_nodes, 1, t->leaves,
			NODE_POINTERS);
	else
		fill_pointers(block, ROOT_POINTERS_AT, ROOT_POINTERS, t->n_leaves, 1, t->leaves, 1);
}

static void fill_node(const struct mlimg_htree *t, size_t node, uint8_t *block)
{
	struct ext2_dir_entry_2 *unused = (void *)block;
	size_t first = node * NODE_POINTERS, n = t->n_leaves - first;

	unused->rec_len = ext2fs_cpu_to_le16(BS);
	fill_pointers(block, NODE_POINTERS_AT, NODE_POINTERS, n < NODE_POINTERS ? n : NODE_POINTERS,
		(uint32_t)(1 + t->n_nodes + first), t->leaves + first, 1);
}

static int put_leaves(
	const struct mlimg_htree *t, struct mlimg_dir_blocks *b, struct mlimg_err *err)
{
	struct mlimg_dir_packer p = {.used = BS};
	int r = 0;

	for (size_t i = 0; i < t->n && r == 0; i++) {
		const struct mlimg_node *e = t->list[i].node;

		if (!mlimg_dir_has_room(&p, strlen(e->name))) {
			if (i > 0)
				r = mlimg_dir_end_block(b, &p, err);
			if (r == 0)
				r = mlimg_dir_next_block(b, err);
			p = (struct mlimg_dir_packer){.block = b->now};
		}
		if (r == 0)
			mlimg_dir_add_node(&p, e);
	}
	return r < 0 ? r : mlimg_dir_end_block(b, &p, err);
}

int mlimg_htree_put(const struct mlimg_htree *t, const struct mlimg_node *dir,
	struct mlimg_dir_blocks *b, struct mlimg_err *err)
{
	int r = mlimg_dir_next_block(b, err);

	if (r < 0)
		return r;
	fill_root(t, dir, b->now);
	r = mlimg_dir_end_block(b, NULL, err);
	for (size_t i = 0; i < t->n_nodes && r == 0; i++) {
		r = mlimg_dir_next_block(b, err);
		if (r < 0)
			return r;
		fill_node(t, i, b->now);
		r = mlimg_dir_end_block(b, NULL, err);
	}
	return r < 0 ? r : put_leaves(t, b, err);
}
