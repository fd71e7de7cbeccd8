/* SPDX-License-Identifier: MIT */
/* Where everything goes: nids, blocks, chunk sizes. Nothing is written here. */
#include "tools/erofs-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/verity.h"

/* Chunks of all files: a hostile image must not become an index that fills the disk. */
#define CHUNKS_ALL_MAX (1u << 26)

/*
 * More than this much of a block behind an inode, and the inode's own block is better left to
 * inodes.
 */
#define TAIL_MAX 2048u

/* ---- names ---- */

static int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size)
{
	int c = memcmp(a, b, a_size < b_size ? a_size : b_size);

	return c ? c : (a_size > b_size) - (a_size < b_size);
}

static int compare_names(const void *pa, const void *pb, void *ctx)
{
	const struct name *a = pa, *b = pb;
	const char *text = ctx;

	if (a->dir != b->dir)
		return a->dir < b->dir ? -1 : 1;
	return compare_bytes(text + (a->at >> 8), a->at & 0xff, text + (b->at >> 8), b->at & 0xff);
}

static int sort_names(struct mlimg_erofs *image, struct mlimg_err *err)
{
	struct name *names = image->names.at;
	size_t n = image->names.size;

	if (n) /* no names, no array */
		qsort_r(names, n, sizeof(*names), compare_names, image->text.at);
	for (size_t i = 0; i < n; i++) {
		struct inode *dir = &image->inodes.at[names[i].dir];

		if (i && !compare_names(&names[i - 1], &names[i], image->text.at))
			return mlimg_err_set(err, EINVAL, "the name '%.*s' twice in one directory",
				(int)(names[i].at & 0xff), image->text.at + (names[i].at >> 8));
		if (!dir->n_names++)
			dir->first_name = (uint32_t)i;
	}
	return 0;
}

void mlimg_erofs_dir_begin(struct dir_iter *it, const struct mlimg_erofs *image, uint32_t dir)
{
	*it = (struct dir_iter){.image = image, .dir = &image->inodes.at[dir], .self = dir};
}

/* "." and ".." take their place among the names: "+" and "-x" sort before them. */
bool mlimg_erofs_dir_peek(const struct dir_iter *it, struct dir_entry *ret_entry)
{
	struct dir_entry dot = {.name = "..", .size = it->dots_done + 1u};
	struct dir_entry entry = {0};
	bool has_name = it->next_name < it->dir->n_names;

	if (has_name) {
		const struct name *name = &it->image->names.at[it->dir->first_name + it->next_name];

		entry = (struct dir_entry){.name = it->image->text.at + (name->at >> 8),
			.size = name->at & 0xff,
			.ino = name->ino};
	}
	if (it->dots_done < 2 &&
		(!has_name || compare_bytes(dot.name, dot.size, entry.name, entry.size) < 0)) {
		bool is_parent = it->dots_done == 1 && it->dir->parent != NONE;

		dot.ino = is_parent ? it->dir->parent : it->self;
		*ret_entry = dot;
		return true;
	}
	*ret_entry = entry;
	return has_name;
}

void mlimg_erofs_dir_step(struct dir_iter *it)
{
	struct dir_entry entry;

	if (!mlimg_erofs_dir_peek(it, &entry))
		return;
	if (entry.name[0] == '.' && entry.size == it->dots_done + 1u && it->dots_done < 2 &&
		(entry.size == 1 || entry.name[1] == '.'))
		it->dots_done++;
	else
		it->next_name++;
}

/* A directory's size: all blocks but the last one are full ones. */
static uint64_t dir_size(const struct mlimg_erofs *image, uint32_t dir)
{
	uint64_t blocks = 0, used = 0;
	struct dir_entry entry;
	struct dir_iter it;

	mlimg_erofs_dir_begin(&it, image, dir);
	for (; mlimg_erofs_dir_peek(&it, &entry); mlimg_erofs_dir_step(&it)) {
		size_t need = sizeof(struct erofs_dirent) + entry.size;

		if (used + need > EROFS_BLOCK_SIZE) {
			blocks++;
			used = 0;
		}
		used += need;
	}
	return blocks * EROFS_BLOCK_SIZE + used;
}

/* ---- times ---- */

struct time_of {
	int64_t s;
	uint32_t ns;
};

static int compare_times(const void *pa, const void *pb)
{
	const struct time_of *a = pa, *b = pb;

	if (a->s != b->s)
		return a->s < b->s ? -1 : 1;
	return (a->ns > b->ns) - (a->ns < b->ns);
}

/*
 * The most frequent time becomes the superblock's, so that most inodes can be compact. Among equals
 * the earliest.
 */
static int choose_build_time(struct mlimg_erofs *image, struct mlimg_err *err)
{
	size_t n = image->inodes.size, best = 0;
	mlimg_autofree struct time_of *times = reallocarray(NULL, n, sizeof(*times));

	if (!times)
		return mlimg_err_set(err, ENOMEM, "index");
	for (size_t i = 0; i < n; i++)
		times[i] =
			(struct time_of){image->inodes.at[i].mtime_s, image->inodes.at[i].mtime_ns};
	qsort(times, n, sizeof(*times), compare_times);
	for (size_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && !compare_times(&times[i], &times[j]);)
			j++;
		if (j - i > best) {
			best = j - i;
			image->build_time_s = times[i].s;
			image->build_time_ns = times[i].ns;
		}
	}
	return 0;
}

static bool can_be_compact(const struct mlimg_erofs *image, const struct inode *inode)
{
	return inode->mtime_s == image->build_time_s && inode->mtime_ns == image->build_time_ns &&
		inode->uid <= UINT16_MAX && inode->gid <= UINT16_MAX &&
		inode->nlink <= UINT16_MAX && inode->size_bytes <= UINT32_MAX;
}

/* ---- xattrs ---- */

static int size_xattrs(struct mlimg_erofs *image, struct inode *inode, struct mlimg_err *err)
{
	uint64_t size = sizeof(struct erofs_xattr_header);
	unsigned n_shared = 0;

	if (inode->first_xattr == NONE)
		return 0;
	for (uint32_t i = inode->first_xattr; i != NONE; i = image->refs.at[i].next) {
		const struct xattr *xattr = &image->xattrs.at[image->refs.at[i].id];

		if (xattr->refs > 1 && n_shared < UINT8_MAX) {
			n_shared++;
			size += sizeof(uint32_t);
		} else {
			size += xattr->size;
		}
	}
	if ((size - sizeof(struct erofs_xattr_header)) / 4 >= UINT16_MAX)
		return mlimg_err_refuse(err, "has %llu bytes of xattrs: EROFS takes %u",
			(unsigned long long)size, 4 * UINT16_MAX);
	inode->xattr_size = (uint32_t)size;
	return 0;
}

int mlimg_erofs_check_inode(struct mlimg_erofs *image, uint32_t ino, struct mlimg_err *err)
{
	struct inode *inode = &image->inodes.at[ino];
	int r = size_xattrs(image, inode, err);

	if (r < 0 || !mlimg_erofs_is_chunked(inode))
		return r;
	r = mlimg_erofs_choose_chunks(image, inode, err);
	if (r < 0)
		return r;
	image->n_chunks += mlimg_erofs_n_chunks(inode);
	if (image->n_chunks > CHUNKS_ALL_MAX)
		return mlimg_err_refuse(err,
			"is a file in %llu pieces: with it, all files have more than the %u that "
			"can be",
			(unsigned long long)mlimg_erofs_n_chunks(inode), CHUNKS_ALL_MAX);
	return 0;
}

/* ---- placing ---- */

struct placing {
	struct mlimg_erofs *image;
	uint64_t at;     /* next free byte among the inodes */
	uint64_t blocks; /* of the data area, so far */
	uint64_t n_placed;
};

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/*
 * Bytes from the beginning of the inode to the end of what lies behind it; decides whether a tail
 * does.
 */
static uint64_t footprint(struct inode *inode, uint64_t room)
{
	uint64_t fixed = mlimg_erofs_isize(inode) + inode->xattr_size;
	uint64_t tail = inode->size_bytes % EROFS_BLOCK_SIZE;

	if (mlimg_erofs_is_chunked(inode))
		return round_up(fixed, 8) + 8 * mlimg_erofs_n_chunks(inode);
	if (!(S_ISDIR(inode->mode) || inode->has_data) || !tail)
		return fixed;
	/* The kernel reads a symlink's target at once only when it lies behind the inode. */
	inode->has_tail = fixed + tail <= room ||
		(fixed + tail <= EROFS_BLOCK_SIZE && (tail <= TAIL_MAX || S_ISLNK(inode->mode)));
	return inode->has_tail ? fixed + tail : fixed;
}

static int place(struct placing *p, uint32_t ino, struct mlimg_err *err)
{
	struct inode *inode = &p->image->inodes.at[ino];
	uint64_t room, need, data_blocks;
	int r;

	if (S_ISDIR(inode->mode))
		inode->size_bytes = dir_size(p->image, ino);
	inode->is_compact = can_be_compact(p->image, inode);
	r = size_xattrs(p->image, inode, err);
	if (r == 0 && mlimg_erofs_is_chunked(inode))
		r = mlimg_erofs_choose_chunks(p->image, inode, err);
	if (r < 0)
		return r;
	p->at = round_up(p->at, EROFS_SLOT_SIZE);
	room = EROFS_BLOCK_SIZE - p->at % EROFS_BLOCK_SIZE;
	need = footprint(inode, room);
	/* Within one block wherever possible: one read, and tails must not cross. */
	if (need > room)
		p->at += room;
	if (p->at / EROFS_SLOT_SIZE > UINT32_MAX - 1)
		return mlimg_err_set(err, EFBIG, "index");
	inode->nid = (uint32_t)(p->at / EROFS_SLOT_SIZE);
	p->at += need;
	p->n_placed++;
	if (S_ISDIR(inode->mode) || inode->has_data) {
		data_blocks = inode->size_bytes / EROFS_BLOCK_SIZE +
			(inode->size_bytes % EROFS_BLOCK_SIZE && !inode->has_tail);
		inode->block = (uint32_t)p->blocks;
		p->blocks += data_blocks;
	}
	return 0;
}

/* Places what a directory names; returns its subdirectories, the first one on top of the stack. */
static int place_children(
	struct placing *p, uint32_t dir, uint32_t *stack, size_t *depth, struct mlimg_err *err)
{
	const struct inode *d = &p->image->inodes.at[dir];
	const struct name *names = p->image->names.at + d->first_name;
	int r;

	for (uint32_t i = 0; i < d->n_names; i++) {
		if (p->image->inodes.at[names[i].ino].nid)
			continue; /* another name of a file */
		r = place(p, names[i].ino, err);
		if (r < 0)
			return r;
	}
	for (uint32_t i = d->n_names; i-- > 0;)
		if (S_ISDIR(p->image->inodes.at[names[i].ino].mode))
			stack[(*depth)++] = names[i].ino;
	return 0;
}

static int place_all(struct placing *p, struct mlimg_err *err)
{
	/* Every directory is on the stack at most once: it has one name. */
	mlimg_autofree uint32_t *stack = reallocarray(NULL, p->image->inodes.size, sizeof(*stack));
	size_t depth = 0;
	int r;

	if (!stack)
		return mlimg_err_set(err, ENOMEM, "index");
	r = place(p, 0, err);
	stack[depth++] = 0;
	while (r == 0 && depth)
		r = place_children(p, stack[--depth], stack, &depth, err);
	if (r < 0)
		return r;
	if (p->n_placed != p->image->inodes.size)
		return mlimg_err_set(err, EINVAL, "inodes without a name: %llu",
			(unsigned long long)(p->image->inodes.size - p->n_placed));
	return 0;
}

static int place_shared_xattrs(struct mlimg_erofs *image, struct mlimg_err *err)
{
	uint64_t at = 0;

	image->xattr_block = image->n_blocks;
	for (size_t i = 0; i < image->xattrs.size; i++) {
		if (image->xattrs.at[i].refs < 2)
			continue;
		if (at / 4 > UINT32_MAX)
			return mlimg_err_set(err, EFBIG, "xattrs");
		image->xattrs.at[i].shared_id = (uint32_t)(at / 4);
		at += image->xattrs.at[i].size;
	}
	image->n_blocks += round_up(at, EROFS_BLOCK_SIZE) / EROFS_BLOCK_SIZE;
	if (!at)
		image->xattr_block = 0;
	return 0;
}

/* A tree stands on two blocks at least. */
static uint64_t end_of_tree(struct mlimg_erofs *image)
{
	struct mlimg_verity_levels levels;

	if (image->n_blocks < 2)
		image->n_blocks = 2;
	return mlimg_verity_levels(image->n_blocks, image->n_blocks * EROFS_BLOCK_SIZE, &levels)
		? levels.end_bytes / EROFS_BLOCK_SIZE
		: EROFS_NULL_ADDR;
}

/* Block numbers have 32 bits, and the greatest one means a hole. */
static int place_devices(struct mlimg_erofs *image, struct mlimg_err *err)
{
	uint64_t at = image->has_tree ? end_of_tree(image) : image->n_blocks;

	for (size_t i = 0; image->is_joined && i < image->devices.size; i++) {
		struct device *device = &image->devices.at[i];

		if (device->room >= EROFS_NULL_ADDR || at + device->room >= EROFS_NULL_ADDR)
			return mlimg_err_refuse(err,
				"is too large for one disk with its layers: %u blocks of %u bytes "
				"can be",
				EROFS_NULL_ADDR - 1, EROFS_BLOCK_SIZE);
		device->first_block = (uint32_t)at;
		at += device->room;
	}
	image->n_disk_blocks = image->is_joined ? at : image->n_blocks;
	return 0;
}

int mlimg_erofs_layout(struct mlimg_erofs *image, struct mlimg_err *err)
{
	struct placing p = {.image = image};
	int r;

	if (!image->inodes.size || !S_ISDIR(image->inodes.at[0].mode))
		return mlimg_err_set(err, EINVAL, "no root directory");
	r = sort_names(image, err);
	if (r == 0)
		r = choose_build_time(image, err);
	if (r < 0)
		return r;
	/*
	 * nids count from the beginning of the image, so that none is 0: readdir(3) leaves out
	 * entries with d_ino 0.
	 */
	p.at = round_up(EROFS_SB_OFFSET + sizeof(struct erofs_super), EROFS_DEVICE_SLOT_SIZE) +
		image->devices.size * EROFS_DEVICE_SLOT_SIZE;
	r = place_all(&p, err);
	if (r < 0)
		return r;
	if (image->inodes.at[0].nid > UINT16_MAX)
		return mlimg_err_set(err, E2BIG, "too many devices");
	image->data_block = round_up(p.at, EROFS_BLOCK_SIZE) / EROFS_BLOCK_SIZE;
	image->n_blocks = image->data_block + p.blocks;
	r = place_shared_xattrs(image, err);
	if (r == 0 && image->n_blocks >= EROFS_NULL_ADDR)
		r = mlimg_err_set(err, EFBIG, "index");
	return r < 0 ? r : place_devices(image, err);
}
