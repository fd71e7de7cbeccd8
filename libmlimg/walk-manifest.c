/* SPDX-License-Identifier: MIT */
/* A whole tree as a manifest: a visitor of the walker that finds hard links and digests. */
#include "libmlimg/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/walk-xattr.h"
#include "libmlimg/whiteout.h"

/* One inode that has several names, perhaps some of them outside the tree. */
struct inode {
	dev_t dev;
	ino_t ino;
	size_t first; /* entry */
	uint32_t names, group;
};

struct building {
	struct mlimg_manifest *m;
	struct inode *inodes;
	size_t n_inodes, inodes_room;
	uint32_t *table; /* open addressing; index into inodes plus 1, 0 is free */
	size_t table_size;
	bool has_digests, has_flags;
	size_t memory_max; /* 0: no limits */
	mlimg_walk_skip_fn *skip;
	void *skip_ctx;
};

int mlimg_digest_fd(int fd, uint8_t ret_digest[MLIMG_SHA256_SIZE], uint64_t *ret_size)
{
	mlimg_autofree char *block = malloc(1 << 17);
	struct mlimg_sha256 sha;
	uint64_t size = 0;
	ssize_t n;

	if (!block)
		return -ENOMEM;
	mlimg_sha256_init(&sha);
	while ((n = read(fd, block, 1 << 17)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		mlimg_sha256_add(&sha, block, (size_t)n);
		size += (uint64_t)n;
	}
	mlimg_sha256_end(&sha, ret_digest);
	if (ret_size)
		*ret_size = size;
	return 0;
}

static size_t slot_of(const struct building *b, dev_t dev, ino_t ino)
{
	uint64_t hash = ((uint64_t)ino ^ (uint64_t)dev << 40) * 0x9e3779b97f4a7c15u;
	size_t slot = (size_t)(hash >> 20) & (b->table_size - 1);

	while (b->table[slot]) {
		const struct inode *i = &b->inodes[b->table[slot] - 1];

		if (i->dev == dev && i->ino == ino)
			break;
		slot = (slot + 1) & (b->table_size - 1);
	}
	return slot;
}

static int grow_table(struct building *b)
{
	size_t size = b->table_size ? b->table_size * 2 : 1024;
	uint32_t *bigger;

	if (2 * (b->n_inodes + 1) <= b->table_size)
		return 0;
	bigger = calloc(size, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	free(b->table);
	b->table = bigger;
	b->table_size = size;
	for (size_t i = 0; i < b->n_inodes; i++)
		b->table[slot_of(b, b->inodes[i].dev, b->inodes[i].ino)] = (uint32_t)i + 1;
	return 0;
}

/* Counts a name of an inode, and leaves in @entry which inode it is (index plus 1). */
static int count_name(struct building *b, struct mlimg_entry *entry, const struct stat *st)
{
	size_t slot;

	if (grow_table(b) < 0 ||
		mlimg_buffer_reserve(
			&b->inodes, &b->inodes_room, (b->n_inodes + 1) * sizeof(*b->inodes)) < 0)
		return -ENOMEM;
	slot = slot_of(b, st->st_dev, st->st_ino);
	if (!b->table[slot]) {
		b->inodes[b->n_inodes++] = (struct inode){.dev = st->st_dev,
			.ino = st->st_ino,
			.first = (size_t)(entry - b->m->entries)};
		b->table[slot] = (uint32_t)b->n_inodes;
	}
	b->inodes[b->table[slot] - 1].names++;
	entry->hardlink = b->table[slot];
	return 0;
}

static int digest_file(
	struct mlimg_entry *entry, const struct mlimg_walk_at *at, struct mlimg_err *err)
{
	mlimg_autoclose int fd = -1;
	uint64_t size;
	int r;

	/* O_NONBLOCK: what was a file when it was looked at may be a FIFO by now. */
	fd = openat(at->parent_fd, at->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", entry->path);
	r = mlimg_digest_fd(fd, entry->digest, &size);
	if (r < 0)
		return mlimg_err_set(err, r, "read '%s'", entry->path);
	if (size != entry->size_bytes)
		return mlimg_err_set(err, ESTALE, "'%s' changed while it was read", entry->path);
	entry->has_digest = true;
	return 0;
}

/* A further name of an inode: its contents have been read already. */
static bool take_digest(const struct building *b, struct mlimg_entry *entry)
{
	const struct mlimg_entry *first;

	if (!entry->hardlink)
		return false;
	first = &b->m->entries[b->inodes[entry->hardlink - 1].first];
	if (!first->has_digest)
		return false;
	memcpy(entry->digest, first->digest, sizeof(entry->digest));
	entry->has_digest = true;
	return true;
}

static size_t xattrs_size(const struct mlimg_entry *e)
{
	size_t size = 0;

	for (uint32_t i = 0; i < e->n_xattrs; i++)
		size += strlen(e->xattrs[i].name) + e->xattrs[i].size;
	return size;
}

/* @return 0; 1 when the entry is passed over, and told; -E2BIG */
static int check_bounds(struct building *b, const struct mlimg_entry *e, struct mlimg_err *err)
{
	if (mlimg_manifest_memory(b->m) > b->memory_max)
		return mlimg_err_set(err, E2BIG, "names and attributes of more than %zu MiB",
			b->memory_max >> 20);
	if (xattrs_size(e) <= MLIMG_WALK_XATTRS_SIZE_MAX)
		return 0;
	if (!b->skip)
		return mlimg_err_set(err, E2BIG, "read extended attributes of '%s'", e->path);
	b->skip(e->path, -E2BIG, false, b->skip_ctx);
	return 1;
}

/* @return 0, -ENOMEM. What cannot be asked has none */
static int read_flags(
	const struct building *b, struct mlimg_entry *entry, const struct mlimg_walk_at *at)
{
	int dirfd = at->parent_fd < 0 ? at->root_fd : at->parent_fd;
	struct statx st;

	if (!b->has_flags || (entry->type != MLIMG_FILE && entry->type != MLIMG_DIR) ||
		statx(dirfd, at->name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0,
			&st) < 0)
		return 0;
	return mlimg_entry_mark_flags(b->m->arena, entry, st.stx_attributes & STATX_ATTR_APPEND,
		st.stx_attributes & STATX_ATTR_IMMUTABLE);
}

static int add(const struct mlimg_entry *seen, const struct mlimg_walk_at *at, void *ctx,
	struct mlimg_err *err)
{
	struct building *b = ctx;
	struct mlimg_entry *entry;
	int r = b->memory_max ? check_bounds(b, seen, err) : 0;

	if (r != 0)
		return r;
	if (b->m->n_entries >= MLIMG_ENTRIES_MAX)
		return mlimg_err_set(err, E2BIG, "more than %d entries", MLIMG_ENTRIES_MAX);
	entry = mlimg_manifest_add(b->m, seen);
	if (!entry)
		return mlimg_err_set(err, ENOMEM, "read a tree");
	if (read_flags(b, entry, at) < 0)
		return mlimg_err_set(err, ENOMEM, "read a tree");
	if (entry->type != MLIMG_DIR && at->st->st_nlink > 1 && count_name(b, entry, at->st) < 0)
		return mlimg_err_set(err, ENOMEM, "read a tree");
	if (entry->type != MLIMG_FILE || !b->has_digests || take_digest(b, entry))
		return 0;
	return digest_file(entry, at, err);
}

/*
 * Inodes that turned out to have one name in the tree are no groups; the others are numbered in
 * order.
 */
static void number_groups(struct building *b)
{
	uint32_t groups = 0;

	for (size_t i = 0; i < b->n_inodes; i++)
		if (b->inodes[i].names > 1)
			b->inodes[i].group = ++groups;
	for (size_t i = 0; i < b->m->n_entries; i++) {
		struct mlimg_entry *e = &b->m->entries[i];

		if (e->hardlink) {
			const struct inode *inode = &b->inodes[e->hardlink - 1];

			e->hardlink = inode->group;
			e->nlink = inode->names;
		}
	}
}

static void skip(const char *path, int error, bool was_visited, void *ctx)
{
	struct building *b = ctx;

	b->skip(path, error, was_visited, b->skip_ctx);
}

int mlimg_walk_manifest_lenient(int root_fd, unsigned flags, bool has_digests, size_t memory_max,
	mlimg_walk_skip_fn *skip_fn, void *ctx, struct mlimg_manifest **ret_manifest,
	struct mlimg_err *err)
{
	struct building b = {.m = mlimg_manifest_new(),
		.has_digests = has_digests,
		.has_flags = flags & MLIMG_WALK_FLAGS,
		.memory_max = memory_max,
		.skip = skip_fn,
		.skip_ctx = ctx};
	int r;

	if (!b.m)
		return mlimg_err_set(err, ENOMEM, "read a tree");
	r = mlimg_walk_lenient(root_fd, flags, add, skip_fn ? skip : NULL, &b, err);
	if (r == 0)
		number_groups(&b);
	free(b.inodes);
	free(b.table);
	if (r < 0) {
		mlimg_manifest_free(b.m);
		return r;
	}
	*ret_manifest = b.m;
	return 0;
}

int mlimg_walk_manifest(int root_fd, unsigned flags, bool has_digests,
	struct mlimg_manifest **ret_manifest, struct mlimg_err *err)
{
	return mlimg_walk_manifest_lenient(
		root_fd, flags, has_digests, 0, NULL, NULL, ret_manifest, err);
}
