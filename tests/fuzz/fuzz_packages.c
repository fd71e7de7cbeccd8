/* SPDX-License-Identifier: MIT */
/*
 * dpkg's databases merged three ways. The first byte chooses the database, the rest is texts with
 * lines "%%" between them: base, next, mine, then what next and mine have as any package's list,
 * and as diversions. What comes out, merged on the same system again, stays as it is.
 */
#include <stdint.h>

#include "tests/fuzz/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIST_NEXT = 3, LIST_MINE, DIVERSIONS, N_TEXTS };

static const char *const paths[] = {"var/lib/dpkg/status", "var/lib/dpkg/alternatives/a",
	"var/lib/dpkg/diversions", "var/lib/dpkg/statoverride", "var/lib/apt/extended_states",
	"var/lib/dpkg/triggers/File", "var/lib/dpkg/triggers/ldconfig", "var/lib/dpkg/arch",
	"var/cache/debconf/config.dat", "var/cache/debconf/templates.dat"};

struct input {
	const char *path;
	struct mlimg_records_text texts[N_TEXTS];
};

static int read_text(void *ctx, enum mlimg_merge_side side, const char *path, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	const struct input *input = ctx;
	const struct mlimg_records_text *text = &input->texts[DIVERSIONS];

	if (strcmp(path, input->path) == 0)
		text = &input->texts[side];
	else if (strstr(path, ".list"))
		text = &input->texts[side == MLIMG_SIDE_NEXT ? LIST_NEXT : LIST_MINE];
	return records_give(text, ret_text, ret_size);
}

static struct mlimg_manifest *some_manifest(void)
{
	static const char *const have[] = {"", "a", "bin", "usr", "usr/bin", "usr/bin/a", "var",
		"var/lib", "var/lib/dpkg", "var/lib/dpkg/info", "var/lib/dpkg/info/a.list"};
	struct mlimg_manifest *m = mlimg_manifest_new();

	for (size_t i = 0; m && i < sizeof(have) / sizeof(have[0]); i++) {
		bool is_file = strchr(have[i], 'a') && strcmp(have[i], "var") != 0 &&
			strncmp(have[i], "var/lib", strlen(have[i])) != 0;
		struct mlimg_entry e = {.path = (char *)have[i],
			.nlink = 1,
			.type = is_file ? MLIMG_FILE : MLIMG_DIR};

		if (strcmp(have[i], "bin") == 0) {
			e.type = MLIMG_LINK;
			e.link = (char *)"usr/bin";
		}
		if (!mlimg_manifest_add(m, &e))
			abort();
	}
	return m;
}

static int merge(struct input *input, struct mlimg_packages_merged *ret)
{
	struct mlimg_packages_input all = {
		.paths = &input->path, .n_paths = 1, .read = read_text, .ctx = input};
	struct mlimg_manifest *next = some_manifest();
	struct mlimg_notes notes = {.n = 0};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r;

	all.next = next;
	r = mlimg_packages_merge(&all, ret, &notes, &err);
	if (r < 0 && (!err.text[0] || err.kind != MLIMG_ERR_REFUSED))
		abort();
	for (size_t i = 0; r == 0 && i < ret->n_hidden; i++)
		if (strncmp(ret->hidden[i], "var/", 4) != 0 &&
			mlimg_packages_verdict_of(ret, ret->hidden[i]) == MLIMG_FILES_MINE)
			abort();
	mlimg_notes_done(&notes);
	mlimg_manifest_free(next);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.path = NULL};
	struct mlimg_packages_merged once, twice;
	const char *at = (const char *)data + 1, *end = (const char *)data + size;

	if (size < 1)
		return 0;
	input.path = paths[(uint8_t)(data[0] - '0') % (sizeof(paths) / sizeof(paths[0]))];
	records_split(at, end, input.texts, N_TEXTS);
	if (merge(&input, &once) < 0)
		return 0;
	input.texts[MLIMG_SIDE_BASE] = input.texts[MLIMG_SIDE_NEXT];
	input.texts[MLIMG_SIDE_MINE] =
		(struct mlimg_records_text){once.files[0].text.text, once.files[0].text.size};
	if (merge(&input, &twice) < 0)
		abort();
	records_same(&once, &twice);
	mlimg_packages_merged_done(&once);
	mlimg_packages_merged_done(&twice);
	return 0;
}
