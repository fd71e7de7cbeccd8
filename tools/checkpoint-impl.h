/* SPDX-License-Identifier: MIT */
/**
 * @file checkpoint-impl.h
 * What the parts of checkpoint.h share.
 */
#ifndef MLIMG_TOOLS_CHECKPOINT_IMPL_H
#define MLIMG_TOOLS_CHECKPOINT_IMPL_H

#include "tools/checkpoint.h"

/** Write down what happened to the tenant. @return 0 or -errno */
int mlimg_checkpoint_event(const struct mlimg_checkpoints *of, const char *kind, const char *text,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * @return 1 when the guest is on, 0 when it is off, -EHOSTUNREACH when its host does not answer,
 *         other -errno
 */
int mlimg_checkpoint_is_on(const struct mlimg_checkpoints *of, enum mlimg_guest_state *ret_state,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Note what is done with a checkpoint. @return 0 or -errno */
int mlimg_checkpoint_set_state(const struct mlimg_checkpoints *of, const struct mlimg_checkpoint *c,
	enum mlimg_checkpoint_state state, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** A tag that nobody has, of the time. @return 0 or -errno */
int mlimg_checkpoint_time_tag(const struct mlimg_checkpoints *of, const char *prefix,
	char ret_tag[MLIMG_CHECKPOINT_TAG_SIZE], struct mlimg_err *err) MLIMG_MUST_CHECK;

/** The row of that tag. @return 0, -ENOENT, other -errno; the message names the tenant, too */
int mlimg_checkpoint_find(const struct mlimg_checkpoints *of, const char *tag,
	struct mlimg_checkpoint *ret_checkpoint, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Refuse what the user disk has no more. @return 0, -ENOENT, other -errno */
int mlimg_checkpoint_check_lost(const struct mlimg_checkpoints *of, const char *tag,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** As mlimg_checkpoint_take(), of any origin. @return 0 or -errno */
int mlimg_checkpoint_take_as(const struct mlimg_checkpoints *of, const char *tag,
	enum mlimg_checkpoint_origin origin, bool is_disk, struct mlimg_checkpoint *ret_checkpoint,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
