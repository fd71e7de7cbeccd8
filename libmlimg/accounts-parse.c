/* SPDX-License-Identifier: MIT */
#include "libmlimg/accounts-parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *path;
	size_t n_fields;
	unsigned ids; /* bits of the fields that are ids */
} files[] = {
	[MLIMG_PASSWD] = {"etc/passwd", 7, 1u << 2 | 1u << 3},
	[MLIMG_GROUP] = {"etc/group", 4, 1u << 2},
	[MLIMG_SHADOW] = {"etc/shadow", 9, 0},
	[MLIMG_GSHADOW] = {"etc/gshadow", 4, 0},
	[MLIMG_SUBUID] = {"etc/subuid", 3, 1u << 1 | 1u << 2},
	[MLIMG_SUBGID] = {"etc/subgid", 3, 1u << 1 | 1u << 2},
};

const char *mlimg_accounts_path(enum mlimg_accounts_file file)
{
	return files[file].path;
}

enum mlimg_accounts_file mlimg_accounts_file_of(const char *path)
{
	enum mlimg_accounts_file file = 0;

	while (file < MLIMG_N_ACCOUNTS_FILES && strcmp(path, files[file].path) != 0)
		file++;
	return file;
}

bool mlimg_span_is_same(struct mlimg_span a, struct mlimg_span b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

size_t mlimg_account_split(struct mlimg_span line, struct mlimg_span fields[])
{
	const char *end = line.at + line.size;
	size_t n = 0;

	for (;;) {
		const char *colon = memchr(line.at, ':', (size_t)(end - line.at));

		if (n < MLIMG_ACCOUNT_FIELDS_MAX)
			fields[n] = (struct mlimg_span){
				line.at, (size_t)((colon ? colon : end) - line.at)};
		n++;
		if (!colon)
			return n;
		line.at = colon + 1;
	}
}

uint32_t mlimg_account_id(struct mlimg_span text)
{
	uint64_t id = 0;

	if (text.size == 0 || text.size > 10)
		return MLIMG_ID_NONE;
	for (size_t i = 0; i < text.size; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return MLIMG_ID_NONE;
		id = id * 10 + (uint64_t)(text.at[i] - '0');
	}
	return id < MLIMG_ID_NONE ? (uint32_t)id : MLIMG_ID_NONE;
}

static bool is_account(
	enum mlimg_accounts_file file, struct mlimg_span line, const struct mlimg_span fields[])
{
	if (line.size == 0 || strchr("+-#:", line.at[0]))
		return false;
	for (size_t i = 0; i < files[file].n_fields; i++)
		if (files[file].ids & 1u << i && mlimg_account_id(fields[i]) == MLIMG_ID_NONE)
			return false;
	return true;
}

static const char *key_of(
	enum mlimg_accounts_file file, struct mlimg_span line, struct mlimg_arena *arena)
{
	struct mlimg_span fields[MLIMG_ACCOUNT_FIELDS_MAX], known = line;
	bool is_one = mlimg_account_split(line, fields) == files[file].n_fields &&
		is_account(file, line, fields);
	char *key;

	if (is_one)
		known = fields[0];
	key = mlimg_arena_alloc(arena, known.size + 2);
	if (!key)
		return NULL;
	key[0] = is_one ? 'a' : 'o';
	memcpy(key + 1, known.at, known.size);
	key[1 + known.size] = '\0';
	return key;
}

static int line_cmp(const void *a, const void *b)
{
	const struct mlimg_account_line *x = *(struct mlimg_account_line *const *)a,
					*y = *(struct mlimg_account_line *const *)b;
	int order = strcmp(x->key, y->key);

	return order ? order : (x > y) - (x < y);
}

static int sort(struct mlimg_account_list *list)
{
	list->by_key = malloc((list->n ? list->n : 1) * sizeof(struct mlimg_account_line *));
	if (!list->by_key)
		return -ENOMEM;
	for (size_t i = 0; i < list->n; i++)
		list->by_key[i] = &list->lines[i];
	qsort(list->by_key, list->n, sizeof(struct mlimg_account_line *), line_cmp);
	for (size_t i = 1; i < list->n; i++)
		if (strcmp(list->by_key[i - 1]->key, list->by_key[i]->key) == 0)
			list->by_key[i]->nth = list->by_key[i - 1]->nth + 1;
	return 0;
}

static int parse(enum mlimg_accounts_file file, struct mlimg_records_text text,
	struct mlimg_arena *arena, struct mlimg_account_list *list)
{
	const char *at = text.text, *end = text.text + text.size;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		struct mlimg_account_line line = {
			.text = {at, (size_t)((newline ? newline : end) - at)}};

		if (list->n == MLIMG_ACCOUNTS_LINES_MAX)
			return -EFBIG;
		line.key = key_of(file, line.text, arena);
		if (!line.key ||
			mlimg_buffer_reserve(&list->lines, &list->room,
				(list->n + 1) * sizeof(*list->lines)) < 0)
			return -ENOMEM;
		list->lines[list->n++] = line;
		at = newline ? newline + 1 : end;
	}
	return sort(list);
}

int mlimg_account_list_parse(enum mlimg_accounts_file file, struct mlimg_records_text text,
	struct mlimg_arena *arena, struct mlimg_account_list *ret_list, struct mlimg_err *err)
{
	int r;

	*ret_list = (struct mlimg_account_list){.is_there = text.text};
	if (text.size > MLIMG_ACCOUNTS_SIZE_MAX)
		return mlimg_err_refuse(
			err, "%s: more than %u bytes", files[file].path, MLIMG_ACCOUNTS_SIZE_MAX);
	if (text.size && memchr(text.text, '\0', text.size))
		return mlimg_err_refuse(err, "%s: a NUL in it", files[file].path);
	r = text.size ? parse(file, text, arena, ret_list) : sort(ret_list);
	if (r == -EFBIG)
		return mlimg_err_refuse(
			err, "%s: more than %d lines", files[file].path, MLIMG_ACCOUNTS_LINES_MAX);
	return r < 0 ? mlimg_err_set(err, r, "%s", files[file].path) : 0;
}

struct mlimg_account_line *mlimg_account_list_find(
	const struct mlimg_account_list *list, const char *key, uint32_t nth)
{
	size_t low = 0, high = list->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct mlimg_account_line *line = list->by_key[middle];
		int order = strcmp(line->key, key);

		if (order == 0)
			order = (line->nth > nth) - (line->nth < nth);
		if (order == 0)
			return line;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

void mlimg_account_list_done(struct mlimg_account_list *list)
{
	free(list->lines);
	free(list->by_key);
	*list = (struct mlimg_account_list){.n = 0};
}
