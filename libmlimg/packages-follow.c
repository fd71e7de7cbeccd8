/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "libmlimg/packages-impl.h"

/* A part of a record that names a package. */
struct name {
	const char *at;
	size_t size;
};

static struct name line_behind(const char *text, const char *end, int n)
{
	while (n-- > 0)
		text = (const char *)memchr(text, '\n', (size_t)(end - text)) + 1;
	return (struct name){
		text, (size_t)((const char *)memchr(text, '\n', (size_t)(end - text)) - text)};
}

/* The first word of a stanza's field, "Package:". */
static struct name field_of(const char *field, const char *text, const char *end)
{
	for (const char *at = text; at < end;
		at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1) {
		if ((size_t)(end - at) <= strlen(field) || strncmp(at, field, strlen(field)) != 0)
			continue;
		at += strlen(field);
		at += strspn(at, " \t");
		return (struct name){at, strcspn(at, " \t\n")};
	}
	return (struct name){text, 0};
}

/* "PATH NAME/noawait" in File, "NAME/noawait" in the file of a trigger. */
static struct name interested(const char *text, const char *end)
{
	struct name n = line_behind(text, end, 0);
	const char *space = memrchr(n.at, ' ', n.size), *slash;

	if (space)
		n = (struct name){space + 1, n.size - (size_t)(space + 1 - n.at)};
	slash = memchr(n.at, '/', n.size);
	if (slash)
		n.size = (size_t)(slash - n.at);
	return n;
}

bool mlimg_packages_follow(
	void *ctx, const char *text, size_t size, enum mlimg_merge_side *ret_side)
{
	const struct mlimg_packages_follow *f = ctx;
	enum mlimg_records_form form = mlimg_packages_form_of(f->path);
	struct name n = {text, 0};
	enum mlimg_package_verdict verdict;

	if (form == MLIMG_RECORDS_DIVERSIONS)
		n = line_behind(text, text + size, 2);
	else if (form == MLIMG_RECORDS_STANZAS)
		n = field_of("Package:", text, text + size);
	else if (form == MLIMG_RECORDS_QUESTIONS)
		n = field_of("Owners:", text, text + size);
	else if (form == MLIMG_RECORDS_LINES && strstr(f->path, "/triggers/"))
		n = interested(text, text + size);
	verdict = mlimg_packages_verdict_of_package(f->merged, n.at, n.size);
	/* Whether a package was installed for others' sake is not the package's own. */
	if (verdict == MLIMG_FILES_PLAIN ||
		(form == MLIMG_RECORDS_STANZAS && verdict != MLIMG_FILES_MINE))
		return false;
	*ret_side = verdict == MLIMG_FILES_NEXT ? MLIMG_SIDE_NEXT : MLIMG_SIDE_MINE;
	return true;
}
