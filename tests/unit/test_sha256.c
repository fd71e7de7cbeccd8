/* SPDX-License-Identifier: MIT */
#include "libmlimg/sha256.h"
#include "tests/lib/test.h"

/* FIPS 180-4's examples, as NIST publishes them. */
static void check(const char *text, const char *expected)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	char hex[MLIMG_SHA256_HEX_SIZE];

	mlimg_sha256_of(text, strlen(text), digest);
	mlimg_sha256_hex(digest, hex);
	ASSERT_STR(hex, expected);
}

TEST(nist_examples)
{
	check("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	check("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(pieces_equal_the_whole)
{
	struct mlimg_sha256 sha;
	uint8_t a[MLIMG_SHA256_SIZE], b[MLIMG_SHA256_SIZE], data[1000];

	memset(data, 'x', sizeof(data));
	mlimg_sha256_of(data, sizeof(data), a);
	mlimg_sha256_init(&sha);
	for (size_t at = 0; at < sizeof(data); at += 8)
		mlimg_sha256_add(&sha, data + at, 8);
	mlimg_sha256_end(&sha, b);
	ASSERT_MEM(a, b, sizeof(a));
}

TEST(hex_round_trip)
{
	uint8_t digest[MLIMG_SHA256_SIZE], back[MLIMG_SHA256_SIZE];
	char hex[MLIMG_SHA256_HEX_SIZE];

	for (size_t i = 0; i < sizeof(digest); i++)
		digest[i] = (uint8_t)(i * 9 + 1);
	mlimg_sha256_hex(digest, hex);
	ASSERT(mlimg_sha256_is_hex(hex, back));
	ASSERT_MEM(digest, back, sizeof(digest));
}

TEST(hex_refuses)
{
	uint8_t digest[MLIMG_SHA256_SIZE] = {7};
	char hex[MLIMG_SHA256_HEX_SIZE + 1];

	memset(hex, 'a', 65);
	hex[65] = '\0';
	ASSERT(!mlimg_sha256_is_hex(hex, digest));
	hex[63] = '\0';
	ASSERT(!mlimg_sha256_is_hex(hex, digest));
	hex[63] = 'A';
	hex[64] = '\0';
	ASSERT(!mlimg_sha256_is_hex(hex, digest));
	hex[63] = 'g';
	ASSERT(!mlimg_sha256_is_hex(hex, digest));
	ASSERT(!mlimg_sha256_is_hex("", digest));
	ASSERT_EQ(digest[0], 7); /* outputs stay untouched on failure */
	hex[63] = 'f';
	ASSERT(mlimg_sha256_is_hex(hex, digest));
}
