/* SPDX-License-Identifier: MIT */
#include "libmlimg/dpkg-version.h"

#include "tests/lib/test.h"

static int sign(int n)
{
	return (n > 0) - (n < 0);
}

/* From deb-version(7) and its tests' usual suspects, each list ascending. */
TEST(known_orders)
{
	static const char *const lists[][8] = {
		{"1.0~beta1~svn1245", "1.0~beta1", "1.0"},
		{"1.0~~", "1.0~~a", "1.0~", "1.0", "1.0-a", "1.0-+"},
		{"9", "10", "1:0", "1:1~", "2:0"},
		{"1.2", "1.2-1", "1.2-1+b1", "1.2-1+deb12u1", "1.2-2"},
		{"2.36-9+deb12u8", "2.36-9+deb12u10", "2.37-1"},
		{"1.9-1", "1.10-1", "1.10.1-1"},
		{"1a", "1b", "1+", "1."},
		{"0", "99999999999999999999998", "99999999999999999999999",
			"100000000000000000000000"},
	};

	for (size_t l = 0; l < sizeof(lists) / sizeof(lists[0]); l++)
		for (int i = 0; i < 8 && lists[l][i]; i++)
			for (int k = 0; k < 8 && lists[l][k]; k++)
				if (sign(mlimg_dpkg_version_cmp(lists[l][i], lists[l][k])) !=
					sign(i - k))
					FAIL("'%s' and '%s'", lists[l][i], lists[l][k]);
}

TEST(what_is_missing_is_zero)
{
	ASSERT_EQ(mlimg_dpkg_version_cmp("1", "1-0"), 0);
	ASSERT_EQ(mlimg_dpkg_version_cmp("0:1", "1"), 0);
	ASSERT_EQ(mlimg_dpkg_version_cmp("1.0", "1.00"), 0);
	ASSERT_EQ(mlimg_dpkg_version_cmp("", ""), 0);
	ASSERT_EQ(sign(mlimg_dpkg_version_cmp("", "1")), -1);
	ASSERT_EQ(sign(mlimg_dpkg_version_cmp("-", "~")), 1);
}

static void random_version(char *text)
{
	static const char letters[] = "0011289aZ.+~~-";
	size_t n = 0;

	if (test_random(4) == 0)
		n += (size_t)sprintf(text, "%d:", (int)test_random(3));
	text[n++] = (char)('0' + test_random(3));
	for (size_t i = test_random(6); i > 0; i--)
		text[n++] = letters[test_random(sizeof(letters) - 1)];
	if (text[n - 1] == '-') /* dpkg wants a revision behind it */
		text[n++] = '1';
	text[n] = '\0';
}

/* dpkg's own answers, a few hundred of them in one shell. */
TEST(as_dpkg_compares)
{
	enum { N = 150 };
	char pairs[N][2][24], command[200 * N], *at = command;
	int answer;
	FILE *f;

	test_seed();
	for (int i = 0; i < N; i++) {
		random_version(pairs[i][0]);
		random_version(pairs[i][1]);
		at += sprintf(at,
			"dpkg --compare-versions %s lt %s && echo -1 || { dpkg --compare-versions "
			"%s gt "
			"%s && echo 1 || echo 0; }\n",
			pairs[i][0], pairs[i][1], pairs[i][0], pairs[i][1]);
	}
	f = popen(command, "r");
	ASSERT(f);
	for (int i = 0; i < N; i++) {
		ASSERT_EQ(fscanf(f, "%d", &answer), 1);
		if (sign(mlimg_dpkg_version_cmp(pairs[i][0], pairs[i][1])) != answer)
			FAIL("'%s' and '%s': dpkg says %d", pairs[i][0], pairs[i][1], answer);
	}
	ASSERT_EQ(pclose(f), 0);
}
