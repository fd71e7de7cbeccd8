/* SPDX-License-Identifier: MIT */
#include "libmlimg/json.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* Brackets within strings do not count; whether the text is JSON at all is left to jansson. */
static bool is_shallow(const char *text, size_t size)
{
	bool in_string = false;
	size_t depth = 0;

	for (size_t i = 0; i < size; i++) {
		if (text[i] == '"')
			in_string = !in_string;
		else if (in_string && text[i] == '\\')
			i++;
		else if (in_string)
			continue;
		else if (text[i] == '{' || text[i] == '[')
			depth++;
		else if ((text[i] == '}' || text[i] == ']') && depth > 0)
			depth--;
		if (depth > MLIMG_JSON_DEPTH_MAX)
			return false;
	}
	return true;
}

static int load(
	const char *what, const char *text, size_t size, json_t **ret_json, struct mlimg_err *err)
{
	json_error_t why;

	if (!is_shallow(text, size))
		return mlimg_err_refuse(err, "%s: nested too deep", what);
	*ret_json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
	if (!*ret_json && json_error_code(&why) == json_error_out_of_memory)
		return mlimg_err_set(err, ENOMEM, "%s", what);
	if (!*ret_json)
		return mlimg_err_refuse(err, "%s: line %d: %s", what, why.line, why.text);
	return 0;
}

int mlimg_json_load(
	const char *what, const char *text, size_t size, json_t **ret_json, struct mlimg_err *err)
{
	mlimg_autojson json_t *json = NULL;
	int r = load(what, text, size, &json, err);

	if (r < 0)
		return r;
	if (!json_is_object(json))
		return mlimg_err_refuse(err, "%s: no object", what);
	*ret_json = mlimg_steal(&json);
	return 0;
}

int mlimg_json_load_array(
	const char *what, const char *text, size_t size, json_t **ret_json, struct mlimg_err *err)
{
	mlimg_autojson json_t *json = NULL;
	int r = load(what, text, size, &json, err);

	if (r < 0)
		return r;
	if (!json_is_array(json))
		return mlimg_err_refuse(err, "%s: no array", what);
	*ret_json = mlimg_steal(&json);
	return 0;
}

int mlimg_json_get_text(const char *what, const json_t *json, const char *key, char *ret_field,
	size_t size, struct mlimg_err *err)
{
	const json_t *value = json_object_get(json, key);

	if (!json_is_string(value))
		return mlimg_err_refuse(err, "%s: no string '%s'", what, key);
	if (json_string_length(value) >= size)
		return mlimg_err_refuse(err, "%s: '%s' is too long", what, key);
	strcpy(ret_field, json_string_value(value));
	return 0;
}

int mlimg_json_get_integer(const char *what, const json_t *json, const char *key, json_int_t min,
	json_int_t *ret_number, struct mlimg_err *err)
{
	const json_t *value = json_object_get(json, key);

	if (!json_is_integer(value))
		return mlimg_err_refuse(err, "%s: no integer '%s'", what, key);
	if (json_integer_value(value) < min)
		return mlimg_err_refuse(
			err, "%s: '%s' is %lld", what, key, (long long)json_integer_value(value));
	*ret_number = json_integer_value(value);
	return 0;
}
