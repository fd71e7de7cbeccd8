/* SPDX-License-Identifier: MIT */
#include "libmlimg/stack.h"

#include "tests/lib/test.h"

static struct mlimg_layer_info layer(enum mlimg_kind kind, char digit)
{
	struct mlimg_layer_info info = {.kind = kind, .name = "n", .version = "1"};

	memset(info.build_id, digit, 64);
	return info;
}

static void push(struct mlimg_stack *stack, const struct mlimg_layer_info *info)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_stack_push(stack, info, &err), err);
}

static void refused(
	struct mlimg_stack *stack, const struct mlimg_layer_info *info, const char *message)
{
	struct mlimg_stack before = *stack;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_FAILS(mlimg_stack_push(stack, info, &err), err, -EUCLEAN, message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	ASSERT_MEM(stack, &before, sizeof(before));
}

TEST(rules)
{
	struct mlimg_layer_info system = layer(MLIMG_SYSTEM, 'a'), other = layer(MLIMG_SYSTEM, 'b'),
				software = layer(MLIMG_SOFTWARE, 'c'),
				user = layer(MLIMG_USER, 'd'), user2 = layer(MLIMG_USER, 'e');
	struct mlimg_stack stack = {0};

	refused(&stack, &software,
		"software layer 'n' 1 (cccccccccccccccccccc): no system layer beneath");
	refused(&stack, &user, "user layer 'n' 1 (dddddddddddddddddddd): no system layer beneath");
	push(&stack, &system);
	refused(&stack, &other,
		"system layer 'n' 1 (bbbbbbbbbbbbbbbbbbbb): a system layer can only be the lowest");
	push(&stack, &software);
	refused(&stack, &software,
		"software layer 'n' 1 (cccccccccccccccccccc): is in the stack twice");
	push(&stack, &user);
	refused(&stack, &user2,
		"user layer 'n' 1 (eeeeeeeeeeeeeeeeeeee): nothing can lie above a user layer");
	refused(&stack, &software,
		"software layer 'n' 1 (cccccccccccccccccccc): nothing can lie above a user layer");
	ASSERT_EQ(stack.n_layers, 2);
	ASSERT(stack.user == &user);
}

static struct mlimg_layer_info patch(char digit, char base, char result)
{
	struct mlimg_layer_info info = layer(MLIMG_PATCH, digit);

	memset(info.base, base, 64);
	memset(info.result, result, 64);
	return info;
}

TEST(patches)
{
	struct mlimg_layer_info system = layer(MLIMG_SYSTEM, 'a'), p = patch('b', 'a', 'c'),
				q = patch('d', 'c', 'e'), software = layer(MLIMG_SOFTWARE, 'f'),
				new_system = layer(MLIMG_SYSTEM, 'e'), late;
	struct mlimg_stack stack = {0}, other = {0};
	char id[MLIMG_SHA256_HEX_SIZE], other_id[MLIMG_SHA256_HEX_SIZE];
	const char *ids[1 + MLIMG_STACK_SOFTWARE_MAX], *missing;
	struct mlimg_err err = MLIMG_ERR_INIT;
	size_t at;

	ASSERT_STR(mlimg_stack_system_id(&stack), "");
	refused(&stack, &p, "patch layer 'n' 1 (bbbbbbbbbbbbbbbbbbbb): no system layer beneath");
	push(&stack, &system);
	ASSERT_STR(mlimg_stack_system_id(&stack), system.build_id);
	refused(&stack, &q,
		"patch layer 'n' 1 (dddddddddddddddddddd): is a patch for system "
		"cccccccccccccccccccc, and this one is aaaaaaaaaaaaaaaaaaaa");
	push(&stack, &p);
	ASSERT_STR(mlimg_stack_system_id(&stack), p.result);
	refused(&stack, &p, "patch layer 'n' 1 (bbbbbbbbbbbbbbbbbbbb): is in the stack twice");
	push(&stack, &q);
	ASSERT_OK(mlimg_layer_add_over(&software, q.result, &err), err);
	push(&stack, &software);
	late = patch('0', 'e', 'f');
	refused(&stack, &late,
		"patch layer 'n' 1 (00000000000000000000): a patch cannot lie above software");

	/* It is the same stack as with the new system. */
	ASSERT_EQ(mlimg_stack_ids(&stack, ids), 2);
	ASSERT_STR(ids[0], q.result);
	ASSERT_STR(ids[1], software.build_id);
	push(&other, &new_system);
	push(&other, &software);
	mlimg_stack_id(&stack, id);
	mlimg_stack_id(&other, other_id);
	ASSERT_STR(id, other_id);
	ASSERT(mlimg_stack_is_built_over(&stack, &at, &missing));
	memset(software.over[0], 'a', 64); /* what the patch was made on is there no more */
	ASSERT(!mlimg_stack_is_built_over(&stack, &at, &missing));
	ASSERT_EQ(at, 3);
	mlimg_layer_info_done(&software);
}

TEST(at_most_16_patches_beneath_64_software_layers)
{
	struct mlimg_layer_info system = layer(MLIMG_SYSTEM, 'a'), patches[17], software[65];
	struct mlimg_stack stack = {0};

	push(&stack, &system);
	for (size_t i = 0; i < 17; i++) {
		patches[i] = patch((char)('b' + i), (char)('a' + i), (char)('b' + i));
		memset(patches[i].build_id, '0' + (int)i % 10, 32);
		if (i < 16)
			push(&stack, &patches[i]);
	}
	refused(&stack, &patches[16],
		"patch layer 'n' 1 (66666666666666666666): more than 16 patches");
	for (size_t i = 0; i < 65; i++) {
		software[i] = layer(MLIMG_SOFTWARE, 'z');
		software[i].build_id[40] = (char)('0' + i % 10);
		software[i].build_id[41] = (char)('0' + i / 10);
		if (i < 64)
			push(&stack, &software[i]);
	}
	ASSERT_EQ(stack.n_layers, MLIMG_STACK_LAYERS_MAX);
	refused(&stack, &software[64],
		"software layer 'n' 1 (zzzzzzzzzzzzzzzzzzzz): more than 64 software layers");
}

TEST(at_most_64_software_layers)
{
	struct mlimg_layer_info system = layer(MLIMG_SYSTEM, 'a'), software[65];
	struct mlimg_stack stack = {0};

	push(&stack, &system);
	for (size_t i = 0; i < 65; i++) {
		software[i] = layer(MLIMG_SOFTWARE, 'b');
		software[i].build_id[40] = (char)('0' + i % 10);
		software[i].build_id[41] = (char)('0' + i / 10);
	}
	for (size_t i = 0; i < 64; i++)
		push(&stack, &software[i]);
	refused(&stack, &software[64],
		"software layer 'n' 1 (bbbbbbbbbbbbbbbbbbbb): more than 64 software layers");
}

TEST(id)
{
	struct mlimg_layer_info a = layer(MLIMG_SYSTEM, 'a'), b = layer(MLIMG_SOFTWARE, 'b'),
				c = layer(MLIMG_SOFTWARE, 'c'), user = layer(MLIMG_USER, 'd');
	struct mlimg_stack one = {0}, other = {0};
	char id[MLIMG_SHA256_HEX_SIZE], id2[MLIMG_SHA256_HEX_SIZE], text[131];
	uint8_t digest[MLIMG_SHA256_SIZE];

	push(&one, &a);
	push(&one, &b);
	mlimg_stack_id(&one, id);
	snprintf(text, sizeof(text), "%s\n%s\n", a.build_id, b.build_id);
	mlimg_sha256_of(text, 130, digest);
	mlimg_sha256_hex(digest, id2);
	ASSERT_STR(id, id2);
	push(&one, &user); /* is no part of it */
	mlimg_stack_id(&one, id2);
	ASSERT_STR(id, id2);

	push(&other, &a);
	push(&other, &c);
	push(&other, &b);
	mlimg_stack_id(&other, id);
	other.layers[1] = &b;
	other.layers[2] = &c;
	mlimg_stack_id(&other, id2);
	ASSERT(strcmp(id, id2) != 0);
}

/* @over: digits of the ids that the topmost of a stack of layers a, b, c, t is over. */
static const char *missing_of(const char *over)
{
	static struct mlimg_layer_info a, b, c, t;
	struct mlimg_stack stack = {0};
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *missing = NULL;
	char id[65] = "";
	size_t at = 99;
	bool is_over;

	a = layer(MLIMG_SYSTEM, 'a');
	b = layer(MLIMG_SOFTWARE, 'b');
	c = layer(MLIMG_SOFTWARE, 'c');
	mlimg_layer_info_done(&t);
	t = layer(MLIMG_SOFTWARE, 'd');
	for (; *over; over++) {
		memset(id, *over, 64);
		ASSERT_OK(mlimg_layer_add_over(&t, id, &err), err);
	}
	push(&stack, &a);
	push(&stack, &b);
	push(&stack, &c);
	push(&stack, &t);
	is_over = mlimg_stack_is_built_over(&stack, &at, &missing);
	ASSERT_EQ(is_over, !missing);
	ASSERT_EQ(at, missing ? 3 : 99);
	return missing;
}

TEST(built_over)
{
	ASSERT(!missing_of(""));
	ASSERT(!missing_of("a"));
	ASSERT(!missing_of("abc"));
	ASSERT(!missing_of("ac"));
	ASSERT(!missing_of("c"));
	ASSERT_EQ(missing_of("e")[0], 'e');
	ASSERT_EQ(missing_of("ae")[0], 'e');
	ASSERT_EQ(missing_of("ca")[0], 'a'); /* the order differs */
	ASSERT_EQ(missing_of("aa")[0], 'a');
	ASSERT_EQ(missing_of("d")[0], 'd'); /* not over itself */
}
