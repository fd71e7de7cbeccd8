/* SPDX-License-Identifier: MIT */
#include "libmlimg/notes.h"

#include "libmlimg/text.h"
#include "tests/lib/test.h"

static struct mlimg_notes some(void)
{
	struct mlimg_notes notes = {.n_more = 3};

	ASSERT_EQ(
		mlimg_notes_add(&notes, MLIMG_NOTE_TOLD, "etc/passwd", "d", "has %d now", 999), 0);
	ASSERT_EQ(mlimg_notes_add(&notes, MLIMG_NOTE_BROKEN, "var/lib/dpkg/status", "", "x\ny"), 0);
	ASSERT_EQ(mlimg_notes_add(&notes, MLIMG_NOTE_CONFLICT, "", "a b", "%s", ""), 0);
	return notes;
}

TEST(what_is_kept_is_read_as_it_was)
{
	struct mlimg_notes notes = some(), read = {.n = 0};
	struct mlimg_text text = {.data = NULL}, again = {.data = NULL};

	mlimg_notes_put(&notes, mlimg_text_put, &text);
	ASSERT(!text.has_failed);
	ASSERT_EQ(mlimg_notes_parse(text.data, text.size, &read), 0);
	ASSERT_EQ(read.n, 3);
	ASSERT_EQ(read.n_more, 3);
	ASSERT_EQ(read.notes[0].kind, MLIMG_NOTE_TOLD);
	ASSERT_STR(read.notes[0].path, "etc/passwd");
	ASSERT_STR(read.notes[0].text, "has 999 now");
	ASSERT_EQ(read.notes[1].kind, MLIMG_NOTE_BROKEN);
	ASSERT_STR(read.notes[1].text, "x?y");
	ASSERT_EQ(read.notes[2].kind, MLIMG_NOTE_CONFLICT);
	ASSERT_STR(read.notes[2].name, "a b");
	mlimg_notes_put(&read, mlimg_text_put, &again);
	ASSERT_EQ(again.size, text.size);
	ASSERT_MEM(again.data, text.data, text.size);
	mlimg_notes_done(&notes);
	mlimg_notes_done(&read);
	free(text.data);
	free(again.data);
}

TEST(what_is_cut_off_or_malformed_is_read_as_far_as_it_goes)
{
	static const char *const bad[] = {"", "mlimg notes 1 0", "mlimg notes 1 00\n",
		"mlimg notes 2 0\n", "mlimg notes 1 0\nx ", "mlimg notes 1 0\nt", "nonsense\n"};
	struct mlimg_notes notes = some(), read = {.n = 0};
	struct mlimg_text text = {.data = NULL};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ASSERT_EQ(mlimg_notes_parse(bad[i], strlen(bad[i]), &read), -EUCLEAN);
	ASSERT_EQ(read.n, 0);
	mlimg_notes_put(&notes, mlimg_text_put, &text);
	ASSERT_EQ(mlimg_notes_parse(text.data, text.size - 1, &read), -EUCLEAN);
	ASSERT_EQ(read.n, 2);
	mlimg_notes_done(&notes);
	mlimg_notes_done(&read);
	free(text.data);
}
