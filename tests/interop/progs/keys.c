// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "keys.h"

#include <err.h>
#include <linux/tls.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdbool.h>
#include <string.h>

#define SECRET_MAX 48
#define NONCE_LEN 12

/* All structs of linux/tls.h have these members, in the order iv, key, salt, rec_seq. */
struct suite {
	int nid;
	uint16_t type;
	uint8_t iv_len, key_len, salt_len;
};

static const struct suite suites[] = {
	{ NID_aes_128_gcm, TLS_CIPHER_AES_GCM_128, 8, 16, 4 },
	{ NID_aes_256_gcm, TLS_CIPHER_AES_GCM_256, 8, 32, 4 },
	{ NID_aes_128_ccm, TLS_CIPHER_AES_CCM_128, 8, 16, 4 },
	{ NID_chacha20_poly1305, TLS_CIPHER_CHACHA20_POLY1305, 12, 32, 0 },
	{ NID_aria_128_gcm, TLS_CIPHER_ARIA_GCM_128, 8, 16, 4 },
	{ NID_aria_256_gcm, TLS_CIPHER_ARIA_GCM_256, 8, 32, 4 },
};

static uint8_t secrets[2][SECRET_MAX];

static const struct suite *suite_of(SSL *ssl)
{
	int nid = SSL_CIPHER_get_cipher_nid(SSL_get_current_cipher(ssl));

	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (suites[i].nid == nid)
			return &suites[i];
	errx(1, "the ULP has no cipher %s", SSL_get_cipher(ssl));
}

/* "LABEL client_random secret" of the NSS key log format. */
static void on_keylog(const SSL *ssl, const char *line)
{
	const char *hex = strrchr(line, ' ') + 1;
	int sender = KEYS_CLIENT;

	(void)ssl;
	if (!strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24))
		sender = KEYS_SERVER;
	else if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24))
		return;
	if (!OPENSSL_hexstr2buf_ex(secrets[sender], SECRET_MAX, NULL, hex, '\0'))
		errx(1, "a secret that is none: %s", line);
}

void keys_listen(SSL_CTX *ctx)
{
	SSL_CTX_set_keylog_callback(ctx, on_keylog);
}

static const EVP_MD *digest_of(SSL *ssl)
{
	return SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl));
}

static void derive(const char *name, const OSSL_PARAM *params, uint8_t *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

	if (EVP_KDF_derive(ctx, out, len, params) != 1)
		errx(1, "%s", name);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

/* HKDF-Expand-Label(secret, label, "", len). */
static void expand_label(SSL *ssl, const uint8_t *secret, const char *label, uint8_t *out,
			 size_t len)
{
	const EVP_MD *md = digest_of(ssl);
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	uint8_t info[64] = { len >> 8, len, 6 + strlen(label) };
	size_t n = 3 + sprintf((char *)info + 3, "tls13 %s", label) + 1;
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)EVP_MD_get0_name(md), 0),
		OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, EVP_MD_get_size(md)),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, info, n),
		OSSL_PARAM_END,
	};

	derive("HKDF", params, out, len);
}

/* @nonce: salt and IV of TLS 1.3; TLS 1.2 has a salt only, and its IV goes by the wire. */
static struct crypto_info make(SSL *ssl, const uint8_t *key, const uint8_t *nonce, uint64_t seq)
{
	const struct suite *s = suite_of(ssl);
	struct tls_crypto_info head = { SSL_version(ssl), s->type };
	uint64_t wire_seq = __builtin_bswap64(seq);
	bool by_wire = head.version == TLS_1_2_VERSION && s->salt_len;
	struct crypto_info info;
	uint8_t *p = info.bytes;

	p = mempcpy(p, &head, sizeof(head));
	p = mempcpy(p, by_wire ? (uint8_t *)&wire_seq : nonce + s->salt_len, s->iv_len);
	p = mempcpy(p, key, s->key_len);
	p = mempcpy(p, nonce, s->salt_len);
	p = mempcpy(p, &wire_seq, sizeof(wire_seq));
	info.len = p - info.bytes;
	return info;
}

static struct crypto_info make_tls13(SSL *ssl, const uint8_t *secret)
{
	uint8_t key[32], nonce[NONCE_LEN];

	expand_label(ssl, secret, "key", key, suite_of(ssl)->key_len);
	expand_label(ssl, secret, "iv", nonce, sizeof(nonce));
	return make(ssl, key, nonce, 0);
}

/* key_block: client key, server key, client nonce, server nonce (there is no MAC key). */
static struct crypto_info make_tls12(SSL *ssl, int sender)
{
	const struct suite *s = suite_of(ssl);
	size_t nonce_len = s->salt_len ? s->salt_len : NONCE_LEN;
	uint8_t master[48], seed[13 + 64] = "key expansion", block[2 * (32 + NONCE_LEN)];
	const char *md = EVP_MD_get0_name(digest_of(ssl));
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)md, 0),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SECRET, master, sizeof(master)),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed)),
		OSSL_PARAM_END,
	};

	SSL_SESSION_get_master_key(SSL_get_session(ssl), master, sizeof(master));
	SSL_get_server_random(ssl, seed + 13, 32);
	SSL_get_client_random(ssl, seed + 45, 32);
	derive("TLS1-PRF", params, block, 2 * (s->key_len + nonce_len));
	/* Sequence number 0 was the Finished message. */
	return make(ssl, block + sender * s->key_len, block + 2 * s->key_len + sender * nonce_len,
		    1);
}

struct crypto_info keys_first(SSL *ssl, int sender)
{
	if (SSL_version(ssl) == TLS1_3_VERSION)
		return make_tls13(ssl, secrets[sender]);
	return make_tls12(ssl, sender);
}

struct crypto_info keys_next(SSL *ssl, int sender)
{
	uint8_t next[SECRET_MAX];
	size_t len = EVP_MD_get_size(digest_of(ssl));

	expand_label(ssl, secrets[sender], "traffic upd", next, len);
	memcpy(secrets[sender], next, len);
	return make_tls13(ssl, next);
}
