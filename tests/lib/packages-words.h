/* SPDX-License-Identifier: MIT */
/**
 * @file packages-words.h
 * Packages on three sides in a line each, for the tests of their merging (libmlimg/packages.h).
 */
#ifndef MLIMG_TEST_PACKAGES_WORDS_H
#define MLIMG_TEST_PACKAGES_WORDS_H

#include "libmlimg/packages.h"
#include "libmlimg/cleanup.h"
#include "tests/lib/test.h"

#define STATUS "var/lib/dpkg/status"
#define INFO "var/lib/dpkg/info/"

/* The texts of a merge, by side and path. */
static struct {
	int side;
	char *path, *text;
} texts[64];
static size_t n_texts;
static struct mlimg_packages_merged merged;
static struct mlimg_notes notes;
static const char *next_paths[32]; /* what next's manifest has; of links "PATH>TARGET" */

static const char *link_of_mine; /* where each link of the user's leads; NULL: nobody knows */

TEST_UNUSED static void set(int side, const char *path, const char *text)
{
	for (size_t i = 0; i < n_texts; i++)
		if (texts[i].side == side && strcmp(texts[i].path, path) == 0) {
			free(texts[i].text);
			texts[i].text = strdup(text);
			return;
		}
	texts[n_texts].side = side;
	texts[n_texts].path = strdup(path);
	texts[n_texts++].text = strdup(text);
}

TEST_UNUSED static void set_all(
	const char *path, const char *base, const char *next, const char *mine)
{
	const char *const all[] = {base, next, mine};

	for (int side = 0; side < 3; side++)
		if (all[side])
			set(side, path, all[side]);
}

TEST_UNUSED static int read_text(void *ctx, enum mlimg_merge_side side, const char *path,
	char **ret_text, size_t *ret_size, struct mlimg_err *err)
{
	for (size_t i = 0; i < n_texts; i++)
		if (texts[i].side == (int)side && strcmp(texts[i].path, path) == 0) {
			*ret_text = strdup(texts[i].text);
			*ret_size = strlen(*ret_text);
			return 0;
		}
	return -ENOENT;
}

TEST_UNUSED static void add_entry(struct mlimg_manifest *m, const char *spec)
{
	char path[256];
	struct mlimg_entry entry = {.path = path, .type = MLIMG_FILE, .nlink = 1};
	size_t size = strcspn(spec, ">");

	memcpy(path, spec, size);
	path[size] = '\0';
	if (spec[size]) {
		entry.type = MLIMG_LINK;
		entry.link = (char *)spec + size + 1;
	} else if (size && path[size - 1] == '/') {
		path[size - 1] = '\0';
		entry.type = MLIMG_DIR;
	}
	ASSERT(mlimg_manifest_add(m, &entry));
}

/* The list of files that the user has; NULL: nobody knows which. */
TEST_UNUSED static const char *has_list;

static bool is_list(void *ctx, const char *path)
{
	return has_list && strcmp(path, has_list) == 0;
}

static const char *give_link(void *ctx, const char *path)
{
	return link_of_mine;
}

TEST_UNUSED static int merge_paths(const char *const *paths, size_t n, struct mlimg_err *err)
{
	struct mlimg_packages_input input = {.paths = paths,
		.n_paths = n,
		.read = read_text,
		.has_file = has_list ? is_list : NULL,
		.link = link_of_mine ? give_link : NULL};
	struct mlimg_manifest *m = mlimg_manifest_new();
	int r;

	ASSERT(m);
	for (size_t i = 0; next_paths[i]; i++)
		add_entry(m, next_paths[i]);
	input.next = m;
	mlimg_packages_merged_done(&merged);
	mlimg_notes_done(&notes);
	r = mlimg_packages_merge(&input, &merged, &notes, err);
	mlimg_manifest_free(m);
	return r;
}

TEST_UNUSED static const char *merge(const char *path)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(merge_paths(&path, 1, &err), err);
	ASSERT_EQ(merged.n_files, 1);
	ASSERT_STR(merged.files[0].path, path);
	return merged.files[0].text.text;
}

/* @return how many files come out */
TEST_UNUSED static size_t merge_status(void)
{
	const char *path = STATUS;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(merge_paths(&path, 1, &err), err);
	return merged.n_files;
}

/* "NAME VERSION [WANT [STATE]]; ..." as a status */
TEST_UNUSED static char *status_of(const char *spec)
{
	char name[32], version[32], want[32], state[32], part[256], *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ASSERT(f);
	for (; *spec; spec += strspn(spec, "; ")) {
		size_t length = strcspn(spec, ";");

		snprintf(part, sizeof(part), "%.*s", (int)length, spec);
		strcpy(want, "install");
		strcpy(state, "installed");
		ASSERT(sscanf(part, "%31s %31s %31s %31s", name, version, want, state) >= 2);
		fprintf(f,
			"Package: %s\nStatus: %s ok %s\nArchitecture: amd64\nVersion: "
			"%s\n\n",
			name, want, state, version);
		spec += length;
	}
	fclose(f);
	return text;
}

/* And back. */
TEST_UNUSED static char *spec_of(const char *status)
{
	char name[32], version[32], want[32], state[32], *text;
	const char *at = status;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ASSERT(f);
	for (; *at; at = strstr(at, "\n\n") + 2) {
		ASSERT_EQ(sscanf(at, "Package: %31s Status: %31s ok %31s", name, want, state), 3);
		ASSERT_EQ(sscanf(strstr(at, "Version: "), "Version: %31s", version), 1);
		fprintf(f, "%s%s %s", at == status ? "" : "; ", name, version);
		if (strcmp(want, "install") != 0 || strcmp(state, "installed") != 0)
			fprintf(f, " %s%s%s", want, strcmp(state, "installed") ? " " : "",
				strcmp(state, "installed") ? state : "");
	}
	fclose(f);
	return text;
}

TEST_UNUSED static void set_status(const char *base, const char *next, const char *mine)
{
	const char *const all[] = {base, next, mine};

	for (int side = 0; side < 3; side++) {
		mlimg_autofree char *text = status_of(all[side]);

		set(side, STATUS, text);
	}
}

TEST_UNUSED static char *told(void)
{
	static char text[4096];

	text[0] = '\0';
	for (size_t i = 0; i < notes.n; i++)
		sprintf(text + strlen(text), "%s %s: %s\n",
			mlimg_note_kind_name(notes.notes[i].kind), notes.notes[i].name,
			notes.notes[i].text);
	return text;
}

TEST_UNUSED static void check(const char *base, const char *next, const char *mine,
	const char *wanted, const char *verdicts, const char *note)
{
	char found[256] = "";
	mlimg_autofree char *spec = NULL;

	set_status(base, next, mine);
	spec = spec_of(merge(STATUS));
	ASSERT_STR(spec, wanted);
	for (size_t i = 0; i < merged.n_packages; i++)
		sprintf(found + strlen(found), "%s%s %s", i ? ", " : "", merged.packages[i].name,
			mlimg_package_verdict_name(merged.packages[i].verdict));
	ASSERT_STR(found, verdicts);
	ASSERT_STR(told(), note);
}

#endif
