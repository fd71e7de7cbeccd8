/* SPDX-License-Identifier: MIT */
/* Reading a report's entries. */
#include <errno.h>
#include <string.h>

#include "libmlimg/boot.h"
#include "libmlimg/json.h"
#include "libmlimg/manifest-lex.h"
#include "libmlimg/report.h"

static const char *text_of(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

/* A path as it was before it was escaped; NULL stays. @return false when it is none */
static bool unescape(const char *text, char ret_path[MLIMG_PATH_MAX + 1])
{
	size_t size;

	ret_path[0] = '\0';
	return !text ||
		mlimg_lex_unescape((struct mlimg_span){text, strlen(text)}, "", ret_path,
			MLIMG_PATH_MAX, &size);
}

static int read_entry(
	const json_t *json, mlimg_report_read_fn *fn, void *ctx, struct mlimg_err *err)
{
	struct mlimg_report_read entry = {.verdict = text_of(json, "verdict"),
		.class = text_of(json, "class"),
		.done = text_of(json, "done"),
		.why = text_of(json, "why")};
	const char *path = text_of(json, "path"), *at = text_of(json, "at");
	char path_text[MLIMG_PATH_MAX + 1], at_text[MLIMG_PATH_MAX + 1];

	if (!path || !entry.verdict || !unescape(path, path_text) || !unescape(at, at_text))
		return mlimg_err_refuse(err, "report: an entry that is none");
	entry.path = path_text;
	entry.at = at ? at_text : NULL;
	return fn(&entry, ctx, err);
}

int mlimg_report_read_entries(
	const char *text, size_t size, mlimg_report_read_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autojson json_t *json = NULL;
	const json_t *entries;
	int r = mlimg_json_load("report", text, size, &json, err);

	if (r < 0)
		return r;
	entries = json_object_get(json, "entries");
	if (!json_is_array(entries))
		return mlimg_err_refuse(err, "report: no list 'entries'");
	for (size_t i = 0; i < json_array_size(entries) && r == 0; i++)
		r = read_entry(json_array_get(entries, i), fn, ctx, err);
	return r;
}
