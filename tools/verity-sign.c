/* SPDX-License-Identifier: MIT */
#include "tools/verity-sign.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/verity.h"

typedef STACK_OF(X509) certs_t;

static void certs_free(certs_t *certs)
{
	sk_X509_pop_free(certs, X509_free);
}

MLIMG_DEFINE_CLEANUP(BIO, BIO_free_all)
MLIMG_DEFINE_CLEANUP(PKCS7, PKCS7_free)
MLIMG_DEFINE_CLEANUP(certs_t, certs_free)

#define auto_bio mlimg_cleanup(BIO_free_all_cleanup)
#define auto_pkcs7 mlimg_cleanup(PKCS7_free_cleanup)
#define auto_certs mlimg_cleanup(certs_free_cleanup)

#define SIGN_FLAGS (PKCS7_DETACHED | PKCS7_BINARY | PKCS7_NOATTR | PKCS7_NOCERTS)
/* Certificates that came with the signature say nothing: NOINTERN. */
#define CHECK_FLAGS (PKCS7_BINARY | PKCS7_NOINTERN | PKCS7_NOVERIFY)

#define RSA_BITS_MIN 2048 /* less is not taken by guests (guest-agent/pkcs7.h) */
#define RSA_BITS_MAX 4096 /* the kernel's limit: crypto/rsa.c */

struct mlimg_signer {
	EVP_PKEY *key;
	X509 *cert;
};

/* The first of libcrypto's queue is what went wrong; those behind it say where. */
static const char *crypto_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_get_error());

	ERR_clear_error();
	return text ? text : "no reason given";
}

static int open_file(const char *what, const char *path, BIO **ret_bio, struct mlimg_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

	if (!file) {
		int r = mlimg_err_set(err, errno, "open %s '%s'", what, path);

		if (fd >= 0)
			close(fd);
		return r;
	}
	*ret_bio = BIO_new_fp(file, BIO_CLOSE);
	if (*ret_bio)
		return 0;
	fclose(file);
	return mlimg_err_set(err, ENOMEM, "open %s '%s'", what, path);
}

struct passphrase {
	const char *key_path;
	bool is_terminal_missing;
};

/*
 * libcrypto's own way is to read standard input where there is no terminal; but that may be a
 * source.
 */
static int ask_passphrase(char *buf, int size, int is_writing, void *ctx)
{
	struct passphrase *p = ctx;
	char prompt[256];
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	p->is_terminal_missing = fd < 0;
	if (fd < 0)
		return -1;
	close(fd);
	snprintf(prompt, sizeof(prompt), "Passphrase of '%s': ", p->key_path);
	return EVP_read_pw_string(buf, size, prompt, 0) == 0 ? (int)strlen(buf) : -1;
}

static int read_key(const char *path, EVP_PKEY **ret_key, struct mlimg_err *err)
{
	struct passphrase p = {.key_path = path};
	auto_bio BIO *bio = NULL;
	int r = open_file("key", path, &bio, err);

	if (r < 0)
		return r;
	*ret_key = PEM_read_bio_PrivateKey(bio, NULL, ask_passphrase, &p);
	if (p.is_terminal_missing)
		return mlimg_err_set(
			err, 0, "key '%s' has a passphrase, and no terminal to ask for it", path);
	return *ret_key ? 0
			: mlimg_err_set(err, 0, "key '%s': no private key can be read from it (%s)",
				  path, crypto_reason());
}

static int read_cert(const char *path, X509 **ret_cert, struct mlimg_err *err)
{
	auto_bio BIO *bio = NULL;
	int r = open_file("certificate", path, &bio, err);

	if (r < 0)
		return r;
	*ret_cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	return *ret_cert ? 0
			 : mlimg_err_set(err, 0, "certificate '%s': none can be read from it (%s)",
				   path, crypto_reason());
}

/*
 * What kernels verify: crypto/rsa.c, and the curves of crypto/asymmetric_keys/x509_cert_parser.c.
 */
static int check_key(const EVP_PKEY *key, const char *path, struct mlimg_err *err)
{
	char curve[32];

	if (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN &&
		EVP_PKEY_get_bits(key) <= RSA_BITS_MAX)
		return 0;
	if (EVP_PKEY_is_a(key, "EC") &&
		EVP_PKEY_get_group_name(key, curve, sizeof(curve), NULL) == 1 &&
		(strcmp(curve, "prime256v1") == 0 || strcmp(curve, "secp384r1") == 0))
		return 0;
	return mlimg_err_set(err, 0,
		"key '%s' is of a kind that guests do not verify: RSA of %d to %d bits, or EC on "
		"P-256 or P-384 is wanted",
		path, RSA_BITS_MIN, RSA_BITS_MAX);
}

int mlimg_signer_open(const char *key_path, const char *cert_path, struct mlimg_signer **ret_signer,
	struct mlimg_err *err)
{
	mlimg_cleanup(mlimg_signer_free_cleanup) struct mlimg_signer *signer =
		calloc(1, sizeof(*signer));
	int r;

	if (!signer)
		return mlimg_err_set(err, ENOMEM, "open key '%s'", key_path);
	r = read_cert(cert_path, &signer->cert, err);
	if (r == 0)
		r = read_key(key_path, &signer->key, err);
	if (r == 0)
		r = check_key(signer->key, key_path, err);
	if (r < 0)
		return r;
	if (X509_check_private_key(signer->cert, signer->key) != 1) {
		ERR_clear_error();
		return mlimg_err_set(
			err, 0, "key '%s' is not that of certificate '%s'", key_path, cert_path);
	}
	*ret_signer = mlimg_steal(&signer);
	return 0;
}

void mlimg_signer_free(struct mlimg_signer *signer)
{
	if (!signer)
		return;
	EVP_PKEY_free(signer->key);
	X509_free(signer->cert);
	free(signer);
}

const char *mlimg_signer_doubt(const struct mlimg_signer *signer)
{
	if (X509_cmp_current_time(X509_get0_notAfter(signer->cert)) < 0)
		return "has expired";
	if (X509_cmp_current_time(X509_get0_notBefore(signer->cert)) > 0)
		return "is not valid yet";
	return NULL;
}

static PKCS7 *sign(const struct mlimg_signer *signer, BIO *data)
{
	auto_pkcs7 PKCS7 *p7 = PKCS7_sign(NULL, NULL, NULL, data, SIGN_FLAGS | PKCS7_PARTIAL);

	/* The digest is named, since what is the default is the library's affair. */
	if (!p7 ||
		!PKCS7_sign_add_signer(p7, signer->cert, signer->key, EVP_sha256(), SIGN_FLAGS) ||
		PKCS7_final(p7, data, SIGN_FLAGS) != 1)
		return NULL;
	return mlimg_steal(&p7);
}

int mlimg_signer_sign(const struct mlimg_signer *signer,
	const char root_hash[MLIMG_SHA256_HEX_SIZE], uint8_t **ret_signature, size_t *ret_size,
	struct mlimg_err *err)
{
	auto_bio BIO *data = BIO_new_mem_buf(root_hash, (int)strlen(root_hash));
	auto_pkcs7 PKCS7 *p7 = data ? sign(signer, data) : NULL;
	uint8_t *der = NULL, *copy;
	int size = p7 ? i2d_PKCS7(p7, &der) : -1;

	if (size <= 0)
		return mlimg_err_set(err, 0, "sign the root hash: %s", crypto_reason());
	copy = malloc((size_t)size);
	if (copy)
		memcpy(copy, der, (size_t)size);
	OPENSSL_free(der);
	if (!copy)
		return mlimg_err_set(err, ENOMEM, "sign the root hash");
	if (size > MLIMG_SIGNATURE_MAX) {
		free(copy);
		return mlimg_err_set(err, 0, "sign the root hash: a signature of %d bytes", size);
	}
	*ret_signature = copy;
	*ret_size = (size_t)size;
	return 0;
}

static int read_certs(const char *path, certs_t **ret_certs, struct mlimg_err *err)
{
	auto_certs certs_t *certs = sk_X509_new_null();
	auto_bio BIO *bio = NULL;
	X509 *cert;
	int r = open_file("certificate", path, &bio, err);

	if (r < 0)
		return r;
	while (certs && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		if (!sk_X509_push(certs, cert))
			X509_free(cert);
	if (!certs || sk_X509_num(certs) == 0)
		return mlimg_err_set(err, 0, "certificate '%s': none can be read from it (%s)",
			path, crypto_reason());
	ERR_clear_error(); /* that there are no more */
	*ret_certs = mlimg_steal(&certs);
	return 0;
}

static char *subject_of(const X509 *cert)
{
	auto_bio BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long size;

	if (!bio || X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) < 0)
		return NULL;
	size = BIO_get_mem_data(bio, &text);
	return strndup(text, (size_t)size);
}

static PKCS7 *parse(const uint8_t *signature, size_t size)
{
	const uint8_t *end = signature;
	auto_pkcs7 PKCS7 *p7 =
		size <= MLIMG_SIGNATURE_MAX ? d2i_PKCS7(NULL, &end, (long)size) : NULL;

	if (!p7 || end != signature + size || !PKCS7_type_is_signed(p7) || !PKCS7_is_detached(p7))
		return NULL;
	return mlimg_steal(&p7);
}

int mlimg_signature_check(const uint8_t *signature, size_t size,
	const char root_hash[MLIMG_SHA256_HEX_SIZE], const char *cert_path, char **ret_name,
	struct mlimg_err *err)
{
	auto_bio BIO *data = BIO_new_mem_buf(root_hash, (int)strlen(root_hash));
	auto_pkcs7 PKCS7 *p7 = NULL;
	auto_certs certs_t *certs = NULL;
	STACK_OF(X509) * signers;
	int r = read_certs(cert_path, &certs, err);

	if (r < 0)
		return r;
	p7 = parse(signature, size);
	ERR_clear_error();
	if (!p7)
		return mlimg_err_refuse(err, "it is no detached PKCS#7 signature");
	if (!data || PKCS7_verify(p7, certs, NULL, data, NULL, CHECK_FLAGS) != 1) {
		/*
		 * Here the last of the queue is what it means, and those before it which step said
		 * so.
		 */
		const char *reason = ERR_reason_error_string(ERR_peek_last_error());

		ERR_clear_error();
		return mlimg_err_refuse(err, "%s", reason ? reason : "no reason given");
	}
	signers = PKCS7_get0_signers(p7, certs, CHECK_FLAGS);
	*ret_name =
		signers && sk_X509_num(signers) > 0 ? subject_of(sk_X509_value(signers, 0)) : NULL;
	sk_X509_free(signers);
	return *ret_name ? 0 : mlimg_err_set(err, ENOMEM, "check a signature");
}
