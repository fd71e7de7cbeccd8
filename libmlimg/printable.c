/* SPDX-License-Identifier: MIT */
#include "libmlimg/printable.h"

#include <stdint.h>

size_t mlimg_printable_size(const char *text)
{
	static const uint32_t least[] = {0, 0, 0xa0, 0x800, 0x10000};
	const unsigned char *s = (const unsigned char *)text;
	size_t size = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 0;
	uint32_t c;

	if (s[0] < 0x80)
		return s[0] >= ' ' && s[0] != 0x7f;
	if (size == 0 || s[0] >= 0xf8)
		return 0;
	c = s[0] & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[size] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	/* Bidirectional controls reorder what is shown around them. */
	if ((c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
		(c >= 0x2066 && c <= 0x2069))
		return 0;
	return size;
}

void mlimg_make_printable(char *text)
{
	while (*text) {
		size_t size = mlimg_printable_size(text);

		if (!size)
			*text = '?';
		text += size ? size : 1;
	}
}
