/* SPDX-License-Identifier: MIT */
/**
 * @file libvirt-pool.h
 * What tenants need on another host: layers, indexes, kernels and user disks as volumes of a storage
 * pool there, `mlimg`.
 *
 * What never changes is put on a host once. A volume is named by its content (a layer by its build
 * id, other files by their SHA-256), written, read back, and compared with the file that it came from;
 * only then it is noted (store-host.h), with the time at which the host says that it was last written.
 * Of one that is noted, and shows the same time and size, no byte is sent. One that is there and not
 * noted, of a command that was killed, or that shows another time, is read back: the same content is
 * noted, any other is removed and sent again. The image in the store is what counts, whose build id
 * was verified when it was added; so a volume that is the same has that build id.
 *
 * A volume is locked while it is put (a byte of the store's file `lock`, fcntl(2)), so that two commands do not write it.
 * One pool is one store's: another store that puts the same layers there at the same moment would
 * disturb it. Whoever puts what a guest is about to be started with holds another byte of that file
 * together with others, and who removes what nobody uses (mlimg_libvirt_gc()) holds it alone: between
 * the two nothing shows yet that a volume is used.
 *
 * A tenant's user disk is moved: as long as it is in the store it is what counts, whatever is on the
 * host; when the whole of it has been read back there it is renamed (MLIMG_LIBVIRT_SENT), and from
 * then on the volume counts. libvirt promises nobody that a volume is on stable storage; the renamed
 * file is removed when the guest has been run and has flushed its own disk.
 */
#ifndef MLIMG_TOOLS_LIBVIRT_POOL_H
#define MLIMG_TOOLS_LIBVIRT_POOL_H

#include <libvirt/libvirt.h>

#include "tools/store-host.h"
#include "tools/tenant.h"

#define MLIMG_LIBVIRT_POOL "mlimg"                       /**< the pool's name */
#define MLIMG_LIBVIRT_POOL_PATH "/var/lib/libvirt/mlimg" /**< where it is made by default */
#define MLIMG_LIBVIRT_SENT "user.qcow2.sent" /**< in a tenant's directory: a user disk that moved */

/** A host's pool. Zero it to begin with. */
struct mlimg_libvirt_pool {
	struct mlimg_store *store;
	struct mlimg_store_host host;
	virStoragePoolPtr pool;
	int lock; /**< of mlimg_libvirt_pool_hold(), 0: not held */
};

/**
 * Find a host's pool, or make it: a directory, started with the host.
 *
 * @param store     the store, which is told of volumes
 * @param conn      to the host
 * @param host      the host; copied
 * @param ret_pool  mlimg_libvirt_pool_close() when done, also after a failure
 * @param err       names the host; of kind MLIMG_ERR_USAGE: it must be said where the pool shall be
 * @return          0 or -errno
 */
int mlimg_libvirt_pool_open(struct mlimg_store *store, virConnectPtr conn,
	const struct mlimg_store_host *host, struct mlimg_libvirt_pool *ret_pool,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Let go of it; accepts a zeroed one. */
void mlimg_libvirt_pool_close(struct mlimg_libvirt_pool *pool);
#define mlimg_autopool mlimg_cleanup(mlimg_libvirt_pool_close) /**< its close() */

/**
 * How much room a host's pool has left, as libvirt counts it: with what the file system keeps for
 * root, which QEMU does not get. While somebody writes a volume there it is what it was before.
 *
 * @param conn       to the host
 * @param host       its name, for messages
 * @param ret_bytes  the room
 * @param err        names the host; -ENOENT: it has no such pool
 * @return           0 or -errno
 */
int mlimg_libvirt_pool_left(virConnectPtr conn, const char *host, uint64_t *ret_bytes,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Have what is in the pool stay, or go, until the pool is closed.
 *
 * @param pool      the pool; opened with a store
 * @param is_alone  nobody else holds it then: volumes may be removed that nobody uses; else together
 *                  with others: what is there stays
 * @param err       -EBUSY, where @p is_alone: somebody is starting a guest there. Others wait for
 *                  who has it alone, who does not take long
 * @return          0 or -errno
 */
int mlimg_libvirt_pool_hold(
	struct mlimg_libvirt_pool *pool, bool is_alone, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** A file that never changes. */
struct mlimg_libvirt_file {
	const char *path; /**< on this machine */
	const char *name; /**< of its volume; NULL: by its digest, with @p suffix */
	const char *suffix;
	const char *what; /**< for people: "layer debian 12.1 (0123…)" */
};

/** What became of it. */
enum mlimg_libvirt_put {
	MLIMG_LIBVIRT_WAS_THERE = 0, /**< noted, and the same: nothing was sent or read */
	MLIMG_LIBVIRT_VERIFIED,      /**< it was there, and has been read back */
	MLIMG_LIBVIRT_SENT_NEW,      /**< it was not there, or not all of it */
	MLIMG_LIBVIRT_SENT_AGAIN,    /**< it was noted, and was not what it should be */
};

/**
 * Put a file on the host.
 *
 * @param pool      the pool
 * @param file      the file
 * @param ret_path  of the volume on the host; free() it
 * @param ret_put   what was done
 * @param err       names file and host
 * @return          0 when the volume has been verified; -EIO: what was read back was not what was
 *                  sent; other -errno
 */
int mlimg_libvirt_put(struct mlimg_libvirt_pool *pool, const struct mlimg_libvirt_file *file,
	char **ret_path, enum mlimg_libvirt_put *ret_put, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Have a tenant's user disk on the host, which is off: move it there unless it is there already.
 *
 * @param pool      the pool
 * @param tenant    the tenant
 * @param ret_path  of the volume on the host; free() it
 * @param err       names tenant and host; -ENOENT: it is neither here nor there
 * @return          0 or -errno
 */
int mlimg_libvirt_disk_put(struct mlimg_libvirt_pool *pool, const struct mlimg_tenant *tenant,
	char **ret_path, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Bring a tenant's user disk home, which is off: read it, then remove the volume. On return with 0
 * tenant->user_disk is on stable storage. -ESTALE: somebody has written to it, or started its domain,
 * meanwhile; then the volume is where it was, and nothing is here.
 */
int mlimg_libvirt_disk_fetch(struct mlimg_libvirt_pool *pool, const struct mlimg_tenant *tenant,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Copy a tenant's user disk from the host, where it stays as it is.
 *
 * @param pool       the pool
 * @param tenant     the tenant
 * @param is_on      its guest writes to it: then the checkpoints in the copy count, and nothing else
 * @param max_bytes  what a larger file than this is not begun for
 * @param fd         an empty file, to be read, too
 * @param err        names tenant and host; -ENOENT: it is not there; -ENOSPC: larger; -ESTALE:
 *                   somebody has written to it meanwhile, or with @p is_on changed its checkpoints
 * @return           0 or -errno
 */
int mlimg_libvirt_disk_copy(struct mlimg_libvirt_pool *pool, const struct mlimg_tenant *tenant,
	bool is_on, uint64_t max_bytes, int fd, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a noted volume back.
 *
 * @param pool       the pool
 * @param volume     as noted
 * @param ret_is_ok  whether it is there, and what was put there; else @p err says what is wrong
 * @param err        what is wrong, or what could not be read
 * @return           0 or -errno
 */
int mlimg_libvirt_check(struct mlimg_libvirt_pool *pool, const struct mlimg_store_volume *volume,
	bool *ret_is_ok, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Told of a volume that is about to go. @return 0 to go on, negative to stop */
typedef int mlimg_libvirt_gc_fn(
	const struct mlimg_store_volume *volume, void *ctx, struct mlimg_err *err);

/**
 * Remove the volumes that were put there and that nobody uses: which no generation of a tenant of this
 * host has as a layer, nor any domain of the host, whosever it is, as a file, now or in a snapshot.
 * What was put there by others is let alone, and so are user disks.
 *
 * @param pool    the pool; held alone
 * @param conn    to the host
 * @param is_dry  remove nothing
 * @param fn      told of each, before it is removed
 * @param ctx     handed to @p fn
 * @param err     names volume or host
 * @return        0 or -errno
 */
int mlimg_libvirt_gc(struct mlimg_libvirt_pool *pool, virConnectPtr conn, bool is_dry,
	mlimg_libvirt_gc_fn *fn, void *ctx, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
