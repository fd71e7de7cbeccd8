/* SPDX-License-Identifier: MIT */
/*
 * What a record keeps at most, without a kernel that tells what is opened. With one:
 * ../root/user-profile.bats.
 */
#include "guest-agent/record.c"
#include "tests/lib/test.h"

static struct mlimg_record *new_record(void)
{
	struct mlimg_record *record = calloc(1, sizeof(*record));

	ASSERT(record != NULL);
	record->fan_fd = -1;
	record->paths = mlimg_profile_new();
	ASSERT(record->paths != NULL);
	return record;
}

static void add_number(struct mlimg_record *record, unsigned n, int width)
{
	char path[MLIMG_PATH_MAX + 1];

	snprintf(path, sizeof(path), "%0*u", width, n);
	ASSERT_EQ(add(record, path), 0);
}

TEST(files_beyond_the_limit_are_told_as_lost)
{
	struct mlimg_record *record = new_record();

	for (unsigned n = 0; n < MLIMG_RECORD_FILES_MAX; n++)
		add_number(record, n, 1);
	add_number(record, 0, 1);
	ASSERT(!mlimg_record_has_lost(record));
	add_number(record, MLIMG_RECORD_FILES_MAX, 1);
	ASSERT(mlimg_record_has_lost(record));
	ASSERT_EQ(mlimg_profile_count(mlimg_record_paths(record)), MLIMG_RECORD_FILES_MAX);
	mlimg_record_free(record);
}

TEST(paths_beyond_the_limit_are_told_as_lost)
{
	struct mlimg_record *record = new_record();

	/* With its NUL each has 4096 bytes, of which the limit is a multiple. */
	for (unsigned n = 0; n < MLIMG_RECORD_PATHS_MAX / (MLIMG_PATH_MAX + 1); n++)
		add_number(record, n, MLIMG_PATH_MAX);
	ASSERT(!mlimg_record_has_lost(record));
	add_number(record, MLIMG_RECORD_FILES_MAX, 1);
	ASSERT(mlimg_record_has_lost(record));
	ASSERT_EQ(mlimg_profile_count(mlimg_record_paths(record)),
		MLIMG_RECORD_PATHS_MAX / (MLIMG_PATH_MAX + 1));
	mlimg_record_free(record);
}
