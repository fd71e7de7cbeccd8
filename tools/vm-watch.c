/* SPDX-License-Identifier: MIT */
#include "tools/vm-watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void mlimg_watch_done(struct mlimg_watch *watch)
{
	json_decref(watch->status);
	memset(watch, 0, sizeof(*watch));
}

const char *mlimg_json_text(const json_t *object, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : otherwise;
}

static bool take_event(struct mlimg_watch *watch, const json_t *message)
{
	const json_t *data = json_object_get(message, "data");
	const char *event = mlimg_json_text(message, "event", "");
	const char *stage = mlimg_json_text(data, "stage", "");

	if (strcmp(event, "default-target") == 0) {
		watch->has_agent = true;
		watch->is_answered = false;
		watch->ask_at_ms = 0;
	}
	if (strcmp(event, "boot-stage") != 0 || !*stage)
		return false;
	snprintf(watch->stage, sizeof(watch->stage), "%s", stage);
	snprintf(watch->detail, sizeof(watch->detail), "%s", mlimg_json_text(data, "detail", ""));
	/* A stage announced after the agent has answered: the guest has been reset. */
	if (watch->has_agent)
		watch->ask_at_ms = 0;
	watch->has_agent = false;
	if (strcmp(stage, "failed") == 0)
		watch->state = MLIMG_BOOT_FAILED;
	return true;
}

bool mlimg_watch_message(struct mlimg_watch *watch, const json_t *message)
{
	json_t *answer = json_object_get(message, "return");

	if (watch->state != MLIMG_BOOT_WAITING)
		return false;
	if (!json_is_object(answer))
		return take_event(watch, message);
	/* The first answer is a ping's: the agent will announce when there is more to ask for. */
	if (!watch->has_agent)
		watch->is_answered = true;
	watch->has_agent = true;
	if (!json_is_boolean(json_object_get(answer, "default_target_reached")))
		return false;
	json_decref(watch->status);
	watch->status = json_incref(answer);
	watch->is_answered = true;
	if (json_is_true(json_object_get(answer, "default_target_reached")))
		watch->state = MLIMG_BOOT_UP;
	return false;
}

const char *mlimg_watch_ask(struct mlimg_watch *watch, uint64_t now_ms)
{
	if (watch->is_answered) {
		watch->is_answered = false;
		watch->ask_at_ms = now_ms + MLIMG_WATCH_STATUS_MS;
	}
	if (watch->state != MLIMG_BOOT_WAITING || now_ms < watch->ask_at_ms)
		return NULL;
	watch->ask_at_ms = now_ms + (watch->has_agent ? MLIMG_WATCH_LOST_MS : MLIMG_WATCH_PING_MS);
	return watch->has_agent ? "guest-status" : "guest-ping";
}

void mlimg_status_failed_units(const json_t *status, char *ret_text, size_t size)
{
	const json_t *units = json_object_get(status, "failed_units"), *unit;
	size_t i, len = 0;

	ret_text[0] = '\0';
	json_array_foreach(units, i, unit)
	{
		const char *name = json_string_value(unit);

		if (name && len < size)
			len += (size_t)snprintf(
				ret_text + len, size - len, "%s%s", len ? ", " : "", name);
	}
}

static void describe_agent(const struct mlimg_watch *watch, char *ret_text, size_t size)
{
	char units[256];

	if (!watch->status) {
		snprintf(ret_text, size, "the agent answers, but does not tell its status");
		return;
	}
	mlimg_status_failed_units(watch->status, units, sizeof(units));
	snprintf(ret_text, size, "the default target is not reached (system state '%s'%s%s)",
		mlimg_json_text(watch->status, "system_state", "unknown"),
		*units ? "; failed units: " : "", units);
}

void mlimg_watch_describe(
	const struct mlimg_watch *watch, int64_t console_bytes, char *ret_text, size_t size)
{
	if (watch->has_agent)
		describe_agent(watch, ret_text, size);
	else if (strcmp(watch->stage, "switch-root") == 0)
		snprintf(ret_text, size, "the root was switched to, but its agent does not answer");
	else if (*watch->stage)
		snprintf(ret_text, size, "it came as far as stage '%s'%s%s%s", watch->stage,
			*watch->detail ? " (" : "", watch->detail, *watch->detail ? ")" : "");
	else if (console_bytes == 0)
		snprintf(ret_text, size, "the kernel printed nothing");
	else
		snprintf(ret_text, size, "it did not reach mlimg's part of the initramfs");
}
