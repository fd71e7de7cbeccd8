/* SPDX-License-Identifier: MIT */
/**
 * @file rollout.h
 * A rollout: many tenants get another generation, one after the other and several at a time. Here
 * is what it is made of, and the machine that says what comes next for a tenant; nothing is done
 * here. What carries it out is rollout-run.h, how it is kept store-rollout.h, what is done to a
 * tenant rollout-step.h.
 *
 * A tenant goes this way:
 *
 *     waiting -> checkpoint -> switch -> hold -> restart -> check -> done
 *                                          |        |         |
 *                                          |        +---------+--> back -> recheck -> returned
 *                                          +-> undo -> waiting               |
 *                                                              restore <-----+
 *                                                                 +-> lastcheck -> returned
 *                                                                         +-> failed
 *
 * Each state but waiting, hold and the last ones is an intent: it is on stable storage before
 * anything is done, and what is done looks first how far it came before. So who carries the rollout
 * out can be killed at any moment, and whoever goes on with it does each intent again.
 *
 *     waiting     nothing has been done
 *     checkpoint  its disk is being saved, and how its health was; what an earlier rollout has
 *                 saved is removed. Without that nothing else is begun: from the switch on its
 *                 owner may restart it at any moment
 *     switch      the new generation becomes the pending one
 *     hold        it has the new generation from its next start on, and waits for that
 *     undo        the rollout has stopped meanwhile: the pending generation is taken back
 *     restart     it is stopped and started
 *     check       it must come up, and be as healthy as it was
 *     back        it was not: stopped, and started with the former generation; that boot takes back
 *                 what the change did to the user layer (guest-agent/change.h), and keeps what the
 *                 user wrote since
 *     recheck     it must come up
 *     restore     it did not: its disk is what it was at the checkpoint; what it was until then is
 *                 a checkpoint, too
 *     lastcheck   it must come up
 *     done        it is up and healthy on the new generation
 *     off         it is off, and has the new generation from its next start on
 *     returned    it runs on its former generation again
 *     failed      it could not be changed, or could not be brought back: the text says how it is
 *     skipped     it was destroyed, or somebody has given it another generation meanwhile
 *
 * One that is powered off while it is checked has not come up; on the former generation it stays off.
 *
 * A tenant that cannot be reached is tried again: its host does not answer, somebody else has its
 * lock (waited for a minute each time), or before the checkpoint its guest neither comes up nor
 * ends, or has an agent that is silent. After MLIMG_ROLLOUT_TRIES it is *lost*: it stays in its
 * state, counts as failed, and whoever resumes the rollout tries again.
 */
#ifndef MLIMG_TOOLS_ROLLOUT_H
#define MLIMG_TOOLS_ROLLOUT_H

#include "tools/store.h"

#define MLIMG_ROLLOUT_TRIES 30       /**< of what cannot be reached: five minutes at least */
#define MLIMG_ROLLOUT_AGAIN_MS 10000 /**< between two of them */
#define MLIMG_ROLLOUT_LOOK_MS 1000   /**< between looks at tenants on hold: a reboot takes longer */
#define MLIMG_ROLLOUT_OFF_MS 60000   /**< after which one that was on counts as one that is off */
#define MLIMG_ROLLOUT_TEXT 400       /**< of a text, NUL included; longer ones are cut */
#define MLIMG_ROLLOUT_BASELINE 1024  /**< of what was wrong with a tenant before, likewise */
#define MLIMG_ROLLOUT_BOOT 40        /**< of a boot's id, NUL included; longer ones are none */
#define MLIMG_ROLLOUT_WAVES 16       /**< waves at most */
#define MLIMG_ROLLOUT_TAG "before-upgrade-" /**< of checkpoints; the rollout's number follows */
#define MLIMG_ROLLOUT_AT_ONCE_MAX 256       /**< tenants at a time: a process each */
#define MLIMG_ROLLOUT_HEALTH_MAX 86400      /**< seconds: a day */

/** Where a tenant is. */
enum mlimg_rollout_place {
	MLIMG_ROLLOUT_WAITING,
	MLIMG_ROLLOUT_CHECKPOINT,
	MLIMG_ROLLOUT_SWITCH,
	MLIMG_ROLLOUT_HOLD,
	MLIMG_ROLLOUT_UNDO,
	MLIMG_ROLLOUT_RESTART,
	MLIMG_ROLLOUT_CHECK,
	MLIMG_ROLLOUT_BACK,
	MLIMG_ROLLOUT_RECHECK,
	MLIMG_ROLLOUT_RESTORE,
	MLIMG_ROLLOUT_LASTCHECK,
	MLIMG_ROLLOUT_DONE, /**< the first of those that are the last */
	MLIMG_ROLLOUT_OFF,
	MLIMG_ROLLOUT_RETURNED,
	MLIMG_ROLLOUT_FAILED,
	MLIMG_ROLLOUT_SKIPPED,
	MLIMG_ROLLOUT_PLACES,
};

/** What came of an intent. */
enum mlimg_rollout_result {
	MLIMG_ROLLOUT_OK,
	MLIMG_ROLLOUT_NOT,         /**< it could not be done */
	MLIMG_ROLLOUT_DOWN,        /**< of a check: it did not come up */
	MLIMG_ROLLOUT_UNHEALTHY,   /**< of a check: it is up, and something is wrong with it */
	MLIMG_ROLLOUT_RUNS_NEW,    /**< of undo: it has been started meanwhile */
	MLIMG_ROLLOUT_GONE,        /**< there is no such tenant any more */
	MLIMG_ROLLOUT_CHANGED,     /**< somebody has given it another generation */
	MLIMG_ROLLOUT_UNREACHABLE, /**< its host does not answer, or somebody else has its lock */
	MLIMG_ROLLOUT_NO_ROOM,     /**< of a checkpoint: nothing was done; no other is begun */
	MLIMG_ROLLOUT_BROKEN,      /**< the store cannot be used: nothing is gone on with */
	MLIMG_ROLLOUT_RESULTS,
};

/** How a tenant on hold is. */
enum mlimg_rollout_look {
	MLIMG_ROLLOUT_IS_ON,     /**< on the former generation */
	MLIMG_ROLLOUT_IS_REBOOT, /**< it is just restarting itself, on the former generation */
	MLIMG_ROLLOUT_IS_OFF,
	MLIMG_ROLLOUT_IS_NEW,  /**< it runs on the new one */
	MLIMG_ROLLOUT_IS_GONE, /**< there is no such tenant any more */
	MLIMG_ROLLOUT_IS_UNKNOWN,
};

/** When tenants are restarted. */
enum mlimg_rollout_policy {
	MLIMG_ROLLOUT_NOW,
	MLIMG_ROLLOUT_NEXT,   /**< when they restart themselves */
	MLIMG_ROLLOUT_WINDOW, /**< now, but only between two times of the day */
};

/** How a rollout is. */
enum mlimg_rollout_state {
	MLIMG_ROLLOUT_RUNNING, /**< or whoever carried it out was killed */
	MLIMG_ROLLOUT_PAUSED,
	MLIMG_ROLLOUT_STOPPED, /**< too many have failed */
	MLIMG_ROLLOUT_ABORTED,
	MLIMG_ROLLOUT_ENDED,
	MLIMG_ROLLOUT_STATES,
};

/** What somebody asks of who carries it out. */
enum mlimg_rollout_request {
	MLIMG_ROLLOUT_GO,
	MLIMG_ROLLOUT_PAUSE,
	MLIMG_ROLLOUT_ABORT,
};

/** A tenant of a rollout. A plain value. */
struct mlimg_rollout_row {
	uint32_t position; /**< from 0, in the order in which they are taken */
	char tenant_id[MLIMG_STORE_ID_SIZE];
	char name[MLIMG_STORE_NAME_SIZE]; /**< when the rollout began */
	unsigned wave;                    /**< from 0 */
	enum mlimg_rollout_place place;
	bool is_lost;
	uint32_t attempt; /**< counts intents: what an earlier one left running does nothing more */
	uint32_t from, to;                     /**< generations */
	int64_t since_s;                       /**< when it came there */
	char baseline[MLIMG_ROLLOUT_BASELINE]; /**< what was wrong with it before: "unit a\n..." */
	char boot[MLIMG_ROLLOUT_BOOT];         /**< which it had booted then, or "": nobody knows */
	char text[MLIMG_ROLLOUT_TEXT];         /**< for people; may hold a guest's words */
};

/** A rollout. A plain value. */
struct mlimg_rollout {
	uint32_t number;
	uint32_t undoes; /**< the rollout that it takes back, or 0 */
	char target[MLIMG_ROLLOUT_TEXT];
	enum mlimg_rollout_state state;
	enum mlimg_rollout_request request;
	enum mlimg_rollout_policy policy;
	unsigned window_from, window_to; /**< minutes of the day, local time; to may be less */
	char waves[128];                 /**< "1,10%,100%" */
	unsigned at_once, health_s;
	uint32_t max_failures;
	uint32_t forgiven; /**< failures that were there when it was resumed */
	int64_t created_s, ended_s;
};

/** @return "waiting" ... "skipped" */
const char *mlimg_rollout_place_name(enum mlimg_rollout_place place);

/** The place called @p name. @return whether there is one */
bool mlimg_rollout_place_of(const char *name, enum mlimg_rollout_place *ret_place);

/** @return "running", "paused", "stopped", "aborted", "done" */
const char *mlimg_rollout_state_name(enum mlimg_rollout_state state);

/** @return whether the place is one of the last */
bool mlimg_rollout_is_last(enum mlimg_rollout_place place);

/** @return whether there is something to do in the place */
bool mlimg_rollout_is_intent(enum mlimg_rollout_place place);

/**
 * Where a tenant goes. Not for MLIMG_ROLLOUT_UNREACHABLE, which is tried again, nor for
 * MLIMG_ROLLOUT_NO_ROOM, which waits, nor for MLIMG_ROLLOUT_BROKEN.
 *
 * @param place   where it is, an intent
 * @param result  what came of it
 * @return        where it goes
 */
enum mlimg_rollout_place mlimg_rollout_next(
	enum mlimg_rollout_place place, enum mlimg_rollout_result result);

/**
 * Where a tenant on hold goes.
 *
 * @param rollout    whose policy counts
 * @param look       how it is
 * @param minute     of the day
 * @param is_ending  no tenant is to be begun any more, and those on hold are not to go on
 * @return           MLIMG_ROLLOUT_HOLD: it stays
 */
enum mlimg_rollout_place mlimg_rollout_release(const struct mlimg_rollout *rollout,
	enum mlimg_rollout_look look, unsigned minute, bool is_ending);

/** @return whether it counts as failed: returned, failed, or lost */
bool mlimg_rollout_has_failed(const struct mlimg_rollout_row *row);

/**
 * Waves, as people write them: "1,10%,100%". Each says how many tenants are to be done in all when
 * it ends, ascending; what is left after the last one is one more.
 *
 * @param text      the text
 * @param n         how many tenants there are
 * @param ret_ends  of each wave; may be NULL where only the text is to be checked
 * @param ret_n     how many there are
 * @param err       of kind MLIMG_ERR_USAGE
 * @return          0, -EINVAL
 */
int mlimg_rollout_waves(const char *text, uint32_t n, uint32_t ret_ends[MLIMG_ROLLOUT_WAVES],
	unsigned *ret_n, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * When to restart: "now", "next", "HH:MM-HH:MM".
 *
 * @param text         the text
 * @param ret_rollout  its policy and window
 * @param err          of kind MLIMG_ERR_USAGE
 * @return             0, -EINVAL
 */
int mlimg_rollout_policy_of(const char *text, struct mlimg_rollout *ret_rollout,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The same as text again. @return @p ret_text */
const char *mlimg_rollout_policy_text(
	const struct mlimg_rollout *rollout, char ret_text[MLIMG_STORE_NAME_SIZE]);

#endif
