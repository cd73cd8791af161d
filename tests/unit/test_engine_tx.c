// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* engine/tx.h: the rules of CONTRACT.md, "Send", that the engine decides. */
#include "tests/unit/unit.h"

#include "tests/unit/evp.h"

#include <sys/socket.h>

static struct tls_tx ready(uint16_t version, uint16_t cipher)
{
	struct tls_keys k = keys_seeded(version, cipher, 1);
	struct tls_tx tx;

	tls_tx_init(&tx);
	tls_options_set_tx(&tx, &k);
	return tx;
}

static void test_the_flags_are_those_of_the_sockets(void **state)
{
	assert_int_equal(TLSULP_MSG_MORE, MSG_MORE);
	assert_int_equal(TLSULP_MSG_EOR, MSG_EOR);
	assert_int_equal(TLSULP_MSG_DONTWAIT, MSG_DONTWAIT);
	assert_int_equal(TLSULP_MSG_NOSIGNAL, MSG_NOSIGNAL);
	assert_int_equal(TLSULP_MSG_PEEK, MSG_PEEK);
	assert_int_equal(TLSULP_MSG_WAITALL, MSG_WAITALL);
}

static void test_only_four_flags_are_known(void **state)
{
	unsigned int known = MSG_MORE | MSG_EOR | MSG_DONTWAIT | MSG_NOSIGNAL;
	struct tls_tx tx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128), before = tx;

	for (int bit = 0; bit < 32; bit++) {
		unsigned int flag = 1u << bit;

		assert_int_equal(tls_tx_begin(&tx, flag), flag & known ? 0 : -EOPNOTSUPP);
		assert_int_equal(tls_tx_begin(&tx, flag | MSG_NOSIGNAL),
				 flag & known ? 0 : -EOPNOTSUPP);
	}
	assert_int_equal(tls_tx_begin(&tx, 0), 0);
	assert_memory_equal(&tx, &before, sizeof(tx));
}

static void test_more_and_eor_contradict_each_other(void **state)
{
	struct tls_tx tx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128);

	assert_int_equal(tls_tx_begin(&tx, MSG_MORE | MSG_EOR), -EINVAL);
	assert_int_equal(tls_tx_begin(&tx, MSG_MORE | MSG_EOR | MSG_DONTWAIT), -EINVAL);
	assert_int_equal(tls_tx_begin(&tx, MSG_MORE | MSG_EOR | MSG_OOB), -EOPNOTSUPP);
}

static void test_a_record_type_is_one_byte_and_ends_its_record(void **state)
{
	for (int type = 0; type < 256; type++)
		assert_int_equal(tls_tx_cmsg(TLSULP_SET_RECORD_TYPE, 1, type, 0), type);
	assert_int_equal(tls_tx_cmsg(TLSULP_SET_RECORD_TYPE, 1, 21, MSG_DONTWAIT | MSG_EOR), 21);
	assert_int_equal(tls_tx_cmsg(TLSULP_SET_RECORD_TYPE, 0, 21, 0), -EINVAL);
	assert_int_equal(tls_tx_cmsg(TLSULP_SET_RECORD_TYPE, 1, 21, MSG_MORE), -EINVAL);
	assert_int_equal(tls_tx_cmsg(TLSULP_SET_RECORD_TYPE, 4, 22, 0), 22);
}

static void test_other_control_messages_of_the_ulp_are_invalid(void **state)
{
	static const int types[] = { 0, TLSULP_GET_RECORD_TYPE, 3, -1, 257 };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		assert_int_equal(tls_tx_cmsg(types[i], 1, 21, 0), -EINVAL);
}

static void next_is(uint16_t limit, size_t open, size_t avail, bool more, size_t take, bool ends)
{
	struct tls_tx tx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128), before;
	bool got = !ends;

	tx.max_payload = limit;
	before = tx;
	assert_int_equal(tls_tx_next(&tx, open, avail, more, &got), take);
	assert_int_equal(got, ends);
	assert_memory_equal(&tx, &before, sizeof(tx));
}

static void test_a_call_ends_its_record_unless_more_comes(void **state)
{
	next_is(16384, 0, 1, false, 1, true);
	next_is(16384, 0, 1, true, 1, false);
	next_is(16384, 100, 1, false, 1, true);
	next_is(16384, 100, 1, true, 1, false);
}

static void test_a_full_record_ends_whatever_comes(void **state)
{
	next_is(16384, 0, 16384, true, 16384, true);
	next_is(16384, 0, 16384, false, 16384, true);
	next_is(16384, 16383, 1, true, 1, true);
	next_is(16384, 16382, 1, true, 1, false);
	next_is(16384, 16384, 5, true, 0, true);
}

static void test_more_than_the_limit_is_cut(void **state)
{
	next_is(16384, 0, 16385, true, 16384, true);
	next_is(16384, 0, SIZE_MAX, true, 16384, true);
	next_is(16384, 384, 1000000, false, 16000, true);
	next_is(63, 0, 64, true, 63, true);
	next_is(63, 0, 62, true, 62, false);
	next_is(64, 60, 10, true, 4, true);
}

static void test_a_lowered_limit_never_underflows(void **state)
{
	next_is(64, 65, 10, true, 0, true);
	next_is(64, 16384, 10, false, 0, true);
}

static void test_one_mebibyte_is_64_full_records(void **state)
{
	struct tls_tx tx = ready(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128);
	size_t left = 1 << 20, records = 0;
	bool ends;

	for (; left; records++) {
		left -= tls_tx_next(&tx, 0, left, true, &ends);
		assert_true(ends);
	}
	assert_int_equal(records, 64);
}

/* Bytes of many calls, cut by tls_tx_next(), come out of the records in order. */
static void test_gathered_bytes_make_the_records_that_the_limit_says(void **state)
{
	struct tls_tx tx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128);
	size_t sizes[16] = { 0 }, count = 0, open = 0;
	bool ends;

	tx.max_payload = 100;
	for (int call = 0; call < 10; call++) {
		for (size_t left = 33; left;) {
			size_t take = tls_tx_next(&tx, open, left, true, &ends);

			open += take;
			left -= take;
			if (ends) {
				sizes[count++] = open;
				open = 0;
			}
		}
	}
	assert_int_equal(count, 3);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(sizes[i], 100);
	assert_int_equal(open, 30);
}

static void test_the_last_sequence_number_is_never_used(void **state)
{
	static const uint16_t versions[] = { TLSULP_VERSION_1_2, TLSULP_VERSION_1_3 };

	for (size_t v = 0; v < ARRAY_SIZE(versions); v++) {
		struct tls_tx tx = ready(versions[v], TLSULP_AES_GCM_128), before;
		struct tls_record r;

		tx.keys.seq = UINT64_MAX - 2;
		before = tx;
		assert_int_equal(tls_tx_plan(&tx, 0, TLSULP_DATA, 1, &r), 0);
		assert_int_equal(tls_tx_plan(&tx, 1, TLSULP_DATA, 1, &r), 0);
		assert_int_equal(tls_tx_plan(&tx, 2, TLSULP_DATA, 1, &r), -EBADMSG);
		assert_int_equal(tls_tx_plan(&tx, 3, TLSULP_DATA, 1, &r), -EBADMSG);
		assert_int_equal(tls_tx_plan(&tx, UINT64_MAX, TLSULP_DATA, 1, &r), -EBADMSG);
		assert_memory_equal(&tx, &before, sizeof(tx));
		tls_tx_commit(&tx, 2);
		assert_int_equal(tls_tx_plan(&tx, 0, TLSULP_DATA, 1, &r), -EBADMSG);
	}
}

static void test_a_failed_plan_writes_no_record(void **state)
{
	struct tls_tx tx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128);
	struct tls_record r, before;

	memset(&r, 0xa5, sizeof(r));
	before = r;
	tx.keys.seq = UINT64_MAX;
	assert_int_equal(tls_tx_plan(&tx, 0, TLSULP_DATA, 1, &r), -EBADMSG);
	assert_memory_equal(&r, &before, sizeof(r));
}

static void test_a_plan_alone_uses_nothing_up(void **state)
{
	struct tls_tx tx = ready(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128), before = tx;
	struct tls_record one, again;

	memset(&one, 0, sizeof(one));
	memset(&again, 0, sizeof(again));
	assert_int_equal(tls_tx_plan(&tx, 0, TLSULP_DATA, 9, &one), 0);
	assert_int_equal(tls_tx_plan(&tx, 0, TLSULP_DATA, 9, &again), 0);
	assert_memory_equal(&one, &again, sizeof(one));
	assert_memory_equal(&tx, &before, sizeof(tx));
}

static void test_committed_numbers_never_come_again(void **state)
{
	static const uint16_t ciphers[] = { TLSULP_AES_GCM_128, TLSULP_CHACHA20_POLY1305 };

	for (size_t c = 0; c < ARRAY_SIZE(ciphers); c++) {
		struct tls_tx tx = ready(TLSULP_VERSION_1_2, ciphers[c]);
		struct tls_record ahead, then;

		memset(&ahead, 0, sizeof(ahead));
		memset(&then, 0, sizeof(then));
		assert_int_equal(tls_tx_plan(&tx, 3, TLSULP_DATA, 9, &ahead), 0);
		tls_tx_commit(&tx, 3);
		assert_int_equal(tls_tx_plan(&tx, 0, TLSULP_DATA, 9, &then), 0);
		assert_memory_equal(&ahead, &then, sizeof(ahead));
		assert_int_equal(tx.keys.seq, 3);
	}
}

static void test_the_explicit_nonce_grows_by_one_a_record(void **state)
{
	static const uint8_t wraps[] = { 0, 0, 0, 0, 0, 0, 0, 1 };
	struct tls_tx tx = ready(TLSULP_VERSION_1_2, TLSULP_AES_GCM_128);
	uint64_t start = tx.keys.explicit_nonce;
	struct tls_record r;

	tls_tx_commit(&tx, 1);
	assert_true(tx.keys.explicit_nonce == start + 1);
	tls_tx_commit(&tx, 4);
	assert_true(tx.keys.explicit_nonce == start + 5);
	/* It started at a random place and may pass 2^64: it still never repeats. */
	tx.keys.explicit_nonce = UINT64_MAX;
	assert_int_equal(tls_tx_plan(&tx, 2, TLSULP_DATA, 1, &r), 0);
	assert_memory_equal(r.prefix + 5, wraps, 8);
}

static void test_an_error_is_for_ever(void **state)
{
	struct tls_tx tx = ready(TLSULP_VERSION_1_3, TLSULP_AES_GCM_128);

	tls_tx_fail(&tx, -EBADMSG);
	tls_tx_fail(&tx, -EPIPE);
	assert_int_equal(tls_tx_begin(&tx, 0), -EBADMSG);
	assert_int_equal(tls_tx_begin(&tx, MSG_MORE), -EBADMSG);
	assert_int_equal(tls_tx_begin(&tx, MSG_OOB), -EOPNOTSUPP);
}

static void test_fresh_state(void **state)
{
	struct tls_tx tx;

	memset(&tx, 0xa5, sizeof(tx));
	tls_tx_init(&tx);
	assert_false(tls_tx_is_set(&tx));
	assert_int_equal(tx.max_payload, 16384);
	assert_int_equal(tx.open_len, 0);
	assert_int_equal(tls_tx_begin(&tx, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_flags_are_those_of_the_sockets),
		cmocka_unit_test(test_only_four_flags_are_known),
		cmocka_unit_test(test_more_and_eor_contradict_each_other),
		cmocka_unit_test(test_a_record_type_is_one_byte_and_ends_its_record),
		cmocka_unit_test(test_other_control_messages_of_the_ulp_are_invalid),
		cmocka_unit_test(test_a_call_ends_its_record_unless_more_comes),
		cmocka_unit_test(test_a_full_record_ends_whatever_comes),
		cmocka_unit_test(test_more_than_the_limit_is_cut),
		cmocka_unit_test(test_a_lowered_limit_never_underflows),
		cmocka_unit_test(test_one_mebibyte_is_64_full_records),
		cmocka_unit_test(test_gathered_bytes_make_the_records_that_the_limit_says),
		cmocka_unit_test(test_the_last_sequence_number_is_never_used),
		cmocka_unit_test(test_a_failed_plan_writes_no_record),
		cmocka_unit_test(test_a_plan_alone_uses_nothing_up),
		cmocka_unit_test(test_committed_numbers_never_come_again),
		cmocka_unit_test(test_the_explicit_nonce_grows_by_one_a_record),
		cmocka_unit_test(test_an_error_is_for_ever),
		cmocka_unit_test(test_fresh_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
