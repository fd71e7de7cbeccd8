/* SPDX-License-Identifier: MIT */
#include "guest-agent/der.h"

#include <string.h>

/* Two bytes of length are enough for whatever we read. */
static bool take_head(struct mlimg_der *in, size_t *ret_size)
{
	size_t n_bytes, size;

	/* A tag of several bytes, and an element that is not there. */
	if (in->size < 2 || (in->at[0] & 0x1f) == 0x1f)
		return false;
	size = in->at[1];
	in->at += 2;
	in->size -= 2;
	if (size >= 0x80) {
		n_bytes = size & 0x7f;
		if (n_bytes < 1 || n_bytes > 2 || in->size < n_bytes)
			return false;
		size = n_bytes == 1 ? in->at[0] : (size_t)in->at[0] << 8 | in->at[1];
		if (size < (n_bytes == 1 ? 0x80u : 0x100u))
			return false;
		in->at += n_bytes;
		in->size -= n_bytes;
	}
	*ret_size = size;
	return size <= in->size;
}

bool mlimg_der_take(struct mlimg_der *in, uint8_t tag, struct mlimg_der *ret_content)
{
	size_t size;

	if (!mlimg_der_is_next(in, tag) || !take_head(in, &size))
		return false;
	*ret_content = (struct mlimg_der){.at = in->at, .size = size};
	in->at += size;
	in->size -= size;
	return true;
}

bool mlimg_der_take_any(struct mlimg_der *in, struct mlimg_der *ret_whole)
{
	const uint8_t *begin = in->at;
	size_t size;

	if (!take_head(in, &size))
		return false;
	in->at += size;
	in->size -= size;
	if (ret_whole)
		*ret_whole = (struct mlimg_der){.at = begin, .size = (size_t)(in->at - begin)};
	return true;
}

bool mlimg_der_is_next(const struct mlimg_der *in, uint8_t tag)
{
	return in->size > 0 && in->at[0] == tag;
}

bool mlimg_der_take_positive(struct mlimg_der *in, struct mlimg_der *ret_magnitude)
{
	struct mlimg_der n;

	if (!mlimg_der_take(in, MLIMG_DER_INTEGER, &n) || n.size == 0 || n.at[0] & 0x80)
		return false;
	if (n.at[0] == 0) {
		/* A zero in front keeps it from being negative, and is there for nothing else. */
		if (n.size == 1 || !(n.at[1] & 0x80))
			return false;
		n.at++;
		n.size--;
	}
	*ret_magnitude = n;
	return true;
}

bool mlimg_der_equals(const struct mlimg_der *der, const void *data, size_t size)
{
	return der->size == size && memcmp(der->at, data, size) == 0;
}
