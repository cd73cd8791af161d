// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tests/unit/openssl_pair.h"

#include "tests/unit/evp.h"
#include "tests/unit/unit.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/x509.h>

const struct openssl_suite openssl_suites[8] = {
	{ TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, "TLS_AES_128_GCM_SHA256", "SHA256", 32 },
	{ TLSULP_VERSION_1_3, TLSULP_AES_GCM_256, "TLS_AES_256_GCM_SHA384", "SHA384", 48 },
	{ TLSULP_VERSION_1_3, TLSULP_CHACHA20_POLY1305, "TLS_CHACHA20_POLY1305_SHA256", "SHA256",
	  32 },
	{ TLSULP_VERSION_1_3, TLSULP_AES_CCM_128, "TLS_AES_128_CCM_SHA256", "SHA256", 32 },
	{ TLSULP_VERSION_1_2, TLSULP_AES_GCM_128, "ECDHE-ECDSA-AES128-GCM-SHA256", "SHA256", 48 },
	{ TLSULP_VERSION_1_2, TLSULP_AES_GCM_256, "ECDHE-ECDSA-AES256-GCM-SHA384", "SHA384", 48 },
	{ TLSULP_VERSION_1_2, TLSULP_CHACHA20_POLY1305, "ECDHE-ECDSA-CHACHA20-POLY1305", "SHA256",
	  48 },
	{ TLSULP_VERSION_1_2, TLSULP_AES_CCM_128, "ECDHE-ECDSA-AES128-CCM", "SHA256", 48 },
};

static void certify(SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();

	assert_non_null(key);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const uint8_t *)"test", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(x);
	EVP_PKEY_free(key);
}

/* "LABEL client_random secret" of the NSS key log format. */
static void on_keylog(const SSL *ssl, const char *line)
{
	struct openssl_pair *p = SSL_get_app_data(ssl);
	const char *secret = strrchr(line, ' ');

	if (!strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24))
		unhex(secret + 1, p->client_secret);
	else if (!strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24))
		unhex(secret + 1, p->server_secret);
}

static void derive(const char *name, const OSSL_PARAM *params, uint8_t *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

	assert_int_equal(EVP_KDF_derive(ctx, out, len, params), 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

/* HKDF-Expand-Label(secret, label, "", len): RFC 8446 section 7.1. */
static void expand_label(const struct openssl_pair *p, const uint8_t *secret, const char *label,
			 uint8_t *out, size_t len)
{
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	uint8_t info[64] = { len >> 8, len, 6 + strlen(label) };
	size_t n = 3 + sprintf((char *)info + 3, "tls13 %s", label) + 1;
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)p->digest, 6),
		OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, p->secret_len),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, info, n),
		OSSL_PARAM_END,
	};

	derive("HKDF", params, out, len);
}

static struct tls_keys keys_tls13(const struct openssl_pair *p, uint16_t cipher,
				  const uint8_t *secret)
{
	uint8_t key[TLS_KEY_MAX], iv[TLS_NONCE_LEN];

	expand_label(p, secret, "key", key, tls_cipher_find(cipher)->key_len);
	expand_label(p, secret, "iv", iv, sizeof(iv));
	return keys_make(TLSULP_VERSION_1_3, cipher, key, iv, 0);
}

void openssl_pair_update(const struct openssl_pair *p, uint8_t *secret, struct tls_keys *keys)
{
	uint8_t next[SECRET_MAX];

	expand_label(p, secret, "traffic upd", next, p->secret_len);
	memcpy(secret, next, p->secret_len);
	*keys = keys_tls13(p, keys->cipher, secret);
}

/* key_block: client key, server key, client iv, server iv (there is no MAC key). */
static void keys_tls12(struct openssl_pair *p, uint16_t cipher)
{
	const struct tls_cipher *c = tls_cipher_find(cipher);
	size_t fixed = TLS_NONCE_LEN - c->explicit_len;
	uint8_t master[48], seed[13 + 64] = "key expansion", block[2 * (32 + 12)];
	uint8_t client_iv[TLS_NONCE_LEN] = { 0 }, server_iv[TLS_NONCE_LEN] = { 0 };
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)p->digest, 6),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SECRET, master, sizeof(master)),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed)),
		OSSL_PARAM_END,
	};

	SSL_SESSION_get_master_key(SSL_get_session(p->client), master, sizeof(master));
	SSL_get_server_random(p->client, seed + 13, 32);
	SSL_get_client_random(p->client, seed + 45, 32);
	derive("TLS1-PRF", params, block, 2 * (c->key_len + fixed));
	memcpy(client_iv, block + 2 * c->key_len, fixed);
	memcpy(server_iv, block + 2 * c->key_len + fixed, fixed);
	/* Sequence number 0 was the Finished message. */
	p->client_keys = keys_make(TLSULP_VERSION_1_2, cipher, block, client_iv, 1);
	p->server_keys = keys_make(TLSULP_VERSION_1_2, cipher, block + c->key_len, server_iv, 1);
}

static SSL_CTX *make_ctx(const SSL_METHOD *method, const struct openssl_suite *s)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	SSL_CTX_set_min_proto_version(ctx, s->version);
	SSL_CTX_set_max_proto_version(ctx, s->version);
	SSL_CTX_set_num_tickets(ctx, 0);
	if (s->version == TLSULP_VERSION_1_3)
		assert_int_equal(SSL_CTX_set_ciphersuites(ctx, s->name), 1);
	else
		assert_int_equal(SSL_CTX_set_cipher_list(ctx, s->name), 1);
	return ctx;
}

static void handshake(struct openssl_pair *p)
{
	for (int i = 0; i < 10; i++)
		if (SSL_do_handshake(p->client) == 1 && SSL_do_handshake(p->server) == 1)
			return;
		else
			SSL_do_handshake(p->server);
	fail_msg("no handshake");
}

void openssl_pair_open(struct openssl_pair *p, const struct openssl_suite *s, size_t pad_to)
{
	memset(p, 0, sizeof(*p));
	p->digest = s->digest;
	p->secret_len = s->secret_len;
	p->client_ctx = make_ctx(TLS_client_method(), s);
	p->server_ctx = make_ctx(TLS_server_method(), s);
	certify(p->server_ctx);
	SSL_CTX_set_keylog_callback(p->client_ctx, on_keylog);
	p->client = SSL_new(p->client_ctx);
	p->server = SSL_new(p->server_ctx);
	SSL_set_app_data(p->client, p);
	p->to_client = BIO_new(BIO_s_mem());
	p->to_server = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(p->to_client, -1);
	BIO_set_mem_eof_return(p->to_server, -1);
	BIO_up_ref(p->to_client);
	BIO_up_ref(p->to_server);
	SSL_set_bio(p->client, p->to_client, p->to_server);
	SSL_set_bio(p->server, p->to_server, p->to_client);
	BIO_up_ref(p->to_client); /* one for us */
	BIO_up_ref(p->to_server);
	SSL_set_connect_state(p->client);
	SSL_set_accept_state(p->server);
	/* Since OpenSSL 3.2 this is heard when keys are made, so not after the handshake. */
	SSL_set_block_padding(p->server, pad_to);
	handshake(p);
	if (s->version == TLSULP_VERSION_1_3) {
		p->client_keys = keys_tls13(p, s->cipher, p->client_secret);
		p->server_keys = keys_tls13(p, s->cipher, p->server_secret);
	} else {
		keys_tls12(p, s->cipher);
	}
}

void openssl_pair_close(struct openssl_pair *p)
{
	SSL_free(p->client);
	SSL_free(p->server);
	BIO_free(p->to_client);
	BIO_free(p->to_server);
	SSL_CTX_free(p->client_ctx);
	SSL_CTX_free(p->server_ctx);
}
