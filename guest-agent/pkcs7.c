/* SPDX-License-Identifier: MIT */
#include "guest-agent/pkcs7.h"

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 4096
#define EXPONENT_BYTES_MAX 8 /* 65537 has 3; a huge one would only cost time */

/* Object identifiers, as the contents of their elements. */
static const uint8_t oid_signed_data[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02};
static const uint8_t oid_data[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01};
static const uint8_t oid_sha256[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01};
static const uint8_t oid_sha512[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03};
static const uint8_t oid_rsa[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
static const uint8_t oid_ecdsa_sha256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
static const uint8_t oid_ecdsa_sha512[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04};
static const uint8_t oid_ec_key[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t oid_p256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t oid_p384[] = {0x2b, 0x81, 0x04, 0x00, 0x22};

#define IS(der, oid) mlimg_der_equals(der, oid, sizeof(oid))

/* AlgorithmIdentifier whose parameters are NULL or not there. */
static bool take_algorithm(struct mlimg_der *in, struct mlimg_der *ret_oid)
{
	struct mlimg_der algorithm, null = {.size = 0};

	return mlimg_der_take(in, MLIMG_DER_SEQUENCE, &algorithm) &&
		mlimg_der_take(&algorithm, MLIMG_DER_OID, ret_oid) &&
		(algorithm.size == 0 ||
			(mlimg_der_take(&algorithm, MLIMG_DER_NULL, &null) && null.size == 0 &&
				algorithm.size == 0));
}

static bool take_digest(struct mlimg_der *in, bool *ret_is_sha512)
{
	struct mlimg_der oid;

	if (!take_algorithm(in, &oid))
		return false;
	*ret_is_sha512 = IS(&oid, oid_sha512);
	return *ret_is_sha512 || IS(&oid, oid_sha256);
}

static bool take_version_1(struct mlimg_der *in)
{
	struct mlimg_der version;

	return mlimg_der_take_positive(in, &version) && version.size == 1 && version.at[0] == 1;
}

/* The name as it is, and the integer's contents: any number is a serial number. */
static bool take_issuer_and_serial(
	struct mlimg_der *in, struct mlimg_der *ret_issuer, struct mlimg_der *ret_serial)
{
	return mlimg_der_is_next(in, MLIMG_DER_SEQUENCE) && mlimg_der_take_any(in, ret_issuer) &&
		mlimg_der_take(in, MLIMG_DER_INTEGER, ret_serial) && ret_serial->size > 0;
}

static const char *parse_signer(struct mlimg_der *signers, struct mlimg_pkcs7 *pkcs7)
{
	struct mlimg_der signer, who, algorithm;
	bool is_sha512;

	if (!mlimg_der_take(signers, MLIMG_DER_SEQUENCE, &signer) || signers->size)
		return "it has not exactly one signer";
	if (!take_version_1(&signer) || !mlimg_der_take(&signer, MLIMG_DER_SEQUENCE, &who) ||
		!take_issuer_and_serial(&who, &pkcs7->issuer, &pkcs7->serial) || who.size)
		return "its signer is not named by issuer and serial number";
	if (!take_digest(&signer, &is_sha512) || is_sha512 != pkcs7->is_sha512)
		return "its signer has used another digest";
	if (mlimg_der_is_next(&signer, MLIMG_DER_CONTEXT_0))
		return "it is a signature of attributes";
	if (!take_algorithm(&signer, &algorithm))
		return "its algorithm cannot be read";
	pkcs7->is_rsa = IS(&algorithm, oid_rsa);
	if (!pkcs7->is_rsa &&
		!(is_sha512 ? IS(&algorithm, oid_ecdsa_sha512) : IS(&algorithm, oid_ecdsa_sha256)))
		return "its algorithm is neither RSA nor ECDSA with the same digest";
	if (!mlimg_der_take(&signer, MLIMG_DER_OCTET_STRING, &pkcs7->signature) || signer.size)
		return "it does not end with the signature itself";
	return NULL;
}

const char *mlimg_pkcs7_parse(const uint8_t *data, size_t size, struct mlimg_pkcs7 *ret_pkcs7)
{
	struct mlimg_der in = {.at = data, .size = size}, outer, oid, wrapped, signed_data, set,
			 contents;
	struct mlimg_pkcs7 pkcs7 = {.is_rsa = false};
	const char *flaw;

	if (!mlimg_der_take(&in, MLIMG_DER_SEQUENCE, &outer) || in.size ||
		!mlimg_der_take(&outer, MLIMG_DER_OID, &oid) || !IS(&oid, oid_signed_data) ||
		!mlimg_der_take(&outer, MLIMG_DER_CONTEXT_0, &wrapped) || outer.size ||
		!mlimg_der_take(&wrapped, MLIMG_DER_SEQUENCE, &signed_data) || wrapped.size ||
		!take_version_1(&signed_data))
		return "it is no PKCS#7 signature in DER";
	if (!mlimg_der_take(&signed_data, MLIMG_DER_SET, &set) ||
		!take_digest(&set, &pkcs7.is_sha512) || set.size)
		return "its digest is neither SHA-256 nor SHA-512";
	if (!mlimg_der_take(&signed_data, MLIMG_DER_SEQUENCE, &contents) ||
		!mlimg_der_take(&contents, MLIMG_DER_OID, &oid) || !IS(&oid, oid_data) ||
		contents.size)
		return "it is not detached";
	if (!mlimg_der_take(&signed_data, MLIMG_DER_SET, &set) || signed_data.size)
		return "it holds certificates, or something else that is not wanted";
	flaw = parse_signer(&set, &pkcs7);
	if (!flaw)
		*ret_pkcs7 = pkcs7;
	return flaw;
}

bool mlimg_ecdsa_parse(
	const struct mlimg_der *signature, struct mlimg_der *ret_r, struct mlimg_der *ret_s)
{
	struct mlimg_der in = *signature, both;

	return mlimg_der_take(&in, MLIMG_DER_SEQUENCE, &both) && !in.size &&
		mlimg_der_take_positive(&both, ret_r) && mlimg_der_take_positive(&both, ret_s) &&
		!both.size;
}

static size_t bits_of(const struct mlimg_der *n)
{
	size_t bits = n->size * 8;

	for (uint8_t first = n->at[0]; !(first & 0x80); first = (uint8_t)(first << 1))
		bits--;
	return bits;
}

static const char *parse_rsa(struct mlimg_der key, struct mlimg_cert *cert)
{
	struct mlimg_der numbers;

	if (!mlimg_der_take(&key, MLIMG_DER_SEQUENCE, &numbers) || key.size ||
		!mlimg_der_take_positive(&numbers, &cert->n) ||
		!mlimg_der_take_positive(&numbers, &cert->e) || numbers.size)
		return "its RSA key cannot be read";
	if (bits_of(&cert->n) < RSA_BITS_MIN || bits_of(&cert->n) > RSA_BITS_MAX)
		return "its RSA key has not 2048 to 4096 bits";
	if (!(cert->n.at[cert->n.size - 1] & 1) || !(cert->e.at[cert->e.size - 1] & 1) ||
		cert->e.size > EXPONENT_BYTES_MAX || (cert->e.size == 1 && cert->e.at[0] == 1))
		return "its RSA key is no key";
	cert->key = MLIMG_KEY_RSA;
	return NULL;
}

/* An uncompressed point. */
static const char *parse_point(
	const struct mlimg_der *key, const struct mlimg_der *curve, struct mlimg_cert *cert)
{
	size_t size = IS(curve, oid_p256) ? 32 : IS(curve, oid_p384) ? 48 : 0;

	if (!size)
		return "its key is on another curve than P-256 and P-384";
	if (key->size != 1 + 2 * size || key->at[0] != 4)
		return "its key is no uncompressed point";
	cert->key = size == 32 ? MLIMG_KEY_P256 : MLIMG_KEY_P384;
	cert->x = (struct mlimg_der){.at = key->at + 1, .size = size};
	cert->y = (struct mlimg_der){.at = key->at + 1 + size, .size = size};
	return NULL;
}

static const char *parse_key(struct mlimg_der *tbs, struct mlimg_cert *cert)
{
	struct mlimg_der info, algorithm, oid, curve, key;

	if (!mlimg_der_take(tbs, MLIMG_DER_SEQUENCE, &info) ||
		!mlimg_der_take(&info, MLIMG_DER_SEQUENCE, &algorithm) ||
		!mlimg_der_take(&algorithm, MLIMG_DER_OID, &oid) ||
		!mlimg_der_take(&info, MLIMG_DER_BIT_STRING, &key) || info.size || key.size < 1 ||
		key.at[0] != 0)
		return "its key cannot be read";
	/* How many bits of the last byte are not used: none. */
	key.at++;
	key.size--;
	if (IS(&oid, oid_rsa))
		return parse_rsa(key, cert);
	if (!IS(&oid, oid_ec_key) || !mlimg_der_take(&algorithm, MLIMG_DER_OID, &curve) ||
		algorithm.size)
		return "its key is neither RSA nor on a named curve";
	return parse_point(&key, &curve, cert);
}

const char *mlimg_cert_parse(const uint8_t *data, size_t size, struct mlimg_cert *ret_cert)
{
	struct mlimg_der in = {.at = data, .size = size}, whole, tbs, any;
	struct mlimg_cert cert = {.key = 0};
	const char *flaw;

	if (!mlimg_der_take(&in, MLIMG_DER_SEQUENCE, &whole) || in.size ||
		!mlimg_der_take(&whole, MLIMG_DER_SEQUENCE, &tbs))
		return "it is no X.509 certificate";
	/* version [0], which version 1 has not */
	if (mlimg_der_is_next(&tbs, MLIMG_DER_CONTEXT_0) && !mlimg_der_take_any(&tbs, NULL))
		return "it is no X.509 certificate";
	if (!mlimg_der_take(&tbs, MLIMG_DER_INTEGER, &cert.serial) || cert.serial.size == 0 ||
		!mlimg_der_take(&tbs, MLIMG_DER_SEQUENCE, &any) || /* signature algorithm */
		!mlimg_der_is_next(&tbs, MLIMG_DER_SEQUENCE) ||
		!mlimg_der_take_any(&tbs, &cert.issuer) ||
		!mlimg_der_take(&tbs, MLIMG_DER_SEQUENCE, &any) || /* validity */
		!mlimg_der_take(&tbs, MLIMG_DER_SEQUENCE, &any))   /* subject */
		return "it is no X.509 certificate";
	flaw = parse_key(&tbs, &cert);
	if (!flaw)
		*ret_cert = cert;
	return flaw;
}
