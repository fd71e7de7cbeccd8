/* SPDX-License-Identifier: MIT */
#include "libmlimg/path-glob.h"

#include <string.h>

/*
 * One byte against the piece of a glob that stands for one: [...], an escape, '?', or itself. A
 * bracket without an end stands for itself, as with fnmatch(3); mlimg_path_glob_flaw() tells of
 * that.
 *
 * @return the glob behind the piece, or NULL when @c is something else
 */
static const char *match_bracket(const char *glob, unsigned char c)
{
	bool is_not = *++glob == '!', is_in = false;

	glob += is_not;
	for (const char *first = glob; *glob && (*glob != ']' || glob == first);) {
		unsigned char low, high;

		glob += *glob == '\\' && glob[1];
		low = high = (unsigned char)*glob++;
		if (glob[0] == '-' && glob[1] && glob[1] != ']') {
			glob++;
			glob += *glob == '\\' && glob[1];
			high = (unsigned char)*glob++;
		}
		is_in = is_in || (low <= c && c <= high);
	}
	return is_in != is_not && c != '/' && *glob ? glob + 1 : NULL;
}

static const char *match_one(const char *glob, unsigned char c)
{
	if (*glob == '[')
		return match_bracket(glob, c);
	if (*glob == '?')
		return c != '/' ? glob + 1 : NULL;
	glob += *glob == '\\' && glob[1];
	return *glob && (unsigned char)*glob == c ? glob + 1 : NULL;
}

/* Where to go on with one more byte given to a star. */
struct star {
	const char *glob, *path; /* glob: behind the star; NULL: there is none */
};

/*
 * Without recursion: a star takes as little as it can, and one more byte whenever what follows does
 * not fit. Of each kind only the last star is remembered, since an earlier one of that kind could
 * do nothing that the later one cannot: what a later '*' must not cross is a slash, and then the
 * last '**' takes more. So the time is the product of the lengths, squared at most.
 */
static bool match(const char *path, const char *glob)
{
	struct star in_name = {NULL, NULL}, over_names = {NULL, NULL};

	for (;;) {
		const char *further;

		if (glob[0] == '*' && glob[1] == '*') {
			glob += 2;
			/* Over no component at all, too. */
			if (*glob == '/')
				glob++;
			over_names = (struct star){glob, path};
			in_name.glob = NULL;
			continue;
		}
		if (glob[0] == '*') {
			in_name = (struct star){++glob, path};
			continue;
		}
		if (!*glob && (!*path || *path == '/'))
			return true;
		further = *path ? match_one(glob, (unsigned char)*path) : NULL;
		if (further) {
			glob = further;
			path++;
		} else if (in_name.glob && *in_name.path && *in_name.path != '/') {
			glob = in_name.glob;
			path = ++in_name.path;
		} else if (over_names.glob) {
			/* To the next component. */
			over_names.path += strcspn(over_names.path, "/");
			if (!*over_names.path)
				return !*over_names.glob;
			path = ++over_names.path;
			glob = over_names.glob;
			in_name.glob = NULL;
		} else {
			return false;
		}
	}
}

bool mlimg_path_is_in_glob(const char *path, const char *glob)
{
	size_t plain;

	glob += *glob == '/';
	/* Nearly always the bytes before what is special decide. */
	plain = strcspn(glob, "*?[\\");
	if (strncmp(path, glob, plain) != 0)
		return false;
	return match(path, glob);
}

const char *mlimg_path_glob_flaw(const char *glob)
{
	size_t size = strlen(glob);

	if (size > MLIMG_PATH_GLOB_MAX)
		return "a glob that is too long";
	for (size_t i = 0; i < size; i++) {
		if (glob[i] == '\\' && !glob[++i])
			return "a backslash at the end of a glob";
		/* Between components, or the glob would say less than it seems to. */
		if (strncmp(glob + i, "**", 2) == 0 &&
			((i && glob[i - 1] != '/') || (glob[i + 2] && glob[i + 2] != '/')))
			return "a '**' that is not a whole component";
		if (glob[i] != '[')
			continue;
		i += glob[i + 1] == '!';
		for (i++; glob[i] && (glob[i + 1] != ']'); i++)
			i += glob[i] == '\\' && glob[i + 1];
		if (!glob[i++])
			return "a '[' without ']'";
	}
	return NULL;
}
