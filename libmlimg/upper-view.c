/* SPDX-License-Identifier: MIT */
#include "libmlimg/upper-view.h"

#include <string.h>

#include "libmlimg/path.h"
#include "libmlimg/whiteout.h"

bool mlimg_redirect_follow(
	const struct mlimg_xattr *redirect, const char *own, char ret_lower[MLIMG_PATH_MAX + 1])
{
	const char *text = (const char *)redirect->value;
	size_t size = redirect->size, dir = 0;

	if (size < 1 || size > MLIMG_PATH_MAX || memchr(text, '\0', size))
		return false;
	if (*text == '/') {
		text++;
		size--;
	} else if (own && !memchr(text, '/', size)) {
		dir = (size_t)(mlimg_path_name(own) - own);
	} else {
		return false;
	}
	if (dir + size > MLIMG_PATH_MAX)
		return false;
	if (dir)
		memcpy(ret_lower, own, dir);
	memcpy(ret_lower + dir, text, size);
	ret_lower[dir + size] = '\0';
	return mlimg_manifest_path_is_valid(ret_lower);
}

static bool is_dir_in(const struct mlimg_manifest *stack, const char *path)
{
	const struct mlimg_entry *e = mlimg_manifest_find(stack, path);

	return e && e->type == MLIMG_DIR;
}

/* One more component. */
static void go_down(struct mlimg_seen *seen, const char *name, size_t size)
{
	size_t dir = strlen(seen->lower);

	seen->has_lower = seen->has_lower && dir + (dir > 0) + size <= MLIMG_PATH_MAX;
	if (!seen->has_lower)
		return;
	if (dir)
		seen->lower[dir++] = '/';
	memcpy(seen->lower + dir, name, size);
	seen->lower[dir + size] = '\0';
}

/* A directory of the upper; what lies beneath it by its own path is @seen->lower. */
static void enter(struct mlimg_seen *seen, const struct mlimg_manifest *base)
{
	const struct mlimg_xattr *redirect = mlimg_entry_xattr(seen->entry, MLIMG_XATTR_REDIRECT);
	char own[MLIMG_PATH_MAX + 1];

	if (mlimg_entry_is_opaque(seen->entry)) {
		if (seen->has_lower && is_dir_in(base, seen->lower))
			seen->has_lower = false;
	} else if (redirect) {
		strcpy(own, seen->lower);
		seen->has_lower =
			mlimg_redirect_follow(redirect, seen->has_lower ? own : NULL, seen->lower);
	}
}

void mlimg_upper_see(const struct mlimg_manifest *upper, const struct mlimg_manifest *base,
	const char *path, struct mlimg_seen *ret)
{
	char at[MLIMG_PATH_MAX + 1] = "";

	*ret = (struct mlimg_seen){.kind = MLIMG_SEEN_STACK, .has_lower = true};
	for (size_t end = 0, begin = 0; path[begin]; begin = end + (path[end] == '/')) {
		end = begin + strcspn(path + begin, "/");
		if (end > MLIMG_PATH_MAX) {
			*ret = (struct mlimg_seen){.kind = MLIMG_SEEN_NOTHING};
			return;
		}
		go_down(ret, path + begin, end - begin);
		memcpy(at, path, end);
		at[end] = '\0';
		ret->entry = mlimg_manifest_find(upper, at);
		ret->kind = ret->entry   ? MLIMG_SEEN_UPPER
			: ret->has_lower ? MLIMG_SEEN_STACK
					 : MLIMG_SEEN_NOTHING;
		if (!ret->entry)
			continue;
		if (ret->entry->type == MLIMG_DIR) {
			enter(ret, base);
			continue;
		}
		ret->has_lower = false;
		if (mlimg_entry_is_whiteout(ret->entry))
			ret->kind = MLIMG_SEEN_NOTHING;
		else if (path[end])
			ret->kind = ret->entry->type == MLIMG_LINK ? MLIMG_SEEN_ELSEWHERE
								   : MLIMG_SEEN_NOTHING;
		if (ret->kind != MLIMG_SEEN_UPPER)
			ret->entry = NULL;
		return;
	}
}

static const struct mlimg_entry *shown(
	const struct mlimg_manifest *upper, const struct mlimg_manifest *base, const char *path)
{
	struct mlimg_seen seen;

	mlimg_upper_see(upper, base, path, &seen);
	return seen.kind == MLIMG_SEEN_STACK ? mlimg_manifest_find(base, seen.lower) : seen.entry;
}

bool mlimg_upper_shows_file(
	const struct mlimg_manifest *upper, const struct mlimg_manifest *base, const char *path)
{
	const struct mlimg_entry *e = shown(upper, base, path);

	return e && e->type == MLIMG_FILE;
}

const char *mlimg_upper_shows_link(
	const struct mlimg_manifest *upper, const struct mlimg_manifest *base, const char *path)
{
	const struct mlimg_entry *e = shown(upper, base, path);

	return e && e->type == MLIMG_LINK ? e->link : NULL;
}
