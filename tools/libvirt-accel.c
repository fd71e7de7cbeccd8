/* SPDX-License-Identifier: MIT */
#include "tools/libvirt-accel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "tools/libvirt-conn.h"
#include "tools/libvirt-err.h"

/*
 * What a model of processors has is not told with it, so libvirt is asked to spell all of it out: of
 * AMD's, svm may be part of the model.
 */
static char *features_of_host(virConnectPtr conn, const char *caps)
{
	const char *from = strstr(caps, "<cpu>"), *end = from ? strstr(from, "</cpu>") : NULL;
	mlimg_autofree char *cpu = end ? strndup(from, (size_t)(end - from) + 6) : NULL;
	const char *list[1] = {cpu};

	return cpu ? virConnectBaselineCPU(conn, list, 1, VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES)
		   : NULL;
}

/* The processor first: where KVM's device does not work, libvirt needs seconds for the rest. */
static int check_kvm(virConnectPtr conn, const char *host, const struct mlimg_vm_arch *arch,
	struct mlimg_err *err)
{
	mlimg_autofree char *features = features_of_host(conn, host), *caps = NULL, *uri = NULL;
	char why[MLIMG_ACCEL_WHY_SIZE];
	enum mlimg_accel accel;

	if (!features)
		return mlimg_err_set(err, 0, "the host does not tell what its CPU has");
	if (!strstr(features, " name='vmx'/>") && !strstr(features, " name='svm'/>"))
		return mlimg_err_set(err, 0, "the host's CPU shows neither vmx nor svm");
	caps = virConnectGetDomainCapabilities(conn, NULL, arch->name, arch->machine, "kvm", 0);
	if (!caps)
		return mlimg_libvirt_fail(err, "the host has no KVM");
	uri = virConnectGetURI(conn);
	return uri && mlimg_libvirt_is_local(uri)
		? mlimg_accel_choose(MLIMG_ACCEL_KVM, &mlimg_accel_this_host, &accel, why, err)
		: 0;
}

int mlimg_libvirt_accel(virConnectPtr conn, const char *caps, const struct mlimg_vm_arch *arch,
	enum mlimg_accel wanted, enum mlimg_accel *ret, char ret_why[MLIMG_ACCEL_WHY_SIZE],
	struct mlimg_err *err)
{
	struct mlimg_err why = MLIMG_ERR_INIT;
	bool has_kvm = wanted != MLIMG_ACCEL_TCG && check_kvm(conn, caps, arch, &why) == 0;

	if (wanted == MLIMG_ACCEL_KVM && !has_kvm)
		return mlimg_err_set(err, 0, "KVM cannot be used: %s", why.text);
	snprintf(ret_why, MLIMG_ACCEL_WHY_SIZE, "%.*s", MLIMG_ACCEL_WHY_SIZE - 1,
		wanted == MLIMG_ACCEL_TCG ? "asked for"
			: has_kvm         ? "the host has it"
					  : why.text);
	*ret = has_kvm ? MLIMG_ACCEL_KVM : MLIMG_ACCEL_TCG;
	return 0;
}
