/* SPDX-License-Identifier: MIT */
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

static void set(int side, const char *path, const char *text)
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

static void set_all(const char *path, const char *base, const char *next, const char *mine)
{
	const char *const all[] = {base, next, mine};

	for (int side = 0; side < 3; side++)
		if (all[side])
			set(side, path, all[side]);
}

static int read_text(void *ctx, enum mlimg_merge_side side, const char *path, char **ret_text,
	size_t *ret_size, struct mlimg_err *err)
{
	for (size_t i = 0; i < n_texts; i++)
		if (texts[i].side == (int)side && strcmp(texts[i].path, path) == 0) {
			*ret_text = strdup(texts[i].text);
			*ret_size = strlen(*ret_text);
			return 0;
		}
	return -ENOENT;
}

static void add_entry(struct mlimg_manifest *m, const char *spec)
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

static int merge_paths(const char *const *paths, size_t n, struct mlimg_err *err)
{
	struct mlimg_packages_input input = {.paths = paths, .n_paths = n, .read = read_text};
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

static const char *merge(const char *path)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(merge_paths(&path, 1, &err), err);
	ASSERT_EQ(merged.n_files, 1);
	ASSERT_STR(merged.files[0].path, path);
	return merged.files[0].text.text;
}

/* @return how many files come out */
static size_t merge_status(void)
{
	const char *path = STATUS;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(merge_paths(&path, 1, &err), err);
	return merged.n_files;
}

/* "NAME VERSION [WANT [STATE]]; ..." as a status */
static char *status_of(const char *spec)
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
static char *spec_of(const char *status)
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

static void set_status(const char *base, const char *next, const char *mine)
{
	const char *const all[] = {base, next, mine};

	for (int side = 0; side < 3; side++) {
		mlimg_autofree char *text = status_of(all[side]);

		set(side, STATUS, text);
	}
}

static char *told(void)
{
	static char text[4096];

	text[0] = '\0';
	for (size_t i = 0; i < notes.n; i++)
		sprintf(text + strlen(text), "%s %s: %s\n",
			mlimg_note_kind_name(notes.notes[i].kind), notes.notes[i].name,
			notes.notes[i].text);
	return text;
}

static void check(const char *base, const char *next, const char *mine, const char *wanted,
	const char *verdicts, const char *note)
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

TEST(which_files_are_databases)
{
	ASSERT(mlimg_packages_is_database(STATUS));
	ASSERT(mlimg_packages_is_database("var/lib/dpkg/alternatives/editor"));
	ASSERT(!mlimg_packages_is_database("var/lib/dpkg/alternatives"));
	ASSERT(!mlimg_packages_is_database("var/lib/dpkg/alternatives/a/b"));
	ASSERT(!mlimg_packages_is_database("var/lib/dpkg/status-old"));
	ASSERT(mlimg_packages_is_database("var/cache/debconf/config.dat"));
	ASSERT(mlimg_packages_is_database("var/cache/debconf/templates.dat"));
	ASSERT(!mlimg_packages_is_database("var/cache/debconf/config.dat-old"));
	ASSERT(!mlimg_packages_is_database("etc/passwd"));
	ASSERT(!mlimg_packages_is_database(INFO "a.list"));
}

TEST(packages_that_the_user_left_alone)
{
	check("a 1; b 1; c 1", "a 2; c 1; d 1", "a 1; b 1; c 1", "a 2; c 1; d 1", "", "");
	ASSERT_EQ(merged.files[0].text.from, MLIMG_FROM_NEXT);
	check("a 1", "a 1", "a 1", "a 1", "", "");
	/* A trigger that waits; and not when next has the package done. */
	check("a 1", "a 1", "a 1 install triggers-pending", "a 1 install triggers-pending", "", "");
	ASSERT_EQ(merged.files[0].text.from, MLIMG_FROM_MINE);
	check("a 1", "a 2", "a 1 install half-configured", "a 2", "", "");
}

TEST(packages_that_the_user_installed)
{
	check("a 1", "a 2", "a 1; b 1", "a 2; b 1", "b mine", "");
	check("a 1", "a 1; b 1", "a 1; b 1", "a 1; b 1", "", "");
	check("a 1", "a 1; b 2", "a 1; b 1", "a 1; b 2", "b next",
		"told b: 1, installed here, gives way to the system's 2\n");
	check("a 1", "a 1; b 1", "a 1; b 1+x", "a 1; b 1+x", "b mine", "");
	check("a 1", "a 1; b 2", "a 1; b 1 hold", "a 1; b 1 hold", "b mine",
		"told b: on hold at 1, while the system has 2\n");
	check("a 1", "a 1; b 2", "a 1; b 1 hold half-installed", "a 1; b 2 hold", "b next",
		"told b: 1, installed here, gives way to the system's 2\n");
}

TEST(packages_that_the_user_upgraded)
{
	check("a 1", "a 1", "a 2", "a 2", "a mine", "");
	check("a 2", "a 2", "a 1", "a 1", "a mine", "");
	check("a 1", "a 2", "a 2", "a 2", "", "");
	check("a 1", "a 2", "a 3", "a 3", "a mine", "");
	check("a 1", "a 3", "a 2", "a 3", "a next",
		"told a: 2, installed here, gives way to the system's 3\n");
	check("a 1; b 1", "b 1", "a 2; b 1", "a 2; b 1", "a mine",
		"told a: the system has it no more; 2, installed here, stays\n");
}

TEST(packages_that_the_user_removed)
{
	check("a 1; b 1", "a 1; b 1", "b 1", "b 1", "a removed", "");
	check("a 1; b 1", "a 2; b 2", "b 1", "b 2", "a removed", "");
	check("a 1; b 1", "a 2; b 2", "a 1 deinstall config-files; b 1",
		"a 1 deinstall config-files; b 2", "a removed", "");
	check("a 1; b 1", "b 2", "b 1", "b 2", "a removed", "");
	/* His own, once; then the system has it. */
	check("b 1", "a 1; b 1", "a 1 deinstall config-files; b 1", "a 1; b 1", "", "");
	check("b 1", "b 2", "a 1 deinstall config-files; b 1", "a 1 deinstall config-files; b 2",
		"", "");
}

TEST(packages_on_hold)
{
	check("a 1", "a 1", "a 1 hold", "a 1 hold", "", "");
	check("a 1", "a 2", "a 1 hold", "a 2 hold", "",
		"conflict a: on hold at 1, but the system has 2, and the files are the system's\n");
	check("a 1", "b 1", "a 1 hold", "b 1", "",
		"conflict a: on hold at 1, but the system has it no more\n");
	check("a 1 hold", "a 2 hold", "a 1", "a 2", "", "");
}

TEST(no_base)
{
	check("", "a 2; b 1", "a 1; c 1", "a 2; c 1; b 1", "a next, c mine",
		"told a: 1, installed here, gives way to the system's 2\n");
}

static void hidden(const char *wanted)
{
	char found[1024] = "";

	for (size_t i = 0; i < merged.n_hidden; i++)
		sprintf(found + strlen(found), "%s ", merged.hidden[i]);
	ASSERT_STR(found, wanted);
}

TEST(several_architectures_of_a_package)
{
#define STANZA(ARCHITECTURE, VERSION)                                           \
	"Package: l\nStatus: install ok installed\nArchitecture: " ARCHITECTURE \
	"\nMulti-Arch: same\nVersion: " VERSION "\n\n"
	set_all(STATUS, STANZA("amd64", "1"), STANZA("amd64", "2"),
		STANZA("amd64", "1") STANZA("i386", "1"));
	ASSERT_STR(merge(STATUS), STANZA("amd64", "2") STANZA("i386", "1"));
	ASSERT_EQ(merged.n_packages, 1);
	ASSERT_STR(merged.packages[0].architecture, "i386");
	ASSERT_EQ(mlimg_packages_verdict_of(&merged, INFO "l:i386.list"), MLIMG_FILES_MINE);
	ASSERT_EQ(mlimg_packages_verdict_of(&merged, INFO "l:amd64.list"), MLIMG_FILES_PLAIN);
	/* One alone is one package, whatever architecture it turns to. */
	set_all(STATUS, STANZA("amd64", "1"), STANZA("all", "2"), STANZA("amd64", "1"));
	ASSERT_STR(merge(STATUS), STANZA("all", "2"));
	/* What both have of it must not be hidden. */
	set_all(STATUS, STANZA("amd64", "1") STANZA("i386", "1"),
		STANZA("amd64", "1") STANZA("i386", "1"), STANZA("amd64", "1"));
	set_all(INFO "l:amd64.list", NULL, "/usr/a\n/usr/both\n", NULL);
	set_all(INFO "l:i386.list", NULL, "/usr/both\n/usr/i\n", NULL);
	next_paths[0] = "usr/a";
	next_paths[1] = "usr/both";
	next_paths[2] = "usr/i";
	next_paths[3] = NULL;
	merge(STATUS);
	hidden("usr/i ");
}

static void verdict(const char *path, enum mlimg_package_verdict wanted)
{
	enum mlimg_package_verdict is = mlimg_packages_verdict_of(&merged, path);

	if (is != wanted)
		FAIL("%s: %s, not %s", path, mlimg_package_verdict_name(is),
			mlimg_package_verdict_name(wanted));
}

TEST(paths_of_packages)
{
	static const char *const paths[] = {"bin>usr/bin", "etc/", "etc/gone.conf", "usr/",
		"usr/bin/", "usr/bin/gone", "usr/bin/mine", "usr/bin/mine-old", "usr/bin/new",
		"usr/bin/next", "usr/bin/plain", "usr/share/", "var/lib/dpkg/info/",
		INFO "gone.list", INFO "gone.md5sums", INFO "gone.postrm", INFO "gone.x.list",
		INFO "mine.triggers", INFO "next.list"};

	memcpy(next_paths, paths, sizeof(paths));
	set_status("gone 1; mine 1; next 1; plain 1", "gone 2; mine 1; next 3; plain 2; new 1",
		"gone 1 deinstall config-files; mine 2; next 2; plain 1; own 1");
	set_all(INFO "gone.list", NULL, "/.\n/bin\n/bin/gone\n/etc/gone.conf\n/usr/share\n", NULL);
	set_all(INFO "mine.list", NULL, "/bin/mine\n/bin/mine-old\n", "/bin/mine\n/bin/mine-new\n");
	set_all(INFO "next.list", NULL, "/bin/next\n", "/bin/next\n/bin/next-2\n/etc/next.conf\n");
	set_all(INFO "new.list", NULL, "/bin/new\n/etc/new.conf\n", NULL);
	set(2, INFO "own.list", "/usr/bin/own\n");
	merge(STATUS);
	verdict("usr/bin/gone", MLIMG_FILES_REMOVED);
	verdict("usr/bin/mine", MLIMG_FILES_MINE);
	verdict("usr/bin/mine-new", MLIMG_FILES_MINE);
	verdict("usr/bin/mine-old", MLIMG_FILES_REMOVED);
	verdict("usr/bin/next", MLIMG_FILES_NEXT);
	verdict("usr/bin/next-2", MLIMG_FILES_NEXT);
	verdict("etc/next.conf", MLIMG_FILES_PLAIN);
	verdict("usr/bin/new", MLIMG_FILES_NEW);
	verdict("etc/new.conf", MLIMG_FILES_PLAIN);
	verdict("usr/bin/own", MLIMG_FILES_MINE);
	verdict("usr/bin/plain", MLIMG_FILES_PLAIN);
	verdict("usr/bin/none", MLIMG_FILES_PLAIN);
	verdict(INFO "own.list", MLIMG_FILES_MINE);
	verdict(INFO "next.postinst", MLIMG_FILES_NEXT);
	verdict(INFO "plain.list", MLIMG_FILES_PLAIN);
	verdict(INFO "gone.list", MLIMG_FILES_REMOVED);
	verdict(INFO "gone.x.list", MLIMG_FILES_PLAIN);
	verdict(INFO "format", MLIMG_FILES_PLAIN);
	hidden("usr/bin/gone usr/bin/mine-old " INFO "gone.list " INFO "gone.md5sums " INFO
	       "mine.triggers ");
	ASSERT_STR(merged.packages[0].version[MLIMG_SIDE_NEXT], "2");
	ASSERT_STR(merged.packages[0].version[MLIMG_SIDE_MINE], NULL);
	ASSERT_STR(merged.packages[0].merged_version, NULL);
	ASSERT_STR(merged.packages[1].merged_version, "2");
}

TEST(files_that_are_diverted)
{
	next_paths[0] = "usr/d";
	next_paths[1] = "usr/d.real";
	next_paths[2] = NULL;
	set_status("gone 1", "gone 2", "");
	set_all(INFO "gone.list", NULL, "/usr/d\n", NULL);
	set_all("var/lib/dpkg/diversions", NULL, "/usr/d\n/usr/d.real\nother\n", NULL);
	merge(STATUS);
	hidden("usr/d.real ");
	set_all("var/lib/dpkg/diversions", NULL, "/usr/d\n/usr/d.real\ngone\n", NULL);
	merge(STATUS);
	hidden("usr/d ");
}

TEST(configuration_that_is_in_the_old_system_alone)
{
#define CONF(VERSION)                                                                 \
	"Package: a\nStatus: install ok installed\nArchitecture: amd64\nConffiles:\n" \
	" /etc/a 00\n /etc/changed 00\n /etc/next 00 obsolete\nVersion: " VERSION "\n\n"
	next_paths[0] = "etc/next";
	next_paths[1] = NULL;
	set_all(STATUS, CONF("1"), "", CONF("2"));
	set_all("etc/a", "text\n", NULL, "text\n");
	set_all("etc/changed", "text\n", NULL, "mine\n");
	set_all("etc/next", "text\n", "text\n", "text\n");
	ASSERT_EQ(merge_status(), 2);
	ASSERT_STR(merged.files[1].path, "etc/a");
	ASSERT_STR(merged.files[1].text.text, "text\n");
	/* Not when the package is the system's. */
	set(1, STATUS, CONF("3"));
	ASSERT_EQ(merge_status(), 1);
}

/* It has moved from one to the other, and the first still names it. */
TEST(configuration_that_two_packages_name)
{
#define OF_TWO(VERSION)                                                                           \
	CONF(VERSION)                                                                             \
	"Package: b\nStatus: install ok installed\nArchitecture: amd64\nConffiles:\n /etc/b 00\n" \
	" /etc/a 00\nVersion: " VERSION "\n\n"
	set_all(STATUS, OF_TWO("1"), "", OF_TWO("2"));
	set_all("etc/a", "text\n", NULL, "text\n");
	set_all("etc/b", "other\n", NULL, "other\n");
	ASSERT_EQ(merge_status(), 3);
	ASSERT_STR(merged.files[1].path, "etc/a");
	ASSERT_STR(merged.files[2].path, "etc/b");
	ASSERT_STR(merged.files[2].text.text, "other\n");
}

static void depends(const char *fields, const char *next_more, const char *note)
{
	char mine[512], next[512];

	sprintf(mine,
		"Package: own\nStatus: install ok installed\nArchitecture: amd64\nVersion: "
		"1\n%s\n\n"
		"Package: lib\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n",
		fields);
	sprintf(next,
		"Package: lib\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n%s\n",
		next_more);
	set_all(STATUS,
		"Package: lib\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n",
		next, mine);
	merge(STATUS);
	ASSERT_STR(told(), note);
}

#define SHORT(NAME, VERSION, FIELDS)                                             \
	"Package: " NAME "\nStatus: install ok installed\nArchitecture: amd64\n" \
	"Version: " VERSION "\n" FIELDS "\n"

TEST(dependencies_that_hold_no_more)
{
	depends("Depends: lib", "", "");
	depends("Depends: lib (= 1)", "", "broken own: Depends: lib (= 1), but lib 2 is there\n");
	depends("Depends: x | lib (<< 2)", "",
		"broken own: Depends: x | lib (<< 2), which is not "
		"there\n");
	depends("Pre-Depends: lib (<= 1), lib", "",
		"broken own: Pre-Depends: lib (<= 1), but lib 2 is there\n");
	depends("Depends: lib (>> 1) | x", "", "");
	depends("Depends: none", "", "");
	depends("Breaks: lib (>= 2)", "", "broken own: Breaks: lib (>= 2), but lib 2 is there\n");
	depends("Conflicts: v", "Provides: v (= 3), w\n",
		"broken own: Conflicts: v, but lib 2 is there\n");
	depends("Conflicts: v (<< 3)", "Provides: v (= 3)\n", "");
	depends("Depends: lib:any (= 1) | lib:i386", "",
		"broken own: Depends: lib:any (= 1) | lib:i386, but lib 2 is there\n");
	depends("Depends: lib:amd64 (>= 1)", "", "");
	depends("Conflicts: own, v\nProvides: v", "Provides: w\n", "");
	/* The system's version asks for more than the one that it replaces. */
	set_all(STATUS, SHORT("a", "1", "") SHORT("b", "1", "Depends: a\n"),
		SHORT("a", "2", "") SHORT("b", "3", "Depends: a (>= 2)\n"),
		SHORT("a", "1.5", "") SHORT("b", "1", "Depends: a\n"));
	merge(STATUS);
	ASSERT_STR(told(), "told a: 1.5, installed here, gives way to the system's 2\n");
	set(2, STATUS, SHORT("b", "2", "Depends: c\n"));
	merge(STATUS);
	ASSERT_STR(told(),
		"told b: 2, installed here, gives way to the system's 3\n"
		"broken b: Depends: a (>= 2), which is not there\n");
	/* Folded. */
	depends("Depends: lib,\n lib (=\n  1)", "",
		"broken own: Depends: lib (=?  1), but lib 2 is "
		"there\n");
}

TEST(other_databases)
{
	static const char path[] = "var/lib/dpkg/statoverride";

	set_all(path, "root root 4755 /a\nroot root 755 /b\n",
		"root root 755 /a\nroot root 755 /b\nroot root 1 /n\n",
		"root adm 4755 /a\nroot root 755 /m\n");
	ASSERT_STR(merge(path), "root adm 4755 /a\nroot root 755 /m\nroot root 1 /n\n");
	ASSERT_STR(told(), "conflict /a: changed here and by the system; it stays as it is here\n");
	ASSERT_EQ(merged.files[0].text.from, MLIMG_FROM_BOTH);
	set_all("var/lib/dpkg/triggers/t", "p\n", "p\nq\n", NULL);
	ASSERT_STR(merge("var/lib/dpkg/triggers/t"), "q\n");
	set_all("var/lib/dpkg/triggers/u", "p\n", "p\n", NULL);
	ASSERT_STR(merge("var/lib/dpkg/triggers/u"), NULL);
	ASSERT_EQ(merged.files[0].text.from, MLIMG_FROM_MINE);
	set_all("var/lib/dpkg/triggers/v", "p\n", NULL, "p\n");
	ASSERT_STR(merge("var/lib/dpkg/triggers/v"), NULL);
	ASSERT_EQ(merged.files[0].text.from, MLIMG_FROM_NEXT);
}

static const char *merge_with_status(const char *path)
{
	const char *const paths[] = {path, STATUS};
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(merge_paths(paths, 2, &err), err);
	ASSERT_STR(merged.files[0].path, path);
	return merged.files[0].text.text;
}

TEST(what_databases_have_of_a_package_follows_it)
{
	/*
	 * The user's stays, though next has dropped its own; what he removed does not come back;
	 * what gave way is next's.
	 */
	set_status("mine 1; gone 1; plain 1", "gone 2; give 2; plain 2", "mine 2; give 1; plain 1");
	set_all("var/lib/dpkg/triggers/File", "/m mine/noawait\n/g gone\n/p plain\n",
		"/g2 gone\n/i give\n/p plain\n", "/m mine/noawait\n/i0 give\n/p plain\n");
	ASSERT_STR(merge_with_status("var/lib/dpkg/triggers/File"),
		"/m mine/noawait\n/p plain\n/i give\n");
	set_all("var/lib/dpkg/triggers/t", "mine:amd64/noawait\n", "gone\n",
		"mine:amd64/noawait\n");
	ASSERT_STR(merge_with_status("var/lib/dpkg/triggers/t"), "mine:amd64/noawait\n");
	set_all("var/lib/dpkg/diversions", "/a\n/b\nmine\n", "/c\n/d\ngone\n/e\n/f\nplain\n",
		"/a\n/b\nmine\n");
	ASSERT_STR(merge_with_status("var/lib/dpkg/diversions"), "/e\n/f\nplain\n/a\n/b\nmine\n");
	set_all("var/lib/apt/extended_states", "Package: mine\nAuto-Installed: 1\n\n", "",
		"Package: mine\nAuto-Installed: 1\n\n");
	ASSERT_STR(merge_with_status("var/lib/apt/extended_states"),
		"Package: mine\nAuto-Installed: 1\n\n");
}

#define CONFIG "var/cache/debconf/config.dat"
#define TEMPLATES "var/cache/debconf/templates.dat"
#define QUESTION(NAME, VALUE) \
	"Name: " NAME "\nTemplate: " NAME "\nValue: " VALUE "\nVariables:\n A = " VALUE "\n\n"
#define TEMPLATE(NAME, OWNERS, TEXT) \
	"Name: " NAME "\nDescription: " TEXT "\nOwners: " OWNERS "\nType: note\n\n"

TEST(what_debconf_knows)
{
	/*
	 * One of the new stack's, one of the user's, one that is gone, what each has answered, and
	 * what both have.
	 */
	set_all(CONFIG, QUESTION("a", "1") QUESTION("b", "1") QUESTION("c", "1") QUESTION("d", "1"),
		QUESTION("a", "2") QUESTION("b", "1") QUESTION("d", "2") QUESTION("n", "2"),
		QUESTION("a", "1") QUESTION("b", "3") QUESTION("c", "1") QUESTION("d", "3")
			QUESTION("m", "3"));
	ASSERT_STR(merge(CONFIG),
		QUESTION("a", "2") QUESTION("b", "3") QUESTION("d", "3") QUESTION("m", "3")
			QUESTION("n", "2"));
	ASSERT_STR(told(), "conflict d: changed here and by the system; it stays as it is here\n");
	/* The user's package is the newer one, and so are its templates. */
	set_status("mine 1; plain 1; give 1", "mine 2; plain 2; give 3", "mine 3; plain 1; give 2");
	set_all(TEMPLATES,
		TEMPLATE("m", "mine", "1") TEMPLATE("p", "plain", "1") TEMPLATE("g", "give", "1"),
		TEMPLATE("m", "mine", "2") TEMPLATE("p", "plain", "2") TEMPLATE("g", "give", "3"),
		TEMPLATE("m", "mine", "3") TEMPLATE("p", "plain", "1") TEMPLATE("g", "give", "2"));
	ASSERT_STR(merge_with_status(TEMPLATES),
		TEMPLATE("m", "mine", "3") TEMPLATE("p", "plain", "2") TEMPLATE("g", "give", "3"));
	ASSERT_STR(told(), "told give: 2, installed here, gives way to the system's 3\n");
	/* What cannot be read keeps nothing else from being merged. */
	set_status("a 1", "a 2", "a 1");
	set_all(TEMPLATES, "", "", "Name: a\nName: b\n\n");
	ASSERT(!merge_with_status(TEMPLATES));
	ASSERT_STR(told(),
		"broken debconf: not merged: mine: " TEMPLATES ": line 2: 'Name' is there twice\n");
	ASSERT(merged.files[1].text.text);
	set_all(TEMPLATES, "", "", "Type: note\n\n");
	ASSERT(!merge_with_status(TEMPLATES));
	ASSERT_STR(told(),
		"broken debconf: not merged: mine: " TEMPLATES
		": line 1: a record without 'Name'\n");
}

TEST(what_debconf_knew_and_the_user_removed)
{
	set_all(CONFIG, QUESTION("a", "1"), QUESTION("a", "2") QUESTION("b", "2"), NULL);
	ASSERT(!merge(CONFIG));
	ASSERT_STR(told(), "");
}

#define EDITOR "var/lib/dpkg/alternatives/editor"
#define NANO(PRIORITY) "/bin/nano\n" PRIORITY "\n/nano.1\n"
#define VIM "/usr/bin/vim\n50\n/vim.1\n"
#define ED "/bin/ed\n-100\n\n"
#define HEAD(STATUS) STATUS "\n/usr/bin/editor\neditor.1\n/man/editor.1\n\n"

TEST(alternatives)
{
	set_all(EDITOR, HEAD("auto") NANO("40") "\n", HEAD("auto") ED NANO("60") "\n",
		HEAD("auto") NANO("40") VIM "\n");
	ASSERT_STR(merge(EDITOR), HEAD("auto") ED NANO("60") VIM "\n");
	ASSERT_EQ(merged.n_links, 2);
	ASSERT_STR(merged.links[0].path, "etc/alternatives/editor");
	ASSERT_STR(merged.links[0].target, "/bin/nano");
	ASSERT_STR(merged.links[0].others[0], "/bin/ed");
	ASSERT_STR(merged.links[0].others[2], "/usr/bin/vim");
	ASSERT_STR(merged.links[1].path, "etc/alternatives/editor.1");
	ASSERT_STR(merged.links[1].target, "/nano.1");
	/* What the user chose is his. */
	set_all(EDITOR, HEAD("auto") NANO("40") "\n", HEAD("auto") NANO("60") "\n",
		HEAD("manual") NANO("40") VIM "\n");
	ASSERT_STR(merge(EDITOR), HEAD("manual") NANO("60") VIM "\n");
	ASSERT_EQ(merged.n_links, 0);
	/* Removed on either side. */
	set_all(EDITOR, HEAD("auto") ED NANO("40") "\n", HEAD("auto") NANO("40") "\n",
		HEAD("auto") ED VIM "\n");
	ASSERT_STR(merge(EDITOR), HEAD("auto") VIM "\n");
	set_all("var/lib/dpkg/alternatives/gone", HEAD("auto") ED "\n", HEAD("auto") ED "\n", NULL);
	ASSERT_STR(merge("var/lib/dpkg/alternatives/gone"), NULL);
	ASSERT_EQ(merged.files[0].text.from, MLIMG_FROM_MINE);
	/* A slave that next added; none of the choice of the user's has it. */
	set_all(EDITOR, HEAD("auto") NANO("40") "\n",
		"auto\n/usr/bin/editor\neditor.1\n/man/editor.1\nx\n/x\n\n" NANO("40") "/nx\n\n",
		HEAD("auto") NANO("40") VIM "\n");
	ASSERT_STR(merge(EDITOR),
		"auto\n/usr/bin/editor\neditor.1\n/man/editor.1\nx\n/x\n\n" NANO("40") "/nx\n" VIM
										       "\n\n");
	ASSERT_EQ(merged.n_links, 3);
	ASSERT_STR(merged.links[2].path, "etc/alternatives/x");
	ASSERT_STR(merged.links[2].target, NULL);
	/* Nonsense. */
	set_all(EDITOR, HEAD("auto") ED "\n", HEAD("auto") NANO("1") "\n", "auto\n");
	ASSERT_STR(merge(EDITOR), "auto\n");
	ASSERT_STR(told(),
		"conflict editor: not in update-alternatives' form; it stays as it is here\n");
}

/* update-alternatives itself refuses to make such a slave. */
TEST(a_link_of_two_groups)
{
	static const char *const paths[] = {EDITOR, "var/lib/dpkg/alternatives/pager"};
	struct mlimg_err err = MLIMG_ERR_INIT;

#define SLAVES(LINK, CHOICE, X, Y) "auto\n" LINK "\nx\n/x\ny\n/y\n\n" CHOICE "\n" X "\n" Y "\n"
	set_all(EDITOR, SLAVES("/e", "/bin/a\n1", "/1", "") "\n",
		SLAVES("/e", "/bin/a\n2", "/1", "") "\n",
		SLAVES("/e", "/bin/a\n1", "/1", "") "/bin/b\n0\n\n\n\n");
	set_all(paths[1], SLAVES("/p", "/bin/c\n1", "/2", "/3") "\n",
		SLAVES("/p", "/bin/c\n2", "/2", "/3") "\n",
		SLAVES("/p", "/bin/c\n1", "/2", "/3") "/bin/d\n0\n\n\n\n");
	for (int turn = 0; turn < 2; turn++) {
		const char *both[] = {paths[turn], paths[!turn]};

		ASSERT_OK(merge_paths(both, 2, &err), err);
		ASSERT_EQ(merged.n_links, 4);
		ASSERT_STR(merged.links[2].path, "etc/alternatives/x");
		ASSERT_STR(merged.links[2].target, "/1");
		ASSERT_STR(merged.links[3].path, "etc/alternatives/y");
		ASSERT_STR(merged.links[3].target, "/3");
	}
}

TEST(what_is_refused)
{
	const char *path = STATUS;
	struct mlimg_err err = MLIMG_ERR_INIT;

	set_all(STATUS, "", "Package: a\n", "Package: a\n\nnonsense\n");
	ASSERT_FAILS(merge_paths(&path, 1, &err), err, -EUCLEAN,
		"mine: " STATUS ": line 3: not 'Field: value'");
	path = "var/lib/dpkg/arch";
	set_all(path, "a\n", "a\n", "a\na\n");
	ASSERT_FAILS(merge_paths(&path, 1, &err), err, -EUCLEAN,
		"mine: var/lib/dpkg/arch: line 2: 'a' is there already");
}
