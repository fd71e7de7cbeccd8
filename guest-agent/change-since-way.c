/* SPDX-License-Identifier: MIT */
/*
 * Whether what is to be put on the way back will have a place. The user may have removed directories
 * since, or have put links in their place: with a package's last file dpkg removes its directories.
 * After the decision that would be too late to be seen.
 */
#include <stdio.h>
#include <string.h>

#include "guest-agent/change-since-impl.h"
#include "libmlimg/path.h"
#include "libmlimg/upper-view.h"

static int look(struct since *s)
{
	return s->ways ? 0 : since_after(s, &s->ways);
}

/* @return whether there is something else than a directory: the upper's, or the former stack's */
static bool is_in_the_way(const struct since *s, const char *dir)
{
	const struct mlimg_entry *e = mlimg_manifest_find(s->ways, dir);
	struct mlimg_seen seen;

	if (!e) {
		mlimg_upper_see(s->ways, s->former.manifest, dir, &seen);
		e = seen.kind == MLIMG_SEEN_STACK && seen.has_lower
			? mlimg_manifest_find(s->former.manifest, seen.lower)
			: NULL;
	}
	return e && e->type != MLIMG_DIR;
}

int since_has_way(struct since *s, const char *path)
{
	char dir[MLIMG_PATH_MAX + 1];
	int r = look(s);

	if (r < 0)
		return r;
	snprintf(dir, sizeof(dir), "%s", path);
	for (char *slash = strchr(dir, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (is_in_the_way(s, dir))
			return 0;
		*slash = '/';
	}
	return 1;
}

int since_shows_beneath(struct since *s, const char *path)
{
	char dir[MLIMG_PATH_MAX + 1];
	struct mlimg_seen seen;
	int r = look(s);

	if (r < 0)
		return r;
	snprintf(dir, sizeof(dir), "%.*s", (int)mlimg_path_dir_size(path), path);
	mlimg_upper_see(s->ways, s->former.manifest, dir, &seen);
	return (seen.kind == MLIMG_SEEN_STACK || (seen.entry && seen.entry->type == MLIMG_DIR)) &&
		seen.has_lower && strcmp(seen.lower, dir) == 0;
}

int since_has_ways(struct since *s, const char *const *paths, size_t n, const char *name)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (size_t i = 0; i < n; i++) {
		int r = since_has_way(s, paths[i]);

		if (r < 0)
			return r;
		if (r > 0)
			continue;
		(void)!mlimg_err_set(
			&err, 0, "/%s has no place: something above it is no directory", paths[i]);
		r = since_give_up(s, paths[i], name, &err);
		return r < 0 ? r : 0;
	}
	return 1;
}
