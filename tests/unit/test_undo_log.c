/* SPDX-License-Identifier: MIT */
#include "guest-agent/undo-log.h"

#include "libmlimg/path-map.h"
#include "libmlimg/text.h"
#include "tests/lib/test.h"

#define FILE_LINE "./a type=file mode=0644 uid=0 gid=0 size=0 time=0.000000000"
#define DIR_LINE "./d type=dir mode=0755 uid=0 gid=0 time=-5.000000001"
#define ROOT_LINE ". type=dir mode=0755 uid=0 gid=0 time=0.000000000"

/* A log of one overlayfs record. */
static int parse(const char *record, size_t size, struct mlimg_undo_log *ret, struct mlimg_err *err)
{
	static const char head[] = "mlimg undo 1 overlay\n";
	char *text = calloc(1, sizeof(head) + size);

	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + sizeof(head) - 1, record, size);
	return mlimg_undo_log_parse(text, sizeof(head) - 1 + size, ret, err);
}

#define PARSE(record, ret, err) parse(record, sizeof(record), ret, err)

TEST(records)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_undo_record r;
	struct mlimg_undo_log log;

	ASSERT_OK(PARSE("o mt a/b\0e m " DIR_LINE "\0s " FILE_LINE "\0" FILE_LINE
			"\0t -1.500000000 7.000000002 \0u d\0i " FILE_LINE "\0a h x\0c y/z",
			  &log, &err),
		err);
	ASSERT_EQ(log.n_records, 8);
	ASSERT(!log.is_unionfs);
	ASSERT_OK(mlimg_undo_log_get(&log, 0, &r, &err), err);
	ASSERT_EQ(r.parts, MLIMG_UNDO_MAIN | MLIMG_UNDO_MARKERS);
	ASSERT_STR(r.path, "a/b");
	ASSERT_OK(mlimg_undo_log_get(&log, 1, &r, &err), err);
	ASSERT_STR(r.path, "d");
	ASSERT_EQ(r.entry.mtime_s, -5);
	ASSERT_OK(mlimg_undo_log_get(&log, 3, &r, &err), err);
	ASSERT_STR(r.path, "");
	ASSERT_EQ(r.old_time.s, -1);
	ASSERT_EQ(r.old_time.ns, 500000000);
	ASSERT_EQ(r.new_time.ns, 2);
	ASSERT_OK(mlimg_undo_log_get(&log, 6, &r, &err), err);
	ASSERT_EQ(r.op, 'a');
	ASSERT_EQ(r.parts, MLIMG_UNDO_MARKER);
	ASSERT_OK(mlimg_undo_log_get(&log, 7, &r, &err), err);
	ASSERT_EQ(r.op, 'c');
	ASSERT_STR(r.path, "y/z");
	mlimg_undo_log_done(&log);
}

static void refused(const char *record, size_t size, const char *message)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_undo_log log;

	ASSERT_FAILS(parse(record, size, &log, &err), err, -EUCLEAN, message);
}

#define REFUSED(record, message) refused(record, sizeof(record), "undo log: " message)

TEST(what_is_refused)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_undo_log log;

	ASSERT_FAILS(mlimg_undo_log_parse(strdup("mlimg undo 2 overlay\n"), 21, &log, &err), err,
		-EUCLEAN, "undo log: not of a known format");
	ASSERT_FAILS(parse("o m a", 5, &log, &err), err, -EUCLEAN, "undo log: it is cut off");
	REFUSED("x m a", "step 0: no step of a known kind");
	REFUSED("o m a\0o", "step 1: no step of a known kind");
	REFUSED("o  a", "step 0: malformed");
	REFUSED("o hm a", "step 0: malformed");
	REFUSED("o m ../a", "step 0: malformed");
	REFUSED("o m /a", "step 0: malformed");
	REFUSED("o m ", "step 0: malformed");
	REFUSED("u ", "step 0: malformed");
	REFUSED("c ", "step 0: malformed");
	REFUSED("t 0.0 0.000000000 a", "step 0: malformed");
	REFUSED("t -0.000000000 0.000000000 a", "step 0: malformed");
	REFUSED("e x " DIR_LINE, "step 0: malformed");
	REFUSED("i " ROOT_LINE, "step 0: the root is not moved");
	REFUSED("s " FILE_LINE, "step 0: the second entry is missing");
	REFUSED("s " FILE_LINE "\0" DIR_LINE, "step 0: two entries that are not of one thing");
}

TEST(written_as_it_was_read)
{
	static const char record[] = "s " DIR_LINE "\0" DIR_LINE "\0o mht a\0t 1.000000000 "
				     "2.000000000 x\0c b\0u c\0e mh " DIR_LINE;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_undo_record r;
	struct mlimg_text text = {0};
	struct mlimg_undo_log log;

	ASSERT_OK(PARSE(record, &log, &err), err);
	for (size_t i = 0; i < log.n_records; i++) {
		ASSERT_OK(mlimg_undo_log_get(&log, i, &r, &err), err);
		mlimg_undo_log_put(&r, mlimg_text_put, &text);
	}
	ASSERT_EQ(text.size, sizeof(record));
	ASSERT_MEM(text.data, record, sizeof(record));
	free(text.data);
	mlimg_undo_log_done(&log);
}

TEST(a_map_of_many_paths)
{
	struct mlimg_path_map map = {0};
	char path[32];
	size_t n;

	ASSERT(!mlimg_path_map_get(&map, "a", &n));
	ASSERT(!mlimg_path_map_covers(&map, "a"));
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(path, sizeof(path), "%u/%u", i % 7, i);
		ASSERT_EQ(mlimg_path_map_set(&map, path, i), 0);
	}
	ASSERT_EQ(mlimg_path_map_set(&map, "0/7", 99), 0);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(path, sizeof(path), "%u/%u", i % 7, i);
		ASSERT(mlimg_path_map_get(&map, path, &n));
		ASSERT_EQ(n, i == 7 ? 99 : i);
	}
	ASSERT(mlimg_path_map_covers(&map, "0/7"));
	ASSERT(mlimg_path_map_covers(&map, "0/7/below/it"));
	ASSERT(!mlimg_path_map_covers(&map, "0"));
	ASSERT(!mlimg_path_map_covers(&map, "0/77777"));
	mlimg_path_map_done(&map);
}
