/* SPDX-License-Identifier: MIT */
/**
 * @file libvirt-xml.h
 * From what is to be run (vm-cmd.h) to the XML of a libvirt domain, the same machine as QEMU's
 * command line makes. Nothing is opened, started or looked up here.
 *
 * What differs from vm-cmd.c: VNC on the host's loopback address and a screen, as whoever opens the
 * domain in virt-manager expects; the console is a terminal of the host's (virsh console); sockets
 * and monitor are libvirt's own. Layers are said to be read-only and shared, so that libvirt lets
 * many domains have them, and it is told not to change their owner: they belong to all.
 *
 * Sources: https://libvirt.org/formatdomain.html; its schema, domain.rng
 */
#ifndef MLIMG_TOOLS_LIBVIRT_XML_H
#define MLIMG_TOOLS_LIBVIRT_XML_H

#include <stdbool.h>

#include "tools/vm-cmd.h"

#define MLIMG_LIBVIRT_UUID_SIZE 37                 /**< of a UUID's text, NUL included */
#define MLIMG_LIBVIRT_NAMESPACE "urn:mlimg:tenant" /**< of a domain's metadata */
#define MLIMG_LIBVIRT_CHANNEL "org.mlimg.agent.0"  /**< name of the agent's port */

/** What a domain has beside the spec. Strings are not owned. */
struct mlimg_libvirt_domain {
	/**
	 * The machine; paths are the host's. Of its members dir, sandbox, shuffle and extra_args
	 * mean nothing here.
	 */
	const struct mlimg_vm_spec *spec;
	const char *id;          /**< the tenant's, 32 digits */
	const char *description; /**< for people, or NULL */
	const char *network;     /**< libvirt's network for the card; NULL: QEMU's user-mode NAT */
	bool has_dac; /**< the host gives files to QEMU's user (its security model "dac") */
};

/** The domain's UUID: the tenant's id, as UUIDs are written. @return @p ret_uuid */
const char *mlimg_libvirt_uuid(const char *id, char ret_uuid[MLIMG_LIBVIRT_UUID_SIZE]);

/**
 * Write text so that it can stand in an element, or in an attribute between either kind of quotes.
 * Control characters, which XML cannot hold, become '?'.
 */
void mlimg_libvirt_escape(FILE *f, const char *text);

/**
 * The domain.
 *
 * @param domain   what it shall be; the index must be a disk of its own (not vmdk)
 * @param ret_xml  free() it
 * @param err      of kind MLIMG_ERR_USAGE: the kernel's command line is too long, the disks are
 *                 joined, or ports are to be forwarded; otherwise names a file whose name XML cannot hold
 * @return         0, -EINVAL, -EILSEQ, -ENOMEM
 */
int mlimg_libvirt_xml(const struct mlimg_libvirt_domain *domain, char **ret_xml,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
