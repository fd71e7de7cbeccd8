/* SPDX-License-Identifier: MIT */
/**
 * @file sha256.h
 * SHA-256 (FIPS 180-4). A thin cover over nettle, which uses the processor's SHA extensions where
 * it has them; kept apart so that nothing else includes nettle.
 */
#ifndef MLIMG_SHA256_H
#define MLIMG_SHA256_H

#include <nettle/sha2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MLIMG_SHA256_SIZE 32     /**< bytes of a digest */
#define MLIMG_SHA256_HEX_SIZE 65 /**< characters of its hexadecimal form, NUL included */

/** A running digest. */
struct mlimg_sha256 {
	struct sha256_ctx ctx; /**< nettle's */
};

/** Start a digest. */
void mlimg_sha256_init(struct mlimg_sha256 *sha);

/** Add @p size bytes at @p data. */
void mlimg_sha256_add(struct mlimg_sha256 *sha, const void *data, size_t size);

/** Finish; @p sha must be initialised again before further use. */
void mlimg_sha256_end(struct mlimg_sha256 *sha, uint8_t ret_digest[MLIMG_SHA256_SIZE]);

/** All in one call. */
void mlimg_sha256_of(const void *data, size_t size, uint8_t ret_digest[MLIMG_SHA256_SIZE]);

/** Lower-case hexadecimal form. */
void mlimg_sha256_hex(const uint8_t digest[MLIMG_SHA256_SIZE], char ret_hex[MLIMG_SHA256_HEX_SIZE]);

/** @return true and the digest when @p hex is exactly 64 hexadecimal digits, else false */
bool mlimg_sha256_is_hex(const char *hex, uint8_t ret_digest[MLIMG_SHA256_SIZE]);

#endif
