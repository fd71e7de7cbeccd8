/* SPDX-License-Identifier: MIT */
/**
 * @file libvirt-accel.h
 * KVM or emulation, on a host of libvirt's.
 */
#ifndef MLIMG_TOOLS_LIBVIRT_ACCEL_H
#define MLIMG_TOOLS_LIBVIRT_ACCEL_H

#include <libvirt/libvirt.h>

#include "tools/vm-accel.h"
#include "tools/vm-cmd.h"

/**
 * Decide. libvirt calls KVM usable where the host has its device; where the host's processor does
 * not virtualise, as in many a guest, that does not run anything. So KVM is taken only where libvirt
 * offers it and sees vmx or svm; on this machine also only where it has run a test guest
 * (vm-accel.h).
 *
 * @param conn     to the host
 * @param caps     virConnectGetCapabilities() of it
 * @param arch     of the guest
 * @param wanted   what the user asked for
 * @param ret      MLIMG_ACCEL_KVM or MLIMG_ACCEL_TCG
 * @param ret_why  the reason as one clause
 * @param err      the reason
 * @return         0; -errno when MLIMG_ACCEL_KVM is wanted and cannot be had
 */
int mlimg_libvirt_accel(virConnectPtr conn, const char *caps, const struct mlimg_vm_arch *arch,
	enum mlimg_accel wanted, enum mlimg_accel *ret, char ret_why[MLIMG_ACCEL_WHY_SIZE],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
