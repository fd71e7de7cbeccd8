/* SPDX-License-Identifier: MIT */
#include "libmlimg/unionfs.h"

#include <string.h>

#include "libmlimg/path.h"

bool mlimg_unionfs_marker(const char *path, size_t *ret_size)
{
	const char *name = mlimg_path_name(path);
	size_t size = strlen(name), tag_size = strlen(MLIMG_UNIONFS_TAG);

	if (size <= tag_size || strcmp(name + size - tag_size, MLIMG_UNIONFS_TAG) != 0)
		return false;
	size -= tag_size;
	if (size <= 2 && name[0] == '.' && name[size - 1] == '.')
		return false;
	*ret_size = (size_t)(name - path) + size;
	return true;
}

int mlimg_unionfs_marker_of(
	const char *path, char ret_marker[MLIMG_UNIONFS_PATH_MAX + 16], struct mlimg_err *err)
{
	const char *name = mlimg_path_name(path);
	const char *why = NULL;

	if (strlen(name) + strlen(MLIMG_UNIONFS_TAG) > MLIMG_NAME_MAX)
		why = "a name of more than 247 bytes";
	else if (strstr(name, MLIMG_UNIONFS_TAG))
		why = "a name with '" MLIMG_UNIONFS_TAG "' in it";
	else if (strlen(path) > MLIMG_UNIONFS_PATH_MAX)
		why = "so long a path";
	if (why)
		return mlimg_err_refuse(err, "'%s': unionfs-fuse cannot hide %s", path, why);
	stpcpy(stpcpy(ret_marker, path), MLIMG_UNIONFS_TAG);
	return 0;
}

bool mlimg_unionfs_is_meta(const char *path)
{
	size_t size = strlen(MLIMG_UNIONFS_DIR);

	return strncmp(path, MLIMG_UNIONFS_DIR, size) == 0 && (!path[size] || path[size] == '/');
}
