/* SPDX-License-Identifier: MIT */
/**
 * @file last-report.h
 * What the last change of the stack meant for the user's files: `mlimg-report`.
 */
#ifndef MLIMG_LAST_REPORT_H
#define MLIMG_LAST_REPORT_H

#include "guest-agent/protocol.h"
#include "libmlimg/boot.h"

#define MLIMG_LAST_REPORT_ENTRIES 100 /**< entries that are told by default */
#define MLIMG_LAST_REPORT_ENTRIES_MAX \
	1000 /**< and at most: with the longest paths, escaped, they are 17 MB, which is refused; usual ones take 200 KB */

/** The command `mlimg-report`. */
json_t *mlimg_last_report_command(struct mlimg_call *call);

#endif
