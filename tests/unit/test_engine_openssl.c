// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The engine opens what OpenSSL wrote, and OpenSSL reads what the engine planned. */
#include "tests/unit/unit.h"

#include "tests/unit/evp.h"
#include "tests/unit/openssl_pair.h"

#define TEXT_MAX 50000

static uint8_t text[TEXT_MAX], got[TEXT_MAX];

/* Everything that waits in @bio as records: plaintext joined in @out. Returns its length. */
static size_t open_all(BIO *bio, struct tls_keys *k, uint8_t *out, uint8_t *type)
{
	uint8_t *wire;
	long left = BIO_get_mem_data(bio, &wire);
	size_t done = 0, len;

	while (left > 0) {
		int n = record_open(k, 0, wire, out + done, &len, type);

		assert_true(n > 0 && n <= left);
		k->seq++;
		wire += n;
		left -= n;
		done += len;
	}
	BIO_reset(bio);
	return done;
}

/* @len bytes in records of at most @limit for OpenSSL to read. */
static void seal_all(BIO *bio, struct tls_keys *k, const uint8_t *in, size_t len, size_t limit)
{
	static uint8_t wire[TLS_WIRE_MAX];
	struct tls_tx tx;
	bool ends;

	tls_tx_init(&tx);
	tx.keys = *k;
	tx.max_payload = limit;
	while (len) {
		size_t take = tls_tx_next(&tx, 0, len, false, &ends);
		size_t n = record_seal(&tx.keys, 0, TLSULP_DATA, in, take, wire);

		tls_tx_commit(&tx, 1);
		assert_int_equal(BIO_write(bio, wire, n), n);
		in += take;
		len -= take;
	}
	*k = tx.keys;
}

static void read_all(SSL *ssl, uint8_t *out, size_t len)
{
	while (len) {
		int n = SSL_read(ssl, out, len);

		assert_true(n > 0);
		out += n;
		len -= n;
	}
}

static void each_suite_padded(void (*run)(struct openssl_pair *p), size_t pad_to)
{
	for (size_t i = 0; i < ARRAY_SIZE(openssl_suites); i++) {
		struct openssl_pair p;

		openssl_pair_open(&p, &openssl_suites[i], pad_to);
		run(&p);
		openssl_pair_close(&p);
	}
}

static void each_suite(void (*run)(struct openssl_pair *p))
{
	each_suite_padded(run, 0);
}

static const size_t sizes[] = { 1, 2, 15, 16, 17, 1000, 16383, 16384, 16385, 50000 };

static void opens(struct openssl_pair *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint8_t type;

		assert_int_equal(SSL_write(p->server, text, sizes[i]), sizes[i]);
		assert_int_equal(open_all(p->to_client, &p->server_keys, got, &type), sizes[i]);
		assert_int_equal(type, TLSULP_DATA);
		assert_memory_equal(got, text, sizes[i]);
		assert_int_equal(SSL_write(p->client, text + 1, sizes[i] - 1), sizes[i] - 1);
		assert_int_equal(open_all(p->to_server, &p->client_keys, got, &type), sizes[i] - 1);
		assert_memory_equal(got, text + 1, sizes[i] - 1);
	}
}

static void test_the_engine_opens_what_openssl_wrote(void **state)
{
	each_suite(opens);
}

static void seals(struct openssl_pair *p)
{
	static const size_t limits[] = { 16384, 64, 1000 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t l = 0; l < ARRAY_SIZE(limits); l++) {
			seal_all(p->to_client, &p->server_keys, text, sizes[i], limits[l]);
			read_all(p->client, got, sizes[i]);
			assert_memory_equal(got, text, sizes[i]);
			seal_all(p->to_server, &p->client_keys, text, sizes[i], limits[l]);
			read_all(p->server, got, sizes[i]);
			assert_memory_equal(got, text, sizes[i]);
		}
	}
}

static void test_openssl_reads_what_the_engine_sealed(void **state)
{
	each_suite(seals);
}

static void alerts(struct openssl_pair *p)
{
	static const uint8_t close_notify[] = { 1, 0 };
	uint8_t wire[64], type, byte;
	size_t n = record_seal(&p->server_keys, 0, TLSULP_ALERT, close_notify, 2, wire);

	assert_int_equal(SSL_shutdown(p->client), 0);
	assert_int_equal(open_all(p->to_server, &p->client_keys, got, &type), 2);
	assert_int_equal(type, TLSULP_ALERT);
	assert_memory_equal(got, close_notify, 2);
	BIO_write(p->to_client, wire, n);
	assert_int_equal(SSL_read(p->client, &byte, 1), 0);
	assert_int_equal(SSL_get_error(p->client, 0), SSL_ERROR_ZERO_RETURN);
}

static void test_alerts_go_both_ways(void **state)
{
	each_suite(alerts);
}

static void pads(struct openssl_pair *p)
{
	uint8_t type;

	if (p->server_keys.version != TLSULP_VERSION_1_3)
		return;
	for (size_t n = 1; n < 1100; n += 99) {
		assert_int_equal(SSL_write(p->server, text, n), n);
		assert_int_equal(BIO_pending(p->to_client) % 512, 5 + 16);
		assert_int_equal(open_all(p->to_client, &p->server_keys, got, &type), n);
		assert_memory_equal(got, text, n);
	}
	for (size_t pad = 0; pad < 300; pad += 37) {
		uint8_t wire[512];
		size_t n =
			record_seal_padded(&p->client_keys, 0, TLSULP_DATA, text, 100, pad, wire);

		p->client_keys.seq++;
		BIO_write(p->to_server, wire, n);
		read_all(p->server, got, 100);
		assert_memory_equal(got, text, 100);
	}
}

static void test_padding_goes_both_ways(void **state)
{
	each_suite_padded(pads, 512);
}

static void updates(struct openssl_pair *p)
{
	struct tls_rx rx;
	struct tls_keys next;
	uint8_t type;

	if (p->server_keys.version != TLSULP_VERSION_1_3)
		return;
	tls_rx_init(&rx);
	tls_options_set_rx(&rx, &p->server_keys);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(SSL_key_update(p->server, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(p->server), 1);
		assert_int_equal(open_all(p->to_client, &rx.keys, got, &type), 5);
		assert_int_equal(type, TLSULP_HANDSHAKE);
		assert_true(tls_rx_consumed(&rx, type, got[0], 5));
		assert_int_equal(tls_rx_ready(&rx), -EKEYEXPIRED);
		next = rx.keys;
		openssl_pair_update(p, p->server_secret, &next);
		tls_options_set_rx(&rx, &next);
		assert_int_equal(tls_rx_ready(&rx), 0);
		assert_int_equal(SSL_write(p->server, text, 1000), 1000);
		assert_int_equal(open_all(p->to_client, &rx.keys, got, &type), 1000);
		assert_memory_equal(got, text, 1000);
	}
}

static void test_key_updates_are_followed(void **state)
{
	each_suite(updates);
}

/* OpenSSL refuses a record out of its turn: the engine's numbers are right, not just accepted. */
static void replays(struct openssl_pair *p)
{
	uint8_t wire[64], byte;
	size_t n = record_seal(&p->server_keys, 0, TLSULP_DATA, text, 1, wire);

	BIO_write(p->to_client, wire, n);
	read_all(p->client, &byte, 1);
	BIO_write(p->to_client, wire, n);
	assert_true(SSL_read(p->client, &byte, 1) <= 0);
	assert_int_equal(SSL_get_error(p->client, -1), SSL_ERROR_SSL);
}

static void test_a_number_works_once(void **state)
{
	each_suite(replays);
}

static int setup(void **state)
{
	fill_pattern(text, sizeof(text), 7);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_engine_opens_what_openssl_wrote),
		cmocka_unit_test(test_openssl_reads_what_the_engine_sealed),
		cmocka_unit_test(test_alerts_go_both_ways),
		cmocka_unit_test(test_padding_goes_both_ways),
		cmocka_unit_test(test_key_updates_are_followed),
		cmocka_unit_test(test_a_number_works_once),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
