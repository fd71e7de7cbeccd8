/* SPDX-License-Identifier: MIT */
/**
 * @file pkcs7.h
 * Reading signatures of root hashes (libmlimg/verity.h) and the certificates of those who make
 * them. Whether a signature is good is not said here (trust.h).
 *
 * A signature is taken in one form only: SignedData of version 1, one digest algorithm, no contents
 * (of type data), no certificates, no revocation lists, one signer, who is named by issuer and
 * serial number and has signed without attributes. So does the kernel read it
 * (crypto/asymmetric_keys/pkcs7_parser.c; pkcs7_verify.c wants contents of type data for what is
 * said to be of no special use), which takes more forms besides. Digests are SHA-256 or SHA-512,
 * keys RSA of 2048 to 4096 bits or ECDSA on P-256 or P-384.
 *
 * Of a certificate that somebody has chosen to trust, issuer, serial number and public key are
 * read. As in the kernel, neither its time of validity nor who issued it nor what the key is said
 * to be for is looked at: whoever put it there has decided, and a guest that boots may not know the
 * time.
 *
 * Sources: RFC 2315, 9 (SignedData, SignerInfo); RFC 5280, 4.1 (Certificate); RFC 3279, 2.3 (public
 * keys); RFC 5480, 2.1.1.1 (curves); RFC 5758, 3.2 (ECDSA).
 */
#ifndef MLIMG_PKCS7_H
#define MLIMG_PKCS7_H

#include "guest-agent/der.h"

#define MLIMG_CERT_MAX 8192 /**< bytes of a certificate: with RSA 4096 one has fewer than 2500 */

/** Kinds of public keys. */
enum mlimg_key_kind {
	MLIMG_KEY_RSA = 1,
	MLIMG_KEY_P256,
	MLIMG_KEY_P384,
};

/** A signature; everything points into what was read. */
struct mlimg_pkcs7 {
	struct mlimg_der issuer;    /**< of the signer's certificate, the whole Name */
	struct mlimg_der serial;    /**< of it, the contents of the integer */
	bool is_sha512;             /**< the digest; else SHA-256 */
	bool is_rsa;                /**< else ECDSA */
	struct mlimg_der signature; /**< RSA: the number, big endian; ECDSA: r and s in DER */
};

/** A certificate; everything points into what was read. */
struct mlimg_cert {
	struct mlimg_der issuer, serial; /**< as in struct mlimg_pkcs7 */
	enum mlimg_key_kind key;
	struct mlimg_der n, e; /**< RSA: modulus and exponent, big endian */
	struct mlimg_der x, y; /**< EC: the point's coordinates, big endian, 32 or 48 bytes each */
};

/**
 * Read a signature; it may come from a stranger.
 *
 * @param data       DER
 * @param size       bytes
 * @param ret_pkcs7  filled on success
 * @return           NULL; else what is not as described above, in a few static words
 */
const char *mlimg_pkcs7_parse(const uint8_t *data, size_t size, struct mlimg_pkcs7 *ret_pkcs7);

/**
 * Read a certificate.
 *
 * @param data      DER
 * @param size      bytes
 * @param ret_cert  filled on success
 * @return          NULL; else why it is of no use here, in a few static words
 */
const char *mlimg_cert_parse(const uint8_t *data, size_t size, struct mlimg_cert *ret_cert);

/**
 * Read the two numbers of an ECDSA signature (RFC 3279, 2.2.3).
 *
 * @param signature  of struct mlimg_pkcs7
 * @param ret_r      big endian
 * @param ret_s      big endian
 * @return           whether that is what it holds, and nothing else
 */
bool mlimg_ecdsa_parse(
	const struct mlimg_der *signature, struct mlimg_der *ret_r, struct mlimg_der *ret_s);

#endif
