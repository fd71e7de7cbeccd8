/* SPDX-License-Identifier: MIT */
#include "tools/rollout-run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/store-impl.h"

#define WAIT_MS 500 /* how long a request to pause or abort is not seen */

/* A tenant, as who carries the rollout out knows it. */
struct live {
	bool is_begun; /* the world has been told of its intent, and has not answered yet */
	bool is_fresh; /* its attempt is one that nobody has begun */
	unsigned tries;
	uint64_t again_ms; /* not before */
	bool was_on;       /* on hold it has been seen on, until off_ms */
	uint64_t off_ms;
	enum mlimg_rollout_look look;
};

struct run {
	struct mlimg_store *store;
	struct mlimg_rollout *rollout;
	const struct mlimg_rollout_world *world;
	struct mlimg_rollout_row *rows;
	struct live *live;
	uint32_t n, first; /* rows before the first are at an end */
	uint32_t n_begun, n_failed;
	unsigned wave; /* that is open, and those before it */
	uint64_t looked_ms;
	bool has_looked;
	bool is_pausing, is_aborting, is_stopping;
	struct mlimg_err no_room; /* why no other is begun; without a code: there is room */
};

static bool is_ending(const struct run *r)
{
	return r->is_aborting || (r->is_stopping && !r->is_pausing);
}

/* For the tenant's events; the generations of its layers are there. */
static int note(struct run *r, const struct mlimg_rollout_row *row, struct mlimg_err *err)
{
	char text[MLIMG_STORE_EVENT_MAX];

	if (!mlimg_rollout_is_last(row->place) || row->place == MLIMG_ROLLOUT_SKIPPED)
		return 0;
	snprintf(text, sizeof(text), "rollout %u, generation %u: %s%s%s", r->rollout->number,
		row->to, mlimg_rollout_place_name(row->place), *row->text ? ": " : "", row->text);
	return mlimg_store_event_add(
		r->store, MLIMG_STORE_TENANT, row->tenant_id, "upgrade", text, err);
}

static int save(struct run *r, const struct mlimg_rollout_row *row, struct mlimg_err *err)
{
	int ret = mlimg_store_begin(r->store, err);

	if (ret < 0)
		return ret;
	ret = mlimg_store_rollout_row_set(r->store, r->rollout->number, row, err);
	if (ret == 0)
		ret = note(r, row, err);
	return mlimg_store_end(r->store, ret, err);
}

/* Durable before anything is done. */
static int move(struct run *r, uint32_t i, enum mlimg_rollout_place place, struct mlimg_err *err)
{
	struct mlimg_rollout_row row = r->rows[i];
	int ret;

	row.place = place;
	row.is_lost = false;
	row.since_s = mlimg_store_now();
	row.attempt += mlimg_rollout_is_intent(place);
	ret = save(r, &row, err);
	if (ret < 0)
		return ret;
	r->n_failed += mlimg_rollout_has_failed(&row);
	r->rows[i] = row;
	r->live[i] = (struct live){
		.is_fresh = mlimg_rollout_is_intent(place), .look = MLIMG_ROLLOUT_IS_UNKNOWN};
	if (r->world->tell)
		r->world->tell(r->world->ctx, r->rollout, &r->rows[i], row.wave);
	return 0;
}

/* What an earlier attempt may have left running does nothing more once the new one is written. */
static int begin(struct run *r, uint32_t i, struct mlimg_err *err)
{
	struct mlimg_rollout_row *row = &r->rows[i];
	int ret = 0;

	if (!r->live[i].is_fresh) {
		row->attempt++;
		ret = save(r, row, err);
	}
	if (ret == 0)
		ret = r->world->begin(r->world->ctx, r->rollout, row, err);
	if (ret < 0)
		return ret;
	r->live[i].is_fresh = false;
	r->live[i].is_begun = true;
	r->n_begun++;
	return 0;
}

/* The first reason counts, what came then is told behind it. */
static void add_text(struct mlimg_rollout_row *row, const char *text)
{
	size_t n = strlen(row->text);

	if (*text)
		snprintf(row->text + n, sizeof(row->text) - n, "%s%s", n ? "; then: " : "", text);
}

/* Shown as long as it is so; that it can be written down shows also that the disk is not full. */
static int show_why(
	struct run *r, const struct mlimg_rollout_row *row, const char *why, struct mlimg_err *err)
{
	struct mlimg_rollout_row shown = *row;

	add_text(&shown, why);
	add_text(&shown, "it is tried again");
	return save(r, &shown, err);
}

/* Its host does not answer: again later, and at last not any more. */
static int try_again(struct run *r, uint32_t i, const char *why, struct mlimg_err *err)
{
	struct mlimg_rollout_row *row = &r->rows[i];

	r->live[i].again_ms = r->world->clock_ms(r->world->ctx) + MLIMG_ROLLOUT_AGAIN_MS;
	if (++r->live[i].tries < MLIMG_ROLLOUT_TRIES)
		return show_why(r, row, why, err);
	row->is_lost = true;
	add_text(row, why);
	r->n_failed++;
	if (r->world->tell)
		r->world->tell(r->world->ctx, r->rollout, row, row->wave);
	return save(r, row, err);
}

static int take_report(
	struct run *r, const struct mlimg_rollout_report *report, struct mlimg_err *err)
{
	uint32_t i = report->position;
	struct mlimg_rollout_row *row = &r->rows[i];
	enum mlimg_rollout_place next;

	r->live[i].is_begun = false;
	r->n_begun--;
	/* Nothing has been done to it yet. Those that have been begun are gone on with. */
	if (report->result == MLIMG_ROLLOUT_NO_ROOM) {
		if (!r->no_room.code)
			(void)!mlimg_err_set(&r->no_room, 0, "%s: %s", row->name, report->text);
		r->is_pausing = true;
		return move(r, i, MLIMG_ROLLOUT_WAITING, err);
	}
	if (report->result == MLIMG_ROLLOUT_BROKEN)
		return mlimg_err_set(err, 0, "%s: %s", row->name, report->text);
	if (report->result == MLIMG_ROLLOUT_UNREACHABLE)
		return try_again(r, i, report->text, err);
	if (row->place == MLIMG_ROLLOUT_CHECKPOINT && report->result == MLIMG_ROLLOUT_OK) {
		strcpy(row->baseline, report->baseline);
		strcpy(row->boot, report->boot);
	}
	next = mlimg_rollout_next(row->place, report->result);
	if (next == MLIMG_ROLLOUT_DONE || next == MLIMG_ROLLOUT_WAITING)
		row->text[0] = '\0';
	else if (report->result != MLIMG_ROLLOUT_OK)
		add_text(row, report->text);
	return move(r, i, next, err);
}

/* Nothing is waited for of it any more. */
static bool is_settled(const struct run *r, uint32_t i)
{
	const struct mlimg_rollout_row *row = &r->rows[i];

	if (mlimg_rollout_is_last(row->place) || row->is_lost)
		return true;
	if (row->place != MLIMG_ROLLOUT_HOLD || r->live[i].look != MLIMG_ROLLOUT_IS_OFF)
		return false;
	/* One that has just gone off may be being restarted. */
	return !r->live[i].was_on ||
		r->world->clock_ms(r->world->ctx) - r->live[i].off_ms >= MLIMG_ROLLOUT_OFF_MS;
}

static int look_at(struct run *r, uint32_t i, struct mlimg_err *err)
{
	enum mlimg_rollout_look look = MLIMG_ROLLOUT_IS_UNKNOWN;
	enum mlimg_rollout_place place;
	int ret;

	if (r->world->clock_ms(r->world->ctx) < r->live[i].again_ms)
		return 0;
	ret = r->world->look(r->world->ctx, &r->rows[i], &look, err);
	if (ret < 0)
		return ret;
	r->live[i].look = look;
	if (look == MLIMG_ROLLOUT_IS_ON || look == MLIMG_ROLLOUT_IS_REBOOT) {
		r->live[i].was_on = true;
		r->live[i].off_ms = r->world->clock_ms(r->world->ctx);
	}
	if (look == MLIMG_ROLLOUT_IS_UNKNOWN && !is_ending(r))
		return try_again(r, i, "its host does not answer", err);
	r->live[i].tries = 0;
	place = mlimg_rollout_release(
		r->rollout, look, r->world->minute(r->world->ctx), is_ending(r));
	/* Who pauses wants nothing begun. */
	if (place == MLIMG_ROLLOUT_HOLD || (r->is_pausing && place == MLIMG_ROLLOUT_RESTART) ||
		(mlimg_rollout_is_intent(place) && r->n_begun >= r->rollout->at_once))
		return 0;
	ret = move(r, i, place, err);
	return ret == 0 && mlimg_rollout_is_intent(place) ? begin(r, i, err) : ret;
}

/* What has been begun is gone on with before anything else is begun. */
static int go_on(struct run *r, struct mlimg_err *err)
{
	uint64_t now_ms = r->world->clock_ms(r->world->ctx);
	bool looks = !r->has_looked || now_ms - r->looked_ms >= MLIMG_ROLLOUT_LOOK_MS;
	int ret = 0;

	for (uint32_t i = r->first; ret == 0 && i < r->n; i++) {
		const struct mlimg_rollout_row *row = &r->rows[i];

		if (row->is_lost || r->live[i].is_begun)
			continue;
		if (row->place == MLIMG_ROLLOUT_HOLD &&
			(looks || r->live[i].look == MLIMG_ROLLOUT_IS_UNKNOWN))
			ret = look_at(r, i, err);
		else if (mlimg_rollout_is_intent(row->place) && now_ms >= r->live[i].again_ms &&
			r->n_begun < r->rollout->at_once)
			ret = begin(r, i, err);
	}
	if (looks) {
		r->has_looked = true;
		r->looked_ms = now_ms;
	}
	return ret;
}

static void open_wave(struct run *r)
{
	uint32_t i;

	while (r->first < r->n && mlimg_rollout_is_last(r->rows[r->first].place))
		r->first++;
	for (i = r->first; i < r->n && is_settled(r, i); i++)
		continue;
	if (i == r->n || r->rows[i].wave < r->wave)
		return;
	if (r->rows[i].wave + 1 > r->wave && r->world->tell)
		r->world->tell(r->world->ctx, r->rollout, NULL, r->rows[i].wave);
	r->wave = r->rows[i].wave + 1;
}

static int take_more(struct run *r, struct mlimg_err *err)
{
	int ret = 0;

	open_wave(r);
	for (uint32_t i = r->first; ret == 0 && i < r->n && r->rows[i].wave < r->wave &&
		r->n_begun < r->rollout->at_once;
		i++) {
		if (r->rows[i].place != MLIMG_ROLLOUT_WAITING)
			continue;
		ret = move(r, i, MLIMG_ROLLOUT_CHECKPOINT, err);
		if (ret == 0)
			ret = begin(r, i, err);
	}
	return ret;
}

static int look_what_is_asked(struct run *r, struct mlimg_err *err)
{
	enum mlimg_rollout_request request = MLIMG_ROLLOUT_GO;
	int ret = mlimg_store_rollout_asked(r->store, r->rollout->number, &request, err);

	r->is_aborting |= request == MLIMG_ROLLOUT_ABORT;
	r->is_pausing |= request == MLIMG_ROLLOUT_PAUSE || r->world->is_interrupted(r->world->ctx);
	r->is_stopping = r->n_failed > (uint64_t)r->rollout->max_failures + r->rollout->forgiven;
	return ret;
}

static bool is_over(const struct run *r)
{
	if (r->n_begun)
		return false;
	for (uint32_t i = r->first; i < r->n; i++) {
		const struct mlimg_rollout_row *row = &r->rows[i];

		if (row->is_lost)
			continue;
		if (mlimg_rollout_is_intent(row->place))
			return false;
		if (row->place == MLIMG_ROLLOUT_HOLD && is_ending(r))
			return false;
		if (!is_settled(r, i) && !r->is_pausing && !is_ending(r))
			return false;
	}
	return true;
}

/* Those that are off have it from their next start on. */
static int close_all(struct run *r, uint32_t *ret_n_other, struct mlimg_err *err)
{
	uint32_t n_lost = 0, n_other = 0;
	bool is_whole = !r->is_aborting && !r->is_stopping && !r->is_pausing;
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < r->n; i++) {
		struct mlimg_rollout_row *row = &r->rows[i];

		n_lost += row->is_lost;
		if (is_whole && row->place == MLIMG_ROLLOUT_HOLD && !row->is_lost)
			ret = move(r, i, MLIMG_ROLLOUT_OFF, err);
		n_other += row->place != MLIMG_ROLLOUT_DONE && row->place != MLIMG_ROLLOUT_OFF;
	}
	if (ret < 0)
		return ret;
	r->rollout->state = r->is_aborting ? MLIMG_ROLLOUT_ABORTED
		: r->is_stopping           ? MLIMG_ROLLOUT_STOPPED
		: r->is_pausing            ? MLIMG_ROLLOUT_PAUSED
		: n_lost                   ? MLIMG_ROLLOUT_STOPPED
					   : MLIMG_ROLLOUT_ENDED;
	ret = mlimg_store_rollout_set(r->store, r->rollout, err);
	if (ret == 0 && r->world->tell)
		r->world->tell(r->world->ctx, r->rollout, NULL, r->wave);
	if (ret == 0 && ret_n_other)
		*ret_n_other = n_other;
	return ret;
}

static int go(struct run *r, struct mlimg_err *err)
{
	struct mlimg_rollout_report report;
	int ret;

	do {
		ret = look_what_is_asked(r, err);
		if (ret == 0)
			ret = go_on(r, err);
		if (ret == 0 && !r->is_pausing && !is_ending(r))
			ret = take_more(r, err);
		if (ret < 0 || is_over(r))
			return ret;
		ret = r->world->wait(r->world->ctx, WAIT_MS, &report, err);
		if (ret > 0)
			ret = take_report(r, &report, err);
	} while (ret >= 0);
	return ret;
}

/* One that was lost is tried again, unless the rollout is to end. */
static void count(struct run *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		r->live[i].look = MLIMG_ROLLOUT_IS_UNKNOWN;
		if (!r->is_aborting)
			r->rows[i].is_lost = false;
		r->n_failed += mlimg_rollout_has_failed(&r->rows[i]);
	}
}

int mlimg_rollout_run(struct mlimg_store *store, struct mlimg_rollout *rollout,
	const struct mlimg_rollout_world *world, uint32_t *ret_n_other, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_rollout_row *rows = NULL;
	mlimg_autofree struct live *live = NULL;
	struct run r = {.store = store, .rollout = rollout, .world = world};
	int ret = mlimg_store_rollout_rows(store, rollout->number, &rows, &r.n, err);

	if (ret < 0)
		return ret;
	live = calloc(r.n + 1, sizeof(*live));
	if (!live)
		return mlimg_err_set(err, ENOMEM, "carry out rollout %u", rollout->number);
	r.rows = rows;
	r.live = live;
	r.is_aborting = rollout->request == MLIMG_ROLLOUT_ABORT;
	count(&r);
	ret = go(&r, err);
	if (ret == 0)
		ret = close_all(&r, ret_n_other, err);
	if (ret < 0 || !r.no_room.code || r.is_aborting)
		return ret;
	*err = r.no_room;
	return r.no_room.code;
}
