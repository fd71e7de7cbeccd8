/* SPDX-License-Identifier: MIT */
/* Volumes that nobody uses (libvirt-pool.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "tools/libvirt-err.h"
#include "tools/libvirt-pool.h"
#include "tools/libvirt-volume.h"
#include "tools/libvirt-xml.h"

/* What the domains of a host say of themselves: as they are, as they start next, as they were saved. */
struct domains {
	char **xml;
	size_t n, room;
};

static void domains_done(struct domains *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->xml[i]);
	free(d->xml);
}

/* @param xml is taken; NULL, with libvirt's error: one that is gone by now uses nothing */
static int add(struct domains *d, char *xml, virDomainPtr domain, struct mlimg_err *err)
{
	if (!xml)
		return mlimg_libvirt_code() == -ENOENT
			? 0
			: mlimg_libvirt_fail(err, "domain '%s'", virDomainGetName(domain));
	if (mlimg_buffer_reserve(&d->xml, &d->room, (d->n + 1) * sizeof(*d->xml)) < 0) {
		free(xml);
		return mlimg_err_set(err, ENOMEM, "domains");
	}
	d->xml[d->n++] = xml;
	return 0;
}

/* A snapshot with memory goes on over the index, and a guest that is off is started with its kernel. */
static int add_snapshots(struct domains *d, virDomainPtr domain, struct mlimg_err *err)
{
	virDomainSnapshotPtr *all = NULL;
	int n = virDomainListAllSnapshots(domain, &all, 0), ret = 0;

	/* A driver that has none. */
	if (n < 0)
		return mlimg_libvirt_code() == -EOPNOTSUPP ? 0 : add(d, NULL, domain, err);
	for (int i = 0; i < n; i++) {
		if (ret == 0)
			ret = add(d, virDomainSnapshotGetXMLDesc(all[i], 0), domain, err);
		virDomainSnapshotFree(all[i]);
	}
	free(all);
	return ret;
}

static int add_domain(struct domains *d, virDomainPtr domain, struct mlimg_err *err)
{
	int ret = add(d, virDomainGetXMLDesc(domain, 0), domain, err);

	if (ret == 0)
		ret = add(d, virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE), domain, err);
	if (ret == 0 && virDomainHasManagedSaveImage(domain, 0) == 1)
		ret = add(d, virDomainManagedSaveGetXMLDesc(domain, 0), domain, err);
	return ret < 0 ? ret : add_snapshots(d, domain, err);
}

static int read_domains(virConnectPtr conn, struct domains *d, struct mlimg_err *err)
{
	virDomainPtr *all = NULL;
	int n = virConnectListAllDomains(conn, &all, 0), ret = 0;

	if (n < 0)
		return mlimg_libvirt_fail(err, "domains");
	for (int i = 0; i < n; i++) {
		if (ret == 0)
			ret = add_domain(d, all[i], err);
		virDomainFree(all[i]);
	}
	free(all);
	return ret;
}

/* @return 1 when one of them has that file, as XML has its name; 0; -errno */
static int is_used(const struct domains *d, const struct mlimg_volume *vol, struct mlimg_err *err)
{
	mlimg_autofree char *path = NULL, *text = NULL;
	size_t size;
	FILE *f;
	int ret = mlimg_volume_path(vol, &path, err);

	if (ret < 0)
		return ret;
	f = open_memstream(&text, &size);
	if (!f)
		return mlimg_err_set(err, ENOMEM, "volume");
	mlimg_libvirt_escape(f, path);
	if (fclose(f) != 0)
		return mlimg_err_set(err, ENOMEM, "volume");
	for (size_t i = 0; ret == 0 && i < d->n; i++)
		ret = strstr(d->xml[i], text) != NULL;
	return ret;
}

struct collector {
	struct mlimg_libvirt_pool *pool;
	struct domains domains;
	bool is_dry;
	mlimg_libvirt_gc_fn *fn;
	void *ctx;
};

/* The row first: a volume without one is read back before it is used. */
static int collect(
	struct collector *c, const struct mlimg_store_volume *volume, struct mlimg_err *err)
{
	struct mlimg_volume vol = {.vol = NULL};
	int ret = mlimg_volume_find(c->pool->pool, volume->name, &vol, err);

	if (ret == 1)
		ret = is_used(&c->domains, &vol, err);
	if (ret != 0) {
		mlimg_volume_done(&vol);
		return ret < 0 ? ret : 0;
	}
	ret = c->fn(volume, c->ctx, err);
	if (ret == 0 && !c->is_dry)
		ret = mlimg_store_volume_forget(
			c->pool->store, c->pool->host.name, volume->name, err);
	if (ret == 0 && !c->is_dry)
		ret = mlimg_volume_remove(&vol, err);
	mlimg_volume_done(&vol);
	return ret;
}

int mlimg_libvirt_gc(struct mlimg_libvirt_pool *pool, virConnectPtr conn, bool is_dry,
	mlimg_libvirt_gc_fn *fn, void *ctx, struct mlimg_err *err)
{
	mlimg_autofree struct mlimg_store_volume *volumes = NULL;
	struct collector c = {.pool = pool, .is_dry = is_dry, .fn = fn, .ctx = ctx};
	size_t n = 0;
	int ret = mlimg_store_volume_unused(pool->store, pool->host.name, &volumes, &n, err);

	if (ret == 0)
		ret = read_domains(conn, &c.domains, err);
	for (size_t i = 0; ret == 0 && i < n; i++)
		ret = collect(&c, &volumes[i], err);
	domains_done(&c.domains);
	return ret < 0 ? mlimg_err_wrap(err, ret, "host '%s'", pool->host.name) : 0;
}
