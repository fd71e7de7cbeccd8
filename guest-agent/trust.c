/* SPDX-License-Identifier: MIT */
#include "guest-agent/trust.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/base64.h>
#include <nettle/bignum.h>
#include <nettle/dsa.h>
#include <nettle/ecc-curve.h>
#include <nettle/ecdsa.h>
#include <nettle/rsa.h>
#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libmlimg/io.h"

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END "-----END CERTIFICATE-----"

struct mlimg_trust {
	char *dir;
	struct {
		uint8_t *der;
		struct mlimg_cert cert; /* points into it */
	} certs[MLIMG_TRUST_CERTS_MAX];
	size_t n;
	char flaw[MLIMG_ERR_TEXT_SIZE]; /* of the first that is of no use, or "" */
};

static void __attribute__((format(printf, 2, 3)))
pass_over(struct mlimg_trust *trust, const char *fmt, ...)
{
	va_list ap;

	if (trust->flaw[0])
		return;
	va_start(ap, fmt);
	vsnprintf(trust->flaw, sizeof(trust->flaw), fmt, ap);
	va_end(ap);
}

static int add_cert(struct mlimg_trust *trust, const char *name, const uint8_t *data, size_t size,
	struct mlimg_err *err)
{
	mlimg_autofree uint8_t *der = NULL;
	struct mlimg_cert cert;
	const char *flaw;

	if (size > MLIMG_CERT_MAX) {
		pass_over(
			trust, "%.200s: a certificate of more than %d bytes", name, MLIMG_CERT_MAX);
		return 0;
	}
	der = malloc(size + 1);
	if (!der)
		return mlimg_err_set(err, ENOMEM, "%s", name);
	memcpy(der, data, size);
	flaw = mlimg_cert_parse(der, size, &cert);
	if (flaw) {
		pass_over(trust, "%.200s: %s", name, flaw);
		return 0;
	}
	if (trust->n == MLIMG_TRUST_CERTS_MAX)
		return mlimg_err_set(
			err, 0, "%s: more than %d certificates", trust->dir, MLIMG_TRUST_CERTS_MAX);
	trust->certs[trust->n].der = mlimg_steal(&der);
	trust->certs[trust->n++].cert = cert;
	return 0;
}

/* What is between the two lines is in base64, whatever its lines are like (RFC 7468, laxly). */
static int add_pem(struct mlimg_trust *trust, const char *name, const char *text, size_t size,
	struct mlimg_err *err)
{
	mlimg_autofree uint8_t *der = malloc(BASE64_DECODE_LENGTH(size) + 1);
	const char *begin = text, *end;
	size_t n_found = 0, n;
	int r = der ? 0 : mlimg_err_set(err, ENOMEM, "%s", name);

	while (r == 0 && (begin = strstr(begin, PEM_BEGIN)) != NULL) {
		struct base64_decode_ctx ctx;

		begin += strlen(PEM_BEGIN);
		end = strstr(begin, PEM_END);
		nettle_base64_decode_init(&ctx);
		n = BASE64_DECODE_LENGTH(size);
		n_found++;
		if (!end ||
			!nettle_base64_decode_update(&ctx, &n, der, (size_t)(end - begin), begin) ||
			!nettle_base64_decode_final(&ctx)) {
			pass_over(trust, "%.200s: damaged PEM", name);
			break;
		}
		r = add_cert(trust, name, der, n, err);
	}
	if (r == 0 && n_found == 0)
		pass_over(trust, "%.200s: it holds no certificate", name);
	return r;
}

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > strlen(end) && strcmp(name + len - strlen(end), end) == 0;
}

static int is_cert(const struct dirent *entry)
{
	return ends_with(entry->d_name, ".pem") || ends_with(entry->d_name, ".der");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_file(struct mlimg_trust *trust, int dir, const char *name, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	struct mlimg_err why = MLIMG_ERR_INIT;
	size_t size;
	int r = mlimg_read_file(dir, name, MLIMG_TRUST_FILE_MAX, &text, &size, &why);

	if (r < 0) {
		pass_over(trust, "%s", why.text);
		return 0;
	}
	if (ends_with(name, ".der"))
		return add_cert(trust, name, (const uint8_t *)text, size, err);
	return add_pem(trust, name, text, size, err);
}

static int load(struct mlimg_trust *trust, struct mlimg_err *err)
{
	mlimg_autoclose int dir = open(trust->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **names = NULL;
	int n, r = 0;

	if (dir < 0 && errno == ENOENT)
		return 0;
	n = dir < 0 ? -1 : scandirat(dir, ".", &names, is_cert, by_name);
	if (n < 0)
		return mlimg_err_set(err, errno, "read '%s'", trust->dir);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = add_file(trust, dir, names[i]->d_name, err);
		free(names[i]);
	}
	free(names);
	return r;
}

int mlimg_trust_load(const char *dir, struct mlimg_trust **ret_trust, struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_trust_free_cleanup) struct mlimg_trust *trust =
		calloc(1, sizeof(*trust));
	int r;

	if (trust)
		trust->dir = strdup(dir);
	if (!trust || !trust->dir)
		return mlimg_err_set(err, ENOMEM, "read '%s'", dir);
	r = load(trust, err);
	if (r == 0)
		*ret_trust = mlimg_steal(&trust);
	return r;
}

size_t mlimg_trust_size(const struct mlimg_trust *trust)
{
	return trust->n;
}

void mlimg_trust_free(struct mlimg_trust *trust)
{
	if (!trust)
		return;
	for (size_t i = 0; i < trust->n; i++)
		free(trust->certs[i].der);
	free(trust->dir);
	free(trust);
}

static void import(mpz_t ret_n, const struct mlimg_der *n)
{
	nettle_mpz_set_str_256_u(ret_n, n->size, n->at);
}

static bool is_good_rsa(
	const struct mlimg_cert *cert, const struct mlimg_pkcs7 *pkcs7, const uint8_t *digest)
{
	struct rsa_public_key key;
	bool is_good;
	mpz_t s;

	rsa_public_key_init(&key);
	mpz_init(s);
	import(key.n, &cert->n);
	import(key.e, &cert->e);
	import(s, &pkcs7->signature);
	is_good = rsa_public_key_prepare(&key) && pkcs7->signature.size == key.size &&
		(pkcs7->is_sha512 ? rsa_sha512_verify_digest(&key, digest, s)
				  : rsa_sha256_verify_digest(&key, digest, s));
	mpz_clear(s);
	rsa_public_key_clear(&key);
	return is_good;
}

static bool is_good_ecdsa(const struct mlimg_cert *cert, const struct mlimg_pkcs7 *pkcs7,
	const uint8_t *digest, size_t digest_size)
{
	const struct ecc_curve *curve =
		cert->key == MLIMG_KEY_P256 ? nettle_get_secp_256r1() : nettle_get_secp_384r1();
	struct dsa_signature signature;
	struct ecc_point point;
	struct mlimg_der r, s;
	bool is_good;
	mpz_t x, y;

	/* Neither number is longer than the curve's order: a long one would only cost time. */
	if (!mlimg_ecdsa_parse(&pkcs7->signature, &r, &s) || r.size > cert->x.size ||
		s.size > cert->x.size)
		return false;
	ecc_point_init(&point, curve);
	dsa_signature_init(&signature);
	mpz_inits(x, y, NULL);
	import(x, &cert->x);
	import(y, &cert->y);
	import(signature.r, &r);
	import(signature.s, &s);
	/* A point that is not on the curve is not set. */
	is_good = ecc_point_set(&point, x, y) &&
		ecdsa_verify(&point, digest_size, digest, &signature);
	mpz_clears(x, y, NULL);
	dsa_signature_clear(&signature);
	ecc_point_clear(&point);
	return is_good;
}

static bool is_good(
	const struct mlimg_cert *cert, const struct mlimg_pkcs7 *pkcs7, const char *text)
{
	uint8_t digest[SHA512_DIGEST_SIZE];
	struct sha512_ctx sha512;

	if (pkcs7->is_sha512) {
		sha512_init(&sha512);
		sha512_update(&sha512, strlen(text), (const uint8_t *)text);
		sha512_digest(&sha512, SHA512_DIGEST_SIZE, digest);
	} else {
		mlimg_sha256_of(text, strlen(text), digest);
	}
	if (cert->key == MLIMG_KEY_RSA)
		return pkcs7->is_rsa && is_good_rsa(cert, pkcs7, digest);
	return !pkcs7->is_rsa &&
		is_good_ecdsa(cert, pkcs7, digest,
			pkcs7->is_sha512 ? SHA512_DIGEST_SIZE : SHA256_DIGEST_SIZE);
}

static const struct mlimg_cert *find_signer(
	const struct mlimg_trust *trust, const struct mlimg_pkcs7 *pkcs7)
{
	for (size_t i = 0; i < trust->n; i++) {
		const struct mlimg_cert *cert = &trust->certs[i].cert;

		if (mlimg_der_equals(&cert->issuer, pkcs7->issuer.at, pkcs7->issuer.size) &&
			mlimg_der_equals(&cert->serial, pkcs7->serial.at, pkcs7->serial.size))
			return cert;
	}
	return NULL;
}

/*
 * As `openssl x509 -serial` writes it: without the zero byte that DER puts before a number whose
 * first bit is set. RFC 5280 has at most 20 bytes.
 */
static void print_serial(const struct mlimg_der *serial, char ret_text[41])
{
	size_t begin = serial->size > 1 && serial->at[0] == 0;

	ret_text[0] = '\0';
	for (size_t i = begin; i < serial->size && i < begin + 20; i++)
		sprintf(ret_text + 2 * (i - begin), "%02X", serial->at[i]);
}

int mlimg_trust_check(const struct mlimg_trust *trust, const uint8_t *signature, size_t size,
	const char root_hash[MLIMG_SHA256_HEX_SIZE], struct mlimg_err *err)
{
	const struct mlimg_cert *cert;
	struct mlimg_pkcs7 pkcs7;
	const char *flaw = mlimg_pkcs7_parse(signature, size, &pkcs7);
	char serial[41];

	if (flaw)
		return mlimg_err_refuse(err, "its signature is not taken: %s", flaw);
	cert = find_signer(trust, &pkcs7);
	print_serial(&pkcs7.serial, serial);
	if (!cert)
		return mlimg_err_refuse(err,
			"its signer's certificate, with serial number %s, is not in %s of the "
			"initramfs%s%s%s",
			serial, trust->dir, trust->flaw[0] ? " (" : "", trust->flaw,
			trust->flaw[0] ? ")" : "");
	if (!is_good(cert, &pkcs7, root_hash))
		return mlimg_err_refuse(err,
			"its signature is not one of its root hash %s by the certificate with "
			"serial number %s",
			root_hash, serial);
	return 0;
}
