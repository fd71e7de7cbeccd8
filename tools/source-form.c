/* SPDX-License-Identifier: MIT */
#include "tools/source-form.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/superblock.h"
#include "libmlimg/whiteout.h"
#include "tools/oci-store.h"
#include "tools/source-layer.h"
#include "tools/source-oci.h"
#include "tools/source-unionfs.h"

static const char *const names[] = {
	[MLIMG_FORM_AUTO] = "auto",
	[MLIMG_FORM_DIR] = "dir",
	[MLIMG_FORM_TAR] = "tar",
	[MLIMG_FORM_OCI] = "oci",
	[MLIMG_FORM_LAYER] = "layer",
	[MLIMG_FORM_USER] = "user",
	[MLIMG_FORM_UPPER] = "upper",
	[MLIMG_FORM_UPPER_USER] = "upper-userxattr",
	[MLIMG_FORM_UNIONFS] = "unionfs",
};

bool mlimg_form_of(const char *name, enum mlimg_form *ret_form)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0) {
			*ret_form = (enum mlimg_form)i;
			return true;
		}
	}
	return false;
}

/*
 * Whether a directory has xattrs that only overlayfs gives to uppers. An opaque directory may be a
 * layer's.
 */
static bool has_marks(int fd, const char *prefix)
{
	mlimg_autofree char *list = malloc(XATTR_LIST_MAX);
	ssize_t size = list ? flistxattr(fd, list, XATTR_LIST_MAX) : -1;
	size_t prefix_size = strlen(prefix);

	for (const char *name = list; size > 0 && name < list + size; name += strlen(name) + 1)
		if (strncmp(name, prefix, prefix_size) == 0 &&
			strcmp(name + prefix_size, "opaque") != 0)
			return true;
	return false;
}

static enum mlimg_form form_of_dir(int fd)
{
	struct stat st;

	if (fstatat(fd, "oci-layout", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		return MLIMG_FORM_OCI;
	if (has_marks(fd, MLIMG_XATTR_OVERLAY))
		return MLIMG_FORM_UPPER;
	if (has_marks(fd, MLIMG_XATTR_USER_OVERLAY))
		return MLIMG_FORM_UPPER_USER;
	if (fstatat(fd, MLIMG_UNIONFS_DIR, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return MLIMG_FORM_UNIONFS;
	return MLIMG_FORM_DIR;
}

/* An ext4 file system cannot be anything else; whether it is a layer's is seen when it is read. */
static bool is_ext4(int fd, bool *ret_is_user)
{
	uint8_t block[MLIMG_SUPERBLOCK_SIZE];
	struct mlimg_superblock sb;

	if (pread(fd, block, sizeof(block), MLIMG_SUPERBLOCK_OFFSET) != (ssize_t)sizeof(block))
		return false;
	mlimg_superblock_parse(block, &sb);
	*ret_is_user = strcmp(sb.label, mlimg_kind_label(MLIMG_USER)) == 0;
	return sb.state != MLIMG_SUPERBLOCK_NONE;
}

static enum mlimg_form form_of_file(int fd)
{
	bool is_user;

	if (mlimg_oci_is_archive(fd))
		return MLIMG_FORM_OCI;
	if (is_ext4(fd, &is_user))
		return is_user ? MLIMG_FORM_USER : MLIMG_FORM_LAYER;
	return MLIMG_FORM_TAR;
}

/* What is read here is read again: a pipe is left alone. */
static int find_out(const char *path, enum mlimg_form *ret_form, struct mlimg_err *err)
{
	mlimg_autoclose int fd = -1;
	struct stat st;

	*ret_form = MLIMG_FORM_TAR;
	if (strcmp(path, "-") == 0)
		return 0;
	if (stat(path, &st) < 0)
		return mlimg_err_set(err, errno, "open '%s'", path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISBLK(st.st_mode))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", path);
	*ret_form = S_ISDIR(st.st_mode) ? form_of_dir(fd) : form_of_file(fd);
	return 0;
}

static int read_layer(const char *path, const struct mlimg_source_to *to, bool *ret_is_partial,
	struct mlimg_err *err)
{
	enum mlimg_kind kind;
	int r = mlimg_source_read_layer(path, false, to, &kind, err);

	if (r == 0)
		*ret_is_partial = kind == MLIMG_SOFTWARE;
	return r;
}

int mlimg_source_read(const char *path, enum mlimg_form form, const struct mlimg_oci_choice *choice,
	const struct mlimg_source_to *to, bool *ret_is_partial, struct mlimg_err *err)
{
	int r = form == MLIMG_FORM_AUTO ? find_out(path, &form, err) : 0;

	if (r < 0)
		return r;
	*ret_is_partial = form == MLIMG_FORM_UPPER || form == MLIMG_FORM_UPPER_USER ||
		form == MLIMG_FORM_UNIONFS || form == MLIMG_FORM_USER;
	switch (form) {
	case MLIMG_FORM_DIR: return mlimg_source_read_dir(path, MLIMG_DIR_PLAIN, to, err);
	case MLIMG_FORM_UPPER: return mlimg_source_read_dir(path, MLIMG_DIR_UPPER, to, err);
	case MLIMG_FORM_UPPER_USER:
		return mlimg_source_read_dir(path, MLIMG_DIR_UPPER_USER, to, err);
	case MLIMG_FORM_UNIONFS: return mlimg_source_read_dir(path, MLIMG_DIR_UNIONFS, to, err);
	case MLIMG_FORM_OCI: return mlimg_source_read_oci(path, choice, to, err);
	case MLIMG_FORM_LAYER: return read_layer(path, to, ret_is_partial, err);
	case MLIMG_FORM_USER: return mlimg_source_read_layer(path, true, to, NULL, err);
	default: return mlimg_source_read_tar(path, to, err);
	}
}
