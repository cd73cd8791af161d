// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* engine/options.h: the table of CONTRACT.md, "Attach and configure", without a socket. */
#include "tests/unit/unit.h"

#include "tests/unit/evp.h"

#define FIRST_CIPHER TLSULP_AES_GCM_128
#define LAST_CIPHER TLSULP_ARIA_GCM_256

#define foreach_cipher(c) for (uint16_t c = FIRST_CIPHER; c <= LAST_CIPHER; c++)

static const uint16_t versions[] = { TLSULP_VERSION_1_2, TLSULP_VERSION_1_3 };
static const struct tls_keys none;
static uint8_t key[TLS_KEY_MAX], nonce[TLS_NONCE_LEN];

static bool is_valid(uint16_t version, uint16_t cipher)
{
	if (cipher == TLSULP_SM4_GCM || cipher == TLSULP_SM4_CCM)
		return version == TLSULP_VERSION_1_3;
	if (cipher == TLSULP_ARIA_GCM_128 || cipher == TLSULP_ARIA_GCM_256)
		return version == TLSULP_VERSION_1_2;
	return true;
}

/* Set; on an error nothing may have changed. */
static int set(const struct tls_keys *old, const struct tls_keys *other, const void *info,
	       size_t len)
{
	struct tls_keys out, before, old_before = *old, other_before = *other;
	int err;

	memset(&out, 0xa5, sizeof(out));
	before = out;
	err = tls_options_keys(old, other, info, len, &out);
	assert_memory_equal(old, &old_before, sizeof(*old));
	assert_memory_equal(other, &other_before, sizeof(*other));
	if (err < 0)
		assert_memory_equal(&out, &before, sizeof(out));
	return err;
}

static void test_struct_sizes_are_those_of_linux_tls_h(void **state)
{
	foreach_cipher(c)
	{
		assert_non_null(tls_cipher_find(c));
		assert_int_equal(tls_cipher_info_len(tls_cipher_find(c)), info_size(c));
	}
	assert_null(tls_cipher_find(FIRST_CIPHER - 1));
	assert_null(tls_cipher_find(LAST_CIPHER + 1));
	assert_null(tls_cipher_find(0));
}

static void test_each_cipher_goes_with_its_versions_only(void **state)
{
	uint8_t info[TLS_KEY_INFO_MAX];

	foreach_cipher(c)
	{
		for (size_t v = 0; v < ARRAY_SIZE(versions); v++) {
			size_t len = info_make(info, versions[v], c, key, nonce, 0);

			assert_int_equal(set(&none, &none, info, len),
					 is_valid(versions[v], c) ? 0 : -EINVAL);
		}
	}
}

static void test_only_the_exact_length_will_do(void **state)
{
	uint8_t info[TLS_KEY_INFO_MAX + 1] = { 0 };

	foreach_cipher(c)
	{
		for (size_t v = 0; v < ARRAY_SIZE(versions); v++) {
			size_t len = info_make(info, versions[v], c, key, nonce, 0);

			if (!is_valid(versions[v], c))
				continue;
			for (size_t n = 0; n <= TLS_KEY_INFO_MAX; n++)
				assert_int_equal(set(&none, &none, info, n),
						 n == len ? 0 : -EINVAL);
		}
	}
}

static void test_null_is_invalid(void **state)
{
	assert_int_equal(set(&none, &none, NULL, 40), -EINVAL);
	assert_int_equal(set(&none, &none, NULL, 0), -EINVAL);
}

static void test_other_versions_and_ciphers_are_invalid(void **state)
{
	static const uint16_t bad_version[] = { 0, 0x0300, 0x0301, 0x0302, 0x0305, 0x0403, 0xfefd };
	static const uint16_t bad_cipher[] = { 0, 1, FIRST_CIPHER - 1, LAST_CIPHER + 1, 0xffff };
	uint8_t info[TLS_KEY_INFO_MAX];
	size_t len = info_make(info, TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, key, nonce, 0);

	for (size_t i = 0; i < ARRAY_SIZE(bad_version); i++) {
		memcpy(info, &bad_version[i], 2);
		assert_int_equal(set(&none, &none, info, len), -EINVAL);
	}
	memcpy(info, &versions[1], 2);
	for (size_t i = 0; i < ARRAY_SIZE(bad_cipher); i++) {
		memcpy(info + 2, &bad_cipher[i], 2);
		assert_int_equal(set(&none, &none, info, len), -EINVAL);
	}
}

static void test_both_directions_have_one_version_and_cipher(void **state)
{
	struct tls_keys other = keys_seeded(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128, 1);
	uint8_t info[TLS_KEY_INFO_MAX];

	foreach_cipher(c)
	{
		for (size_t v = 0; v < ARRAY_SIZE(versions); v++) {
			size_t len = info_make(info, versions[v], c, key, nonce, 0);
			bool same = versions[v] == other.version && c == other.cipher;

			assert_int_equal(set(&none, &other, info, len), same ? 0 : -EINVAL);
		}
	}
}

static void test_tls12_keys_are_set_once(void **state)
{
	struct tls_keys old = keys_seeded(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128, 1);
	uint8_t info[TLS_KEY_INFO_MAX];
	size_t len = info_make(info, TLSULP_VERSION_1_2, TLSULP_AES_GCM_128, key, nonce, 0);

	assert_int_equal(set(&old, &none, info, len), -EBUSY);
	assert_int_equal(set(&old, &none, info, 4), -EBUSY);
	assert_int_equal(set(&old, &none, info, 3), -EINVAL);
	assert_int_equal(set(&old, &none, NULL, len), -EINVAL);
	info_make(info, TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, key, nonce, 0);
	assert_int_equal(set(&old, &none, info, len), -EBUSY);
	assert_false(tls_options_is_rekey(&old));
}

static void test_tls13_keys_can_be_updated(void **state)
{
	uint8_t info[TLS_KEY_INFO_MAX];

	foreach_cipher(c)
	{
		struct tls_keys old, out;
		size_t len;

		if (!is_valid(TLSULP_VERSION_1_3, c))
			continue;
		old = keys_seeded(TLSULP_VERSION_1_3, c, 1);
		old.seq = 77;
		len = info_make(info, TLSULP_VERSION_1_3, c, key, nonce, 0);
		assert_true(tls_options_is_rekey(&old));
		assert_int_equal(set(&old, &old, info, len), 1);
		assert_int_equal(tls_options_keys(&old, &none, info, len, &out), 1);
		assert_int_equal(out.seq, 0);
		assert_memory_equal(out.key, key, tls_cipher_find(c)->key_len);
	}
}

static void test_a_key_update_changes_neither_version_nor_cipher(void **state)
{
	struct tls_keys old = keys_seeded(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 1);
	uint8_t info[TLS_KEY_INFO_MAX];

	foreach_cipher(c)
	{
		for (size_t v = 0; v < ARRAY_SIZE(versions); v++) {
			size_t len = info_make(info, versions[v], c, key, nonce, 0);
			bool same = versions[v] == old.version && c == old.cipher;

			assert_int_equal(set(&old, &none, info, len), same ? 1 : -EINVAL);
			assert_int_equal(set(&old, &none, info, len - 1), -EINVAL);
			assert_int_equal(set(&old, &none, info, len + 1), -EINVAL);
		}
	}
}

static void test_nothing_set_is_no_rekey(void **state)
{
	assert_false(tls_options_is_rekey(&none));
}

static void test_every_field_lands_in_its_place(void **state)
{
	foreach_cipher(c)
	{
		const struct tls_cipher *d = tls_cipher_find(c);
		uint16_t version =
			is_valid(TLSULP_VERSION_1_3, c) ? TLSULP_VERSION_1_3 : TLSULP_VERSION_1_2;
		struct tls_keys k = keys_make(version, c, key, nonce, 0x0102030405060708);

		assert_int_equal(k.version, version);
		assert_int_equal(k.cipher, c);
		assert_int_equal(d->salt_len + d->iv_len, TLS_NONCE_LEN);
		assert_memory_equal(k.iv, nonce, TLS_NONCE_LEN);
		assert_memory_equal(k.key, key, d->key_len);
		assert_true(k.seq == 0x0102030405060708);
	}
}

static void test_the_explicit_nonce_starts_at_the_iv(void **state)
{
	static const uint8_t counting[TLS_NONCE_LEN] = { 9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct tls_keys k = keys_make(TLSULP_VERSION_1_2, TLSULP_AES_GCM_256, key, counting, 5);

	assert_true(k.explicit_nonce == 0x0102030405060708);
	k = keys_make(TLSULP_VERSION_1_2, TLSULP_CHACHA20_POLY1305, key, counting, 5);
	assert_true(k.explicit_nonce == 0);
	k = keys_make(TLSULP_VERSION_1_3, TLSULP_AES_GCM_256, key, counting, 5);
	assert_true(k.explicit_nonce == 0);
}

static void test_get_shows_what_was_set(void **state)
{
	foreach_cipher(c)
	{
		for (size_t v = 0; v < ARRAY_SIZE(versions); v++) {
			uint8_t info[TLS_KEY_INFO_MAX], got[TLS_KEY_INFO_MAX];
			size_t len, room;
			struct tls_keys k;

			if (!is_valid(versions[v], c))
				continue;
			len = room = info_make(info, versions[v], c, key, nonce, 41);
			k = keys_make(versions[v], c, key, nonce, 41);
			assert_int_equal(tls_options_get_keys(&k, got, &room), 0);
			assert_int_equal(room, len);
			assert_memory_equal(got, info, len);
		}
	}
}

static void test_get_shows_where_the_counters_are_now(void **state)
{
	static const uint8_t counting[TLS_NONCE_LEN] = { 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0xff };
	static const uint8_t iv_now[8] = { 0, 0, 0, 0, 0, 0, 1, 2 };
	static const uint8_t seq_now[8] = { 0, 0, 0, 0, 0, 0, 0, 10 };
	struct tls_tx tx;
	uint8_t got[TLS_KEY_INFO_MAX];
	size_t len = info_size(TLSULP_AES_GCM_128);

	tls_tx_init(&tx);
	tx.keys = keys_make(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128, key, counting, 7);
	tls_tx_commit(&tx, 3);
	assert_int_equal(tls_options_get_keys(&tx.keys, got, &len), 0);
	assert_memory_equal(got + 4, iv_now, 8);
	assert_memory_equal(got + len - 8, seq_now, 8);
	/* TLS 1.3: the iv is a constant of the connection (RFC 8446 section 5.3). */
	tx.keys = keys_make(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, key, counting, 7);
	tls_tx_commit(&tx, 3);
	assert_int_equal(tls_options_get_keys(&tx.keys, got, &len), 0);
	assert_memory_equal(got + 4, counting + 4, 8);
	assert_memory_equal(got + len - 8, seq_now, 8);
}

static void test_get_has_two_lengths(void **state)
{
	struct tls_keys k = keys_seeded(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 1);
	size_t full = info_size(TLSULP_AES_GCM_128);

	for (size_t n = 0; n <= TLS_KEY_INFO_MAX; n++) {
		uint8_t got[TLS_KEY_INFO_MAX], untouched[TLS_KEY_INFO_MAX];
		size_t len = n;
		int err;

		memset(got, 0xa5, sizeof(got));
		memset(untouched, 0xa5, sizeof(untouched));
		err = tls_options_get_keys(&k, got, &len);
		assert_int_equal(err, n == 4 || n == full ? 0 : -EINVAL);
		assert_int_equal(len, n);
		if (!err)
			assert_memory_equal(got + n, untouched, sizeof(got) - n);
	}
}

static void test_get_before_set_is_busy(void **state)
{
	uint8_t got[TLS_KEY_INFO_MAX];
	size_t len = 4;

	assert_int_equal(tls_options_get_keys(&none, got, &len), -EBUSY);
	len = 40;
	assert_int_equal(tls_options_get_keys(&none, got, &len), -EBUSY);
	len = 3;
	assert_int_equal(tls_options_get_keys(&none, got, &len), -EINVAL);
}

static void test_a_new_key_counts_and_ends_the_pause(void **state)
{
	struct tls_keys k = keys_seeded(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 1);
	struct tls_tx tx;
	struct tls_rx rx;

	tls_tx_init(&tx);
	tls_rx_init(&rx);
	assert_false(tls_tx_is_set(&tx));
	assert_false(tls_rx_is_set(&rx));
	rx.paused = true;
	rx.no_pad = true;
	tls_options_set_tx(&tx, &k);
	tls_options_set_rx(&rx, &k);
	assert_true(tls_tx_is_set(&tx));
	assert_true(tls_rx_is_set(&rx));
	assert_int_equal(tx.key_gen, 1);
	assert_int_equal(rx.key_gen, 1);
	assert_false(rx.paused);
	assert_true(rx.no_pad);
	tls_options_set_tx(&tx, &k);
	assert_int_equal(tx.key_gen, 2);
}

static void test_zerocopy_is_0_or_1(void **state)
{
	static const int good[] = { 1, 0, 1 }, bad[] = { -1, 2, 256, 0x01000000, INT32_MIN };
	struct tls_tx tx, before;

	tls_tx_init(&tx);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(tls_options_set_zerocopy(&tx, &good[i], 4), 0);
		assert_int_equal(tx.zerocopy_ro, good[i]);
	}
	before = tx;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(tls_options_set_zerocopy(&tx, &bad[i], 4), -EINVAL);
	assert_int_equal(tls_options_set_zerocopy(&tx, good, 3), -EINVAL);
	assert_int_equal(tls_options_set_zerocopy(&tx, good, 5), -EINVAL);
	assert_int_equal(tls_options_set_zerocopy(&tx, good, 0), -EINVAL);
	assert_int_equal(tls_options_set_zerocopy(&tx, NULL, 4), -EINVAL);
	assert_memory_equal(&tx, &before, sizeof(tx));
}

static void test_no_pad_is_for_tls13_with_rx_set(void **state)
{
	static const int one = 1, zero = 0, two = 2;
	struct tls_rx rx, before;

	tls_rx_init(&rx);
	assert_int_equal(tls_options_set_no_pad(&rx, &one, 4), -EINVAL);
	assert_int_equal(tls_options_get_no_pad(&rx, 4), -EINVAL);
	rx.keys = keys_seeded(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128, 1);
	assert_int_equal(tls_options_set_no_pad(&rx, &one, 4), -EINVAL);
	assert_int_equal(tls_options_get_no_pad(&rx, 4), -EINVAL);
	assert_false(rx.no_pad);
	rx.keys = keys_seeded(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128, 1);
	assert_int_equal(tls_options_get_no_pad(&rx, 4), 0);
	assert_int_equal(tls_options_set_no_pad(&rx, &one, 4), 0);
	assert_int_equal(tls_options_get_no_pad(&rx, 4), 1);
	before = rx;
	assert_int_equal(tls_options_get_no_pad(&rx, 3), -EINVAL);
	assert_int_equal(tls_options_set_no_pad(&rx, &two, 4), -EINVAL);
	assert_int_equal(tls_options_set_no_pad(&rx, &zero, 3), -EINVAL);
	assert_int_equal(tls_options_set_no_pad(&rx, &zero, 5), -EINVAL);
	assert_int_equal(tls_options_set_no_pad(&rx, NULL, 4), -EINVAL);
	assert_memory_equal(&rx, &before, sizeof(rx));
	assert_int_equal(tls_options_set_no_pad(&rx, &zero, 4), 0);
	assert_int_equal(tls_options_get_no_pad(&rx, 4), 0);
}

static void limit_is(uint16_t version, uint16_t limit, int err)
{
	struct tls_tx tx, before;

	tls_tx_init(&tx);
	if (version)
		tx.keys = keys_seeded(version, TLSULP_AES_GCM_128, 1);
	before = tx;
	assert_int_equal(tls_options_set_max_payload(&tx, &limit, 2), err);
	if (err)
		assert_memory_equal(&tx, &before, sizeof(tx));
	else
		assert_int_equal(tx.max_payload, limit);
}

static void test_the_payload_limit_has_bounds(void **state)
{
	static const uint16_t always[] = { 64, 65, 1000, 16383, 16384 };
	static const uint16_t never[] = { 0, 1, 62, 16385, 32768, 65535 };
	static const uint16_t all[] = { 0, TLSULP_VERSION_1_2, TLSULP_VERSION_1_3 };

	for (size_t v = 0; v < ARRAY_SIZE(all); v++) {
		for (size_t i = 0; i < ARRAY_SIZE(always); i++)
			limit_is(all[v], always[i], 0);
		for (size_t i = 0; i < ARRAY_SIZE(never); i++)
			limit_is(all[v], never[i], -EINVAL);
	}
	/* The peer's record_size_limit of 64 counts TLS 1.3's inner type (RFC 8449 section 4). */
	limit_is(TLSULP_VERSION_1_3, 63, 0);
	limit_is(TLSULP_VERSION_1_2, 63, -EINVAL);
	limit_is(0, 63, -EINVAL);
}

static void test_the_payload_limit_is_a_u16(void **state)
{
	static const uint32_t limit = 100;
	struct tls_tx tx;

	tls_tx_init(&tx);
	assert_int_equal(tx.max_payload, 16384);
	assert_int_equal(tls_options_set_max_payload(&tx, &limit, 0), -EINVAL);
	assert_int_equal(tls_options_set_max_payload(&tx, &limit, 1), -EINVAL);
	assert_int_equal(tls_options_set_max_payload(&tx, &limit, 3), -EINVAL);
	assert_int_equal(tls_options_set_max_payload(&tx, &limit, 4), -EINVAL);
	assert_int_equal(tls_options_set_max_payload(&tx, NULL, 2), -EINVAL);
	assert_int_equal(tx.max_payload, 16384);
}

static void test_an_open_record_holds_the_limit(void **state)
{
	static const uint16_t limit = 100, bad = 10;
	struct tls_tx tx;

	tls_tx_init(&tx);
	tx.open_len = 1;
	assert_int_equal(tls_options_set_max_payload(&tx, &limit, 2), -EBUSY);
	assert_int_equal(tls_options_set_max_payload(&tx, &bad, 2), -EINVAL);
	assert_int_equal(tx.max_payload, 16384);
	tx.open_len = 0;
	assert_int_equal(tls_options_set_max_payload(&tx, &limit, 2), 0);
}

static int setup(void **state)
{
	fill_pattern(key, sizeof(key), 1);
	fill_pattern(nonce, sizeof(nonce), 2);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_struct_sizes_are_those_of_linux_tls_h),
		cmocka_unit_test(test_each_cipher_goes_with_its_versions_only),
		cmocka_unit_test(test_only_the_exact_length_will_do),
		cmocka_unit_test(test_null_is_invalid),
		cmocka_unit_test(test_other_versions_and_ciphers_are_invalid),
		cmocka_unit_test(test_both_directions_have_one_version_and_cipher),
		cmocka_unit_test(test_tls12_keys_are_set_once),
		cmocka_unit_test(test_tls13_keys_can_be_updated),
		cmocka_unit_test(test_a_key_update_changes_neither_version_nor_cipher),
		cmocka_unit_test(test_nothing_set_is_no_rekey),
		cmocka_unit_test(test_every_field_lands_in_its_place),
		cmocka_unit_test(test_the_explicit_nonce_starts_at_the_iv),
		cmocka_unit_test(test_get_shows_what_was_set),
		cmocka_unit_test(test_get_shows_where_the_counters_are_now),
		cmocka_unit_test(test_get_has_two_lengths),
		cmocka_unit_test(test_get_before_set_is_busy),
		cmocka_unit_test(test_a_new_key_counts_and_ends_the_pause),
		cmocka_unit_test(test_zerocopy_is_0_or_1),
		cmocka_unit_test(test_no_pad_is_for_tls13_with_rx_set),
		cmocka_unit_test(test_the_payload_limit_has_bounds),
		cmocka_unit_test(test_the_payload_limit_is_a_u16),
		cmocka_unit_test(test_an_open_record_holds_the_limit),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
