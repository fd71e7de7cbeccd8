/* SPDX-License-Identifier: MIT */
/**
 * @file libvirt-bridge.h
 * A stream of libvirt's as a descriptor. The thread that runs libvirt's events (libvirt-conn.h)
 * passes on what arrives on either side; who has the descriptor reads, writes and closes it like a
 * socket. It ends on both sides: the reader sees the end when the guest is off or the host is gone.
 *
 * Sources: https://libvirt.org/html/libvirt-libvirt-stream.html,
 * https://libvirt.org/html/libvirt-libvirt-event.html
 */
#ifndef MLIMG_TOOLS_LIBVIRT_BRIDGE_H
#define MLIMG_TOOLS_LIBVIRT_BRIDGE_H

#include <libvirt/libvirt.h>

#include "libmlimg/err.h"

/**
 * Bridge a stream.
 *
 * @param stream  made with VIR_STREAM_NONBLOCK, and opened; taken over, also after a failure
 * @param ret_fd  non-blocking; right as the fd of a struct mlimg_chan; close() it
 * @param err     what failed
 * @return        0 or -errno
 */
int mlimg_libvirt_bridge(virStreamPtr stream, int *ret_fd, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
