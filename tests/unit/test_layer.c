/* SPDX-License-Identifier: MIT */
#include "libmlimg/layer.h"

#include "libmlimg/cleanup.h"
#include "tests/lib/test.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define INSTANCE "00112233445566778899aabbccddeeff"

static void collect(void *ctx, const char *data, size_t size)
{
	char *text = ctx;

	strncat(text, data, size);
}

static struct mlimg_layer_info software(void)
{
	struct mlimg_layer_info info = {.kind = MLIMG_SOFTWARE,
		.name = "nginx",
		.version = "1.22-9",
		.build_id = ID_A,
		.entries = 12,
		.size_bytes = UINT64_C(5000000000),
		.time_s = -1};
	struct mlimg_err err;

	ASSERT_OK(mlimg_layer_add_over(&info, ID_B, &err), err);
	ASSERT_OK(mlimg_layer_add_over(&info, ID_A, &err), err);
	return info;
}

TEST(kinds)
{
	ASSERT_STR(mlimg_kind_name(MLIMG_SYSTEM), "system");
	ASSERT_EQ(mlimg_kind_of("software"), MLIMG_SOFTWARE);
	ASSERT_EQ(mlimg_kind_of("user"), MLIMG_USER);
	ASSERT_EQ(mlimg_kind_of("patch"), MLIMG_PATCH);
	ASSERT_EQ(mlimg_kind_of("System"), 0);
	ASSERT_EQ(mlimg_kind_of(""), 0);
	for (enum mlimg_kind kind = MLIMG_SYSTEM; kind <= MLIMG_KIND_LAST; kind++) {
		ASSERT(strlen(mlimg_kind_label(kind)) <= 16);
		ASSERT_STR(mlimg_kind_label(kind) + 6, mlimg_kind_name(kind));
	}
}

TEST(names)
{
	char long_name[MLIMG_LAYER_NAME_MAX + 2];

	ASSERT(mlimg_layer_name_is_valid("debian"));
	ASSERT(mlimg_layer_name_is_valid("1:2.3~rc1+b-2_x"));
	ASSERT(!mlimg_layer_name_is_valid(""));
	ASSERT(!mlimg_layer_name_is_valid(".hidden"));
	ASSERT(!mlimg_layer_name_is_valid("-x"));
	ASSERT(!mlimg_layer_name_is_valid("a b"));
	ASSERT(!mlimg_layer_name_is_valid("a/b"));
	ASSERT(!mlimg_layer_name_is_valid("a\n"));
	ASSERT(!mlimg_layer_name_is_valid("\303\244"));
	memset(long_name, 'n', sizeof(long_name));
	long_name[MLIMG_LAYER_NAME_MAX] = '\0';
	ASSERT(mlimg_layer_name_is_valid(long_name));
	long_name[MLIMG_LAYER_NAME_MAX] = 'n';
	long_name[MLIMG_LAYER_NAME_MAX + 1] = '\0';
	ASSERT(!mlimg_layer_name_is_valid(long_name));
}

TEST(uuid_of_a_build_id)
{
	static const uint8_t expected[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x8d, 0xef, 0x81,
		0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
	uint8_t uuid[MLIMG_UUID_SIZE];

	ASSERT(mlimg_layer_uuid(ID_B, uuid));
	ASSERT_MEM(uuid, expected, sizeof(uuid));
	ASSERT(!mlimg_layer_uuid("0123", uuid));
}

TEST(uuid_matches_prefixes)
{
	uint8_t uuid[MLIMG_UUID_SIZE];
	char prefix[] = ID_B;

	ASSERT(mlimg_layer_uuid(ID_B, uuid));
	for (size_t n = 64; n >= 20; n--) {
		prefix[n] = '\0';
		if (!mlimg_layer_uuid_matches(uuid, prefix))
			FAIL("%zu digits", n);
	}
	prefix[19] = '\0';
	ASSERT(!mlimg_layer_uuid_matches(uuid, prefix)); /* too short */
	ASSERT(!mlimg_layer_uuid_matches(uuid, ID_B "0"));
	ASSERT(!mlimg_layer_uuid_matches(uuid, "0123456789abcdef012g"));
}

TEST(uuid_tells_every_digit)
{
	for (size_t i = 0; i < 32; i++) {
		uint8_t uuid[MLIMG_UUID_SIZE];
		char id[] = ID_B;
		bool differs = i != 12 && i != 16; /* version and variant: not the id's */

		ASSERT(mlimg_layer_uuid(ID_B, uuid));
		id[i] = id[i] == '7' ? '8' : '7';
		if (i == 16)
			id[i] = '4'; /* same lower bits as '0' */
		if (mlimg_layer_uuid_matches(uuid, id) == differs)
			FAIL("digit %zu", i + 1);
		uuid[i / 2] ^= i % 2 ? 1 : 0x10;
		if (mlimg_layer_uuid_matches(uuid, ID_B))
			FAIL("digit %zu of the uuid", i + 1);
	}
}

TEST(header_round_trip)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info info = software(), back = {0};
	struct mlimg_manifest *m = mlimg_manifest_new();
	struct mlimg_err err = MLIMG_ERR_INIT;
	char text[2000] = "", again[2000] = "", *line;

	mlimg_layer_put_header(&info, collect, text);
	ASSERT_STR(text,
		"# mlimg-format 1\n# mlimg-kind software\n# mlimg-name nginx\n"
		"# mlimg-version 1.22-9\n# mlimg-over " ID_B "\n# mlimg-over " ID_A "\n");
	strcpy(again, text);
	for (line = strtok(again, "\n"); line; line = strtok(NULL, "\n"))
		ASSERT_EQ(mlimg_manifest_add_header(m, line + 8, strlen(line + 8)), 0);
	ASSERT_OK(mlimg_layer_parse_header(m, &back, &err), err);
	again[0] = '\0';
	mlimg_layer_put_header(&back, collect, again);
	ASSERT_STR(text, again);
	mlimg_manifest_free(m);
}

TEST(lists_round_trip)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info info = software(), back = {0},
								     parsed = {0};
	struct mlimg_manifest *m = mlimg_manifest_new();
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *json = NULL;
	char text[2000] = "", *line;

	ASSERT_OK(mlimg_layer_add_records(&info, "var/lib/dpkg/arch", ID_A, &err), err);
	ASSERT_OK(mlimg_layer_add_records(&info, "var/lib/dpkg/status", ID_B, &err), err);
	ASSERT_OK(mlimg_layer_add_rebuild(&info, "etc/ld.so.cache", &err), err);
	ASSERT_OK(mlimg_layer_add_rebuild(&info, "var/cache/man", &err), err);
	mlimg_layer_put_header(&info, collect, text);
	ASSERT_STR(strstr(text, "# mlimg-records"),
		"# mlimg-records var/lib/dpkg/arch " ID_A "\n"
		"# mlimg-records var/lib/dpkg/status " ID_B "\n"
		"# mlimg-rebuild etc/ld.so.cache\n# mlimg-rebuild var/cache/man\n");
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		ASSERT_EQ(mlimg_manifest_add_header(m, line + 8, strlen(line + 8)), 0);
	ASSERT_OK(mlimg_layer_parse_header(m, &back, &err), err);
	ASSERT(mlimg_layer_has_same_lists(&info, &back));
	ASSERT_OK(mlimg_layer_to_json(&info, &json, &err), err);
	ASSERT(strstr(json,
		"  \"records\": [\n    {\n      \"path\": \"var/lib/dpkg/arch\",\n      "
		"\"sha256\": "
		"\"" ID_A "\"\n    },\n"));
	ASSERT(strstr(
		json, "  \"rebuild\": [\n    \"etc/ld.so.cache\",\n    \"var/cache/man\"\n  ],\n"));
	ASSERT_OK(mlimg_layer_from_json(json, strlen(json), &parsed, &err), err);
	ASSERT(mlimg_layer_has_same_lists(&info, &parsed));
	ASSERT_OK(mlimg_layer_add_rebuild(&parsed, "z", &err), err);
	ASSERT(!mlimg_layer_has_same_lists(&info, &parsed));
	strcpy(back.records[1].digest, ID_A);
	ASSERT(!mlimg_layer_has_same_lists(&info, &back));
	mlimg_manifest_free(m);
}

TEST(paths_of_lists)
{
	char long_path[MLIMG_LAYER_PATH_MAX + 2] = {0};

	ASSERT(mlimg_layer_path_is_valid("a"));
	ASSERT(mlimg_layer_path_is_valid("a/.b/c..d"));
	ASSERT(!mlimg_layer_path_is_valid(""));
	ASSERT(!mlimg_layer_path_is_valid("/a"));
	ASSERT(!mlimg_layer_path_is_valid("a/"));
	ASSERT(!mlimg_layer_path_is_valid("a//b"));
	ASSERT(!mlimg_layer_path_is_valid("a/./b"));
	ASSERT(!mlimg_layer_path_is_valid("a/../b"));
	ASSERT(!mlimg_layer_path_is_valid("a b"));
	ASSERT(!mlimg_layer_path_is_valid("a\\040b"));
	ASSERT(!mlimg_layer_path_is_valid("\303\244"));
	memset(long_path, 'a', MLIMG_LAYER_PATH_MAX);
	ASSERT(mlimg_layer_path_is_valid(long_path));
	long_path[MLIMG_LAYER_PATH_MAX] = 'a';
	ASSERT(!mlimg_layer_path_is_valid(long_path));
}

TEST(lists_are_bounded)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info info = software();
	mlimg_autofree char *json = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char path[MLIMG_LAYER_PATH_MAX + 1];

	for (int i = 0; i < MLIMG_LAYER_RECORDS_MAX; i++) {
		snprintf(path, sizeof(path), "%0128d", i);
		ASSERT_OK(mlimg_layer_add_records(&info, path, ID_A, &err), err);
		ASSERT_OK(mlimg_layer_add_rebuild(&info, path, &err), err);
	}
	ASSERT_FAILS(mlimg_layer_add_records(&info, "x", ID_A, &err), err, -EUCLEAN,
		"records: more than 256");
	ASSERT_FAILS(
		mlimg_layer_add_rebuild(&info, "x", &err), err, -EUCLEAN, "rebuild: more than 256");
	ASSERT_FAILS(mlimg_layer_to_json(&info, &json, &err), err, -EUCLEAN,
		"layer.json would be longer than 65536 bytes");
}

static void check_header(const char *const *lines, const char *message)
{
	struct mlimg_layer_info info = {.entries = 7};
	struct mlimg_manifest *m = mlimg_manifest_new();
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (; *lines; lines++)
		ASSERT_EQ(mlimg_manifest_add_header(m, *lines, strlen(*lines)), 0);
	ASSERT_FAILS(mlimg_layer_parse_header(m, &info, &err), err, -EUCLEAN, message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	ASSERT_EQ(info.entries, 7);
	mlimg_manifest_free(m);
}

#define HEADER(...)               \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

TEST(header_refused)
{
	check_header(HEADER("kind user"), "manifest header 'format' is missing");
	check_header(HEADER("format 2"), "manifest format '2' is unknown");
	check_header(HEADER("format 1", "format 1"), "manifest format '1' is unknown");
	check_header(HEADER("format 1", "name a", "version 1"), "a layer's kind is missing");
	check_header(HEADER("format 1", "kind shared"), "kind 'shared' is unknown");
	check_header(HEADER("format 1", "kind user", "kind user"),
		"manifest header 'kind' is there twice");
	check_header(HEADER("format 1", "kind system", "version 1"), "'' is no name of a layer");
	check_header(HEADER("format 1", "kind system", "name a/b", "version 1"),
		"'a/b' is no name of a layer");
	check_header(
		HEADER("format 1", "name a", "name b"), "manifest header 'name' is there twice");
	check_header(HEADER("format 1", "name "), "manifest header 'name': ''");
	check_header(HEADER("format 1", "kind system", "name a", "version 1", "over " ID_A),
		"a system layer is over nothing");
	check_header(HEADER("format 1", "kind system", "name a", "version 1", "instance " INSTANCE),
		"a system layer has no instance");
	check_header(HEADER("format 1", "kind user", "name a", "version 1"),
		"'' is no instance of a user layer");
	check_header(HEADER("format 1", "kind software", "over x"), "'x' is no build id");
	check_header(HEADER("format 1", "records a"), "manifest header 'records': 'a'");
	check_header(HEADER("format 1", "records a b"), "records: 'a' has digest 'b'");
	check_header(HEADER("format 1", "records /a " ID_A), "records: '/a' is no path");
	check_header(HEADER("format 1", "records b " ID_A, "records a " ID_A),
		"records: 'a' behind 'b'");
	check_header(HEADER("format 1", "rebuild a", "rebuild a"), "rebuild: 'a' behind 'a'");
	check_header(HEADER("format 1", "rebuild ../a"), "rebuild: '../a' is no path");
	check_header(HEADER("format 1", "kind system", "name a", "version 1", "rebuild a"),
		"a system layer has no records and no caches to rebuild");
}

TEST(header_of_a_patch)
{
	struct mlimg_layer_info info = {.kind = MLIMG_PATCH,
		.name = "debian",
		.version = "12.12",
		.base = ID_A,
		.result = ID_B};
	struct mlimg_layer_info back;
	struct mlimg_manifest *m = mlimg_manifest_new();
	struct mlimg_err err = MLIMG_ERR_INIT;
	char text[1000] = "", *line;

	mlimg_layer_put_header(&info, collect, text);
	ASSERT_STR(text,
		"# mlimg-format 1\n# mlimg-kind patch\n# mlimg-name debian\n"
		"# mlimg-version 12.12\n# mlimg-base " ID_A "\n# mlimg-result " ID_B "\n");
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		ASSERT_EQ(mlimg_manifest_add_header(m, line + 8, strlen(line + 8)), 0);
	ASSERT_OK(mlimg_layer_parse_header(m, &back, &err), err);
	ASSERT_STR(back.base, ID_A);
	ASSERT_STR(back.result, ID_B);
	mlimg_manifest_free(m);
	check_header(HEADER("format 1", "kind patch", "name a", "version 1", "base " ID_A),
		"result '' is no build id");
	check_header(HEADER("format 1", "kind patch", "name a", "version 1", "base x", "result y"),
		"base 'x' is no build id");
	check_header(HEADER("format 1", "kind system", "name a", "version 1", "base " ID_A),
		"a system layer has no base and no result");
	check_header(HEADER("base " ID_A, "base " ID_A), "manifest header 'base' is there twice");
}

TEST(json_of_a_patch)
{
	struct mlimg_layer_info info = {.kind = MLIMG_PATCH,
		.name = "debian",
		.version = "12.12",
		.build_id = ID_A,
		.base = ID_A,
		.result = ID_B};
	struct mlimg_layer_info back;
	mlimg_autofree char *text = NULL, *again = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_layer_to_json(&info, &text, &err), err);
	ASSERT(strstr(text, "\"base\": \"" ID_A "\",\n  \"result\": \"" ID_B "\",\n  \"entries\""));
	ASSERT_OK(mlimg_layer_from_json(text, strlen(text), &back, &err), err);
	ASSERT_OK(mlimg_layer_to_json(&back, &again, &err), err);
	ASSERT_STR(text, again);
	*strstr(text, "\"base\"") = ' ';
	ASSERT_EQ(mlimg_layer_from_json(text, strlen(text), &back, &err), -EUCLEAN);
}

TEST(json_round_trip)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info info = software(), back = {0};
	mlimg_autofree char *text = NULL, *again = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_layer_to_json(&info, &text, &err), err);
	ASSERT_STR(text,
		"{\n  \"format\": 1,\n  \"kind\": \"software\",\n  \"name\": \"nginx\",\n"
		"  \"version\": \"1.22-9\",\n  \"build_id\": \"" ID_A "\",\n"
		"  \"over\": [\n    \"" ID_B "\",\n    \"" ID_A "\"\n  ],\n"
		"  \"entries\": 12,\n  \"size_bytes\": 5000000000,\n  \"time\": -1\n}\n");
	ASSERT_OK(mlimg_layer_from_json(text, strlen(text), &back, &err), err);
	ASSERT_OK(mlimg_layer_to_json(&back, &again, &err), err);
	ASSERT_STR(text, again);
}

TEST(json_round_trip_user)
{
	struct mlimg_layer_info info = {.kind = MLIMG_USER,
		.name = "u",
		.version = "0",
		.build_id = ID_A,
		.instance = INSTANCE};
	struct mlimg_layer_info back;
	mlimg_autofree char *text = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_layer_to_json(&info, &text, &err), err);
	ASSERT(strstr(text, "\"instance\": \"" INSTANCE "\""));
	ASSERT(!strstr(text, "over"));
	ASSERT_OK(mlimg_layer_from_json(text, strlen(text), &back, &err), err);
	ASSERT_EQ(back.kind, MLIMG_USER);
	ASSERT_STR(back.instance, INSTANCE);
}

/* A good description; each case below replaces @from by @to in it. */
#define GOOD                                                                            \
	"{\"format\": 1, \"kind\": \"software\", \"name\": \"n\", \"version\": \"1\", " \
	"\"build_id\": \"" ID_A "\", \"over\": [\"" ID_B "\"], \"entries\": 1, "        \
	"\"size_bytes\": 2, \"time\": 3, \"later\": {}}"

static void check_json(const char *from, const char *to, const char *message)
{
	struct mlimg_layer_info info = {.entries = 7};
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *at = strstr(GOOD, from);
	char text[1000];

	ASSERT(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - GOOD), GOOD, to, at + strlen(from));
	ASSERT_FAILS(
		mlimg_layer_from_json(text, strlen(text), &info, &err), err, -EUCLEAN, message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	ASSERT_EQ(info.entries, 7);
}

TEST(json_unknown_keys_are_ignored)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info info = {0};
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_layer_from_json(GOOD, strlen(GOOD), &info, &err), err);
	ASSERT_EQ(info.entries, 1);
	ASSERT_EQ(info.size_bytes, 2);
	ASSERT_EQ(info.time_s, 3);
	ASSERT_EQ(info.n_over, 1);
	ASSERT_STR(info.over[0], ID_B);
}

TEST(json_refused)
{
	check_json("1,", "2,", "layer.json: format 2 is unknown");
	check_json("\"format\": 1,", "", "layer.json: no integer 'format'");
	check_json("\"software\"", "\"Software\"", "layer.json: kind 'Software' is unknown");
	check_json("\"software\"", "\"system\"", "layer.json: a system layer is over nothing");
	check_json("\"later\": {}", "\"base\": \"" ID_A "\"",
		"layer.json: a software layer has no base and no result");
	check_json("\"software\"", "\"patch\"", "layer.json: a patch layer is over nothing");
	check_json("\"software\"", "7", "layer.json: no string 'kind'");
	check_json("\"software\"", "\"software of a kind\"", "layer.json: 'kind' is too long");
	check_json("\"n\"", "\"\"", "layer.json: '' is no name of a layer");
	check_json("\"n\"", "\"a\\nb\"", "layer.json: 'a?b' is no name of a layer");
	check_json("\"version\": \"1\"", "\"version\": \"\\u00e4\"",
		"layer.json: '\303\244' is no version of a layer");
	check_json(ID_A, "aaaa", "layer.json: 'aaaa' is no build id");
	check_json(ID_B, "bbbb", "layer.json: 'bbbb' is no build id");
	check_json("[\"" ID_B "\"]", "{}", "layer.json: 'over' is no array");
	check_json("[\"" ID_B "\"]", "[1]", "layer.json: 'over' holds other than strings");
	check_json("\"entries\": 1", "\"entries\": -1", "layer.json: 'entries' is -1");
	check_json("\"entries\": 1", "\"entries\": 1.0", "layer.json: no integer 'entries'");
	check_json("\"time\": 3", "\"time\": null", "layer.json: no integer 'time'");
	check_json("\"later\": {}", "\"records\": {}", "layer.json: 'records' is no array");
	check_json("\"later\": {}", "\"records\": [\"a\"]",
		"layer.json: 'records' needs 'path' and 'sha256'");
	check_json("\"later\": {}", "\"records\": [{\"path\": \"a/\", \"sha256\": \"" ID_A "\"}]",
		"layer.json: records: 'a/' is no path");
	check_json("\"later\": {}", "\"rebuild\": \"a\"", "layer.json: 'rebuild' is no array");
	check_json("\"later\": {}", "\"rebuild\": [1]",
		"layer.json: 'rebuild' holds other than strings");
	check_json("\"later\": {}", "\"rebuild\": [\"b\", \"a\"]",
		"layer.json: rebuild: 'a' behind 'b'");
	check_json("\"later\": {}", "\"instance\": \"x\"",
		"layer.json: a software layer has no instance");
	check_json("\"later\"", "\"time\"",
		"layer.json: line 1: duplicate object key near '\"time\"'");
	check_json(", \"later\": {}}", "", "layer.json: line 1: '}' expected near end of file");
}

TEST(json_bounds)
{
	static char text[MLIMG_LAYER_JSON_MAX + 1];
	struct mlimg_layer_info info;
	struct mlimg_err err = MLIMG_ERR_INIT;

	memset(text, '[', sizeof(text));
	ASSERT_FAILS(mlimg_layer_from_json(text, sizeof(text), &info, &err), err, -EUCLEAN,
		"layer.json is longer than 65536 bytes");
	ASSERT_FAILS(mlimg_layer_from_json(text, 2000, &info, &err), err, -EUCLEAN,
		"layer.json: nested too deep");
	memset(text, ' ', sizeof(text));
	memcpy(text, GOOD, strlen(GOOD));
	ASSERT_OK(mlimg_layer_from_json(text, MLIMG_LAYER_JSON_MAX, &info, &err), err);
	mlimg_layer_info_done(&info);
	ASSERT_FAILS(mlimg_layer_from_json("[]", 2, &info, &err), err, -EUCLEAN,
		"layer.json: no object");
	ASSERT_FAILS(mlimg_layer_from_json("", 0, &info, &err), err, -EUCLEAN,
		"layer.json: line 1: '[' or '{' expected near end of file");
}

TEST(over_is_bounded)
{
	mlimg_cleanup(mlimg_layer_info_done) struct mlimg_layer_info info = {0};
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (int i = 0; i < MLIMG_LAYER_OVER_MAX; i++)
		ASSERT_OK(mlimg_layer_add_over(&info, ID_A, &err), err);
	ASSERT_FAILS(mlimg_layer_add_over(&info, ID_A, &err), err, -EUCLEAN,
		"over more than 128 layers");
}
