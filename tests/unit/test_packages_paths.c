/* SPDX-License-Identifier: MIT */
/* Whose the files of packages are, and which are hidden. */
#include "tests/lib/packages-words.h"

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
	set_all(INFO "next.list", NULL, "/bin/next\n/bin/next-3\n/etc/next-3.conf\n",
		"/bin/next\n/bin/next-2\n/etc/next.conf\n");
	set_all(INFO "new.list", NULL, "/bin/new\n/etc/new.conf\n", NULL);
	set(2, INFO "own.list", "/usr/bin/own\n");
	merge(STATUS);
	verdict("usr/bin/gone", MLIMG_FILES_REMOVED);
	verdict("usr/bin/mine", MLIMG_FILES_MINE);
	verdict("usr/bin/mine-new", MLIMG_FILES_MINE);
	verdict("usr/bin/mine-old", MLIMG_FILES_REMOVED);
	verdict("usr/bin/next", MLIMG_FILES_NEXT);
	verdict("usr/bin/next-2", MLIMG_FILES_NEXT);
	verdict("usr/bin/next-3", MLIMG_FILES_NEW);
	verdict("etc/next.conf", MLIMG_FILES_PLAIN);
	verdict("etc/next-3.conf", MLIMG_FILES_PLAIN);
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
	set_status("gone 1; k 1", "gone 2; k 1", "k 1");
	set_all(INFO "gone.list", NULL, "/usr/d\n", NULL);
	set_all("var/lib/dpkg/diversions", NULL, "/usr/d\n/usr/d.real\nother\n", NULL);
	merge(STATUS);
	hidden("usr/d.real ");
	set_all("var/lib/dpkg/diversions", NULL, "/usr/d\n/usr/d.real\ngone\n", NULL);
	merge(STATUS);
	hidden("usr/d ");
}

static void diversions(const char *wanted)
{
	char found[1024] = "";

	for (size_t i = 0; i < merged.n_diversions; i++)
		sprintf(found + strlen(found), "%s>%s ", merged.diversions[i].path,
			merged.diversions[i].to);
	ASSERT_STR(found, wanted);
}

/* Whoever put them there, and by their real paths. */
TEST(diversions_of_the_user)
{
	next_paths[0] = "bin>usr/bin";
	next_paths[1] = NULL;
	set_all("var/lib/dpkg/diversions", "/usr/s\n/usr/s.real\nsys\n",
		"/usr/s\n/usr/s.real\nsys\n/usr/n\n/usr/n.real\nsys\n",
		"/usr/s\n/usr/s.real\nsys\n/usr/z\n/usr/b\n:\n/bin/m\n/bin/m.real\nown\n"
		"/usr/n\n/usr/n.mine\n:\n/usr/c\n/usr/b\n:\n");
	merge("var/lib/dpkg/diversions");
	diversions("usr/c>usr/b usr/bin/m>usr/bin/m.real ");
}

/* What is put at such a path is put by root. */
TEST(diversions_that_lead_elsewhere)
{
	set_all("var/lib/dpkg/diversions", "", "",
		"/a\n/../b\n:\n/b/../c\n/d\n:\n/e//f\n/g\n:\n/h\n/i/\n:\n/j\n/k/./l\n:\n"
		"/\n/m\n:\n/n\n//o\n:\n/...\n/..p/.q\n:\n");
	merge("var/lib/dpkg/diversions");
	diversions("...>..p/.q ");
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

TEST(files_of_the_user_that_hide_the_systems)
{
	next_paths[0] = "bin>usr/bin";
	next_paths[1] = "usr/bin/";
	next_paths[2] = "usr/bin/d";
	next_paths[3] = "usr/bin/x";
	next_paths[4] = NULL;
	set_status("a 1", "a 2; new 1", "a 1; own 1");
	set_all(INFO "new.list", NULL, "/usr/bin/x\n", NULL);
	set_all(INFO "own.list", NULL, NULL, "/usr\n/usr/bin\n/bin/x\n/usr/bin/d\n/usr/bin/y\n");
	set_all("var/lib/dpkg/diversions", NULL, NULL, "/usr/bin/d\n/usr/bin/d.real\nown\n");
	merge(STATUS);
	ASSERT_STR(told(),
		"told own: its /bin/x, installed here, hides the system's; files like this: 1\n");
	/* Not where next has the package. */
	set_status("a 1", "a 2; own 1", "a 1; own 2");
	merge(STATUS);
	ASSERT(!strstr(told(), "hides"));
}
