/* SPDX-License-Identifier: MIT */
/* What a guest's machine is, as QEMU says it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "tools/checkpoint-qemu.h"
#include "tools/vm-agent.h"
#include "tools/vm-watch.h"

#define QMP_MS 10000
#define DEVICES_MAX 256 /* 83 disks, and a few more */

/* Where QEMU has devices with a name, and those without. */
static const char *const places[] = {"/machine/peripheral", "/machine/peripheral-anon"};

struct words {
	char *words[DEVICES_MAX];
	size_t n;
};

static int ask(struct mlimg_chan *chan, const char *command, json_t *arguments, json_t **ret,
	struct mlimg_err *err)
{
	return mlimg_chan_ask(chan, command, arguments, mlimg_now_ms() + QMP_MS, ret, err);
}

/* "child<virtio-blk-pci>" of a device's name; others are properties of the place. */
static int add_device(struct words *w, const json_t *device)
{
	static const char child[] = "child<";
	const char *name = json_string_value(json_object_get(device, "name"));
	const char *type = json_string_value(json_object_get(device, "type"));
	bool is_named;

	if (!name || !type || strncmp(type, child, strlen(child)) != 0)
		return 0;
	if (w->n == DEVICES_MAX)
		return -E2BIG;
	type += strlen(child);
	is_named = strncmp(name, "device[", strlen("device[")) != 0;
	if (asprintf(&w->words[w->n], "%s%s%.*s", is_named ? name : "", is_named ? ":" : "",
		    (int)strcspn(type, ">"), type) < 0)
		return -ENOMEM;
	w->n++;
	return 0;
}

static int list_devices(struct mlimg_chan *chan, struct words *w, struct mlimg_err *err)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < sizeof(places) / sizeof(places[0]); i++) {
		json_t *list = NULL;
		const json_t *device;
		size_t k;

		ret = ask(chan, "qom-list", json_pack("{s:s}", "path", places[i]), &list, err);
		json_array_foreach(list, k, device)
		{
			int added = ret == 0 ? add_device(w, device) : 0;

			if (added < 0)
				ret = mlimg_err_set(err, added, "QEMU's devices");
		}
		json_decref(list);
	}
	return ret;
}

static int add_index_name(struct words *w, const char *path, struct mlimg_err *err)
{
	const char *name = strrchr(path, '/');

	if (w->n == DEVICES_MAX ||
		asprintf(&w->words[w->n], MLIMG_MACHINE_INDEX "%s", name ? name + 1 : path) < 0)
		return mlimg_err_set(err, ENOMEM, "QEMU's disks");
	w->n++;
	return 0;
}

static int add_index_of_set(
	struct mlimg_chan *chan, int set, struct words *w, struct mlimg_err *err)
{
	json_t *sets = NULL;
	const json_t *one;
	size_t i;
	int ret = ask(chan, "query-fdsets", NULL, &sets, err);

	json_array_foreach(sets, i, one)
	{
		const json_t *fd = json_array_get(json_object_get(one, "fds"), 0);

		if (ret == 0 && json_integer_value(json_object_get(one, "fdset-id")) == set)
			ret = add_index_name(w, mlimg_json_text(fd, "opaque", ""), err);
	}
	json_decref(sets);
	return ret;
}

/*
 * What the guest's kernel has in memory of an index are places in its layers: of another index over the
 * same layers they would be wrong. Its name (vm-union.h) tells stack and places.
 */
static int add_index(struct mlimg_chan *chan, struct words *w, struct mlimg_err *err)
{
	json_t *nodes = NULL;
	const json_t *node;
	size_t i;
	int ret = ask(chan, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), &nodes, err);

	json_array_foreach(nodes, i, node)
	{
		const char *file = mlimg_json_text(node, "file", "");
		int set;

		if (ret < 0 || strcmp(mlimg_json_text(node, "node-name", ""), "index") != 0)
			continue;
		/* As QEMU has it that was given it open (vm-confine.h). */
		ret = sscanf(file, "/dev/fdset/%d", &set) == 1 ? add_index_of_set(chan, set, w, err)
							       : add_index_name(w, file, err);
	}
	json_decref(nodes);
	return ret;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/*
 * In words, as many as there is room for, and of the rest their digest, so that it stays short with
 * many layers: each has a disk.
 */
static void put_words(struct words *w, const char *type, bool is_kvm, struct mlimg_machine *m)
{
	int n = snprintf(m->devices, sizeof(m->devices), "%s %s", type, is_kvm ? "kvm" : "tcg");
	size_t size = n < (int)sizeof(m->devices) ? (size_t)n : sizeof(m->devices) - 1;
	uint64_t rest = 14695981039346656037u; /* FNV-1a, of 64 bits */
	bool is_cut = false;

	qsort(w->words, w->n, sizeof(w->words[0]), compare);
	for (size_t i = 0; i < w->n; i++) {
		is_cut |= size + strlen(w->words[i]) + 20 > sizeof(m->devices);
		if (!is_cut)
			size += (size_t)snprintf(
				m->devices + size, sizeof(m->devices) - size, " %s", w->words[i]);
		for (const char *p = w->words[i]; is_cut && *p; p++)
			rest = (rest ^ (unsigned char)*p) * 1099511628211u;
	}
	if (is_cut)
		snprintf(m->devices + size, sizeof(m->devices) - size, " %016llx",
			(unsigned long long)rest);
}

static int read_machine(
	struct mlimg_chan *chan, struct words *w, struct mlimg_machine *m, struct mlimg_err *err)
{
	json_t *type = NULL, *kvm = NULL, *cpus = NULL, *memory = NULL;
	int ret = ask(chan, "qom-get",
		json_pack("{s:s, s:s}", "path", "/machine", "property", "type"), &type, err);

	if (ret == 0)
		ret = ask(chan, "query-kvm", NULL, &kvm, err);
	if (ret == 0)
		ret = ask(chan, "query-cpus-fast", NULL, &cpus, err);
	if (ret == 0)
		ret = ask(chan, "query-memory-size-summary", NULL, &memory, err);
	if (ret == 0)
		ret = list_devices(chan, w, err);
	if (ret == 0)
		ret = add_index(chan, w, err);
	if (ret == 0) {
		m->cpus = (unsigned)json_array_size(cpus);
		m->memory_bytes =
			(uint64_t)json_integer_value(json_object_get(memory, "base-memory"));
		put_words(w, json_is_string(type) ? json_string_value(type) : "?",
			json_is_true(json_object_get(kvm, "enabled")), m);
	}
	if (ret == 0 && (!m->cpus || !m->memory_bytes))
		ret = mlimg_err_set(err, 0, "QEMU does not say what its machine is");
	json_decref(type);
	json_decref(kvm);
	json_decref(cpus);
	json_decref(memory);
	return ret;
}

int mlimg_qemu_machine(
	const struct mlimg_tenant *tenant, struct mlimg_machine *ret_machine, struct mlimg_err *err)
{
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	struct words words = {.n = 0};
	struct mlimg_machine machine = {.cpus = 0};
	int ret = mlimg_backend_qemu.monitor(tenant, &chan, err);

	if (ret == 0)
		ret = read_machine(&chan, &words, &machine, err);
	for (size_t i = 0; i < words.n; i++)
		free(words.words[i]);
	mlimg_chan_close(&chan);
	if (ret == 0)
		*ret_machine = machine;
	return ret;
}
