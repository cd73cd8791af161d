// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* user/iov.h: the caller's vector, however odd. */
#include "tests/unit/unit.h"

#include "tests/unit/home.h"
#include "user/fault.h"
#include "user/iov.h"

#include <limits.h>

static uint8_t a[16] = "abcdefghijklmno", b[16] = "0123456789ABCDE", got[64];

static int start(struct iov_cursor *c, const struct iovec *iov, size_t count)
{
	return iov_start(c, iov, count, -EMSGSIZE);
}

static void test_pieces_are_joined(void **state)
{
	struct iovec iov[] = { { a, 3 }, { b, 2 }, { a + 5, 4 } };
	struct iov_cursor c;

	assert_int_equal(start(&c, iov, 3), 0);
	assert_int_equal(c.left, 9);
	assert_int_equal(iov_read(&c, got, 4), 4);
	assert_memory_equal(got, "abc0", 4);
	assert_int_equal(c.left, 5);
	assert_int_equal(iov_read(&c, got, 5), 5);
	assert_memory_equal(got, "1fghi", 5);
	assert_int_equal(c.left, 0);
}

static void test_writing_fills_the_pieces(void **state)
{
	uint8_t x[3], y[5];
	struct iovec iov[] = { { x, 3 }, { NULL, 0 }, { y, 5 } };
	struct iov_cursor c;

	assert_int_equal(start(&c, iov, 3), 0);
	assert_int_equal(iov_write(&c, a, 2), 2);
	assert_int_equal(iov_write(&c, a + 2, 6), 6);
	assert_memory_equal(x, "abc", 3);
	assert_memory_equal(y, "defgh", 5);
	assert_int_equal(c.left, 0);
}

static void test_empty_pieces_are_skipped_wherever_they_are(void **state)
{
	struct iovec iov[] = { { NULL, 0 }, { a, 2 }, { bad_page(), 0 },
			       { NULL, 0 }, { b, 2 }, { NULL, 0 } };
	struct iov_cursor c;

	assert_int_equal(start(&c, iov, 6), 0);
	assert_int_equal(c.left, 4);
	assert_ptr_equal(iov_contiguous(&c, 2), a);
	assert_int_equal(iov_read(&c, got, 4), 4);
	assert_memory_equal(got, "ab01", 4);
	assert_int_equal(iov_read(&c, got, 0), 0);
}

static void test_no_pieces_at_all(void **state)
{
	struct iovec iov[] = { { NULL, 0 } };
	struct iov_cursor c;

	assert_int_equal(start(&c, NULL, 0), 0);
	assert_int_equal(c.left, 0);
	assert_int_equal(iov_read(&c, got, 0), 0);
	assert_int_equal(start(&c, iov, 1), 0);
	assert_int_equal(c.left, 0);
	iov_advance(&c, 0);
}

static void test_1024_pieces_and_no_more(void **state)
{
	static struct iovec iov[1025];
	struct iov_cursor c;

	for (size_t i = 0; i < ARRAY_SIZE(iov); i++)
		iov[i] = (struct iovec){ &a[i % 8], 1 };
	assert_int_equal(start(&c, iov, 1024), 0);
	assert_int_equal(c.left, 1024);
	for (int i = 0; i < 1024; i++) {
		assert_int_equal(iov_read(&c, got, 1), 1);
		assert_int_equal(got[0], a[i % 8]);
	}
	assert_int_equal(iov_start(&c, iov, 1025, -EMSGSIZE), -EMSGSIZE);
	assert_int_equal(iov_start(&c, iov, 1025, -EINVAL), -EINVAL);
	assert_int_equal(iov_start(&c, iov, SIZE_MAX, -EINVAL), -EINVAL);
	assert_int_equal(iov_start(&c, NULL, 1025, -EMSGSIZE), -EMSGSIZE);
}

static void test_lengths_stay_within_ssize_max(void **state)
{
	struct iovec one[] = { { a, (size_t)SSIZE_MAX + 1 } };
	struct iovec two[] = { { a, SSIZE_MAX }, { b, 1 } };
	struct iovec wrap[] = { { a, SIZE_MAX }, { b, 2 } };
	struct iovec most[] = { { a, SSIZE_MAX - 1 }, { b, 1 } };
	struct iov_cursor c;

	assert_int_equal(start(&c, one, 1), -EINVAL);
	assert_int_equal(start(&c, two, 2), -EINVAL);
	assert_int_equal(start(&c, wrap, 2), -EINVAL);
	assert_int_equal(start(&c, most, 2), 0);
	assert_int_equal(c.left, SSIZE_MAX);
}

static void test_a_bad_vector_is_efault(void **state)
{
	struct iov_cursor c;

	assert_int_equal(start(&c, (struct iovec *)bad_page(), 1), -EFAULT);
	assert_int_equal(start(&c, (struct iovec *)(bad_page() - sizeof(struct iovec)), 2),
			 -EFAULT);
	assert_int_equal(start(&c, NULL, 1), -EFAULT);
}

static void test_a_bad_piece_ends_what_is_copied(void **state)
{
	struct iovec iov[] = { { a, 3 }, { bad_page(), 4 }, { b, 5 } };
	struct iov_cursor c;

	memset(got, 0, sizeof(got));
	assert_int_equal(start(&c, iov, 3), 0);
	assert_int_equal(iov_read(&c, got, 12), 3);
	assert_memory_equal(got, "abc", 3);
	assert_int_equal(c.left, 9);
	assert_int_equal(iov_read(&c, got, 9), -EFAULT);
	assert_int_equal(c.left, 9);
	iov_advance(&c, 4);
	assert_int_equal(iov_read(&c, got, 5), 5);
	assert_memory_equal(got, "01234", 5);
}

static void test_a_bad_piece_takes_no_bytes_in(void **state)
{
	uint8_t x[4] = { 0 };
	struct iovec iov[] = { { x, 4 }, { bad_page(), 4 } };
	struct iov_cursor c;

	assert_int_equal(start(&c, iov, 2), 0);
	assert_int_equal(iov_write(&c, a, 8), 4);
	assert_memory_equal(x, "abcd", 4);
	assert_int_equal(iov_write(&c, a, 4), -EFAULT);
	assert_int_equal(c.left, 4);
}

static void test_contiguous_says_where(void **state)
{
	struct iovec iov[] = { { a, 3 }, { b, 5 } };
	struct iov_cursor c;

	assert_int_equal(start(&c, iov, 2), 0);
	assert_ptr_equal(iov_contiguous(&c, 3), a);
	assert_null(iov_contiguous(&c, 4));
	iov_advance(&c, 2);
	assert_ptr_equal(iov_contiguous(&c, 1), a + 2);
	assert_null(iov_contiguous(&c, 2));
	iov_advance(&c, 1);
	assert_ptr_equal(iov_contiguous(&c, 5), b);
	assert_null(iov_contiguous(&c, 6));
	iov_advance(&c, 5);
	assert_null(iov_contiguous(&c, 1));
}

static void test_advance_goes_across_pieces(void **state)
{
	struct iovec iov[] = { { a, 3 }, { NULL, 0 }, { b, 5 }, { a, 9 } };
	struct iov_cursor c;

	for (size_t n = 0; n <= 17; n++) {
		static const char joined[] = "abc01234abcdefghi";

		assert_int_equal(start(&c, iov, 4), 0);
		iov_advance(&c, n);
		assert_int_equal(c.left, 17 - n);
		assert_int_equal(iov_read(&c, got, 17 - n), 17 - n);
		assert_memory_equal(got, joined + n, 17 - n);
	}
}

static void test_fault_copy_survives_and_tells(void **state)
{
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fault_copy(got, bad_page(), 1), -EFAULT);
		assert_int_equal(fault_copy(bad_page(), got, 1), -EFAULT);
		assert_int_equal(fault_copy(got, NULL, 1), -EFAULT);
		assert_int_equal(fault_copy(got, a, 16), 0);
		assert_memory_equal(got, a, 16);
	}
	assert_null(fault_target);
}

static int setup(void **state)
{
	home_start();
	return fault_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_are_joined),
		cmocka_unit_test(test_writing_fills_the_pieces),
		cmocka_unit_test(test_empty_pieces_are_skipped_wherever_they_are),
		cmocka_unit_test(test_no_pieces_at_all),
		cmocka_unit_test(test_1024_pieces_and_no_more),
		cmocka_unit_test(test_lengths_stay_within_ssize_max),
		cmocka_unit_test(test_a_bad_vector_is_efault),
		cmocka_unit_test(test_a_bad_piece_ends_what_is_copied),
		cmocka_unit_test(test_a_bad_piece_takes_no_bytes_in),
		cmocka_unit_test(test_contiguous_says_where),
		cmocka_unit_test(test_advance_goes_across_pieces),
		cmocka_unit_test(test_fault_copy_survives_and_tells),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
