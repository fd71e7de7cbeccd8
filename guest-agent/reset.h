/* SPDX-License-Identifier: MIT */
/**
 * @file reset.h
 * A factory reset: the user layer's upper, and the carve-outs beside it (carve.h), make room for empty ones and are set aside under
 * /mlimg/aside/reset-WORD; nothing is erased. With them lies a copy of state.json, which says what stack they were made on.
 *
 * A kernel parameter that asks for it may still be there at the next boot. So the request is a word, and /mlimg/reset holds the last one
 * that was carried out: one line. The same word is never carried out twice.
 *
 * In what order, so that a power cut at any moment is made good by the next boot, whether or not it asks for a reset: the word is written into
 * /mlimg/reset-begun; /mlimg/reset-new gets empty directories; each changes places with the user's in one step (renameat2(2), RENAME_EXCHANGE), so that the user layer always has an
 * upper; /mlimg/reset-new is renamed to aside/reset-WORD; the word is written into /mlimg/reset; reset-begun is removed. What in reset-new is empty has not changed places
 * yet, or had nothing in it: changing places again then does no harm.
 */
#ifndef MLIMG_RESET_H
#define MLIMG_RESET_H

#include "libmlimg/boot.h"

/**
 * End a factory reset that was cut off, then carry out the one that is asked for, unless it was already. Durable on return.
 *
 * @param user_fd      top directory of the user layer, mounted writable; no union lies on it yet
 * @param word         see mlimg_boot_reset_is_valid(); NULL where none is asked for
 * @param ret_done     the word of the reset that this call did or finished, of two the last one; "" for none
 * @param err          names the place
 * @return             0 or -errno
 */
int mlimg_reset(int user_fd, const char *word, char ret_done[MLIMG_BOOT_RESET_MAX + 1],
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
