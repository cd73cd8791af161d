// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* engine/stats.h: the names of /proc/net/tls_stat in Linux 7.2, in its order. */
#include "tests/unit/unit.h"

#include "engine/stats.h"

static const char *const names[] = {
	"TlsCurrTxSw",
	"TlsCurrRxSw",
	"TlsCurrTxDevice",
	"TlsCurrRxDevice",
	"TlsTxSw",
	"TlsRxSw",
	"TlsTxDevice",
	"TlsRxDevice",
	"TlsDecryptError",
	"TlsRxDeviceResync",
	"TlsDecryptRetry",
	"TlsRxNoPadViolation",
	"TlsRxRekeyOk",
	"TlsRxRekeyError",
	"TlsTxRekeyOk",
	"TlsTxRekeyError",
	"TlsRxRekeyReceived",
};

static void test_names_and_order(void **state)
{
	assert_int_equal(TLS_STAT_COUNT, ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(tls_stat_name(i), names[i]);
	assert_string_equal(tls_stat_name(TLS_STAT_TX_SW), "TlsTxSw");
	assert_string_equal(tls_stat_name(TLS_STAT_RX_REKEY_RECEIVED), "TlsRxRekeyReceived");
}

static void test_out_of_range_has_no_name(void **state)
{
	assert_null(tls_stat_name(TLS_STAT_COUNT));
	assert_null(tls_stat_name(-1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_order),
		cmocka_unit_test(test_out_of_range_has_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
