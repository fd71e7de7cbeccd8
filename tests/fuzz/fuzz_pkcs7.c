/* SPDX-License-Identifier: MIT */
/*
 * Signatures and certificates: what is taken lies within what was read, and has the sizes that
 * checking relies on.
 */
#include <stdlib.h>

#include "guest-agent/pkcs7.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct mlimg_der *der, const uint8_t *data, size_t size)
{
	if (!der->at || der->at < data || der->size == 0 ||
		der->size > size - (size_t)(der->at - data))
		abort();
}

static void check_signature(const struct mlimg_pkcs7 *p, const uint8_t *data, size_t size)
{
	struct mlimg_der r, s;

	check(&p->issuer, data, size);
	check(&p->serial, data, size);
	if (p->signature.size)
		check(&p->signature, data, size);
	if (!p->is_rsa && mlimg_ecdsa_parse(&p->signature, &r, &s)) {
		check(&r, data, size);
		check(&s, data, size);
	}
}

static void check_cert(const struct mlimg_cert *c, const uint8_t *data, size_t size)
{
	check(&c->issuer, data, size);
	check(&c->serial, data, size);
	if (c->key == MLIMG_KEY_RSA) {
		check(&c->n, data, size);
		check(&c->e, data, size);
		if (c->n.size < 256 || c->n.size > 512 || c->e.size > 8)
			abort();
		return;
	}
	check(&c->x, data, size);
	check(&c->y, data, size);
	if (c->x.size != c->y.size || c->x.size != (c->key == MLIMG_KEY_P256 ? 32 : 48))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_pkcs7 pkcs7;
	struct mlimg_cert cert;

	if (!mlimg_pkcs7_parse(data, size, &pkcs7))
		check_signature(&pkcs7, data, size);
	if (!mlimg_cert_parse(data, size, &cert))
		check_cert(&cert, data, size);
	return 0;
}
