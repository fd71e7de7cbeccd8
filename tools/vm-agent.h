/* SPDX-License-Identifier: MIT */
/**
 * @file vm-agent.h
 * Requests that wait for their answer, to the guest's agent (guest-agent/PROTOCOL.md) and to QEMU's
 * monitor (QMP, QEMU's docs/interop/qmp-spec). Events and answers to others that arrive meanwhile
 * are skipped.
 */
#ifndef MLIMG_VM_AGENT_H
#define MLIMG_VM_AGENT_H

#include "tools/vm-chan.h"

/**
 * Ask, and wait for the answer with the request's id.
 *
 * @param chan        connected
 * @param command     its name
 * @param deadline_ms until when, by mlimg_now_ms()
 * @param ret         the "return" member; json_decref() it. May be NULL
 * @param err         what the other end says, or that it does not answer
 * @return            0; -ETIMEDOUT, -EPIPE, -EIO (it answered with an error), -errno
 */
int mlimg_chan_call(struct mlimg_chan *chan, const char *command, uint64_t deadline_ms,
	json_t **ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * As mlimg_chan_call(), with arguments.
 *
 * @param chan        connected
 * @param command     its name
 * @param arguments   taken over; NULL for none
 * @param deadline_ms until when, by mlimg_now_ms()
 * @param ret         the "return" member; json_decref() it. May be NULL
 * @param err         what the other end says, or that it does not answer
 * @return            0; -ETIMEDOUT, -EPIPE, -EIO (it answered with an error), -errno
 */
int mlimg_chan_ask(struct mlimg_chan *chan, const char *command, json_t *arguments,
	uint64_t deadline_ms, json_t **ret, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Come to an understanding with an agent of which nothing is known: guest-sync-delimited, so that
 * the rest of a former client's conversation is behind us.
 *
 * @param chan         connected
 * @param deadline_ms  until when, by mlimg_now_ms()
 * @return             0, -ETIMEDOUT, -EPIPE, -errno
 */
int mlimg_agent_sync(
	struct mlimg_chan *chan, uint64_t deadline_ms, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Shake hands with QEMU's monitor: read its greeting, leave negotiation mode.
 *
 * @param chan         connected
 * @param deadline_ms  until when, by mlimg_now_ms()
 * @return             0, -ETIMEDOUT, -EPIPE, -errno
 */
int mlimg_qmp_greet(
	struct mlimg_chan *chan, uint64_t deadline_ms, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
