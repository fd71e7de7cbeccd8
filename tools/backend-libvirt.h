/* SPDX-License-Identifier: MIT */
/**
 * @file backend-libvirt.h
 * Tenants on hosts that libvirt looks after (backend.h). The domain is libvirt's: it goes on
 * whatever becomes of mlimg-vm or of libvirtd, and virsh may start and stop it, too. What it does is
 * asked of the host each time; that its guest is up, of its agent.
 */
#ifndef MLIMG_TOOLS_BACKEND_LIBVIRT_H
#define MLIMG_TOOLS_BACKEND_LIBVIRT_H

#include "tools/backend.h"

/** libvirt on the tenant's host. */
extern const struct mlimg_backend mlimg_backend_libvirt;

#endif
