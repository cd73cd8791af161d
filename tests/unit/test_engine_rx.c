// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* engine/rx.h: the rules of CONTRACT.md, "Receive", that the engine decides. */
#include "tests/unit/unit.h"

#include "tests/unit/evp.h"

#define KEY_UPDATE 24

static struct tls_rx ready(uint16_t version, uint16_t cipher)
{
	struct tls_keys k = keys_seeded(version, cipher, 1);
	struct tls_rx rx;

	tls_rx_init(&rx);
	tls_options_set_rx(&rx, &k);
	return rx;
}

/* A home in small: the record at @wire through the whole engine. */
static int receive(struct tls_rx *rx, const uint8_t *wire, uint8_t *plain, size_t *len,
		   uint8_t *type)
{
	uint8_t text[TLS_BODY_MAX];
	struct tls_record r;
	int err, body;

	memcpy(rx->header, wire, TLS_HEADER_LEN);
	rx->header_len = TLS_HEADER_LEN;
	body = tls_rx_header(rx);
	if (body < 0)
		return body;
	err = tls_rx_plan(rx, 0, rx->header, wire + TLS_HEADER_LEN, body, &r);
	if (err)
		return err;
	if (!evp_open(rx->keys.cipher, rx->keys.key, r.nonce, r.aad, r.aad_len, wire + r.prefix_len,
		      r.plain_len, text))
		return -EBADMSG;
	err = tls_rx_opened(rx, &r, text, type, len);
	if (err)
		return err;
	memcpy(plain, text, *len);
	tls_rx_advance(rx);
	return 0;
}

static void test_records_of_every_kind_come_through_in_order(void **state)
{
	static const uint16_t versions[] = { TLSULP_VERSION_1_2, TLSULP_VERSION_1_3 };
	static const uint16_t ciphers[] = { TLSULP_AES_GCM_128, TLSULP_AES_GCM_256,
					    TLSULP_AES_CCM_128, TLSULP_CHACHA20_POLY1305 };
	static const size_t sizes[] = { 0, 1, 100, 16384 };
	static uint8_t in[16384], out[16384], wire[TLS_WIRE_MAX];

	fill_pattern(in, sizeof(in), 5);
	for (size_t i = 0; i < ARRAY_SIZE(versions) * ARRAY_SIZE(ciphers); i++) {
		struct tls_rx rx = ready(versions[i / 4], ciphers[i % 4]);
		struct tls_keys peer = rx.keys;

		for (uint64_t n = 0; n < ARRAY_SIZE(sizes); n++) {
			uint8_t type, sent = n % 2 ? TLSULP_ALERT : TLSULP_DATA;
			size_t len;

			record_seal(&peer, n, sent, in, sizes[n], wire);
			assert_int_equal(receive(&rx, wire, out, &len, &type), 0);
			assert_int_equal(type, sent);
			assert_int_equal(len, sizes[n]);
			assert_memory_equal(out, in, len);
			assert_int_equal(rx.keys.seq, n + 1);
			assert_int_equal(rx.header_len, 0);
		}
	}
}

static void test_a_changed_bit_anywhere_is_found(void **state)
{
	static const uint8_t text[4] = "abc";
	struct tls_rx rx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128);
	uint8_t wire[64], out[64], type;
	size_t len, wire_len = record_seal(&rx.keys, 0, TLSULP_DATA, text, 4, wire);

	for (size_t bit = 0; bit < wire_len * 8; bit++) {
		struct tls_rx copy = rx;

		if (bit / 8 == 3 || bit / 8 == 4)
			continue; /* the length: another record altogether */
		wire[bit / 8] ^= 1 << bit % 8;
		assert_int_equal(receive(&copy, wire, out, &len, &type),
				 bit / 8 == 1 || bit / 8 == 2 ? -EINVAL : -EBADMSG);
		assert_int_equal(copy.keys.seq, 0);
		wire[bit / 8] ^= 1 << bit % 8;
	}
	assert_int_equal(receive(&rx, wire, out, &len, &type), 0);
}

static void test_padding_is_removed(void **state)
{
	static const size_t pads[] = { 0, 1, 16, 255, 4000 };
	static const uint8_t text[4] = { 1, 2, 0, 0 };
	static uint8_t wire[TLS_WIRE_MAX], out[64];
	struct tls_rx rx = ready(TLSULP_VERSION_1_3, TLSULP_CHACHA20_POLY1305);
	struct tls_keys peer = rx.keys;
	uint8_t type;
	size_t len;

	for (uint64_t n = 0; n < ARRAY_SIZE(pads); n++) {
		record_seal_padded(&peer, n, TLSULP_ALERT, text, 4, pads[n], wire);
		assert_int_equal(receive(&rx, wire, out, &len, &type), 0);
		assert_int_equal(type, TLSULP_ALERT);
		assert_int_equal(len, 4);
		assert_memory_equal(out, text, 4);
	}
}

static void test_all_zero_inner_plaintext_is_bad(void **state)
{
	static const uint8_t zeros[100];
	struct tls_rx rx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128);
	uint8_t wire[200], out[200], type;
	size_t len;

	record_seal_inner(&rx.keys, 0, zeros, 100, wire);
	assert_int_equal(receive(&rx, wire, out, &len, &type), -EBADMSG);
	record_seal_inner(&rx.keys, 0, zeros, 1, wire);
	assert_int_equal(receive(&rx, wire, out, &len, &type), -EBADMSG);
	record_seal_inner(&rx.keys, 0, zeros, 0, wire);
	assert_int_equal(receive(&rx, wire, out, &len, &type), -EBADMSG);
}

/*
 * 16,385 bytes of inner plaintext have room for a content of 16,384 (RFC 8446
 * section 5.4). What is longer is caught by its header; tls_rx_opened() stands
 * by itself.
 */
static void test_over_long_plaintext_is_refused(void **state)
{
	static uint8_t text[TLS_PAYLOAD_MAX + 2];
	struct tls_rx rx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128), before = rx;
	struct tls_record r = { .plain_len = TLS_PAYLOAD_MAX + 1, .inner_type = TLSULP_DATA };
	uint8_t type;
	size_t len;

	memset(text, 23, sizeof(text));
	assert_int_equal(tls_rx_opened(&rx, &r, text, &type, &len), 0);
	assert_int_equal(len, TLS_PAYLOAD_MAX);
	r.plain_len++;
	assert_int_equal(tls_rx_opened(&rx, &r, text, &type, &len), -EMSGSIZE);
	rx.keys.version = TLSULP_VERSION_1_2;
	assert_int_equal(tls_rx_opened(&rx, &r, text, &type, &len), -EMSGSIZE);
	r.plain_len = TLS_PAYLOAD_MAX;
	assert_int_equal(tls_rx_opened(&rx, &r, text, &type, &len), 0);
	rx.keys.version = TLSULP_VERSION_1_3;
	assert_memory_equal(&rx, &before, sizeof(rx));
}

static void test_a_header_error_changes_nothing_by_itself(void **state)
{
	static const uint8_t bad[3][5] = { { 23, 3, 3, 0xff, 0xff },
					   { 23, 3, 3, 0, 1 },
					   { 23, 2, 3, 0, 99 } };
	static const int errors[] = { -EMSGSIZE, -EBADMSG, -EINVAL };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct tls_rx rx = ready(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128), before;

		memcpy(rx.header, bad[i], 5);
		rx.header_len = 5;
		before = rx;
		assert_int_equal(tls_rx_header(&rx), errors[i]);
		assert_memory_equal(&rx, &before, sizeof(rx));
		tls_rx_stop(&rx);
		assert_true(rx.stopped);
		assert_int_equal(rx.error, 0);
	}
}

static void test_the_last_sequence_number_is_never_opened(void **state)
{
	static const uint8_t header[] = { 23, 3, 3, 0, 30 }, body[30];
	struct tls_rx rx = ready(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128), before;
	struct tls_record r;

	rx.keys.seq = UINT64_MAX - 1;
	before = rx;
	assert_int_equal(tls_rx_plan(&rx, 0, header, body, 30, &r), 0);
	assert_int_equal(tls_rx_plan(&rx, 1, header, body, 30, &r), -EBADMSG);
	assert_int_equal(tls_rx_plan(&rx, UINT64_MAX, header, body, 30, &r), -EBADMSG);
	assert_memory_equal(&rx, &before, sizeof(rx));
	tls_rx_advance(&rx);
	assert_int_equal(tls_rx_plan(&rx, 0, header, body, 30, &r), -EBADMSG);
}

static void test_records_further_on_can_be_planned(void **state)
{
	static const uint8_t text[] = "the third";
	struct tls_rx rx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_256);
	uint8_t wire[64], out[64];
	struct tls_record r;

	record_seal(&rx.keys, 2, TLSULP_DATA, text, sizeof(text), wire);
	assert_int_equal(tls_rx_plan(&rx, 2, wire, wire + 5, sizeof(text) + 17, &r), 0);
	assert_true(evp_open(rx.keys.cipher, rx.keys.key, r.nonce, r.aad, r.aad_len, wire + 5,
			     r.plain_len, out));
	assert_memory_equal(out, text, sizeof(text));
}

static void test_a_key_update_pauses(void **state)
{
	struct tls_rx rx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128);
	struct tls_keys next = keys_seeded(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 9);

	assert_int_equal(tls_rx_ready(&rx), 0);
	assert_true(tls_rx_consumed(&rx, TLSULP_HANDSHAKE, KEY_UPDATE, 5));
	assert_int_equal(tls_rx_ready(&rx), -EKEYEXPIRED);
	tls_options_set_rx(&rx, &next);
	assert_int_equal(tls_rx_ready(&rx), 0);
}

static void test_nothing_else_pauses(void **state)
{
	struct tls_rx rx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128), before = rx;

	assert_false(tls_rx_consumed(&rx, TLSULP_DATA, KEY_UPDATE, 5));
	assert_false(tls_rx_consumed(&rx, TLSULP_ALERT, KEY_UPDATE, 2));
	assert_false(tls_rx_consumed(&rx, TLSULP_HANDSHAKE, 4, 100));
	assert_false(tls_rx_consumed(&rx, TLSULP_HANDSHAKE, KEY_UPDATE, 0));
	assert_memory_equal(&rx, &before, sizeof(rx));
	rx = ready(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128);
	assert_false(tls_rx_consumed(&rx, TLSULP_HANDSHAKE, KEY_UPDATE, 5));
	assert_int_equal(tls_rx_ready(&rx), 0);
}

static void test_an_error_is_for_ever_and_comes_first(void **state)
{
	struct tls_rx rx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128);

	tls_rx_consumed(&rx, TLSULP_HANDSHAKE, KEY_UPDATE, 5);
	tls_rx_fail(&rx, -EBADMSG);
	tls_rx_fail(&rx, -EINVAL);
	assert_int_equal(tls_rx_ready(&rx), -EBADMSG);
	assert_int_equal(tls_rx_ready(&rx), -EBADMSG);
}

static void test_a_call_never_mixes_types(void **state)
{
	for (int type = 1; type < 256; type++) {
		struct tls_rx_call call = { .has_control = true };
		bool first = false;

		assert_int_equal(tls_rx_admit(&call, type, &first), 1);
		assert_true(first);
		assert_int_equal(tls_rx_admit(&call, type, &first), 1);
		assert_false(first);
		assert_int_equal(tls_rx_admit(&call, type == 23 ? 21 : 23, &first), 0);
		assert_int_equal(call.type, type);
	}
}

static void test_data_needs_no_room_for_its_type(void **state)
{
	struct tls_rx_call call = { 0 };
	bool first;

	assert_int_equal(tls_rx_admit(&call, TLSULP_DATA, &first), 1);
	assert_int_equal(tls_rx_admit(&call, TLSULP_DATA, &first), 1);
	assert_int_equal(tls_rx_admit(&call, TLSULP_ALERT, &first), 0);
}

static void test_control_records_without_room_are_eio_and_stay(void **state)
{
	for (int type = 1; type < 256; type++) {
		struct tls_rx_call call = { 0 };
		bool first;

		assert_int_equal(tls_rx_admit(&call, type, &first), type == 23 ? 1 : -EIO);
		assert_int_equal(call.type, type == 23 ? 23 : 0);
	}
}

static void test_fresh_state(void **state)
{
	struct tls_rx rx;

	memset(&rx, 0xa5, sizeof(rx));
	tls_rx_init(&rx);
	assert_false(tls_rx_is_set(&rx));
	assert_int_equal(tls_rx_ready(&rx), 0);
	assert_int_equal(rx.header_len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records_of_every_kind_come_through_in_order),
		cmocka_unit_test(test_a_changed_bit_anywhere_is_found),
		cmocka_unit_test(test_padding_is_removed),
		cmocka_unit_test(test_all_zero_inner_plaintext_is_bad),
		cmocka_unit_test(test_over_long_plaintext_is_refused),
		cmocka_unit_test(test_a_header_error_changes_nothing_by_itself),
		cmocka_unit_test(test_the_last_sequence_number_is_never_opened),
		cmocka_unit_test(test_records_further_on_can_be_planned),
		cmocka_unit_test(test_a_key_update_pauses),
		cmocka_unit_test(test_nothing_else_pauses),
		cmocka_unit_test(test_an_error_is_for_ever_and_comes_first),
		cmocka_unit_test(test_a_call_never_mixes_types),
		cmocka_unit_test(test_data_needs_no_room_for_its_type),
		cmocka_unit_test(test_control_records_without_room_are_eio_and_stay),
		cmocka_unit_test(test_fresh_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
