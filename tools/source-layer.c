/* SPDX-License-Identifier: MIT */
#include "tools/source-layer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "tools/ext4-data.h"
#include "tools/ext4-read.h"
#include "tools/inspect-layer.h"
#include "tools/manifest-diff.h"
#include "tools/mkfs-rules.h"
#include "tools/owner-map.h"
#include "tools/source-cursor.h"
#include "tools/source-upper.h"
#include "tools/user-pending.h"

MLIMG_DEFINE_CLEANUP(struct mlimg_upper, mlimg_upper_free)
MLIMG_DEFINE_CLEANUP(struct mlimg_manifest, mlimg_manifest_free)
MLIMG_DEFINE_CLEANUP(struct mlimg_manifest_diff, mlimg_manifest_diff_free)

/* Contents that are to have the digest of the stored manifest. */
struct promise {
	const struct mlimg_entry *stored;
	const struct mlimg_file *file;
};

struct reader {
	const char *name;
	struct mlimg_ext4 *fs;
	struct mlimg_cursor cursor;
	struct mlimg_upper *upper;             /* a user layer's */
	const struct mlimg_manifest *manifest; /* of the others */
	struct mlimg_manifest_diff *diff;
	size_t next; /* entry of the manifest */
	struct promise *promises;
	size_t n_promises, room;
	uint64_t stored_bytes; /* that the image can hold and that were not read yet */
	const char *path;      /* of the file that is read */
	char *hidden;          /* directory that is compared, but does not go into the tree */
};

static int refuse_entry(unsigned changes, const struct mlimg_entry *old_entry,
	const struct mlimg_entry *new_entry, void *ctx, struct mlimg_err *err)
{
	const struct reader *rd = ctx;

	return mlimg_err_refuse(err, "%.200s: './%s' is not what its manifest says", rd->name,
		(new_entry ? new_entry : old_entry)->path);
}

/* Compare with the manifest, all but contents, which are not read yet. */
static int check_entry(struct reader *rd, const struct mlimg_entry *entry,
	const struct mlimg_entry **ret_stored, struct mlimg_err *err)
{
	const struct mlimg_manifest *m = rd->manifest;
	struct mlimg_entry full = *entry;

	*ret_stored = NULL;
	if (!m)
		return 0;
	if (rd->next < m->n_entries && strcmp(m->entries[rd->next].path, entry->path) == 0)
		*ret_stored = &m->entries[rd->next++];
	if (*ret_stored && entry->type == MLIMG_FILE) {
		full.has_digest = true; /* a manifest without it cannot be trusted */
		memcpy(full.digest, (*ret_stored)->digest, sizeof(full.digest));
	}
	return mlimg_manifest_diff_feed(rd->diff, &full, err);
}

/* What costs its maker nothing is bounded: holes, and blocks that many files share. */
static int put_piece(const void *data, uint64_t size, void *ctx, struct mlimg_err *err)
{
	struct reader *rd = ctx;
	const struct mlimg_source_to *to = rd->cursor.to;
	uint64_t surplus = size;
	int r = 0;

	if (data) {
		surplus = size > rd->stored_bytes ? size - rd->stored_bytes : 0;
		rd->stored_bytes -= size - surplus;
	}
	if (surplus)
		r = mlimg_source_spend_hole(to, surplus, rd->path, err);
	if (r < 0)
		return r;
	return data ? mlimg_data_write(to->data, data, (size_t)size, err)
		    : mlimg_data_hole(to->data, size, err);
}

static int copy_file(struct reader *rd, const struct mlimg_entry *entry,
	const struct mlimg_entry *stored, const struct mlimg_ext4_inode *inode,
	struct mlimg_file *file, struct mlimg_err *err)
{
	const struct mlimg_source_to *to = rd->cursor.to;
	int r;

	if (stored) {
		if (mlimg_buffer_reserve(&rd->promises, &rd->room,
			    (rd->n_promises + 1) * sizeof(*rd->promises)) < 0)
			return mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
		rd->promises[rd->n_promises++] = (struct promise){.stored = stored, .file = file};
	}
	mlimg_data_begin(to->data, file, true);
	rd->path = entry->path;
	r = mlimg_ext4_read(rd->fs, inode, put_piece, rd, err);
	if (r == 0)
		r = mlimg_data_end(to->data, err);
	if (r == 0 && to->progress)
		mlimg_progress_add(to->progress, entry->size_bytes);
	return r;
}

static bool is_hidden(const struct reader *rd, const char *path)
{
	size_t size = rd->hidden ? strlen(rd->hidden) : 0;

	return size && strncmp(path, rd->hidden, size) == 0 && path[size] == '/';
}

static int put_entry(struct reader *rd, const struct mlimg_entry *entry,
	const struct mlimg_identity *id, struct mlimg_node **ret_node, struct mlimg_err *err)
{
	int r;

	*ret_node = NULL;
	if (rd->upper)
		return mlimg_upper_put(rd->upper, entry, id, ret_node, err);
	if (is_hidden(rd, entry->path))
		return 0;
	r = mlimg_cursor_put(&rd->cursor, entry, id, ret_node, err);
	if (r <= 0)
		return r;
	/* The manifest has what is in it, so the walk goes on. */
	free(rd->hidden);
	rd->hidden = strdup(entry->path);
	return rd->hidden ? 0 : mlimg_err_set(err, ENOMEM, "'%s'", entry->path);
}

static int visit(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode, void *ctx,
	struct mlimg_err *err)
{
	struct reader *rd = ctx;
	const struct mlimg_identity id = {.is_shared = entry->hardlink > 0, .b = inode->ino};
	const struct mlimg_entry *stored;
	struct mlimg_entry owned;
	struct mlimg_node *node;
	int r = check_entry(rd, entry, &stored, err);

	if (r == 0)
		r = mlimg_owner_map_apply(rd->cursor.to->owners, entry, &owned, err);
	if (r == 0)
		r = put_entry(rd, &owned, &id, &node, err);
	if (r != 0 || !node || entry->type != MLIMG_FILE)
		return r;
	return copy_file(rd, entry, stored, inode, node->inode->file, err);
}

static int check_digests(struct reader *rd, struct mlimg_err *err)
{
	int r = rd->n_promises ? mlimg_data_sync(rd->cursor.to->data, NULL, err) : 0;

	for (size_t i = 0; r == 0 && i < rd->n_promises; i++) {
		const struct promise *p = &rd->promises[i];

		if (memcmp(p->stored->digest, p->file->digest, sizeof(p->file->digest)) != 0)
			r = mlimg_err_refuse(err,
				"%.200s: './%s' has other contents than its manifest says",
				rd->name, p->stored->path);
	}
	return r;
}

static int read_layer(struct reader *rd, const struct mlimg_layer_info *info, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_manifest_free_cleanup) struct mlimg_manifest *manifest = NULL;
	mlimg_cleanup(mlimg_manifest_diff_free_cleanup) struct mlimg_manifest_diff *diff = NULL;
	int r = mlimg_inspect_read_manifest(rd->fs, info, &manifest, err);

	if (r == 0)
		r = mlimg_inspect_agree(rd->fs, info, manifest, err);
	if (r < 0)
		return r;
	diff = mlimg_manifest_diff_new(manifest, refuse_entry, rd);
	if (!diff)
		return mlimg_err_set(err, ENOMEM, "read '%s'", rd->name);
	rd->manifest = manifest;
	rd->diff = diff;
	r = mlimg_ext4_manifest_walk(rd->fs, 0, 0, visit, rd, err);
	if (r == 0)
		r = mlimg_manifest_diff_end(diff, err);
	return r < 0 ? r : check_digests(rd, err);
}

static int read_upper(struct reader *rd, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_upper_free_cleanup) struct mlimg_upper *upper = NULL;
	int r = mlimg_user_check_settled(rd->fs, err);

	if (r < 0)
		return r;
	r = mlimg_upper_new(&rd->cursor, MLIMG_UPPER_TRUSTED, &upper, err);
	if (r < 0)
		return r;
	rd->upper = upper;
	r = mlimg_ext4_manifest_walk(rd->fs, 0, 0, visit, rd, err);
	return r < 0 ? r : mlimg_upper_end(upper, err);
}

static int check_kind(
	const struct mlimg_layer_info *info, bool is_user, const char *path, struct mlimg_err *err)
{
	bool fits = is_user ? info->kind == MLIMG_USER
			    : info->kind == MLIMG_SYSTEM || info->kind == MLIMG_SOFTWARE;

	if (fits)
		return 0;
	return mlimg_err_refuse(err, "'%s' is a %s layer, which --form %s does not read", path,
		mlimg_kind_name(info->kind), is_user ? "user" : "layer");
}

/* What a layer has beside its tree. */
static int check_beside(const struct mlimg_layer_info *info, const char *path,
	const struct mlimg_source_to *to, struct mlimg_err *err)
{
	if (info->n_records)
		return mlimg_err_refuse(err,
			"'%s' keeps %s and maybe others as records beside its tree, which a new "
			"layer would lose",
			path, info->records[0].path);
	if (to->rules && mlimg_rules_loses(to->rules, info))
		return mlimg_err_refuse(err,
			"'%s' lists %s and maybe others for rebuilding, which a %s layer "
			"cannot: %s",
			path, info->rebuild[0], mlimg_kind_name(to->rules->kind),
			to->rules->kind == MLIMG_SYSTEM
				? "--allow caches makes it without"
				: "extract it, and make the new layer of that directory");
	if (to->rules)
		mlimg_rules_carry(to->rules, info);
	return 0;
}

int mlimg_source_read_layer(const char *path, bool is_user, const struct mlimg_source_to *to,
	enum mlimg_kind *ret_kind, struct mlimg_err *err)
{
	mlimg_autoext4 struct mlimg_ext4 *fs = NULL;
	struct reader rd = {.name = path, .cursor = {.to = to, .dir = to->top}};
	struct mlimg_layer_info info = {0};
	int r = mlimg_ext4_open(path, &fs, err);

	if (r == 0)
		r = mlimg_ext4_layer_info(fs, &info, err);
	if (r == 0)
		r = check_kind(&info, is_user, path, err);
	if (r == 0)
		r = check_beside(&info, path, to, err);
	rd.fs = fs;
	if (r == 0) {
		rd.stored_bytes = mlimg_ext4_super(fs)->n_blocks * MLIMG_EXT4_BLOCK;
		mlimg_tree_begin_level(to->tree, to->has_beneath);
		r = is_user ? read_upper(&rd, err) : read_layer(&rd, &info, err);
	}
	if (r == 0 && ret_kind)
		*ret_kind = info.kind;
	mlimg_layer_info_done(&info);
	mlimg_links_done(&rd.cursor.links);
	free(rd.promises);
	free(rd.hidden);
	return r;
}
