/* SPDX-License-Identifier: MIT */
#include "tools/tenant-start.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void fill_layers(struct mlimg_tenant_start *options, const struct mlimg_tenant *t)
{
	struct mlimg_vm_options *o = &options->run;

	o->system = t->layer_paths[0];
	for (size_t i = 0; i < t->n_layers; i++) {
		if (t->layers[i].info.kind == MLIMG_PATCH)
			o->patches[o->n_patches++] = t->layer_paths[i];
		else if (t->layers[i].info.kind == MLIMG_SOFTWARE)
			o->software[o->n_software++] = t->layer_paths[i];
		options->root_hashes[i] = t->layers[i].root_hash;
		options->build_ids[i] = t->layers[i].info.build_id;
	}
	o->root_hashes = options->root_hashes;
	o->build_ids = options->build_ids;
	o->user = t->user_disk;
	o->user_is_qcow2 = true;
	o->user_id = t->row.user_id;
	o->identity = *t->identity ? t->identity : NULL;
}

static void fill_machine(struct mlimg_vm_options *o, const struct mlimg_tenant *t)
{
	o->memory_bytes = t->settings.memory_bytes;
	o->cpus = t->settings.cpus;
	o->accel = t->settings.accel;
	o->union_driver = t->settings.union_driver;
	o->disks = t->settings.disks;
	o->prefers_disks = true;
	o->verity = t->settings.verity;
	o->net = t->settings.net;
	memcpy(o->forwards, t->settings.forwards, sizeof(o->forwards));
	o->n_forwards = t->settings.n_forwards;
	o->append = t->settings.append;
	o->boot_timeout_s = t->settings.boot_timeout_s;
	o->console = MLIMG_CONSOLE_SOCKET;
}

int mlimg_tenant_start_fill(struct mlimg_tenant_start *ret, const char *store_dir,
	const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	struct mlimg_tenant_disk disk;
	int r = 0;

	if (!tenant->n_layers)
		return mlimg_err_set(err, 0, "tenant '%s' has no layers yet", tenant->row.name);
	/* On another host it is that one's. */
	if (access(tenant->user_disk, F_OK) == 0)
		r = mlimg_tenant_disk_look(tenant->user_disk, &disk, err);
	if (r < 0)
		return mlimg_err_wrap(err, r, "tenant '%s'", tenant->row.name);
	if (asprintf(&ret->index_dir, "%s/indexes", store_dir) < 0) {
		ret->index_dir = NULL;
		return mlimg_err_set(err, ENOMEM, "tenant '%s'", tenant->row.name);
	}
	ret->run.name = tenant->row.name;
	ret->run.runtime_name = tenant->row.id;
	ret->run.cache_dir = ret->index_dir;
	fill_layers(ret, tenant);
	fill_machine(&ret->run, tenant);
	return 0;
}

void mlimg_tenant_start_done(struct mlimg_tenant_start *options)
{
	free(options->index_dir);
	options->index_dir = NULL;
}

int mlimg_tenant_start_note(struct mlimg_store *store, const struct mlimg_tenant *tenant,
	enum mlimg_accel accel, struct mlimg_err *err)
{
	const char *id = tenant->row.id;
	char text[64];
	int ret = 0;

	if (tenant->generation.number != tenant->row.current)
		ret = mlimg_store_generation_set_current(store, id, tenant->generation.number, err);
	if (ret == 0)
		ret = mlimg_tenant_run_set(store, id, (int64_t)time(NULL), err);
	snprintf(text, sizeof(text), "generation %u, %s", tenant->generation.number,
		mlimg_accel_name(accel));
	return ret < 0 ? ret
		       : mlimg_store_event_add(store, MLIMG_STORE_TENANT, id, "started", text, err);
}
