/* SPDX-License-Identifier: MIT */
#include "tools/source-form.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "tools/oci-store.h"
#include "tools/source-oci.h"

static const char *const names[] = {
	[MLIMG_FORM_AUTO] = "auto",
	[MLIMG_FORM_DIR] = "dir",
	[MLIMG_FORM_TAR] = "tar",
	[MLIMG_FORM_OCI] = "oci",
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

static enum mlimg_form form_of_dir(int fd)
{
	struct stat st;

	if (fstatat(fd, "oci-layout", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		return MLIMG_FORM_OCI;
	return MLIMG_FORM_DIR;
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
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", path);
	if (S_ISDIR(st.st_mode))
		*ret_form = form_of_dir(fd);
	else if (mlimg_oci_is_archive(fd))
		*ret_form = MLIMG_FORM_OCI;
	return 0;
}

int mlimg_source_read(const char *path, enum mlimg_form form, const struct mlimg_oci_choice *choice,
	const struct mlimg_source_to *to, struct mlimg_err *err)
{
	int r = form == MLIMG_FORM_AUTO ? find_out(path, &form, err) : 0;

	if (r < 0)
		return r;
	switch (form) {
	case MLIMG_FORM_DIR: return mlimg_source_read_dir(path, to, err);
	case MLIMG_FORM_OCI: return mlimg_source_read_oci(path, choice, to, err);
	default: return mlimg_source_read_tar(path, to, err);
	}
}
