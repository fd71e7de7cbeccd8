/* SPDX-License-Identifier: MIT */
#include "libmlimg/sha256.h"

#include <string.h>

void mlimg_sha256_init(struct mlimg_sha256 *sha)
{
	sha256_init(&sha->ctx);
}

void mlimg_sha256_add(struct mlimg_sha256 *sha, const void *data, size_t size)
{
	sha256_update(&sha->ctx, size, data);
}

void mlimg_sha256_end(struct mlimg_sha256 *sha, uint8_t ret_digest[MLIMG_SHA256_SIZE])
{
	sha256_digest(&sha->ctx, MLIMG_SHA256_SIZE, ret_digest);
}

void mlimg_sha256_of(const void *data, size_t size, uint8_t ret_digest[MLIMG_SHA256_SIZE])
{
	struct mlimg_sha256 sha;

	mlimg_sha256_init(&sha);
	mlimg_sha256_add(&sha, data, size);
	mlimg_sha256_end(&sha, ret_digest);
}

void mlimg_sha256_hex(const uint8_t digest[MLIMG_SHA256_SIZE], char ret_hex[MLIMG_SHA256_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < MLIMG_SHA256_SIZE; i++) {
		ret_hex[2 * i] = digits[digest[i] >> 4];
		ret_hex[2 * i + 1] = digits[digest[i] & 15];
	}
	ret_hex[2 * MLIMG_SHA256_SIZE] = '\0';
}

/* Above 15 for anything but a lower-case digit: an id has one spelling, so ids can be compared as text.
 */
static unsigned hex_value(char c)
{
	/*
	 * Of each digit its value + 1: reading a manifest of 30,000 files takes two million of
	 * them.
	 */
	static const uint8_t values[256] = {['0'] = 1,
		['1'] = 2,
		['2'] = 3,
		['3'] = 4,
		['4'] = 5,
		['5'] = 6,
		['6'] = 7,
		['7'] = 8,
		['8'] = 9,
		['9'] = 10,
		['a'] = 11,
		['b'] = 12,
		['c'] = 13,
		['d'] = 14,
		['e'] = 15,
		['f'] = 16};

	return values[(uint8_t)c] - 1u;
}

bool mlimg_sha256_is_hex(const char *hex, uint8_t ret_digest[MLIMG_SHA256_SIZE])
{
	uint8_t digest[MLIMG_SHA256_SIZE];

	for (size_t i = 0; i < MLIMG_SHA256_SIZE; i++) {
		unsigned high = hex_value(hex[2 * i]);
		unsigned low = high > 15 ? high : hex_value(hex[2 * i + 1]);

		if (low > 15)
			return false;
		digest[i] = (uint8_t)(high << 4 | low);
	}
	if (hex[2 * MLIMG_SHA256_SIZE] != '\0')
		return false;
	memcpy(ret_digest, digest, sizeof(digest));
	return true;
}
