/* SPDX-License-Identifier: MIT */
/**
 * @file tenant-host.h
 * Which host a tenant runs on, as somebody wants it.
 */
#ifndef MLIMG_TOOLS_TENANT_HOST_H
#define MLIMG_TOOLS_TENANT_HOST_H

#include "tools/store-host.h"

/**
 * Say where a tenant runs that is off. A URI that no host has becomes a host, named by what stands
 * in it: the other machine's name, else its last word.
 *
 * @param store  the store
 * @param id     the tenant's
 * @param name   the host's name, or NULL
 * @param uri    where @p name is NULL: its URI
 * @param err    -ENOENT: no such host; of kind MLIMG_ERR_USAGE: it is no URI
 * @return       0, -ENOENT, -EINVAL, other -errno
 */
int mlimg_tenant_host_choose(struct mlimg_store *store, const char *id, const char *name,
	const char *uri, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
