/* SPDX-License-Identifier: MIT */
/**
 * @file crc32c.h
 * CRC-32C (RFC 3720, appendix B.4), the checksum of both ext4's and EROFS' superblocks. Bit by bit:
 * a few kilobytes a disk need no table.
 */
#ifndef MLIMG_CRC32C_H
#define MLIMG_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/**
 * Go on with a checksum.
 *
 * @param crc   what was before: ~0 for nothing
 * @param data  bytes
 * @param size  their number
 * @return      the checksum, not inverted
 */
static inline uint32_t mlimg_crc32c(uint32_t crc, const void *data, size_t size)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < size; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

#endif
