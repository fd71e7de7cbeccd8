/* SPDX-License-Identifier: MIT */
/*
 * Directories as linear blocks (the kernel's Documentation/filesystems/ext4/directory.rst): entries
 * with the type of file, each block closed by a tail that carries its checksum.
 */
#include "tools/ext4-write-parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ext4-err.h"

#define TAIL_SIZE sizeof(struct ext2_dir_entry_tail)
#define CAPACITY (MLIMG_BLOCK_SIZE - TAIL_SIZE)

static const uint8_t file_types[] = {
	[MLIMG_FILE] = EXT2_FT_REG_FILE,
	[MLIMG_DIR] = EXT2_FT_DIR,
	[MLIMG_LINK] = EXT2_FT_SYMLINK,
	[MLIMG_CHAR] = EXT2_FT_CHRDEV,
	[MLIMG_BLOCK] = EXT2_FT_BLKDEV,
	[MLIMG_FIFO] = EXT2_FT_FIFO,
	[MLIMG_SOCKET] = EXT2_FT_SOCK,
};

/* Fills block after block; without a buffer it only counts them. */
struct packer {
	uint8_t *block;    /* or NULL */
	size_t used;       /* bytes of this block */
	size_t last;       /* where its last entry begins */
	uint64_t n_blocks; /* begun */
};

static size_t record_size(size_t name_size)
{
	return EXT2_DIR_REC_LEN(name_size);
}

static bool has_room(const struct packer *p, size_t name_size)
{
	return p->n_blocks && p->used + record_size(name_size) <= CAPACITY;
}

static void begin_block(struct packer *p)
{
	p->n_blocks++;
	p->used = 0;
	if (p->block)
		memset(p->block, 0, MLIMG_BLOCK_SIZE);
}

static void add_entry(struct packer *p, const char *name, size_t size, uint32_t ino, uint8_t type)
{
	p->last = p->used;
	p->used += record_size(size);
	if (p->block) {
		struct ext2_dir_entry_2 *e = (void *)(p->block + p->last);

		e->inode = ext2fs_cpu_to_le32(ino);
		e->rec_len = ext2fs_cpu_to_le16((uint16_t)record_size(size));
		e->name_len = (uint8_t)size;
		e->file_type = type;
		memcpy(e->name, name, size);
	}
}

/* The last entry takes what is left of the block. */
static void close_block(struct packer *p, ext2_filsys fs)
{
	struct ext2_dir_entry_2 *last = (void *)(p->block + p->last);

	last->rec_len = ext2fs_cpu_to_le16((uint16_t)(CAPACITY - p->last));
	ext2fs_initialize_dirent_tail(fs, EXT2_DIRENT_TAIL(p->block, MLIMG_BLOCK_SIZE));
}

static void begin_dir(struct packer *p, const struct mlimg_node *dir)
{
	const struct mlimg_node *up = dir->parent ? dir->parent : dir;

	begin_block(p);
	add_entry(p, ".", 1, dir->inode->number, EXT2_FT_DIR);
	add_entry(p, "..", 2, up->inode->number, EXT2_FT_DIR);
}

uint64_t mlimg_writer_dir_blocks(const struct mlimg_node *dir)
{
	struct packer p = {0};

	begin_dir(&p, dir);
	for (const struct mlimg_node *e = dir->inode->entries; e; e = e->next) {
		size_t size = strlen(e->name);

		if (!has_room(&p, size))
			begin_block(&p);
		add_entry(&p, e->name, size, 0, 0);
	}
	return p.n_blocks;
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

struct block_cursor {
	const struct mlimg_file *file;
	uint32_t extent, at;
};

static uint64_t next_block(struct block_cursor *c)
{
	const struct mlimg_extent *e = &c->file->extents[c->extent];
	uint64_t block = e->start + c->at++;

	if (c->at == e->count) {
		c->at = 0;
		c->extent++;
	}
	return block;
}

static int put_block(struct mlimg_writer *image, struct packer *p, const struct mlimg_node *dir,
	struct block_cursor *cursor, struct mlimg_err *err)
{
	errcode_t code;

	close_block(p, image->fs);
	code = ext2fs_dir_block_csum_set(image->fs, dir->inode->number, (void *)p->block);
	if (!code)
		code = io_channel_write_blk64(image->fs->io, next_block(cursor), 1, p->block);
	if (code)
		return mlimg_ext4_err_set(err, code, "write '%s'", image->name);
	return 0;
}

int mlimg_writer_put_dir(struct mlimg_writer *image, const struct mlimg_node *dir,
	struct mlimg_file *ret_file, struct mlimg_err *err)
{
	struct block_cursor cursor = {.file = ret_file};
	struct packer p = {.block = image->dir_block};
	int r;

	r = take_extents(image, mlimg_writer_dir_blocks(dir), ret_file, err);
	if (r < 0)
		return r;
	begin_dir(&p, dir);
	for (const struct mlimg_node *e = dir->inode->entries; e; e = e->next) {
		size_t size = strlen(e->name);

		if (!has_room(&p, size)) {
			r = put_block(image, &p, dir, &cursor, err);
			if (r < 0)
				return r;
			begin_block(&p);
		}
		add_entry(&p, e->name, size, e->inode->number, file_types[e->inode->type]);
	}
	ret_file->size_bytes = p.n_blocks * MLIMG_BLOCK_SIZE;
	return put_block(image, &p, dir, &cursor, err);
}
