/* SPDX-License-Identifier: MIT */
#include "libmlimg/compose-parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/accounts-layers.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/whiteout.h"

static const struct mlimg_layer_records *find_records(
	const struct mlimg_layer_info *info, const char *path)
{
	for (size_t i = 0; i < info->n_records; i++)
		if (strcmp(info->records[i].path, path) == 0)
			return &info->records[i];
	return NULL;
}

/* ---- where things are ---- */

/* The directory that @path is in; the root is in itself. */
static void parent_of(const char *path, char ret_dir[MLIMG_PATH_MAX + 1])
{
	const char *slash = strrchr(path, '/');
	size_t size = slash ? (size_t)(slash - path) : 0;

	memmove(ret_dir, path, size);
	ret_dir[size] = '\0';
}

bool mlimg_compose_hides(const struct mlimg_manifest *layer, const char *path)
{
	char dir[MLIMG_PATH_MAX + 1];

	for (parent_of(path, dir); *dir; parent_of(dir, dir)) {
		const struct mlimg_entry *e = mlimg_manifest_find(layer, dir);

		if (e && (e->type != MLIMG_DIR || mlimg_entry_is_opaque(e)))
			return true;
	}
	return false;
}

int mlimg_compose_refuse(const struct mlimg_compose_layers *layers, size_t layer,
	const struct mlimg_entry *e, const char *wanted, struct mlimg_err *err)
{
	return mlimg_err_refuse(err,
		"layer '%s': '/%s' is no %s (type %s), but layers above have records for it",
		layers->infos[layer]->name, e->path, wanted, mlimg_type_name(e->type));
}

static void take_time(struct mlimg_compose_parts *parts, const struct mlimg_entry *e)
{
	if (!e || e->mtime_s < parts->mtime_s ||
		(e->mtime_s == parts->mtime_s && e->mtime_ns < parts->mtime_ns))
		return;
	parts->mtime_s = e->mtime_s;
	parts->mtime_ns = e->mtime_ns;
}

static void take_records(struct mlimg_compose_parts *parts,
	const struct mlimg_compose_layers *layers, size_t layer,
	const struct mlimg_layer_records *records)
{
	char dir[MLIMG_PATH_MAX + 1];

	parts->changes[parts->n_records].layer = layer;
	parts->changes[parts->n_records++].records = records;
	parent_of(records->path, dir);
	take_time(parts, mlimg_manifest_find(layers->manifests[layer], dir));
}

/* The table in the header. */
int mlimg_compose_find(const struct mlimg_compose_layers *layers, const char *path,
	struct mlimg_compose_parts *ret_parts, struct mlimg_err *err)
{
	*ret_parts = (struct mlimg_compose_parts){.n_records = 0};
	for (size_t i = layers->n; i-- > 0;) {
		const struct mlimg_entry *e = mlimg_manifest_find(layers->manifests[i], path);
		const struct mlimg_layer_records *records = find_records(layers->infos[i], path);
		bool is_whiteout = e && mlimg_entry_is_whiteout(e);

		if (e && e->type == MLIMG_FILE) {
			ret_parts->base = e;
			ret_parts->base_layer = i;
			take_time(ret_parts, e);
			return 0;
		}
		if (e && !is_whiteout && (records || ret_parts->n_records))
			return mlimg_compose_refuse(layers, i, e, "file", err);
		if (records)
			take_records(ret_parts, layers, i, records);
		else if (e || mlimg_compose_hides(layers->manifests[i], path))
			return 0;
	}
	return 0;
}

/* ---- contents ---- */

int mlimg_compose_read_base(const struct mlimg_compose_layers *layers,
	const struct mlimg_compose_parts *parts, char **ret_text, size_t *ret_size,
	struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	int r = layers->read_file(
		layers->ctx, parts->base_layer, parts->base, ret_text, ret_size, err);

	if (r < 0)
		return r;
	mlimg_sha256_of(*ret_text, *ret_size, digest);
	if (parts->base->has_digest && memcmp(digest, parts->base->digest, sizeof(digest)) != 0)
		return mlimg_err_refuse(err, "its contents are not what its manifest says");
	return 0;
}

int mlimg_compose_read_records(const struct mlimg_compose_layers *layers, size_t layer,
	const struct mlimg_layer_records *records, char **ret_text, size_t *ret_size,
	struct mlimg_err *err)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	char hex[MLIMG_SHA256_HEX_SIZE];
	int r = layers->read_records(layers->ctx, layer, records, ret_text, ret_size, err);

	if (r < 0)
		return r;
	mlimg_sha256_of(*ret_text, *ret_size, digest);
	mlimg_sha256_hex(digest, hex);
	if (strcmp(hex, records->digest) != 0)
		return mlimg_err_refuse(
			err, "its records have digest %.20s, not %.20s", hex, records->digest);
	return 0;
}

/* A text that grows from layer to layer. */
struct growing {
	char *text;
	size_t size;
};

/* With the ids that its accounts have in the stack. */
static int read_moved(const struct mlimg_compose_layers *layers, size_t layer,
	const struct mlimg_layer_records *records, const struct mlimg_owner_moves *moves,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_compose_read_records(layers, layer, records, &text, &size, err);

	if (r < 0)
		return r;
	if (!moves || mlimg_owner_moves_is_empty(&moves[layer])) {
		*ret_text = mlimg_steal(&text);
		*ret_size = size;
		return 0;
	}
	r = mlimg_accounts_move(mlimg_accounts_file_of(records->path),
		(struct mlimg_records_text){text, size}, &moves[layer], ret_text, ret_size);
	return r < 0 ? mlimg_err_set(err, r, "compose") : 0;
}

static int apply(const struct mlimg_compose_layers *layers, size_t layer,
	const struct mlimg_layer_records *records, const struct mlimg_owner_moves *moves,
	struct growing *g, struct mlimg_err *err)
{
	mlimg_autofree char *change = NULL;
	struct mlimg_records_text one = {.size = 0};
	struct growing next;
	int r = read_moved(layers, layer, records, moves, &change, &one.size, err);

	one.text = change;
	if (r == 0)
		r = mlimg_records_compose(mlimg_records_form_of(records->path),
			(struct mlimg_records_text){g->text, g->size}, &one, 1, &next.text,
			&next.size, err);
	if (r < 0)
		return r;
	free(g->text);
	*g = next;
	return 0;
}

/* Refused by itself, so that what is wrong in the file is not said of the layer above it. */
static int check_base(const char *path, const struct growing *g, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;

	return mlimg_records_compose(mlimg_records_form_of(path),
		(struct mlimg_records_text){g->text, g->size}, NULL, 0, &text, &size, err);
}

int mlimg_compose_join(const struct mlimg_compose_layers *layers, const char *path,
	const struct mlimg_compose_parts *parts, const struct mlimg_owner_moves *moves,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	size_t layer = parts->base_layer;
	struct growing g = {.text = NULL};
	int r = 0;

	if (parts->base) {
		r = mlimg_compose_read_base(layers, parts, &g.text, &g.size, err);
		if (r == 0 && parts->n_records)
			r = check_base(path, &g, err);
	} else {
		g.text = calloc(1, 1);
		r = g.text ? 0 : mlimg_err_set(err, ENOMEM, "compose");
	}
	for (size_t i = parts->n_records; r == 0 && i-- > 0;) {
		layer = parts->changes[i].layer;
		r = apply(layers, layer, parts->changes[i].records, moves, &g, err);
	}
	if (r < 0) {
		free(g.text);
		return mlimg_err_wrap(
			err, r, "layer '%s': '/%s'", layers->infos[layer]->name, path);
	}
	*ret_text = g.text;
	*ret_size = g.size;
	return 0;
}

/* Who builds on layers would have to see the owners of their files moved as well. */
static int refuse_moves(const struct mlimg_compose_layers *layers, struct mlimg_err *err)
{
	struct mlimg_owner_moves *moves;
	int r = mlimg_compose_find_moves(layers, &moves, err);

	for (size_t i = 0; r == 0 && moves && i < layers->n; i++)
		if (!mlimg_owner_moves_is_empty(&moves[i]))
			r = mlimg_err_refuse(err,
				"layer '%s': its %s id %u is another one's in a layer beneath that "
				"it "
				"was not made over",
				layers->infos[i]->name, moves[i].n_uids ? "user" : "group",
				moves[i].n_uids ? moves[i].uids[0].from : moves[i].gids[0].from);
	mlimg_compose_moves_free(moves, layers->n);
	return r;
}

int mlimg_compose_text(const struct mlimg_compose_layers *layers, const char *path, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	struct mlimg_compose_parts parts;
	int r = mlimg_compose_find(layers, path, &parts, err);

	if (r == 0 && mlimg_records_is_accounts(mlimg_records_form_of(path)))
		r = refuse_moves(layers, err);
	return r < 0 ? r : mlimg_compose_join(layers, path, &parts, NULL, ret_text, ret_size, err);
}
