/* SPDX-License-Identifier: MIT */
#include "libmlimg/boot.h"

#include "libmlimg/json.h"
#include "libmlimg/report.h"
#include "tests/lib/test.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ID_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static struct mlimg_layer_info system_info = {
	.kind = MLIMG_SYSTEM, .name = "debian", .version = "12.1", .build_id = ID_A};
static struct mlimg_layer_info software_info = {
	.kind = MLIMG_SOFTWARE, .name = "nginx", .version = "1.22", .build_id = ID_B};

static struct mlimg_boot_stack make_stack(void)
{
	struct mlimg_stack stack = {.layers = {&system_info, &software_info}, .n_layers = 2};
	struct mlimg_boot_stack boot_stack;

	mlimg_boot_stack_of(&stack, "overlay", &boot_stack);
	return boot_stack;
}

static struct mlimg_boot_state make_state(void)
{
	struct mlimg_boot_state state = {.generation = 3,
		.stack = make_stack(),
		.base_sha256 = ID_B,
		.base_size_bytes = 6000000};

	return state;
}

TEST(state_round_trip)
{
	struct mlimg_boot_state state = make_state(), back;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text, *again;

	ASSERT_OK(mlimg_boot_state_to_json(&state, &text, &err), err);
	memset(&back, 0x55, sizeof(back));
	ASSERT_OK(mlimg_boot_state_from_json(text, strlen(text), &back, &err), err);
	ASSERT_EQ(back.generation, 3);
	ASSERT_STR(back.stack.union_driver, "overlay");
	ASSERT_STR(back.stack.stack_id, state.stack.stack_id);
	ASSERT_EQ(back.stack.n_layers, 2);
	ASSERT_EQ(back.stack.layers[1].kind, MLIMG_SOFTWARE);
	ASSERT_STR(back.stack.layers[1].name, "nginx");
	ASSERT_STR(back.stack.layers[1].version, "1.22");
	ASSERT_STR(back.stack.layers[1].build_id, ID_B);
	ASSERT_STR(back.base_sha256, ID_B);
	ASSERT_EQ(back.base_size_bytes, 6000000);
	ASSERT_OK(mlimg_boot_state_to_json(&back, &again, &err), err);
	ASSERT_STR(again, text);
	free(text);
	free(again);
}

/* A state of which one member is replaced; NULL takes it away. */
static void check_refused(const char *member, const char *value, const char *message)
{
	struct mlimg_boot_state state = make_state();
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text;
	json_t *json;

	ASSERT_OK(mlimg_boot_state_to_json(&state, &text, &err), err);
	json = json_loads(text, 0, NULL);
	free(text);
	if (value)
		json_object_set_new(json, member, json_loads(value, JSON_DECODE_ANY, NULL));
	else
		json_object_del(json, member);
	text = json_dumps(json, 0);
	json_decref(json);
	ASSERT_FAILS(mlimg_boot_state_from_json(text, strlen(text), &state, &err), err, -EUCLEAN,
		message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	free(text);
}

TEST(states_that_are_refused)
{
	check_refused("format", "0", "state.json: format 0 is unknown");
	check_refused("format", NULL, "state.json: no integer 'format'");
	check_refused("generation", "0", "state.json: 'generation' is 0");
	check_refused("generation", "1000000000", "state.json: 'generation' is 1000000000");
	check_refused("union", "7", "state.json: no string 'union'");
	check_refused("union", "\"0123456789abcdef\"", "state.json: 'union' is too long");
	check_refused("stack_id", "\"abc\"", "state.json: 'stack_id' is no digest");
	check_refused("stack", "{}", "state.json: 'stack' is no list of 1 to 81 layers");
	check_refused("stack", "[]", "state.json: 'stack' is no list of 1 to 81 layers");
	check_refused("stack", "[1]", "state.json: no string 'kind'");
	check_refused("stack", "[{\"kind\": \"user\"}]", "state.json: kind 'user' in a stack");
	check_refused("stack", "[{\"kind\": \"system\", \"name\": \"a/b\"}]",
		"state.json: 'a/b' is no valid name");
	check_refused("base_sha256", NULL, "state.json: no string 'base_sha256'");
	check_refused("base_size_bytes", "-1", "state.json: 'base_size_bytes' is -1");
}

TEST(a_state_that_is_too_long)
{
	static char text[MLIMG_BOOT_STATE_MAX + 1];
	struct mlimg_boot_state state;
	struct mlimg_err err = MLIMG_ERR_INIT;

	memset(text, ' ', sizeof(text));
	text[0] = '{';
	text[MLIMG_BOOT_STATE_MAX - 1] = '}';
	ASSERT_FAILS(mlimg_boot_state_from_json(text, MLIMG_BOOT_STATE_MAX, &state, &err), err,
		-EUCLEAN, "state.json: no integer 'format'");
	ASSERT_FAILS(mlimg_boot_state_from_json(text, sizeof(text), &state, &err), err, -EUCLEAN,
		"state.json is longer than 65536 bytes");
}

/* The largest stack: what is written must be what a reader takes. */
TEST(as_many_layers_as_can_be_with_the_longest_names)
{
	struct mlimg_boot boot = {.root = "/run/mlimg",
		.generation = MLIMG_BOOT_GENERATION_MAX,
		.change = MLIMG_BOOT_CHANGED,
		.has_report = true,
		.stack = make_stack()};
	struct mlimg_boot_state state = make_state();
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text;

	for (size_t i = 0; i < MLIMG_BOOT_LAYERS_MAX; i++) {
		struct mlimg_boot_layer *layer = &state.stack.layers[i];

		*layer = state.stack.layers[1];
		memset(layer->name, 'n', MLIMG_LAYER_NAME_MAX);
		memset(layer->version, 'v', MLIMG_LAYER_NAME_MAX);
		if (i > 0 && i <= MLIMG_STACK_PATCH_MAX) {
			layer->kind = MLIMG_PATCH;
			strcpy(layer->result, ID_C);
		}
	}
	state.stack.n_layers = MLIMG_BOOT_LAYERS_MAX;
	ASSERT_OK(mlimg_boot_state_to_json(&state, &text, &err), err);
	ASSERT(strlen(text) <= MLIMG_BOOT_STATE_MAX);
	ASSERT_OK(mlimg_boot_state_from_json(text, strlen(text), &state, &err), err);
	free(text);
	boot.stack = state.stack;
	boot.previous = &state.stack;
	for (; boot.n_notes < MLIMG_BOOT_NOTES_MAX; boot.n_notes++)
		memset(boot.notes[boot.n_notes], 'x', MLIMG_ERR_TEXT_SIZE - 1);
	ASSERT_OK(mlimg_boot_to_json(&boot, &text, &err), err);
	ASSERT(strlen(text) <= MLIMG_BOOT_JSON_MAX);
	free(text);
}

TEST(a_patch_tells_what_it_makes_of_its_system)
{
	static const struct mlimg_layer_info patch_info = {.kind = MLIMG_PATCH,
		.name = "debian",
		.version = "12.2",
		.build_id = ID_B,
		.base = ID_A,
		.result = ID_C};
	struct mlimg_stack stack = {
		.layers = {&system_info, &patch_info}, .n_layers = 2, .n_patches = 1};
	struct mlimg_boot_state state = make_state(), back;
	struct mlimg_boot_stack other = state.stack;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text, *result;

	mlimg_boot_stack_of(&stack, "overlay", &state.stack);
	ASSERT_OK(mlimg_boot_state_to_json(&state, &text, &err), err);
	ASSERT_OK(mlimg_boot_state_from_json(text, strlen(text), &back, &err), err);
	ASSERT_STR(back.stack.layers[0].result, "");
	ASSERT_STR(back.stack.layers[1].result, ID_C);
	ASSERT(mlimg_boot_stack_is_same(&state.stack, &back.stack));
	strcpy(back.stack.union_driver, "index");
	ASSERT(!mlimg_boot_stack_is_same(&state.stack, &back.stack));
	ASSERT(mlimg_boot_stack_is_same(&other, &other));
	other.n_layers = 1;
	ASSERT(!mlimg_boot_stack_is_same(&state.stack, &other));
	other.n_layers = 2;
	strcpy(other.layers[0].build_id, ID_C);
	ASSERT(!mlimg_boot_stack_is_same(&state.stack, &other));
	result = strstr(text, "\"result\"");
	ASSERT(result);
	result[1] = 'R';
	ASSERT_FAILS(mlimg_boot_state_from_json(text, strlen(text), &back, &err), err, -EUCLEAN,
		"state.json: no string 'result'");
	free(text);
}

TEST(drivers_that_write_the_same)
{
	ASSERT(mlimg_boot_is_same_upper("overlay", "overlay"));
	ASSERT(mlimg_boot_is_same_upper("overlay", "index"));
	ASSERT(mlimg_boot_is_same_upper("index", "overlay"));
	ASSERT(mlimg_boot_is_same_upper("unionfs", "unionfs"));
	ASSERT(!mlimg_boot_is_same_upper("unionfs", "overlay"));
	ASSERT(!mlimg_boot_is_same_upper("index", "unionfs"));
	ASSERT(!mlimg_boot_is_same_upper("", "index"));
}

static void check_report(struct mlimg_report *report, const char *expected)
{
	uint64_t counts[MLIMG_N_VERDICTS], done[MLIMG_N_DONE];
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autojson json_t *json = NULL;
	char *text, *compact;
	size_t size;

	ASSERT_OK(mlimg_report_to_json(report, 2, ID_A, ID_B, &text, &size, &err), err);
	ASSERT_EQ(strlen(text), size);
	ASSERT_OK(mlimg_json_load("report", text, size, &json, &err), err);
	ASSERT_OK(mlimg_report_read_counts(text, size, counts, done), err);
	ASSERT_MEM(counts, report->counts, sizeof(counts));
	ASSERT_MEM(done, report->done, sizeof(done));
	json_object_del(json, "counts");
	json_object_del(json, "done");
	compact = json_dumps(json, JSON_COMPACT);
	ASSERT_STR(compact, expected);
	free(compact);
	free(text);
}

#define HEAD "{\"format\":1,\"generation\":2,\"from\":\"" ID_A "\",\"to\":\"" ID_B "\","

TEST(reports)
{
	mlimg_cleanup(mlimg_report_done) struct mlimg_report report;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_report_init(&report, &err), err);
	check_report(&report, HEAD "\"entries\":[],\"truncated\":false}");
	mlimg_report_add(&report, "kept", MLIMG_KEEP);
	check_report(&report, HEAD "\"entries\":[],\"truncated\":false}");
	mlimg_report_add(&report, "etc/a b", MLIMG_STALE);
	mlimg_report_add(&report, "\"\\\xff\n", MLIMG_WHITEOUT_CHANGED);
	check_report(&report,
		HEAD "\"entries\":[{\"path\":\"etc/a\\\\040b\",\"verdict\":\"stale\"},"
		     "{\"path\":\"\\\"\\\\134\\\\377\\\\012\",\"verdict\":\"whiteout-changed\"}],"
		     "\"truncated\":false}");
	ASSERT_EQ(report.counts[MLIMG_KEEP], 1);
	ASSERT_EQ(report.counts[MLIMG_STALE], 1);
}

TEST(numbers_of_a_strangers_report)
{
	static const char *const texts[] = {"", "[]", "{\"counts\": {}}",
		"{\"counts\": 1, \"done\": 1}", "{\n  \"done\": {}", "{\n  \"done\": {},\n",
		"{\"counts\": {},\n  \"done\": {\"stays\": 1},\n"};
	uint64_t counts[MLIMG_N_VERDICTS], done[MLIMG_N_DONE];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ASSERT_EQ(mlimg_report_read_counts(texts[i], strlen(texts[i]), counts, done),
			-EUCLEAN);
}

/* With the longest ids there are, whatever follows, and whole or cut. */
TEST(numbers_are_in_the_head_of_a_report)
{
	static const char id[] = ID_A;
	uint64_t counts[MLIMG_N_VERDICTS], done[MLIMG_N_DONE];
	mlimg_cleanup(mlimg_report_done) struct mlimg_report report;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text;
	size_t size;

	ASSERT_OK(mlimg_report_init(&report, &err), err);
	for (size_t i = MLIMG_KEEP; i < MLIMG_N_VERDICTS; i++)
		report.counts[i] = INT64_MAX - 1000;
	for (size_t i = 0; i < MLIMG_N_DONE; i++)
		report.done[i] = INT64_MAX;
	for (size_t i = 0; i < 1000; i++)
		mlimg_report_add(&report, "etc/file", MLIMG_STALE);
	ASSERT_OK(mlimg_report_to_json(
			  &report, MLIMG_BOOT_GENERATION_MAX, id, id, &text, &size, &err),
		err);
	ASSERT(size > MLIMG_REPORT_HEAD_MAX);
	ASSERT_OK(mlimg_report_read_counts(text, MLIMG_REPORT_HEAD_MAX, counts, done), err);
	ASSERT_MEM(counts, report.counts, sizeof(counts));
	ASSERT_MEM(done, report.done, sizeof(done));
	ASSERT_OK(mlimg_report_read_counts(text, size, counts, done), err);
	free(text);
}

TEST(reports_of_what_is_done)
{
	mlimg_cleanup(mlimg_report_done) struct mlimg_report report;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_report_entry e = {.path = "etc/a b",
		.verdict = MLIMG_KEEP,
		.class = MLIMG_CLASS_CONFIG,
		.generation = 2};

	ASSERT_OK(mlimg_report_init(&report, &err), err);
	report.hidden = 7;
	mlimg_report_add_entry(&report, &e);
	e.done = MLIMG_DONE_MERGED;
	mlimg_report_add_entry(&report, &e);
	e.verdict = MLIMG_CONFLICT;
	e.done = MLIMG_DONE_BESIDE;
	e.at = "etc/a b.mlimg-new.1";
	mlimg_report_add_entry(&report, &e);
	e.done = MLIMG_DONE_ASIDE;
	e.class = MLIMG_CLASS_OWNED;
	e.from = "usr/\"b";
	e.why = "because of this";
	mlimg_report_add_entry(&report, &e);
	ASSERT_OK(mlimg_notes_add(&report.notes, MLIMG_NOTE_BROKEN, "etc/passwd", "\"\\\xff",
			  "it's a \"b\""),
		err);
	ASSERT_OK(mlimg_report_add_rebuild(&report, "etc/ld.so.cache"), err);
	ASSERT_OK(mlimg_report_add_rebuild(&report, "var/cache/man"), err);
	ASSERT_OK(mlimg_report_add_rebuild(&report, "etc/ld.so.cache"), err);
	check_report(&report,
		HEAD
		"\"hidden\":7,\"rebuild\":[\"etc/ld.so.cache\",\"var/cache/man\"],"
		"\"databases\":[{\"path\":\"etc/"
		"passwd\",\"name\":\"\\\"\\\\134\\\\377\",\"kind\":\"broken\","
		"\"text\":\"it's a \\\"b\\\"\"}],\"entries\":["
		"{\"path\":\"etc/"
		"a\\\\040b\",\"verdict\":\"keep\",\"class\":\"config\",\"done\":\"merged\"},"
		"{\"path\":\"etc/"
		"a\\\\040b\",\"verdict\":\"conflict\",\"class\":\"config\",\"done\":\"beside\","
		"\"at\":\"etc/a\\\\040b.mlimg-new.1\"},"
		"{\"path\":\"etc/"
		"a\\\\040b\",\"verdict\":\"conflict\",\"class\":\"owned\",\"done\":\"aside\","
		"\"at\":\"aside/2/etc/a\\\\040b\",\"from\":\"usr/\\\"b\",\"why\":\"because of "
		"this\"}],\"truncated\":false}");
	ASSERT_EQ(report.counts[MLIMG_KEEP], 2);
	ASSERT_EQ(report.done[MLIMG_DONE_NOTHING], 1);
	ASSERT_EQ(report.done[MLIMG_DONE_ASIDE], 1);
	ASSERT_EQ(report.listed, 3);
}

TEST(a_report_lists_so_many_and_counts_all)
{
	mlimg_cleanup(mlimg_report_done) struct mlimg_report report;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *text;
	size_t size;

	ASSERT_OK(mlimg_report_init(&report, &err), err);
	for (int i = 0; i < MLIMG_REPORT_ENTRIES_MAX + 5; i++)
		mlimg_report_add(&report, "x", MLIMG_CONFLICT);
	ASSERT_EQ(report.counts[MLIMG_CONFLICT], MLIMG_REPORT_ENTRIES_MAX + 5);
	ASSERT_EQ(report.listed, MLIMG_REPORT_ENTRIES_MAX);
	ASSERT_OK(mlimg_report_to_json(&report, 2, ID_A, ID_B, &text, &size, &err), err);
	ASSERT(strstr(text, "\"conflict\": 100005"));
	ASSERT(strstr(text, "\"truncated\": true"));
	free(text);
}
