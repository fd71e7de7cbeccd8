/* SPDX-License-Identifier: MIT */
/* Checkpoints of QEMU's guests: of those that are on here, of those that are off by checkpoint-disk.c. */
#include "tools/checkpoint-qemu.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "tools/checkpoint-disk.h"
#include "tools/checkpoint-freeze.h"
#include "tools/checkpoint-room.h"
#include "tools/checkpoint.h"
#include "tools/qmp-job.h"
#include "tools/store-impl.h"
#include "tools/vm-agent.h"

#define NODE "user"          /* the user disk's, as vm-cmd.c names it */
#define QMP_MS 10000         /* QEMU itself answers at once, unless it saves or loads */
#define SNAPSHOT_MS 60000    /* of the disk alone: tables of some megabytes are written */
#define MEMORY_PER_S 8388608 /* and of memory at least so much in a second, by the slowest disks */
#define AGAIN_MS 200         /* pause before a QEMU that is busy is asked again */

const char *mlimg_snapshot_name(const char *tag, char ret_name[MLIMG_SNAPSHOT_NAME_SIZE])
{
	snprintf(ret_name, MLIMG_SNAPSHOT_NAME_SIZE, MLIMG_SNAPSHOT_PREFIX "%s", tag);
	return ret_name;
}

const char *mlimg_snapshot_tag(const char *name)
{
	size_t size = strlen(MLIMG_SNAPSHOT_PREFIX);

	return strncmp(name, MLIMG_SNAPSHOT_PREFIX, size) == 0 ? name + size : NULL;
}

/* @return 1, 0, -errno */
static int is_on(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	enum mlimg_guest_state state;
	char why[MLIMG_GUEST_WHY_SIZE];
	int ret = mlimg_backend_qemu.state(tenant, &state, why, err);

	return ret < 0 ? ret : mlimg_guest_is_on(state);
}

static uint64_t memory_of(struct mlimg_chan *chan, int *ret, struct mlimg_err *err)
{
	json_t *size = NULL;
	uint64_t bytes;

	*ret = mlimg_chan_call(
		chan, "query-memory-size-summary", mlimg_now_ms() + QMP_MS, &size, err);
	bytes = (uint64_t)json_integer_value(json_object_get(size, "base-memory"));
	json_decref(size);
	return bytes;
}

static uint64_t deadline_of(uint64_t memory_bytes)
{
	return mlimg_now_ms() + SNAPSHOT_MS + memory_bytes / MEMORY_PER_S * 1000;
}

static json_t *snapshot_arguments(const char *tag, bool with_memory)
{
	char name[MLIMG_SNAPSHOT_NAME_SIZE];

	mlimg_snapshot_name(tag, name);
	return with_memory
		? json_pack("{s:s, s:s, s:[s]}", "tag", name, "vmstate", NODE, "devices", NODE)
		: json_pack("{s:s, s:[s]}", "tag", name, "devices", NODE);
}

/* Joined disks, which are vmdk's, are the one device of ours that QEMU cannot save. */
static int check_blockers(
	struct mlimg_chan *chan, const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	json_t *migrate = NULL;
	const char *why;
	int ret = mlimg_chan_call(chan, "query-migrate", mlimg_now_ms() + QMP_MS, &migrate, err);

	why = json_string_value(json_array_get(json_object_get(migrate, "blocked-reasons"), 0));
	if (ret == 0 && why)
		ret = mlimg_store_fail(err, EOPNOTSUPP,
			"QEMU does not save its memory (%.150s): 'mlimg-vm set %s --disks "
			"separate' and a restart, or the disk alone, with --disk-only",
			why, tenant->row.name);
	json_decref(migrate);
	return ret;
}

static int save_memory(struct mlimg_chan *chan, const struct mlimg_tenant *tenant, const char *tag,
	struct mlimg_err *err)
{
	int ret;
	uint64_t bytes = memory_of(chan, &ret, err);

	if (ret == 0)
		ret = check_blockers(chan, tenant, err);
	if (ret == 0)
		ret = mlimg_checkpoint_room_here(tenant, bytes, err);
	return ret < 0 ? ret
		       : mlimg_qmp_job(chan, "snapshot-save", snapshot_arguments(tag, true),
				 deadline_of(bytes), err);
}

static int remove_snapshot(struct mlimg_chan *chan, const char *tag, struct mlimg_err *err)
{
	return mlimg_qmp_job(chan, "snapshot-delete", snapshot_arguments(tag, false),
		mlimg_now_ms() + SNAPSHOT_MS, err);
}

static int save_frozen(struct mlimg_chan *chan, const struct mlimg_tenant *tenant, const char *tag,
	struct mlimg_err *err)
{
	struct mlimg_freeze freeze = MLIMG_FREEZE_INIT;
	char name[MLIMG_SNAPSHOT_NAME_SIZE];
	int ret = mlimg_freeze_begin(&mlimg_backend_qemu, tenant, &freeze, err);
	bool is_saved = false;

	if (ret == 0) {
		ret = mlimg_chan_ask(chan, "blockdev-snapshot-internal-sync",
			json_pack("{s:s, s:s}", "device", NODE, "name",
				mlimg_snapshot_name(tag, name)),
			mlimg_now_ms() + SNAPSHOT_MS, NULL, err);
		is_saved = ret == 0;
	}
	if (ret == 0)
		ret = mlimg_freeze_thaw(&freeze, err);
	mlimg_freeze_end(&freeze);
	if (ret < 0 && is_saved)
		(void)!remove_snapshot(chan, tag, NULL);
	return ret;
}

int mlimg_qemu_save(
	const struct mlimg_tenant *tenant, const char *tag, bool with_memory, struct mlimg_err *err)
{
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	int ret = is_on(tenant, err);

	if (ret <= 0)
		return ret < 0 ? ret : mlimg_disk_save(tenant, tag, err);
	/* That of memory, which needs more, is looked for when it is known how large it is. */
	ret = with_memory ? 0 : mlimg_checkpoint_room_here(tenant, 0, err);
	if (ret < 0)
		return ret;
	ret = mlimg_backend_qemu.monitor(tenant, &chan, err);
	if (ret == 0)
		ret = with_memory ? save_memory(&chan, tenant, tag, err)
				  : save_frozen(&chan, tenant, tag, err);
	mlimg_chan_close(&chan);
	return ret;
}

/* One that ran before goes on by itself; one that was started to be loaded does not. */
static int go_on(struct mlimg_chan *chan, struct mlimg_err *err)
{
	json_t *status = NULL;
	int ret = mlimg_chan_call(chan, "query-status", mlimg_now_ms() + QMP_MS, &status, err);

	if (ret == 0 && !json_is_true(json_object_get(status, "running")))
		ret = mlimg_chan_call(chan, "cont", mlimg_now_ms() + QMP_MS, NULL, err);
	json_decref(status);
	return ret;
}

int mlimg_qemu_load(struct mlimg_store *store, struct mlimg_tenant *tenant, const char *tag,
	bool with_memory, struct mlimg_err *err)
{
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	uint64_t bytes;
	int ret;

	if (!with_memory)
		return mlimg_disk_load(tenant, tag, err);
	ret = mlimg_backend_qemu.monitor(tenant, &chan, err);
	if (ret == 0) {
		bytes = memory_of(&chan, &ret, err);
		if (ret == 0)
			ret = mlimg_qmp_job(&chan, "snapshot-load", snapshot_arguments(tag, true),
				deadline_of(bytes), err);
	}
	if (ret == 0)
		ret = go_on(&chan, err);
	mlimg_chan_close(&chan);
	return ret;
}

int mlimg_qemu_remove(const struct mlimg_tenant *tenant, const char *tag, struct mlimg_err *err)
{
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	int ret = is_on(tenant, err);

	if (ret <= 0)
		return ret < 0 ? ret : mlimg_disk_remove(tenant, tag, err);
	ret = mlimg_backend_qemu.monitor(tenant, &chan, err);
	if (ret == 0)
		ret = remove_snapshot(&chan, tag, err);
	mlimg_chan_close(&chan);
	return ret;
}

static const json_t *find_node(const json_t *nodes)
{
	const json_t *node;
	size_t i;

	json_array_foreach(nodes, i, node)
	{
		const char *name = json_string_value(json_object_get(node, "node-name"));

		if (name && strcmp(name, NODE) == 0)
			return json_object_get(node, "image");
	}
	return NULL;
}

int mlimg_qemu_saved(const struct mlimg_tenant *tenant, json_t **ret_saved, struct mlimg_err *err)
{
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	json_t *nodes = NULL;
	int ret = is_on(tenant, err);

	if (ret <= 0)
		return ret < 0 ? ret : mlimg_disk_saved(tenant, ret_saved, err);
	ret = mlimg_backend_qemu.monitor(tenant, &chan, err);
	if (ret == 0)
		ret = mlimg_chan_ask(&chan, "query-named-block-nodes",
			json_pack("{s:b}", "flat", 1), mlimg_now_ms() + QMP_MS, &nodes, err);
	if (ret == 0)
		ret = mlimg_snapshots_of(find_node(nodes), ret_saved, err);
	json_decref(nodes);
	mlimg_chan_close(&chan);
	return ret;
}

/*
 * A guest that was started to be loaded, or whose load has failed, and that nobody lets go on any
 * more. One that stands still for another reason (a full disk: "io-error") is none of this.
 */
static int end_left(
	struct mlimg_chan *chan, const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	static const char *const left[] = {"prelaunch", "restore-vm", "paused"};
	json_t *json = NULL;
	int ret = mlimg_chan_call(chan, "query-status", mlimg_now_ms() + QMP_MS, &json, err);
	const char *status = json_string_value(json_object_get(json, "status"));
	bool is_left = false;

	for (size_t i = 0; status && i < sizeof(left) / sizeof(left[0]); i++)
		is_left |= strcmp(status, left[i]) == 0;
	json_decref(json);
	mlimg_chan_close(chan);
	return ret == 0 && is_left ? mlimg_backend_qemu.end(tenant, err) : ret;
}

/*
 * What a command had begun that was killed goes on in QEMU; as long as it saves or loads it does
 * not even greet, and one that has just been started has no monitor yet.
 */
static int settle_on(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	uint64_t deadline_ms = deadline_of(tenant->settings.memory_bytes);
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	int ret, on = 1;

	while ((ret = mlimg_backend_qemu.monitor(tenant, &chan, err)) < 0 && on > 0 &&
		mlimg_now_ms() < deadline_ms) {
		mlimg_chan_close(&chan);
		poll(NULL, 0, AGAIN_MS);
		on = is_on(tenant, err);
	}
	if (on <= 0 && ret < 0)
		return on < 0 ? on : mlimg_disk_settle(tenant, err);
	if (ret == 0)
		ret = mlimg_qmp_jobs_end(&chan, deadline_ms, err);
	if (ret == 0)
		ret = end_left(&chan, tenant, err);
	mlimg_chan_close(&chan);
	return ret;
}

int mlimg_qemu_settle(const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	int ret = is_on(tenant, err);

	if (ret < 0)
		return ret;
	return ret ? settle_on(tenant, err) : mlimg_disk_settle(tenant, err);
}
