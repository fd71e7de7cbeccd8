/* SPDX-License-Identifier: MIT */
/**
 * @file verity-sign.h
 * Signing root hashes and checking signatures with libcrypto, whose conventions are known in this
 * module alone. What a signature is, libmlimg/verity.h says. It equals that of `openssl smime -sign
 * -nocerts -noattr -binary -outform der` of a file with the 64 characters.
 *
 * A signature is checked as the kernel checks it (crypto/asymmetric_keys/pkcs7_trust.c): it holds
 * no certificates, so the signer's own must be among those that are trusted, found by issuer and
 * serial number. Neither its time of validity is looked at nor who issued it.
 */
#ifndef MLIMG_TOOLS_VERITY_SIGN_H
#define MLIMG_TOOLS_VERITY_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/err.h"
#include "libmlimg/sha256.h"

/** A key and its certificate. */
struct mlimg_signer;

/**
 * Read key and certificate, and see that they belong together and are of a kind that kernels and
 * guests take: RSA of 2048 to 4096 bits, or EC. A passphrase is asked for at the terminal.
 *
 * @param key_path    private key, PEM; a pipe will do
 * @param cert_path   certificate, PEM; the first one of the file counts
 * @param ret_signer  mlimg_signer_free() it
 * @param err         names the file
 * @return            0 or -errno
 */
int mlimg_signer_open(const char *key_path, const char *cert_path, struct mlimg_signer **ret_signer,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Free it; accepts NULL. */
void mlimg_signer_free(struct mlimg_signer *signer);
MLIMG_DEFINE_CLEANUP(struct mlimg_signer, mlimg_signer_free)

/** @return "has expired", "is not valid yet", or NULL: what the clock says of the certificate */
const char *mlimg_signer_doubt(const struct mlimg_signer *signer);

/**
 * Sign a root hash. With an RSA key the same hash gives the same bytes, with an EC key others each
 * time.
 *
 * @param signer         key and certificate
 * @param root_hash      64 hexadecimal digits
 * @param ret_signature  DER; free() it
 * @param ret_size       bytes, at most MLIMG_SIGNATURE_MAX
 * @param err            what libcrypto says
 * @return               0 or -errno
 */
int mlimg_signer_sign(const struct mlimg_signer *signer,
	const char root_hash[MLIMG_SHA256_HEX_SIZE], uint8_t **ret_signature, size_t *ret_size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Check a signature; it may come from a stranger.
 *
 * @param signature  bytes
 * @param size       their number
 * @param root_hash  what it must be a signature of
 * @param cert_path  the certificates that are trusted, PEM
 * @param ret_name   subject of the signer's certificate (RFC 2253); free() it
 * @param err        of kind MLIMG_ERR_REFUSED when the signature is not good: why. Else names the
 *                   file of certificates
 * @return           0; -EUCLEAN when it is not good; other -errno
 */
int mlimg_signature_check(const uint8_t *signature, size_t size,
	const char root_hash[MLIMG_SHA256_HEX_SIZE], const char *cert_path, char **ret_name,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

#endif
