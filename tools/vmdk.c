/* SPDX-License-Identifier: MIT */
#include "tools/vmdk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/erofs-format.h"

#define NAME_MAX_BYTES 511
#define SECTOR 512

static int make_absolute(const char *path, char **ret_path, struct mlimg_err *err)
{
	mlimg_autofree char *cwd = *path == '/' ? NULL : getcwd(NULL, 0);

	if (*path != '/' && !cwd)
		return mlimg_err_set(err, errno, "working directory");
	if (asprintf(ret_path, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", path) < 0)
		return mlimg_err_set(err, ENOMEM, "'%s'", path);
	return 0;
}

static const char *find_flaw(const char *path)
{
	if (strlen(path) > NAME_MAX_BYTES)
		return "is longer than 511 bytes";
	if (strpbrk(path, "\"\n\r"))
		return "has a quotation mark or the end of a line in it";
	if (strstr(path, "parentFileNameHint"))
		return "has a word in it that means something else there";
	return NULL;
}

static int name_file(const char *path, char **ret_path, struct mlimg_err *err)
{
	mlimg_autofree char *absolute = NULL;
	int r = make_absolute(path, &absolute, err);

	if (r < 0)
		return r;
	if (find_flaw(absolute))
		return mlimg_err_set(err, EINVAL,
			"a disk of several files cannot name '%.200s': it %s", absolute,
			find_flaw(absolute));
	*ret_path = mlimg_steal(&absolute);
	return 0;
}

int mlimg_vmdk_check_name(const char *path, struct mlimg_err *err)
{
	mlimg_autofree char *absolute = NULL;

	return name_file(path, &absolute, err);
}

static int put_extent(FILE *f, uint64_t n_blocks, const char *path, struct mlimg_err *err)
{
	mlimg_autofree char *absolute = NULL;
	int r = name_file(path, &absolute, err);

	if (r == 0)
		fprintf(f, "RW %" PRIu64 " FLAT \"%s\" 0\n", n_blocks * (EROFS_BLOCK_SIZE / SECTOR),
			absolute);
	return r;
}

static int put_all(FILE *f, const struct mlimg_index *index, const char *path,
	const char *const *layers, struct mlimg_err *err)
{
	int r;

	/* QEMU takes the first "CID=" for the disk's own. */
	fprintf(f,
		"# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\n"
		"CID=%02x%02x%02x%02x\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentFlat\"\n",
		index->uuid[0], index->uuid[1], index->uuid[2], index->uuid[3]);
	r = put_extent(f, index->room_bytes / EROFS_BLOCK_SIZE, path, err);
	for (size_t i = 0; i < index->n_layers && r == 0; i++)
		r = put_extent(f, mlimg_index_room(index, i), layers[i], err);
	return r;
}

int mlimg_vmdk_write(const struct mlimg_index *index, const char *path, const char *const *layers,
	char **ret_text, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	int r;

	if (!f)
		return mlimg_err_set(err, ENOMEM, "disk of several files");
	r = put_all(f, index, path, layers, err);
	if (fclose(f) != 0 && r == 0)
		r = mlimg_err_set(err, ENOMEM, "disk of several files");
	if (r == 0)
		*ret_text = mlimg_steal(&text);
	return r;
}
