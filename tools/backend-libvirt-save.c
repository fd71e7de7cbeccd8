/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints of a tenant's domain: libvirt's internal snapshots, which lie in the user disk, too. Of
 * the disk alone of a domain that is on there are none: backend-libvirt-frozen.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/backend.h"
#include "tools/checkpoint-qemu.h"
#include "tools/checkpoint-room.h"
#include "tools/libvirt-domain.h"
#include "tools/libvirt-err.h"
#include "tools/libvirt-pool.h"
#include "tools/store-impl.h"
#include "tools/tenant-start.h"

static inline void snapshot_cleanup(virDomainSnapshotPtr *snapshot)
{
	if (*snapshot)
		virDomainSnapshotFree(*snapshot);
}
#define autosnapshot mlimg_cleanup(snapshot_cleanup)

static bool has_memory(virDomainSnapshotPtr snapshot)
{
	mlimg_autofree char *xml = virDomainSnapshotGetXMLDesc(snapshot, 0);

	return xml && strstr(xml, "<memory snapshot='internal'/>");
}

static int find_domain(
	const struct mlimg_tenant *tenant, virDomainPtr *ret_domain, struct mlimg_err *err)
{
	int ret = mlimg_domain_find(tenant, ret_domain, err);

	if (ret == 0 && !*ret_domain)
		return mlimg_err_set(err, 0,
			"host '%s' has no domain of tenant '%s', as before its first start there: "
			"start "
			"it once ('mlimg-vm start %s')",
			tenant->host, tenant->row.name, tenant->row.name);
	return ret;
}

/* Where the user disk is: here, or in the pool of its host. */
static int check_room(const struct mlimg_tenant *tenant, virDomainPtr domain, bool with_memory,
	struct mlimg_err *err)
{
	uint64_t left, memory_bytes = with_memory ? virDomainGetMaxMemory(domain) * 1024ull : 0;
	char where[128];
	int ret;

	/* 0 is how libvirt fails. */
	if (with_memory && !memory_bytes)
		return mlimg_domain_fail(tenant, "memory", err);
	if (!mlimg_backend_has_disk_away(tenant))
		return mlimg_checkpoint_room_here(tenant, memory_bytes, err);
	ret = mlimg_libvirt_pool_left(virDomainGetConnect(domain), tenant->host, &left, err);
	if (ret < 0)
		return ret;
	snprintf(where, sizeof(where), "storage pool '" MLIMG_LIBVIRT_POOL "' of host '%s'",
		tenant->host);
	return mlimg_checkpoint_room_check(left, memory_bytes, where, err);
}

int mlimg_libvirt_save(
	const struct mlimg_tenant *tenant, const char *tag, bool with_memory, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	autosnapshot virDomainSnapshotPtr snapshot = NULL;
	char xml[256];
	int ret = find_domain(tenant, &domain, err);

	if (ret == 0)
		ret = check_room(tenant, domain, with_memory, err);
	if (ret < 0)
		return ret;
	if (!with_memory && mlimg_domain_is_on(domain))
		return mlimg_libvirt_save_frozen(tenant, domain, tag, err);
	/* Tags are letters, digits and ._- */
	snprintf(xml, sizeof(xml),
		"<domainsnapshot><name>" MLIMG_SNAPSHOT_PREFIX "%s</name></domainsnapshot>", tag);
	snapshot = virDomainSnapshotCreateXML(domain, xml, 0);
	return snapshot ? 0 : mlimg_domain_fail(tenant, "save", err);
}

/* @return 0; -ENOENT without a message where there is none; -errno */
static int find(const struct mlimg_tenant *tenant, virDomainPtr domain, const char *tag,
	virDomainSnapshotPtr *ret_snapshot, struct mlimg_err *err)
{
	char name[128];

	snprintf(name, sizeof(name), MLIMG_SNAPSHOT_PREFIX "%s", tag);
	*ret_snapshot = virDomainSnapshotLookupByName(domain, name, 0);
	return *ret_snapshot ? 0 : mlimg_domain_fail(tenant, "checkpoint", err);
}

static int note_start(
	struct mlimg_store *store, const struct mlimg_tenant *tenant, struct mlimg_err *err)
{
	int ret = mlimg_store_begin(store, err);

	return ret < 0
		? ret
		: mlimg_store_end(store,
			  mlimg_tenant_run_set(store, tenant->row.id, (int64_t)time(NULL), err),
			  err);
}

/*
 * The disk of one that has memory too: libvirt knows no such thing. It is loaded whole, by a QEMU that
 * stands still, and that is ended then: the disk is what it was at that moment.
 */
static int load_disk(const struct mlimg_tenant *tenant, virDomainPtr domain,
	virDomainSnapshotPtr snapshot, struct mlimg_err *err)
{
	const unsigned paused =
		VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED | VIR_DOMAIN_SNAPSHOT_REVERT_FORCE;
	bool is_whole = has_memory(snapshot);

	if (virDomainRevertToSnapshot(snapshot, is_whole ? paused : 0) < 0)
		return mlimg_domain_fail(tenant, "load", err);
	if (is_whole && virDomainDestroy(domain) < 0)
		return mlimg_domain_fail(tenant, "load", err);
	return 0;
}

int mlimg_libvirt_load(struct mlimg_store *store, struct mlimg_tenant *tenant, const char *tag,
	bool with_memory, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	autosnapshot virDomainSnapshotPtr snapshot = NULL;
	/* By force: libvirt would rather have QEMU go on that may not be the one that was saved. */
	const unsigned flags =
		VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING | VIR_DOMAIN_SNAPSHOT_REVERT_FORCE;
	int ret = find_domain(tenant, &domain, err);

	if (ret == 0 && !with_memory && mlimg_domain_is_on(domain))
		return mlimg_err_set(err, EBUSY, "tenant '%s' runs", tenant->row.name);
	if (ret == 0)
		ret = find(tenant, domain, tag, &snapshot, err);
	if (ret < 0 || !with_memory)
		return ret < 0 ? ret : load_disk(tenant, domain, snapshot, err);
	if (virDomainRevertToSnapshot(snapshot, flags) < 0)
		return mlimg_domain_fail(tenant, "load", err);
	return tenant->run_s ? 0 : note_start(store, tenant, err);
}

int mlimg_libvirt_remove(const struct mlimg_tenant *tenant, const char *tag, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	autosnapshot virDomainSnapshotPtr snapshot = NULL;
	int ret = mlimg_domain_find(tenant, &domain, err);

	/* Whose domain is gone has none. */
	if (ret < 0 || !domain)
		return ret;
	ret = find(tenant, domain, tag, &snapshot, err);
	/* Made, perhaps, by a libvirtd that was killed before it had written it down. */
	if (ret == -ENOENT) {
		ret = mlimg_libvirt_announce(tenant, domain, tag, err);
		if (ret == 0)
			ret = find(tenant, domain, tag, &snapshot, err);
	}
	if (ret < 0 || virDomainSnapshotDelete(snapshot, 0) == 0)
		return ret;
	/* Of a domain that is on libvirt removes none that was saved when it had other layers. */
	return mlimg_domain_is_on(domain) ? mlimg_libvirt_remove_live(tenant, domain, snapshot, err)
					  : mlimg_domain_fail(tenant, "remove checkpoint", err);
}

/* What one has of memory libvirt does not tell: at most all that the guest has. */
static int64_t memory_of(virDomainSnapshotPtr snapshot, virDomainPtr domain)
{
	return has_memory(snapshot) ? (int64_t)virDomainGetMaxMemory(domain) * 1024 : 0;
}

int mlimg_libvirt_saved(
	const struct mlimg_tenant *tenant, json_t **ret_saved, struct mlimg_err *err)
{
	static const char prefix[] = MLIMG_SNAPSHOT_PREFIX;
	mlimg_autodomain virDomainPtr domain = NULL;
	virDomainSnapshotPtr *all = NULL;
	json_t *saved = json_object();
	int n = 0,
	    ret = saved ? mlimg_domain_find(tenant, &domain, err)
			: mlimg_err_set(err, ENOMEM, "checkpoints");

	if (ret == 0 && domain)
		n = virDomainListAllSnapshots(domain, &all, 0);
	if (n < 0)
		ret = mlimg_domain_fail(tenant, "checkpoints", err);
	for (int i = 0; i < n; i++) {
		const char *name = virDomainSnapshotGetName(all[i]);

		if (ret == 0 && strncmp(name, prefix, sizeof(prefix) - 1) == 0 &&
			json_object_set_new(saved, name + sizeof(prefix) - 1,
				json_integer(memory_of(all[i], domain))) < 0)
			ret = mlimg_err_set(err, ENOMEM, "checkpoints");
		virDomainSnapshotFree(all[i]);
	}
	free(all);
	if (ret == 0)
		*ret_saved = mlimg_steal(&saved);
	json_decref(saved);
	return ret;
}

/* Of the rest libvirt takes care: a snapshot has the whole domain with it. */
int mlimg_libvirt_machine(
	const struct mlimg_tenant *tenant, struct mlimg_machine *ret_machine, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	mlimg_autofree char *xml = NULL;
	struct mlimg_machine m = {.cpus = 0};
	const char *type, *accel;
	virDomainInfo info;
	int ret = mlimg_domain_find_on(tenant, &domain, err);

	if (ret < 0)
		return ret;
	xml = virDomainGetXMLDesc(domain, 0);
	if (!xml || virDomainGetInfo(domain, &info) < 0)
		return mlimg_domain_fail(tenant, "machine", err);
	type = strstr(xml, " machine='");
	accel = strstr(xml, "<domain type='");
	m.memory_bytes = (uint64_t)info.maxMem * 1024;
	m.cpus = info.nrVirtCpu;
	snprintf(m.devices, sizeof(m.devices), "%.*s %.*s", type ? (int)strcspn(type + 10, "'") : 1,
		type ? type + 10 : "?", accel ? (int)strcspn(accel + 14, "'") : 1,
		accel ? accel + 14 : "?");
	*ret_machine = m;
	return 0;
}
