/* SPDX-License-Identifier: MIT */
/**
 * @file libvirt-conn.h
 * Connections to libvirt on this machine or another, which end when the other end does not answer:
 * nothing that talks to a host waits for ever.
 *
 * Opening a connection has no time-out of its own in libvirt: it is done by a thread, which is left
 * behind where the host does not answer. An open connection is kept alive by libvirt (its keepalive
 * protocol): a host that is silent for about MLIMG_LIBVIRT_ALIVE_S * MLIMG_LIBVIRT_ALIVE_N seconds is
 * gone, and every call that waits for it fails. A connection, or that there is none, is remembered
 * as long as the program runs, so that a hundred tenants of a dead host cost one time-out.
 *
 * Sources: https://libvirt.org/html/libvirt-libvirt-host.html, https://libvirt.org/uri.html
 *
 * Programs that call this must not use libvirt after fork(2). One thread calls this.
 */
#ifndef MLIMG_TOOLS_LIBVIRT_CONN_H
#define MLIMG_TOOLS_LIBVIRT_CONN_H

#include <libvirt/libvirt.h>
#include <stdbool.h>

#include "libmlimg/err.h"

#define MLIMG_LIBVIRT_OPEN_MS \
	10000 /**< how long opening may last: ssh to another continent takes 3 s */
#define MLIMG_LIBVIRT_ALIVE_S 3 /**< seconds between questions whether the host is alive */
#define MLIMG_LIBVIRT_ALIVE_N 3 /**< how many may stay unanswered */

/**
 * The connection to a host.
 *
 * @param uri       libvirt's URI; "test:///default" and others without a daemon will do
 * @param ret_conn  not the caller's: it stays open; not to be closed
 * @param err       names the URI and what libvirt says
 * @return          0; -EHOSTUNREACH, also where it does not answer in time; -EACCES; other -errno
 */
int mlimg_libvirt_connect(
	const char *uri, virConnectPtr *ret_conn, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Whether QEMU of that host opens the files that this program sees, by the same paths: a libvirt of
 * this machine, reached by its usual socket. One with a host's name, another transport or a socket
 * of its own may be anywhere.
 */
bool mlimg_libvirt_is_local(const char *uri);

/**
 * Check that something can be a host's URI: "driver:///path", "driver+transport://host/path". That
 * libvirt knows the driver, and that the host is there, is seen when it is used.
 *
 * @return 0; -EINVAL of kind MLIMG_ERR_USAGE
 */
int mlimg_libvirt_check_uri(const char *uri, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
