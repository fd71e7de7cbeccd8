/* SPDX-License-Identifier: MIT */
/* What all tenants of a plan are together: the room that they need, in each form. */
#include "tools/upgrade-show.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "libmlimg/io.h"
#include "tests/lib/test.h"
#include "tools/upgrade-html.h"

static struct mlimg_err err;

static struct mlimg_upgrade_tenant tenants[] = {
	{.name = "alice", .outcome = MLIMG_UPGRADE_CHANGES, .needed_bytes = 3 << 20},
	{.name = "bob", .outcome = MLIMG_UPGRADE_SAME},
	{.name = "carol", .outcome = MLIMG_UPGRADE_CHANGES, .needed_bytes = 2 << 20},
};
static const struct mlimg_upgrade_fleet fleet = {
	.name = "debian", .version = "12.2", .tenants = tenants, .n = 3};

typedef int put_fn(FILE *f, const struct mlimg_upgrade_fleet *all, struct mlimg_err *e);

static bool shows(put_fn *put, const char *wanted)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	bool found;

	ASSERT(f);
	ASSERT_OK(put(f, &fleet, &err), err);
	ASSERT_EQ(fclose(f), 0);
	found = strstr(text, wanted);
	if (!found)
		printf("%s\n", text);
	free(text);
	return found;
}

TEST(the_room_that_all_need_is_summed_up)
{
	ASSERT_EQ(mlimg_upgrade_total_of(&fleet).needed_bytes, 5 << 20);
	ASSERT(shows(mlimg_upgrade_put_text, "0 conflicts; takes 5.0 MiB; 2 without the room\n"));
	ASSERT(shows(mlimg_upgrade_put_json, "\"without_room\": 2, \"needed_bytes\": 5242880}"));
}

TEST(the_page_shows_it)
{
	char path[PATH_MAX], *text = NULL;
	size_t size;

	snprintf(path, sizeof(path), "%s/page.html", test_tmpdir());
	ASSERT_OK(mlimg_upgrade_write_html(path, &fleet, &err), err);
	ASSERT_OK(mlimg_read_file(AT_FDCWD, path, 1 << 20, &text, &size, &err), err);
	ASSERT(strstr(text, "<div><b>5.0 MiB</b>taken in user layers</div>"));
	free(text);
}
