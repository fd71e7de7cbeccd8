/* SPDX-License-Identifier: MIT */
#include "guest-agent/convert.h"

#include <errno.h>

#include "libmlimg/cleanup.h"
#include "tests/lib/test.h"

/* What could not be read again must not be begun. */
TEST(longest_plan)
{
	struct mlimg_convert_plan plan = {.to_unionfs = true, .size = MLIMG_CONVERT_PLAN_MAX}, back;
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *text = NULL;
	size_t size = 0;

	ASSERT_FAILS(mlimg_convert_put(&plan, &text, &size, &err), err, -EUCLEAN,
		"convert.plan: the user layer has too much to convert: more than 256 MiB of "
		"steps; nothing was changed");
	ASSERT(!text);
	plan.text = (char[]){"w etc/a\0o etc/b"};
	plan.size = sizeof("w etc/a\0o etc/b");
	ASSERT_OK(mlimg_convert_put(&plan, &text, &size, &err), err);
	ASSERT(size <= MLIMG_CONVERT_PLAN_MAX);
	ASSERT_OK(mlimg_convert_parse(text, size, &back, &err), err);
	ASSERT_EQ(back.size, plan.size);
	ASSERT_EQ(back.n_marks, 2);
	free(back.text);
}
