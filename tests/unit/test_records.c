/* SPDX-License-Identifier: MIT */
#include "libmlimg/records.h"

#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "tests/lib/test.h"

static struct mlimg_records_text text_of(const char *text)
{
	return (struct mlimg_records_text){text, strlen(text)};
}

static char *diff(enum mlimg_records_form form, const char *old, const char *fresh)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size;
	char *text;

	ASSERT_OK(mlimg_records_diff(form, text_of(old), text_of(fresh), &text, &size, NULL, &err),
		err);
	ASSERT_EQ(strlen(text), size);
	return text;
}

static char *compose(enum mlimg_records_form form, const char *base, const char *records)
{
	const struct mlimg_records_text list[] = {text_of(records)};
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size;
	char *text;

	ASSERT_OK(mlimg_records_compose(form, text_of(base), list, 1, &text, &size, &err), err);
	ASSERT_EQ(strlen(text), size);
	return text;
}

/* The difference is @wanted, and composes to @composed. */
static void check(enum mlimg_records_form form, const char *old, const char *fresh,
	const char *wanted, const char *composed)
{
	mlimg_autofree char *records = diff(form, old, fresh);
	mlimg_autofree char *back = compose(form, old, records);

	ASSERT_STR(records, wanted);
	ASSERT_STR(back, composed);
}

TEST(which_files_have_records)
{
	ASSERT_EQ(mlimg_records_form_of("var/lib/dpkg/status"), MLIMG_RECORDS_STANZAS);
	ASSERT_EQ(mlimg_records_form_of("var/lib/apt/extended_states"), MLIMG_RECORDS_STANZAS);
	ASSERT_EQ(mlimg_records_form_of("var/lib/dpkg/diversions"), MLIMG_RECORDS_DIVERSIONS);
	ASSERT_EQ(mlimg_records_form_of("var/lib/dpkg/statoverride"), MLIMG_RECORDS_OVERRIDES);
	ASSERT_EQ(mlimg_records_form_of("var/lib/dpkg/arch"), MLIMG_RECORDS_LINES);
	ASSERT_EQ(mlimg_records_form_of("var/lib/dpkg/triggers/File"), MLIMG_RECORDS_LINES);
	ASSERT_EQ(mlimg_records_form_of("var/lib/dpkg/triggers/ldconfig"), MLIMG_RECORDS_LINES);
	ASSERT_EQ(mlimg_records_form_of("etc/passwd"), MLIMG_RECORDS_ACCOUNTS);
	ASSERT_EQ(mlimg_records_form_of("etc/group"), MLIMG_RECORDS_GROUPS);
	ASSERT_EQ(mlimg_records_form_of("etc/gshadow"), MLIMG_RECORDS_GSHADOWS);
	ASSERT_EQ(mlimg_records_form_of("etc/subuid"), MLIMG_RECORDS_LINES);
	ASSERT_EQ(mlimg_records_form_of("etc/passwd-"), MLIMG_RECORDS_NONE);
	ASSERT_EQ(mlimg_records_form_of("var/lib/dpkg/triggers/Lock"), MLIMG_RECORDS_NONE);
	ASSERT_EQ(mlimg_records_form_of("var/lib/dpkg/triggers/Unincorp"), MLIMG_RECORDS_NONE);
	ASSERT_EQ(mlimg_records_form_of("var/lib/dpkg/triggers/a/b"), MLIMG_RECORDS_NONE);
	ASSERT_EQ(mlimg_records_form_of("var/lib/dpkg/triggers/"), MLIMG_RECORDS_NONE);
	ASSERT_EQ(mlimg_records_form_of("var/lib/dpkg/status-old"), MLIMG_RECORDS_NONE);
	ASSERT_EQ(mlimg_records_form_of(""), MLIMG_RECORDS_NONE);
}

TEST(stanzas_that_differ)
{
	check(MLIMG_RECORDS_STANZAS,
		"Package: a\nVersion: 1\n\nPackage: b\nArchitecture: all\n\nPackage: c\n",
		"Package: d\n\nPackage: c\nDescription: x\n .\n more\n\npackage:  a \nVersion: "
		"1\n\n",
		"Package: d\n\nPackage: c\nDescription: x\n .\n more\n\npackage:  a \nVersion: "
		"1\n\n"
		"Package: b\nStatus: unknown ok not-installed\nArchitecture: all\n\n",
		"package:  a \nVersion: 1\n\nPackage: c\nDescription: x\n .\n more\n\nPackage: "
		"d\n\n");
}

TEST(a_package_of_two_architectures_is_two_records)
{
	check(MLIMG_RECORDS_STANZAS,
		"Package: a\nArchitecture: amd64\n\nPackage: a\nArchitecture: i386\n\n",
		"Package: a\nArchitecture: amd64\n\n",
		"Package: a\nStatus: unknown ok not-installed\nArchitecture: i386\n\n",
		"Package: a\nArchitecture: amd64\n\n");
}

TEST(a_stanza_that_says_nothing_is_passed_over)
{
	static const char nothing[] = "Package: a\nStatus: unknown ok not-installed\n\nPackage: "
				      "b\nStatus: hold ok not-installed\n";

	check(MLIMG_RECORDS_STANZAS, nothing, nothing, "",
		"Package: b\nStatus: hold ok not-installed\n\n");
	check(MLIMG_RECORDS_STANZAS, "Package: a\n", nothing,
		"Package: b\nStatus: hold ok not-installed\n\n"
		"Package: a\nStatus: unknown ok not-installed\n\n",
		"Package: b\nStatus: hold ok not-installed\n\n");
}

TEST(equal_databases_do_not_differ)
{
	check(MLIMG_RECORDS_STANZAS, "Package: a\n\n\n\nPackage: b\n", "Package: b\n\nPackage: a\n",
		"", "Package: a\n\nPackage: b\n\n");
	check(MLIMG_RECORDS_LINES, "", "", "", "");
}

TEST(diversions_that_differ)
{
	check(MLIMG_RECORDS_DIVERSIONS, "/a\n/a.x\np\n/b\n/b.x\n:\n", "/c\n/c.x\np\n/a\n/a.y\np\n",
		"/c\n/c.x\np\n/a\n/a.y\np\n/b\n-\n-\n", "/a\n/a.y\np\n/c\n/c.x\np\n");
}

TEST(overrides_that_differ)
{
	check(MLIMG_RECORDS_OVERRIDES, "root root 755 /a b\nroot root 755 /c\n",
		"root root 4755 /a b\n#1 #2 644 /d\n",
		"root root 4755 /a b\n#1 #2 644 /d\n- - - /c\n",
		"root root 4755 /a b\n#1 #2 644 /d\n");
}

TEST(lines_that_differ)
{
	check(MLIMG_RECORDS_LINES, "amd64\narmel\n", "amd64\ni386\n", "i386\n-armel\n",
		"amd64\ni386\n");
}

TEST(accounts_that_differ)
{
	check(MLIMG_RECORDS_ACCOUNTS, "root:x:0:0:::/bin/sh\n# c\n\nman:x:6:12:::\n+::::::\nhalf\n",
		"root:x:0:0:::/bin/zsh\nwww:x:33:33:::\n+::::::\n-bob\n",
		"root:x:0:0:::/bin/zsh\nwww:x:33:33:::\n-bob\n:# c\n:man\n:half\n",
		"root:x:0:0:::/bin/zsh\n+::::::\nwww:x:33:33:::\n-bob\n");
	check(MLIMG_RECORDS_LINES, "a:1:1\na:2:1\n", "a:2:1\nb:3:1\n", "b:3:1\n-a:1:1\n",
		"a:2:1\nb:3:1\n");
}

TEST(groups_differ_by_member)
{
	check(MLIMG_RECORDS_GROUPS, "g:x:1:a,b\nh:x:2:\nsame:x:3:a,b\n",
		"g:x:1:b,c\nh:!:2:\nsame:x:3:b,a\nnew:x:4:a,b\n",
		"g:x:1:+c,-a\nh:!:2:\nnew:x:4:a,b\n",
		"g:x:1:b,c\nh:!:2:\nsame:x:3:a,b\nnew:x:4:a,b\n");
	check(MLIMG_RECORDS_GSHADOWS, "g:*:adm:a\n", "g:!:adm,b:\n", "g:!:+b:-a\n", "g:!:adm,b:\n");
}

TEST(two_layers_with_members_of_a_group)
{
	const struct mlimg_records_text list[] = {text_of("ssl:x:9:+pg\ndb:x:7:pg\n"),
		text_of("ssl:x:9:+web,-old\ndb:x:7:web,pg\nweb:x:8:\n"),
		text_of("gone:x:6:+x,-y\n:web\n")};
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *text = NULL;
	size_t size;

	ASSERT_OK(mlimg_records_compose(MLIMG_RECORDS_GROUPS, text_of("ssl:x:9:old\n"), list, 3,
			  &text, &size, &err),
		err);
	ASSERT_STR(text, "ssl:x:9:pg,web\ndb:x:7:pg,web\ngone:x:6:x\n");
}

TEST(records_of_several_layers_in_their_order)
{
	const struct mlimg_records_text list[] = {
		text_of("c\n-a\n"), text_of("-c\nd\n"), text_of(""), text_of("a\n-none\n")};
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *text = NULL;
	size_t size;

	ASSERT_OK(mlimg_records_compose(
			  MLIMG_RECORDS_LINES, text_of("a\nb\n"), list, 4, &text, &size, &err),
		err);
	ASSERT_STR(text, "b\nd\na\n");
}

static void refused(
	enum mlimg_records_form form, const char *old, const char *fresh, const char *message)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size;
	char *text;

	ASSERT_FAILS(
		mlimg_records_diff(form, text_of(old), text_of(fresh), &text, &size, NULL, &err),
		err, -EUCLEAN, message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
}

TEST(what_is_no_stanza_is_refused)
{
	refused(MLIMG_RECORDS_STANZAS, "", "Package: a\n\nVersion: 1\n\n",
		"line 3: a record without 'Package'");
	refused(MLIMG_RECORDS_STANZAS, "", "Package:\n", "line 1: a record without 'Package'");
	refused(MLIMG_RECORDS_STANZAS, "", "Package: a\nnonsense\n", "line 2: not 'Field: value'");
	refused(MLIMG_RECORDS_STANZAS, "", "Package: a\nFoo bar: 1\n",
		"line 2: not 'Field: value'");
	refused(MLIMG_RECORDS_STANZAS, "", "Package: a\n: 1\n", "line 2: not 'Field: value'");
	refused(MLIMG_RECORDS_STANZAS, "", " Package: a\n", "line 1: not 'Field: value'");
	refused(MLIMG_RECORDS_STANZAS, "", "Package: a\n \t\n", "line 2: not 'Field: value'");
	refused(MLIMG_RECORDS_STANZAS, "", "Version: 1\nPackage: a\n b\n",
		"line 3: 'Package' has but one line");
	refused(MLIMG_RECORDS_STANZAS, "", "Package: a\nStatus:\n b\n",
		"line 3: 'Status' has but one line");
	refused(MLIMG_RECORDS_STANZAS, "", "Package: a\nPACKAGE: b\n",
		"line 2: 'Package' is there twice");
	refused(MLIMG_RECORDS_STANZAS, "", "Package: a\n\nPackage: b\n\nPackage: a\n",
		"line 5: 'a' is there already");
	refused(MLIMG_RECORDS_STANZAS, "Package: a\n\nPackage: a\n", "",
		"beneath: line 3: 'a' is there already");
}

TEST(what_is_no_line_of_the_others_is_refused)
{
	refused(MLIMG_RECORDS_DIVERSIONS, "", "/a\n/b\n",
		"line 1: a diversion that is not three lines");
	refused(MLIMG_RECORDS_DIVERSIONS, "", "/a\n/b\nc\n/d\n/e\n",
		"line 4: a diversion that is not three lines");
	refused(MLIMG_RECORDS_DIVERSIONS, "", "a\n/b\nc\n",
		"line 1: not a diversion's two paths and package");
	refused(MLIMG_RECORDS_DIVERSIONS, "", "/a\n-\nc\n",
		"line 1: not a diversion's two paths and package");
	refused(MLIMG_RECORDS_DIVERSIONS, "", "/a\n/b\n\n",
		"line 1: not a diversion's two paths and package");
	refused(MLIMG_RECORDS_DIVERSIONS, "", "/a\n/b\nc\n/a\n/b\nd\n",
		"line 4: '/a' is there already");
	refused(MLIMG_RECORDS_OVERRIDES, "", "root root 755\n",
		"line 1: not 'USER GROUP MODE PATH'");
	refused(MLIMG_RECORDS_OVERRIDES, "", "root  755 /a\n",
		"line 1: not 'USER GROUP MODE PATH'");
	refused(MLIMG_RECORDS_OVERRIDES, "", "root root 755 \n",
		"line 1: not 'USER GROUP MODE PATH'");
	refused(MLIMG_RECORDS_LINES, "", "a\n\nb\n", "line 2 is empty");
	refused(MLIMG_RECORDS_LINES, "", "a\nb\na\n", "line 3: 'a' is there already");
}

TEST(what_is_no_account_is_refused)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *large = calloc(1, 20000);
	const struct mlimg_records_text nothing = text_of(":\n");
	size_t size;
	char *text;

	refused(MLIMG_RECORDS_ACCOUNTS, "", "a:x:1\na:x:2\n", "line 2: 'a' is there already");
	refused(MLIMG_RECORDS_ACCOUNTS, "", ":a\n", "line 1: a record that is gone");
	refused(MLIMG_RECORDS_GROUPS, "", "a:x:1:b,+c\n",
		"line 1: a member that begins with '+' or '-'");
	ASSERT(large);
	memset(large, 'a', 16384);
	large[16384] = '\n';
	refused(MLIMG_RECORDS_GROUPS, "", large, "line 1: more than 16384 bytes");
	ASSERT_FAILS(mlimg_records_compose(
			     MLIMG_RECORDS_ACCOUNTS, text_of(""), &nothing, 1, &text, &size, &err),
		err, -EUCLEAN, "records 1 of 1: line 1: a mark of nothing");
}

TEST(marks_are_refused_in_a_database)
{
	refused(MLIMG_RECORDS_DIVERSIONS, "", "/a\n-\n-\n", "line 1: a record that is gone");
	refused(MLIMG_RECORDS_OVERRIDES, "", "- - - /a\n", "line 1: a record that is gone");
	refused(MLIMG_RECORDS_LINES, "-a\n", "", "beneath: line 1: a record that is gone");
}

TEST(what_is_no_text_is_refused)
{
	static const char nul[] = "Package: a\n\0b\n";
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size = (64u << 20) + 1;
	mlimg_autofree char *large = malloc(size);
	char *text;

	refused(MLIMG_RECORDS_STANZAS, "", "Package: a", "no newline at the end");
	ASSERT_FAILS(mlimg_records_diff(MLIMG_RECORDS_STANZAS, text_of(""),
			     (struct mlimg_records_text){nul, sizeof(nul) - 1}, &text, &size, NULL,
			     &err),
		err, -EUCLEAN, "a NUL in it");
	ASSERT(large);
	memset(large, '\n', (64u << 20) + 1);
	ASSERT_FAILS(mlimg_records_diff(MLIMG_RECORDS_STANZAS, text_of(""),
			     (struct mlimg_records_text){large, (64u << 20) + 1}, &text, &size,
			     NULL, &err),
		err, -EUCLEAN, "more than 67108864 bytes");
}

TEST(errors_say_which_records)
{
	const struct mlimg_records_text list[] = {text_of("a\n"), text_of("\n")};
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t size;
	char *text;

	ASSERT_FAILS(mlimg_records_compose(
			     MLIMG_RECORDS_LINES, text_of(""), list, 2, &text, &size, &err),
		err, -EUCLEAN, "records 2 of 2: line 1 is empty");
	ASSERT_FAILS(mlimg_records_compose(
			     MLIMG_RECORDS_LINES, text_of("\n"), NULL, 0, &text, &size, &err),
		err, -EUCLEAN, "line 1 is empty");
}

/*
 * Random databases of packages p0 .. p39, each there or not, at one of three versions.
 */

#define N_PACKAGES 40

struct database {
	int versions[N_PACKAGES]; /* 0: not there */
	int order[N_PACKAGES];
};

static void make_random(struct database *d)
{
	for (int i = 0; i < N_PACKAGES; i++) {
		int k = (int)test_random((uint64_t)i + 1);

		d->versions[i] = (int)test_random(4);
		d->order[i] = d->order[k];
		d->order[k] = i;
	}
}

static void put_package(FILE *f, enum mlimg_records_form form, int i, int version)
{
	switch (form) {
	case MLIMG_RECORDS_STANZAS:
		fprintf(f,
			"Package: p%d\nStatus: install ok installed\nMaintainer: a <a@b>\n"
			"Architecture: amd64\nVersion: %d\nDescription: x\n .\n y\n\n",
			i, version);
		break;
	case MLIMG_RECORDS_DIVERSIONS: fprintf(f, "/p%d\n/p%d.%d\np\n", i, i, version); break;
	case MLIMG_RECORDS_OVERRIDES: fprintf(f, "root root %d /p %d\n", version, i); break;
	default: fprintf(f, "p%d %d\n", i, version);
	}
}

static char *text_of_database(const struct database *d, enum mlimg_records_form form)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ASSERT(f);
	for (int i = 0; i < N_PACKAGES; i++)
		if (d->versions[d->order[i]])
			put_package(f, form, d->order[i], d->versions[d->order[i]]);
	fclose(f);
	return text;
}

/* The old order, then the new one's for what is new. */
static char *expected(
	const struct database *old, const struct database *fresh, enum mlimg_records_form form)
{
	bool is_line = form == MLIMG_RECORDS_LINES; /* another version is another line */
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ASSERT(f);
	for (int i = 0; i < N_PACKAGES; i++) {
		int p = old->order[i];

		if (old->versions[p] && fresh->versions[p] &&
			(!is_line || old->versions[p] == fresh->versions[p]))
			put_package(f, form, p, fresh->versions[p]);
	}
	for (int i = 0; i < N_PACKAGES; i++) {
		int p = fresh->order[i];

		if (fresh->versions[p] &&
			(!old->versions[p] || (is_line && old->versions[p] != fresh->versions[p])))
			put_package(f, form, p, fresh->versions[p]);
	}
	fclose(f);
	return text;
}

TEST(a_difference_composed_gives_the_new_database)
{
	test_seed();
	for (int i = 0; i < 400; i++) {
		enum mlimg_records_form form =
			MLIMG_RECORDS_STANZAS + (enum mlimg_records_form)(i % 4);
		struct database old, fresh;

		make_random(&old);
		make_random(&fresh);

		mlimg_autofree char *before = text_of_database(&old, form);
		mlimg_autofree char *after = text_of_database(&fresh, form);
		mlimg_autofree char *records = diff(form, before, after);
		mlimg_autofree char *composed = compose(form, before, records);
		mlimg_autofree char *wanted = expected(&old, &fresh, form);
		mlimg_autofree char *rest = diff(form, after, composed);

		ASSERT_STR(composed, wanted);
		ASSERT_STR(rest, "");
	}
}

/* What dpkg itself says of an administrative directory. */
static char *ask_dpkg(const char *admindir)
{
	char command[512], *text = calloc(1, 65536);
	FILE *f;

	snprintf(command, sizeof(command),
		"dpkg-query --admindir=%s -W -f '${Package} ${Version} ${Status}\\n'", admindir);
	f = popen(command, "r");
	ASSERT(f && text);
	text[fread(text, 1, 65535, f)] = '\0';
	ASSERT_EQ(pclose(f), 0);
	return text;
}

static void write_file(const char *dir, const char *name, const char *text, size_t size)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	ASSERT(f && fwrite(text, 1, size, f) == size && fclose(f) == 0);
}

static void make_admindir(const char *dir, const char *status)
{
	static const char *const parts[] = {"", "/updates", "/info", "/triggers"};
	char path[512];

	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", dir, parts[i]);
		ASSERT_EQ(mkdir(path, 0755), 0);
	}
	write_file(dir, "status", status, strlen(status));
}

/* dpkg takes each record as one of its own notes in updates/. */
TEST(dpkg_composes_the_same)
{
	char noted[300], composed[300], name[32];
	const char *tmp = test_tmpdir();
	struct database old, fresh;
	int n = 0;

	test_seed();
	make_random(&old);
	make_random(&fresh);
	snprintf(noted, sizeof(noted), "%s/noted", tmp);
	snprintf(composed, sizeof(composed), "%s/composed", tmp);

	mlimg_autofree char *before = text_of_database(&old, MLIMG_RECORDS_STANZAS);
	mlimg_autofree char *after = text_of_database(&fresh, MLIMG_RECORDS_STANZAS);
	mlimg_autofree char *records = diff(MLIMG_RECORDS_STANZAS, before, after);
	mlimg_autofree char *text = compose(MLIMG_RECORDS_STANZAS, before, records);

	make_admindir(noted, before);
	make_admindir(composed, text);
	for (const char *at = records; *at; n++) {
		const char *stanza_end = strstr(at, "\n\n") + 2;

		snprintf(name, sizeof(name), "updates/%04d", n);
		write_file(noted, name, at, (size_t)(stanza_end - at));
		at = stanza_end;
	}
	ASSERT(n > 0);

	mlimg_autofree char *by_dpkg = ask_dpkg(noted);
	mlimg_autofree char *by_us = ask_dpkg(composed);

	ASSERT_STR(by_us, by_dpkg);
}
