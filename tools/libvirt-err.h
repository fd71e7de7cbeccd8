/* SPDX-License-Identifier: MIT */
/**
 * @file libvirt-err.h
 * libvirt's errors as ours. Only what talks to libvirt includes this.
 *
 * Sources: https://libvirt.org/html/libvirt-virterror.html
 */
#ifndef MLIMG_TOOLS_LIBVIRT_ERR_H
#define MLIMG_TOOLS_LIBVIRT_ERR_H

#include "libmlimg/err.h"

/**
 * Turn the error that libvirt has kept for this thread into ours: the text before it, then what
 * libvirt says.
 *
 * @param err  where to put it; may be NULL
 * @param fmt  printf format: names the object, says what was being done to it
 * @return     -ENOENT: no such domain, pool, volume, snapshot or network; -EEXIST; -ETIMEDOUT; -EACCES;
 *             -EINVAL: an argument, or a flag that this kind of host does not know;
 *             -EOPNOTSUPP: this libvirt, or this kind of host, cannot; -EBUSY: not in this state, or
 *             somebody else is at it; -ENOSPC and others of the host's system; -EHOSTUNREACH: the
 *             connection is gone; else -EIO
 */
int mlimg_libvirt_fail(struct mlimg_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), cold)) MLIMG_MUST_CHECK;

/** @return the same code, without a text */
int mlimg_libvirt_code(void);

/** Keep libvirt from printing errors on stderr itself. May be called more than once. */
void mlimg_libvirt_be_quiet(void);

#endif
