/* SPDX-License-Identifier: MIT */
/*
 * A tenant's guest on a host of libvirt's, started: its layers there, its domain defined. On this
 * machine libvirt opens the store's own files; another host gets them as volumes (libvirt-pool.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tools/cli.h"
#include "tools/libvirt-accel.h"
#include "tools/libvirt-conn.h"
#include "tools/libvirt-domain.h"
#include "tools/libvirt-err.h"
#include "tools/libvirt-pool.h"
#include "tools/libvirt-xml.h"
#include "tools/tenant-start.h"
#include "tools/vm-commands.h"
#include "tools/vm-prepare.h"

/* A guest that is being started. */
struct starting {
	struct mlimg_store *store;
	struct mlimg_tenant *tenant;
	struct mlimg_store_host host;
	virConnectPtr conn;
	char *caps; /* of the host */
	bool is_local, is_dry;
	struct mlimg_tenant_start options;
	struct mlimg_vm_prepared prepared;
	struct mlimg_vm_spec spec; /* prepared's, with paths on the host */
	struct mlimg_libvirt_pool pool;
	char *paths[MLIMG_VM_DISKS_MAX + 3]; /* of those */
	size_t n_paths;
};

static void starting_done(struct starting *s)
{
	for (size_t i = 0; i < s->n_paths; i++)
		free(s->paths[i]);
	free(s->caps);
	mlimg_libvirt_pool_close(&s->pool);
	mlimg_vm_prepared_done(&s->prepared);
	mlimg_tenant_start_done(&s->options);
}

static int choose_accel(struct starting *s, struct mlimg_err *err)
{
	enum mlimg_accel wanted = s->tenant->settings.accel;
	char why[MLIMG_ACCEL_WHY_SIZE];
	int ret;

	s->caps = virConnectGetCapabilities(s->conn);
	if (!s->caps)
		return mlimg_libvirt_fail(err, "host '%s'", s->host.name);
	ret = mlimg_libvirt_accel(s->conn, s->caps, s->spec.arch, wanted, &s->spec.accel, why, err);

	if (ret < 0)
		return mlimg_err_wrap(err, ret, "--accel %s", mlimg_accel_name(wanted));
	fprintf(stderr, MLIMG_VM_PROG ": accel: %s%s: ", mlimg_accel_name(s->spec.accel),
		s->spec.accel == MLIMG_ACCEL_TCG ? " (emulation)" : "");
	mlimg_cli_put_safe(stderr, why);
	fputs("\n", stderr);
	return 0;
}

/* QEMU's user must get through to the disk, kernel and initramfs, which libvirt gives to it. */
static int open_dir(const struct starting *s, struct mlimg_err *err)
{
	if (chmod(s->tenant->dir, 0711) < 0)
		return mlimg_err_set(err, errno, "open '%.300s' to QEMU", s->tenant->dir);
	return 0;
}

static int prepare(struct starting *s, struct mlimg_err *err)
{
	struct mlimg_vm_options *o = &s->options.run;
	int ret = mlimg_tenant_start_fill(&s->options, mlimg_store_dir(s->store), s->tenant, err);

	if (ret < 0)
		return ret;
	o->is_elsewhere = true;
	o->dry_run = s->is_dry;
	if (s->is_local)
		o->boot_dir = s->tenant->dir;
	if (o->union_driver != MLIMG_UNION_OF_OVERLAY && o->disks == MLIMG_DISKS_AUTO)
		o->disks = MLIMG_DISKS_SEPARATE;
	ret = mlimg_vm_prepare(o, &s->prepared, err);
	s->spec = s->prepared.spec;
	return ret;
}

/* Path on the host of what never changes. */
static int put(struct starting *s, const struct mlimg_libvirt_file *file, const char **path,
	struct mlimg_err *err)
{
	enum mlimg_libvirt_put did = MLIMG_LIBVIRT_WAS_THERE;
	int ret = mlimg_libvirt_put(&s->pool, file, &s->paths[s->n_paths], &did, err);

	if (ret < 0)
		return ret;
	*path = s->paths[s->n_paths++];
	if (did == MLIMG_LIBVIRT_SENT_NEW)
		fprintf(stderr, MLIMG_VM_PROG ": host '%s': %s was put there\n", s->host.name,
			file->what);
	if (did == MLIMG_LIBVIRT_SENT_AGAIN)
		mlimg_cli_warn(MLIMG_VM_PROG,
			"%s was damaged or lost on host '%s', and was put there again", file->what,
			s->host.name);
	return 0;
}

static int put_layer(struct starting *s, size_t i, struct mlimg_err *err)
{
	const struct mlimg_layer_info *info = &s->tenant->layers[i].info;
	char name[MLIMG_STORE_VOLUME_SIZE], what[256];
	struct mlimg_libvirt_file file = {
		.path = s->spec.disks[i].path, .name = name, .what = what};

	snprintf(name, sizeof(name), "%s.img", info->build_id);
	snprintf(what, sizeof(what), "layer %s %s (build id %s)", info->name, info->version,
		info->build_id);
	return put(s, &file, &s->spec.disks[i].path, err);
}

static int put_other(struct starting *s, const char *what, const char **path, struct mlimg_err *err)
{
	const char *suffix = *what == 'k'        ? ".kernel"
		: *what == 'i' && what[2] == 'd' ? ".index"
						 : ".initrd";
	struct mlimg_libvirt_file file = {.path = *path, .suffix = suffix, .what = what};

	return put(s, &file, path, err);
}

static int put_all(struct starting *s, struct mlimg_err *err)
{
	size_t user = s->spec.n_disks - 1;
	int ret = mlimg_libvirt_pool_open(s->store, s->conn, &s->host, &s->pool, err);

	/* Until there is a domain that has them. */
	if (ret == 0)
		ret = mlimg_libvirt_pool_hold(&s->pool, false, err);
	for (size_t i = 0; ret == 0 && i < user; i++)
		ret = put_layer(s, i, err);
	if (ret == 0 && s->spec.index.path)
		ret = put_other(s, "index", &s->spec.index.path, err);
	if (ret == 0)
		ret = put_other(s, "kernel", &s->spec.kernel, err);
	if (ret == 0)
		ret = put_other(s, "initramfs", &s->spec.initrd, err);
	if (ret == 0)
		ret = mlimg_libvirt_disk_put(&s->pool, s->tenant, &s->paths[s->n_paths], err);
	if (ret == 0)
		s->spec.disks[user].path = s->paths[s->n_paths++];
	return ret;
}

static int describe(const struct starting *s, char **ret_xml, struct mlimg_err *err)
{
	char text[512];
	struct mlimg_libvirt_domain d = {.spec = &s->spec,
		.id = s->tenant->row.id,
		.description = text,
		.network = *s->host.network ? s->host.network : NULL,
		.has_dac = strstr(s->caps, "<model>dac</model>") != NULL};

	mlimg_vm_images_describe(&s->prepared.images, text, sizeof(text));
	return mlimg_libvirt_xml(&d, ret_xml, err);
}

/* A domain that is off keeps its UUID, and its snapshots, when the tenant has another name now. */
static int define(struct starting *s, virDomainPtr *domain, struct mlimg_err *err)
{
	const char *name = s->tenant->row.name;
	mlimg_autofree char *xml = NULL;
	int ret = describe(s, &xml, err);

	if (ret < 0)
		return ret;
	if (*domain && strcmp(virDomainGetName(*domain), name) != 0 &&
		virDomainRename(*domain, name, 0) < 0)
		return mlimg_domain_fail(s->tenant, "rename domain", err);
	mlimg_domain_cleanup(domain);
	*domain = virDomainDefineXML(s->conn, xml);
	if (!*domain)
		return mlimg_domain_fail(s->tenant, "define domain", err);
	/* What somebody has told the host himself stays. */
	if (s->tenant->settings.autostart && virDomainSetAutostart(*domain, 1) < 0)
		return mlimg_domain_fail(s->tenant, "autostart", err);
	return 0;
}

static int note(struct starting *s, struct mlimg_err *err)
{
	int ret = mlimg_store_begin(s->store, err);

	return ret < 0
		? ret
		: mlimg_store_end(s->store,
			  mlimg_tenant_start_note(s->store, s->tenant, s->spec.accel, err), err);
}

static int note_generation(struct starting *s, struct mlimg_err *err)
{
	struct mlimg_tenant *t = s->tenant;
	int ret = 0;

	if (t->generation.number != t->row.current)
		ret = mlimg_store_generation_set_current(
			s->store, t->row.id, t->generation.number, err);
	if (ret == 0)
		t->row.current = t->generation.number;
	return ret;
}

/*
 * Not an instruction runs before the store says on which generation: what a guest runs on must not be
 * forgotten. But not every driver of libvirt's can start a domain so. That it runs is said when it
 * does: one that stands still, and does not run as the store has it, is left by a start that was
 * killed (mlimg_backend_is_half_started()).
 */
static int create(struct starting *s, virDomainPtr domain, bool is_paused, struct mlimg_err *err)
{
	bool waits = virDomainCreateWithFlags(domain, VIR_DOMAIN_START_PAUSED) == 0;
	bool can_wait = waits || mlimg_libvirt_code() != -EINVAL;
	int ret;

	if (!waits && (can_wait || is_paused || virDomainCreate(domain) < 0))
		return mlimg_domain_fail(s->tenant, "start", err);
	ret = note_generation(s, err);
	if (ret == 0 && waits && !is_paused && virDomainResume(domain) < 0)
		ret = mlimg_domain_fail(s->tenant, "start", err);
	if (ret == 0)
		ret = note(s, err);
	if (ret < 0)
		(void)virDomainDestroy(domain);
	return ret;
}

static int note_resumed(struct starting *s, struct mlimg_err *err)
{
	const char *id = s->tenant->row.id;
	int ret = mlimg_store_begin(s->store, err);

	if (ret < 0)
		return ret;
	ret = mlimg_tenant_run_set(s->store, id, (int64_t)time(NULL), err);
	if (ret == 0)
		ret = mlimg_store_event_add(
			s->store, MLIMG_STORE_TENANT, id, "started", "from its saved memory", err);
	return mlimg_store_end(s->store, ret, err);
}

/*
 * Somebody has saved it (virsh managedsave): it goes on as the domain that it was, and what has been set
 * since is for its next boot. Another generation would be noted, and the old one run.
 */
static int resume(struct starting *s, virDomainPtr domain, struct mlimg_err *err)
{
	int ret = 0;

	if (s->tenant->generation.number != s->tenant->row.current)
		ret = mlimg_backend_check_rest(s->tenant, err);
	if (ret < 0)
		return mlimg_err_wrap(err, ret, "generation %u", s->tenant->generation.number);
	if (virDomainCreate(domain) < 0)
		return mlimg_domain_fail(s->tenant, "start", err);
	return note_resumed(s, err);
}

static int begin(struct starting *s, virDomainPtr *domain, struct mlimg_err *err)
{
	const char *name = s->tenant->row.name;
	int ret = mlimg_store_host_find(s->store, s->tenant->host, &s->host, err);

	if (ret == 0)
		ret = mlimg_libvirt_connect(s->host.uri, &s->conn, err);
	if (ret == 0)
		ret = mlimg_domain_find(s->tenant, domain, err);
	if (ret < 0)
		return ret;
	s->is_local = mlimg_libvirt_is_local(s->host.uri);
	if (!s->is_dry && *domain && mlimg_domain_is_on(*domain))
		return mlimg_err_set(
			err, 0, "tenant '%s' is already running on host '%s'", name, s->host.name);
	return 0;
}

int mlimg_libvirt_start(struct mlimg_store *store, struct mlimg_tenant *tenant,
	const struct mlimg_backend_start *how, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	struct starting s = {.store = store, .tenant = tenant, .prepared = MLIMG_VM_PREPARED_INIT};
	int ret = begin(&s, &domain, err);

	if (ret == 0 && domain && mlimg_domain_is_saved(domain))
		return resume(&s, domain, err);
	if (ret == 0 && s.is_local)
		ret = open_dir(&s, err);
	if (ret == 0)
		ret = prepare(&s, err);
	if (ret == 0)
		ret = choose_accel(&s, err);
	if (ret == 0 && !s.is_local)
		ret = put_all(&s, err);
	if (ret == 0)
		ret = define(&s, &domain, err);
	if (ret == 0)
		ret = create(&s, domain, how->is_paused, err);
	starting_done(&s);
	return ret;
}

/* Where nothing is put there yet: what it would be called. */
static int name_paths(struct starting *s, struct mlimg_err *err)
{
	for (size_t i = 0; i < s->spec.n_disks; i++) {
		bool is_user = i + 1 == s->spec.n_disks;
		const char *id = is_user ? s->tenant->row.id : s->spec.disks[i].id;

		if (asprintf(&s->paths[s->n_paths], "%s%s", id, is_user ? ".qcow2" : ".img") < 0)
			return mlimg_err_set(err, ENOMEM, "domain");
		s->spec.disks[i].path = s->paths[s->n_paths++];
	}
	return 0;
}

int mlimg_libvirt_describe(struct mlimg_store *store, struct mlimg_tenant *tenant, char **ret_xml,
	struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	struct starting s = {.store = store,
		.tenant = tenant,
		.is_dry = true,
		.prepared = MLIMG_VM_PREPARED_INIT};
	int ret = begin(&s, &domain, err);

	if (ret == 0)
		ret = prepare(&s, err);
	if (ret == 0)
		ret = choose_accel(&s, err);
	if (ret == 0 && !s.is_local)
		ret = name_paths(&s, err);
	if (ret == 0)
		ret = describe(&s, ret_xml, err);
	starting_done(&s);
	return ret;
}
