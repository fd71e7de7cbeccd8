/* SPDX-License-Identifier: MIT */
/**
 * @file libvirt-domain.h
 * The domain of a tenant: found by its UUID, which is the tenant's id, so that it stays the same
 * when the tenant is renamed; called as the tenant is. For backend-libvirt*.c.
 */
#ifndef MLIMG_TOOLS_LIBVIRT_DOMAIN_H
#define MLIMG_TOOLS_LIBVIRT_DOMAIN_H

#include <libvirt/libvirt.h>

#include "libmlimg/cleanup.h"
#include "tools/backend.h"

static inline void mlimg_domain_cleanup(virDomainPtr *domain)
{
	if (*domain)
		virDomainFree(*domain);
}
#define mlimg_autodomain mlimg_cleanup(mlimg_domain_cleanup) /**< virDomainFree() */

/**
 * Find a tenant's domain.
 *
 * @param tenant      the tenant
 * @param ret_domain  NULL where the host has none; virDomainFree() it
 * @param err         names tenant and host; -EHOSTUNREACH: it does not answer
 * @return            0 or -errno
 */
int mlimg_domain_find(const struct mlimg_tenant *tenant, virDomainPtr *ret_domain,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** As mlimg_domain_find(), of one that is on. @return 0; -ENOENT: "tenant '...' is off"; -errno */
int mlimg_domain_find_on(const struct mlimg_tenant *tenant, virDomainPtr *ret_domain,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return whether it has memory and processors; false also when it cannot be asked */
bool mlimg_domain_is_on(virDomainPtr domain);

/** @return whether it is off, and libvirt has its memory, with which it would go on (virsh managedsave) */
bool mlimg_domain_is_saved(virDomainPtr domain);

/** What libvirt said of a tenant's domain, as an error. @return -errno */
int mlimg_domain_fail(const struct mlimg_tenant *tenant, const char *what,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** A stream to the agent's port, as backend.h has it. @return 0 or -errno */
int mlimg_domain_agent(virDomainPtr domain, int *ret_fd, struct mlimg_err *err) MLIMG_MUST_CHECK;

#define MLIMG_DOMAIN_WORD_SIZE 32 /**< of what a domain's XML says of a disk, NUL included */

/**
 * What the XML of a domain says of the user disk.
 *
 * @param tenant    the tenant
 * @param domain    its domain; of one that is off, what it starts with next
 * @param before    what stands before the word, which ends with an apostrophe: "<target dev='"
 * @param ret_word  the word
 * @param err       -ENOENT: no such disk, or no such word
 * @return          0 or -errno
 */
int mlimg_domain_disk_word(const struct mlimg_tenant *tenant, virDomainPtr domain,
	const char *before, char ret_word[MLIMG_DOMAIN_WORD_SIZE],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** start() of the backend (backend-libvirt-start.c) */
int mlimg_libvirt_start(struct mlimg_store *store, struct mlimg_tenant *tenant,
	const struct mlimg_backend_start *how, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** disk_size() and grow() of the backend (backend-libvirt-disk.c) */
int mlimg_libvirt_disk_size(const struct mlimg_tenant *tenant, uint64_t *ret_size_bytes,
	struct mlimg_err *err) MLIMG_MUST_CHECK;
int mlimg_libvirt_disk_grow(const struct mlimg_tenant *tenant, uint64_t size_bytes,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** save(), load(), remove(), saved() and machine() of the backend (backend-libvirt-save.c) */
int mlimg_libvirt_save(const struct mlimg_tenant *tenant, const char *tag, bool with_memory,
	struct mlimg_err *err) MLIMG_MUST_CHECK;
int mlimg_libvirt_load(struct mlimg_store *store, struct mlimg_tenant *tenant, const char *tag,
	bool with_memory, struct mlimg_err *err) MLIMG_MUST_CHECK;
int mlimg_libvirt_remove(
	const struct mlimg_tenant *tenant, const char *tag, struct mlimg_err *err) MLIMG_MUST_CHECK;
int mlimg_libvirt_saved(const struct mlimg_tenant *tenant, json_t **ret_saved,
	struct mlimg_err *err) MLIMG_MUST_CHECK;
int mlimg_libvirt_machine(const struct mlimg_tenant *tenant, struct mlimg_machine *ret_machine,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Save the user disk of a domain that is on, its file system frozen by the agent. What is left of one
 * that fails is for mlimg_libvirt_remove().
 *
 * @param tenant  the tenant
 * @param domain  its domain; on
 * @param tag     the checkpoint's tag
 * @param err     what libvirt, QEMU or the agent says
 * @return        0 or -errno
 */
int mlimg_libvirt_save_frozen(const struct mlimg_tenant *tenant, virDomainPtr domain,
	const char *tag, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Tell libvirt of a snapshot without memory, which is there or will be: so that it is listed, and can
 * be removed, also where it is not.
 *
 * @param tenant  the tenant
 * @param domain  its domain
 * @param tag     the checkpoint's tag
 * @param err     what libvirt says
 * @return        0 or -errno
 */
int mlimg_libvirt_announce(const struct mlimg_tenant *tenant, virDomainPtr domain, const char *tag,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Remove a snapshot from the disk of a domain that is on, whatever its other disks. @return 0 or -errno */
int mlimg_libvirt_remove_live(const struct mlimg_tenant *tenant, virDomainPtr domain,
	virDomainSnapshotPtr snapshot, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The XML of a tenant's domain, as start() would make it; nothing is put on the host, and its
 * volumes have their names in place of paths where it does not know them yet.
 *
 * @param store    the store
 * @param tenant   the tenant
 * @param ret_xml  free() it
 * @param err      as of start()
 * @return         0 or -errno
 */
int mlimg_libvirt_describe(struct mlimg_store *store, struct mlimg_tenant *tenant, char **ret_xml,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
