/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints of the disk alone of a domain that is on. libvirt makes such snapshots in files of their
 * own only, which would make the disk a chain; so QEMU makes it, asked through libvirt, and libvirt is
 * told of it as of one that was made while the domain was off, which is the same to it: it lists it, and
 * goes back to it. It is told before, so that what a killed command leaves is found.
 *
 * libvirt notes in the domain's log that somebody has talked to its QEMU ("tainted: custom-monitor"),
 * and does nothing else about it.
 */
#include <errno.h>
#include <libvirt/libvirt-qemu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libmlimg/json.h"
#include "tools/checkpoint-freeze.h"
#include "tools/checkpoint-qemu.h"
#include "tools/libvirt-domain.h"
#include "tools/libvirt-err.h"
#include "tools/vm-watch.h"

/* What QEMU has answered. @param ret json_decref() it; may be NULL */
static int read_answer(const struct mlimg_tenant *tenant, const char *command, const char *text,
	json_t **ret, struct mlimg_err *err)
{
	mlimg_autojson json_t *answer = json_loads(text, 0, NULL);
	json_t *value = json_object_get(answer, "return");

	if (!value)
		return mlimg_err_set(err, 0, "tenant '%s' on host '%s': %s: %s", tenant->row.name,
			tenant->host, command,
			mlimg_json_text(json_object_get(answer, "error"), "desc", "no answer"));
	if (ret)
		*ret = json_incref(value);
	return 0;
}

/* Ask QEMU. @param request is taken; @param ret as of read_answer() */
static int ask(const struct mlimg_tenant *tenant, virDomainPtr domain, json_t *request,
	json_t **ret, struct mlimg_err *err)
{
	mlimg_autofree char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	mlimg_autofree char *answer = NULL;
	char command[64];

	snprintf(command, sizeof(command), "%s", mlimg_json_text(request, "execute", ""));
	json_decref(request);
	if (!text)
		return mlimg_err_set(err, ENOMEM, "ask QEMU");
	if (virDomainQemuMonitorCommand(domain, text, &answer, 0) < 0)
		return mlimg_domain_fail(tenant, "ask its QEMU", err);
	return read_answer(tenant, command, answer, ret, err);
}

/* The user disk, as QEMU has it: libvirt calls the device "virtio-disk1". @return json_decref() it */
static int find_disk(const struct mlimg_tenant *tenant, virDomainPtr domain, json_t **ret_disk,
	struct mlimg_err *err)
{
	char alias[MLIMG_DOMAIN_WORD_SIZE], part[MLIMG_DOMAIN_WORD_SIZE + 2];
	json_t *disks = NULL, *disk, *found = NULL;
	size_t i;
	int ret = mlimg_domain_disk_word(tenant, domain, "<alias name='", alias, err);

	if (ret == 0)
		ret = ask(
			tenant, domain, json_pack("{s:s}", "execute", "query-block"), &disks, err);
	if (ret < 0)
		return ret;
	snprintf(part, sizeof(part), "/%s/", alias);
	json_array_foreach(disks, i, disk)
	{
		if (strstr(mlimg_json_text(disk, "qdev", ""), part))
			found = json_incref(json_object_get(disk, "inserted"));
	}
	json_decref(disks);
	if (!found || !*mlimg_json_text(found, "node-name", "")) {
		json_decref(found);
		return mlimg_err_set(err, ENOENT, "tenant '%s' on host '%s': QEMU's disk '%s'",
			tenant->row.name, tenant->host, alias);
	}
	*ret_disk = found;
	return 0;
}

static int ask_disk(const struct mlimg_tenant *tenant, virDomainPtr domain, const char *command,
	const json_t *disk, const char *name, struct mlimg_err *err)
{
	return ask(tenant, domain,
		json_pack("{s:s, s:{s:s, s:s}}", "execute", command, "arguments", "device",
			mlimg_json_text(disk, "node-name", ""), "name", name),
		NULL, err);
}

/* Tags, and libvirt's own XML, need no escaping. */
int mlimg_libvirt_announce(const struct mlimg_tenant *tenant, virDomainPtr domain, const char *tag,
	struct mlimg_err *err)
{
	mlimg_autofree char *xml =
		virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
	mlimg_autofree char *text = NULL;
	virDomainSnapshotPtr snapshot;

	if (!xml)
		return mlimg_domain_fail(tenant, "save", err);
	if (asprintf(&text,
		    "<domainsnapshot><name>" MLIMG_SNAPSHOT_PREFIX "%s</name><state>shutoff</state>"
		    "<creationTime>%lld</creationTime><memory snapshot='no'/>%s</domainsnapshot>",
		    tag, (long long)time(NULL), xml) < 0) {
		text = NULL;
		return mlimg_err_set(err, ENOMEM, "save");
	}
	snapshot = virDomainSnapshotCreateXML(domain, text, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);
	if (!snapshot)
		return mlimg_domain_fail(tenant, "save", err);
	virDomainSnapshotFree(snapshot);
	return 0;
}

int mlimg_libvirt_save_frozen(const struct mlimg_tenant *tenant, virDomainPtr domain,
	const char *tag, struct mlimg_err *err)
{
	struct mlimg_freeze freeze = MLIMG_FREEZE_INIT;
	char name[MLIMG_SNAPSHOT_NAME_SIZE];
	json_t *disk = NULL;
	int ret = find_disk(tenant, domain, &disk, err);

	mlimg_snapshot_name(tag, name);
	if (ret == 0)
		ret = mlimg_libvirt_announce(tenant, domain, tag, err);
	if (ret == 0)
		ret = mlimg_freeze_begin(mlimg_backend_of(tenant), tenant, &freeze, err);
	if (ret == 0)
		ret = ask_disk(tenant, domain, "blockdev-snapshot-internal-sync", disk, name, err);
	if (ret == 0)
		ret = mlimg_freeze_thaw(&freeze, err);
	mlimg_freeze_end(&freeze);
	json_decref(disk);
	return ret;
}

static bool has_snapshot(const json_t *disk, const char *name)
{
	const json_t *snapshot;
	size_t i;

	json_array_foreach(
		json_object_get(json_object_get(disk, "image"), "snapshots"), i, snapshot)
	{
		if (strcmp(mlimg_json_text(snapshot, "name", ""), name) == 0)
			return true;
	}
	return false;
}

int mlimg_libvirt_remove_live(const struct mlimg_tenant *tenant, virDomainPtr domain,
	virDomainSnapshotPtr snapshot, struct mlimg_err *err)
{
	const char *name = virDomainSnapshotGetName(snapshot);
	json_t *disk = NULL;
	int ret = find_disk(tenant, domain, &disk, err);

	if (ret == 0 && has_snapshot(disk, name))
		ret = ask_disk(
			tenant, domain, "blockdev-snapshot-delete-internal-sync", disk, name, err);
	json_decref(disk);
	if (ret == 0 &&
		virDomainSnapshotDelete(snapshot, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY) < 0)
		return mlimg_domain_fail(tenant, "remove checkpoint", err);
	return ret;
}
