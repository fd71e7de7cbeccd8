/* SPDX-License-Identifier: MIT */
/**
 * @file dpkg-version.h
 * Order of Debian's version numbers: deb-version(7), "Sorting algorithm". Any text has a place in
 * the order, also what dpkg would not take for a version.
 */
#ifndef MLIMG_DPKG_VERSION_H
#define MLIMG_DPKG_VERSION_H

/**
 * Compare "[epoch:]upstream[-revision]". Numbers may be of any length.
 *
 * @return less than, equal to or greater than 0 as @p a is older than, equal to or newer than @p b
 */
int mlimg_dpkg_version_cmp(const char *a, const char *b);

#endif
