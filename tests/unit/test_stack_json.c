/* SPDX-License-Identifier: MIT */
#include <jansson.h>

#include "libmlimg/stack.h"
#include "tests/lib/test.h"

/* SHA-256 of 64 times 'a', a newline, 64 times 'b', a newline. */
#define STACK_ID "913f9338fb6c17253f3a14816fc08d52522454bfc19a8c99538a197cfb23fb41"

static json_t *layer(const char *kind, char digit)
{
	char id[65] = "";

	memset(id, digit, 64);
	return json_pack("{s:i,s:s,s:s,s:s,s:s,s:i,s:i,s:i}", "format", 1, "kind", kind, "name",
		"n", "version", "1", "build_id", id, "entries", 1, "size_bytes", 2, "time", 3);
}

static json_t *make(void)
{
	struct mlimg_layer_info infos[2] = {{.kind = MLIMG_SYSTEM}, {.kind = MLIMG_SOFTWARE}};
	struct mlimg_stack stack = {.layers = {&infos[0], &infos[1]}, .n_layers = 2};
	char id[MLIMG_SHA256_HEX_SIZE];

	memset(infos[0].build_id, 'a', 64);
	memset(infos[1].build_id, 'b', 64);
	mlimg_stack_id(&stack, id);
	return json_pack("{s:i,s:s,s:[o,o]}", "format", 1, "stack_id", id, "stack",
		layer("system", 'a'), layer("software", 'b'));
}

/* Takes over @json. */
static void check(json_t *json, const char *message)
{
	char *text = json_dumps(json, 0);
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_stack_infos infos = {0};
	int r = mlimg_stack_from_json(text, strlen(text), &infos, &err);

	ASSERT_FAILS(r, err, -EUCLEAN, message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	ASSERT_EQ(infos.n_layers, 0);
	free(text);
	json_decref(json);
}

static void check_with(const char *key, json_t *value, const char *message)
{
	json_t *json = make();

	json_object_set_new(json, key, value);
	check(json, message);
}

TEST(what_an_index_says)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_stack_infos infos;
	json_t *json = make();
	char *text;

	json_object_set_new(json, "later", json_true());
	text = json_dumps(json, 0);
	ASSERT_OK(mlimg_stack_from_json(text, strlen(text), &infos, &err), err);
	ASSERT_EQ(infos.n_layers, 2);
	ASSERT_EQ(infos.layers[0].kind, MLIMG_SYSTEM);
	ASSERT_EQ(infos.layers[1].kind, MLIMG_SOFTWARE);
	ASSERT_EQ(infos.layers[1].build_id[63], 'b');
	ASSERT_EQ(infos.layers[1].time_s, 3);
	mlimg_stack_infos_done(&infos);
	ASSERT_EQ(infos.n_layers, 0);
	free(text);
	json_decref(json);
}

TEST(what_is_refused)
{
	json_t *json;

	check_with("format", json_integer(2), "stack.json: format 2 is unknown");
	check_with("format", json_null(), "stack.json: no integer 'format'");
	check_with("stack", json_object(), "stack.json: 'stack' is no list of 1 to 81 layers");
	check_with("stack", json_array(), "stack.json: 'stack' is no list of 1 to 81 layers");
	check_with("stack", json_pack("[i]", 7),
		"stack.json: layer 0: layer.json: line 1: '[' or '{' expected near '7'");
	check_with("stack", json_pack("[o]", layer("software", 'b')),
		"stack.json: layer 0: software layer 'n' 1 (bbbbbbbbbbbbbbbbbbbb): no system layer "
		"beneath");
	check_with("stack", json_pack("[o,o]", layer("system", 'a'), layer("system", 'b')),
		"stack.json: layer 1: system layer 'n' 1 (bbbbbbbbbbbbbbbbbbbb): a system layer "
		"can only be the lowest");
	json = layer("user", 'b');
	json_object_set_new(json, "instance", json_string("00112233445566778899aabbccddeeff"));
	check_with("stack", json_pack("[o,o]", layer("system", 'a'), json),
		"stack.json: layer 1: a user layer in an index");
	check_with("stack_id", json_null(), "stack.json: no string 'stack_id'");
	check_with("stack", json_pack("[o]", layer("system", 'a')),
		"stack.json: its stack id is '" STACK_ID "', but its layers' is "
		"44c2336fedab8ff6a85c74c2b94165377b0981f526adb9487895ca6314165e86");
}

TEST(too_many_layers)
{
	json_t *list = json_array();

	for (int i = 0; i < 82; i++)
		json_array_append_new(list, layer("software", 'c'));
	check_with("stack", list, "stack.json: 'stack' is no list of 1 to 81 layers");
}

TEST(too_long)
{
	size_t size = MLIMG_STACK_JSON_MAX + 1;
	struct mlimg_stack_infos infos = {0};
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text = calloc(1, size);

	ASSERT_FAILS(mlimg_stack_from_json(text, size, &infos, &err), err, -EUCLEAN,
		"stack.json is longer than 5308416 bytes");
	free(text);
}
