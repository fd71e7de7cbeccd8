/* SPDX-License-Identifier: MIT */
#include "libmlimg/accounts-layers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/accounts-parse.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/text.h"

#define SMALL_IDS 65536

/* An account that is there. */
struct owner {
	const char *key;
	uint32_t id;
	size_t layer;
};

/* Users or groups while their layers are gone through. */
struct stack {
	const struct mlimg_accounts_layer *layers;
	size_t n;
	enum mlimg_accounts_file file;
	struct mlimg_owner_moves *moves;
	struct mlimg_account_list *lists; /* of each layer */
	struct owner *owners;
	size_t n_owners, room;
	uint8_t taken[SMALL_IDS / 8];
	struct mlimg_arena *arena;
	struct mlimg_err *err;
};

static int no_memory(const struct stack *s)
{
	return mlimg_err_set(s->err, ENOMEM, "accounts");
}

static const char *name_of(const struct stack *s, size_t layer)
{
	return s->layers[layer].info->name;
}

static const struct owner *find_name(const struct stack *s, const char *key)
{
	for (size_t i = s->n_owners; i-- > 0;)
		if (strcmp(s->owners[i].key, key) == 0)
			return &s->owners[i];
	return NULL;
}

/* The system with its patches is beneath all of them. */
static bool is_made_over(const struct stack *s, size_t layer, size_t other)
{
	return mlimg_layer_is_over(s->layers[layer].info, s->layers[other].info);
}

/*
 * Somebody of a layer that this one knows nothing of; unless it shares the id with somebody whom it
 * knows, as with root.
 */
static const struct owner *find_stranger(
	const struct stack *s, size_t layer, const char *key, uint32_t id)
{
	const struct owner *stranger = NULL;

	for (size_t i = 0; i < s->n_owners; i++) {
		const struct owner *o = &s->owners[i];

		if (o->id != id || o->layer == layer)
			continue;
		if (is_made_over(s, layer, o->layer))
			return NULL;
		if (strcmp(o->key, key) != 0)
			stranger = o;
	}
	return stranger;
}

static void take(struct stack *s, uint32_t id)
{
	if (id < SMALL_IDS)
		s->taken[id / 8] |= (uint8_t)(1u << id % 8);
}

static uint32_t find_free(struct stack *s, uint32_t instead_of)
{
	struct mlimg_id_range range = mlimg_id_range_of(instead_of);

	for (uint32_t id = range.first;; id = range.first > range.last ? id - 1 : id + 1) {
		if (!(s->taken[id / 8] & 1u << id % 8)) {
			take(s, id);
			return id;
		}
		if (id == range.last)
			return MLIMG_ID_NONE;
	}
}

/* ---- the moves of a layer ---- */

static struct mlimg_moved_id **ids_of(const struct stack *s, size_t layer, size_t **ret_n)
{
	struct mlimg_owner_moves *m = &s->moves[layer];

	*ret_n = s->file == MLIMG_PASSWD ? &m->n_uids : &m->n_gids;
	return (struct mlimg_moved_id **)(s->file == MLIMG_PASSWD ? &m->uids : &m->gids);
}

/* In order, each once. */
static int add_move(const struct stack *s, size_t layer, struct mlimg_moved_id move)
{
	size_t *n, at = 0;
	struct mlimg_moved_id **ids = ids_of(s, layer, &n), *grown;

	while (at < *n && (*ids)[at].from < move.from)
		at++;
	if (at < *n && (*ids)[at].from == move.from)
		return 0;
	grown = realloc(*ids, (*n + 1) * sizeof(*grown));
	if (!grown)
		return no_memory(s);
	memmove(grown + at + 1, grown + at, (*n - at) * sizeof(*grown));
	grown[at] = move;
	*ids = grown;
	++*n;
	return 0;
}

static int follow(const struct stack *s, size_t layer)
{
	int r = 0;

	for (size_t i = 0; i < layer && r == 0; i++) {
		size_t *n;
		struct mlimg_moved_id **ids = ids_of(s, i, &n);

		if (s->layers[i].info->kind != MLIMG_SOFTWARE || !is_made_over(s, layer, i))
			continue;
		for (size_t k = 0; k < *n && r == 0; k++)
			r = add_move(s, layer, (*ids)[k]);
	}
	return r;
}

static uint32_t moved(const struct stack *s, size_t layer, uint32_t id)
{
	size_t *n;
	struct mlimg_moved_id **ids = ids_of(s, layer, &n);

	return mlimg_moved_id_of(*ids, *n, id);
}

/* ---- a layer ---- */

static uint32_t id_of(const struct mlimg_account_line *line)
{
	struct mlimg_span fields[MLIMG_ACCOUNT_FIELDS_MAX];

	mlimg_account_split(line->text, fields);
	return mlimg_account_id(fields[2]);
}

static int add_owner(struct stack *s, struct owner owner)
{
	if (s->n_owners == MLIMG_ACCOUNTS_STACK_MAX)
		return mlimg_err_refuse(s->err, "layer '%s': more than %d users or groups",
			name_of(s, owner.layer), MLIMG_ACCOUNTS_STACK_MAX);
	if (mlimg_buffer_reserve(&s->owners, &s->room, (s->n_owners + 1) * sizeof(*s->owners)) < 0)
		return no_memory(s);
	s->owners[s->n_owners++] = owner;
	return 0;
}

static int decide(struct stack *s, size_t layer, const struct mlimg_account_line *line)
{
	uint32_t was = id_of(line), is = moved(s, layer, was);
	const struct owner *same = find_name(s, line->key), *stranger = NULL;
	int r = 0;

	if (same && same->id == is)
		return 0;
	if (is == was && same && !is_made_over(s, layer, same->layer))
		is = same->id;
	else if (is == was && (stranger = find_stranger(s, layer, line->key, is)))
		is = find_free(s, was);
	if (is == MLIMG_ID_NONE)
		return mlimg_err_refuse(s->err,
			"layer '%s': '%s' has id %u, as '%s' of layer '%s', and no other is free",
			name_of(s, layer), line->key + 1, was, stranger->key + 1,
			name_of(s, stranger->layer));
	if (is != moved(s, layer, was))
		r = add_move(s, layer, (struct mlimg_moved_id){was, is});
	return r < 0 ? r : add_owner(s, (struct owner){line->key, is, layer});
}

static int parse_all(struct stack *s)
{
	int r = 0;

	for (size_t i = 0; i < s->n && r == 0; i++) {
		const struct mlimg_accounts_layer *l = &s->layers[i];

		r = mlimg_account_list_parse(s->file,
			s->file == MLIMG_PASSWD ? l->passwd : l->group, s->arena, &s->lists[i],
			s->err);
		if (r < 0)
			return mlimg_err_wrap(s->err, r, "layer '%s'", name_of(s, i));
		for (size_t k = 0; k < s->lists[i].n; k++)
			if (mlimg_account_line_is_account(&s->lists[i].lines[k]))
				take(s, id_of(&s->lists[i].lines[k]));
	}
	return r;
}

static int find_all(struct stack *s)
{
	int r = parse_all(s);

	for (size_t i = 0; i < s->n && r == 0; i++) {
		r = follow(s, i);
		for (size_t k = 0; k < s->lists[i].n && r == 0; k++) {
			const struct mlimg_account_line *line = &s->lists[i].lines[k];

			if (mlimg_account_line_is_account(line))
				r = decide(s, i, line);
		}
	}
	return r;
}

static int find_in(const struct mlimg_accounts_layer *layers, size_t n,
	enum mlimg_accounts_file file, struct mlimg_owner_moves *moves, struct mlimg_err *err)
{
	struct stack s = {.layers = layers, .n = n, .file = file, .moves = moves, .err = err};
	int r;

	s.arena = mlimg_arena_new();
	s.lists = calloc(n + 1, sizeof(*s.lists));
	r = s.arena && s.lists ? find_all(&s) : no_memory(&s);
	for (size_t i = 0; s.lists && i < n; i++)
		mlimg_account_list_done(&s.lists[i]);
	free(s.lists);
	free(s.owners);
	mlimg_arena_free(s.arena);
	return r;
}

int mlimg_accounts_find_moves(const struct mlimg_accounts_layer *layers, size_t n,
	struct mlimg_owner_moves *ret_moves, struct mlimg_err *err)
{
	int r = find_in(layers, n, MLIMG_PASSWD, ret_moves, err);

	return r < 0 ? r : find_in(layers, n, MLIMG_GROUP, ret_moves, err);
}

/* ---- records ---- */

static void put_moved(
	struct mlimg_text *out, struct mlimg_span text, const struct mlimg_moved_id *ids, size_t n)
{
	uint32_t was = mlimg_account_id(text), is = mlimg_moved_id_of(ids, n, was);
	char number[16];

	if (was == MLIMG_ID_NONE || is == was)
		mlimg_text_put(out, text.at, text.size);
	else
		mlimg_text_put(out, number, (size_t)snprintf(number, sizeof(number), "%u", is));
}

static void move_line(struct mlimg_text *out, enum mlimg_accounts_file file, struct mlimg_span line,
	const struct mlimg_owner_moves *moves)
{
	struct mlimg_span fields[MLIMG_ACCOUNT_FIELDS_MAX];
	size_t n = mlimg_account_split(line, fields);
	bool is_user = file == MLIMG_PASSWD;

	if (n != (is_user ? 7 : 4) || (file != MLIMG_GROUP && !is_user) || line.at[0] == ':') {
		mlimg_text_put(out, line.at, line.size);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (i)
			mlimg_text_put(out, ":", 1);
		if (i == 2)
			put_moved(out, fields[i], is_user ? moves->uids : moves->gids,
				is_user ? moves->n_uids : moves->n_gids);
		else if (i == 3 && is_user)
			put_moved(out, fields[i], moves->gids, moves->n_gids);
		else
			mlimg_text_put(out, fields[i].at, fields[i].size);
	}
}

int mlimg_accounts_move(enum mlimg_accounts_file file, struct mlimg_records_text text,
	const struct mlimg_owner_moves *moves, char **ret_text, size_t *ret_size)
{
	const char *at = text.text, *end = text.size ? at + text.size : at;
	struct mlimg_text out = {.data = NULL};

	while (at != end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		struct mlimg_span line = {at, (size_t)((newline ? newline : end) - at)};

		if (line.size)
			move_line(&out, file, line, moves);
		if (newline)
			mlimg_text_put(&out, "\n", 1);
		at = newline ? newline + 1 : end;
	}
	mlimg_text_put(&out, "", 0);
	if (out.has_failed) {
		free(out.data);
		return -ENOMEM;
	}
	*ret_text = out.data;
	*ret_size = out.size;
	return 0;
}

void mlimg_accounts_moves_done(struct mlimg_owner_moves *moves)
{
	free((void *)moves->uids);
	free((void *)moves->gids);
	*moves = (struct mlimg_owner_moves){.uids = NULL};
}
