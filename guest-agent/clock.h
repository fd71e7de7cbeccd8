/* SPDX-License-Identifier: MIT */
/**
 * @file clock.h
 * Milliseconds since the guest booted, time asleep included: for deadlines and for `uptime_ms`.
 */
#ifndef MLIMG_CLOCK_H
#define MLIMG_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t mlimg_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
