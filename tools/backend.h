/* SPDX-License-Identifier: MIT */
/**
 * @file backend.h
 * What runs a tenant's guest: QEMU on this machine (backend-qemu.c), or libvirt. Commands go through these operations
 * and know no more of it.
 *
 * None of them takes the tenant's lock (tenant.h): who starts, ends, saves or loads holds it. All are bounded in time.
 * What they are told by a guest may be anything: `ret_why` must be printed with mlimg_cli_put_safe().
 */
#ifndef MLIMG_TOOLS_BACKEND_H
#define MLIMG_TOOLS_BACKEND_H

#include "tools/guest-state.h"
#include "tools/store-checkpoint.h"
#include "tools/tenant.h"
#include "tools/vm-chan.h"

/** How to start a guest. Zeroed: an ordinary boot. */
struct mlimg_backend_start {
	/** not an instruction runs before somebody says so (QMP: cont) */
	bool is_paused;
	/**
	 * a checkpoint whose memory will be loaded, or NULL: who starts the guest paused loads it and lets it run, and
	 * then no boot is waited for
	 */
	const char *load_tag;
};

/** What runs guests. Operations that a backend has not got are NULL. */
struct mlimg_backend {
	const char *name; /**< "qemu", "libvirt" */
	/** others start its guests too, without the store; then such a guest runs the current generation */
	bool is_shared;

	/**
	 * What the guest does now. mlimg_backend_look() is what commands want.
	 *
	 * @param tenant     the tenant
	 * @param ret_state  the state
	 * @param ret_why    how far its boot came, or why it died; "" where there is nothing to say
	 * @param err        only where not even UNREACHABLE can be said
	 * @return           0 or -errno
	 */
	int (*state)(const struct mlimg_tenant *tenant, enum mlimg_guest_state *ret_state,
		char ret_why[MLIMG_GUEST_WHY_SIZE], struct mlimg_err *err);

	/**
	 * Start the guest with tenant->generation, which is the current one when this returns 0. Returns as soon as it
	 * runs, before it is up (mlimg_backend_wait_up()). Notes which it chose (KVM or not, union driver) go to stderr.
	 *
	 * @param store   the store, not in a transaction
	 * @param tenant  the tenant; off
	 * @param how     how
	 * @param err     names what is missing; refused: layers that make no stack; "already running"
	 * @return        0 or -errno
	 */
	int (*start)(struct mlimg_store *store, struct mlimg_tenant *tenant,
		const struct mlimg_backend_start *how, struct mlimg_err *err);

	/** Whether the guest stands still since what it wrote found no room on its host's disk. @return 0 or -errno */
	int (*is_stuck)(const struct mlimg_tenant *tenant, bool *ret_is, struct mlimg_err *err);

	/** Let such a guest go on: it writes again what it could not. */
	int (*go_on)(const struct mlimg_tenant *tenant, struct mlimg_err *err);

	/** Press the power button, once. A guest that does not listen yet misses it. */
	int (*press)(const struct mlimg_tenant *tenant, struct mlimg_err *err);

	/** End the guest by force. @return 0 when it is off, also when it was already */
	int (*end)(const struct mlimg_tenant *tenant, struct mlimg_err *err);

	/**
	 * Wait until the guest is off.
	 *
	 * @param tenant       the tenant
	 * @param deadline_ms  until when, by mlimg_now_ms()
	 * @param ret_is_off   whether it is
	 * @param err          what could not be asked
	 * @return             0 or -errno
	 */
	int (*wait_off)(const struct mlimg_tenant *tenant, uint64_t deadline_ms, bool *ret_is_off,
		struct mlimg_err *err);

	/** A stream to the agent's port: non-blocking, right as the fd of a struct mlimg_chan; close() it. */
	int (*agent)(const struct mlimg_tenant *tenant, int *ret_fd, struct mlimg_err *err);

	/** The serial console, both ways, non-blocking; close() it. What it prints is logged all the same. */
	int (*console)(const struct mlimg_tenant *tenant, int *ret_fd, struct mlimg_err *err);

	/** QEMU's monitor, after mlimg_qmp_greet(); mlimg_chan_close() it. NULL: there is none to be had. */
	int (*monitor)(
		const struct mlimg_tenant *tenant, struct mlimg_chan *chan, struct mlimg_err *err);

	/**
	 * The size of the user disk of a guest that is on, where its host has it.
	 *
	 * @param tenant          the tenant
	 * @param ret_size_bytes  the size
	 * @param err             what could not be asked
	 * @return                0 or -errno
	 */
	int (*disk_size)(
		const struct mlimg_tenant *tenant, uint64_t *ret_size_bytes, struct mlimg_err *err);

	/** Make the user disk of a guest that is on larger. */
	int (*grow)(const struct mlimg_tenant *tenant, uint64_t size_bytes, struct mlimg_err *err);

	/**
	 * Save a checkpoint in the user disk.
	 *
	 * @param tenant       the tenant
	 * @param tag          its name
	 * @param with_memory  memory and disk at one moment, of a guest that is on; else the disk alone
	 * @param err          what failed; then there is no such checkpoint
	 * @return             0 or -errno
	 */
	int (*save)(const struct mlimg_tenant *tenant, const char *tag, bool with_memory,
		struct mlimg_err *err);

	/**
	 * Go back to a checkpoint. With memory of a guest that is on, or was started paused for it; it runs afterwards,
	 * whatever it did before. The disk alone only while it is off.
	 */
	int (*load)(struct mlimg_store *store, struct mlimg_tenant *tenant, const char *tag,
		bool with_memory, struct mlimg_err *err);

	/** Remove a checkpoint. */
	int (*remove)(const struct mlimg_tenant *tenant, const char *tag, struct mlimg_err *err);

	/**
	 * The checkpoints that there are.
	 *
	 * @param tenant     the tenant
	 * @param ret_saved  an object: of each tag the bytes of its memory, 0 of the disk alone; json_decref() it
	 * @param err        what could not be asked
	 * @return           0 or -errno
	 */
	int (*saved)(const struct mlimg_tenant *tenant, json_t **ret_saved, struct mlimg_err *err);

	/** What the machine of a guest that is on must be the same in for its memory to go on later. */
	int (*machine)(const struct mlimg_tenant *tenant, struct mlimg_machine *ret_machine,
		struct mlimg_err *err);

	/**
	 * After somebody was killed who did one of these: wait until what he had begun has ended, and put in order what
	 * he left in the disk. NULL: there is nothing to do.
	 */
	int (*settle)(const struct mlimg_tenant *tenant, struct mlimg_err *err);

	/**
	 * Have the host start the guest when it starts itself, or not. A guest that the host does not know yet is
	 * nothing to it: start() tells it. NULL: nobody but `mlimg-vm start --autostart` does.
	 */
	int (*autostart)(const struct mlimg_tenant *tenant, bool is_wanted, struct mlimg_err *err);

	/**
	 * Whether a guest that is off is not at rest: its host has its memory, and it would go on. Then what is on its
	 * disk is half of it. NULL: there is no such thing.
	 *
	 * @param tenant     the tenant
	 * @param ret_saved  whether it is so
	 * @param err        what could not be asked
	 * @return           0 or -errno
	 */
	int (*is_suspended)(
		const struct mlimg_tenant *tenant, bool *ret_saved, struct mlimg_err *err);

	/** Before a tenant is destroyed, which is off: remove what there is of it outside the store. */
	int (*forget)(const struct mlimg_tenant *tenant, struct mlimg_err *err);
};

/** QEMU on this machine. */
extern const struct mlimg_backend mlimg_backend_qemu;

/** @return whether a tenant's user disk has gone to another host, as it does when it is first started there */
bool mlimg_backend_has_disk_away(const struct mlimg_tenant *tenant);

/** @return whether it is neither here nor, as far as this machine knows, on another host */
bool mlimg_backend_has_lost_disk(const struct mlimg_tenant *tenant);

/** Refuse what needs the user disk of one that has lost it. @return 0; -ENOENT: names the file */
int mlimg_backend_check_disk(
	const struct mlimg_tenant *tenant, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return who runs the tenant */
const struct mlimg_backend *mlimg_backend_of(const struct mlimg_tenant *tenant);

/**
 * What a tenant's guest does. Where the store says that it runs and it does not, this is written down, with an event:
 * so that a guest is off is noticed by whoever looks next, once, even where whoever watched it was killed too. So is
 * that somebody else has started one (is_shared). (On a store that cannot be written it is said only.)
 *
 * @param store      the store, not in a transaction
 * @param tenant     the tenant; its run_s becomes 0 where the guest is off. Where somebody else has started it, it has
 *                   the current generation then
 * @param ret_state  the state; DIED also of a guest that was found dead before and has not been started since
 * @param ret_why    as of state()
 * @param err        what could not be asked
 * @return           0 or -errno
 */
int mlimg_backend_look(struct mlimg_store *store, struct mlimg_tenant *tenant,
	enum mlimg_guest_state *ret_state, char ret_why[MLIMG_GUEST_WHY_SIZE],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Refuse what can only be done to a tenant that is off, and at rest.
 *
 * @param store   as of mlimg_backend_look()
 * @param tenant  as of mlimg_backend_look()
 * @param err     "tenant '...' is up: stop it first"; that its host does not answer; as of
 *                mlimg_backend_check_rest()
 * @return        0 or -errno
 */
int mlimg_backend_check_off(struct mlimg_store *store, struct mlimg_tenant *tenant,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Refuse what would part the disk of a guest that is off from the memory with which it would go on (is_suspended()).
 *
 * @param tenant  the tenant
 * @param err     names the ways out
 * @return        0 or -errno
 */
int mlimg_backend_check_rest(
	const struct mlimg_tenant *tenant, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Whether a guest stands still since whoever started it was killed: not an instruction has run. To be asked with the
 * tenant's lock held; without it, somebody may be starting it.
 *
 * @param tenant  the tenant, as mlimg_backend_look() left it
 * @param state   the state that it told
 */
bool mlimg_backend_is_half_started(const struct mlimg_tenant *tenant, enum mlimg_guest_state state);

/** What became of a guest that was to go on. */
enum mlimg_backend_resumed {
	MLIMG_RESUMED_NOT = 0, /**< its disk is not why it stands still, or it does not */
	MLIMG_RESUMED,         /**< it goes on, with nothing lost */
	MLIMG_RESUMED_STUCK,   /**< it stands still again: there is no room yet */
};

/**
 * Let a guest go on that stands still since its host's disk was full. Watched for a second: what it could not write it
 * writes at once.
 *
 * @param tenant   the tenant, with its lock
 * @param ret_how  what became of it
 * @param err      what could not be asked
 * @return         0 or -errno
 */
int mlimg_backend_resume(const struct mlimg_tenant *tenant, enum mlimg_backend_resumed *ret_how,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Wait until a guest that was started is up, or is not on any more.
 *
 * @param tenant       the tenant
 * @param deadline_ms  until when, by mlimg_now_ms()
 * @param ret_state    UP; PAUSED; OFF or DIED; STARTING when the time is up
 * @param ret_why      as of state()
 * @param err          what could not be asked
 * @return             0 or -errno
 */
int mlimg_backend_wait_up(const struct mlimg_tenant *tenant, uint64_t deadline_ms,
	enum mlimg_guest_state *ret_state, char ret_why[MLIMG_GUEST_WHY_SIZE],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
