/* SPDX-License-Identifier: MIT */
/* What people write of rollouts: waves, and when to restart. */
#include "tests/lib/test.h"
#include "tools/rollout.h"

static struct mlimg_err err;

TEST(waves)
{
	static const struct {
		const char *text;
		uint32_t n;
		const char *ends;
	} cases[] = {
		{"1,10%,100%", 100, "1 10 100"},
		{"1,10%,100%", 3, "1 3"},
		{"1,10%,100%", 1, "1"},
		{"1,10%,100%", 10000, "1 1000 10000"},
		{"5", 12, "5 12"},
		{"50%,50%", 9, "5 9"},
		{"20,10", 30, "20 30"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t ends[MLIMG_ROLLOUT_WAVES];
		char text[64] = "";
		unsigned n;

		ASSERT_OK(mlimg_rollout_waves(cases[i].text, cases[i].n, ends, &n, &err), err);
		for (unsigned k = 0; k < n; k++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u",
				k ? " " : "", ends[k]);
		ASSERT_STR(text, cases[i].ends);
	}
}

TEST(waves_refused)
{
	static const char *const bad[] = {"", "0", "x", "1,", ",1", "1;2", "101%", "-1", "1%%",
		"99999999999", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"};
	unsigned n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ASSERT_EQ(mlimg_rollout_waves(bad[i], 100, NULL, &n, &err), -EINVAL);
}

TEST(policies)
{
	static const char *const good[] = {"now", "next", "02:00-04:30", "23:00-01:00"};
	static const char *const bad[] = {"", "soon", "02:00", "2:00-4:00", "24:00-01:00",
		"02:60-04:00", "02:00-02:00", "02:00-04:30x", "0200-0430"};
	char text[MLIMG_STORE_NAME_SIZE];
	struct mlimg_rollout r = {.number = 0};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ASSERT_OK(mlimg_rollout_policy_of(good[i], &r, &err), err);
		ASSERT_STR(mlimg_rollout_policy_text(&r, text), good[i]);
	}
	/* Over midnight. */
	ASSERT_EQ(mlimg_rollout_release(&r, MLIMG_ROLLOUT_IS_ON, 30, false), MLIMG_ROLLOUT_RESTART);
	ASSERT_EQ(mlimg_rollout_release(&r, MLIMG_ROLLOUT_IS_ON, 60, false), MLIMG_ROLLOUT_HOLD);
	ASSERT_EQ(
		mlimg_rollout_release(&r, MLIMG_ROLLOUT_IS_ON, 1380, false), MLIMG_ROLLOUT_RESTART);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ASSERT_EQ(mlimg_rollout_policy_of(bad[i], &r, &err), -EINVAL);
}
