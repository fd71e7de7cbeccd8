/* SPDX-License-Identifier: MIT */
#include "libmlimg/reconcile.h"

#include "libmlimg/whiteout.h"
#include "tests/lib/test.h"

static uint8_t yes[] = "y", value[] = "v";
static struct mlimg_xattr opaque = {(char *)MLIMG_XATTR_OPAQUE, yes, 1};
static struct mlimg_xattr origin = {(char *)"trusted.overlay.origin", value, 1};
static struct mlimg_xattr user_xattr = {(char *)"user.x", value, 1};

#define FILE_OF(n)                                                                     \
	{                                                                              \
		.type = MLIMG_FILE, .mode = 0644, .size_bytes = 7, .has_digest = true, \
		.digest = {n}, .nlink = 1                                              \
	}

/*
 * By letter: files A, B, C of one size, directories D and E, an opaque O, links L and M, a whiteout
 * W.
 */
static struct mlimg_entry things[128] = {
	['A'] = FILE_OF(1),
	['B'] = FILE_OF(2),
	['C'] = FILE_OF(3),
	['D'] = {.type = MLIMG_DIR, .mode = 0755, .nlink = 1},
	['E'] = {.type = MLIMG_DIR, .mode = 0700, .nlink = 1},
	['O'] = {.type = MLIMG_DIR, .mode = 0755, .nlink = 1, .xattrs = &opaque, .n_xattrs = 1},
	['L'] = {.type = MLIMG_LINK, .mode = 0777, .nlink = 1, .link = (char *)"a"},
	['M'] = {.type = MLIMG_LINK, .mode = 0777, .nlink = 1, .link = (char *)"b"},
	['W'] = {.type = MLIMG_CHAR, .nlink = 1},
};

static enum mlimg_verdict decide(char base, char next, char mine)
{
	return mlimg_reconcile_decide(base == '-' ? NULL : &things[(int)base],
		next == '-' ? NULL : &things[(int)next], &things[(int)mine]);
}

/*
 * Every combination, by hand: for each of mine a row for each base, in it a letter for each next.
 */
static const char order[] = "-ABDEL";
static const struct {
	char mine;
	const char *rows[6];
} expected[] = {
	/*        base -    A         B         D         E         L */
	{'A', {"k=cttt", "s=ssss", "c=kttt", "c=ckkt", "c=ckkt", "c=cttk"}},
	{'B', {"kc=ttt", "ck=ttt", "ss=sss", "cc=kkt", "cc=kkt", "cc=ttk"}},
	{'C', {"kccttt", "ckcttt", "cckttt", "ccckkt", "ccckkt", "cccttk"}},
	{'D', {"kttkct", "kktkct", "ktkkct", "sttkst", "cttkkt", "kttkck"}},
	{'O', {"kttkct", "kktkct", "ktkkct", "sttkst", "cttkkt", "kttkck"}},
	{'L', {"ktttt=", "ckttt=", "ctktt=", "cttkk=", "cttkk=", "sssss="}},
	{'M', {"kttttc", "cktttc", "ctkttc", "cttkkc", "cttkkc", "cttttk"}},
	{'W', {"gwwwww", "gkwwww", "gwkwww", "gwwkww", "gwwwkw", "gwwwwk"}},
};

static char letter_of(enum mlimg_verdict verdict)
{
	return "?ks=ctgwm"[verdict];
}

TEST(every_combination)
{
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
		for (size_t b = 0; b < 6; b++)
			for (size_t n = 0; n < 6; n++) {
				char mine = expected[i].mine, wanted = expected[i].rows[b][n];
				char got = letter_of(decide(order[b], order[n], mine));

				if (got != wanted)
					FAIL("base %c, next %c, mine %c: '%c' instead of '%c'",
						order[b], order[n], mine, got, wanted);
			}
}

TEST(names)
{
	static const char *const names[] = {"keep", "stale", "same", "conflict", "type-change",
		"whiteout-gone", "whiteout-changed", "merged"};

	for (enum mlimg_verdict v = 1; v < MLIMG_N_VERDICTS; v++)
		ASSERT_STR(mlimg_verdict_name(v), names[v - 1]);
	ASSERT_EQ(sizeof(names) / sizeof(*names), MLIMG_N_VERDICTS - 1);
}

/* A copy-up that differs from the base in nothing but this is still a stale one. */
#define NOT_COUNTED(change)                                                                        \
	do {                                                                                       \
		struct mlimg_entry mine = things['A'];                                             \
                                                                                                   \
		change;                                                                            \
		ASSERT_EQ(mlimg_reconcile_decide(&things['A'], &things['B'], &mine), MLIMG_STALE); \
	} while (0)

TEST(what_does_not_count)
{
	NOT_COUNTED(mine.mtime_s = 99);
	NOT_COUNTED(mine.mtime_ns = 99);
	NOT_COUNTED(mine.hardlink = 1; mine.nlink = 2);
	NOT_COUNTED(mine.xattrs = &origin; mine.n_xattrs = 1);
}

#define COUNTED(change, verdict)                                                                  \
	do {                                                                                      \
		struct mlimg_entry mine = things['A'];                                            \
                                                                                                  \
		change;                                                                           \
		ASSERT_EQ(mlimg_reconcile_decide(&things['A'], &things['B'], &mine), verdict);    \
		ASSERT_EQ(mlimg_reconcile_decide(&things['A'], &things['A'], &mine), MLIMG_KEEP); \
	} while (0)

TEST(what_counts)
{
	COUNTED(mine.mode = 0600, MLIMG_MERGED);
	COUNTED(mine.uid = 1, MLIMG_MERGED);
	COUNTED(mine.gid = 1, MLIMG_MERGED);
	COUNTED(mine.size_bytes = 8, MLIMG_CONFLICT);
	COUNTED(mine.digest[31] = 1, MLIMG_CONFLICT);
	COUNTED(mine.xattrs = &user_xattr; mine.n_xattrs = 1, MLIMG_MERGED);
	COUNTED(mine.has_digest = false, MLIMG_CONFLICT);
}

TEST(devices_are_told_apart)
{
	struct mlimg_entry null = {
		.type = MLIMG_CHAR, .mode = 0666, .dev_major = 1, .dev_minor = 3};
	struct mlimg_entry zero = null, other = null;

	zero.dev_minor = 5;
	other.dev_major = 2;
	ASSERT_EQ(mlimg_reconcile_decide(&null, &zero, &null), MLIMG_STALE);
	ASSERT_EQ(mlimg_reconcile_decide(&null, &other, &null), MLIMG_STALE);
	ASSERT_EQ(mlimg_reconcile_decide(&null, &null, &zero), MLIMG_KEEP);
}

/* Nobody computes a digest of nothing. */
TEST(empty_files_need_no_digest)
{
	struct mlimg_entry empty = {.type = MLIMG_FILE, .mode = 0644};

	ASSERT_EQ(mlimg_reconcile_decide(&empty, &things['A'], &empty), MLIMG_STALE);
}

/*
 * Every combination of what a file consists of, in base, next and mine: contents, mode, owner, and
 * two xattrs that may be missing. A side is a number that says all of it, a digit for each. What
 * has to come of it is found here for the digits, one by one.
 */
#define N_PARTS 5
static const int n_values[N_PARTS] = {3, 3, 2, 3, 2};
static const unsigned component_of[N_PARTS] = {
	MLIMG_CONTENTS, MLIMG_MODE, MLIMG_UID, MLIMG_XATTRS, MLIMG_XATTRS};

struct side {
	int parts[N_PARTS];
	struct mlimg_xattr xattrs[3];
	struct mlimg_entry entry;
};

static int n_sides(void)
{
	int n = 1;

	for (int i = 0; i < N_PARTS; i++)
		n *= n_values[i];
	return n;
}

static void make_side(int number, bool is_mine, struct side *side)
{
	static uint8_t values[] = "01234";
	struct mlimg_entry *e = &side->entry;

	for (int i = 0; i < N_PARTS; i++, number /= n_values[i - 1])
		side->parts[i] = number % n_values[i];
	*e = (struct mlimg_entry){.type = MLIMG_FILE,
		.path = (char *)"f",
		.nlink = 1,
		.size_bytes = 7,
		.has_digest = true,
		.digest = {(uint8_t)side->parts[0]},
		.mode = (uint16_t)(0600 + side->parts[1]),
		.uid = (uint32_t)side->parts[2],
		.mtime_s = is_mine ? 1 : 2,
		.xattrs = side->xattrs};
	if (is_mine)
		side->xattrs[e->n_xattrs++] = origin;
	for (int i = 3; i < N_PARTS; i++)
		if (side->parts[i])
			side->xattrs[e->n_xattrs++] = (struct mlimg_xattr){
				(char *)(i == 3 ? "user.a" : "user.b"), values + side->parts[i], 1};
}

static int part_of(const struct mlimg_entry *e, int i)
{
	const struct mlimg_xattr *x;

	switch (i) {
	case 0: return e->digest[0];
	case 1: return e->mode - 0600;
	case 2: return (int)e->uid;
	}
	x = mlimg_entry_xattr(e, i == 3 ? "user.a" : "user.b");
	return x ? x->value[0] - '0' : 0;
}

/* @base may be NULL */
static void check_merge(const struct side *base, const struct side *next, const struct side *mine,
	struct mlimg_arena *arena)
{
	unsigned conflicts = 0;
	struct mlimg_merged_entry merged;
	bool from_next = false, mine_is_base = base, mine_is_next = true, next_is_base = base;
	enum mlimg_verdict wanted;

	ASSERT(mlimg_reconcile_merge(base ? &base->entry : NULL, &next->entry, &mine->entry, arena,
		       &merged) == 0);
	for (int i = 0; i < N_PARTS; i++) {
		int b = base ? base->parts[i] : -1, n = next->parts[i], m = mine->parts[i];
		int result = m == b ? n : m;

		if (m != b && n != b && m != n)
			conflicts |= component_of[i];
		if (i == 0)
			from_next = result == n && m != n;
		ASSERT_EQ(part_of(&merged.entry, i), result);
		mine_is_base = mine_is_base && m == b;
		mine_is_next = mine_is_next && m == n;
		next_is_base = next_is_base && n == b;
	}
	ASSERT_EQ(merged.conflicts, conflicts);
	ASSERT_EQ(merged.is_contents_next, from_next);
	ASSERT_EQ(merged.entry.mtime_s, from_next ? 2 : 1);
	ASSERT(mlimg_entry_xattr(&merged.entry, "trusted.overlay.origin"));
	for (uint32_t i = 1; i < merged.entry.n_xattrs; i++)
		ASSERT(strcmp(merged.entry.xattrs[i - 1].name, merged.entry.xattrs[i].name) < 0);
	wanted = mine_is_next  ? MLIMG_SAME
		: next_is_base ? MLIMG_KEEP
		: mine_is_base ? MLIMG_STALE
		: conflicts    ? MLIMG_CONFLICT
			       : MLIMG_MERGED;
	ASSERT_EQ(mlimg_reconcile_decide(base ? &base->entry : NULL, &next->entry, &mine->entry),
		wanted);
}

TEST(every_combination_of_components)
{
	int n = n_sides();
	struct side *sides = calloc((size_t)n, sizeof(*sides));
	struct side *mine = calloc(1, sizeof(*mine));

	ASSERT(sides && mine);
	for (int i = 0; i < n; i++)
		make_side(i, false, &sides[i]);
	for (int m = 0; m < n; m++) {
		struct mlimg_arena *arena = mlimg_arena_new();

		ASSERT(arena);
		make_side(m, true, mine);
		for (int i = 0; i < n; i++) {
			check_merge(NULL, &sides[i], mine, arena);
			for (int k = 0; k < n; k++)
				check_merge(&sides[k], &sides[i], mine, arena);
		}
		mlimg_arena_free(arena);
	}
	free(sides);
	free(mine);
}

/* A base of another type says nothing about what was changed. */
TEST(a_base_of_another_type_is_none)
{
	struct mlimg_arena *arena = mlimg_arena_new();
	struct mlimg_merged_entry merged;

	ASSERT(arena);
	ASSERT_EQ(
		mlimg_reconcile_merge(&things['D'], &things['B'], &things['A'], arena, &merged), 0);
	ASSERT_EQ(merged.conflicts, MLIMG_CONTENTS);
	mlimg_arena_free(arena);
}
