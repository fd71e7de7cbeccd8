/* SPDX-License-Identifier: MIT */
/**
 * @file store-host.h
 * Hosts that libvirt looks after, as the store (store.h) keeps them: where they are, what tenants
 * they run, and what has been put on them. Nothing is asked of a host here.
 *
 *     host     name, uri (libvirt's; one host's), pool_path (where the pool is made on the host; ""
 *              for the default), network (libvirt's, for the tenants' cards; "" for user-mode NAT),
 *              added_s
 *     volume   host, name (as in the pool), digest (SHA-256 of its content), size_bytes, mark (what
 *              showed on the host when it had been read back: another one means that somebody has
 *              written it since), checked_s. Only of what never changes: layers, indexes, kernels
 *     tenant   host: NULL is this machine's QEMU
 */
#ifndef MLIMG_TOOLS_STORE_HOST_H
#define MLIMG_TOOLS_STORE_HOST_H

#include "tools/store.h"

#define MLIMG_STORE_URI_SIZE 1024   /**< of a host's URI, NUL included */
#define MLIMG_STORE_VOLUME_SIZE 128 /**< of a volume's name, NUL included */
#define MLIMG_STORE_MARK_SIZE 64    /**< of a volume's mark, NUL included */

/** A host. A plain value. */
struct mlimg_store_host {
	char name[MLIMG_STORE_NAME_SIZE]; /**< as a tenant's may be */
	char uri[MLIMG_STORE_URI_SIZE];
	char pool_path[MLIMG_STORE_URI_SIZE];
	char network[MLIMG_STORE_NAME_SIZE];
	int64_t added_s;
	uint32_t n_tenants; /**< that it runs; not for mlimg_store_host_add() */
};

/** A volume on a host that has been read back. A plain value. */
struct mlimg_store_volume {
	char name[MLIMG_STORE_VOLUME_SIZE];
	char digest[MLIMG_SHA256_HEX_SIZE];
	uint64_t size_bytes;
	char mark[MLIMG_STORE_MARK_SIZE];
	int64_t checked_s;
};

/**
 * Add a host.
 *
 * @param store  the store
 * @param host   what it is; its name, and its URI, are nobody else's
 * @param err    -EEXIST: which host has name or URI; of kind MLIMG_ERR_USAGE: the name cannot be one
 * @return       0 when it is on stable storage; -EEXIST, -EINVAL, other -errno
 */
int mlimg_store_host_add(struct mlimg_store *store, const struct mlimg_store_host *host,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The host of that name. @return 0; -ENOENT: "no host '...'"; other -errno */
int mlimg_store_host_find(struct mlimg_store *store, const char *name,
	struct mlimg_store_host *ret_host, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The host with that URI. @return 1, 0 when there is none, -errno */
int mlimg_store_host_of_uri(struct mlimg_store *store, const char *uri,
	struct mlimg_store_host *ret_host, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Told of a host. @return 0 to go on, negative to stop */
typedef int mlimg_store_host_fn(
	const struct mlimg_store_host *host, void *ctx, struct mlimg_err *err);

/** All hosts by name; as mlimg_store_layer_each(). */
int mlimg_store_host_each(struct mlimg_store *store, mlimg_store_host_fn *fn, void *ctx,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Remove a host, and what is known of its volumes. @return 0; -EBUSY: who is on it; -ENOENT */
int mlimg_store_host_remove(
	struct mlimg_store *store, const char *name, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Say where a tenant runs.
 *
 * @param store  the store
 * @param id     the tenant's; it must be off
 * @param host   the host's name; NULL: this machine's QEMU
 * @param err    -ENOENT: no such host or tenant
 * @return       0, -ENOENT, other -errno
 */
int mlimg_store_host_set(struct mlimg_store *store, const char *id, const char *host,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Where a tenant runs. @return 1 and the host; 0: this machine's QEMU; -errno */
int mlimg_store_host_of_tenant(struct mlimg_store *store, const char *id,
	struct mlimg_store_host *ret_host, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** What is known of a volume. @return 1, 0 when nothing is, -errno */
int mlimg_store_volume_get(struct mlimg_store *store, const char *host, const char *name,
	struct mlimg_store_volume *ret_volume, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Note that a volume has been read back. @return 0 or -errno */
int mlimg_store_volume_set(struct mlimg_store *store, const char *host,
	const struct mlimg_store_volume *volume, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Forget a volume; one that is not known will do. @return 0 or -errno */
int mlimg_store_volume_forget(struct mlimg_store *store, const char *host, const char *name,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Volumes of a host that none of the generations there has any use for: all but the layers of those
 * generations, and user disks. An index, a kernel or an initramfs is always among them, since what they
 * were made of does not show: only the host knows which it uses.
 *
 * @param store        the store
 * @param host         the host's name
 * @param ret_volumes  by name; free() it; NULL where there are none
 * @param ret_n        how many
 * @param err          names the database
 * @return             0 or -errno
 */
int mlimg_store_volume_unused(struct mlimg_store *store, const char *host,
	struct mlimg_store_volume **ret_volumes, size_t *ret_n,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Told of a volume. @return 0 to go on, negative to stop */
typedef int mlimg_store_volume_fn(
	const struct mlimg_store_volume *volume, void *ctx, struct mlimg_err *err);

/** All volumes of a host by name. @p fn must not change them. */
int mlimg_store_volume_each(struct mlimg_store *store, const char *host, mlimg_store_volume_fn *fn,
	void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
