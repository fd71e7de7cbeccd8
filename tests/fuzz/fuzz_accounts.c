/* SPDX-License-Identifier: MIT */
/*
 * Users and groups merged three ways: texts with lines "%%" between them, passwd of base, next and
 * mine, then group, shadow, gshadow, subuid and subgid. What comes out, merged on the same system
 * again, stays as it is.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/accounts-layers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mlimg_records_text next_text(const char **at, const char *end)
{
	const char *begin = *at, *stop = memmem(begin, (size_t)(end - begin), "%%\n", 3);

	*at = stop ? stop + 3 : end;
	return (struct mlimg_records_text){begin, (size_t)((stop ? stop : end) - begin)};
}

static void merge_again(const struct mlimg_accounts *next, const struct mlimg_accounts_merged *once)
{
	struct mlimg_accounts_merged twice;
	struct mlimg_accounts mine;
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (int f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
		mine.files[f] =
			(struct mlimg_records_text){once->files[f].text, once->files[f].size};
	/* What came of a base without accounts may be what no program leaves of this one. */
	if (mlimg_accounts_merge(next, next, &mine, NULL, &twice, NULL, &err) < 0) {
		if (err.kind != MLIMG_ERR_REFUSED)
			abort();
		return;
	}
	for (int f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
		if (twice.files[f].size != once->files[f].size ||
			(twice.files[f].size &&
				memcmp(twice.files[f].text, once->files[f].text,
					twice.files[f].size) != 0))
			abort();
	mlimg_accounts_merged_done(&twice);
}

/* The same texts as records of three layers. */
static void check_layers(const struct mlimg_accounts sides[3])
{
	static const struct mlimg_layer_info infos[] = {
		{.kind = MLIMG_SYSTEM}, {.kind = MLIMG_SOFTWARE}, {.kind = MLIMG_SOFTWARE}};
	struct mlimg_accounts_layer layers[3];
	struct mlimg_owner_moves moves[3] = {{.uids = NULL}};
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (int i = 0; i < 3; i++)
		layers[i] = (struct mlimg_accounts_layer){
			&infos[i], sides[i].files[MLIMG_PASSWD], sides[i].files[MLIMG_GROUP]};
	if (mlimg_accounts_find_moves(layers, 3, moves, &err) < 0 && !err.text[0])
		abort();
	for (int i = 0; i < 3; i++) {
		char *text;
		size_t size;

		if (mlimg_accounts_move(MLIMG_PASSWD, layers[i].passwd, &moves[i], &text, &size) <
			0)
			abort();
		free(text);
		mlimg_accounts_moves_done(&moves[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;
	struct mlimg_accounts sides[3] = {{.files = {{NULL, 0}}}};
	struct mlimg_accounts_merged merged;
	struct mlimg_notes notes = {.n = 0};
	struct mlimg_err err = MLIMG_ERR_INIT;

	if (size == 0)
		return 0;
	for (int f = 0; f < MLIMG_N_ACCOUNTS_FILES && at < end; f++)
		for (int side = 0; side < 3 && at < end; side++)
			sides[side].files[f] = next_text(&at, end);
	check_layers(sides);
	if (mlimg_accounts_merge(&sides[0], &sides[1], &sides[2], NULL, &merged, &notes, &err) <
		0) {
		if (!err.text[0] || err.kind != MLIMG_ERR_REFUSED)
			abort();
	} else {
		merge_again(&sides[1], &merged);
		mlimg_accounts_merged_done(&merged);
	}
	mlimg_notes_done(&notes);
	return 0;
}
