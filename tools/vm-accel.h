/* SPDX-License-Identifier: MIT */
/**
 * @file vm-accel.h
 * KVM or emulation: which of the two a guest is run with, and why.
 */
#ifndef MLIMG_VM_ACCEL_H
#define MLIMG_VM_ACCEL_H

#include "libmlimg/err.h"

/** How the guest's CPU is provided. */
enum mlimg_accel {
	MLIMG_ACCEL_AUTO, /**< wanted only: KVM where it can really run a guest, else TCG */
	MLIMG_ACCEL_KVM,  /**< hardware */
	MLIMG_ACCEL_TCG,  /**< QEMU's emulation */
};

#define MLIMG_ACCEL_WHY_SIZE 256 /**< bytes of the reason, NUL included */

/** What the decision is made from; tests put their own in. */
struct mlimg_accel_host {
	const char *cpuinfo_path; /**< "/proc/cpuinfo" */
	const char *kvm_path;     /**< "/dev/kvm" */
	/** runs the test guest: mlimg_kvm_probe() */
	int (*probe)(const char *kvm_path, struct mlimg_err *err);
};

/** This machine. */
extern const struct mlimg_accel_host mlimg_accel_this_host;

/** @return "auto", "kvm" or "tcg" */
const char *mlimg_accel_name(enum mlimg_accel accel);

/**
 * The accelerator called @p name.
 *
 * @param name       what the user gave
 * @param ret_accel  the accelerator
 * @param err        of kind MLIMG_ERR_USAGE
 * @return           0, -EINVAL
 */
int mlimg_accel_of(
	const char *name, enum mlimg_accel *ret_accel, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Decide. KVM is taken only where the CPU shows vmx or svm, the device answers, and a test guest
 * runs.
 *
 * @param wanted   what the user asked for; MLIMG_ACCEL_TCG looks at nothing
 * @param host     where to look
 * @param ret      MLIMG_ACCEL_KVM or MLIMG_ACCEL_TCG
 * @param ret_why  the reason as one clause: "the CPU shows neither vmx nor svm"
 * @param err      the reason
 * @return         0; -errno when MLIMG_ACCEL_KVM is wanted and cannot run here
 */
int mlimg_accel_choose(enum mlimg_accel wanted, const struct mlimg_accel_host *host,
	enum mlimg_accel *ret, char ret_why[MLIMG_ACCEL_WHY_SIZE],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
