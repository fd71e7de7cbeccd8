/* SPDX-License-Identifier: MIT */
/**
 * @file vm-kvm-probe.h
 * Whether KVM can really run 64-bit code: a guest of five pages is run.
 *
 * A KVM device that opens proves little, so the probe does what every kernel does first: it starts
 * a virtual CPU in protected mode, turns on paging and long mode, jumps into 64-bit code and writes
 * to a port (kernel document: Documentation/virt/kvm/api.rst). It runs in a child process with a
 * time limit, because where KVM is broken KVM_RUN may not return.
 *
 * It is necessary, not sufficient: tried on a machine whose CPU shows neither vmx nor svm and whose
 * /dev/kvm a stock kernel cannot use, the probe passes. So vm-accel.h looks at the CPU's flags
 * before.
 */
#ifndef MLIMG_VM_KVM_PROBE_H
#define MLIMG_VM_KVM_PROBE_H

#include "libmlimg/err.h"

#define MLIMG_KVM_PROBE_MS 1000 /**< time limit; the test guest takes well under a millisecond */

/**
 * Run the test guest.
 *
 * @param kvm_path  the device, "/dev/kvm"
 * @param err       the reason when it does not run: one clause, without "KVM does not work" around
 * it
 * @return          0 when the guest ran, else -errno
 */
int mlimg_kvm_probe(const char *kvm_path, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
