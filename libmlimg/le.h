/* SPDX-License-Identifier: MIT */
/**
 * @file le.h
 * Little-endian numbers at any address, as the formats on disk have them: ext4, dm-verity, xattrs
 * of ACLs and capabilities.
 */
#ifndef MLIMG_LE_H
#define MLIMG_LE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t mlimg_get_le16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t mlimg_get_le32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t mlimg_get_le64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void mlimg_put_le16(void *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void mlimg_put_le32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

#endif
