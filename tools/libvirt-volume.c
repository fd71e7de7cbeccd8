/* SPDX-License-Identifier: MIT */
#include "tools/libvirt-volume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "tools/libvirt-err.h"
#include "tools/libvirt-xml.h"

void mlimg_volume_done(struct mlimg_volume *vol)
{
	if (vol->vol)
		virStorageVolFree(vol->vol);
	*vol = (struct mlimg_volume){.vol = NULL};
}

/* libvirt looks at the file for it; there is no other way to the time. */
int mlimg_volume_look(struct mlimg_volume *vol, struct mlimg_err *err)
{
	mlimg_autofree char *xml = virStorageVolGetXMLDesc(vol->vol, 0);
	const char *mtime = xml ? strstr(xml, "<mtime>") : NULL;
	virStorageVolInfo info;

	if (!xml || virStorageVolGetInfoFlags(vol->vol, &info, VIR_STORAGE_VOL_GET_PHYSICAL) < 0)
		return mlimg_libvirt_fail(err, "volume '%s'", virStorageVolGetName(vol->vol));
	vol->size_bytes = info.allocation;
	snprintf(vol->mark, sizeof(vol->mark), "%.*s", mtime ? (int)strcspn(mtime + 7, "<") : 0,
		mtime ? mtime + 7 : "");
	return 0;
}

int mlimg_volume_find(virStoragePoolPtr pool, const char *name, struct mlimg_volume *ret_vol,
	struct mlimg_err *err)
{
	struct mlimg_volume vol = {.vol = virStorageVolLookupByName(pool, name)};

	if (!vol.vol)
		return mlimg_libvirt_code() == -ENOENT
			? 0
			: mlimg_libvirt_fail(err, "volume '%s'", name);
	/* One that was removed by other ways, which the pool still knows. */
	if (mlimg_volume_look(&vol, err) < 0) {
		int ret = mlimg_libvirt_code();

		mlimg_volume_done(&vol);
		return ret == -ENOENT ? 0 : err ? err->code : ret;
	}
	*ret_vol = vol;
	return 1;
}

int mlimg_volume_make(virStoragePoolPtr pool, const char *name, uint64_t size_bytes, mode_t mode,
	struct mlimg_volume *ret_vol, struct mlimg_err *err)
{
	mlimg_autofree char *xml = NULL;
	struct mlimg_volume vol = {.vol = NULL};

	/* Raw, whatever is in it: so much is to be written, and libvirt shall make no qcow2. */
	if (asprintf(&xml,
		    "<volume><name>%s</name><capacity>%llu</capacity><allocation>0</allocation>"
		    "<target><format type='raw'/><permissions><mode>%04o</mode></permissions>"
		    "</target></volume>",
		    name, (unsigned long long)size_bytes, (unsigned)mode) < 0) {
		xml = NULL;
		return mlimg_err_set(err, ENOMEM, "volume '%s'", name);
	}
	vol.vol = virStorageVolCreateXML(pool, xml, 0);
	if (!vol.vol)
		return mlimg_libvirt_fail(err, "make volume '%s'", name);
	*ret_vol = vol;
	return 0;
}

int mlimg_volume_remove(struct mlimg_volume *vol, struct mlimg_err *err)
{
	int ret = 0;

	if (vol->vol && virStorageVolDelete(vol->vol, 0) < 0)
		ret = mlimg_libvirt_fail(err, "remove volume '%s'", virStorageVolGetName(vol->vol));
	mlimg_volume_done(vol);
	return ret;
}

int mlimg_volume_path(const struct mlimg_volume *vol, char **ret_path, struct mlimg_err *err)
{
	char *path = virStorageVolGetPath(vol->vol);

	if (!path)
		return mlimg_libvirt_fail(err, "volume '%s'", virStorageVolGetName(vol->vol));
	*ret_path = path;
	return 0;
}
