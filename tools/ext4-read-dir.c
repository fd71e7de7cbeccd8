/* SPDX-License-Identifier: MIT */
/*
 * Directories, read as a plain sequence of blocks: the nodes of a hash tree look like blocks with
 * one unused entry.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/ext4-read-impl.h"

#define HEADER 8      /* of an entry: inode, length, name length, type */
#define DOT_LENGTH 12 /* the least length of an entry */

/* A directory on its way into memory. While it grows, `name` of an entry is an offset. */
struct dir_reader {
	struct mlimg_ext4 *fs;
	const struct mlimg_ext4_inode *inode;
	struct mlimg_ext4_dir dir;
	size_t entries_room, names_size, names_room;
	uint64_t block;  /* within the directory */
	size_t position; /* of the entry within the directory: 0 is ".", 1 is ".." */
	struct mlimg_err *err;
};

static uint8_t type_of_dirent(uint8_t type)
{
	static const uint8_t types[] = {0, MLIMG_FILE, MLIMG_DIR, MLIMG_CHAR, MLIMG_BLOCK,
		MLIMG_FIFO, MLIMG_SOCKET, MLIMG_LINK};

	return type < sizeof(types) ? types[type] : 0;
}

static int bad_block(const struct dir_reader *r, const char *what)
{
	return ext4_refuse(r->fs, r->err, "inode %u: directory block %llu: %s", r->inode->ino,
		(unsigned long long)r->block, what);
}

static int grow(const struct dir_reader *r, void **array, size_t *room, size_t need, size_t size)
{
	size_t new_room = *room ? *room : 64;
	void *new_array;

	if (need <= *room)
		return 0;
	while (new_room < need)
		new_room *= 2;
	new_array = realloc(*array, new_room * size);
	if (!new_array)
		return ext4_fail(r->fs, r->err, ENOMEM, "inode %u: directory", r->inode->ino);
	*array = new_array;
	*room = new_room;
	return 0;
}

static int add_name(struct dir_reader *r, const uint8_t *raw, uint8_t length)
{
	struct mlimg_ext4_dir *dir = &r->dir;
	int ret;

	if (dir->n_entries == MLIMG_ENTRIES_MAX)
		return ext4_refuse(r->fs, r->err, "inode %u: directory: more than %d entries",
			r->inode->ino, MLIMG_ENTRIES_MAX);
	ret = grow(r, (void **)&dir->entries, &r->entries_room, dir->n_entries + 1,
		sizeof(*dir->entries));
	if (ret == 0)
		ret = grow(r, (void **)&dir->names, &r->names_room, r->names_size + length + 1, 1);
	if (ret < 0)
		return ret;
	memcpy(dir->names + r->names_size, raw + HEADER, length);
	dir->names[r->names_size + length] = '\0';
	dir->entries[dir->n_entries++] = (struct mlimg_ext4_dirent){
		.name = (const char *)r->names_size,
		.ino = mlimg_get_le32(raw),
		.type = type_of_dirent(raw[7]),
	};
	r->names_size += length + 1u;
	return 0;
}

static int take_dots(struct dir_reader *r, const uint8_t *raw, uint8_t length)
{
	bool fits =
		length == r->position + 1 && memcmp(raw + HEADER, "..", length) == 0 && raw[7] == 2;

	if (!fits || (r->position == 0 && mlimg_get_le32(raw) != r->inode->ino))
		return bad_block(r, "it does not begin with '.' and '..'");
	if (r->position == 1)
		r->dir.parent_ino = mlimg_get_le32(raw);
	return 0;
}

static int take_entry(struct dir_reader *r, const uint8_t *raw)
{
	uint8_t length = raw[6];
	const char *name = (const char *)raw + HEADER;

	if (r->position < 2)
		return take_dots(r, raw, length);
	if (mlimg_get_le32(raw) == 0)
		return 0;
	if (length == 0 || memchr(name, '/', length) || memchr(name, '\0', length) ||
		(length <= 2 && memcmp(name, "..", length) == 0))
		return bad_block(r, "a name is not valid");
	if (!type_of_dirent(raw[7]))
		return bad_block(r, "an entry has no type");
	return add_name(r, raw, length);
}

static int parse_block(struct dir_reader *r, const uint8_t *block)
{
	int ret = 0;

	for (size_t at = 0; at < MLIMG_EXT4_BLOCK && ret == 0;) {
		size_t length;

		if (at + DOT_LENGTH > MLIMG_EXT4_BLOCK)
			return bad_block(r, "an entry does not fit");
		length = mlimg_get_le16(block + at + 4);
		if (length < DOT_LENGTH || length % 4 != 0 || length > MLIMG_EXT4_BLOCK - at ||
			HEADER + (size_t)block[at + 6] > length)
			return bad_block(r, "an entry does not fit");
		ret = take_entry(r, block + at);
		r->position++;
		at += length;
	}
	return ret;
}

static int by_physical(const void *a, const void *b)
{
	const struct mlimg_ext4_extent *x = a, *y = b;

	return x->physical < y->physical ? -1 : x->physical > y->physical;
}

/*
 * The directory's blocks must be all there, and none of them twice: else a few blocks could pose as
 * a directory of terabytes.
 */
static int check_extents(struct dir_reader *r, const struct mlimg_ext4_extent *extents, size_t n)
{
	uint64_t n_blocks = r->inode->size_bytes / MLIMG_EXT4_BLOCK, next = 0;
	mlimg_autofree struct mlimg_ext4_extent *sorted = NULL;

	if (n_blocks == 0 || r->inode->size_bytes % MLIMG_EXT4_BLOCK != 0)
		return ext4_refuse(r->fs, r->err, "inode %u: directory of %llu bytes",
			r->inode->ino, (unsigned long long)r->inode->size_bytes);
	for (size_t i = 0; i < n; i++) {
		if (extents[i].logical != next || extents[i].is_unwritten)
			break;
		next += extents[i].n_blocks;
	}
	if (next < n_blocks)
		return ext4_refuse(r->fs, r->err, "inode %u: directory has a hole at block %llu",
			r->inode->ino, (unsigned long long)next);
	if (n == 1)
		return 0;
	sorted = malloc(n * sizeof(*sorted));
	if (!sorted)
		return ext4_fail(r->fs, r->err, ENOMEM, "inode %u: directory", r->inode->ino);
	memcpy(sorted, extents, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_physical);
	for (size_t i = 1; i < n; i++)
		if (sorted[i].physical < sorted[i - 1].physical + sorted[i - 1].n_blocks)
			return ext4_refuse(r->fs, r->err,
				"inode %u: directory uses block %llu twice", r->inode->ino,
				(unsigned long long)sorted[i].physical);
	return 0;
}

static int read_extent(struct dir_reader *r, const struct mlimg_ext4_extent *e)
{
	uint64_t end = r->inode->size_bytes / MLIMG_EXT4_BLOCK;
	uint8_t *blocks = r->fs->blocks;
	int ret = 0;

	for (uint32_t done = 0; done < e->n_blocks && r->block < end && ret == 0;) {
		uint32_t n = e->n_blocks - done < EXT4_READ_BLOCKS ? e->n_blocks - done
								   : EXT4_READ_BLOCKS;

		if (n > end - r->block)
			n = (uint32_t)(end - r->block);
		ret = ext4_read_blocks(r->fs, e->physical + done, n, blocks, r->err);
		for (uint32_t i = 0; i < n && ret == 0; i++, r->block++) {
			uint8_t *block = blocks + (size_t)i * MLIMG_EXT4_BLOCK;

			if (!ext2fs_dir_block_csum_verify(
				    r->fs->ext2, r->inode->ino, (struct ext2_dir_entry *)block))
				return bad_block(r, "its checksum is wrong");
			ret = parse_block(r, block);
		}
		done += n;
	}
	return ret;
}

static int by_name(const void *a, const void *b)
{
	const struct mlimg_ext4_dirent *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int by_number(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int mlimg_ext4_dir_repeats(const struct mlimg_ext4_dir *dir, uint32_t *ret_twice)
{
	mlimg_autofree uint32_t *numbers = malloc((dir->n_entries + 1) * sizeof(*numbers));
	size_t n = 0;

	if (!numbers)
		return -ENOMEM;
	for (size_t i = 0; i < dir->n_entries; i++)
		if (dir->entries[i].type == MLIMG_DIR)
			numbers[n++] = dir->entries[i].ino;
	qsort(numbers, n, sizeof(*numbers), by_number);
	for (size_t i = 1; i < n; i++) {
		if (numbers[i] == numbers[i - 1]) {
			*ret_twice = numbers[i];
			return 1;
		}
	}
	return 0;
}

static int check_subdirs(const struct dir_reader *r)
{
	uint32_t twice;
	int ret = mlimg_ext4_dir_repeats(&r->dir, &twice);

	if (ret < 0)
		return ext4_fail(r->fs, r->err, ENOMEM, "inode %u: directory", r->inode->ino);
	return ret > 0 ? ext4_refuse(r->fs, r->err, "inode %u: directory %u is in there twice",
				 r->inode->ino, twice)
		       : 0;
}

static int sort_entries(struct dir_reader *r)
{
	struct mlimg_ext4_dir *dir = &r->dir;

	for (size_t i = 0; i < dir->n_entries; i++)
		dir->entries[i].name = dir->names + (size_t)dir->entries[i].name;
	if (dir->n_entries)
		qsort(dir->entries, dir->n_entries, sizeof(*dir->entries), by_name);
	for (size_t i = 1; i < dir->n_entries; i++)
		if (strcmp(dir->entries[i].name, dir->entries[i - 1].name) == 0)
			return ext4_refuse(r->fs, r->err, "inode %u: name '%s' is in there twice",
				r->inode->ino, dir->entries[i].name);
	return check_subdirs(r);
}

int mlimg_ext4_dir_read(struct mlimg_ext4 *fs, const struct mlimg_ext4_inode *inode,
	struct mlimg_ext4_dir *ret_dir, struct mlimg_err *err)
{
	struct dir_reader r = {.fs = fs, .inode = inode, .err = err};
	mlimg_autofree struct mlimg_ext4_extent *extents = NULL;
	size_t n = 0;
	int ret;

	*ret_dir = (struct mlimg_ext4_dir){0};
	if (inode->type != MLIMG_DIR)
		return ext4_fail(fs, err, ENOTDIR, "inode %u", inode->ino);
	ret = mlimg_ext4_extents(fs, inode, &extents, &n, err);
	if (ret == 0)
		ret = check_extents(&r, extents, n);
	for (size_t i = 0; i < n && ret == 0; i++)
		ret = read_extent(&r, &extents[i]);
	if (ret == 0 && r.position < 2)
		ret = bad_block(&r, "it does not begin with '.' and '..'");
	if (ret == 0)
		ret = sort_entries(&r);
	if (ret < 0) {
		mlimg_ext4_dir_done(&r.dir);
		return ret;
	}
	*ret_dir = r.dir;
	return 0;
}

const struct mlimg_ext4_dirent *mlimg_ext4_dir_find(
	const struct mlimg_ext4_dir *dir, const char *name)
{
	size_t low = 0, high = dir->n_entries;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, dir->entries[middle].name);

		if (order == 0)
			return &dir->entries[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

void mlimg_ext4_dir_done(struct mlimg_ext4_dir *dir)
{
	if (!dir)
		return;
	free(dir->entries);
	free(dir->names);
	*dir = (struct mlimg_ext4_dir){0};
}
