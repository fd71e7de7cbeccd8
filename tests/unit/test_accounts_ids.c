/* SPDX-License-Identifier: MIT */
/* Users and groups merged by record: which numbers they have, and whose files move with them. */
#include "tests/lib/accounts-words.h"

/* One line of passwd: "NAME:ID", "NAME:ID" ... with ids as primary groups too. */
static void ids(struct mlimg_accounts *side, char room[512], const char *list)
{
	static char groups[3][512];
	static int i;
	char *group = groups[i++ % 3], name[16];
	unsigned id;
	int n;

	*room = *group = '\0';
	for (; sscanf(list, " %15[^:]:%u%n", name, &id, &n) == 2; list += n) {
		sprintf(room + strlen(room), "%s:x:%u:%u::/:/bin/sh\n", name, id, id);
		sprintf(group + strlen(group), "%s:x:%u:\n", name, id);
	}
	set(side, MLIMG_PASSWD, room);
	set(side, MLIMG_GROUP, group);
}

static void of_both(const char *list, char text[256])
{
	*text = '\0';
	for (const char *kind = "ug"; *kind; kind++)
		for (const char *at = list; *at; at += strspn(at, " ")) {
			size_t size = strcspn(at, " ");

			sprintf(text + strlen(text), "%c%.*s ", *kind, (int)size, at);
			at += size;
		}
}

static const struct mlimg_accounts_used *used_in_ids;

/* The same of users and of groups, since primary groups follow. */
static void check_ids(const char *b, const char *n, const char *m, const char *wanted,
	const char *upper, const char *lower, const char *note)
{
	char texts[4][512], expected[2][256];
	struct mlimg_accounts result;

	ids(&base, texts[0], b);
	ids(&next, texts[1], n);
	ids(&mine, texts[2], m);
	merge(used_in_ids);
	of_both(upper, expected[0]);
	of_both(lower, expected[1]);
	ASSERT_STR(moves(&merged.upper), expected[0]);
	ASSERT_STR(moves(&merged.lower), expected[1]);
	if (*note ? !strstr(told(), note) : notes.n > 0)
		FAIL("%s", told());
	ids(&result, texts[3], wanted);
	ASSERT_STR(merged.files[MLIMG_PASSWD].text, result.files[MLIMG_PASSWD].text);
	ASSERT_STR(merged.files[MLIMG_GROUP].text, result.files[MLIMG_GROUP].text);
}

static bool is_105(void *ctx, bool is_group, uint32_t id)
{
	return id == 105;
}

static int has_105(void *ctx, bool is_group, uint32_t id)
{
	return id == 105;
}

static int may_be(void *ctx, bool is_group, uint32_t id)
{
	return -1;
}

TEST(ids_that_are_fixed)
{
	static const struct mlimg_accounts_used used = {is_105, has_105, NULL, NULL},
						all = {nobody, may_be, NULL, NULL};

	used_in_ids = &used;
	check_ids("a:105", "a:106", "a:105", "a:105", "", "106>105",
		"the system has id 106 for it; it stays 105, which files outside of the system "
		"have");
	/* What comes in its place gives way, and so at the next change. */
	check_ids("a:105", "a:106 b:105", "a:105", "a:105 b:999", "", "105>999 106>105",
		"id 105 is that of 'a' here; it has 999 instead");
	check_ids("a:106 b:105", "a:106 b:105", "a:105 b:999", "a:105 b:999", "", "105>999 106>105",
		"");
	ASSERT_STR(moves(&merged.base), moves(&merged.lower));
	/* A swap does not happen by half. */
	check_ids("a:105 b:106", "a:106 b:105", "a:105 b:106", "a:105 b:106", "", "105>106 106>105",
		"id 105 is that of 'a' here; it has 106 instead");
	/* Others move as ever. */
	check_ids("a:105 b:107", "a:105 b:108", "a:105 b:107", "a:105 b:108", "107>108", "", "");
	/* Nor does one that next has no more move for who has its number there, now and later. */
	check_ids("a:105", "b:105", "a:105", "a:105 b:999", "", "105>999",
		"id 105 is that of 'a' here; it has 999 instead");
	check_ids("b:105", "b:105", "a:105 b:999", "a:105 b:999", "", "105>999", "");
	/* Where anything may be fixed there are free ones all the same. */
	used_in_ids = &all;
	check_ids("a:105", "a:106", "a:105", "a:105", "", "106>105",
		"it stays 105, which files outside of the system may have");
	check_ids("a:105 b:107", "a:106 b:108 c:105", "a:105 b:107", "a:105 b:107 c:999", "",
		"105>999 106>105 108>107", "it has 999 instead");
	used_in_ids = NULL;
}

TEST(ids_that_moved)
{
	/* The system's, the user's, both. */
	check_ids("a:100", "a:105", "a:100 me:1000", "a:105 me:1000", "100>105", "", "");
	check_ids("a:100", "a:100", "a:200", "a:200", "", "", "");
	check_ids("a:100", "a:105", "a:200", "a:200", "", "105>200",
		"conflict etc/passwd a: id 100 was changed to 200 here and to 105 by the system; "
		"it "
		"stays 200\nconflict etc/group a: ");
	check_ids("a:100 b:101", "a:101 b:100", "a:100 b:101 me:7", "a:101 b:100 me:7",
		"100>101 101>100", "", "");
	/* To where the user deleted somebody. */
	check_ids("a:100 b:101", "a:101 b:102", "a:100", "a:101", "100>101", "", "");
}

TEST(accounts_that_both_made)
{
	check_ids("", "a:999", "a:998", "a:998", "", "999>998",
		"the system has id 999 for it; it stays 998");
	/* And so at the next change, where something else of the system's has taken his. */
	check_ids("a:999", "a:999", "a:998 b:999", "a:998 b:999", "", "999>998", "");
	check_ids("", "a:110 c:107", "a:107", "a:107 c:999", "", "107>999 110>107",
		"id 107 is that of 'a' here; it has 999 instead");
	/* Both made two of them, each with the other's. */
	check_ids("", "a:110 b:107", "a:107 b:110", "a:107 b:110", "", "107>110 110>107",
		"the system has id 110 for it; it stays 107");
	check_ids("", "a:1000", "a:1001", "a:1001", "", "1000>1001",
		"the system has id 1000 for it; it stays 1001");
	/* Who is a person to the user stays one, and so when the system's comes first. */
	check_ids("", "a:110", "a:1001", "a:1001", "", "110>1001",
		"the system has id 110 for it; it stays 1001");
	check_ids("a:110", "a:110", "a:1001 b:110", "a:1001 b:110", "", "110>1001", "");
	check_ids("", "a:1000", "a:110", "a:110", "", "1000>110",
		"the system has id 1000 for it; it stays 110");
	check_ids("", "a:999", "b:999 a:998", "b:999 a:998", "", "999>998",
		"the system has id 999 for it; it stays 998");
}

/* The user calls root another name, and has given the name to somebody. */
TEST(the_files_of_root_stay_root_s)
{
	set_all(MLIMG_PASSWD, ROOT, ROOT "sys:x:7:7:::\n", "root:x:1500:0:::\nadmin:x:0:0:::\n");
	merge(&unused);
	ASSERT_STR(moves(&merged.upper), "");
	ASSERT_STR(moves(&merged.lower), "");
	ASSERT_STR(moves(&merged.base), "");
}

TEST(an_id_of_next_that_is_another_s_here)
{
	check_ids("", "sys:999", "me:999", "sys:998 me:999", "", "999>998",
		"id 999 is that of 'me' here; it has 998 instead");
	check_ids("", "sys:30", "me:30 x:998 y:999", "sys:997 me:30 x:998 y:999", "", "30>997",
		"id 30 is that of 'me' here; it has 997 instead");
	check_ids("", "sys:1000", "me:1000 you:1001", "sys:1002 me:1000 you:1001", "", "1000>1002",
		"id 1000 is that of 'me' here; it has 1002 instead");
	/*
	 * One that moved stays where it was, and if somebody else of next is there, is given a new
	 * one.
	 */
	check_ids("a:100", "a:101", "a:100 me:101", "a:100 me:101", "", "101>100",
		"id 101 is that of 'me' here; it has 100 instead");
	check_ids("a:100", "b:100 a:101", "a:100 me:101", "b:100 a:999 me:101", "100>999",
		"101>999", "id 101 is that of 'me' here; it has 999 instead");
	/* It goes on like this at the next change. */
	check_ids("sys:999", "sys:999", "sys:998 me:999", "sys:998 me:999", "", "999>998", "");
	/* But nobody has the id of who was moved by the user. */
	check_ids("sys:999", "sys:999", "sys:998", "sys:998", "", "", "");
}

static bool is_shown;

static bool shows(void *ctx, bool is_group, uint32_t id)
{
	ASSERT_EQ(id, 105);
	return is_shown;
}

/* Base's things of it have been copied when it gave way; of one that the user moved they show. */
TEST(an_id_that_gave_way_to_somebody_deleted_since)
{
	static const struct mlimg_accounts_used used = {nobody, NULL, shows, NULL};

	used_in_ids = &used;
	check_ids("sys:105", "sys:105", "sys:999", "sys:999", "", "105>999", "");
	ASSERT_STR(moves(&merged.base), moves(&merged.lower));
	check_ids("sys:105 b:106", "sys:105 b:107", "sys:999 b:106 me:108", "sys:999 b:107 me:108",
		"106>107", "105>999", "");
	/* So it is with one that both have made, when the system that has it is the former one. */
	check_ids("a:105 c:107", "a:105 c:107", "a:107 c:999", "a:107 c:999", "", "105>107 107>999",
		"");
	is_shown = true;
	check_ids("sys:105", "sys:105", "sys:999", "sys:999", "", "", "");
	ASSERT_STR(moves(&merged.base), "");
	/* Somebody else is there: nothing is asked. */
	is_shown = false;
	check_ids("sys:105", "sys:105", "sys:999 me:105", "sys:999 me:105", "", "105>999", "");
	used_in_ids = NULL;
}

TEST(an_id_that_next_gave_to_somebody_new)
{
	/* The one that next has no more moves, with its files. */
	check_ids("old:110", "new:110", "old:110", "old:999 new:110", "110>999", "",
		"told etc/passwd old: id 110 is that of 'new' here; it has 999 instead\n");
}

static bool all_but(void *ctx, bool is_group, uint32_t id)
{
	return id != *(uint32_t *)ctx;
}

TEST(a_free_id_is_one_that_owns_nothing)
{
	uint32_t free_one = 500;
	const struct mlimg_accounts_used used = {all_but, NULL, NULL, &free_one};

	set_all(MLIMG_PASSWD, ROOT, ROOT "sys:x:7:7:::\n", ROOT "me:x:7:7:::\n");
	merge(&used);
	ASSERT_STR(moves(&merged.lower), "u7>500 ");
	free_one = 99;
	merge(&used);
	ASSERT_STR(merged.files[MLIMG_PASSWD].text, ROOT "sys:x:7:7:::\nme:x:7:7:::\n");
	ASSERT_STR(moves(&merged.lower), "");
	ASSERT_STR(told(),
		"conflict etc/passwd sys: id 7 is also that of 'me', and no other one is free\n");
}

TEST(primary_groups_follow)
{
	set_all(MLIMG_GROUP, "www:x:33:\n", "www:x:34:\n", "www:x:33:me\nme:x:1000:\n");
	set_all(MLIMG_PASSWD, "www:x:33:33:::\n", "www:x:33:34:::\n",
		"www:x:33:33:::\nme:x:1000:1000:::\nalso:x:1001:33:::\n");
	merge(&unused);
	ASSERT_STR(merged.files[MLIMG_PASSWD].text,
		"www:x:33:34:::\nme:x:1000:1000:::\nalso:x:1001:34:::\n");
	ASSERT_STR(moves(&merged.upper), "g33>34 ");
	ASSERT_STR(told(), "");
	/* A group of next that gave way. */
	set_all(MLIMG_GROUP, "", "sys:x:999:\n", "me:x:999:\n");
	set_all(MLIMG_PASSWD, "", "sys:x:50:999:::\n", "me:x:1000:999:::\n");
	merge(&unused);
	ASSERT_STR(merged.files[MLIMG_PASSWD].text, "sys:x:50:998:::\nme:x:1000:999:::\n");
	ASSERT_STR(moves(&merged.lower), "g999>998 ");
	/* One of the user's that has the number of a group that gave way, and still has. */
	set_all(MLIMG_GROUP, "sys:x:5:\n", "sys:x:5:\n", "sys:x:999:\nmine:x:5:\n");
	set_all(MLIMG_PASSWD, "u:x:9:5:::\n", "u:x:9:5:::\n", "u:x:9:5:::\n");
	merge(&unused);
	ASSERT_STR(merged.files[MLIMG_PASSWD].text, "u:x:9:5:::\n");
	set(&mine, MLIMG_PASSWD, "u:x:9:999:::\n");
	merge(&unused);
	ASSERT_STR(merged.files[MLIMG_PASSWD].text, "u:x:9:999:::\n");
	ASSERT_STR(told(), "");
	/* The user chose another one. */
	set_all(MLIMG_GROUP, "a:x:1:\nb:x:2:\n", "a:x:3:\nb:x:2:\n", "a:x:1:\nb:x:2:\n");
	set_all(MLIMG_PASSWD, "u:x:9:1:::\n", "u:x:9:3:::\n", "u:x:9:2:::\n");
	merge(&unused);
	ASSERT_STR(merged.files[MLIMG_PASSWD].text, "u:x:9:2:::\n");
	ASSERT_STR(told(), "");
}

/*
 * Random sides: names a to p, each there or not, with ids out of a few, each used once on a side.
 * What must hold whatever they are.
 */

#define N_NAMES 16
#define N_IDS 24

static void random_side(unsigned side[N_NAMES], const unsigned like[N_NAMES])
{
	bool taken[N_IDS] = {false};

	for (int i = 0; i < N_NAMES; i++) {
		side[i] = like ? like[i] : 0;
		if (side[i])
			taken[side[i] - 980] = true;
	}
	for (int i = 0; i < N_NAMES; i++) {
		uint64_t what = test_random(like ? 8 : 2);
		unsigned id = (unsigned)test_random(N_IDS);

		if (what > 1)
			continue;
		if (side[i])
			taken[side[i] - 980] = false;
		side[i] = what == 0 || taken[id] ? 0 : 980 + id;
		if (side[i])
			taken[id] = true;
	}
}

static void set_random(struct mlimg_accounts *side, char room[1024], const unsigned ids_of[N_NAMES])
{
	*room = '\0';
	for (int i = 0; i < N_NAMES; i++)
		if (ids_of[i])
			sprintf(room + strlen(room), "%c:x:%u:%u:::\n", 'a' + i, ids_of[i],
				ids_of[i]);
	*side = (struct mlimg_accounts){.files = {{NULL, 0}}};
	set(side, MLIMG_PASSWD, room);
}

static void read_merged(unsigned ids_of[N_NAMES])
{
	memset(ids_of, 0, N_NAMES * sizeof(*ids_of));
	for (const char *at = merged.files[MLIMG_PASSWD].text; *at; at = strchr(at, '\n') + 1) {
		ASSERT_EQ(ids_of[*at - 'a'], 0);
		ASSERT_EQ(sscanf(at + 4, "%u", &ids_of[*at - 'a']), 1);
	}
}

static void check_merged(const unsigned b[N_NAMES], const unsigned n[N_NAMES],
	const unsigned m[N_NAMES], const unsigned is[N_NAMES])
{
	for (int i = 0; i < N_NAMES; i++) {
		/*
		 * Who is there. Nothing is known of what is used, so what the system dropped stays.
		 */
		ASSERT_EQ(is[i] != 0, m[i] || (n[i] && !b[i]));
		for (int k = 0; is[i] && k < i; k++)
			ASSERT(is[i] != is[k]);
		/*
		 * The user's own and what he changed keep their ids; others have the system's, if
		 * nobody has it.
		 */
		if (m[i] && !b[i])
			ASSERT_EQ(is[i], m[i]);
		if (m[i] && b[i] && m[i] != b[i])
			ASSERT_EQ(is[i], m[i]);
		/* Files go with their owners. */
		if (m[i] &&
			mlimg_moved_id_of(merged.upper.uids, merged.upper.n_uids, m[i]) != is[i])
			FAIL("'%c': %u is %u, but %s", 'a' + i, m[i], is[i], moves(&merged.upper));
		if (is[i] && n[i] && !(m[i] && b[i] == n[i] && m[i] != b[i]) &&
			mlimg_moved_id_of(merged.lower.uids, merged.lower.n_uids, n[i]) != is[i])
			FAIL("'%c': %u is %u, but %s", 'a' + i, n[i], is[i], moves(&merged.lower));
	}
}

static bool is_anybody(const unsigned ids_of[N_NAMES])
{
	for (int i = 0; i < N_NAMES; i++)
		if (ids_of[i])
			return true;
	return false;
}

TEST(whatever_the_ids_are)
{
	unsigned b[N_NAMES], n[N_NAMES], m[N_NAMES], is[N_NAMES], again[N_NAMES];
	char texts[3][1024];

	test_seed();
	for (int i = 0; i < 3000; i++) {
		random_side(b, NULL);
		random_side(n, b);
		random_side(m, b);
		if (is_anybody(b) && !is_anybody(m))
			continue; /* is not merged */
		set_random(&base, texts[0], b);
		set_random(&next, texts[1], n);
		set_random(&mine, texts[2], m);
		merge(NULL);
		read_merged(is);
		check_merged(b, n, m, is);

		mlimg_autofree char *once = strdup(merged.files[MLIMG_PASSWD].text);

		base = next;
		set(&mine, MLIMG_PASSWD, once);
		merge(NULL);
		ASSERT_STR(merged.files[MLIMG_PASSWD].text, once);
		ASSERT_STR(moves(&merged.upper), "");
		read_merged(again);
		ASSERT_MEM(is, again, sizeof(is));
	}
}
