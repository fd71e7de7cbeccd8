/* SPDX-License-Identifier: MIT */
/* The user disk of a domain that is on: how large it is, and larger. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/libvirt-domain.h"
#include "tools/libvirt-err.h"

/* Of the domain's disks it alone is qcow2 (libvirt-xml.c). */
int mlimg_domain_disk_word(const struct mlimg_tenant *tenant, virDomainPtr domain,
	const char *before, char ret_word[MLIMG_DOMAIN_WORD_SIZE], struct mlimg_err *err)
{
	static const char disk[] = "<driver name='qemu' type='qcow2'";
	mlimg_autofree char *xml = virDomainGetXMLDesc(domain, 0);
	const char *at = xml ? strstr(xml, disk) : NULL;

	if (!xml)
		return mlimg_domain_fail(tenant, "disks", err);
	at = at ? strstr(at, before) : NULL;
	if (!at)
		return mlimg_err_set(err, ENOENT, "tenant '%s' on host '%s': its user disk",
			tenant->row.name, tenant->host);
	at += strlen(before);
	snprintf(ret_word, MLIMG_DOMAIN_WORD_SIZE, "%.*s", (int)strcspn(at, "'"), at);
	return 0;
}

/* "vdb" */
static int find_target(const struct mlimg_tenant *tenant, virDomainPtr domain,
	char ret_target[MLIMG_DOMAIN_WORD_SIZE], struct mlimg_err *err)
{
	return mlimg_domain_disk_word(tenant, domain, "<target dev='", ret_target, err);
}

int mlimg_libvirt_disk_size(
	const struct mlimg_tenant *tenant, uint64_t *ret_size_bytes, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	char target[MLIMG_DOMAIN_WORD_SIZE];
	virDomainBlockInfo info;
	int ret = mlimg_domain_find_on(tenant, &domain, err);

	if (ret == 0)
		ret = find_target(tenant, domain, target, err);
	if (ret < 0)
		return ret;
	if (virDomainGetBlockInfo(domain, target, &info, 0) < 0)
		return mlimg_domain_fail(tenant, "size of its user disk", err);
	*ret_size_bytes = info.capacity;
	return 0;
}

int mlimg_libvirt_disk_grow(
	const struct mlimg_tenant *tenant, uint64_t size_bytes, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	char target[MLIMG_DOMAIN_WORD_SIZE];
	int ret = mlimg_domain_find_on(tenant, &domain, err);

	if (ret == 0)
		ret = find_target(tenant, domain, target, err);
	if (ret < 0)
		return ret;
	if (virDomainBlockResize(domain, target, size_bytes, VIR_DOMAIN_BLOCK_RESIZE_BYTES) < 0)
		return mlimg_domain_fail(tenant, "resize", err);
	return 0;
}
