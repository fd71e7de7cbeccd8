/* SPDX-License-Identifier: MIT */
/*
 * Directories (the kernel's Documentation/filesystems/ext4/directory.rst): blocks of entries with
 * the type of file, each closed by a tail that carries its checksum. They are read from the
 * beginning, and the kernel lists them in the order of the inodes' numbers, which is good for
 * whoever looks at all entries. With the feature dir_index it would list even the small ones in the
 * order of hashes; so only images with a directory so large that searching it is worse have the
 * feature, and in them only the large ones are hash trees.
 */
#include "tools/ext4-write-dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ext4-err.h"

/*
 * About 4,000 names of Debian's length: searching them costs the kernel as much as reading one more
 * block from a disk.
 */
#define LINEAR_BLOCKS_MAX 32

static const uint8_t file_types[] = {
	[MLIMG_FILE] = EXT2_FT_REG_FILE,
	[MLIMG_DIR] = EXT2_FT_DIR,
	[MLIMG_LINK] = EXT2_FT_SYMLINK,
	[MLIMG_CHAR] = EXT2_FT_CHRDEV,
	[MLIMG_BLOCK] = EXT2_FT_BLKDEV,
	[MLIMG_FIFO] = EXT2_FT_FIFO,
	[MLIMG_SOCKET] = EXT2_FT_SOCK,
};

bool mlimg_dir_has_room(const struct mlimg_dir_packer *p, size_t name_size)
{
	return p->used + EXT2_DIR_REC_LEN(name_size) <= MLIMG_DIR_CAPACITY;
}

void mlimg_dir_add(
	struct mlimg_dir_packer *p, const char *name, size_t name_size, uint32_t ino, uint8_t type)
{
	p->last = p->used;
	p->used += EXT2_DIR_REC_LEN(name_size);
	if (p->block) {
		struct ext2_dir_entry_2 *e = (void *)(p->block + p->last);

		e->inode = ext2fs_cpu_to_le32(ino);
		e->rec_len = ext2fs_cpu_to_le16((uint16_t)EXT2_DIR_REC_LEN(name_size));
		e->name_len = (uint8_t)name_size;
		e->file_type = type;
		memcpy(e->name, name, name_size);
	}
}

void mlimg_dir_add_node(struct mlimg_dir_packer *p, const struct mlimg_node *e)
{
	mlimg_dir_add(p, e->name, strlen(e->name), e->inode->number, file_types[e->inode->type]);
}

int mlimg_dir_next_block(struct mlimg_dir_blocks *b, struct mlimg_err *err)
{
	const struct mlimg_extent *e = &b->file->extents[b->extent];
	uint64_t block = e->start + b->at++;

	if (b->at == e->count) {
		b->at = 0;
		b->extent++;
	}
	return mlimg_writer_room_for(b->image, block, &b->now, err);
}

int mlimg_dir_end_block(
	struct mlimg_dir_blocks *b, const struct mlimg_dir_packer *p, struct mlimg_err *err)
{
	errcode_t code;

	/* The last entry takes what is left of the block. */
	if (p) {
		struct ext2_dir_entry_2 *last = (void *)(b->now + p->last);

		last->rec_len = ext2fs_cpu_to_le16((uint16_t)(MLIMG_DIR_CAPACITY - p->last));
		ext2fs_initialize_dirent_tail(
			b->image->fs, EXT2_DIRENT_TAIL(b->now, MLIMG_BLOCK_SIZE));
	}
	code = ext2fs_dir_block_csum_set(b->image->fs, b->ino, (void *)b->now);
	return code ? mlimg_writer_fail(b->image, code, err) : 0;
}

static void begin_dir(struct mlimg_dir_packer *p, const struct mlimg_node *dir)
{
	const struct mlimg_node *up = dir->parent ? dir->parent : dir;

	mlimg_dir_add(p, ".", 1, dir->inode->number, EXT2_FT_DIR);
	mlimg_dir_add(p, "..", 2, up->inode->number, EXT2_FT_DIR);
}

static uint64_t linear_blocks(const struct mlimg_node *dir)
{
	struct mlimg_dir_packer p = {0};
	uint64_t n = 1;

	begin_dir(&p, dir);
	for (const struct mlimg_node *e = dir->inode->entries; e; e = e->next) {
		size_t size = strlen(e->name);

		if (!mlimg_dir_has_room(&p, size)) {
			n++;
			p.used = 0;
		}
		mlimg_dir_add(&p, e->name, size, 0, 0);
	}
	return n;
}

/* @param ret_htree  NULL: linear */
static int plan(const struct mlimg_writer *image, const struct mlimg_node *dir,
	uint64_t *ret_blocks, struct mlimg_htree **ret_htree, struct mlimg_err *err)
{
	int r;

	*ret_htree = NULL;
	*ret_blocks = linear_blocks(dir);
	if (*ret_blocks <= LINEAR_BLOCKS_MAX)
		return 0;
	r = mlimg_htree_new(image, dir, ret_htree, err);
	if (r == 0 && *ret_htree)
		*ret_blocks = mlimg_htree_blocks(*ret_htree);
	return r;
}

int mlimg_writer_dir_blocks(const struct mlimg_writer *image, const struct mlimg_node *dir,
	uint64_t *ret_blocks, bool *ret_is_indexed, struct mlimg_err *err)
{
	struct mlimg_htree *htree = NULL;
	int r = plan(image, dir, ret_blocks, &htree, err);

	*ret_is_indexed = htree;
	mlimg_htree_free(htree);
	return r;
}

/* Take blocks for all of the directory, in as few runs as there are. */
static int take_extents(struct mlimg_writer *image, uint64_t n_blocks, struct mlimg_file *file,
	struct mlimg_err *err)
{
	uint64_t taken = 0;

	while (taken < n_blocks) {
		struct mlimg_extent *list;
		uint64_t start, count;
		int r = mlimg_writer_take_blocks(image, n_blocks - taken, &start, &count, err);

		if (r < 0)
			return r;
		list = realloc(file->extents, (file->n_extents + 1) * sizeof(*list));
		if (!list)
			return mlimg_err_set(err, ENOMEM, "write '%s'", image->name);
		file->extents = list;
		list[file->n_extents++] = (struct mlimg_extent){
			.start = start, .logical = (uint32_t)taken, .count = (uint32_t)count};
		taken += count;
	}
	file->one = file->extents[0];
	return 0;
}

static int put_linear(
	const struct mlimg_node *dir, struct mlimg_dir_blocks *b, struct mlimg_err *err)
{
	struct mlimg_dir_packer p;
	int r = mlimg_dir_next_block(b, err);

	if (r < 0)
		return r;
	p = (struct mlimg_dir_packer){.block = b->now};
	begin_dir(&p, dir);
	for (const struct mlimg_node *e = dir->inode->entries; e; e = e->next) {
		if (!mlimg_dir_has_room(&p, strlen(e->name))) {
			r = mlimg_dir_end_block(b, &p, err);
			if (r == 0)
				r = mlimg_dir_next_block(b, err);
			if (r < 0)
				return r;
			p = (struct mlimg_dir_packer){.block = b->now};
		}
		mlimg_dir_add_node(&p, e);
	}
	return mlimg_dir_end_block(b, &p, err);
}

int mlimg_writer_put_dir(struct mlimg_writer *image, const struct mlimg_node *dir,
	struct mlimg_file *ret_file, bool *ret_is_indexed, struct mlimg_err *err)
{
	struct mlimg_dir_blocks b = {.image = image, .ino = dir->inode->number, .file = ret_file};
	struct mlimg_htree *htree = NULL;
	uint64_t n_blocks;
	int r = plan(image, dir, &n_blocks, &htree, err);

	if (r == 0)
		r = take_extents(image, n_blocks, ret_file, err);
	if (r == 0)
		r = htree ? mlimg_htree_put(htree, dir, &b, err) : put_linear(dir, &b, err);
	ret_file->size_bytes = n_blocks * MLIMG_BLOCK_SIZE;
	*ret_is_indexed = htree;
	mlimg_htree_free(htree);
	return r;
}
