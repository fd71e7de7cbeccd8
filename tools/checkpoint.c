/* SPDX-License-Identifier: MIT */
/* Checkpoints: taken, deleted, and what was left undone. Going back to one is checkpoint-restore.c's. */
#include "tools/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/checkpoint-impl.h"
#include "tools/store-impl.h"

#define SAME_SECOND_MAX 1000 /* checkpoints that are named by the same time */

int mlimg_checkpoint_event(const struct mlimg_checkpoints *of, const char *kind, const char *text,
	struct mlimg_err *err)
{
	return mlimg_store_event_add(
		of->store, MLIMG_STORE_TENANT, of->tenant->row.id, kind, text, err);
}

int mlimg_checkpoint_is_on(const struct mlimg_checkpoints *of, enum mlimg_guest_state *ret_state,
	struct mlimg_err *err)
{
	char why[MLIMG_GUEST_WHY_SIZE];
	int ret = of->backend->state(of->tenant, ret_state, why, err);

	if (ret < 0)
		return ret;
	if (*ret_state == MLIMG_GUEST_UNREACHABLE)
		return mlimg_store_fail(err, EHOSTUNREACH, "the host of '%s' does not answer%s%s",
			of->tenant->row.name, *why ? ": " : "", why);
	return mlimg_guest_is_on(*ret_state);
}

int mlimg_checkpoint_set_state(const struct mlimg_checkpoints *of, const struct mlimg_checkpoint *c,
	enum mlimg_checkpoint_state state, struct mlimg_err *err)
{
	return mlimg_store_checkpoint_set(
		of->store, of->tenant->row.id, c->tag, state, c->saved_bytes, err);
}

/* The time, and where there is one of that time already, the time and a number. */
int mlimg_checkpoint_time_tag(const struct mlimg_checkpoints *of, const char *prefix,
	char ret_tag[MLIMG_CHECKPOINT_TAG_SIZE], struct mlimg_err *err)
{
	time_t now = (time_t)mlimg_store_now();
	struct mlimg_checkpoint there;
	struct tm tm;
	char text[32];
	int ret = 0;

	if (!gmtime_r(&now, &tm) || !strftime(text, sizeof(text), "%Y%m%d-%H%M%S", &tm))
		return mlimg_err_set(err, EOVERFLOW, "the time");
	snprintf(ret_tag, MLIMG_CHECKPOINT_TAG_SIZE, "%s%s", prefix, text);
	for (int i = 2; ret == 0 && i < SAME_SECOND_MAX; i++) {
		ret = mlimg_store_checkpoint_get(
			of->store, of->tenant->row.id, ret_tag, &there, err);
		if (ret == 0)
			snprintf(ret_tag, MLIMG_CHECKPOINT_TAG_SIZE, "%s%s.%d", prefix, text, i);
	}
	return ret == -ENOENT ? 0 : ret < 0 ? ret : mlimg_err_set(err, EEXIST, "'%s'", ret_tag);
}

/* @return 1 when the user disk has it, and how large its memory is; 0; -errno */
static int look_for(const struct mlimg_checkpoints *of, const char *tag, uint64_t *ret_bytes,
	struct mlimg_err *err)
{
	json_t *saved = NULL;
	const json_t *bytes;
	int ret = of->backend->saved(of->tenant, &saved, err);

	if (ret < 0)
		return ret;
	bytes = json_object_get(saved, tag);
	if (bytes)
		*ret_bytes = (uint64_t)json_integer_value(bytes);
	ret = bytes != NULL;
	json_decref(saved);
	return ret;
}

int mlimg_checkpoint_find(const struct mlimg_checkpoints *of, const char *tag,
	struct mlimg_checkpoint *ret_checkpoint, struct mlimg_err *err)
{
	int ret =
		mlimg_store_checkpoint_get(of->store, of->tenant->row.id, tag, ret_checkpoint, err);

	if (ret == -ENOENT)
		return mlimg_store_fail(
			err, ENOENT, "'%s' has no checkpoint '%.100s'", of->tenant->row.name, tag);
	return ret;
}

int mlimg_checkpoint_check_lost(
	const struct mlimg_checkpoints *of, const char *tag, struct mlimg_err *err)
{
	uint64_t bytes;
	int ret = look_for(of, tag, &bytes, err);

	if (ret == 0)
		return mlimg_store_fail(err, ENOENT,
			"checkpoint '%s' is lost: the user disk of '%s' has it no more", tag,
			of->tenant->row.name);
	return ret < 0 ? ret : 0;
}

/* Snapshot and row, in this order: the row says "deleting", or "saving", until the end. */
static int take_away(const struct mlimg_checkpoints *of, const char *tag, struct mlimg_err *err)
{
	uint64_t bytes;
	int ret = look_for(of, tag, &bytes, err);

	/* Where others run the guest they may know nothing of one that is in the disk. */
	if (ret == 1 || (ret == 0 && of->backend->is_shared))
		ret = of->backend->remove(of->tenant, tag, err);
	return ret < 0 ? ret
		       : mlimg_store_checkpoint_remove(of->store, of->tenant->row.id, tag, err);
}

/* Who looks what is undone, before anybody is asked. */
struct undone {
	const struct mlimg_checkpoints *of;
	bool is_found;
};

static int find_undone(const struct mlimg_checkpoint *c, void *ctx, struct mlimg_err *err)
{
	struct undone *undone = ctx;

	undone->is_found |= c->state != MLIMG_CHECKPOINT_SAVED;
	return 0;
}

static int settle_restore(
	const struct mlimg_checkpoints *of, const struct mlimg_checkpoint *c, struct mlimg_err *err)
{
	enum mlimg_guest_state state;
	char text[MLIMG_CHECKPOINT_TAG_SIZE + 32];
	int ret = mlimg_checkpoint_is_on(of, &state, err);

	if (ret > 0 && state == MLIMG_GUEST_PAUSED)
		ret = of->backend->end(of->tenant, err);
	snprintf(text, sizeof(text), "to '%s' was interrupted", c->tag);
	if (ret >= 0)
		ret = mlimg_checkpoint_event(of, "restore", text, err);
	return ret < 0 ? ret : mlimg_checkpoint_set_state(of, c, MLIMG_CHECKPOINT_SAVED, err);
}

static int settle_one(const struct mlimg_checkpoint *c, void *ctx, struct mlimg_err *err)
{
	const struct undone *undone = ctx;

	switch (c->state) {
	case MLIMG_CHECKPOINT_SAVED: return 0;
	case MLIMG_CHECKPOINT_RESTORING: return settle_restore(undone->of, c, err);
	case MLIMG_CHECKPOINT_SAVING:
	case MLIMG_CHECKPOINT_DELETING: break;
	}
	return take_away(undone->of, c->tag, err);
}

int mlimg_checkpoint_settle(const struct mlimg_checkpoints *of, struct mlimg_err *err)
{
	struct undone undone = {.of = of};
	const char *id = of->tenant->row.id;
	int ret = mlimg_store_checkpoint_each(of->store, id, find_undone, &undone, err);

	if (ret < 0 || !undone.is_found)
		return ret;
	ret = of->backend->settle ? of->backend->settle(of->tenant, err) : 0;
	if (ret == 0)
		ret = mlimg_store_checkpoint_each(of->store, id, settle_one, &undone, err);
	return ret < 0 ? mlimg_err_wrap(err, ret, "end what was begun with checkpoints of '%s'",
				 of->tenant->row.name)
		       : 0;
}

/* The machine is asked first: what cannot be described could not be restored. */
static int describe(const struct mlimg_checkpoints *of, bool is_disk, struct mlimg_checkpoint *c,
	struct mlimg_err *err)
{
	enum mlimg_guest_state state;
	int ret = mlimg_checkpoint_is_on(of, &state, err);

	if (ret < 0)
		return ret;
	c->state = MLIMG_CHECKPOINT_SAVING;
	c->generation = of->tenant->generation.number;
	c->created_s = mlimg_store_now();
	c->kind = is_disk || ret == 0 ? MLIMG_CHECKPOINT_DISK : MLIMG_CHECKPOINT_MEMORY;
	return c->kind == MLIMG_CHECKPOINT_DISK
		? 0
		: of->backend->machine(of->tenant, &c->machine, err);
}

/*
 * Where it failed there is no snapshot, as far as the backend knows. Where even that could not be
 * found out, the row stays, for mlimg_checkpoint_settle(). The error of the failure is what counts.
 */
static void take_back(const struct mlimg_checkpoints *of, const char *tag)
{
	(void)!take_away(of, tag, NULL);
}

static int save(
	const struct mlimg_checkpoints *of, struct mlimg_checkpoint *c, struct mlimg_err *err)
{
	bool with_memory = c->kind == MLIMG_CHECKPOINT_MEMORY;
	int ret = of->backend->save(of->tenant, c->tag, with_memory, err);

	if (ret == 0)
		ret = look_for(of, c->tag, &c->saved_bytes, err);
	if (ret == 0)
		ret = mlimg_err_set(err, 0, "it is not in the user disk");
	if (ret > 0)
		ret = mlimg_checkpoint_set_state(of, c, MLIMG_CHECKPOINT_SAVED, err);
	if (ret < 0)
		take_back(of, c->tag);
	return ret;
}

int mlimg_checkpoint_take_as(const struct mlimg_checkpoints *of, const char *tag,
	enum mlimg_checkpoint_origin origin, bool is_disk, struct mlimg_checkpoint *ret_checkpoint,
	struct mlimg_err *err)
{
	struct mlimg_checkpoint c = {.origin = origin};
	int ret = mlimg_checkpoint_tag_check(tag, err);

	if (ret < 0)
		return ret;
	if (!of->tenant->generation.number)
		return mlimg_store_fail(err, EINVAL, "'%s' has no layers", of->tenant->row.name);
	snprintf(c.tag, sizeof(c.tag), "%s", tag);
	ret = describe(of, is_disk, &c, err);
	if (ret == 0)
		ret = mlimg_store_checkpoint_add(of->store, of->tenant->row.id, &c, err);
	if (ret == 0) {
		ret = save(of, &c, err);
		c.state = MLIMG_CHECKPOINT_SAVED;
	}
	if (ret < 0)
		return ret;
	/* That it cannot be written down does not undo it. */
	(void)!mlimg_checkpoint_event(of, "checkpoint", c.tag, NULL);
	*ret_checkpoint = c;
	return 0;
}

static int take(const struct mlimg_checkpoints *of, const char *tag,
	enum mlimg_checkpoint_origin origin, bool is_disk, struct mlimg_checkpoint *ret_checkpoint,
	struct mlimg_err *err)
{
	int ret = mlimg_checkpoint_take_as(of, tag, origin, is_disk, ret_checkpoint, err);

	return ret < 0
		? mlimg_err_wrap(err, ret, "checkpoint '%.100s' of '%s'", tag, of->tenant->row.name)
		: 0;
}

int mlimg_checkpoint_take(const struct mlimg_checkpoints *of, const char *tag, bool is_disk,
	struct mlimg_checkpoint *ret_checkpoint, struct mlimg_err *err)
{
	char time_tag[MLIMG_CHECKPOINT_TAG_SIZE];
	int ret;

	if (tag)
		return take(of, tag, MLIMG_CHECKPOINT_NAMED, is_disk, ret_checkpoint, err);
	ret = mlimg_checkpoint_time_tag(of, "", time_tag, err);
	if (ret < 0)
		return mlimg_err_wrap(err, ret, "checkpoint of '%s'", of->tenant->row.name);
	return take(of, time_tag, MLIMG_CHECKPOINT_TIMED, is_disk, ret_checkpoint, err);
}

int mlimg_checkpoint_take_for_upgrade(const struct mlimg_checkpoints *of, const char *tag,
	struct mlimg_checkpoint *ret_checkpoint, struct mlimg_err *err)
{
	return take(of, tag, MLIMG_CHECKPOINT_UPGRADE, true, ret_checkpoint, err);
}

int mlimg_checkpoint_delete(
	const struct mlimg_checkpoints *of, const char *tag, struct mlimg_err *err)
{
	struct mlimg_checkpoint c;
	int ret = mlimg_checkpoint_find(of, tag, &c, err);

	if (ret < 0)
		return ret;
	ret = mlimg_checkpoint_set_state(of, &c, MLIMG_CHECKPOINT_DELETING, err);
	if (ret == 0)
		ret = take_away(of, tag, err);
	return ret < 0 ? mlimg_err_wrap(err, ret, "delete checkpoint '%s' of '%s'", tag,
				 of->tenant->row.name)
		       : 0;
}

struct prune {
	const struct mlimg_checkpoints *of;
	enum mlimg_checkpoint_kind kind;
	enum mlimg_checkpoint_origin origin;
	uint64_t n, keep;
	mlimg_checkpoint_tag_fn *fn;
	void *ctx;
};

static bool is_meant(const struct prune *p, const struct mlimg_checkpoint *c)
{
	return c->kind == p->kind && c->origin == p->origin;
}

static int count_one(const struct mlimg_checkpoint *c, void *ctx, struct mlimg_err *err)
{
	struct prune *p = ctx;

	p->n += is_meant(p, c);
	return 0;
}

static int prune_one(const struct mlimg_checkpoint *c, void *ctx, struct mlimg_err *err)
{
	struct prune *p = ctx;
	int ret;

	if (!is_meant(p, c) || p->n <= p->keep)
		return 0;
	p->n--;
	ret = mlimg_checkpoint_delete(p->of, c->tag, err);
	if (ret == 0 && p->fn)
		p->fn(c->tag, p->ctx);
	return ret;
}

int mlimg_checkpoint_prune(const struct mlimg_checkpoints *of, enum mlimg_checkpoint_kind kind,
	enum mlimg_checkpoint_origin origin, uint64_t keep, mlimg_checkpoint_tag_fn *fn, void *ctx,
	struct mlimg_err *err)
{
	struct prune p = {
		.of = of, .kind = kind, .origin = origin, .keep = keep, .fn = fn, .ctx = ctx};
	const char *id = of->tenant->row.id;
	int ret = mlimg_store_checkpoint_each(of->store, id, count_one, &p, err);

	return ret < 0 ? ret : mlimg_store_checkpoint_each(of->store, id, prune_one, &p, err);
}
