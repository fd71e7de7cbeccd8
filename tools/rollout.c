/* SPDX-License-Identifier: MIT */
#include "tools/rollout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY 1440 /* minutes */

static const char *const places[MLIMG_ROLLOUT_PLACES] = {
	[MLIMG_ROLLOUT_WAITING] = "waiting",
	[MLIMG_ROLLOUT_CHECKPOINT] = "checkpoint",
	[MLIMG_ROLLOUT_SWITCH] = "switch",
	[MLIMG_ROLLOUT_HOLD] = "hold",
	[MLIMG_ROLLOUT_UNDO] = "undo",
	[MLIMG_ROLLOUT_RESTART] = "restart",
	[MLIMG_ROLLOUT_CHECK] = "check",
	[MLIMG_ROLLOUT_BACK] = "back",
	[MLIMG_ROLLOUT_RECHECK] = "recheck",
	[MLIMG_ROLLOUT_RESTORE] = "restore",
	[MLIMG_ROLLOUT_LASTCHECK] = "lastcheck",
	[MLIMG_ROLLOUT_DONE] = "done",
	[MLIMG_ROLLOUT_OFF] = "off",
	[MLIMG_ROLLOUT_RETURNED] = "returned",
	[MLIMG_ROLLOUT_FAILED] = "failed",
	[MLIMG_ROLLOUT_SKIPPED] = "skipped",
};

static const char *const states[MLIMG_ROLLOUT_STATES] = {
	[MLIMG_ROLLOUT_RUNNING] = "running",
	[MLIMG_ROLLOUT_PAUSED] = "paused",
	[MLIMG_ROLLOUT_STOPPED] = "stopped",
	[MLIMG_ROLLOUT_ABORTED] = "aborted",
	[MLIMG_ROLLOUT_ENDED] = "done",
};

const char *mlimg_rollout_place_name(enum mlimg_rollout_place place)
{
	return places[place];
}

bool mlimg_rollout_place_of(const char *name, enum mlimg_rollout_place *ret_place)
{
	for (enum mlimg_rollout_place p = 0; p < MLIMG_ROLLOUT_PLACES; p++)
		if (strcmp(name, places[p]) == 0) {
			*ret_place = p;
			return true;
		}
	return false;
}

const char *mlimg_rollout_state_name(enum mlimg_rollout_state state)
{
	return states[state];
}

bool mlimg_rollout_is_last(enum mlimg_rollout_place place)
{
	return place >= MLIMG_ROLLOUT_DONE;
}

bool mlimg_rollout_is_intent(enum mlimg_rollout_place place)
{
	return place != MLIMG_ROLLOUT_WAITING && place != MLIMG_ROLLOUT_HOLD &&
		!mlimg_rollout_is_last(place);
}

/* Where it goes when all is well, and when not. */
static const struct {
	enum mlimg_rollout_place ok, not_ok;
} ways[MLIMG_ROLLOUT_PLACES] = {
	[MLIMG_ROLLOUT_CHECKPOINT] = {MLIMG_ROLLOUT_SWITCH, MLIMG_ROLLOUT_FAILED},
	[MLIMG_ROLLOUT_SWITCH] = {MLIMG_ROLLOUT_HOLD, MLIMG_ROLLOUT_FAILED},
	[MLIMG_ROLLOUT_UNDO] = {MLIMG_ROLLOUT_WAITING, MLIMG_ROLLOUT_FAILED},
	[MLIMG_ROLLOUT_RESTART] = {MLIMG_ROLLOUT_CHECK, MLIMG_ROLLOUT_BACK},
	[MLIMG_ROLLOUT_CHECK] = {MLIMG_ROLLOUT_DONE, MLIMG_ROLLOUT_BACK},
	[MLIMG_ROLLOUT_BACK] = {MLIMG_ROLLOUT_RECHECK, MLIMG_ROLLOUT_RESTORE},
	[MLIMG_ROLLOUT_RECHECK] = {MLIMG_ROLLOUT_RETURNED, MLIMG_ROLLOUT_RESTORE},
	[MLIMG_ROLLOUT_RESTORE] = {MLIMG_ROLLOUT_LASTCHECK, MLIMG_ROLLOUT_FAILED},
	[MLIMG_ROLLOUT_LASTCHECK] = {MLIMG_ROLLOUT_RETURNED, MLIMG_ROLLOUT_FAILED},
};

enum mlimg_rollout_place mlimg_rollout_next(
	enum mlimg_rollout_place place, enum mlimg_rollout_result result)
{
	bool is_back = place == MLIMG_ROLLOUT_RECHECK || place == MLIMG_ROLLOUT_LASTCHECK;

	switch (result) {
	case MLIMG_ROLLOUT_OK: return ways[place].ok;
	case MLIMG_ROLLOUT_GONE:
	case MLIMG_ROLLOUT_CHANGED: return MLIMG_ROLLOUT_SKIPPED;
	case MLIMG_ROLLOUT_RUNS_NEW: return MLIMG_ROLLOUT_CHECK;
	/* On the former generation it is where it shall be: for its health no data are given up. */
	case MLIMG_ROLLOUT_UNHEALTHY: return is_back ? MLIMG_ROLLOUT_RETURNED : ways[place].not_ok;
	default: return ways[place].not_ok;
	}
}

static bool is_in_window(const struct mlimg_rollout *rollout, unsigned minute)
{
	unsigned from = rollout->window_from, to = rollout->window_to;

	return from <= to ? minute >= from && minute < to : minute >= from || minute < to;
}

enum mlimg_rollout_place mlimg_rollout_release(const struct mlimg_rollout *rollout,
	enum mlimg_rollout_look look, unsigned minute, bool is_ending)
{
	if (look == MLIMG_ROLLOUT_IS_GONE)
		return MLIMG_ROLLOUT_SKIPPED;
	if (look == MLIMG_ROLLOUT_IS_NEW)
		return MLIMG_ROLLOUT_CHECK;
	if (is_ending)
		return MLIMG_ROLLOUT_UNDO;
	/* Whoever starts it starts it with the new generation. */
	if (look == MLIMG_ROLLOUT_IS_OFF || look == MLIMG_ROLLOUT_IS_UNKNOWN)
		return MLIMG_ROLLOUT_HOLD;
	if (rollout->policy == MLIMG_ROLLOUT_NEXT)
		return look == MLIMG_ROLLOUT_IS_REBOOT ? MLIMG_ROLLOUT_RESTART : MLIMG_ROLLOUT_HOLD;
	if (rollout->policy == MLIMG_ROLLOUT_WINDOW && !is_in_window(rollout, minute))
		return MLIMG_ROLLOUT_HOLD;
	return MLIMG_ROLLOUT_RESTART;
}

bool mlimg_rollout_has_failed(const struct mlimg_rollout_row *row)
{
	return row->is_lost || row->place == MLIMG_ROLLOUT_RETURNED ||
		row->place == MLIMG_ROLLOUT_FAILED;
}

/* One of them: a number or a part. @return where it ends, 0 where it is neither */
static uint64_t wave_end(const char *text, uint32_t n, const char **ret_rest)
{
	char *end;
	unsigned long number = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;

	if (!number || number > UINT32_MAX)
		return 0;
	*ret_rest = end;
	if (*end != '%')
		return number;
	*ret_rest = end + 1;
	/* Of few tenants a part is one at least. */
	return number > 100 ? 0 : ((uint64_t)n * number + 99) / 100 + (n == 0);
}

int mlimg_rollout_waves(const char *text, uint32_t n, uint32_t ret_ends[MLIMG_ROLLOUT_WAVES],
	unsigned *ret_n, struct mlimg_err *err)
{
	uint32_t ends[MLIMG_ROLLOUT_WAVES], last = 0;
	unsigned n_waves = 0;
	const char *p = text;

	for (bool more = true; more; p += more) {
		uint64_t end = wave_end(p, n, &p);

		if (!end || (*p && *p != ',') || n_waves + 2 > MLIMG_ROLLOUT_WAVES)
			return mlimg_err_usage(
				err, "'%.100s' is not a list of waves (as 1,10%%,100%%)", text);
		end = end < n ? end : n;
		if (end > last)
			ends[n_waves++] = last = (uint32_t)end;
		more = *p == ',';
	}
	if (last < n)
		ends[n_waves++] = n;
	if (ret_ends)
		memcpy(ret_ends, ends, n_waves * sizeof(*ends));
	*ret_n = n_waves;
	return 0;
}

/* "HH:MM". @return minutes, or DAY where it is none */
static unsigned minute_of(const char *text)
{
	unsigned hour, minute;
	int n = 0;

	if (strspn(text, "0123456789:") < 5 || text[2] != ':' ||
		sscanf(text, "%2u:%2u%n", &hour, &minute, &n) != 2 || n != 5 || hour > 23 ||
		minute > 59)
		return DAY;
	return 60 * hour + minute;
}

int mlimg_rollout_policy_of(
	const char *text, struct mlimg_rollout *ret_rollout, struct mlimg_err *err)
{
	unsigned from, to;

	if (strcmp(text, "now") == 0 || strcmp(text, "next") == 0) {
		ret_rollout->policy = text[2] == 'w' ? MLIMG_ROLLOUT_NOW : MLIMG_ROLLOUT_NEXT;
		return 0;
	}
	from = minute_of(text);
	to = strlen(text) == 11 && text[5] == '-' ? minute_of(text + 6) : DAY;
	if (from == DAY || to == DAY || from == to)
		return mlimg_err_usage(
			err, "'%.100s' is not now, next or a window (as 02:00-04:30)", text);
	ret_rollout->policy = MLIMG_ROLLOUT_WINDOW;
	ret_rollout->window_from = from;
	ret_rollout->window_to = to;
	return 0;
}

const char *mlimg_rollout_policy_text(
	const struct mlimg_rollout *rollout, char ret_text[MLIMG_STORE_NAME_SIZE])
{
	unsigned from = rollout->window_from, to = rollout->window_to;

	if (rollout->policy == MLIMG_ROLLOUT_WINDOW)
		snprintf(ret_text, MLIMG_STORE_NAME_SIZE, "%02u:%02u-%02u:%02u", from / 60,
			from % 60, to / 60, to % 60);
	else
		strcpy(ret_text, rollout->policy == MLIMG_ROLLOUT_NOW ? "now" : "next");
	return ret_text;
}
