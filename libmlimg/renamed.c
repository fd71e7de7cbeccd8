/* SPDX-License-Identifier: MIT */
#include "libmlimg/renamed.h"

#include <errno.h>

#include "libmlimg/manifest.h"
#include "libmlimg/path.h"

#define EACH_SIZE 64 /* what is kept of a place beside its path */

int mlimg_renamed_cmp(const void *a, const void *b)
{
	return mlimg_manifest_path_cmp(
		((const struct mlimg_renamed *)a)->from, ((const struct mlimg_renamed *)b)->from);
}

size_t mlimg_renamed_first(const struct mlimg_renamed *all, size_t n, const char *from)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mlimg_manifest_path_cmp(all[middle].from, from) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Those that show @dir. @rest: from there to what is looked for */
static int places_of(const struct mlimg_renamed *all, size_t n, const char *dir, const char *rest,
	size_t *left, mlimg_renamed_fn *fn, void *ctx, struct mlimg_err *err)
{
	size_t rest_size = strlen(rest);
	int r = 0;

	for (size_t i = mlimg_renamed_first(all, n, dir);
		i < n && r == 0 && strcmp(all[i].from, dir) == 0; i++) {
		char path[MLIMG_PATH_MAX + 1];
		size_t size = strlen(all[i].path);

		if (size + 1 + rest_size > MLIMG_PATH_MAX)
			continue;
		if (*left < size + rest_size + EACH_SIZE)
			return mlimg_err_set(err, E2BIG,
				"directories that were renamed show '/%s/%s' and others in too "
				"many places",
				dir, rest);
		*left -= size + rest_size + EACH_SIZE;
		mlimg_path_join(path, all[i].path, rest, rest_size);
		r = fn(path, size, ctx);
	}
	return r;
}

int mlimg_renamed_places(const struct mlimg_renamed *all, size_t n, const char *lower, size_t *left,
	mlimg_renamed_fn *fn, void *ctx, struct mlimg_err *err)
{
	char dir[MLIMG_PATH_MAX + 1];
	int r = 0;

	if (!n || strlen(lower) > MLIMG_PATH_MAX)
		return 0;
	strcpy(dir, lower);
	for (char *slash = strchr(dir, '/'); slash && r == 0; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		r = places_of(all, n, dir, lower + (slash + 1 - dir), left, fn, ctx, err);
		*slash = '/';
	}
	return r;
}
