/* SPDX-License-Identifier: MIT */
/**
 * @file dpkg-status.h
 * The packages that dpkg's database says are installed. Format: deb822(5), dpkg(1). The text may be
 * a stranger's: stanzas without what is needed here are passed over, nothing is an error.
 */
#ifndef MLIMG_TOOLS_DPKG_STATUS_H
#define MLIMG_TOOLS_DPKG_STATUS_H

#include <stddef.h>

#define MLIMG_DPKG_STATUS "var/lib/dpkg/status" /**< where it lies in a tree */
#define MLIMG_DPKG_STATUS_MAX \
	(64u << 20) /**< bytes that are read at most; Debian's whole archive has fewer */

/** A package. The strings point into the text. */
struct mlimg_package {
	const char *name;
	const char *architecture; /**< "" where the database has none */
	const char *version;
};

/** Packages, sorted by mlimg_package_cmp(). */
struct mlimg_packages {
	struct mlimg_package *packages;
	size_t n_packages;
};

/** Order by name, then architecture, in byte order. */
int mlimg_package_cmp(const struct mlimg_package *a, const struct mlimg_package *b);

/**
 * Find the packages in a database: those whose files are there, so neither "not-installed" nor
 * "config-files".
 *
 * @param text          NUL-terminated; is cut into strings, and must live as long as the result
 * @param ret_packages  free() its packages
 * @return              0, -ENOMEM
 */
int mlimg_dpkg_status_parse(char *text, struct mlimg_packages *ret_packages);

#endif
