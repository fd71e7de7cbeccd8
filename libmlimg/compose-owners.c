/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/accounts-layers.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/compose-parts.h"

/* The texts of users and groups, by layer. */
struct texts {
	const struct mlimg_compose_layers *layers;
	struct mlimg_accounts_layer *list;
	char **owned; /* two of each layer */
	struct mlimg_err *err;
};

static int read_one(struct texts *t, const char *path, const struct mlimg_compose_parts *parts,
	size_t i, bool is_group)
{
	bool is_base = i == parts->n_records;
	size_t layer = is_base ? parts->base_layer : parts->changes[i].layer, size;
	char **owned = &t->owned[2 * layer + is_group];
	int r;

	if (is_base)
		r = mlimg_compose_read_base(t->layers, parts, owned, &size, t->err);
	else
		r = mlimg_compose_read_records(
			t->layers, layer, parts->changes[i].records, owned, &size, t->err);
	if (r < 0)
		return mlimg_err_wrap(
			t->err, r, "layer '%s': '/%s'", t->layers->infos[layer]->name, path);
	*(is_group ? &t->list[layer].group : &t->list[layer].passwd) =
		(struct mlimg_records_text){*owned, size};
	return 0;
}

/* @return 1 when there are records, so that ids may meet */
static int read_texts(struct texts *t, enum mlimg_accounts_file file)
{
	const char *path = mlimg_accounts_path(file);
	struct mlimg_compose_parts parts;
	int r = mlimg_compose_find(t->layers, path, &parts, t->err);

	if (r < 0 || !parts.n_records)
		return r;
	for (size_t i = 0; i < parts.n_records + (parts.base != NULL) && r == 0; i++)
		r = read_one(t, path, &parts, i, file == MLIMG_GROUP);
	return r < 0 ? r : 1;
}

static int find(struct texts *t, struct mlimg_owner_moves *moves)
{
	int users = read_texts(t, MLIMG_PASSWD), groups;

	if (users < 0)
		return users;
	groups = read_texts(t, MLIMG_GROUP);
	if (groups < 0 || users + groups == 0)
		return groups;
	return mlimg_accounts_find_moves(t->list, t->layers->n, moves, t->err);
}

int mlimg_compose_find_moves(const struct mlimg_compose_layers *layers,
	struct mlimg_owner_moves **ret_moves, struct mlimg_err *err)
{
	size_t n = layers->n;
	mlimg_autofree struct mlimg_accounts_layer *list = calloc(n + 1, sizeof(*list));
	mlimg_autofree char **owned = calloc(2 * n + 1, sizeof(*owned));
	struct mlimg_owner_moves *moves = calloc(n + 1, sizeof(*moves));
	struct texts t = {.layers = layers, .list = list, .owned = owned, .err = err};
	bool is_empty = true;
	int r = 0;

	*ret_moves = NULL;
	if (!list || !owned || !moves)
		r = mlimg_err_set(err, ENOMEM, "compose");
	for (size_t i = 0; i < n && r == 0; i++)
		list[i].info = layers->infos[i];
	if (r == 0)
		r = find(&t, moves);
	for (size_t i = 0; owned && i < 2 * n; i++)
		free(owned[i]);
	for (size_t i = 0; moves && i < n; i++)
		is_empty &= mlimg_owner_moves_is_empty(&moves[i]);
	if (r < 0 || is_empty)
		mlimg_compose_moves_free(moves, n);
	else
		*ret_moves = moves;
	return r;
}

void mlimg_compose_moves_free(struct mlimg_owner_moves *moves, size_t n)
{
	for (size_t i = 0; moves && i < n; i++)
		mlimg_accounts_moves_done(&moves[i]);
	free(moves);
}

bool mlimg_compose_shows(
	const struct mlimg_compose_layers *layers, size_t layer, const struct mlimg_entry *e)
{
	for (size_t i = layer + 1; i < layers->n; i++)
		if (mlimg_manifest_find(layers->manifests[i], e->path) ||
			mlimg_compose_hides(layers->manifests[i], e->path))
			return false;
	return true;
}
