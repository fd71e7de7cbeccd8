/* SPDX-License-Identifier: MIT */
#include "libmlimg/base-texts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/manifest-lex.h"

#define HEAD "mlimg base-texts 1 "
#define LINE_SIZE (MLIMG_SHA256_HEX_SIZE + 24)

static int by_digest(const void *a, const void *b)
{
	const struct mlimg_base_text *x = a, *y = b;

	return memcmp(x->digest, y->digest, sizeof(x->digest));
}

int mlimg_base_texts_add(struct mlimg_base_texts *texts, const uint8_t digest[MLIMG_SHA256_SIZE],
	char *data, size_t size)
{
	struct mlimg_base_text *text;

	if (texts->n == MLIMG_BASE_TEXTS_N_MAX)
		return -E2BIG;
	if (mlimg_buffer_reserve(&texts->texts, &texts->room, (texts->n + 1) * sizeof(*text)) < 0)
		return -ENOMEM;
	text = &texts->texts[texts->n++];
	memcpy(text->digest, digest, sizeof(text->digest));
	text->data = data;
	text->size = size;
	return 0;
}

static void drop_doubles(struct mlimg_base_texts *texts)
{
	size_t n = 0;

	if (texts->n)
		qsort(texts->texts, texts->n, sizeof(*texts->texts), by_digest);
	for (size_t i = 0; i < texts->n; i++)
		if (n && by_digest(&texts->texts[n - 1], &texts->texts[i]) == 0)
			free((char *)(uintptr_t)texts->texts[i].data);
		else
			texts->texts[n++] = texts->texts[i];
	texts->n = n;
}

void mlimg_base_texts_put(struct mlimg_base_texts *texts, mlimg_sink *sink, void *ctx)
{
	char line[LINE_SIZE], hex[MLIMG_SHA256_HEX_SIZE];
	int size;

	drop_doubles(texts);
	size = snprintf(line, sizeof(line), HEAD "%zu\n", texts->n);
	sink(ctx, line, (size_t)size);
	for (size_t i = 0; i < texts->n; i++) {
		mlimg_sha256_hex(texts->texts[i].digest, hex);
		size = snprintf(line, sizeof(line), "%s %zu\n", hex, texts->texts[i].size);
		sink(ctx, line, (size_t)size);
	}
	for (size_t i = 0; i < texts->n; i++)
		sink(ctx, texts->texts[i].data, texts->texts[i].size);
}

static int refuse(struct mlimg_err *err, const char *what)
{
	return mlimg_err_refuse(err, "base.texts: %s", what);
}

/* Cuts the next line off. @return false where there is none */
static bool cut_line(struct mlimg_span *rest, struct mlimg_span *ret_line)
{
	if (!rest->size || !memchr(rest->at, '\n', rest->size))
		return false;
	*ret_line = mlimg_span_cut(rest, '\n');
	return true;
}

static bool parse_line(struct mlimg_span line, struct mlimg_base_text *ret)
{
	struct mlimg_span digest = mlimg_span_cut(&line, ' ');
	char hex[MLIMG_SHA256_HEX_SIZE], again[MLIMG_SHA256_HEX_SIZE];
	uint64_t size;

	if (digest.size != sizeof(hex) - 1)
		return false;
	memcpy(hex, digest.at, sizeof(hex) - 1);
	hex[sizeof(hex) - 1] = '\0';
	if (!mlimg_sha256_is_hex(hex, ret->digest) ||
		!mlimg_lex_number(line, MLIMG_BASE_TEXTS_MAX, &size))
		return false;
	mlimg_sha256_hex(ret->digest, again);
	ret->size = size;
	return strcmp(hex, again) == 0; /* lower case */
}

static int parse(struct mlimg_base_texts *texts, struct mlimg_span rest, struct mlimg_err *err)
{
	struct mlimg_span line;
	uint64_t n;

	if (!cut_line(&rest, &line) || line.size < strlen(HEAD) ||
		memcmp(line.at, HEAD, strlen(HEAD)) != 0)
		return refuse(err, "not of a known format");
	line.at += strlen(HEAD);
	line.size -= strlen(HEAD);
	if (!mlimg_lex_number(line, MLIMG_BASE_TEXTS_N_MAX, &n))
		return refuse(err, "malformed number of texts");
	texts->texts = calloc(n + 1, sizeof(*texts->texts));
	if (!texts->texts)
		return mlimg_err_set(err, ENOMEM, "base.texts");
	for (; texts->n < n; texts->n++) {
		struct mlimg_base_text *text = &texts->texts[texts->n];

		if (!cut_line(&rest, &line) || !parse_line(line, text) ||
			(texts->n && by_digest(text - 1, text) >= 0))
			return refuse(err, "malformed list of texts");
	}
	for (size_t i = 0; i < n; i++) {
		if (texts->texts[i].size > rest.size)
			return refuse(err, "it is cut off");
		texts->texts[i].data = rest.at;
		rest.at += texts->texts[i].size;
		rest.size -= texts->texts[i].size;
	}
	return rest.size ? refuse(err, "something is behind its end") : 0;
}

int mlimg_base_texts_parse(
	char *data, size_t size, struct mlimg_base_texts *ret_texts, struct mlimg_err *err)
{
	struct mlimg_base_texts texts = {0};
	int r = size > MLIMG_BASE_TEXTS_MAX ? refuse(err, "it is too long")
					    : parse(&texts, (struct mlimg_span){data, size}, err);

	if (r < 0) {
		free(texts.texts);
		return r;
	}
	texts.data = data;
	*ret_texts = texts;
	return 0;
}

const struct mlimg_base_text *mlimg_base_texts_find(
	const struct mlimg_base_texts *texts, const uint8_t digest[MLIMG_SHA256_SIZE])
{
	const struct mlimg_base_text *text;
	struct mlimg_base_text key;
	uint8_t found[MLIMG_SHA256_SIZE];

	memcpy(key.digest, digest, sizeof(key.digest));
	text = texts->n ? bsearch(&key, texts->texts, texts->n, sizeof(key), by_digest) : NULL;
	if (!text)
		return NULL;
	mlimg_sha256_of(text->data, text->size, found);
	return memcmp(found, digest, sizeof(found)) == 0 ? text : NULL;
}

int mlimg_base_texts_read(const struct mlimg_base_texts *texts,
	const uint8_t digest[MLIMG_SHA256_SIZE], size_t max, char **ret_data, size_t *ret_size)
{
	const struct mlimg_base_text *text = mlimg_base_texts_find(texts, digest);
	char *data;

	if (!text)
		return -ENOENT;
	if (text->size > max)
		return -EFBIG;
	data = malloc(text->size + 1);
	if (!data)
		return -ENOMEM;
	memcpy(data, text->data, text->size);
	data[text->size] = '\0';
	*ret_data = data;
	*ret_size = text->size;
	return 0;
}

void mlimg_base_texts_done(struct mlimg_base_texts *texts)
{
	for (size_t i = 0; i < texts->n && !texts->data; i++)
		free((char *)(uintptr_t)texts->texts[i].data);
	free(texts->texts);
	free(texts->data);
	memset(texts, 0, sizeof(*texts));
}
