/* SPDX-License-Identifier: MIT */
/**
 * @file view-client.h
 * The trees of a view for whoever may not look into /run/mlimg: the daemon sends them (PROTOCOL.md,
 * `mlimg-view`), read-only, and the kernel decides what this user sees of them.
 */
#ifndef MLIMG_VIEW_CLIENT_H
#define MLIMG_VIEW_CLIENT_H

#include "libmlimg/boot.h"

#define MLIMG_VIEW_SOCKET "mlimg-agent.sock"            /**< in /run */
#define MLIMG_VIEW_SENT_MAX (MLIMG_BOOT_LAYERS_MAX + 8) /**< directories that are taken */

/** What was sent. Zero it to begin with. */
struct mlimg_view_sent {
	struct {
		char dir[40]; /**< beneath /run/mlimg: "layers/0/rootfs" */
		int fd;       /**< of it; O_PATH */
	} dirs[MLIMG_VIEW_SENT_MAX];
	size_t n;
};

/**
 * Ask for it.
 *
 * @param path      the daemon's socket
 * @param ret_sent  mlimg_view_sent_close() it
 * @param err       what the daemon says, or that it is not there
 * @return          0, -errno
 */
int mlimg_view_ask(
	const char *path, struct mlimg_view_sent *ret_sent, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Open a directory that was sent, for reading. @return -ENOENT when it was not; -errno */
int mlimg_view_sent_open(const struct mlimg_view_sent *sent, const char *dir);

/** Close what was sent. */
void mlimg_view_sent_close(struct mlimg_view_sent *sent);

#endif
