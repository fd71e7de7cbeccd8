/* SPDX-License-Identifier: MIT */
/*
 * What makes a file system a layer: its description, the stored manifest, and the manifest of what
 * is really there.
 */
#include <errno.h>
#include <stdlib.h>

#include "libmlimg/patch.h"
#include "tools/ext4-read-impl.h"

#define LAYER_JSON "/mlimg/layer.json"
#define MANIFEST "/mlimg/manifest"

int mlimg_ext4_layer_info(
	struct mlimg_ext4 *fs, struct mlimg_layer_info *ret_info, struct mlimg_err *err)
{
	struct mlimg_layer_info info = {0};
	mlimg_autofree char *text = NULL;
	uint8_t uuid[MLIMG_UUID_SIZE];
	size_t size;
	int ret =
		mlimg_ext4_read_file(fs, "/", LAYER_JSON, MLIMG_LAYER_JSON_MAX, &text, &size, err);

	if (ret == -ENOENT || ret == -ENOTDIR)
		return ext4_refuse(fs, err, "is no layer: there is no %s in it", LAYER_JSON);
	if (ret < 0)
		return ret;
	ret = mlimg_layer_from_json(text, size, &info, err);
	if (ret < 0)
		return mlimg_err_wrap(err, ret, "%s: %s", fs->name, LAYER_JSON);
	if (info.kind != fs->super.kind)
		ret = ext4_refuse(fs, err, "its label says kind %s, %s says %s",
			mlimg_kind_name(fs->super.kind), LAYER_JSON, mlimg_kind_name(info.kind));
	else if (!mlimg_layer_uuid(info.build_id, uuid) ||
		memcmp(uuid, fs->super.uuid, sizeof(uuid)) != 0)
		ret = ext4_refuse(fs, err, "its UUID is not that of build id %.20s in %s",
			info.build_id, LAYER_JSON);
	if (ret < 0)
		mlimg_layer_info_done(&info);
	else
		*ret_info = info;
	return ret;
}

int mlimg_ext4_manifest_stored(struct mlimg_ext4 *fs, const char *build_id, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	uint8_t digest[MLIMG_SHA256_SIZE];
	char hex[MLIMG_SHA256_HEX_SIZE];
	size_t size;
	int ret =
		mlimg_ext4_read_file(fs, "/", MANIFEST, MLIMG_EXT4_MANIFEST_MAX, &text, &size, err);

	if (ret == -ENOENT || ret == -ENOTDIR)
		return ext4_refuse(fs, err, "there is no %s in it", MANIFEST);
	if (ret < 0)
		return ret;
	mlimg_sha256_of(text, size, digest);
	mlimg_sha256_hex(digest, hex);
	if (strcmp(hex, build_id) != 0)
		return ext4_refuse(fs, err, "its manifest has digest %.20s, its build id is %.20s",
			hex, build_id);
	*ret_text = mlimg_steal(&text);
	*ret_size = size;
	return 0;
}

/* An inode with several names. */
struct group {
	uint32_t ino;
	uint32_t n_names; /* within the tree */
	uint32_t number;  /* 0 as long as no name has been seen */
	bool has_digest;
	uint8_t digest[MLIMG_SHA256_SIZE];
};

struct manifest_walk {
	struct mlimg_ext4 *fs;
	mlimg_ext4_walk_fn *fn;
	mlimg_walk_skip_fn *skip; /* NULL: nothing may be passed over */
	void *ctx;
	bool with_data;
	uint64_t bytes_left; /* that may be digested */
	uint64_t holes_max, holes_left;
	struct group *groups; /* sorted by ino after the first walk */
	size_t n_groups, room;
	uint32_t last_number;
	uint64_t blocks_left;       /* that may be digested; no block is read twice */
	struct ext4_shared *shared; /* where files may share blocks; else NULL */
};

static int by_ino(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static int note_name(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode,
	void *ctx, struct mlimg_err *err)
{
	struct manifest_walk *m = ctx;

	if (inode->type == MLIMG_DIR || inode->nlink < 2)
		return 0;
	if (m->n_groups == m->room) {
		size_t room = m->room ? 2 * m->room : 64;
		void *groups = realloc(m->groups, room * sizeof(*m->groups));

		if (!groups)
			return ext4_fail(m->fs, err, ENOMEM, "hard links");
		m->groups = groups;
		m->room = room;
	}
	m->groups[m->n_groups++] = (struct group){.ino = inode->ino, .n_names = 1};
	return 0;
}

/* From one element for each name to one for each inode. */
static void unite_names(struct manifest_walk *m)
{
	size_t n = 0;

	if (m->n_groups)
		qsort(m->groups, m->n_groups, sizeof(*m->groups), by_ino);
	for (size_t i = 0; i < m->n_groups; i++) {
		if (n && m->groups[n - 1].ino == m->groups[i].ino)
			m->groups[n - 1].n_names++;
		else
			m->groups[n++] = m->groups[i];
	}
	m->n_groups = n;
}

/* Bytes of a file that lie nowhere. */
static uint64_t count_holes(
	const struct mlimg_ext4_inode *inode, const struct mlimg_ext4_extent *extents, size_t n)
{
	uint64_t holes = inode->size_bytes;

	for (size_t i = 0; i < n; i++) {
		uint64_t size = extents[i].n_blocks * (uint64_t)MLIMG_EXT4_BLOCK;

		if (!extents[i].is_unwritten)
			holes -= size < holes ? size : holes;
	}
	return holes;
}

static int digest_once(struct manifest_walk *m, const struct mlimg_ext4_inode *inode,
	const struct mlimg_ext4_extent *extents, size_t n, uint8_t *ret_digest,
	struct mlimg_err *err)
{
	uint64_t holes = count_holes(inode, extents, n);

	if (holes > m->holes_left)
		return ext4_refuse(m->fs, err,
			"with its holes, there are more than %llu bytes of them in the tree; "
			"--limit allows more",
			(unsigned long long)m->holes_max);
	m->holes_left -= holes;
	for (size_t i = 0; i < n; i++) {
		if (extents[i].n_blocks > m->blocks_left)
			return ext4_refuse(m->fs, err,
				"inode %u: its blocks belong to other files too", inode->ino);
		m->blocks_left -= extents[i].n_blocks;
	}
	return mlimg_ext4_digest(m->fs, inode, ret_digest, err);
}

static int digest_shared(struct manifest_walk *m, const struct mlimg_ext4_inode *inode,
	const struct mlimg_ext4_extent *extents, size_t n, uint8_t *ret_digest,
	struct mlimg_err *err)
{
	uint8_t places[MLIMG_SHA256_SIZE];
	const uint8_t *known;
	int ret;

	ext4_shared_places(inode, extents, n, places);
	known = ext4_shared_find(m->shared, places);
	if (known) {
		memcpy(ret_digest, known, MLIMG_SHA256_SIZE);
		return 0;
	}
	ret = digest_once(m, inode, extents, n, ret_digest, err);
	if (ret == 0 && ext4_shared_add(m->shared, places, ret_digest) < 0)
		ret = ext4_fail(m->fs, err, ENOMEM, "shared contents");
	return ret;
}

static int digest_data(struct manifest_walk *m, const struct mlimg_ext4_inode *inode,
	uint8_t *ret_digest, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_ext4_extent *extents = NULL;
	size_t n = 0;
	int ret = mlimg_ext4_extents(m->fs, inode, &extents, &n, err);

	if (ret == 0 && inode->size_bytes > m->bytes_left)
		return ext4_refuse(m->fs, err,
			"inode %u: there is more in the tree than there may be", inode->ino);
	if (ret < 0)
		return ret;
	m->bytes_left -= inode->size_bytes;
	return m->shared ? digest_shared(m, inode, extents, n, ret_digest, err)
			 : digest_once(m, inode, extents, n, ret_digest, err);
}

static int complete(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode,
	void *ctx, struct mlimg_err *err)
{
	struct manifest_walk *m = ctx;
	const struct group key = {.ino = inode->ino};
	struct mlimg_entry full = *entry;
	struct group *group = NULL;
	bool is_reference = m->fs->super.kind == MLIMG_PATCH && mlimg_entry_has_reference(entry);
	int ret = 0;

	if (inode->type != MLIMG_DIR && m->n_groups)
		group = bsearch(&key, m->groups, m->n_groups, sizeof(*m->groups), by_ino);
	if (group && group->n_names > 1) {
		if (!group->number)
			group->number = ++m->last_number;
		full.hardlink = group->number;
		full.nlink = group->n_names;
	}
	full.has_digest = m->with_data && inode->type == MLIMG_FILE && !is_reference;
	if (full.has_digest && group && group->has_digest)
		memcpy(full.digest, group->digest, sizeof(full.digest));
	else if (full.has_digest)
		ret = digest_data(m, inode, full.digest, err);
	if (ret == 0 && full.has_digest && group) {
		memcpy(group->digest, full.digest, sizeof(full.digest));
		group->has_digest = true;
	}
	return ret < 0 ? ret : m->fn(&full, inode, m->ctx, err);
}

/* The walk that comes after tells of it. */
static void pass_over(const char *path, int error, bool was_visited, void *ctx)
{
}

static void tell(const char *path, int error, bool was_visited, void *ctx)
{
	const struct manifest_walk *m = ctx;

	m->skip(path, error, was_visited, m->ctx);
}

/* How many names an inode has within the tree is known only after all of it has been seen. */
static int walk_twice(struct manifest_walk *m, struct mlimg_err *err)
{
	struct mlimg_ext4 *fs = m->fs;
	struct mlimg_ext4_inode root;
	int ret = mlimg_ext4_lookup(fs, mlimg_kind_tree(fs->super.kind), "", false, &root, err);

	if (ret == 0)
		ret = mlimg_ext4_walk_lenient(
			fs, &root, note_name, m->skip ? pass_over : NULL, m, err);
	unite_names(m);
	if (ret == 0)
		ret = mlimg_ext4_walk_lenient(fs, &root, complete, m->skip ? tell : NULL, m, err);
	free(m->groups);
	return ret;
}

int mlimg_ext4_manifest_walk_lenient(struct mlimg_ext4 *fs, mlimg_ext4_walk_fn *fn,
	mlimg_walk_skip_fn *skip, void *ctx, struct mlimg_err *err)
{
	struct manifest_walk m = {.fs = fs, .fn = fn, .skip = skip, .ctx = ctx};

	return walk_twice(&m, err);
}

int mlimg_ext4_manifest_walk(struct mlimg_ext4 *fs, uint64_t data_max, uint64_t holes_max,
	mlimg_ext4_walk_fn *fn, void *ctx, struct mlimg_err *err)
{
	struct manifest_walk m = {.fs = fs,
		.fn = fn,
		.ctx = ctx,
		.with_data = data_max > 0,
		.bytes_left = data_max,
		.holes_max = holes_max,
		.holes_left = holes_max,
		.blocks_left = fs->super.n_blocks};
	int ret;

	if (ext2fs_has_feature_shared_blocks(fs->ext2->super)) {
		m.shared = ext4_shared_new();
		if (!m.shared)
			return ext4_fail(fs, err, ENOMEM, "shared contents");
	}
	ret = walk_twice(&m, err);
	ext4_shared_free(m.shared);
	return ret;
}
