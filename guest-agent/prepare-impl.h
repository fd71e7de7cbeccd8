/* SPDX-License-Identifier: MIT */
/**
 * @file prepare-impl.h
 * Parts of `mlimg-agent prepare` that its files share.
 */
#ifndef MLIMG_PREPARE_IMPL_H
#define MLIMG_PREPARE_IMPL_H

#include <string.h>

#include "guest-agent/composed.h"
#include "guest-agent/prepare-options.h"
#include "guest-agent/protect.h"

/** A boot that is made ready. Zeroed to begin with, but for the descriptors, which are -1. */
struct mlimg_prepare {
	const struct mlimg_wanted *wanted;
	int root_fd, dir_fd; /**< /run/mlimg, and the user layer's /mlimg */
	struct mlimg_mounted layers[MLIMG_BOOT_LAYERS_MAX], user;
	size_t n_layers;
	struct mlimg_stack stack;
	struct mlimg_boot boot; /**< what boot.json will say */
	struct mlimg_boot_state old, next;
	struct mlimg_merged merged;
	struct mlimg_composed_stack composed;
	struct mlimg_protect protect;
	const char *protected_paths[MLIMG_PROTECTED_SHOWN_MAX];
};

static inline bool mlimg_prepare_is_unionfs(const struct mlimg_prepare *p)
{
	return strcmp(p->wanted->union_driver, MLIMG_UNION_UNIONFS) == 0;
}

static inline bool mlimg_prepare_is_index(const struct mlimg_prepare *p)
{
	return strcmp(p->wanted->union_driver, MLIMG_UNION_INDEX) == 0;
}

/** Open the user layer. @return 0; 1 in a rescue without one; -EUCLEAN, other -errno */
int mlimg_prepare_open_user(struct mlimg_prepare *p, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * What the user has queued (queue-run.h), or in the modes that keep nothing that it waits.
 * @return 0 or -errno
 */
int mlimg_prepare_queue(struct mlimg_prepare *p, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * What was done to the user layer, and what is still to be done before it is read.
 * @return 0 or -errno
 */
int mlimg_prepare_user(struct mlimg_prepare *p, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Refuse a user layer whose state cannot be read, or that another union driver has written. Nothing
 * was changed before. @return 0, -EUCLEAN, other -errno
 */
int mlimg_prepare_check_state(struct mlimg_prepare *p, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Compare the stack with what the user layer last ran on, and write down what it runs on now.
 * @return 0, -EUCLEAN, other -errno
 */
int mlimg_prepare_stack(struct mlimg_prepare *p, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Set aside what covers protected paths, and tell it. @return 0, -EUCLEAN, other -errno */
int mlimg_prepare_protect(struct mlimg_prepare *p, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
