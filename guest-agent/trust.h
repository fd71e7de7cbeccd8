/* SPDX-License-Identifier: MIT */
/**
 * @file trust.h
 * Who is trusted to sign layers: the certificates of a directory, in an initramfs
 * /etc/mlimg/trusted.d. A file NAME.pem holds one or more of them, a file NAME.der one; other names
 * are nothing. Signatures are checked here, in user space, with nettle: Debian's kernels check
 * dm-verity's only against keys that were compiled into them.
 *
 * As in the kernel (crypto/asymmetric_keys/pkcs7_trust.c) the signer's own certificate must be
 * among those, found by issuer and serial number. There are no chains.
 */
#ifndef MLIMG_TRUST_H
#define MLIMG_TRUST_H

#include "guest-agent/pkcs7.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/err.h"
#include "libmlimg/sha256.h"

#define MLIMG_TRUST_DIR "/etc/mlimg/trusted.d"
#define MLIMG_TRUST_CERTS_MAX 32 /**< certificates; more are refused */
#define MLIMG_TRUST_FILE_MAX \
	262144 /**< bytes of a file: 32 certificates in PEM, with text around them */

/** The certificates. */
struct mlimg_trust;

/**
 * Read a directory. A file or a certificate that is of no use is passed over, as one of another
 * kind of key, and the first one's flaw told when a signature finds no certificate.
 *
 * @param dir        the directory; that it is missing is as if it were empty
 * @param ret_trust  mlimg_trust_free() when done
 * @param err        what could not be read
 * @return           0 or -errno
 */
int mlimg_trust_load(
	const char *dir, struct mlimg_trust **ret_trust, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** @return how many certificates there are */
size_t mlimg_trust_size(const struct mlimg_trust *trust);

/**
 * Check a signature; it may come from a stranger.
 *
 * @param trust      who is trusted
 * @param signature  DER (pkcs7.h)
 * @param size       its bytes
 * @param root_hash  what it must be a signature of
 * @param err        of kind MLIMG_ERR_REFUSED: why it is not good
 * @return           0; -EUCLEAN when it is not good; -ENOMEM
 */
int mlimg_trust_check(const struct mlimg_trust *trust, const uint8_t *signature, size_t size,
	const char root_hash[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free it; accepts NULL. */
void mlimg_trust_free(struct mlimg_trust *trust);
MLIMG_DEFINE_CLEANUP(struct mlimg_trust, mlimg_trust_free)

#endif
