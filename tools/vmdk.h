/* SPDX-License-Identifier: MIT */
/**
 * @file vmdk.h
 * A joined index and its layers (libmlimg/index.h) as one disk, without copying anything: the
 * descriptor of a VMDK whose extents are the files themselves. QEMU reads it ("-blockdev
 * driver=vmdk"), as others do. It is a text:
 *
 *     # Disk DescriptorFile
 *     version=1
 *     encoding="UTF-8"
 *     CID=<8 hex digits>                  the first of the index's UUID
 *     parentCID=ffffffff                  no parent
 *     createType="twoGbMaxExtentFlat"     several extents, each as it is; in spite of the name QEMU takes any size
 *     RW <sectors> FLAT "<file>" 0        the index, then its layers, bottom first; sectors of 512 bytes, the last word is the first sector in the file
 *
 * An extent is as long as the layer's room: where the file ends within its last 4096 bytes, QEMU
 * reads zeros. "RW" is a word that QEMU wants; with read-only=on it opens the files read-only, and
 * several guests may share them. It never finds out the format of an extent: a layer that begins as
 * a qcow2 is still read as it is.
 *
 * Source of the format: "Virtual Disk Format 5.0" (VMware technical note, 2011), and block/vmdk.c
 * of QEMU 7.2. The latter takes at most 511 bytes of a file's name, which can hold neither a
 * quotation mark nor the end of a line, and looks for "parentFileNameHint" everywhere: names that
 * do not fit are refused.
 *
 * What QEMU's driver does not do: a guest with such a disk can be neither migrated nor saved with
 * its memory, and of several reads at a time it does one after the other.
 */
#ifndef MLIMG_TOOLS_VMDK_H
#define MLIMG_TOOLS_VMDK_H

#include "libmlimg/index.h"

/**
 * Whether a descriptor can name a file.
 *
 * @param path  the file; its absolute path counts, which need not exist
 * @param err   names it
 * @return      0; -EINVAL when it cannot; other -errno
 */
int mlimg_vmdk_check_name(const char *path, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Write the descriptor.
 *
 * @param index     a joined index; that the layers fit has been checked (mlimg_index_check())
 * @param path      the file that it is in
 * @param layers    paths of the layers' images, bottom first, as many as the index has
 * @param ret_text  with absolute paths; free() it
 * @param err       names a file that cannot be named
 * @return          0; -EINVAL; other -errno
 */
int mlimg_vmdk_write(const struct mlimg_index *index, const char *path, const char *const *layers,
	char **ret_text, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
