/* SPDX-License-Identifier: MIT */
#include "libmlimg/plan.h"

#include "libmlimg/cleanup.h"
#include "libmlimg/text.h"
#include "tests/lib/test.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
/* SHA-256 of "new\n" and of nothing. */
#define DIGEST_NEW "7aa7a5359173d05b63cfd682e3c38487f3cb4f7f1d60659fe59fab1505977d4c"
#define DIGEST_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ATTRS " mode=0644 uid=0 gid=0 "
#define FILE_LINE(path) \
	"./" path " type=file" ATTRS "size=4 time=1.000000000 sha256digest=" DIGEST_NEW
#define DIR_LINE(path) "./" path " type=dir mode=0755 uid=0 gid=0 time=1.000000000"
#define HEAD(ops, blobs) "mlimg reconcile 1 2 " ID_A " " ID_B " " ops " " blobs "\n"

static const char whole[] = HEAD("11",
	"2") "d etc/a\0"
	     "a etc/b b\0"
	     "u etc/c\0"
	     "c etc/cc\0"
	     "m etc/d\0 " DIR_LINE(
		     "etc/d") "\0"
			      "h etc/d/x\0"
			      "s etc/e\0 ./etc/e type=link" ATTRS
			      "time=1.000000000 link=x tags=xattr:user.a:AQ==\0"
			      "p etc/f\0 1\0 " FILE_LINE(
				      "etc/f") "\0"
					       "t etc/g\0 " FILE_LINE(
						       "was/g") "\0"
								"n etc/h\0 " FILE_LINE(
									"etc/h") "\0"
										 "D "
										 "etc/"
										 "i\0 " DIR_LINE(
											 "etc/i") " tags=xattr:trusted.overlay.impure:eQ==\0"
												  "0 " DIGEST_EMPTY
												  "\n"
												  "4 " DIGEST_NEW
												  "\nnew\n";

static void check_round(const char *text, size_t size)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_text again = {.data = NULL};
	struct mlimg_plan plan;

	ASSERT_OK(mlimg_plan_parse(text, size, &plan, &err), err);
	mlimg_plan_put(&plan, mlimg_text_put, &again);
	ASSERT(!again.has_failed);
	ASSERT_EQ(again.size, size);
	ASSERT_MEM(again.data, text, size);
	mlimg_plan_done(&plan);
	free(again.data);
}

TEST(what_is_read_is_written_again)
{
	check_round(whole, sizeof(whole) - 1);
}

TEST(all_is_read)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_plan plan;
	const char *verbs = "daucmhsptnD";

	ASSERT_OK(mlimg_plan_parse(whole, sizeof(whole) - 1, &plan, &err), err);
	ASSERT_EQ(plan.generation, 2);
	ASSERT_STR(plan.from, ID_A);
	ASSERT_STR(plan.to, ID_B);
	ASSERT_EQ(plan.n_ops, 11);
	for (size_t i = 0; i < plan.n_ops; i++)
		ASSERT_EQ(plan.ops[i].verb, verbs[i]);
	ASSERT_STR(plan.ops[1].path, "etc/b b");
	ASSERT(!plan.ops[1].entry);
	ASSERT_STR(plan.ops[6].entry->link, "x");
	ASSERT_EQ(plan.ops[7].blob, 1);
	ASSERT_STR(plan.ops[8].entry->path, "was/g");
	ASSERT_EQ(plan.n_blobs, 2);
	ASSERT_EQ(plan.blobs[0].size, 0);
	ASSERT_EQ(plan.blobs[1].size, 4);
	ASSERT_MEM(plan.blobs[1].data, "new\n", 4);
	mlimg_plan_done(&plan);
}

TEST(what_is_built_is_read)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_text text = {.data = NULL};
	struct mlimg_entry e = {
		.path = (char *)"a\n\\b", .type = MLIMG_FILE, .hardlink = 3, .nlink = 2};
	struct mlimg_plan plan, read;
	uint32_t blob;

	ASSERT_OK(mlimg_plan_init(&plan, &err), err);
	plan.generation = 7;
	strcpy(plan.from, ID_A);
	strcpy(plan.to, ID_B);
	ASSERT_OK(mlimg_plan_add_blob(&plan, "x", 1, &blob, &err), err);
	ASSERT_OK(mlimg_plan_add(&plan, MLIMG_PLAN_PUT, e.path, &e, blob, &err), err);
	ASSERT_OK(mlimg_plan_add(&plan, MLIMG_PLAN_DROP, "c", NULL, 0, &err), err);
	mlimg_plan_put(&plan, mlimg_text_put, &text);
	mlimg_plan_done(&plan);
	ASSERT_OK(mlimg_plan_parse(text.data, text.size, &read, &err), err);
	ASSERT_EQ(read.n_ops, 2);
	ASSERT_STR(read.ops[0].path, "a\n\\b");
	ASSERT_STR(read.ops[0].entry->path, "a\n\\b");
	ASSERT_EQ(read.ops[0].entry->hardlink, 0);
	check_round(text.data, text.size);
	mlimg_plan_done(&read);
	free(text.data);
}

/* Cut off anywhere, and with a byte behind it. */
TEST(no_part_is_a_plan)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_plan plan;

	for (size_t size = 0; size <= sizeof(whole); size++) {
		mlimg_autofree char *text = malloc(size + 1);

		ASSERT(text);
		memcpy(text, whole, size);
		if (size == sizeof(whole) - 1)
			continue;
		if (mlimg_plan_parse(text, size, &plan, &err) != -EUCLEAN)
			FAIL("%zu bytes are taken", size);
	}
}

static void check_refused(const char *text, size_t size, const char *why)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_plan plan;
	char message[MLIMG_ERR_TEXT_SIZE];

	snprintf(message, sizeof(message), "plan: %s", why);
	ASSERT_FAILS(mlimg_plan_parse(text, size, &plan, &err), err, -EUCLEAN, message);
}

#define REFUSED(text, why) check_refused(text, sizeof(text) - 1, why)
#define REFUSED_OP(text, why) REFUSED(HEAD("1", "0") text "\0", "operation 1: " why)

TEST(what_is_refused)
{
	REFUSED("", "not a plan of this version");
	REFUSED("mlimg reconcile 2 1 " ID_A " " ID_B " 0 0\n", "not a plan of this version");
	REFUSED("mlimg reconcile 1 0 " ID_A " " ID_B " 0 0\n", "malformed first line");
	REFUSED("mlimg reconcile 1 1 x " ID_B " 0 0\n", "malformed first line");
	REFUSED("mlimg reconcile 1 1 " ID_A " " ID_B " 00 0\n", "malformed first line");
	REFUSED("mlimg reconcile 1 1 " ID_A " " ID_B " 0 0 \n", "malformed first line");
	REFUSED(HEAD("0", "0") "x", "something behind its end");
	REFUSED_OP("z a", "an unknown letter");
	REFUSED_OP("d", "malformed");
	REFUSED_OP("d ", "malformed");
	REFUSED_OP("da", "malformed");
	REFUSED_OP("d /etc", "malformed path");
	REFUSED_OP("d ../a", "malformed path");
	REFUSED_OP("d a//b", "malformed path");
	REFUSED_OP("d .", "malformed path");
	REFUSED_OP("s a", "no entry");
	REFUSED_OP("s a\0x", "no entry");
	REFUSED_OP("s a\0 ./b type=dir mode=0755 uid=0 gid=0 time=1.000000000",
		"an entry of another path");
	REFUSED_OP("t a\0 . type=dir mode=0755 uid=0 gid=0 time=1.000000000",
		"an entry of another path");
	REFUSED_OP("s a\0 ./a mode=0755 type=dir uid=0 gid=0 time=1.000000000",
		"an entry that is not in canonical form");
	REFUSED_OP("s a\0 ./a type=dir", "line 1: 'mode' is missing");
	REFUSED_OP("t a\0 ./a type=file" ATTRS "size=4 time=1.000000000", "a file without digest");
	REFUSED_OP("D a\0 " FILE_LINE("a"), "an entry of another type");
	REFUSED_OP("m a\0 " FILE_LINE("a"), "an entry of another type");
	REFUSED_OP("t a\0 " DIR_LINE("a"), "an entry of another type");
	REFUSED_OP(
		"n a\0 ./a type=link" ATTRS "time=1.000000000 link=x", "an entry of another type");
	REFUSED_OP("t a\0 ./a type=char" ATTRS "time=1.000000000 device=native,0,0",
		"an entry that is a whiteout");
	REFUSED_OP("s a\0 " DIR_LINE("a") " tags=xattr:trusted.overlay.opaque:eQ==",
		"an entry with overlayfs' own xattrs");
	REFUSED_OP("s a\0 " FILE_LINE("a") " tags=links:1:2", "an entry with hard links");
	REFUSED_OP("p a\0 0\0 " FILE_LINE("a"), "a blob that is not there");
	REFUSED(HEAD("0", "1"), "blob 0: missing");
	REFUSED(HEAD("0", "1") "04 " DIGEST_NEW "\nnew\n", "blob 0: malformed");
	REFUSED(HEAD("0", "1") "5 " DIGEST_NEW "\nnew\n", "blob 0: cut off");
	REFUSED(HEAD("0", "1") "4 " DIGEST_EMPTY "\nnew\n", "blob 0: another digest");
}
