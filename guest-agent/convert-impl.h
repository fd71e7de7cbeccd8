/* SPDX-License-Identifier: MIT */
/**
 * @file convert-impl.h
 * Parts of a conversion (convert.h) that its files share.
 */
#ifndef MLIMG_CONVERT_IMPL_H
#define MLIMG_CONVERT_IMPL_H

#include <errno.h>
#include <time.h>

#include "guest-agent/convert.h"

#define MLIMG_CONVERT_MAKING "mlimg-convert" /**< in work: a directory until it is whole */

/** A conversion, under way. */
struct mlimg_conversion {
	const struct mlimg_mounted *user;
	const struct mlimg_boot_state *state;
	bool to_unionfs;
	int upper_fd, work_fd, dir_fd; /**< dir_fd: /mlimg */
	struct mlimg_manifest *base;   /**< read when first needed */
	mlimg_convert_step_fn *step;
	void *ctx;
};

/**
 * Read the numbers of a record "t".
 *
 * @param text  from there on
 * @param ret   the time
 * @return      the path behind them; NULL: they are none
 */
const char *mlimg_convert_time(const char *text, struct timespec *ret);

/** Before a change of the disk. @return 0, -ECANCELED */
static inline int mlimg_conversion_step(struct mlimg_conversion *c)
{
	return c->step && c->step(c->ctx) ? -ECANCELED : 0;
}

/** Carry out a record of the plan. @return 0, -EUCLEAN, -ECANCELED, other -errno */
int mlimg_conversion_do(struct mlimg_conversion *c, const char *record) MLIMG_MUST_CHECK;

#endif
