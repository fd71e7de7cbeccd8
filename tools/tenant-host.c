/* SPDX-License-Identifier: MIT */
#include "tools/tenant-host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/libvirt-conn.h"

#define NAMES_MAX 1000 /* of hosts with almost the same URI */

/* "qemu+ssh://root@east.example.org:22/system" is "east.example.org", "qemu:///system" "system". */
static void name_of(const char *uri, char ret_name[MLIMG_STORE_NAME_SIZE - 4])
{
	static const char fit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	const char *from = strstr(uri, "://") + 3, *end = from + strcspn(from, "/?");
	const char *at = memchr(from, '@', (size_t)(end - from));
	size_t n;

	if (at)
		from = at + 1;
	if (from == end) {
		from = end + strspn(end, "/");
		end = from + strcspn(from, "/?");
	}
	from += strspn(from, "._-[");
	n = strspn(from, fit);
	if (n > (size_t)(end - from))
		n = (size_t)(end - from);
	snprintf(ret_name, MLIMG_STORE_NAME_SIZE - 4, "%.*s", n ? (int)n : 4, n ? from : "host");
}

static int add(struct mlimg_store *store, const char *uri, struct mlimg_store_host *host,
	struct mlimg_err *err)
{
	char name[MLIMG_STORE_NAME_SIZE - 4];
	struct mlimg_store_host there;
	int ret = 0;

	*host = (struct mlimg_store_host){.added_s = 0};
	snprintf(host->uri, sizeof(host->uri), "%s", uri);
	name_of(uri, name);
	snprintf(host->name, sizeof(host->name), "%s", name);
	for (unsigned i = 2; i < NAMES_MAX && ret == 0; i++) {
		ret = mlimg_store_host_find(store, host->name, &there, err);
		if (ret == 0)
			snprintf(host->name, sizeof(host->name), "%s-%u", name, i);
	}
	return ret == -ENOENT ? mlimg_store_host_add(store, host, err) : ret;
}

int mlimg_tenant_host_choose(struct mlimg_store *store, const char *id, const char *name,
	const char *uri, struct mlimg_err *err)
{
	struct mlimg_store_host host;
	int ret;

	if (name)
		return mlimg_store_host_set(store, id, name, err);
	ret = mlimg_libvirt_check_uri(uri, err);
	if (ret == 0)
		ret = mlimg_store_host_of_uri(store, uri, &host, err);
	if (ret == 0)
		ret = add(store, uri, &host, err);
	return ret < 0 ? ret : mlimg_store_host_set(store, id, host.name, err);
}
