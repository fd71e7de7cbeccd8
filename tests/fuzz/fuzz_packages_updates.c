/* SPDX-License-Identifier: MIT */
/*
 * dpkg's journal, var/lib/dpkg/updates, in a merge of packages: texts with lines "%%" between them,
 * the status of base, next and mine, and up to four updates, the last two of which lie beneath the
 * upper. What comes out, merged on the same system again, stays as it is.
 */
#include <stdint.h>

#include "tests/fuzz/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIRST_UPDATE = MLIMG_N_MERGE_SIDES, N_TEXTS = FIRST_UPDATE + 4 };

static const char *const paths[] = {"var/lib/dpkg/status", "var/lib/dpkg/updates/0000",
	"var/lib/dpkg/updates/0001", "var/lib/dpkg/updates/0002", "var/lib/dpkg/updates/0003"};

static int read_text(void *ctx, enum mlimg_merge_side side, const char *path, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	const struct mlimg_records_text *texts = ctx, *text = NULL;

	if (strcmp(path, paths[0]) == 0)
		text = &texts[side];
	for (size_t i = 1; i < sizeof(paths) / sizeof(*paths); i++)
		if (side == MLIMG_SIDE_MINE && strcmp(path, paths[i]) == 0)
			text = &texts[FIRST_UPDATE + i - 1];
	return records_give(text, ret_text, ret_size);
}

static struct mlimg_manifest *some_manifest(void)
{
	static const char *const have[] = {"", "var", "var/lib", "var/lib/dpkg",
		"var/lib/dpkg/updates", "var/lib/dpkg/updates/0002", "var/lib/dpkg/updates/0003"};
	struct mlimg_manifest *m = mlimg_manifest_new();

	for (size_t i = 0; m && i < sizeof(have) / sizeof(*have); i++) {
		struct mlimg_entry e = {.path = (char *)(uintptr_t)have[i],
			.nlink = 1,
			.type = strchr(have[i], '0') ? MLIMG_FILE : MLIMG_DIR};

		if (!mlimg_manifest_add(m, &e))
			abort();
	}
	if (!m)
		abort();
	return m;
}

/* @param n_paths  of paths that the upper has */
static int merge(
	struct mlimg_records_text texts[N_TEXTS], size_t n_paths, struct mlimg_packages_merged *ret)
{
	struct mlimg_manifest *next = some_manifest();
	struct mlimg_packages_input input = {
		.paths = paths, .n_paths = n_paths, .read = read_text, .ctx = texts, .next = next};
	struct mlimg_notes notes = {.n = 0};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r = mlimg_packages_merge(&input, ret, &notes, &err);

	if (r < 0 && (!err.text[0] || err.kind != MLIMG_ERR_REFUSED))
		abort();
	mlimg_notes_done(&notes);
	mlimg_manifest_free(next);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_records_text texts[N_TEXTS] = {{NULL, 0}};
	struct mlimg_packages_merged once, twice;
	const char *at = (const char *)data, *end = at + size;

	records_split(at, end, texts, N_TEXTS);
	if (merge(texts, 3, &once) < 0)
		return 0;
	texts[MLIMG_SIDE_BASE] = texts[MLIMG_SIDE_NEXT];
	texts[MLIMG_SIDE_MINE] =
		(struct mlimg_records_text){once.files[0].text.text, once.files[0].text.size};
	for (int i = FIRST_UPDATE; i < N_TEXTS; i++)
		texts[i].text = NULL;
	if (merge(texts, 1, &twice) < 0)
		abort();
	records_same(&once, &twice);
	mlimg_packages_merged_done(&once);
	mlimg_packages_merged_done(&twice);
	return 0;
}
