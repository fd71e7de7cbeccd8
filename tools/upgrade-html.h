/* SPDX-License-Identifier: MIT */
/**
 * @file upgrade-html.h
 * A plan for all tenants as one page for a browser: it needs no other file, nothing from a network,
 * and asks for nothing (its policy forbids the browser to). Without its script all of it is there,
 * and only the table cannot be sorted. Names from guests are text in it and nothing else.
 */
#ifndef MLIMG_TOOLS_UPGRADE_HTML_H
#define MLIMG_TOOLS_UPGRADE_HTML_H

#include "tools/upgrade-fleet.h"

#define MLIMG_UPGRADE_HTML_ROWS 500 /**< entries of a tenant that the page lists */

/**
 * Write the page.
 *
 * @param path   where to; a regular file that is there is replaced when all is written
 * @param fleet  planned for
 * @param err    names the file
 * @return       0 when it is on stable storage; -errno
 */
int mlimg_upgrade_write_html(const char *path, const struct mlimg_upgrade_fleet *fleet,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
