/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/packages-impl.h"

static int path_cmp(const void *path, const void *one)
{
	return strcmp(path, ((const struct mlimg_package_path *)one)->path);
}

const struct mlimg_package_path *mlimg_packages_find_path(
	const struct mlimg_packages_table *table, const char *path)
{
	return table->n_paths
		? bsearch(path, table->paths, table->n_paths, sizeof(*table->paths), path_cmp)
		: NULL;
}

enum mlimg_package_verdict mlimg_packages_verdict_of_package(
	const struct mlimg_packages_merged *merged, const char *spec, size_t size)
{
	const char *colon = memchr(spec, ':', size);
	size_t name_size = colon ? (size_t)(colon - spec) : size, low = 0;

	for (size_t high = merged->n_packages; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (strncmp(merged->packages[middle].name, spec, name_size) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < merged->n_packages; low++) {
		const struct mlimg_packages_package *package = &merged->packages[low];
		size_t rest = size - name_size - (colon != NULL);

		if (strncmp(package->name, spec, name_size) != 0)
			break;
		if (strlen(package->name) == name_size &&
			(!colon ||
				(strlen(package->architecture) == rest &&
					strncmp(package->architecture, colon + 1, rest) == 0)))
			return package->verdict;
	}
	return MLIMG_FILES_PLAIN;
}

/* "NAME.EXTENSION" or "NAME:ARCHITECTURE.EXTENSION" */
static enum mlimg_package_verdict verdict_of_info(
	const struct mlimg_packages_merged *merged, const char *file)
{
	const char *dot = strrchr(file, '.');

	return dot ? mlimg_packages_verdict_of_package(merged, file, (size_t)(dot - file))
		   : MLIMG_FILES_PLAIN;
}

enum mlimg_package_verdict mlimg_packages_verdict_of(
	const struct mlimg_packages_merged *merged, const char *path)
{
	const struct mlimg_package_path *owned;

	if (mlimg_packages_is_update(path))
		return merged->table ? MLIMG_FILES_NEXT : MLIMG_FILES_PLAIN;
	if (merged->n_packages == 0)
		return MLIMG_FILES_PLAIN;
	if (strncmp(path, MLIMG_PACKAGES_INFO, strlen(MLIMG_PACKAGES_INFO)) == 0)
		return verdict_of_info(merged, path + strlen(MLIMG_PACKAGES_INFO));
	owned = mlimg_packages_find_path(merged->table, path);
	switch (owned ? owned->owner : MLIMG_PATH_KEPT) {
	case MLIMG_PATH_MINE: return MLIMG_FILES_MINE;
	case MLIMG_PATH_NEXT: return MLIMG_FILES_NEXT;
	case MLIMG_PATH_NEW: return MLIMG_FILES_NEW;
	case MLIMG_PATH_REMOVED: return MLIMG_FILES_REMOVED;
	default: return MLIMG_FILES_PLAIN;
	}
}
