/* SPDX-License-Identifier: MIT */
/**
 * @file cleanup.h
 * Cleanup by attribute: a local variable marked with one of these is released when it goes out of
 * scope. To hand ownership over, use mlimg_steal() or mlimg_steal_fd(). errno is left as it was.
 */
#ifndef MLIMG_CLEANUP_H
#define MLIMG_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void mlimg_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void mlimg_cleanup_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void mlimg_cleanup_fclose(FILE **f)
{
	int saved = errno;

	if (*f)
		fclose(*f);
	errno = saved;
}

static inline void mlimg_cleanup_closedir(DIR **d)
{
	int saved = errno;

	if (*d)
		closedir(*d);
	errno = saved;
}

#define mlimg_cleanup(fn) __attribute__((cleanup(fn)))
#define mlimg_autofree mlimg_cleanup(mlimg_cleanup_free)     /**< free() */
#define mlimg_autoclose mlimg_cleanup(mlimg_cleanup_close)   /**< close() of an fd that is >= 0 */
#define mlimg_autofclose mlimg_cleanup(mlimg_cleanup_fclose) /**< fclose() */
#define mlimg_autoclosedir mlimg_cleanup(mlimg_cleanup_closedir) /**< closedir() */

/** Define a cleanup handler for `struct x *` out of a free function that accepts NULL. */
#define MLIMG_DEFINE_CLEANUP(type, free_fn)            \
	static inline void free_fn##_cleanup(type **p) \
	{                                              \
		free_fn(*p);                           \
	}

/** Take the value out of a cleaned-up pointer, which becomes NULL. */
#define mlimg_steal(pp)                                    \
	({                                                 \
		__typeof__(*(pp)) mlimg_steal_tmp = *(pp); \
		*(pp) = NULL;                              \
		mlimg_steal_tmp;                           \
	})

static inline int mlimg_steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#endif
