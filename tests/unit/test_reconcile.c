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
	{'A', {"k=cttt", "s=ssss", "c=kttt", "c=cktt", "c=ctkt", "c=cttk"}},
	{'B', {"kc=ttt", "ck=ttt", "ss=sss", "cc=ktt", "cc=tkt", "cc=ttk"}},
	{'C', {"kccttt", "ckcttt", "cckttt", "cccktt", "ccctkt", "cccttk"}},
	{'D', {"kttkct", "cktkct", "ctkkct", "sttkst", "cttkkt", "cttkck"}},
	{'O', {"kttcct", "kktcct", "ktkcct", "kttkct", "kttckt", "kttcck"}},
	{'L', {"ktttt=", "ckttt=", "ctktt=", "cttkt=", "ctttk=", "sssss="}},
	{'M', {"kttttc", "cktttc", "ctkttc", "cttktc", "ctttkc", "cttttk"}},
	{'W', {"gwwwww", "gkwwww", "gwkwww", "gwwkww", "gwwwkw", "gwwwwk"}},
};

static char letter_of(enum mlimg_verdict verdict)
{
	return "?ks=ctgw"[verdict];
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
		"whiteout-gone", "whiteout-changed"};

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

#define COUNTED(change)                                                                           \
	do {                                                                                      \
		struct mlimg_entry mine = things['A'];                                            \
                                                                                                  \
		change;                                                                           \
		ASSERT_EQ(mlimg_reconcile_decide(&things['A'], &things['B'], &mine),              \
			MLIMG_CONFLICT);                                                          \
		ASSERT_EQ(mlimg_reconcile_decide(&things['A'], &things['A'], &mine), MLIMG_KEEP); \
	} while (0)

TEST(what_counts)
{
	COUNTED(mine.mode = 0600);
	COUNTED(mine.uid = 1);
	COUNTED(mine.gid = 1);
	COUNTED(mine.size_bytes = 8);
	COUNTED(mine.digest[31] = 1);
	COUNTED(mine.xattrs = &user_xattr; mine.n_xattrs = 1);
	COUNTED(mine.has_digest = false);
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
