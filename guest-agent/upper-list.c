/* SPDX-License-Identifier: MIT */
#include "guest-agent/upper-list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/le.h"
#include "libmlimg/manifest-lex.h"
#include "libmlimg/text.h"
#include "libmlimg/whiteout.h"

#define HEAD "mlimg paths 1 "

static uint64_t number_of(const char *path)
{
	uint8_t digest[MLIMG_SHA256_SIZE];

	mlimg_sha256_of(path, strlen(path), digest);
	return mlimg_get_le64(digest);
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* --- writing --- */

int mlimg_upper_list_add(struct mlimg_upper_list *list, const char *path)
{
	int r = mlimg_buffer_reserve(
		&list->numbers, &list->room, (list->n + 1) * sizeof(*list->numbers));

	if (r == 0)
		list->numbers[list->n++] = number_of(path);
	return r;
}

static int add_entry(struct mlimg_upper_list *list, const struct mlimg_entry *e)
{
	mlimg_autofree char *marked = NULL;
	int r = mlimg_upper_list_add(list, e->path);

	if (r < 0 || e->type != MLIMG_DIR || !mlimg_entry_is_opaque(e))
		return r;
	return asprintf(&marked, "%s/", e->path) < 0 ? -ENOMEM : mlimg_upper_list_add(list, marked);
}

int mlimg_upper_list_add_all(struct mlimg_upper_list *list, const struct mlimg_manifest *m)
{
	int r = 0;

	for (size_t i = 0; i < m->n_entries && r == 0; i++)
		if (*m->entries[i].path)
			r = add_entry(list, &m->entries[i]);
	return r < 0 ? r : mlimg_upper_list_add(list, "/");
}

static void sort(struct mlimg_upper_list *list)
{
	size_t n = 0;

	if (list->n)
		qsort(list->numbers, list->n, sizeof(*list->numbers), by_number);
	for (size_t i = 0; i < list->n; i++)
		if (!n || list->numbers[n - 1] != list->numbers[i])
			list->numbers[n++] = list->numbers[i];
	list->n = n;
}

static void put_one(
	struct mlimg_sha256 *sha, mlimg_sink *sink, void *ctx, const void *data, size_t size)
{
	mlimg_sha256_add(sha, data, size);
	sink(ctx, data, size);
}

void mlimg_upper_list_put(struct mlimg_upper_list *list, mlimg_sink *sink, void *ctx)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	struct mlimg_sha256 sha;
	char head[sizeof(HEAD) + 24];

	sort(list);
	mlimg_sha256_init(&sha);
	snprintf(head, sizeof(head), HEAD "%zu\n", list->n);
	put_one(&sha, sink, ctx, head, strlen(head));
	for (size_t i = 0; i < list->n; i++) {
		const uint64_t number = htole64(list->numbers[i]);

		put_one(&sha, sink, ctx, &number, sizeof(number));
	}
	mlimg_sha256_end(&sha, digest);
	sink(ctx, (const char *)digest, sizeof(digest));
}

int mlimg_upper_list_write(
	struct mlimg_upper_list *list, int dir_fd, const char *name, struct mlimg_err *err)
{
	struct mlimg_text text = {.data = NULL};
	int r;

	mlimg_upper_list_put(list, mlimg_text_put, &text);
	r = text.has_failed ? mlimg_err_set(err, ENOMEM, "write '%s'", name)
			    : mlimg_replace_file(dir_fd, name, text.data, text.size, 0600, err);
	free(text.data);
	return r;
}

/* --- reading --- */

static int refuse(struct mlimg_err *err, const char *what)
{
	return mlimg_err_refuse(err, "list of paths: %s", what);
}

/* @return the bytes of the first line, 0 when there is none; @ret_n: the number in it */
static size_t parse_head(const char *text, size_t size, uint64_t *ret_n)
{
	const char *end = memchr(text, '\n', size);
	struct mlimg_span number = {text + strlen(HEAD), 0};

	if (!end || (size_t)(end - text) < strlen(HEAD) || memcmp(text, HEAD, strlen(HEAD)) != 0)
		return 0;
	number.size = (size_t)(end - number.at);
	return mlimg_lex_number(number, MLIMG_ENTRIES_MAX, ret_n) ? (size_t)(end - text) + 1 : 0;
}

int mlimg_upper_list_parse(
	const char *text, size_t size, struct mlimg_upper_list *ret_list, struct mlimg_err *err)
{
	struct mlimg_upper_list list = {.n = 0};
	uint8_t digest[MLIMG_SHA256_SIZE];
	uint64_t n;
	size_t at = parse_head(text, size, &n);

	if (!at)
		return refuse(err, "not of a known format");
	if (size - at != n * 8 + sizeof(digest))
		return refuse(err, "it has another length than it says");
	mlimg_sha256_of(text, size - sizeof(digest), digest);
	if (memcmp(text + size - sizeof(digest), digest, sizeof(digest)) != 0)
		return refuse(err, "damaged");
	if (mlimg_buffer_reserve(&list.numbers, &list.room, (n + 1) * sizeof(*list.numbers)) < 0)
		return mlimg_err_set(err, ENOMEM, "list of paths");
	for (; list.n < n; list.n++) {
		list.numbers[list.n] = mlimg_get_le64(text + at + list.n * 8);
		if (list.n && list.numbers[list.n - 1] >= list.numbers[list.n]) {
			mlimg_upper_list_done(&list);
			return refuse(err, "not in order");
		}
	}
	*ret_list = list;
	return 0;
}

bool mlimg_upper_list_has(const struct mlimg_upper_list *list, const char *path)
{
	const uint64_t number = number_of(path);

	return list->n &&
		bsearch(&number, list->numbers, list->n, sizeof(number), by_number) != NULL;
}

bool mlimg_upper_list_may_be_opaque(const struct mlimg_upper_list *list, const char *path)
{
	char marked[MLIMG_PATH_MAX + 2];

	snprintf(marked, sizeof(marked), "%s/", path);
	return mlimg_upper_list_has(list, marked) || !mlimg_upper_list_has(list, "/");
}

void mlimg_upper_list_done(struct mlimg_upper_list *list)
{
	free(list->numbers);
	*list = (struct mlimg_upper_list){.n = 0};
}
