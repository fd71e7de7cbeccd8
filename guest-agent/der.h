/* SPDX-License-Identifier: MIT */
/**
 * @file der.h
 * A reader of DER, as much of it as signatures and certificates need: elements one after the other,
 * each read once, never beyond the end of what it is in. It allocates nothing and points into what
 * it reads.
 *
 * Strict: tags have one byte, lengths are definite and as short as they can be, integers too. So
 * nothing can be written in two ways.
 *
 * Source: ITU-T X.690, 8.1 to 8.3 and 10.1.
 */
#ifndef MLIMG_DER_H
#define MLIMG_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bytes that are still to be read, or the contents of an element. */
struct mlimg_der {
	const uint8_t *at;
	size_t size;
};

/** Tags. */
enum {
	MLIMG_DER_INTEGER = 0x02,
	MLIMG_DER_BIT_STRING = 0x03,
	MLIMG_DER_OCTET_STRING = 0x04,
	MLIMG_DER_NULL = 0x05,
	MLIMG_DER_OID = 0x06,
	MLIMG_DER_SEQUENCE = 0x30,
	MLIMG_DER_SET = 0x31,
	MLIMG_DER_CONTEXT_0 = 0xa0, /**< constructed, as an explicit tag is */
};

/**
 * Take the next element.
 *
 * @param in           what is read; moves on
 * @param tag          the tag that it must have
 * @param ret_content  its contents
 * @return             false when there is none, or it has another tag or a wrong length; then @p in
 *                     is of no more use
 */
bool mlimg_der_take(struct mlimg_der *in, uint8_t tag, struct mlimg_der *ret_content);

/**
 * Take the next element, whatever it is, with tag and length.
 *
 * @param in         as mlimg_der_take()
 * @param ret_whole  all its bytes; NULL: it is passed over
 * @return           as mlimg_der_take()
 */
bool mlimg_der_take_any(struct mlimg_der *in, struct mlimg_der *ret_whole);

/** @return whether the next element has this tag */
bool mlimg_der_is_next(const struct mlimg_der *in, uint8_t tag);

/**
 * Take a positive integer.
 *
 * @param in             as mlimg_der_take()
 * @param ret_magnitude  big endian, without zeros in front
 * @return               as mlimg_der_take(); false also for one that is 0, negative, or longer than
 *                       it need be
 */
bool mlimg_der_take_positive(struct mlimg_der *in, struct mlimg_der *ret_magnitude);

/** @return whether these are the same bytes */
bool mlimg_der_equals(const struct mlimg_der *der, const void *data, size_t size);

#endif
