/* SPDX-License-Identifier: MIT */
#include "tools/libvirt-domain.h"

#include <errno.h>
#include <time.h>

#include "tools/libvirt-bridge.h"
#include "tools/libvirt-conn.h"
#include "tools/libvirt-err.h"
#include "tools/libvirt-xml.h"

#define BUSY_MS 2000 /* how long the agent's port may be somebody else's */
#define PAUSE_MS 100 /* between tries */

int mlimg_domain_fail(const struct mlimg_tenant *tenant, const char *what, struct mlimg_err *err)
{
	return mlimg_libvirt_fail(
		err, "tenant '%s' on host '%s': %s", tenant->row.name, tenant->host, what);
}

int mlimg_domain_find(
	const struct mlimg_tenant *tenant, virDomainPtr *ret_domain, struct mlimg_err *err)
{
	char uuid[MLIMG_LIBVIRT_UUID_SIZE];
	virConnectPtr conn;
	int ret = mlimg_libvirt_connect(tenant->uri, &conn, err);

	if (ret < 0)
		return ret;
	*ret_domain = virDomainLookupByUUIDString(conn, mlimg_libvirt_uuid(tenant->row.id, uuid));
	if (*ret_domain || mlimg_libvirt_code() == -ENOENT)
		return 0;
	return mlimg_domain_fail(tenant, "domain", err);
}

bool mlimg_domain_is_on(virDomainPtr domain)
{
	int state;

	return virDomainGetState(domain, &state, NULL, 0) == 0 && state != VIR_DOMAIN_SHUTOFF &&
		state != VIR_DOMAIN_CRASHED;
}

bool mlimg_domain_is_saved(virDomainPtr domain)
{
	return !mlimg_domain_is_on(domain) && virDomainHasManagedSaveImage(domain, 0) == 1;
}

int mlimg_domain_find_on(
	const struct mlimg_tenant *tenant, virDomainPtr *ret_domain, struct mlimg_err *err)
{
	mlimg_autodomain virDomainPtr domain = NULL;
	int ret = mlimg_domain_find(tenant, &domain, err);

	if (ret < 0)
		return ret;
	if (!domain || !mlimg_domain_is_on(domain)) {
		ret = mlimg_err_set(err, 0, "tenant '%s' is off", tenant->row.name);
		if (err)
			err->code = -ENOENT;
		return ret < 0 ? -ENOENT : ret;
	}
	*ret_domain = mlimg_steal(&domain);
	return 0;
}

/* One client at a time; libvirt takes a moment to notice that the one before has gone. */
static int open_channel(virDomainPtr domain, virStreamPtr stream)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000l};
	int ret = virDomainOpenChannel(domain, MLIMG_LIBVIRT_CHANNEL, stream, 0);

	for (int i = 0; ret < 0 && mlimg_libvirt_code() == -EIO && i < BUSY_MS / PAUSE_MS; i++) {
		nanosleep(&pause, NULL);
		ret = virDomainOpenChannel(domain, MLIMG_LIBVIRT_CHANNEL, stream, 0);
	}
	return ret;
}

int mlimg_domain_agent(virDomainPtr domain, int *ret_fd, struct mlimg_err *err)
{
	virStreamPtr stream = virStreamNew(virDomainGetConnect(domain), VIR_STREAM_NONBLOCK);

	if (stream && open_channel(domain, stream) == 0)
		return mlimg_libvirt_bridge(stream, ret_fd, err);
	if (stream)
		virStreamFree(stream);
	return mlimg_libvirt_fail(err, "agent of guest '%s'", virDomainGetName(domain));
}
