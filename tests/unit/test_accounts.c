/* SPDX-License-Identifier: MIT */
/* Users and groups merged by record: who is there, with which fields. */
#include "tests/lib/accounts-words.h"

TEST(paths_of_the_files)
{
	ASSERT_STR(mlimg_accounts_path(MLIMG_GSHADOW), "etc/gshadow");
	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
		ASSERT_EQ(mlimg_accounts_file_of(mlimg_accounts_path(f)), f);
	ASSERT_EQ(mlimg_accounts_file_of("etc/passwd-"), MLIMG_N_ACCOUNTS_FILES);
}

TEST(an_account_of_either_side_is_there)
{
	check(MLIMG_PASSWD, ROOT MAN, ROOT "www:x:33:33::/:/bin/no\n" MAN, ROOT MAN ALICE,
		ROOT "www:x:33:33::/:/bin/no\n" MAN ALICE, MLIMG_FROM_BOTH);
	ASSERT_STR(told(), "");
	/* Behind the line that is before it in next, so not behind the user's own. */
	check(MLIMG_PASSWD, ROOT, ROOT "a:x:1:1:::\nb:x:2:2:::\n", ROOT ALICE "+::::::\n",
		ROOT "a:x:1:1:::\nb:x:2:2:::\n" ALICE "+::::::\n", MLIMG_FROM_BOTH);
	check(MLIMG_PASSWD, ROOT MAN, ROOT MAN, MAN, MAN, MLIMG_FROM_MINE);
	check(MLIMG_PASSWD, ROOT MAN, ROOT, ROOT MAN, ROOT, MLIMG_FROM_NEXT);
	check(MLIMG_PASSWD, NULL, ROOT MAN, ROOT ALICE, ROOT MAN ALICE, MLIMG_FROM_BOTH);
}

TEST(fields_that_both_sides_changed)
{
	check(MLIMG_PASSWD, ROOT, "root:x:0:0:root:/var/root:/bin/bash\n",
		"root:x:0:0:root:/root:/bin/zsh\n", "root:x:0:0:root:/var/root:/bin/zsh\n",
		MLIMG_FROM_BOTH);
	ASSERT_STR(told(), "");
	check(MLIMG_PASSWD, ROOT, "root:x:0:0:root:/root:/bin/dash\n",
		"root:x:0:0:root:/root:/bin/zsh\n", "root:x:0:0:root:/root:/bin/zsh\n",
		MLIMG_FROM_MINE);
	ASSERT_STR(told(),
		"conflict etc/passwd root: shell: changed here and by the system; it "
		"stays as it is here\n");
	check(MLIMG_SHADOW, "root:*:1:0:99999:7:::\n", "root:!:2:0:99999:7:::\n",
		"root:$y$x:3:0:99999:7:::\n", "root:$y$x:3:0:99999:7:::\n", MLIMG_FROM_MINE);
	ASSERT_STR(told(),
		"conflict etc/shadow root: password: changed here and by the system; "
		"it stays as it is here\n");
	/* An image that was made on another day. */
	check(MLIMG_SHADOW, "root:*:1:0:99999:7:::\n", "root:*:2:0:99999:7:::\n",
		"root:$y$x:3:0:99999:7:::\n", "root:$y$x:3:0:99999:7:::\n", MLIMG_FROM_MINE);
	ASSERT_STR(told(), "");
}

TEST(members_are_sets)
{
	check(MLIMG_GROUP, "g:x:5:a,b,c\n", "g:x:5:b,c,d\n", "g:x:5:c,e,a\n", "g:x:5:c,e,d\n",
		MLIMG_FROM_BOTH);
	check(MLIMG_GROUP, "g:x:5:\n", "g:x:5:www\n", "g:x:5:alice,\n", "g:x:5:alice,www\n",
		MLIMG_FROM_BOTH);
	check(MLIMG_GROUP, NULL, "g:x:5:a\n", "g:x:5:b\n", "g:x:5:b,a\n", MLIMG_FROM_BOTH);
	check(MLIMG_GSHADOW, "g:*::\n", "g:*:adm:www\n", "g:!::alice\n", "g:!:adm:alice,www\n",
		MLIMG_FROM_BOTH);
	ASSERT_STR(told(), "");
}

TEST(other_lines_are_kept)
{
	check(MLIMG_PASSWD, ROOT "# c\n", ROOT "# c\n# d\n" MAN,
		"# mine\n" ROOT "\nnonsense\n# c\n", "# mine\n" ROOT "\nnonsense\n# c\n# d\n" MAN,
		MLIMG_FROM_BOTH);
	/* Without ids it is no account, and nobody else's name. */
	check(MLIMG_PASSWD, ROOT, ROOT MAN, ROOT "man:x:six:12:::\n+@net\n-bob\n",
		ROOT MAN "man:x:six:12:::\n+@net\n-bob\n", MLIMG_FROM_BOTH);
	check(MLIMG_PASSWD, "# c\n" ROOT, ROOT, "# c\n" ROOT ALICE, ROOT ALICE, MLIMG_FROM_BOTH);
}

TEST(names_and_ids_that_are_there_twice)
{
	check(MLIMG_PASSWD, ROOT "toor:x:0:0:::\n", ROOT "toor:x:0:0:::\n" MAN,
		ROOT "toor:x:0:0::/:\nalice:x:0:0:::\n",
		ROOT "toor:x:0:0::/:\n" MAN "alice:x:0:0:::\n", MLIMG_FROM_BOTH);
	ASSERT_STR(told(), "");
	check(MLIMG_PASSWD, ROOT, ROOT "toor:x:0:0:::\n", ROOT ALICE, ROOT "toor:x:0:0:::\n" ALICE,
		MLIMG_FROM_BOTH);
	check(MLIMG_PASSWD, ROOT, ROOT MAN, ROOT ROOT ALICE ALICE, ROOT MAN ROOT ALICE ALICE,
		MLIMG_FROM_BOTH);
	check(MLIMG_SUBUID, "a:100000:1\na:100001:1\n", "a:100000:1\na:100001:1\n",
		"a:100000:1\na:100001:1\na:100002:1\n", "a:100000:1\na:100001:1\na:100002:1\n",
		MLIMG_FROM_MINE);
}

TEST(a_file_without_its_last_newline_stays_so)
{
	check(MLIMG_PASSWD, ROOT, ROOT,
		ROOT "alice:x:1:1:::", ROOT "alice:x:1:1:::", MLIMG_FROM_MINE);
	check(MLIMG_PASSWD, ROOT, ROOT MAN, ROOT "alice:x:1:1:::", ROOT MAN "alice:x:1:1:::\n",
		MLIMG_FROM_BOTH);
}

TEST(a_file_that_one_side_has_not)
{
	check(MLIMG_GSHADOW, "g:*::\n", "g:*::\nh:*::\n", NULL, NULL, MLIMG_FROM_MINE);
	check(MLIMG_GSHADOW, NULL, "g:*::\n", NULL, "g:*::\n", MLIMG_FROM_NEXT);
	check(MLIMG_GSHADOW, NULL, NULL, NULL, NULL, MLIMG_FROM_NEXT);
	check(MLIMG_GSHADOW, NULL, NULL, "g:*::\n", "g:*::\n", MLIMG_FROM_MINE);
}

TEST(what_the_user_deleted_stays_deleted)
{
	set_all(MLIMG_PASSWD, ROOT MAN, ROOT "man:x:6:12:man:/m:/bin/sh\n", ROOT);
	set_all(MLIMG_SHADOW, "root:*:1::::::\nman:*:1::::::\n", "root:*:1::::::\nman:*:2::::::\n",
		"root:*:1::::::\n");
	merge(NULL);
	ASSERT_STR(merged.files[MLIMG_PASSWD].text, ROOT);
	ASSERT_STR(merged.files[MLIMG_SHADOW].text, "root:*:1::::::\n");
	ASSERT_EQ(merged.files[MLIMG_PASSWD].from, MLIMG_FROM_MINE);
}

static void check_refused(const char *message)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_FAILS(mlimg_accounts_merge(&base, &next, &mine, NULL, &merged, NULL, &err), err,
		-EUCLEAN, message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
}

#define LEFT "no program leaves it so: go back, restore it, and change again"

TEST(files_that_no_program_leaves_are_not_merged)
{
	static const char shadow[] = "root:$1:1::::::\n", group[] = "root:x:0:\n";

	set_all(MLIMG_PASSWD, ROOT MAN, ROOT, "");
	check_refused("/etc/passwd of the user has no record, where there were 2; " LEFT);
	set_all(MLIMG_PASSWD, ROOT, ROOT, NULL);
	check_refused("/etc/passwd of the user is missing, where there was 1; " LEFT);
	set_all(MLIMG_PASSWD, ROOT, ROOT, "# nobody\n");
	check_refused("/etc/passwd of the user has no record, where there was 1; " LEFT);
	set_all(MLIMG_PASSWD, ROOT, ROOT, ROOT);
	set_all(MLIMG_GROUP, group, group, "");
	check_refused("/etc/group of the user has no record, where there was 1; " LEFT);
	set_all(MLIMG_GROUP, group, group, group);
	set_all(MLIMG_SHADOW, shadow, shadow, "");
	check_refused("/etc/shadow of the user has no record, where there was 1; " LEFT);
	set_all(MLIMG_SHADOW, shadow, shadow, NULL);
	check_refused("/etc/shadow of the user is missing, where there was 1; " LEFT);
	set_all(MLIMG_SHADOW, NULL, NULL, NULL);
	set_all(MLIMG_GSHADOW, "root:*::\n", "root:*::\n", "");
	check_refused("/etc/gshadow of the user has no record, where there was 1; " LEFT);
	set_all(MLIMG_GSHADOW, NULL, NULL, NULL);
	set_all(MLIMG_GROUP, NULL, NULL, NULL);
}

TEST(files_that_programs_leave_empty_or_remove_are_merged)
{
	static const char shadow[] = "root:$1:1::::::\nman:*:1::::::\n";

	/* pwunconv, grpunconv */
	set_all(MLIMG_PASSWD, ROOT, ROOT MAN, "root:$1:0:0:root:/root:/bin/sh\n");
	set_all(MLIMG_SHADOW, shadow, shadow, NULL);
	set_all(MLIMG_GROUP, "g:x:5:\n", "g:x:5:\n", "g:x:5:\n");
	set_all(MLIMG_GSHADOW, "g:*::\n", "g:*::\n", NULL);
	/* userdel */
	set_all(MLIMG_SUBUID, "me:100000:65536\n", "me:100000:65536\n", "");
	merge(NULL);
	ASSERT(!merged.files[MLIMG_SHADOW].text && !merged.files[MLIMG_GSHADOW].text);
	ASSERT_STR(merged.files[MLIMG_SUBUID].text, "");
	/* Of the one who had a line there. */
	set_all(MLIMG_PASSWD, ROOT MAN, ROOT MAN, ROOT);
	set_all(MLIMG_SHADOW, "man:*:1::::::\n", "man:*:1::::::\n", "");
	merge(NULL);
	ASSERT_STR(merged.files[MLIMG_SHADOW].text, "");
	/* There were none. */
	set_all(MLIMG_PASSWD, "", ROOT, "");
	set_all(MLIMG_SHADOW, NULL, NULL, NULL);
	merge(NULL);
	ASSERT_STR(merged.files[MLIMG_PASSWD].text, ROOT);
	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
		set_all(f, NULL, NULL, NULL);
}

static bool uid_6(void *ctx, bool is_group, uint32_t id)
{
	return !is_group && id == 6;
}

TEST(an_account_that_the_system_has_no_more)
{
	const struct mlimg_accounts_used used = {uid_6, NULL, NULL, NULL};

	set_all(MLIMG_PASSWD, ROOT MAN, ROOT, ROOT MAN);
	set_all(MLIMG_SHADOW, "root:*:1::::::\nman:*:1::::::\n", "root:*:1::::::\n",
		"root:*:1::::::\nman:*:1::::::\n");
	set_all(MLIMG_GROUP, "root:x:0:\nman:x:12:\nkmem:x:15:\n", "root:x:0:\n",
		"root:x:0:\nman:x:12:\nkmem:x:15:\n");
	merge(&unused);
	ASSERT_STR(merged.files[MLIMG_PASSWD].text, ROOT);
	ASSERT_STR(merged.files[MLIMG_SHADOW].text, "root:*:1::::::\n");
	ASSERT_STR(merged.files[MLIMG_GROUP].text, "root:x:0:\n");
	/*
	 * Its files would be nobody's, or worse, somebody else's. With it stays its primary group.
	 */
	merge(&used);
	ASSERT_STR(merged.files[MLIMG_PASSWD].text, ROOT MAN);
	ASSERT_STR(merged.files[MLIMG_SHADOW].text, "root:*:1::::::\nman:*:1::::::\n");
	ASSERT_STR(merged.files[MLIMG_GROUP].text, "root:x:0:\nman:x:12:\n");
	ASSERT_STR(told(),
		"told etc/passwd man: the system has this user no more; it stays, since something "
		"may belong to it\n"
		"told etc/group man: the system has this group no more; it stays, since something "
		"may belong to it\n");
	/* It has got a password. */
	set(&mine, MLIMG_SHADOW, "root:*:1::::::\nman:$y$:1::::::\n");
	merge(&unused);
	ASSERT_STR(merged.files[MLIMG_PASSWD].text, ROOT MAN);
	ASSERT_STR(merged.files[MLIMG_SHADOW].text, "root:*:1::::::\nman:$y$:1::::::\n");
}

TEST(ranges_that_overlap)
{
	check(MLIMG_SUBUID, "", "sys:100000:65536\n", "me:100000:65536\n",
		"sys:165536:65536\nme:100000:65536\n", MLIMG_FROM_BOTH);
	ASSERT_STR(told(),
		"told etc/subuid sys: the system's range from 100000 on is another's "
		"here; it begins at 165536 instead\n");
	check(MLIMG_SUBGID, "", "sys:300000:10\n", "me:100000:65536\n",
		"sys:300000:10\nme:100000:65536\n", MLIMG_FROM_BOTH);
	ASSERT_STR(told(), "");
	check(MLIMG_SUBUID, "a:1:1\n", "a:2:2\n", "a:1:1\nb:9:9\n", "a:2:2\nb:9:9\n",
		MLIMG_FROM_BOTH);
	check(MLIMG_SUBUID, "", "x:4294967290:4\ny:4294967000:9\n", "me:4294967000:400\n",
		"x:4294967290:4\ny:4294967000:9\nme:4294967000:400\n", MLIMG_FROM_BOTH);
}

TEST(what_is_refused)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *large = calloc(1, (8u << 20) + 2);

	ASSERT(large);
	set_all(MLIMG_GROUP, "", "", "");
	mine.files[MLIMG_GROUP] = (struct mlimg_records_text){large, 2};
	ASSERT_FAILS(mlimg_accounts_merge(&base, &next, &mine, NULL, &merged, NULL, &err), err,
		-EUCLEAN, "etc/group: a NUL in it");
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	memset(large, '\n', (8u << 20) + 1);
	mine.files[MLIMG_GROUP].size = (8u << 20) + 1;
	ASSERT_FAILS(mlimg_accounts_merge(&base, &next, &mine, NULL, &merged, NULL, &err), err,
		-EUCLEAN, "etc/group: more than 8388608 bytes");
	mine.files[MLIMG_GROUP].size = 100001;
	ASSERT_FAILS(mlimg_accounts_merge(&base, &next, &mine, NULL, &merged, NULL, &err), err,
		-EUCLEAN, "etc/group: more than 100000 lines");
}
