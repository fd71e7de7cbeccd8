/* SPDX-License-Identifier: MIT */
/* dpkg's journal, var/lib/dpkg/updates, in a merge of packages. */
#include "libmlimg/cleanup.h"
#include "libmlimg/packages.h"
#include "tests/lib/test.h"

#define STATUS "var/lib/dpkg/status"
#define UPDATES "var/lib/dpkg/updates/"
#define STANZA(name, arch, version, more)                                                \
	"Package: " name "\nStatus: install ok installed\nArchitecture: " arch "\n" more \
	"Version: " version "\n"
#define A(version) STANZA("a", "amd64", version, "")
#define B(version) STANZA("b", "amd64", version, "")
#define GONE(name) "Package: " name "\nStatus: unknown ok not-installed\n"

/* What mine has, by path; base and next have a status alone. */
struct file {
	const char *path, *text;
};

static const struct file *mine;
static const char *base, *next;
static struct mlimg_packages_merged merged;
static struct mlimg_notes notes;

static int read_text(void *ctx, enum mlimg_merge_side side, const char *path, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	const char *text = NULL;

	if (side != MLIMG_SIDE_MINE)
		text = strcmp(path, STATUS) == 0 ? side == MLIMG_SIDE_BASE ? base : next : NULL;
	for (size_t i = 0; side == MLIMG_SIDE_MINE && mine[i].path; i++)
		if (strcmp(mine[i].path, path) == 0)
			text = mine[i].text;
	if (!text)
		return -ENOENT;
	*ret_text = strdup(text);
	*ret_size = strlen(text);
	return 0;
}

/* The upper has all of @files but those whose path begins with '-', which lie beneath. */
static int merge(const struct file *files, struct mlimg_err *err)
{
	const char *paths[16];
	struct file seen[16] = {{NULL, NULL}};
	struct mlimg_packages_input input = {.paths = paths, .read = read_text};
	struct mlimg_manifest *m = mlimg_manifest_new();
	int r;

	for (size_t i = 0; files[i].path; i++) {
		seen[i] = files[i];
		if (*files[i].path == '-')
			seen[i].path++;
		else
			paths[input.n_paths++] = files[i].path;
	}
	mine = seen;
	input.next = m;
	mlimg_packages_merged_done(&merged);
	mlimg_notes_done(&notes);
	r = mlimg_packages_merge(&input, &merged, &notes, err);
	mlimg_manifest_free(m);
	return r;
}

static const char *status(void)
{
	for (size_t i = 0; i < merged.n_files; i++)
		if (strcmp(merged.files[i].path, STATUS) == 0)
			return merged.files[i].text.text;
	return NULL;
}

static void check(const struct file *files, const char *wanted)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(merge(files, &err), err);
	ASSERT(status());
	ASSERT_STR(status(), wanted);
}

static void refused(const struct file *files, const char *message)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_FAILS(merge(files, &err), err, -EUCLEAN, message);
}

TEST(which_files_are_updates)
{
	ASSERT(mlimg_packages_is_update(UPDATES "0000"));
	ASSERT(mlimg_packages_is_database(UPDATES "0000"));
	ASSERT(!mlimg_packages_is_update(UPDATES "tmp.i"));
	ASSERT(!mlimg_packages_is_update(UPDATES "0000/1"));
	ASSERT(!mlimg_packages_is_update(UPDATES));
	ASSERT(!mlimg_packages_is_update("var/lib/dpkg/updates"));
}

TEST(an_update_is_the_users_package)
{
	base = A("1") "\n" B("1") "\n";
	next = A("2") "\n" B("1") "\n";
	check((struct file[]){{STATUS, A("1") "\n" B("1") "\n"}, {UPDATES "0000", B("3")},
		      {NULL, NULL}},
		A("2") "\n" B("3") "\n");
	ASSERT_EQ(merged.n_files, 2);
	ASSERT(!merged.files[1].text.text);
	ASSERT_EQ(mlimg_packages_verdict_of(&merged, UPDATES "0000"), MLIMG_FILES_NEXT);
	ASSERT_EQ(merged.n_packages, 1);
	ASSERT_EQ(merged.packages[0].verdict, MLIMG_FILES_MINE);
}

TEST(updates_without_a_status_in_the_upper)
{
	base = next = A("1") "\n" B("1") "\n";
	check((struct file[]){{"-" STATUS, A("1") "\n" B("1") "\n"}, {UPDATES "0", B("3")},
		      {NULL, NULL}},
		A("1") "\n" B("3") "\n");
	ASSERT_EQ(merged.n_files, 2);
	ASSERT_STR(merged.files[1].path, STATUS);
	/* Nor anywhere. */
	base = next = NULL;
	check((struct file[]){{UPDATES "0", B("3")}, {NULL, NULL}}, B("3") "\n");
}

TEST(the_later_update_counts)
{
	base = next = A("1") "\n" B("1") "\n";
	check((struct file[]){{UPDATES "0010", B("4")},
		      {UPDATES "0009", B("3") "\n" STANZA("c", "all", "1", "")},
		      {UPDATES "0011", STANZA("c", "all", "2", "")},
		      {STATUS, A("1") "\n" B("1") "\n"}, {NULL, NULL}},
		A("1") "\n" B("4") "\n" STANZA("c", "all", "2", "") "\n");
}

TEST(an_update_removes)
{
	base = next = A("1") "\n" B("1") "\n";
	check((struct file[]){{STATUS, A("1") "\n" B("1") "\n"}, {UPDATES "0", GONE("b")},
		      {NULL, NULL}},
		A("1") "\n");
	check((struct file[]){{STATUS, A("1") "\n" B("1") "\n"},
		      {UPDATES "0", GONE("b") "Architecture: amd64\n"}, {NULL, NULL}},
		A("1") "\n");
	/* And one that came by an update. */
	check((struct file[]){{STATUS, A("1") "\n" B("1") "\n"},
		      {UPDATES "0", STANZA("c", "all", "1", "")}, {UPDATES "1", GONE("c")},
		      {NULL, NULL}},
		A("1") "\n" B("1") "\n");
}

#define C(arch, version) STANZA("c", arch, version, "Multi-Arch: same\n")

TEST(architectures)
{
	base = next = C("amd64", "1") "\n";
	/* One more; one that is gone and was not there; another one in its place. */
	check((struct file[]){{STATUS, C("amd64", "1") "\n"}, {UPDATES "0", C("i386", "1")},
		      {NULL, NULL}},
		C("amd64", "1") "\n" C("i386", "1") "\n");
	check((struct file[]){{STATUS, C("amd64", "1") "\n"},
		      {UPDATES "0", GONE("c") "Architecture: i386\n"}, {NULL, NULL}},
		C("amd64", "1") "\n");
	check((struct file[]){{STATUS, C("amd64", "1") "\n"},
		      {UPDATES "0", STANZA("c", "all", "2", "")}, {NULL, NULL}},
		STANZA("c", "all", "2", "") "\n");
}

TEST(what_is_no_journal)
{
	base = next = A("1") "\n";
	refused((struct file[]){{STATUS, A("1") "\n"}, {UPDATES "0", "x"}, {NULL, NULL}},
		"mine: " UPDATES "0: no newline at the end");
	refused((struct file[]){{STATUS, A("1") "\n"}, {UPDATES "0", "x\n"}, {NULL, NULL}},
		"mine: " UPDATES "0: line 1: not 'Field: value'");
	refused((struct file[]){{STATUS, A("1") "\n"}, {UPDATES "0", A("1")},
			{UPDATES "01", A("1")}, {NULL, NULL}},
		"mine: " UPDATES " has names of different lengths, or too long ones");
	refused((struct file[]){{STATUS, A("1") "\n"}, {UPDATES "01234567890", A("1")},
			{NULL, NULL}},
		"mine: " UPDATES " has names of different lengths, or too long ones");
	refused((struct file[]){{STATUS, "x\n"}, {UPDATES "0", A("1")}, {NULL, NULL}},
		"mine: " STATUS ": line 1: not 'Field: value'");
	/* What the user does not have is nothing that is wrong. */
	check((struct file[]){{STATUS, A("1") "\n"}, {UPDATES "0", ""}, {UPDATES "1", NULL},
		      {NULL, NULL}},
		A("1") "\n");
}

/* --- many of them --- */

#define N_MANY 100000

/* @return that many stanzas, with a number each in the name, or in the architecture */
static char *many(const char *before, const char *behind)
{
	char *text = malloc(N_MANY * 96), *at = text;

	ASSERT(text);
	for (size_t i = 0; i < N_MANY; i++)
		at += sprintf(at, "%s%zu%s\n", before, i, behind);
	return text;
}

/* Looking for each among all took more than 22 s of a processor; now it is 0.25 s. */
static void check_many(const char *text)
{
	const struct file files[] = {{STATUS, A("1") "\n"}, {UPDATES "0000", text},
		{UPDATES "0001", text}, {NULL, NULL}};
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *at;
	size_t n = 0;

	base = next = A("1") "\n";
	ASSERT_OK(merge(files, &err), err);
	for (at = status(); at && (at = strstr(at, "Package: ")); at++)
		n++;
	ASSERT_EQ(n, N_MANY + 1);
}

TEST(many_packages)
{
	mlimg_autofree char *text = many(
		"Package: p", "\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n");

	check_many(text);
}

TEST(many_architectures)
{
	mlimg_autofree char *text =
		many("Package: p\nStatus: install ok installed\nArchitecture: a",
			"\nMulti-Arch: same\nVersion: 1\n");

	check_many(text);
}
