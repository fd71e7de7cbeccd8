/* SPDX-License-Identifier: MIT */
/**
 * @file hook.h
 * Hooks of a reconcile: executables of the layers that make one file of three where a table cannot
 * say how (libmlimg/path-class.h, class merge).
 *
 * Asked when the user and the new stack have both changed the contents of a regular file of that
 * class, none of the three larger than MLIMG_MERGE3_SIZE_MAX. /usr/lib/mlimg/merge.d/NAME is run as
 *
 *     argument 1       the file's path, as "/etc/foo.conf"
 *     standard input   /dev/null
 *     standard output  what is to be there: at most MLIMG_MERGE3_SIZE_MAX bytes
 *     standard error   its first line is told when the hook fails
 *     descriptors      3 the file of the old stack, 4 the user's, 5 that of the new stack; to be
 *                      read from their beginning
 *     environment      PATH, LC_ALL=C, and MLIMG_BASE: "present", or "absent" when descriptor 3 is
 *                      empty because the old stack had no such file, or its contents are not known
 *     exit status      0 merged; 1 it is a conflict: the user's stays and the new one is put beside,
 *                      as in class config. All else, a signal, the end of its time and too much
 *                      output are a conflict as well, and boot.json has a note
 *
 * Its root is what the new stack's layers show together, read-only: nothing of the user's but
 * descriptor 4 is in sight, and no symbolic link leads out. There are /proc (of its own processes),
 * /dev (null, zero, random, urandom, fd) and /tmp (in memory, MLIMG_HOOK_TMP bytes) where the
 * layers have these directories. It is root without capabilities other than CAP_DAC_READ_SEARCH,
 * has no network, and no process outlives it. It has MLIMG_HOOK_MS, and all hooks of a boot
 * MLIMG_HOOKS_MS.
 *
 * That takes Linux' namespaces and, unless there is one layer or an index, overlayfs, whatever the
 * union driver. Where the kernel lacks them no hook is run, and each file is a conflict with a
 * note.
 *
 * A boot has room for few notes (boot.h), and others than hooks need it: those of hooks are
 * MLIMG_HOOK_NOTES at most. Of all files the report says which were a conflict in spite of a hook.
 */
#ifndef MLIMG_HOOK_H
#define MLIMG_HOOK_H

#include "guest-agent/lowers.h"
#include "libmlimg/boot.h"
#include "libmlimg/reconcile-plan.h"

#define MLIMG_HOOK_DIR "usr/lib/mlimg/merge.d" /**< where hooks lie */
#define MLIMG_HOOK_MS 10000            /**< one hook's time: nobody waits longer for one file */
#define MLIMG_HOOKS_MS 60000           /**< that of all */
#define MLIMG_HOOK_MEMORY (256u << 20) /**< bytes that it may allocate */
#define MLIMG_HOOK_TMP (16u << 20)     /**< bytes in /tmp */
#define MLIMG_HOOK_NOTES 8             /**< notes of all; the last one is that there are more */

/** What running hooks takes. */
struct mlimg_hooks {
	int root_fd; /**< /run/mlimg, where the layers are mounted together for the time being */
	const struct mlimg_lowers *lowers; /**< the layers' trees */
	struct mlimg_boot *boot;           /**< gets notes */
	int64_t left_ms;                   /**< MLIMG_HOOKS_MS to begin with */
	size_t n_notes;                    /**< hooks that failed; 0 to begin with */
};

/** Ask one: mlimg_reconcile_hook_fn. @param ctx  struct mlimg_hooks */
int mlimg_hooks_merge(const struct mlimg_reconcile_hook *hook, void *ctx, char **ret_text,
	size_t *ret_size) MLIMG_MUST_CHECK;

#endif
