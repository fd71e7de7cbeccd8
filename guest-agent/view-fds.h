/* SPDX-License-Identifier: MIT */
/**
 * @file view-fds.h
 * What makes up the merged root, for whoever may not look into /run/mlimg: `mlimg-view` sends open
 * directories.
 *
 * Each is the root of a mount of its own that is attached nowhere (open_tree(2) with
 * OPEN_TREE_CLONE), read-only, without setuid programs and devices (mount_setattr(2)): `..` does
 * not lead out of it, nothing can be written, and the kernel decides by the permissions of
 * directories and files what the client sees. The user layer's own notes (its /mlimg) are not among
 * them.
 */
#ifndef MLIMG_VIEW_FDS_H
#define MLIMG_VIEW_FDS_H

#include "guest-agent/protocol.h"

/** The command `mlimg-view`. */
json_t *mlimg_view_fds_command(struct mlimg_call *call);

#endif
