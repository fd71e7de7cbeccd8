/* SPDX-License-Identifier: MIT */
/**
 * @file classes.h
 * The table of path classes as it is declared on a stack (libmlimg/class-files.h), for whoever does
 * not plan a reconcile, which reads it anyhow.
 */
#ifndef MLIMG_AGENT_CLASSES_H
#define MLIMG_AGENT_CLASSES_H

#include "guest-agent/lowers.h"
#include "libmlimg/boot.h"
#include "libmlimg/path-class.h"

/** Note that a file is left out. @param ctx  struct mlimg_boot */
void mlimg_classes_left_out(const struct mlimg_err *why, void *ctx);

/**
 * Read it.
 *
 * @param stack        merged manifest of the stack
 * @param lowers       its layers
 * @param upper_fd     the upper, which was written on that stack
 * @param is_unionfs   unionfs-fuse wrote it
 * @param boot         gets notes of what is left out
 * @param ret_classes  mlimg_path_classes_free() it
 * @param err          see there
 * @return             0, -ENOMEM, -errno of the upper
 */
int mlimg_classes_declared(const struct mlimg_manifest *stack, struct mlimg_lowers *lowers,
	int upper_fd, bool is_unionfs, struct mlimg_boot *boot,
	struct mlimg_path_classes **ret_classes, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
