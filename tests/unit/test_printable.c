/* SPDX-License-Identifier: MIT */
#include "libmlimg/printable.h"

#include <jansson.h>

#include "libmlimg/boot.h"
#include "tests/lib/test.h"

static void becomes(const char *text, const char *wanted)
{
	char copy[64];

	strcpy(copy, text);
	mlimg_make_printable(copy);
	ASSERT_STR(copy, wanted);
}

TEST(what_can_be_shown_stays)
{
	static const char *const good[] = {"", "a b~", "caf\303\251", "\302\240", "\340\240\200",
		"\355\237\277", "\356\200\200", "\357\277\275", "\360\220\200\200",
		"\364\217\277\277"};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		becomes(good[i], good[i]);
}

TEST(what_drives_a_terminal_does_not)
{
	becomes("a\nb\tc\033[0m\177", "a?b?c?[0m?");
	becomes("\302\2330m", "??0m"); /* U+009B, a CSI */
	becomes("a\342\200\256b\342\201\246", "a???b???");
}

TEST(what_is_no_utf_8_does_not)
{
	becomes("\377a\200\301\201", "?a???");
	becomes("\340\237\277", "???");      /* overlong */
	becomes("\355\240\200", "???");      /* half of a pair */
	becomes("\364\220\200\200", "????"); /* above U+10FFFF */
	becomes("\370\210\200\200\200", "?????");
	becomes("a\360\220\200", "a???"); /* cut */
	becomes("\303a", "?a");
}

/* Each seventh of all three bytes, so that each comes with most others. */
TEST(jansson_takes_whatever_comes_of_it)
{
	for (unsigned i = 1 << 16; i < 1 << 24; i += 7) {
		char text[] = {(char)(i >> 16), (char)(i >> 8), (char)i, '\0'};
		json_t *json;

		mlimg_make_printable(text);
		json = json_string(text);
		if (!json)
			FAIL("%02x %02x %02x", i >> 16, i >> 8 & 0xff, i & 0xff);
		json_decref(json);
	}
}

/* --- where messages are made --- */

static void is_sound(const char *text)
{
	json_t *json = json_string(text);

	if (!json)
		FAIL("'%s' is no UTF-8", text);
	json_decref(json);
}

/* @return n two-byte characters, of which one may be cut at each end */
static const char *long_name(size_t n)
{
	static char name[4 * MLIMG_ERR_TEXT_SIZE];

	for (size_t i = 0; i < n; i++)
		memcpy(name + 2 * i, "\303\251", 3);
	return name;
}

static void note(struct mlimg_boot *boot, const char *text)
{
	boot->n_notes = 0;
	mlimg_boot_note(boot, "%s", text);
	is_sound(boot->notes[0]);
}

/* Messages keep the bytes of names (err.h), and are cut anywhere. */
TEST(a_note_of_a_message_that_is_cut_in_a_character_is_sound)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_boot *boot = calloc(1, sizeof(*boot));

	ASSERT(boot);
	for (size_t n = 1; n < MLIMG_ERR_TEXT_SIZE; n++) {
		for (int shift = 0; shift < 2; shift++) {
			const char *name = long_name(n), *x = shift ? "x" : "";

			ASSERT(mlimg_err_refuse(&err, "%s%s", x, name) < 0);
			note(boot, err.text);
			ASSERT(mlimg_err_set(&err, ENOENT, "%s%s", x, name) < 0);
			note(boot, err.text);
			ASSERT(mlimg_err_wrap(&err, -ENOENT, "%s%s", name, x) < 0);
			note(boot, err.text);
			boot->n_notes = 0;
			mlimg_boot_note(boot, "%.299s: %s", name + shift, name);
			is_sound(boot->notes[0]);
		}
	}
	free(boot);
}
