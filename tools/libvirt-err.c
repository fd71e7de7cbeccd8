/* SPDX-License-Identifier: MIT */
#include "tools/libvirt-err.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "libmlimg/cleanup.h"

static const struct {
	int libvirt, code;
} codes[] = {
	{VIR_ERR_NO_MEMORY, ENOMEM},
	{VIR_ERR_NO_DOMAIN, ENOENT},
	{VIR_ERR_NO_STORAGE_POOL, ENOENT},
	{VIR_ERR_NO_STORAGE_VOL, ENOENT},
	{VIR_ERR_NO_DOMAIN_SNAPSHOT, ENOENT},
	{VIR_ERR_NO_NETWORK, ENOENT},
	{VIR_ERR_DOM_EXIST, EEXIST},
	{VIR_ERR_STORAGE_VOL_EXIST, EEXIST},
	{VIR_ERR_OPERATION_TIMEOUT, ETIMEDOUT},
	{VIR_ERR_AGENT_UNRESPONSIVE, ETIMEDOUT},
	{VIR_ERR_AUTH_FAILED, EACCES},
	{VIR_ERR_AUTH_CANCELLED, EACCES},
	{VIR_ERR_AUTH_UNAVAILABLE, EACCES},
	{VIR_ERR_ACCESS_DENIED, EACCES},
	{VIR_ERR_OPERATION_DENIED, EACCES},
	{VIR_ERR_INVALID_ARG, EINVAL},
	{VIR_ERR_NO_SUPPORT, EOPNOTSUPP},
	{VIR_ERR_CONFIG_UNSUPPORTED, EOPNOTSUPP},
	{VIR_ERR_ARGUMENT_UNSUPPORTED, EOPNOTSUPP},
	{VIR_ERR_OPERATION_UNSUPPORTED, EOPNOTSUPP},
	{VIR_ERR_OPERATION_INVALID, EBUSY},
	{VIR_ERR_RESOURCE_BUSY, EBUSY},
	{VIR_ERR_NO_CONNECT, EHOSTUNREACH},
	{VIR_ERR_INVALID_CONN, EHOSTUNREACH},
	{VIR_ERR_RPC, EHOSTUNREACH},
	{VIR_ERR_GNUTLS_ERROR, EHOSTUNREACH},
};

/* A system error carries errno of the host, in int1. Of a connection it is one that failed. */
static int code_of(const virError *e)
{
	if (!e || e->code == VIR_ERR_OK)
		return EIO;
	if (e->code == VIR_ERR_SYSTEM_ERROR)
		return e->domain == VIR_FROM_RPC || e->domain == VIR_FROM_REMOTE ? EHOSTUNREACH
			: e->int1 > 0                                            ? e->int1
										 : EIO;
	/* A client whose connection has closed, or whose other end has. */
	if (e->code == VIR_ERR_INTERNAL_ERROR && e->domain == VIR_FROM_RPC)
		return EHOSTUNREACH;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].libvirt == e->code)
			return codes[i].code;
	return EIO;
}

int mlimg_libvirt_code(void)
{
	return -code_of(virGetLastError());
}

int mlimg_libvirt_fail(struct mlimg_err *err, const char *fmt, ...)
{
	const virError *e = virGetLastError();
	int code = code_of(e);
	mlimg_autofree char *what = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&what, fmt, ap);
	va_end(ap);
	if (n < 0) {
		what = NULL;
		return mlimg_err_set(err, ENOMEM, "libvirt");
	}
	/* libvirt's text has the system's in it already. */
	n = mlimg_err_set(err, 0, "%s: %s", what, e && e->message ? e->message : "no reason given");
	if (err)
		err->code = -code;
	return n < 0 ? -code : n;
}

static void ignore(void *ctx, virErrorPtr e)
{
}

void mlimg_libvirt_be_quiet(void)
{
	virSetErrorFunc(NULL, ignore);
}
