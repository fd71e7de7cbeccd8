/* SPDX-License-Identifier: MIT */
#include "libmlimg/manifest-lex.h"

#include <string.h>

#include "libmlimg/manifest.h"

bool mlimg_span_is(struct mlimg_span s, const char *text)
{
	return strlen(text) == s.size && memcmp(s.at, text, s.size) == 0;
}

struct mlimg_span mlimg_span_cut(struct mlimg_span *rest, char c)
{
	const char *end = rest->size ? memchr(rest->at, c, rest->size) : NULL;
	struct mlimg_span first = *rest;

	if (!end) {
		rest->at += rest->size;
		rest->size = 0;
		return first;
	}
	first.size = (size_t)(end - first.at);
	rest->at = end + 1;
	rest->size -= first.size + 1;
	return first;
}

bool mlimg_lex_number(struct mlimg_span s, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (s.size < 1 || s.size > 20 || (s.at[0] == '0' && s.size > 1))
		return false;
	for (size_t i = 0; i < s.size; i++) {
		uint64_t digit = (uint64_t)(unsigned char)s.at[i] - '0';

		if (digit > 9 || number > (max - digit) / 10 || digit > max)
			return false;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return true;
}

bool mlimg_lex_digits(struct mlimg_span s, size_t n, unsigned base, uint32_t *ret_number)
{
	uint32_t number = 0;

	if (s.size != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned digit = (unsigned)(unsigned char)s.at[i] - '0';

		if (digit >= base)
			return false;
		number = number * base + digit;
	}
	*ret_number = number;
	return true;
}

bool mlimg_lex_unescape(
	struct mlimg_span s, const char *more, char *buf, size_t max, size_t *ret_size)
{
	size_t n = 0;

	for (size_t i = 0; i < s.size; n++) {
		unsigned char c = (unsigned char)s.at[i];
		uint32_t value = c;
		bool is_escaped = c == '\\';

		if (!*more && n < max && mlimg_manifest_is_plain(c)) {
			buf[n] = (char)c;
			i++;
			continue;
		}
		if (is_escaped) {
			if (s.size - i < 4 ||
				!mlimg_lex_digits(
					(struct mlimg_span){s.at + i + 1, 3}, 3, 8, &value))
				return false;
			if (value < 1 || value > 255)
				return false;
		}
		/* One spelling each: escaped exactly when it has to be. */
		if (is_escaped ==
			(mlimg_manifest_is_plain((unsigned char)value) &&
				(!*more || !strchr(more, (int)value))))
			return false;
		if (n >= max)
			return false;
		buf[n] = (char)value;
		i += is_escaped ? 4 : 1;
	}
	buf[n] = '\0';
	*ret_size = n;
	return true;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool mlimg_lex_base64(struct mlimg_span s, uint8_t *buf, size_t *ret_size)
{
	size_t padding = 0, n = 0;

	if (s.size % 4 != 0)
		return false;
	while (padding < 2 && padding < s.size && s.at[s.size - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < s.size; i += 4) {
		size_t digits = i + 4 == s.size ? 4 - padding : 4;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int value = k < digits ? base64_value(s.at[i + k]) : 0;

			if (value < 0)
				return false;
			v = v << 6 | (uint32_t)value;
		}
		/*
		 * The bits that padding cuts off must be 0, else the same bytes had several
		 * spellings.
		 */
		if (v & ((1u << 8 * (4 - digits)) - 1))
			return false;
		for (size_t k = 0; k + 1 < digits; k++)
			buf[n++] = (uint8_t)(v >> (16 - 8 * k));
	}
	*ret_size = n;
	return true;
}
