/* SPDX-License-Identifier: MIT */
#include "libmlimg/accounts-layers.h"

#include "libmlimg/cleanup.h"
#include "tests/lib/test.h"

#define N_LAYERS 4

/* A system and three layers over it; the third one may have been made over the first. */
static char ids[N_LAYERS][MLIMG_SHA256_HEX_SIZE];
static struct mlimg_layer_info infos[N_LAYERS];
static char over[N_LAYERS][2][MLIMG_SHA256_HEX_SIZE];
static struct mlimg_accounts_layer layers[N_LAYERS];
static struct mlimg_owner_moves moves[N_LAYERS];

static struct mlimg_records_text text_of(const char *text)
{
	return (struct mlimg_records_text){text, strlen(text)};
}

static void begin(void)
{
	for (int i = 0; i < N_LAYERS; i++) {
		memset(ids[i], 'a' + i, sizeof(ids[i]) - 1);
		memcpy(over[i][0], ids[0], sizeof(ids[0]));
		infos[i] = (struct mlimg_layer_info){.kind = i ? MLIMG_SOFTWARE : MLIMG_SYSTEM,
			.over = over[i],
			.n_over = i > 0};
		snprintf(infos[i].name, sizeof(infos[i].name), "l%d", i);
		memcpy(infos[i].build_id, ids[i], sizeof(ids[i]));
		layers[i] = (struct mlimg_accounts_layer){&infos[i], {NULL, 0}, {NULL, 0}};
	}
}

static void make_over(int layer, int other)
{
	memcpy(over[layer][1], ids[other], sizeof(ids[other]));
	infos[layer].n_over = 2;
}

/* "N:u1>2 g1>2 " of each layer that has any */
static char *find(void)
{
	static char text[1024];
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (int i = 0; i < N_LAYERS; i++)
		mlimg_accounts_moves_done(&moves[i]);
	ASSERT_OK(mlimg_accounts_find_moves(layers, N_LAYERS, moves, &err), err);
	text[0] = '\0';
	for (int i = 0; i < N_LAYERS; i++) {
		const struct mlimg_owner_moves *m = &moves[i];

		if (!mlimg_owner_moves_is_empty(m))
			sprintf(text + strlen(text), "%d:", i);
		for (size_t k = 0; k < m->n_uids; k++)
			sprintf(text + strlen(text), "u%u>%u ", m->uids[k].from, m->uids[k].to);
		for (size_t k = 0; k < m->n_gids; k++)
			sprintf(text + strlen(text), "g%u>%u ", m->gids[k].from, m->gids[k].to);
	}
	return text;
}

#define ROOT "root:x:0:0:::\nman:x:6:12:::\n"

TEST(ids_of_two_layers)
{
	begin();
	layers[0].passwd = text_of(ROOT);
	layers[1].passwd = text_of("db:x:999:999:::\n");
	layers[2].passwd = text_of("web:x:999:999:::\nown:x:1000:1000:::\n");
	layers[2].group = text_of("web:x:999:\n");
	layers[3].passwd = text_of("x:x:998:998:::\nyou:x:1000:1000:::\ny:x:7:7:::\n");
	ASSERT_STR(find(), "2:u999>997 3:u1000>1001 ");
	layers[1].group = text_of("db:x:999:\nother:x:998:\n");
	ASSERT_STR(find(), "2:u999>997 g999>997 3:u1000>1001 ");
}

TEST(a_layer_that_was_made_over_another_knows_it)
{
	begin();
	layers[0].passwd = text_of(ROOT);
	layers[1].passwd = text_of("db:x:999:999:::\n");
	layers[2].passwd = text_of("web:x:999:999:::\n");
	layers[3].passwd = text_of("alias:x:999:999:::\n");
	make_over(3, 1);
	ASSERT_STR(find(), "2:u999>998 ");
	/* It follows one that gave way. */
	begin();
	layers[1].passwd = text_of("db:x:999:999:::\n");
	layers[2].passwd = text_of("web:x:999:999:::\n");
	layers[3].passwd = text_of("web:x:999:999::/web:\nalias:x:999:999:::\n");
	make_over(3, 2);
	ASSERT_STR(find(), "2:u999>998 3:u999>998 ");
}

TEST(what_is_shared_with_the_system)
{
	begin();
	layers[0].passwd = text_of(ROOT);
	layers[1].passwd = text_of("toor:x:0:0:::\nroot:x:0:0:::/bin/zsh\n:man\n");
	layers[2].passwd = text_of("toor2:x:0:0:::\nman:x:60:12:::\n");
	ASSERT_STR(find(), "");
}

TEST(a_name_that_two_layers_made)
{
	begin();
	layers[1].passwd = text_of("web:x:999:999:::\n");
	layers[2].passwd = text_of("web:x:998:999:::\ndb:x:999:999:::\n");
	layers[3].passwd = text_of("web:x:999:999:::\n");
	ASSERT_STR(find(), "2:u998>999 u999>997 ");
}

TEST(nothing_is_free)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	static char text[64 * 1024];

	begin();
	for (int i = 100; i < 1000; i++)
		sprintf(text + strlen(text), "u%d:x:%d:1:::\n", i, i);
	layers[1].passwd = text_of(text);
	layers[2].passwd = text_of("web:x:999:999:::\n");
	ASSERT_FAILS(mlimg_accounts_find_moves(layers, N_LAYERS, moves, &err), err, -EUCLEAN,
		"layer 'l2': 'web' has id 999, as 'u999' of layer 'l1', and no other is free");
}

TEST(too_many)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *text = calloc(10001, 32);
	size_t size = 0;

	ASSERT(text);
	begin();
	for (int i = 0; i < 10001; i++)
		size += (size_t)sprintf(text + size, "u%d:x:%d:1:::\n", i, i);
	layers[1].passwd = text_of(text);
	ASSERT_FAILS(mlimg_accounts_find_moves(layers, N_LAYERS, moves, &err), err, -EUCLEAN,
		"layer 'l1': more than 10000 users or groups");
}

TEST(records_with_other_ids)
{
	static const struct mlimg_moved_id uids[] = {{5, 6}}, gids[] = {{5, 7}};
	const struct mlimg_owner_moves both = {uids, 1, gids, 1};
	static const struct {
		enum mlimg_accounts_file file;
		const char *from, *to;
	} cases[] = {
		{MLIMG_PASSWD, "a:x:5:5:5:5:5\n# 5\n:5\nb:x:6:6:::\n",
			"a:x:6:7:5:5:5\n# 5\n:5\nb:x:6:6:::\n"},
		{MLIMG_GROUP, "a:x:5:+5\n:a\n\nb:x:4:\n", "a:x:7:+5\n:a\n\nb:x:4:\n"},
		{MLIMG_SHADOW, "a:5:5:5:5:5:5:5:5\n", "a:5:5:5:5:5:5:5:5\n"},
		{MLIMG_GSHADOW, "a:5:5:5\n", "a:5:5:5\n"},
		{MLIMG_PASSWD, "", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		mlimg_autofree char *text = NULL;
		size_t size;

		ASSERT_EQ(mlimg_accounts_move(
				  cases[i].file, text_of(cases[i].from), &both, &text, &size),
			0);
		ASSERT_STR(text, cases[i].to);
		ASSERT_EQ(size, strlen(text));
	}
}
