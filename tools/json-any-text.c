/* SPDX-License-Identifier: MIT */
#include "tools/json-any-text.h"

#include <stdio.h>

json_t *mlimg_json_any_text(const char *text)
{
	char copy[MLIMG_JSON_ANY_TEXT_MAX + 1];
	json_t *string = json_string(text);

	if (string)
		return string;
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(copy);
}
