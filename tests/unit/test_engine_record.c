// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * engine/record.h against the trace of RFC 8448 section 3 (simple 1-RTT
 * handshake), and the rules of CONTRACT.md, "Receive", about headers and padding.
 */
#include "tests/unit/unit.h"

#include "tests/unit/evp.h"

static const char client_key[] = "17422dda596ed5d9acd890e3c63f5051";
static const char client_iv[] = "5b78923dee08579033e523d9";
static const char server_key[] = "9f02283b6c9c07efc26bb9f2ac92e356";
static const char server_iv[] = "cf782b88dd83549aadf1e984";

static const char app_data[] =
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526272829"
	"2a2b2c2d2e2f3031";

/* Each record of section 3 under the application traffic keys. */
static const struct trace {
	bool client;
	uint64_t seq;
	uint8_t type;
	const char *plain; /* NULL: known by its type and length only */
	size_t plain_len;
	const char *record;
} traces[] = {
	{ true, 0, TLSULP_DATA, app_data, 50,
	  "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a"
	  "20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4" },
	{ true, 1, TLSULP_ALERT, "0100", 2, "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3" },
	{ false, 0, TLSULP_HANDSHAKE, NULL, 205, /* NewSessionTicket */
	  "17030300de3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3d11d63c7"
	  "58db289a015940252f55713e061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1"
	  "b6c0d4a3d03f75e09c30ba1e62972ac46f75f7b981be63439b2999ce13064615139891d5e4c5b406f16e3fc1"
	  "81a77ca475840025db2f0a77f81b5ab05b94c01346755f69232c86519d86cbeeac87aac347d143f9605d64f6"
	  "50db4d023e70e952ca49fe5137121c74bc2697687e248746d6df353005f3bce18696129c8153556b3b6c6779"
	  "b37bf15985684f" },
	{ false, 1, TLSULP_DATA, app_data, 50,
	  "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb"
	  "501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d" },
	{ false, 2, TLSULP_ALERT, "0100", 2, "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9" },
};

static struct tls_keys trace_keys(bool client)
{
	uint8_t key[16], iv[12];

	unhex(client ? client_key : server_key, key);
	unhex(client ? client_iv : server_iv, iv);
	return keys_make(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, key, iv, 0);
}

static void test_rfc8448_records_open_to_the_published_plaintext(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(traces); i++) {
		const struct trace *t = &traces[i];
		struct tls_keys k = trace_keys(t->client);
		uint8_t wire[300], plain[300], published[300], type;
		size_t len, wire_len = unhex(t->record, wire);

		assert_int_equal(record_open(&k, t->seq, wire, plain, &len, &type), wire_len);
		assert_int_equal(type, t->type);
		assert_int_equal(len, t->plain_len);
		if (t->plain) {
			assert_int_equal(unhex(t->plain, published), len);
			assert_memory_equal(plain, published, len);
		}
	}
}

static void test_rfc8448_records_are_sealed_to_the_published_bytes(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(traces); i++) {
		const struct trace *t = &traces[i];
		struct tls_keys k = trace_keys(t->client);
		uint8_t wire[300], plain[300], sealed[300], type;
		size_t len, wire_len = unhex(t->record, wire);

		record_open(&k, t->seq, wire, plain, &len, &type);
		if (t->plain)
			len = unhex(t->plain, plain);
		assert_int_equal(record_seal(&k, t->seq, t->type, plain, len, sealed), wire_len);
		assert_memory_equal(sealed, wire, wire_len);
	}
}

static void test_rfc8448_records_open_in_their_place_only(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(traces); i++) {
		struct tls_keys k = trace_keys(traces[i].client);
		struct tls_keys wrong = trace_keys(!traces[i].client);
		uint8_t wire[300], plain[300], type;
		size_t len;

		unhex(traces[i].record, wire);
		assert_int_equal(record_open(&k, traces[i].seq + 1, wire, plain, &len, &type), -1);
		assert_int_equal(record_open(&wrong, traces[i].seq, wire, plain, &len, &type), -1);
	}
}

/* What a plan says in numbers; the bytes are checked against real records elsewhere. */
static void test_a_tls13_plan(void **state)
{
	static const uint8_t header[] = { 23, 3, 3, 0, 19 };
	struct tls_keys k = trace_keys(true);
	struct tls_record r;

	k.seq = 0x0102030405060708;
	tls_record_seal(&k, 2, TLSULP_ALERT, 2, &r);
	assert_int_equal(r.prefix_len, 5);
	assert_memory_equal(r.prefix, header, 5);
	assert_int_equal(r.aad_len, 5);
	assert_memory_equal(r.aad, header, 5);
	assert_int_equal(r.inner_len, 1);
	assert_int_equal(r.inner_type, TLSULP_ALERT);
	assert_int_equal(r.plain_len, 2);
	assert_int_equal(r.wire_len, 24);
	assert_memory_equal(r.nonce, k.iv, 4);
	for (int i = 0; i < 8; i++)
		assert_int_equal(r.nonce[4 + i], k.iv[4 + i] ^ (i == 7 ? 10 : i + 1));
}

static void test_a_tls12_gcm_plan(void **state)
{
	static const uint8_t prefix[] = { 21, 3, 3, 0, 26, 0, 0, 0, 0, 0, 0, 1, 1 };
	static const uint8_t aad[] = { 0, 0, 0, 0, 0, 0, 2, 1, 21, 3, 3, 0, 2 };
	static const uint8_t key[16], iv[] = { 9, 8, 7, 6, 0, 0, 0, 0, 0, 0, 0, 0xff };
	struct tls_keys k = keys_make(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128, key, iv, 0x1ff);
	struct tls_record r;

	tls_record_seal(&k, 2, TLSULP_ALERT, 2, &r);
	assert_int_equal(r.prefix_len, 13);
	assert_memory_equal(r.prefix, prefix, 13);
	assert_int_equal(r.aad_len, 13);
	assert_memory_equal(r.aad, aad, 13);
	assert_int_equal(r.inner_len, 0);
	assert_int_equal(r.wire_len, 31);
	assert_memory_equal(r.nonce, iv, 4);
	assert_memory_equal(r.nonce + 4, prefix + 5, 8);
}

static void test_a_tls12_chacha_plan_has_no_explicit_nonce(void **state)
{
	static const uint8_t prefix[] = { 23, 3, 3, 0, 17 };
	static const uint8_t aad[] = { 0, 0, 0, 0, 0, 0, 0, 5, 23, 3, 3, 0, 1 };
	static const uint8_t key[32], iv[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
	struct tls_keys k = keys_make(TLSULP_VERSION_1_2, TLSULP_CHACHA20_POLY1305, key, iv, 5);
	struct tls_record r;

	tls_record_seal(&k, 0, TLSULP_DATA, 1, &r);
	assert_int_equal(r.prefix_len, 5);
	assert_memory_equal(r.prefix, prefix, 5);
	assert_int_equal(r.aad_len, 13);
	assert_memory_equal(r.aad, aad, 13);
	assert_memory_equal(r.nonce, iv, 11);
	assert_int_equal(r.nonce[11], 12 ^ 5);
}

static void test_opening_takes_the_explicit_nonce_from_the_record(void **state)
{
	static const uint8_t header[] = { 23, 3, 3, 0, 30 };
	static const uint8_t body[] = { 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8 };
	struct tls_keys k = keys_seeded(TLSULP_VERSION_1_2, TLSULP_AES_CCM_128, 3);
	struct tls_record r;

	tls_record_open(&k, 0, header, body, 30, &r);
	assert_int_equal(r.prefix_len, 13);
	assert_int_equal(r.plain_len, 6);
	assert_int_equal(r.wire_len, 35);
	assert_memory_equal(r.nonce, k.iv, 4);
	assert_memory_equal(r.nonce + 4, body, 8);
}

static void test_full_records_fit_their_length_field(void **state)
{
	struct tls_keys k = keys_seeded(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128, 3);
	struct tls_record r;

	tls_record_seal(&k, 0, TLSULP_DATA, TLS_PAYLOAD_MAX, &r);
	assert_int_equal(r.wire_len, 5 + 8 + 16384 + 16);
	assert_int_equal(r.prefix[3] << 8 | r.prefix[4], 8 + 16384 + 16);
	assert_int_equal(r.aad[11] << 8 | r.aad[12], 16384);
}

/* The overhead of each cipher and version, from the RFCs named in record.h. */
static const struct shape {
	uint16_t version, cipher;
	size_t fixed, overhead;
} shapes[] = {
	{ TLSULP_VERSION_1_2, TLSULP_AES_GCM_128, 24, 24 },
	{ TLSULP_VERSION_1_2, TLSULP_AES_GCM_256, 24, 24 },
	{ TLSULP_VERSION_1_2, TLSULP_AES_CCM_128, 24, 24 },
	{ TLSULP_VERSION_1_2, TLSULP_CHACHA20_POLY1305, 16, 16 },
	{ TLSULP_VERSION_1_2, TLSULP_ARIA_GCM_128, 24, 24 },
	{ TLSULP_VERSION_1_2, TLSULP_ARIA_GCM_256, 24, 24 },
	{ TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 16, 17 },
	{ TLSULP_VERSION_1_3, TLSULP_AES_GCM_256, 16, 17 },
	{ TLSULP_VERSION_1_3, TLSULP_AES_CCM_128, 16, 17 },
	{ TLSULP_VERSION_1_3, TLSULP_CHACHA20_POLY1305, 16, 17 },
	{ TLSULP_VERSION_1_3, TLSULP_SM4_GCM, 16, 17 },
	{ TLSULP_VERSION_1_3, TLSULP_SM4_CCM, 16, 17 },
};

#define foreach_shape(s) for (const struct shape *s = shapes; s < shapes + ARRAY_SIZE(shapes); s++)

static int header_says(const struct tls_keys *k, size_t body, uint8_t major, uint8_t minor)
{
	uint8_t header[] = { 23, major, minor, body >> 8, body };

	return tls_record_header(k, header);
}

static void test_overhead(void **state)
{
	foreach_shape(s)
	{
		struct tls_keys k = keys_seeded(s->version, s->cipher, 1);

		assert_int_equal(tls_record_overhead(&k), s->overhead);
		assert_int_equal(tls_record_body_min(&k), s->fixed);
		assert_int_equal(tls_record_prefix_len(&k), 5 + s->fixed - 16);
		assert_int_equal(tls_record_plain_max(&k, s->overhead), 0);
		assert_int_equal(tls_record_plain_max(&k, s->overhead + 1), 1);
		assert_int_equal(tls_record_plain_max(&k, s->overhead - 1), 0);
		assert_int_equal(tls_record_plain_max(&k, 0), 0);
	}
}

static void test_header_length_bounds(void **state)
{
	foreach_shape(s)
	{
		struct tls_keys k = keys_seeded(s->version, s->cipher, 1);
		size_t most = TLS_PAYLOAD_MAX + s->overhead;

		assert_int_equal(header_says(&k, most, 3, 3), most);
		assert_int_equal(header_says(&k, most + 1, 3, 3), -EMSGSIZE);
		assert_int_equal(header_says(&k, 65535, 3, 3), -EMSGSIZE);
		assert_int_equal(header_says(&k, s->fixed, 3, 3), s->fixed);
		assert_int_equal(header_says(&k, s->fixed - 1, 3, 3), -EBADMSG);
		assert_int_equal(header_says(&k, 0, 3, 3), -EBADMSG);
		assert_true(most <= TLS_BODY_MAX);
	}
}

static void test_header_version_is_3_3(void **state)
{
	foreach_shape(s)
	{
		struct tls_keys k = keys_seeded(s->version, s->cipher, 1);

		for (int major = 0; major < 256; major++)
			assert_int_equal(header_says(&k, 100, major, 3),
					 major == 3 ? 100 : -EINVAL);
		for (int minor = 0; minor < 256; minor++)
			assert_int_equal(header_says(&k, 100, 3, minor),
					 minor == 3 ? 100 : -EINVAL);
	}
}

static void test_header_is_checked_for_length_before_version(void **state)
{
	foreach_shape(s)
	{
		struct tls_keys k = keys_seeded(s->version, s->cipher, 1);

		assert_int_equal(header_says(&k, 65535, 0, 0), -EMSGSIZE);
		assert_int_equal(header_says(&k, s->fixed - 1, 0, 0), -EBADMSG);
		assert_int_equal(header_says(&k, s->fixed, 0, 0), -EINVAL);
	}
}

static void test_header_takes_any_type(void **state)
{
	struct tls_keys k = keys_seeded(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 1);

	for (int type = 0; type < 256; type++)
		assert_int_equal(tls_record_header(&k, (uint8_t[]){ type, 3, 3, 0, 20 }), 20);
}

static void inner_is(const struct tls_keys *k, const char *hex, int err, uint8_t type, size_t len)
{
	uint8_t text[64], got_type = 0;
	size_t got_len = 0, n = unhex(hex, text);

	assert_int_equal(tls_record_inner(k, text, n, TLSULP_DATA, &got_type, &got_len), err);
	if (err)
		return;
	assert_int_equal(got_type, type);
	assert_int_equal(got_len, len);
}

static void test_tls13_padding_is_removed(void **state)
{
	struct tls_keys k = keys_seeded(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 1);

	inner_is(&k, "616217", 0, 23, 2);
	inner_is(&k, "6162170000000000", 0, 23, 2);
	inner_is(&k, "61006200150000", 0, 21, 4);
	inner_is(&k, "17", 0, 23, 0);
	inner_is(&k, "170000", 0, 23, 0);
	inner_is(&k, "000017", 0, 23, 2);
	inner_is(&k, "ff", 0, 255, 0);
}

static void test_tls13_without_a_type_is_bad(void **state)
{
	struct tls_keys k = keys_seeded(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 1);

	inner_is(&k, "", -EBADMSG, 0, 0);
	inner_is(&k, "00", -EBADMSG, 0, 0);
	inner_is(&k, "0000000000", -EBADMSG, 0, 0);
}

static void test_tls12_text_is_left_alone(void **state)
{
	struct tls_keys k = keys_seeded(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128, 1);

	inner_is(&k, "61621700", 0, 23, 4);
	inner_is(&k, "0000", 0, 23, 2);
	inner_is(&k, "", 0, 23, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8448_records_open_to_the_published_plaintext),
		cmocka_unit_test(test_rfc8448_records_are_sealed_to_the_published_bytes),
		cmocka_unit_test(test_rfc8448_records_open_in_their_place_only),
		cmocka_unit_test(test_a_tls13_plan),
		cmocka_unit_test(test_a_tls12_gcm_plan),
		cmocka_unit_test(test_a_tls12_chacha_plan_has_no_explicit_nonce),
		cmocka_unit_test(test_opening_takes_the_explicit_nonce_from_the_record),
		cmocka_unit_test(test_full_records_fit_their_length_field),
		cmocka_unit_test(test_overhead),
		cmocka_unit_test(test_header_length_bounds),
		cmocka_unit_test(test_header_version_is_3_3),
		cmocka_unit_test(test_header_is_checked_for_length_before_version),
		cmocka_unit_test(test_header_takes_any_type),
		cmocka_unit_test(test_tls13_padding_is_removed),
		cmocka_unit_test(test_tls13_without_a_type_is_bad),
		cmocka_unit_test(test_tls12_text_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
