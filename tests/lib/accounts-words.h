/* SPDX-License-Identifier: MIT */
/**
 * @file accounts-words.h
 * One merge of accounts on three sides, for the tests of it (libmlimg/accounts.h): its texts, what is
 * told of it and which numbers it moves, as words.
 */
#ifndef MLIMG_TEST_ACCOUNTS_WORDS_H
#define MLIMG_TEST_ACCOUNTS_WORDS_H

#include "libmlimg/accounts.h"
#include "libmlimg/cleanup.h"
#include "tests/lib/test.h"

/* One merge. Files that are not set are not there. */
static struct mlimg_accounts base, next, mine;
static struct mlimg_accounts_merged merged;
static struct mlimg_notes notes;

TEST_UNUSED static void set(
	struct mlimg_accounts *side, enum mlimg_accounts_file file, const char *text)
{
	side->files[file] = (struct mlimg_records_text){text, text ? strlen(text) : 0};
}

TEST_UNUSED static void set_all(
	enum mlimg_accounts_file file, const char *b, const char *n, const char *m)
{
	set(&base, file, b);
	set(&next, file, n);
	set(&mine, file, m);
}

TEST_UNUSED static void merge(const struct mlimg_accounts_used *used)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	mlimg_accounts_merged_done(&merged);
	mlimg_notes_done(&notes);
	ASSERT_OK(mlimg_accounts_merge(&base, &next, &mine, used, &merged, &notes, &err), err);
	for (enum mlimg_accounts_file f = 0; f < MLIMG_N_ACCOUNTS_FILES; f++)
		ASSERT(!merged.files[f].text ||
			strlen(merged.files[f].text) == merged.files[f].size);
}

/* "KIND PATH NAME: TEXT", a line each */
TEST_UNUSED static char *told(void)
{
	static char text[8192];

	text[0] = '\0';
	for (size_t i = 0; i < notes.n; i++)
		sprintf(text + strlen(text), "%s %s %s: %s\n",
			mlimg_note_kind_name(notes.notes[i].kind), notes.notes[i].path,
			notes.notes[i].name, notes.notes[i].text);
	return text;
}

TEST_UNUSED static char *moves(const struct mlimg_owner_moves *m)
{
	static char texts[4][256], *text;
	static int i;

	text = texts[i++ % 4];
	text[0] = '\0';
	for (size_t k = 0; k < m->n_uids; k++)
		sprintf(text + strlen(text), "u%u>%u ", m->uids[k].from, m->uids[k].to);
	for (size_t k = 0; k < m->n_gids; k++)
		sprintf(text + strlen(text), "g%u>%u ", m->gids[k].from, m->gids[k].to);
	return text;
}

TEST_UNUSED static bool nobody(void *ctx, bool is_group, uint32_t id)
{
	return false;
}

TEST_UNUSED static const struct mlimg_accounts_used unused = {nobody, NULL, NULL, NULL};

/*
 * The merge of one file of three texts is @wanted, and of what comes out with next again nothing
 * else.
 */
TEST_UNUSED static void check(enum mlimg_accounts_file file, const char *b, const char *n,
	const char *m, const char *wanted, enum mlimg_merged_from from)
{
	mlimg_autofree char *once = NULL;

	base = next = mine = (struct mlimg_accounts){.files = {{NULL, 0}}};
	set_all(file, b, n, m);
	merge(&unused);
	ASSERT_STR(merged.files[file].text, wanted);
	ASSERT_EQ(merged.files[file].from, from);
	once = merged.files[file].text ? strdup(merged.files[file].text) : NULL;
	set_all(file, n, n, once);
	merge(&unused);
	ASSERT_STR(merged.files[file].text, wanted);
	ASSERT_STR(told(), "");
	set_all(file, b, n, m);
	merge(&unused);
}

#define ROOT "root:x:0:0:root:/root:/bin/bash\n"
#define MAN "man:x:6:12:man:/var/cache/man:/usr/sbin/nologin\n"
#define ALICE "alice:x:1000:1000::/srv/alice:/bin/sh\n"

#endif
