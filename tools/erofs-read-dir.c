/* SPDX-License-Identifier: MIT */
/* Directories. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "tools/erofs-read-impl.h"

/* A directory on its way into memory. While it grows, `name` of an entry is an offset. */
struct dir_reader {
	struct mlimg_erofs_image *image;
	const struct mlimg_erofs_inode *inode;
	struct mlimg_ext4_dir dir;
	size_t entries_room, names_size, names_room;
	char last[EROFS_NAME_MAX + 1]; /* name; "" before the first */
	bool has_dot, has_dotdot;
	struct mlimg_err *err;
};

static int bad(const struct dir_reader *r, const char *what)
{
	return erofs_refuse(r->image, r->err, "inode %u: directory: %s", r->inode->nid, what);
}

static int no_memory(const struct dir_reader *r)
{
	return erofs_fail(r->image, r->err, ENOMEM, "inode %u: directory", r->inode->nid);
}

static int add_name(struct dir_reader *r, const char *name, size_t size, uint32_t nid, uint8_t type)
{
	struct mlimg_ext4_dir *dir = &r->dir;

	if (dir->n_entries == MLIMG_ENTRIES_MAX)
		return erofs_refuse(r->image, r->err, "inode %u: directory: more than %d entries",
			r->inode->nid, MLIMG_ENTRIES_MAX);
	if (mlimg_buffer_reserve(&dir->entries, &r->entries_room,
		    (dir->n_entries + 1) * sizeof(*dir->entries)) < 0 ||
		mlimg_buffer_reserve(&dir->names, &r->names_room, r->names_size + size + 1) < 0)
		return no_memory(r);
	memcpy(dir->names + r->names_size, name, size);
	dir->names[r->names_size + size] = '\0';
	dir->entries[dir->n_entries++] = (struct mlimg_ext4_dirent){
		.name = (const char *)r->names_size, .ino = nid, .type = type};
	r->names_size += size + 1;
	return 0;
}

/* "." and ".." stand among the others, where they belong by the order of bytes. */
static int take_entry(
	struct dir_reader *r, const struct erofs_dirent *dirent, const char *name, size_t size)
{
	static const uint8_t types[] = {0, MLIMG_FILE, MLIMG_DIR, MLIMG_CHAR, MLIMG_BLOCK,
		MLIMG_FIFO, MLIMG_SOCKET, MLIMG_LINK};
	uint8_t type = dirent->file_type < sizeof(types) ? types[dirent->file_type] : 0;
	uint64_t nid = le64toh(dirent->nid);
	char text[EROFS_NAME_MAX + 1];

	if (size == 0 || size > EROFS_NAME_MAX || memchr(name, '/', size) ||
		memchr(name, '\0', size))
		return bad(r, "a name is not valid");
	if (!type || nid == 0 || nid > UINT32_MAX)
		return bad(r, "an entry has no type or no inode");
	memcpy(text, name, size);
	text[size] = '\0';
	if (r->last[0] && strcmp(r->last, text) >= 0)
		return bad(r, "its names are not in order");
	memcpy(r->last, text, size + 1);
	if (strcmp(r->last, ".") == 0) {
		r->has_dot = true;
		return nid == r->inode->nid ? 0 : bad(r, "'.' is another directory");
	}
	if (strcmp(r->last, "..") == 0) {
		r->has_dotdot = true;
		r->dir.parent_ino = (uint32_t)nid;
		return 0;
	}
	return add_name(r, name, size, (uint32_t)nid, type);
}

/* `size` bytes are in use; the first entry's name begins behind the last entry. */
static int parse_block(struct dir_reader *r, const uint8_t *block, size_t size)
{
	struct erofs_dirent dirent, next;
	size_t n, end;
	int ret = 0;

	if (size < sizeof(dirent))
		return bad(r, "an entry does not fit");
	memcpy(&next, block, sizeof(next));
	end = le16toh(next.nameoff);
	n = end / sizeof(dirent);
	if (n == 0 || end % sizeof(dirent) != 0 || end > size)
		return bad(r, "an entry does not fit");
	for (size_t i = 0; i < n && ret == 0; i++) {
		size_t begin = le16toh(next.nameoff);

		dirent = next;
		if (i + 1 < n) {
			memcpy(&next, block + (i + 1) * sizeof(next), sizeof(next));
			end = le16toh(next.nameoff);
		} else {
			end = begin <= size
				? begin + strnlen((const char *)block + begin, size - begin)
				: 0;
		}
		if (begin > end || end > size)
			return bad(r, "a name does not fit");
		ret = take_entry(r, &dirent, (const char *)block + begin, end - begin);
	}
	return ret;
}

static int check_subdirs(const struct dir_reader *r)
{
	uint32_t twice;
	int ret = mlimg_ext4_dir_repeats(&r->dir, &twice);

	if (ret < 0)
		return no_memory(r);
	return ret > 0 ? bad(r, "a subdirectory is in there twice") : 0;
}

static int read_blocks(struct dir_reader *r)
{
	uint8_t block[EROFS_BLOCK_SIZE];
	int ret = 0;

	for (uint64_t done = 0; done < r->inode->size_bytes && ret == 0;) {
		uint64_t size = r->inode->size_bytes - done;

		if (size > sizeof(block))
			size = sizeof(block);
		ret = erofs_read_own(r->image, r->inode, done, block, size, r->err);
		if (ret == 0)
			ret = parse_block(r, block, (size_t)size);
		done += size;
	}
	return ret;
}

int erofs_dir_read(struct mlimg_erofs_image *image, const struct mlimg_erofs_inode *inode,
	struct mlimg_ext4_dir *ret_dir, struct mlimg_err *err)
{
	struct dir_reader r = {.image = image, .inode = inode, .err = err};
	int ret;

	*ret_dir = (struct mlimg_ext4_dir){0};
	if (inode->type != MLIMG_DIR)
		return erofs_fail(image, err, ENOTDIR, "inode %u", inode->nid);
	ret = read_blocks(&r);
	if (ret == 0 && !(r.has_dot && r.has_dotdot))
		ret = bad(&r, "it has no '.' or no '..'");
	for (size_t i = 0; i < r.dir.n_entries; i++)
		r.dir.entries[i].name = r.dir.names + (size_t)r.dir.entries[i].name;
	if (ret == 0)
		ret = check_subdirs(&r);
	if (ret < 0)
		mlimg_ext4_dir_done(&r.dir);
	else
		*ret_dir = r.dir;
	return ret;
}
