/* SPDX-License-Identifier: MIT */
/**
 * @file reset.h
 * A factory reset: the user layer's upper, and the carve-outs beside it (carve.h), make room for
 * empty ones and are set aside under /mlimg/aside/reset-WORD, or where that is taken reset-WORD-2
 * and so on; nothing is erased. With them lies a copy of state.json, which says what stack they
 * were made on.
 *
 * A kernel parameter that asks for it may still be there at the next boot. So the request is a
 * word, and /mlimg/reset holds the last one that was carried out: one line. The same word is not
 * carried out twice running.
 *
 * In what order, so that a power cut at any moment is made good by the next boot, whether or not it
 * asks for a reset: the word is written into /mlimg/reset-begun, and in a second line the name in
 * /mlimg/aside, which is free then; /mlimg/reset-new gets empty directories; each changes places
 * with the user's in one step (renameat2(2), RENAME_EXCHANGE), so that the user layer always has an
 * upper, and loses before that the flags by which it could not be renamed (chattr(1));
 * /mlimg/reset-new gets its name in aside; what would take back the last change of the stack is
 * forgotten; the word is written into /mlimg/reset; reset-begun is removed. What in reset-new is
 * empty has not changed places yet, or had nothing in it: changing places again then does no harm.
 */
#ifndef MLIMG_RESET_H
#define MLIMG_RESET_H

#include "libmlimg/boot.h"

/** in the user layer's /mlimg: the word of what is under way, and a line with the name in aside */
#define MLIMG_RESET_BEGUN "reset-begun"

/**
 * End a factory reset that was cut off, then carry out the one that is asked for, unless it was
 * already. Durable on return.
 *
 * @param user_fd   top directory of the user layer, mounted writable; no union lies on it yet
 * @param word      see mlimg_boot_reset_is_valid(); NULL where none is asked for
 * @param ret_done  the reset that this call did or finished, of two the last one
 * @param err       names the place
 * @return          0 or -errno
 */
int mlimg_reset(int user_fd, const char *word, struct mlimg_boot_reset *ret_done,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @param own_fd  the user layer's /mlimg. @return whether one was cut off */
bool mlimg_reset_is_pending(int own_fd);

#endif
