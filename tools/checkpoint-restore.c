/* SPDX-License-Identifier: MIT */
/* Going back to a checkpoint. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/checkpoint-impl.h"
#include "tools/store-impl.h"
#include "tools/vm-agent.h"

/* A guest that has just been loaded on a busy machine; its agent runs already. */
#define AGENT_MS 30000
#define WAY_OUT_SIZE 320 /* a name three times, and an option */

struct restore {
	const struct mlimg_checkpoints *of;
	const struct mlimg_checkpoint_restore *how;
	struct mlimg_checkpoint c;
	struct mlimg_checkpoint before; /* no tag: nothing is kept */
	bool is_on;                     /* when it began */
	bool with_memory;
};

static const char *name_of(const struct restore *r)
{
	return r->of->tenant->row.name;
}

/* What must be said before the command that changes a tenant, when it is on. */
static void way_out(const struct mlimg_checkpoints *of, bool is_on, const char *change,
	char ret_text[WAY_OUT_SIZE])
{
	const char *name = of->tenant->row.name;

	if (is_on)
		snprintf(ret_text, WAY_OUT_SIZE,
			"'mlimg-vm stop %s', 'mlimg-vm set %s %s', then restore", name, name,
			change);
	else
		snprintf(
			ret_text, WAY_OUT_SIZE, "'mlimg-vm set %s %s', then restore", name, change);
}

static bool has_same_layers(
	const struct mlimg_store_generation *a, const struct mlimg_store_generation *b)
{
	if (a->n_layers != b->n_layers)
		return false;
	for (size_t i = 0; i < a->n_layers; i++)
		if (strcmp(a->layers[i], b->layers[i]) != 0)
			return false;
	return true;
}

int mlimg_checkpoint_check_stack(
	const struct mlimg_checkpoints *of, const struct mlimg_checkpoint *c, struct mlimg_err *err)
{
	const struct mlimg_store_generation *now = &of->tenant->generation;
	mlimg_cleanup(mlimg_store_generation_done) struct mlimg_store_generation then = {
		.number = 0};
	enum mlimg_guest_state state;
	char change[64], text[WAY_OUT_SIZE];
	bool is_same = c->generation == now->number;
	int ret = 0;

	if (!is_same) {
		ret = mlimg_store_generation_get(
			of->store, of->tenant->row.id, c->generation, &then, err);
		is_same = ret == 0 && has_same_layers(&then, now);
	}
	if (ret < 0 || is_same)
		return ret;
	ret = mlimg_checkpoint_is_on(of, &state, err);
	if (ret < 0)
		return ret;
	snprintf(change, sizeof(change), "--generation %u", c->generation);
	way_out(of, ret > 0, change, text);
	return mlimg_store_fail(err, ESTALE,
		"checkpoint '%s' was taken on generation %u, and '%s' %s generation %u, which has "
		"other layers: %s",
		c->tag, c->generation, of->tenant->row.name, ret > 0 ? "runs" : "starts with",
		now->number, text);
}

static bool has_word(const char *text, const char *word, size_t size)
{
	for (; *text; text += strcspn(text, " "), text += *text == ' ')
		if (strcspn(text, " ") == size && strncmp(text, word, size) == 0)
			return true;
	return false;
}

/* The words of @text that @other has not. */
static void put_missing(const char *text, const char *other, char *ret_words, size_t size)
{
	size_t n = 0;

	ret_words[0] = '\0';
	for (; *text && n < size; text += strcspn(text, " "), text += *text == ' ') {
		int len = (int)strcspn(text, " ");

		if (!has_word(other, text, (size_t)len))
			n += (size_t)snprintf(ret_words + n, size - n, " %.*s", len, text);
	}
}

/* Whether words are the name of an index, and no more. */
static bool is_index(const char *words)
{
	const size_t size = strlen(" " MLIMG_MACHINE_INDEX);

	return strncmp(words, " " MLIMG_MACHINE_INDEX, size) == 0 && !strchr(words + size, ' ');
}

static int other_devices(
	const struct restore *r, const struct mlimg_machine *now, struct mlimg_err *err)
{
	char lacks[128], has[128];

	put_missing(r->c.machine.devices, now->devices, lacks, sizeof(lacks));
	put_missing(now->devices, r->c.machine.devices, has, sizeof(has));
	if (is_index(lacks) && is_index(has))
		return mlimg_store_fail(err, ESTALE,
			"checkpoint '%s' was taken over another index of the same layers than '%s' "
			"has "
			"now, with --verity or as a newer mlimg makes it: restore the disk alone, "
			"with "
			"--disk-only",
			r->c.tag, name_of(r));
	return mlimg_store_fail(err, ESTALE,
		"checkpoint '%s' is of another machine than that of '%s'%s%s%s%s%s: make it the "
		"same, or restore the disk alone, with --disk-only",
		r->c.tag, name_of(r), *lacks ? ", which lacks" : "", lacks,
		!*has            ? ""
			: *lacks ? " and"
				 : ", which",
		*has ? " also has" : "", has);
}

/* Memory and processors are settings; with other devices there is only the disk. */
static int check_machine(
	const struct restore *r, const struct mlimg_machine *now, struct mlimg_err *err)
{
	const struct mlimg_machine *then = &r->c.machine;
	char change[96], text[WAY_OUT_SIZE];

	if (then->memory_bytes != now->memory_bytes || then->cpus != now->cpus) {
		snprintf(change, sizeof(change), "--memory %lluM --cpus %u",
			(unsigned long long)then->memory_bytes >> 20, then->cpus);
		way_out(r->of, r->is_on, change, text);
		return mlimg_store_fail(err, ESTALE,
			"checkpoint '%s' is of a machine with %llu MiB of memory and %u CPUs, '%s' "
			"has %llu and %u: %s",
			r->c.tag, (unsigned long long)then->memory_bytes >> 20, then->cpus,
			name_of(r), (unsigned long long)now->memory_bytes >> 20, now->cpus, text);
	}
	return now->devices[0] && strcmp(then->devices, now->devices) != 0
		? other_devices(r, now, err)
		: 0;
}

/* What a guest that is off would have, as far as can be said before it is started. */
static int check_machine_to_be(const struct restore *r, struct mlimg_err *err)
{
	const struct mlimg_tenant_settings *s = &r->of->tenant->settings;
	const struct mlimg_machine to_be = {.memory_bytes = s->memory_bytes, .cpus = s->cpus};

	return check_machine(r, &to_be, err);
}

static int check_machine_of(const struct restore *r, struct mlimg_err *err)
{
	struct mlimg_machine now = {.cpus = 0};
	int ret = r->of->backend->machine(r->of->tenant, &now, err);

	return ret < 0 ? ret : check_machine(r, &now, err);
}

/* All that can be refused before anything is done. */
static int check(struct restore *r, struct mlimg_err *err)
{
	enum mlimg_guest_state state;
	int ret = mlimg_checkpoint_find(r->of, r->how->tag, &r->c, err);

	if (ret == 0)
		ret = mlimg_checkpoint_check_lost(r->of, r->how->tag, err);
	if (ret == 0)
		ret = mlimg_checkpoint_check_stack(r->of, &r->c, err);
	if (ret == 0)
		ret = mlimg_checkpoint_is_on(r->of, &state, err);
	if (ret < 0)
		return ret;
	r->is_on = ret > 0;
	r->with_memory = r->c.kind == MLIMG_CHECKPOINT_MEMORY && !r->how->is_disk;
	if (r->is_on && !r->with_memory)
		return mlimg_store_fail(err, EBUSY,
			"'%s' is %s, and a disk can only be restored while the guest is off: "
			"'mlimg-vm stop %s', then restore",
			name_of(r), mlimg_guest_state_name(state), name_of(r));
	if (!r->with_memory)
		return 0;
	return r->is_on ? check_machine_of(r, err) : check_machine_to_be(r, err);
}

static int keep_before(struct restore *r, struct mlimg_err *err)
{
	char tag[MLIMG_CHECKPOINT_TAG_SIZE];
	int ret;

	if (r->how->discard)
		return 0;
	ret = mlimg_checkpoint_time_tag(r->of, MLIMG_CHECKPOINT_BEFORE_PREFIX, tag, err);
	if (ret == 0)
		ret = mlimg_checkpoint_take_as(
			r->of, tag, MLIMG_CHECKPOINT_BEFORE, false, &r->before, err);
	return ret < 0
		? mlimg_err_wrap(err, ret,
			  "what '%s' is now cannot be kept (--discard: it need not be)", name_of(r))
		: 0;
}

/* A guest that is off is started with nothing running in it: then QEMU says what its machine is. */
static int load(const struct restore *r, struct mlimg_err *err)
{
	const struct mlimg_checkpoints *of = r->of;
	const struct mlimg_backend_start how = {.is_paused = true, .load_tag = r->c.tag};
	int ret = 0;

	if (r->with_memory && !r->is_on) {
		ret = of->backend->start(of->store, of->tenant, &how, err);
		if (ret == 0)
			ret = check_machine_of(r, err);
	}
	return ret < 0 ? ret
		       : of->backend->load(of->store, of->tenant, r->c.tag, r->with_memory, err);
}

/*
 * Back to what was before. A guest whose memory may be half of each must not run; what it was is
 * the checkpoint that has just been taken.
 */
static int undo(const struct restore *r, int failed, struct mlimg_err *err)
{
	const struct mlimg_checkpoints *of = r->of;
	bool is_memory = r->before.kind == MLIMG_CHECKPOINT_MEMORY;
	int ret = r->before.tag[0] ? 0 : -ENODATA;

	if (!r->is_on && r->with_memory && of->backend->end(of->tenant, NULL) < 0)
		ret = -EBUSY;
	if (ret == 0)
		ret = of->backend->load(of->store, of->tenant, r->before.tag, is_memory, NULL);
	if (ret == 0) {
		(void)!mlimg_checkpoint_delete(of, r->before.tag, NULL);
		return mlimg_err_wrap(err, failed, "'%s' is as it was before", name_of(r));
	}
	if (r->is_on)
		(void)!of->backend->end(of->tenant, NULL);
	if (r->before.tag[0])
		return mlimg_err_wrap(err, failed, "'%s' is off; what it was is checkpoint '%s'",
			name_of(r), r->before.tag);
	return mlimg_err_wrap(err, failed, "'%s' is off", name_of(r));
}

/* The host's time: the guest's clock stands where it stood when the checkpoint was taken. */
static void set_clock(const struct restore *r, char ret_why[MLIMG_ERR_TEXT_SIZE])
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	uint64_t deadline_ms = mlimg_now_ms() + AGENT_MS;
	struct timespec now;
	int ret = r->of->backend->agent(r->of->tenant, &chan.fd, &err);

	if (ret == 0)
		ret = mlimg_agent_sync(&chan, deadline_ms, &err);
	clock_gettime(CLOCK_REALTIME, &now);
	if (ret == 0)
		ret = mlimg_chan_ask(&chan, "guest-set-time",
			json_pack(
				"{s:I}", "time", (json_int_t)now.tv_sec * 1000000000 + now.tv_nsec),
			deadline_ms, NULL, &err);
	mlimg_chan_close(&chan);
	snprintf(ret_why, MLIMG_ERR_TEXT_SIZE, "%s", ret < 0 ? err.text : "");
}

static int go_back(struct restore *r, struct mlimg_err *err)
{
	const struct mlimg_checkpoints *of = r->of;
	char text[3 * MLIMG_CHECKPOINT_TAG_SIZE];
	int ret = mlimg_checkpoint_set_state(of, &r->c, MLIMG_CHECKPOINT_RESTORING, err);

	if (ret < 0)
		return ret;
	ret = load(r, err);
	if (ret < 0)
		ret = undo(r, ret, err);
	/* A row that stays "restoring" has the guest ended, where it stands still, and nothing else. */
	(void)!mlimg_checkpoint_set_state(of, &r->c, MLIMG_CHECKPOINT_SAVED, NULL);
	snprintf(text, sizeof(text), "to '%s'%s%s%s", r->c.tag, r->before.tag[0] ? " from '" : "",
		r->before.tag, r->before.tag[0] ? "'" : "");
	if (ret == 0)
		(void)!mlimg_checkpoint_event(of, "restore", text, NULL);
	return ret;
}

int mlimg_checkpoint_go_back(const struct mlimg_checkpoints *of,
	const struct mlimg_checkpoint_restore *how, struct mlimg_checkpoint_restored *ret_restored,
	struct mlimg_err *err)
{
	struct restore r = {.of = of, .how = how};
	int ret = check(&r, err);

	if (ret == 0)
		ret = keep_before(&r, err);
	if (ret == 0)
		ret = go_back(&r, err);
	if (ret < 0)
		return ret;
	*ret_restored = (struct mlimg_checkpoint_restored){
		.kind = r.with_memory ? MLIMG_CHECKPOINT_MEMORY : MLIMG_CHECKPOINT_DISK};
	strcpy(ret_restored->before, r.before.tag);
	if (r.with_memory)
		set_clock(&r, ret_restored->clock);
	return 0;
}
