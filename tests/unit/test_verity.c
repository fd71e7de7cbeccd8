/* SPDX-License-Identifier: MIT */
#include "libmlimg/verity.h"

#include "libmlimg/cleanup.h"
#include "tests/lib/test.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HASH "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

#define BLOCKS UINT64_C(1000)

/* As `veritysetup format --salt=<32 times 11> --uuid=…` writes it. */
static void good_super(uint8_t block[MLIMG_VERITY_BLOCK])
{
	memset(block, 0, MLIMG_VERITY_BLOCK);
	memcpy(block, "verity\0\0\1\0\0\0\1\0\0\0", 16);
	memset(block + 16, 0xaa, 16);
	strcpy((char *)block + 32, "sha256");
	block[65] = block[69] = 0x10;
	block[72] = BLOCKS & 0xff;
	block[73] = BLOCKS >> 8;
	block[80] = 32;
	memset(block + 88, 0x11, 32);
}

TEST(levels)
{
	struct mlimg_verity_levels levels;

	ASSERT(!mlimg_verity_levels(0, 0, &levels));
	ASSERT(!mlimg_verity_levels(1, 4096, &levels));
	ASSERT(mlimg_verity_levels(2, 8192, &levels));
	ASSERT_EQ(levels.n, 1);
	ASSERT_EQ(levels.level[0].n_blocks, 1);
	ASSERT_EQ(levels.level[0].offset_bytes, 8192 + 4096);
	ASSERT_EQ(levels.end_bytes, 8192 + 2 * 4096);
	ASSERT(mlimg_verity_levels(128, 0, &levels));
	ASSERT_EQ(levels.n, 1);
	ASSERT(mlimg_verity_levels(129, 0, &levels));
	ASSERT_EQ(levels.n, 2);
	ASSERT_EQ(levels.level[1].offset_bytes, 4096);
	ASSERT_EQ(levels.level[0].offset_bytes, 2 * 4096);
	ASSERT_EQ(levels.level[0].n_blocks, 2);
	ASSERT(mlimg_verity_levels(128 * 128 * 128, 0, &levels));
	ASSERT_EQ(levels.n, 3);
	ASSERT(mlimg_verity_levels(128 * 128 * 128 + 1, 0, &levels));
	ASSERT_EQ(levels.n, 4);
	ASSERT_EQ(levels.end_bytes, UINT64_C(4096) * (1 + 1 + 2 + 129 + 16385));
	ASSERT(!mlimg_verity_levels(UINT64_MAX, 0, &levels));
	ASSERT(!mlimg_verity_levels(BLOCKS, UINT64_MAX, &levels));
	ASSERT(!mlimg_verity_levels(BLOCKS, INT64_MAX, &levels));
}

TEST(salt)
{
	uint8_t salt[MLIMG_SHA256_SIZE];
	char hex[MLIMG_SHA256_HEX_SIZE];

	/* printf 'mlimg-verity-salt %s' ID | sha256sum */
	mlimg_verity_salt(ID, salt);
	mlimg_sha256_hex(salt, hex);
	ASSERT_STR(hex, "4aa4e4772c023a51fa1d2e28cbe7522b46af8a77b525d9518ef6df2ff90b16f5");
}

TEST(superblock)
{
	uint8_t block[MLIMG_VERITY_BLOCK];
	struct mlimg_verity verity;
	struct mlimg_err err;

	good_super(block);
	ASSERT(mlimg_verity_is_super(block));
	ASSERT_OK(mlimg_verity_parse_super(block, block + 16, BLOCKS, &verity, &err), err);
	ASSERT_EQ(verity.data_blocks, BLOCKS);
	ASSERT_EQ(verity.hash_offset_bytes, BLOCKS * 4096);
	ASSERT(memcmp(verity.salt, block + 88, 32) == 0);
	ASSERT_STR(verity.root_hash, "");
	ASSERT(!verity.signature);
}

/* A superblock with one byte changed is refused, but where the salt is. */
TEST(superblock_each_byte)
{
	uint8_t block[MLIMG_VERITY_BLOCK], uuid[MLIMG_UUID_SIZE];
	struct mlimg_verity verity;
	struct mlimg_err err;

	memset(uuid, 0xaa, sizeof(uuid));
	for (size_t i = 0; i < sizeof(block); i++) {
		bool is_salt = i >= 88 && i < 120;

		good_super(block);
		block[i] ^= 0x40;
		err = (struct mlimg_err)MLIMG_ERR_INIT;
		if (is_salt)
			ASSERT_OK(
				mlimg_verity_parse_super(block, uuid, BLOCKS, &verity, &err), err);
		else
			ASSERT_EQ(mlimg_verity_parse_super(block, uuid, BLOCKS, &verity, &err),
				-EUCLEAN);
	}
}

TEST(superblock_flaws)
{
	static const struct {
		size_t at;
		const char *flaw;
	} cases[] = {
		{0, "it has none"},
		{8, "another format"},
		{12, "another format"},
		{16, "another UUID than the file system's"},
		{34, "another algorithm than sha256"},
		{63, "another algorithm than sha256"},
		{64, "blocks that are not 4096 bytes long"},
		{70, "blocks that are not 4096 bytes long"},
		{79, "another number of blocks than the file system's"},
		{81, "a salt that is not 32 bytes long"},
		{82, "bytes where zeros are wanted"},
		{120, "bytes where zeros are wanted"},
		{4095, "bytes where zeros are wanted"},
	};
	uint8_t block[MLIMG_VERITY_BLOCK], uuid[MLIMG_UUID_SIZE];
	struct mlimg_verity verity;
	char text[128];

	memset(uuid, 0xaa, sizeof(uuid));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mlimg_err err = MLIMG_ERR_INIT;

		good_super(block);
		block[cases[i].at] ^= 0x80;
		ASSERT_EQ(mlimg_verity_parse_super(block, uuid, BLOCKS, &verity, &err), -EUCLEAN);
		snprintf(text, sizeof(text), "superblock of the hash tree: %s", cases[i].flaw);
		ASSERT_STR(err.text, text);
		ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	}
	good_super(block);
	memset(block + 72, 0, 8);
	ASSERT_EQ(mlimg_verity_parse_super(block, uuid, 0, &verity, NULL), -EUCLEAN);
}

static char *good_sidecar(void)
{
	static uint8_t signature[] = {0x30, 0x82, 0, 0xff, 0xfe};
	struct mlimg_layer_info info = {.kind = MLIMG_SYSTEM,
		.name = "debian",
		.version = "12",
		.build_id = ID,
		.entries = 7,
		.size_bytes = 1};
	struct mlimg_verity verity = {.data_blocks = BLOCKS,
		.hash_offset_bytes = BLOCKS * 4096,
		.root_hash = HASH,
		.signature = signature,
		.signature_size = sizeof(signature)};
	struct mlimg_err err;
	char *text;

	memset(verity.salt, 0xab, sizeof(verity.salt));
	ASSERT_OK(mlimg_sidecar_to_json(&info, &verity, &text, &err), err);
	return text;
}

TEST(sidecar_there_and_back)
{
	mlimg_autofree char *text = good_sidecar(), *again = NULL;
	struct mlimg_layer_info info;
	struct mlimg_verity verity;
	struct mlimg_err err;

	ASSERT_OK(mlimg_sidecar_from_json(text, strlen(text), &info, &verity, &err), err);
	ASSERT_STR(info.name, "debian");
	ASSERT_EQ(verity.data_blocks, BLOCKS);
	ASSERT_STR(verity.root_hash, HASH);
	ASSERT_EQ(verity.signature_size, 5);
	ASSERT(memcmp(verity.signature, "\x30\x82\0\xff\xfe", 5) == 0);
	ASSERT_OK(mlimg_sidecar_to_json(&info, &verity, &again, &err), err);
	ASSERT_STR(again, text);
	mlimg_layer_info_done(&info);
	mlimg_verity_done(&verity);
}

/* The good one with one text in place of another: refused with that message. */
static void refuses(const char *old, const char *new, const char *message)
{
	mlimg_autofree char *text = good_sidecar(), *changed = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_layer_info info;
	struct mlimg_verity verity;
	char *at = strstr(text, old);

	ASSERT(at);
	ASSERT(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old)) > 0);
	ASSERT_EQ(
		mlimg_sidecar_from_json(changed, strlen(changed), &info, &verity, &err), -EUCLEAN);
	ASSERT_STR(err.text, message);
}

TEST(sidecar_refused)
{
	refuses("\"verity\"", "\"verify\"", "no object 'verity'");
	refuses("\"name\"", "\"nmae\"", "layer.json: no string 'name'");
	refuses("\"root_hash\"", "\"root\"", "verity: no string 'root_hash'");
	refuses("fedc", "FEDC", "verity: 'root_hash' is not 64 lower-case hexadecimal digits");
	refuses("\"abab", "\"bab", "verity: 'salt' is not 64 lower-case hexadecimal digits");
	refuses("sha256", "sha1", "verity: hash_algorithm 'sha1' is unknown");
	refuses("\"hash_type\": 1", "\"hash_type\": 0", "verity: 'hash_type' is 0, not 1");
	refuses("\"data_block_size\": 4096", "\"data_block_size\": 512",
		"verity: 'data_block_size' is 512, not 4096");
	refuses("\"hash_block_size\": 4096", "\"hash_block_size\": true",
		"verity: no integer 'hash_block_size'");
	refuses("\"data_blocks\": 1000", "\"data_blocks\": -1", "verity: 'data_blocks' is -1");
	refuses("\"data_blocks\": 1000", "\"data_blocks\": 1001",
		"verity: 'hash_offset_bytes' is not the end of the data blocks");
	refuses("4096000", "4096001",
		"verity: 'hash_offset_bytes' is not the end of the data blocks");
	refuses("\"MIIA", "\"MII*", "verity: 'signature' is no base64");
	refuses("\"MIIA//4=\"", "\"\"", "verity: 'signature' is no base64");
	refuses("\"MIIA//4=\"", "7",
		"verity: 'signature' is no string, or longer than a signature");
}

TEST(sidecar_bounds)
{
	size_t size = MLIMG_SIDECAR_MAX + 1;
	mlimg_autofree char *text = malloc(size);
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_layer_info info;
	struct mlimg_verity verity;

	memset(text, ' ', size);
	memcpy(text, "{}", 2);
	ASSERT_EQ(mlimg_sidecar_from_json(text, size, &info, &verity, &err), -EUCLEAN);
	ASSERT_STR(err.text, "is longer than 98304 bytes");
	ASSERT_EQ(mlimg_sidecar_from_json(text, size - 1, &info, &verity, &err), -EUCLEAN);
	ASSERT_STR(err.text, "no object 'verity'");
}
