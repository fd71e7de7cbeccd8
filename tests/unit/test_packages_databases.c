/* SPDX-License-Identifier: MIT */
/* What else dpkg, debconf and update-alternatives keep, merged. */
#include "tests/lib/packages-words.h"

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
	ASSERT_EQ(merged.n_links, 4);
	ASSERT_STR(merged.links[0].path, "etc/alternatives/editor");
	ASSERT_STR(merged.links[0].target, "/bin/nano");
	ASSERT_STR(merged.links[0].others[0], "/bin/ed");
	ASSERT_STR(merged.links[0].others[2], "/usr/bin/vim");
	ASSERT_STR(merged.links[1].path, "etc/alternatives/editor.1");
	ASSERT_STR(merged.links[1].target, "/nano.1");
	ASSERT(!merged.links[1].is_command);
	ASSERT_STR(merged.links[2].path, "man/editor.1");
	ASSERT_STR(merged.links[2].target, "/etc/alternatives/editor.1");
	ASSERT_STR(merged.links[3].path, "usr/bin/editor");
	ASSERT(merged.links[3].is_command);
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
	ASSERT_EQ(merged.n_links, 5);
	ASSERT_STR(merged.links[2].path, "etc/alternatives/x");
	ASSERT_STR(merged.links[2].target, NULL);
	/* Nonsense. */
	set_all(EDITOR, HEAD("auto") ED "\n", HEAD("auto") NANO("1") "\n", "auto\n");
	ASSERT_STR(merge(EDITOR), "auto\n");
	ASSERT_STR(told(),
		"conflict editor: not in update-alternatives' form; it stays as it is here\n");
}

/* The system has dropped the package that had the command, or the choice that the user made. */
TEST(alternatives_of_which_a_choice_is_left)
{
	next_paths[0] = NULL;
	link_of_mine = "/usr/bin/vim";
	set_all(EDITOR, HEAD("auto") NANO("40") "\n", NULL, HEAD("manual") NANO("40") VIM "\n");
	ASSERT_STR(merge(EDITOR), HEAD("manual") VIM "\n");
	ASSERT_EQ(merged.n_links, 4);
	ASSERT_STR(merged.links[0].target, "/usr/bin/vim");
	ASSERT_STR(merged.links[3].path, "usr/bin/editor");
	ASSERT_STR(merged.links[3].target, "/etc/alternatives/editor");
	ASSERT_STR(told(), "");
	/* A command that next has is next's, and a choice without a slave has none. */
	next_paths[0] = "usr/bin/editor";
	next_paths[1] = NULL;
	set_all(EDITOR, NULL, NULL, HEAD("manual") NANO("40") ED "\n");
	link_of_mine = "/bin/ed";
	merge(EDITOR);
	ASSERT_EQ(merged.n_links, 2);
	ASSERT_STR(merged.links[1].target, NULL);
	next_paths[0] = NULL;
	link_of_mine = "/bin/nano";
	ASSERT_STR(merge(EDITOR), HEAD("auto") ED "\n");
	ASSERT_STR(merged.links[0].target, "/bin/ed");
	ASSERT_STR(told(),
		"told editor: /bin/nano, chosen here, is there no more; the choice is automatic "
		"again\n");
	/* A link that he has made by hand is none of update-alternatives'. */
	link_of_mine = "/opt/own/ed";
	ASSERT_STR(merge(EDITOR), HEAD("manual") ED "\n");
	ASSERT_EQ(merged.n_links, 0);
	link_of_mine = NULL;
	/* A path that leads elsewhere. */
	set_all(EDITOR, NULL, NULL,
		"auto\n/../x\n\n"
		"/bin/nano\n40\n/bin/ed\n-100\n\n");
	merge(EDITOR);
	ASSERT_EQ(merged.n_links, 1);
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
		ASSERT_EQ(merged.n_links, 8);
		ASSERT_STR(merged.links[3].path, "etc/alternatives/x");
		ASSERT_STR(merged.links[3].target, "/1");
		ASSERT_STR(merged.links[4].path, "etc/alternatives/y");
		ASSERT_STR(merged.links[4].target, "/3");
	}
}
