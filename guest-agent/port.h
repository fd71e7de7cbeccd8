/* SPDX-License-Identifier: MIT */
/**
 * @file port.h
 * The virtio-serial port to the host: finding it, and writing to it without ever being stopped by a
 * host that does not read.
 *
 * How such a port behaves (the kernel's drivers/char/virtio_console.c): only one process can have
 * it open (EBUSY). While nobody at the host has the other end open, read(2) returns 0, write(2)
 * EAGAIN and poll(2) POLLHUP, at once and every time. When the host opens or closes its end,
 * whoever waits on the port is woken. But that news takes another way than the data and may come
 * after them: a request can be there while the port still says that nobody is.
 */
#ifndef MLIMG_PORT_H
#define MLIMG_PORT_H

#include <stddef.h>

#include "libmlimg/err.h"

#define MLIMG_PORT_NAME "org.mlimg.agent.0"        /**< name of the port */
#define MLIMG_PORT_SYSFS "/sys/class/virtio-ports" /**< where the kernel lists the ports */
#define MLIMG_PORT_PATH_SIZE 280                   /**< "/dev/" and a name of 255 bytes fit */

/**
 * Find the port by its name; no udev is needed.
 *
 * @param sysfs     MLIMG_PORT_SYSFS, or what stands in for it
 * @param ret_path  its device, "/dev/vport2p1"
 * @return          0, -ENOENT when there is no such port
 */
int mlimg_port_find(const char *sysfs, char ret_path[MLIMG_PORT_PATH_SIZE],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Write all of it, waiting for the other end where needed.
 *
 * @param fd          O_NONBLOCK
 * @param data        bytes
 * @param size        their number
 * @param timeout_ms  for all of it
 * @param absent_ms   how long to wait while nobody is at the other end
 * @return            0; -EPIPE when nobody is at the other end, -ETIMEDOUT, or another -errno. Then
 *                    a part may have been written
 */
int mlimg_port_write(
	int fd, const char *data, size_t size, int timeout_ms, int absent_ms) MLIMG_MUST_CHECK;

#endif
