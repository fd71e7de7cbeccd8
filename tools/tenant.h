/* SPDX-License-Identifier: MIT */
/**
 * @file tenant.h
 * A tenant as whoever runs or changes it needs it: its row in the store (store.h), how its machine
 * is made, and the layers and files that it runs on. Nothing is started here.
 *
 * A tenant's directory, tenants/ID:
 *
 *     user.qcow2   its user disk, 0600. The guest writes what is in it, QEMU alone the format's own
 *                  data, so that the format is always said and never found out
 *     lock         held with flock(2) by a command that changes the tenant; says which, and its
 *                  process. Who only looks does not take it
 *
 * Columns of the store's table tenant beside store.h's, all with defaults for tenants of an older
 * schema: memory_bytes, cpus, accel, union_driver, disks, verity, net (user, none), forwards
 * (ADDRESS:HOSTPORT:GUESTPORT, separated by spaces), append, boot_timeout_s, autostart (yes, no), and run_s (when the
 * guest was started that is believed to run, or NULL), and identity (a word, where the tenant was
 * copied from another one: its guest makes machine id and host keys of its own, once for each word;
 * initramfs/README.md, mlimg.identity).
 *
 * Whoever changes a tenant takes its lock and then looks what it is (mlimg_tenant_take()): while he
 * waited it may have been changed, renamed or destroyed.
 */
#ifndef MLIMG_TOOLS_TENANT_H
#define MLIMG_TOOLS_TENANT_H

#include "tools/store.h"
#include "tools/tenant-disk.h"
#include "tools/vm-cmd.h"
#include "tools/vm-union.h"
#include "tools/vm-verity.h"

#define MLIMG_TENANT_APPEND_MAX 1024 /**< bytes of what is added to the kernel's command line */
/**
 * How long a command waits for another one on the same tenant. Most last no longer; who saves much
 * memory does, and is named then.
 */
#define MLIMG_TENANT_LOCK_MS 60000

/** How a tenant's machine is made. Initialise with mlimg_tenant_settings_init(). */
struct mlimg_tenant_settings {
	uint64_t memory_bytes;
	unsigned cpus;
	enum mlimg_accel accel;
	enum mlimg_union union_driver;
	enum mlimg_disks disks; /**< joined or separate, where there is an index */
	enum mlimg_vm_verity verity;
	bool net; /**< a network card behind QEMU's NAT */
	struct mlimg_vm_forward forwards[MLIMG_VM_FORWARDS_MAX];
	size_t n_forwards;
	char *append; /**< added to the kernel's command line, or NULL; owned */
	unsigned boot_timeout_s;
	bool autostart; /**< it is started when its host is */
};

/** The defaults: those of `mlimg-vm run`, but for disks, which are separate. */
void mlimg_tenant_settings_init(struct mlimg_tenant_settings *ret_settings);

/**
 * Whether these can be together.
 *
 * @param settings  the settings
 * @param err       of kind MLIMG_ERR_USAGE, with the option's name
 * @return          0, -EINVAL
 */
int mlimg_tenant_settings_check(
	const struct mlimg_tenant_settings *settings, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what they own; accepts zeroed ones. */
void mlimg_tenant_settings_done(struct mlimg_tenant_settings *settings);

/** A tenant. Zero it to begin with. */
struct mlimg_tenant {
	struct mlimg_store_tenant row;
	struct mlimg_tenant_settings settings;
	char identity[MLIMG_STORE_ID_SIZE]; /**< the word, or "" */
	int64_t run_s;                      /**< since when it is believed to run; 0: it is off */
	char host[MLIMG_STORE_NAME_SIZE];   /**< "": this machine's QEMU runs it */
	char *uri;                          /**< the host's, or NULL; owned */
	/**
	 * What it runs; where it is off, what it starts with next: the pending one, else the
	 * current one. Number 0: it has none yet.
	 */
	struct mlimg_store_generation generation;
	struct mlimg_store_layer *layers; /**< of that; bottom first: system, patches, software */
	char **layer_paths;               /**< of their images, which may have been lost */
	size_t n_layers;
	char *dir; /**< its directory */
	/** until when, by mlimg_now_ms(), its agent may be asked what its guest does; 0: 5 seconds long */
	uint64_t ask_until_ms;
	/**
	 * Its lock's descriptor, where mlimg_tenant_take() took it; the caller's, who closes it. 0: it is not
	 * known here, and whoever starts the guest cannot hand it on
	 */
	int lock;
	char *user_disk; /**< MLIMG_TENANT_DISK in it */
};

/**
 * Look what a tenant is. It may change at any time, unless its lock is held.
 *
 * @param store       the store
 * @param name        the tenant's name
 * @param ret_tenant  mlimg_tenant_done() when done
 * @param err         "no tenant '...'"
 * @return            0, -ENOENT, -EUCLEAN: the database says what no program writes; other -errno
 */
int mlimg_tenant_load(struct mlimg_store *store, const char *name, struct mlimg_tenant *ret_tenant,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Put another generation, with its layers, in the place of the one that a tenant was loaded with.
 *
 * @param store   the store
 * @param tenant  loaded; unchanged after a failure
 * @param number  the generation's; 0: none, and no layers
 * @param err     "tenant '...' has no generation 7"
 * @return        0, -ENOENT, other -errno
 */
int mlimg_tenant_load_generation(struct mlimg_store *store, struct mlimg_tenant *tenant,
	uint32_t number, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free what it owns; accepts a zeroed one. */
void mlimg_tenant_done(struct mlimg_tenant *tenant);
#define mlimg_autotenant mlimg_cleanup(mlimg_tenant_done) /**< mlimg_tenant_done() */

/**
 * Take a tenant's lock, waiting for others.
 *
 * @param tenant   the tenant; it may be another one's name by the time the lock is had
 * @param what     what will be done: "start"
 * @param wait_ms  how long to wait at most; MLIMG_TENANT_LOCK_MS in commands
 * @param ret_fd   close() it to let go; closed when a program is executed
 * @param err      -EBUSY: names who has it, and what he does
 * @return         0, -EBUSY, -ENOENT: it has been destroyed; other -errno
 */
int mlimg_tenant_lock_within(const struct mlimg_tenant *tenant, const char *what, unsigned wait_ms,
	int *ret_fd, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** As mlimg_tenant_lock_within(), with MLIMG_TENANT_LOCK_MS. */
int mlimg_tenant_lock(const struct mlimg_tenant *tenant, const char *what, int *ret_fd,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Take the lock of the tenant of that name, and look what it is then. What somebody left undone who
 * was killed holding the lock is ended first.
 *
 * @param store       the store, not in a transaction
 * @param name        the tenant's name
 * @param what        as of mlimg_tenant_lock()
 * @param ret_tenant  mlimg_tenant_done() when done
 * @param ret_fd      as of mlimg_tenant_lock()
 * @param err         as of both
 * @return            0 or -errno
 */
int mlimg_tenant_take(struct mlimg_store *store, const char *name, const char *what,
	struct mlimg_tenant *ret_tenant, int *ret_fd, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a tenant's settings.
 *
 * @param store         the store
 * @param id            the tenant's
 * @param ret_settings  mlimg_tenant_settings_done() when done
 * @param ret_run_s     as in struct mlimg_tenant
 * @param err           names the database
 * @return              0, -ENOENT, -EUCLEAN, other -errno
 */
int mlimg_tenant_settings_get(struct mlimg_store *store, const char *id,
	struct mlimg_tenant_settings *ret_settings, int64_t *ret_run_s,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Give a tenant other settings; a guest that runs has them from its next start on. On return with 0
 * they are on stable storage, unless within a transaction.
 *
 * @param store     the store
 * @param id        the tenant's
 * @param settings  copied
 * @param err       as of mlimg_tenant_settings_check()
 * @return          0, -EINVAL, -ENOENT, other -errno
 */
int mlimg_tenant_settings_set(struct mlimg_store *store, const char *id,
	const struct mlimg_tenant_settings *settings, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The word of a tenant that is a copy. @return 0, -ENOENT, -EUCLEAN, other -errno */
int mlimg_tenant_identity_get(struct mlimg_store *store, const char *id,
	char ret_word[MLIMG_STORE_ID_SIZE], struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Give it another word. @return 0, -ENOENT, other -errno */
int mlimg_tenant_identity_set(struct mlimg_store *store, const char *id, const char *word,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Note since when a tenant runs, or that it does no longer.
 *
 * @param store  the store
 * @param id     the tenant's
 * @param run_s  seconds since 1970; 0: it is off
 * @param err    names the database
 * @return       0, -ENOENT, other -errno
 */
int mlimg_tenant_run_set(struct mlimg_store *store, const char *id, int64_t run_s,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
