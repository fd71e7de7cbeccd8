/* SPDX-License-Identifier: MIT */
/*
 * The reader of manifests; and what it takes, written and read again, must be the same text. Laid
 * over itself it must merge, or be refused: a patch's references are followed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/manifest.h"
#include "libmlimg/merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void collect(void *ctx, const char *data, size_t size)
{
	if (fwrite(data, 1, size, (FILE *)ctx) != size)
		abort();
}

static char *text_of(const struct mlimg_manifest *m, size_t *ret_size)
{
	char *text;
	FILE *f = open_memstream(&text, ret_size);

	if (!f)
		abort();
	mlimg_manifest_put(m, collect, f);
	fclose(f);
	return text;
}

static void merge_twice(const struct mlimg_manifest *m)
{
	const struct mlimg_manifest *layers[] = {m, m};
	struct mlimg_manifest *merged = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;

	if (mlimg_manifest_merge(layers, 2, &merged, &err) < 0 &&
		(!err.text[0] || err.kind != MLIMG_ERR_REFUSED))
		abort();
	mlimg_manifest_free(merged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_manifest *m, *back;
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t text_size, again_size;
	char *text, *again;

	if (mlimg_manifest_parse((const char *)data, size, &m, &err) < 0) {
		if (!err.text[0] || err.kind != MLIMG_ERR_REFUSED)
			abort();
		return 0;
	}
	text = text_of(m, &text_size);
	if (mlimg_manifest_parse(text, text_size, &back, &err) < 0)
		abort();
	again = text_of(back, &again_size);
	if (text_size != again_size || memcmp(text, again, text_size) != 0)
		abort();
	free(text);
	free(again);
	merge_twice(m);
	mlimg_manifest_free(m);
	mlimg_manifest_free(back);
	return 0;
}
