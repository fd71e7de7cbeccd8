/* SPDX-License-Identifier: MIT */
/**
 * @file vm-watch.h
 * How far a guest's boot has come, as its own messages tell: the boot stages that the initramfs
 * announces, then the agent's answers (guest-agent/PROTOCOL.md). A state machine without sockets or
 * clocks of its own; vm-loop-events.c feeds it.
 *
 * All texts come from the guest and may hold anything: print them with mlimg_cli_put_safe().
 */
#ifndef MLIMG_VM_WATCH_H
#define MLIMG_VM_WATCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MLIMG_WATCH_PING_MS 1000 /**< pause between two pings that nobody answers */
#define MLIMG_WATCH_STATUS_MS \
	10000 /**< how long the default target may stay unannounced before it is asked for, and asked for again */
#define MLIMG_WATCH_LOST_MS \
	15000 /**< no guest-status answered for so long is lost: 3 systemctl of 5 s */
#define MLIMG_WATCH_TEXT_SIZE 512 /**< bytes of a stage's detail that are kept, NUL included */

/** What has become of a boot. */
enum mlimg_watch_state {
	MLIMG_BOOT_WAITING = 0, /**< not there yet */
	MLIMG_BOOT_UP,          /**< the default target is reached */
	MLIMG_BOOT_FAILED,      /**< the guest says that it stopped; why is in `detail` */
};

/** A boot that is being watched. Zero it to begin with. */
struct mlimg_watch {
	enum mlimg_watch_state state;
	char stage[32];                     /**< the last stage announced, "" for none */
	char detail[MLIMG_WATCH_TEXT_SIZE]; /**< what was said with it */
	bool has_agent;                     /**< the daemon has answered */
	json_t *status;                     /**< its last guest-status, or NULL; owned */
	bool is_answered;                   /* the last guest-status; the pause is to begin */
	uint64_t ask_at_ms;                 /* when to ask next */
};

/** Free what @p watch owns. */
void mlimg_watch_done(struct mlimg_watch *watch);

/**
 * Take in a message from the guest. Ones that make no sense are ignored.
 *
 * @param watch    the boot
 * @param message  an object
 * @return         true when it announced a boot stage
 */
bool mlimg_watch_message(struct mlimg_watch *watch, const json_t *message);

/**
 * What to ask the agent now. guest-ping until it has answered once. A question may get lost, since
 * the port is opened and closed by every stage of the initramfs; so it is repeated. Then
 * guest-status as soon as the agent announces the default target. guest-status costs the guest
 * three processes, in the middle of its boot and perhaps under emulation; so before that it is
 * asked only now and then, for a guest that announces nothing, and to know what to say of one that
 * does not come up.
 *
 * @param watch   the boot
 * @param now_ms  by mlimg_now_ms()
 * @return        the command, or NULL when it is too early to ask (again)
 */
const char *mlimg_watch_ask(struct mlimg_watch *watch, uint64_t now_ms);

/**
 * How far the boot came, for a person: one clause.
 *
 * @param watch          the boot
 * @param console_bytes  what the guest printed on its console; negative when not known
 * @param ret_text       the text
 * @param size           its room
 */
void mlimg_watch_describe(
	const struct mlimg_watch *watch, int64_t console_bytes, char *ret_text, size_t size);

/**
 * Names of failed units in a guest-status, joined by ", "; "" for none.
 *
 * @param status    guest-status; may be NULL
 * @param ret_text  the text, cut at @p size
 * @param size      its room
 */
void mlimg_status_failed_units(const json_t *status, char *ret_text, size_t size);

/** @return a string member of an object, or @p otherwise where there is none */
const char *mlimg_json_text(const json_t *object, const char *key, const char *otherwise);

#endif
