/* SPDX-License-Identifier: MIT */
/**
 * @file identity.h
 * A user layer that was copied from another one gets an identity of its own: what tells one guest
 * from another is set aside under /mlimg/aside/identity-WORD, the path's slashes as dashes, and is
 * made anew by those who made it at the first boot of the other.
 *
 *     etc/machine-id               is empty afterwards, not missing: systemd makes an id, and does
 *                                  not take the boot for the first one (machine-id(5))
 *     var/lib/dbus/machine-id
 *     etc/ssh/ssh_host_*           keys, their public parts and certificates: mlimg-host-keys.service
 *     etc/dropbear/dropbear_*_host_key
 *     var/lib/systemd/random-seed, var/lib/urandom/random-seed
 *
 * Only regular files of the upper, at these paths without a symbolic link on the way. What lies in
 * the layers is everybody's, and is not touched. The host name and all else is the user's to change.
 *
 * The kernel parameter that asks for it stays on the command line. So the request is a word, and
 * /mlimg/identity holds the last one that was carried out: one line. It is written beside first,
 * for which a full disk has no room; then files are moved one by one; when all of that is on stable
 * storage, it gets its name. A boot that is cut off between has
 * run nothing of the guest, and the next one does the rest. A disk that is taken back to a moment
 * before the copy's first boot is a copy once more, by its word.
 */
#ifndef MLIMG_IDENTITY_H
#define MLIMG_IDENTITY_H

#include <stddef.h>

#include "libmlimg/err.h"

/**
 * Set the identity aside, unless it was already for this word. Durable on return.
 *
 * @param user_fd  top directory of the user layer, mounted writable; no union lies on it yet
 * @param word     see mlimg_boot_reset_is_valid()
 * @param ret_n    files that were set aside
 * @param err      names the file
 * @return         0 or -errno; then it is tried again the next time
 */
int mlimg_identity_renew(
	int user_fd, const char *word, size_t *ret_n, struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
