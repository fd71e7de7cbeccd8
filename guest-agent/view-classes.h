/* SPDX-License-Identifier: MIT */
/**
 * @file view-classes.h
 * The table of path classes (libmlimg/path-class.h) as it is declared for this guest, by the rules of
 * libmlimg/class-files.h: what the next change of the stack would go by, were the new stack's
 * declarations these.
 */
#ifndef MLIMG_VIEW_CLASSES_H
#define MLIMG_VIEW_CLASSES_H

#include "guest-agent/view.h"
#include "libmlimg/path-class.h"

/**
 * Read it.
 *
 * @param view         loaded
 * @param ret_classes  mlimg_path_classes_free() it; files that cannot be taken are left out
 * @param err          names the file
 * @return             0, -ENOMEM, -errno
 */
int mlimg_view_classes(struct mlimg_view *view, struct mlimg_path_classes **ret_classes,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
