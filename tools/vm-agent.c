/* SPDX-License-Identifier: MIT */
#include "tools/vm-agent.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#define SYNC_MS 1000 /* how long to wait before a sync is sent again */

static int no_answer(struct mlimg_err *err, int ret, const char *command)
{
	if (ret == -ETIMEDOUT)
		return mlimg_err_set(err, ETIMEDOUT, "'%s' is not answered", command);
	return mlimg_err_set(err, ret, "'%s'", command);
}

/* The answer that bears @id; everything else is dropped. */
static int wait_for_id(struct mlimg_chan *chan, json_int_t id, uint64_t deadline_ms, json_t **ret)
{
	for (;;) {
		json_t *json = NULL;
		int r = mlimg_chan_wait(chan, deadline_ms, &json);

		if (r < 0)
			return r;
		if (json_is_integer(json_object_get(json, "id")) &&
			json_integer_value(json_object_get(json, "id")) == id) {
			*ret = json;
			return 0;
		}
		json_decref(json);
	}
}

static int take_return(
	const json_t *answer, const char *command, json_t **ret, struct mlimg_err *err)
{
	const json_t *error = json_object_get(answer, "error");
	json_t *value = json_object_get(answer, "return");
	const char *desc = json_string_value(json_object_get(error, "desc"));

	if (!value)
		return mlimg_err_set(
			err, 0, "'%s' fails: %s", command, desc ? desc : "no reason given");
	if (ret)
		*ret = json_incref(value);
	return 0;
}

int mlimg_chan_ask(struct mlimg_chan *chan, const char *command, json_t *arguments,
	uint64_t deadline_ms, json_t **ret, struct mlimg_err *err)
{
	json_t *answer = NULL;
	json_int_t id;
	int r = mlimg_chan_request(chan, command, arguments, &id);

	if (r == 0)
		r = wait_for_id(chan, id, deadline_ms, &answer);
	if (r < 0)
		return no_answer(err, r, command);
	r = take_return(answer, command, ret, err);
	json_decref(answer);
	return r;
}

int mlimg_chan_call(struct mlimg_chan *chan, const char *command, uint64_t deadline_ms,
	json_t **ret, struct mlimg_err *err)
{
	return mlimg_chan_ask(chan, command, NULL, deadline_ms, ret, err);
}

/* The answer that returns @mark; everything else is dropped. */
static int wait_for_mark(struct mlimg_chan *chan, json_int_t mark, uint64_t deadline_ms)
{
	for (;;) {
		json_t *json = NULL;
		const json_t *value;
		int r = mlimg_chan_wait(chan, deadline_ms, &json);
		bool found;

		if (r < 0)
			return r;
		value = json_object_get(json, "return");
		found = json_is_integer(value) && json_integer_value(value) == mark;
		json_decref(json);
		if (found)
			return 0;
	}
}

/*
 * Ids of a former client's requests could be the same as ours: a random mark shows where our
 * conversation begins, and later ids follow from it. The request is repeated, since what a guest
 * has not yet read when a client comes or goes gets lost.
 */
int mlimg_agent_sync(struct mlimg_chan *chan, uint64_t deadline_ms, struct mlimg_err *err)
{
	static const char command[] = "guest-sync-delimited";
	uint32_t mark = (uint32_t)mlimg_now_ms();
	int r = -ETIMEDOUT;

	if (getrandom(&mark, sizeof(mark), GRND_NONBLOCK) != (ssize_t)sizeof(mark))
		mark ^= (uint32_t)(uintptr_t)chan;
	chan->next_id = (json_int_t)mark << 16;
	for (uint64_t now = mlimg_now_ms(); r == -ETIMEDOUT && now < deadline_ms;
		now = mlimg_now_ms()) {
		uint64_t until = deadline_ms - now < SYNC_MS ? deadline_ms : now + SYNC_MS;

		/* Ends what a former client may have left of a line. With each attempt, since it can
		 * get lost too; where it cannot be sent, the request says so. */
		send(chan->fd, "\xff", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		r = mlimg_chan_request(
			chan, command, json_pack("{s:I}", "id", (json_int_t)mark), NULL);
		if (r == 0 || r == -EAGAIN)
			r = wait_for_mark(chan, mark, until);
	}
	return r == 0 ? 0 : no_answer(err, r, command);
}

int mlimg_qmp_greet(struct mlimg_chan *chan, uint64_t deadline_ms, struct mlimg_err *err)
{
	json_t *json = NULL;
	int r = mlimg_chan_wait(chan, deadline_ms, &json);
	bool is_qmp = r == 0 && json_object_get(json, "QMP");

	json_decref(json);
	if (r < 0)
		return mlimg_err_set(err, r, "QEMU's monitor does not greet");
	if (!is_qmp)
		return mlimg_err_set(err, 0, "QEMU's monitor greets strangely");
	return mlimg_chan_call(chan, "qmp_capabilities", deadline_ms, NULL, err);
}
