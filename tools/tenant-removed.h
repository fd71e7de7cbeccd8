/* SPDX-License-Identifier: MIT */
/**
 * @file tenant-removed.h
 * What is left of tenants that were destroyed, and the way back.
 *
 *     removed/ID/   the tenant's directory (tenant.h); besides
 *         tenant.json   what it was: {"name", "user_id", "destroyed": seconds since 1970,
 *                       "options": [["memory", "1073741824"], …, ["system", BUILD-ID], …]}, the options
 *                       being those of `mlimg-vm create`
 *
 * Who brings one back holds its lock. The new tenant's directory gets the disk under a second name first
 * (link(2)), and removed/ID goes when the new tenant counts: so a disk with two names belongs to a tenant
 * already, or to a command that was killed before that and whose name for it goes with the next command.
 */
#ifndef MLIMG_TOOLS_TENANT_REMOVED_H
#define MLIMG_TOOLS_TENANT_REMOVED_H

#include <jansson.h>

#include "tools/tenant-options.h"
#include "tools/tenant.h"

/**
 * Write down in a tenant's directory what it is, before it is destroyed.
 *
 * @param tenant  the tenant; its lock is held
 * @param err     names the file
 * @return        0 or -errno
 */
int mlimg_removed_write(const struct mlimg_tenant *tenant, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** A tenant that was destroyed. Zero it to begin with. */
struct mlimg_removed {
	char id[MLIMG_STORE_ID_SIZE];
	char user_id[MLIMG_SHA256_HEX_SIZE];
	char made_for[MLIMG_LAYER_NAME_MAX +
		1]; /**< without record: whose disk it was first, as that says */
	char *dir, *disk;
	json_t *record; /**< NULL: there is none */
	int64_t destroyed_s;
	uint64_t size_bytes; /**< of its disk, as the guest sees it */
	bool has_base;       /**< it lies over another */
	int lock;            /**< where dir is not NULL */
};

/**
 * Find one, and take its lock. One of which nothing is written down, since it comes from a store that
 * has lost its database, is found by its id; which user layer it has is read from its disk, as a
 * stranger's input.
 *
 * @param store        the store
 * @param which        its id, or the name that it had: the one that was destroyed last
 * @param ret_removed  mlimg_removed_done() when done
 * @param err          -ENOENT: there is none; -EBUSY: another command is at it; that it has been brought
 *                     back already; that its record, or its disk, does not tell what it was
 * @return             0 or -errno
 */
int mlimg_removed_find(struct mlimg_store *store, const char *which,
	struct mlimg_removed *ret_removed, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Let go of it; accepts a zeroed one. */
void mlimg_removed_done(struct mlimg_removed *removed);

/**
 * Its machine and its layers, as far as the command line says no others.
 *
 * @param removed  must live as long as @p given
 * @param given    the command line
 * @param err      what cannot be taken from its record; that there is none, and no layers are given
 * @return         0 or -errno
 */
int mlimg_removed_apply(const struct mlimg_removed *removed, struct mlimg_tenant_given *given,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Free what a QEMU that died has lost in its disk, and refuse one that is damaged, as before a start
 * (reclaim.h): of what the guest did before it was destroyed nobody knows any more.
 *
 * @param removed          found
 * @param name             whose it will be, for messages
 * @param ret_freed_bytes  what can be used again
 * @param err              refused: it is damaged, and what can be done; why it cannot be looked at
 * @return                 0 or -errno
 */
int mlimg_removed_free_leaks(const struct mlimg_removed *removed, const char *name,
	uint64_t *ret_freed_bytes, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Remove the checkpoints from its disk. What was known of them went with the tenant, so that nobody
 * could list them, return to one or delete it; and one that is taken later might get the same name.
 *
 * @param removed  found
 * @param ret_n    how many there were
 * @param err      what qemu-img said
 * @return         0 or -errno; some may be gone then
 */
int mlimg_removed_drop_checkpoints(const struct mlimg_removed *removed, uint64_t *ret_n,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Its disk in the directory of a tenant that is being created. @return 0 or -errno */
int mlimg_removed_link(const struct mlimg_removed *removed, const char *dir,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Remove what is left of it. @return 0 or -errno */
int mlimg_removed_remove(struct mlimg_store *store, const struct mlimg_removed *removed,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Remove what was destroyed longer ago than that. What another command is at stays.
 *
 * @param store  the store
 * @param gc     told of each
 * @param days   so long ago
 * @param err    what could not be removed
 * @return       0, what the callback returned when negative, or -errno
 */
int mlimg_removed_gc(struct mlimg_store *store, const struct mlimg_store_gc *gc, uint64_t days,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
