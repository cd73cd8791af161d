// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * user/aead/aead.h, by every provider that this machine has: published
 * answers, each provider against the others, and the promises about memory.
 */
#include <errno.h>
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)
#include <intel-ipsec-mb.h>
#endif

#include "engine/uapi.h"
#include "user/aead/aead.h"
#include "user/aead/provider.h"

#if defined(IMB_VERSION_NUM) && IMB_VERSION_NUM >= IMB_VERSION(2, 0, 0)
#define IPSEC_MB_SONAME "libIPSec_MB.so.2"
#define IPSEC_MB_PACKAGE "libipsec-mb2"
#else
#define IPSEC_MB_SONAME "libIPSec_MB.so.1"
#define IPSEC_MB_PACKAGE "libipsec-mb1"
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define TEXT_MAX 16400
#define ROOM (TEXT_MAX + AEAD_TAG_LEN + 64)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define COUNT_ALLOCATIONS 0
#else
#define COUNT_ALLOCATIONS 1
#endif

static const uint16_t ciphers[] = {
	TLSULP_AES_GCM_128, TLSULP_AES_GCM_256, TLSULP_CHACHA20_POLY1305, TLSULP_AES_CCM_128,
	TLSULP_SM4_GCM,     TLSULP_SM4_CCM,     TLSULP_ARIA_GCM_128,      TLSULP_ARIA_GCM_256,
};
static const size_t sizes[] = { 0, 1, 15, 16, 17, 255, 16384, 16385 };

/* The header of a TLS 1.3 record is the additional data (RFC 8446 section 5.2). */
static const uint8_t aad[] = { 23, 3, 3, 0x40, 0x11 };
static const uint8_t nonce[AEAD_NONCE_LEN] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
static const uint8_t raw_key[32] = "0123456789abcdefFEDCBA987654321";
static uint8_t text[TEXT_MAX];

struct known_answer {
	const char *source;
	uint16_t cipher;
	const char *key, *nonce, *aad, *text, *sealed;
};

#define GCM_TEXT                                                                                   \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"                         \
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"

static const struct known_answer known_answers[] = {
	{ "GCM specification (submission to NIST), test case 1", TLSULP_AES_GCM_128,
	  "00000000000000000000000000000000", "000000000000000000000000", "", "",
	  "58e2fccefa7e3061367f1d57a4e7455a" },
	{ "GCM specification, test case 2", TLSULP_AES_GCM_128, "00000000000000000000000000000000",
	  "000000000000000000000000", "", "00000000000000000000000000000000",
	  "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf" },
	{ "GCM specification, test case 4", TLSULP_AES_GCM_128, "feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_TEXT,
	  "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
	  "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
	  "5bc94fbc3221a5db94fae95ae7121a47" },
	{ "GCM specification, test case 13", TLSULP_AES_GCM_256,
	  "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b" },
	{ "GCM specification, test case 14", TLSULP_AES_GCM_256,
	  "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "", "00000000000000000000000000000000",
	  "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919" },
	{ "GCM specification, test case 16", TLSULP_AES_GCM_256,
	  "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_TEXT,
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
	  "76fc6ece0f4e1768cddf8853bb2d551b" },
	{ "RFC 8439 section 2.8.2", TLSULP_CHACHA20_POLY1305,
	  "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	  "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
	  "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
	  "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
	  "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
	  "637265656e20776f756c642062652069742e",
	  "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
	  "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	  "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
	  "3ff4def08e4b7a9de576d26586cec64b6116"
	  "1ae10b594f09e26a7e902ecbd0600691" },
	{ "RFC 8439 appendix A.5", TLSULP_CHACHA20_POLY1305,
	  "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
	  "000000000102030405060708", "f33388860000000000004e91",
	  "496e7465726e65742d4472616674732061726520647261667420646f63756d65"
	  "6e74732076616c696420666f722061206d6178696d756d206f6620736978206d"
	  "6f6e74687320616e64206d617920626520757064617465642c207265706c6163"
	  "65642c206f72206f62736f6c65746564206279206f7468657220646f63756d65"
	  "6e747320617420616e792074696d652e20497420697320696e617070726f7072"
	  "6961746520746f2075736520496e7465726e65742d4472616674732061732072"
	  "65666572656e6365206d6174657269616c206f7220746f206369746520746865"
	  "6d206f74686572207468616e206173202fe2809c776f726b20696e2070726f67"
	  "726573732e2fe2809d",
	  "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2"
	  "4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf"
	  "332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
	  "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4"
	  "b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e"
	  "af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
	  "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10"
	  "49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29"
	  "a6ad5cb4022b02709b"
	  "eead9d67890cbb22392336fea1851f38" },
	{ "RFC 8998 A.1", TLSULP_SM4_GCM, "0123456789abcdeffedcba9876543210",
	  "00001234567800000000abcd", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	  "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
	  "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
	  "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
	  "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
	  "83de3541e4c2b58177e065a9bf7b62ec" },
	{ "RFC 8998 A.2", TLSULP_SM4_CCM, "0123456789abcdeffedcba9876543210",
	  "00001234567800000000abcd", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	  "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
	  "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
	  "48af93501fa62adbcd414cce6034d895dda1bf8f132f042098661572e7483094"
	  "fd12e518ce062c98acee28d95df4416bed31a2f04476c18bb40c84a74b97dc5b"
	  "16842d4fa186f56ab33256971fa110f4" },
	{ "Wycheproof aes_ccm_test, tcId 1", TLSULP_AES_CCM_128, "bedcfb5a011ebc84600fcb296c15af0d",
	  "438a547a94ea88dce46c6c85", "", "", "25d1a38495a7dea45bda049705627d10" },
	{ "Wycheproof aes_ccm_test, tcId 9", TLSULP_AES_CCM_128, "e12260fcd355a51a0d01bb1f6fa538c2",
	  "5dfc37366f5688275147d3f9", "",
	  "d902deeab175c008329a33bfaccd5c0eb3a6a152a1510e7db04fa0aff7ce4288"
	  "530db6a80fa7fea582aa7d46d7d56e708d2bb0c5edd3d26648d336c3620ea55e",
	  "0de44fe54b84359365054a6997478f87b6b761d127a651f7b8003d25e762f7f8"
	  "1cf84b3a471a9377bb388c74c08be894eff10e46365bf76820b7168623966be6"
	  "bb8e261879d6f639aa42d2d50ed750b8" },
	{ "Wycheproof aes_ccm_test, tcId 13", TLSULP_AES_CCM_128,
	  "d97c9b043bdccfd59491a995e78f1696", "ef423240358830df915506a3", "3ddba7b3ab69c8b2",
	  "f047594a5cffda64303a80b2fa6a957169",
	  "e0caf2a9d50f70ecaa43b4a287c3b34a99cff4c61882b413b686ff35b63a3a73de" },
	{ "Wycheproof aes_ccm_test, tcId 21", TLSULP_AES_CCM_128,
	  "ef35b5c797bb6beedb513ba3d8aebd25", "0576a1017ac00e49110c4cac",
	  "a386d5c44de8c6a5063adf5ba9f0b75e9ad1f239a530dd76d797554d7b037d7d", "",
	  "6966a1cf5729332b26fd3e3850b74865" },
};

/* ---- helpers ---- */

typedef void each_fn(int provider, uint16_t cipher);

static void each(each_fn *fn)
{
	for (int p = 0; aead_provider_name(p); p++)
		for (size_t c = 0; c < ARRAY_SIZE(ciphers); c++)
			if (aead_provider_has(p, ciphers[c]))
				fn(p, ciphers[c]);
}

static struct aead_key *key_make(int provider, uint16_t cipher, const uint8_t *raw)
{
	struct aead_key *k = NULL;

	assert_int_equal(aead_key_new_from(provider, cipher, raw, &k), 0);
	assert_non_null(k);
	assert_string_equal(aead_key_provider(k), aead_provider_name(provider));
	return k;
}

static void seal_one(struct aead_key *k, const uint8_t *in, size_t len, uint8_t *out)
{
	struct iovec iov = { (void *)in, len };

	assert_int_equal(aead_seal(k, nonce, aad, sizeof(aad), &iov, 1, out), 0);
}

static int open_one(struct aead_key *k, const uint8_t *in, size_t len, uint8_t *out)
{
	return aead_open(k, nonce, aad, sizeof(aad), in, len, out);
}

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++)
		assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &out[i]), 1);
	return len;
}

/* Runs @fn in a child, with TLSULP_AEAD=@forced if that is not NULL: 0 if it returned true. */
static int in_child(bool (*fn)(void), const char *forced)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (forced)
			setenv("TLSULP_AEAD", forced, 1);
		else
			unsetenv("TLSULP_AEAD");
		_exit(fn() ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* ---- the choice of a provider ---- */

static void test_providers_listed(void **state)
{
	assert_string_equal(aead_provider_name(0), "ipsec-mb");
	assert_string_equal(aead_provider_hint(0), IPSEC_MB_PACKAGE);
	assert_string_equal(aead_provider_name(1), "libgcrypt");
	assert_string_equal(aead_provider_hint(1), "libgcrypt20");
	assert_string_equal(aead_provider_name(2), "libcrypto");
	assert_string_equal(aead_provider_hint(2), "libssl3");
	assert_null(aead_provider_name(3));
	assert_null(aead_provider_name(-1));
	for (int p = 0; aead_provider_name(p); p++) {
		bool usable = aead_provider_usable(p) == 0;

		assert_int_equal(aead_provider_version(p) != NULL, usable);
		assert_false(aead_provider_has(p, 0));
		if (usable)
			print_message("%s %s\n", aead_provider_name(p), aead_provider_version(p));
	}
}

/* A provider that is installed but not found would go unnoticed: the other one serves. */
static void test_installed_means_usable(void **state)
{
#ifdef __x86_64__
	if (dlopen(IPSEC_MB_SONAME, RTLD_NOW | RTLD_LOCAL) && __builtin_cpu_supports("aes") &&
	    __builtin_cpu_supports("pclmul"))
		assert_int_equal(aead_provider_usable(0), 0);
#endif
	if (dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL))
		assert_int_equal(aead_provider_usable(2), 0);
}

static const char *chosen(uint16_t cipher)
{
	struct aead_key *k;
	const char *name;

	if (aead_key_new(cipher, raw_key, &k) != 0)
		return "none";
	name = aead_key_provider(k);
	aead_key_free(k);
	return name;
}

static const char *first_with(uint16_t cipher)
{
	const char *name = "none";

	for (int p = 0; aead_provider_name(p); p++) {
		if (!aead_provider_has(p, cipher))
			continue;
		if (!aead_provider_is_slow(p, cipher))
			return aead_provider_name(p);
		name = aead_provider_name(p);
	}
	return name;
}

static bool first_is_chosen(void)
{
	for (size_t c = 0; c < ARRAY_SIZE(ciphers); c++)
		if (strcmp(chosen(ciphers[c]), first_with(ciphers[c])) != 0)
			return false;
	return true;
}

static bool forced_is_chosen(void)
{
	const char *forced = getenv("TLSULP_AEAD");
	int p = 0;

	while (strcmp(forced, aead_provider_name(p)) != 0)
		p++;

	for (size_t c = 0; c < ARRAY_SIZE(ciphers); c++) {
		bool has = aead_provider_has(p, ciphers[c]);

		if (strcmp(chosen(ciphers[c]), has ? forced : "none") != 0)
			return false;
	}
	return true;
}

static bool none_is_chosen(void)
{
	struct aead_key *k;

	for (size_t c = 0; c < ARRAY_SIZE(ciphers); c++)
		if (aead_key_new(ciphers[c], raw_key, &k) != -ENOENT)
			return false;
	return true;
}

/* Where intel-ipsec-mb has no AVX-512 to use, libcrypto's ChaCha20 is faster. */
static bool faster_chacha_is_chosen(void)
{
	bool wide = false;

#ifdef __x86_64__
	wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl");
#endif
	if (aead_provider_usable(0) || aead_provider_usable(2))
		return true; /* no choice */
	return !strcmp(chosen(TLSULP_CHACHA20_POLY1305), wide ? "ipsec-mb" : "libcrypto");
}

static void test_choice(void **state)
{
	assert_int_equal(in_child(faster_chacha_is_chosen, NULL), 0);
	assert_int_equal(in_child(first_is_chosen, NULL), 0);
	assert_int_equal(in_child(first_is_chosen, ""), 0);
	assert_int_equal(in_child(forced_is_chosen, "ipsec-mb"), 0);
	assert_int_equal(in_child(forced_is_chosen, "libcrypto"), 0);
	assert_int_equal(in_child(forced_is_chosen, "libgcrypt"), 0);
	assert_int_equal(in_child(none_is_chosen, "rot13"), 0);
	assert_int_equal(in_child(none_is_chosen, "libcrypto-and-more-than-fits"), 0);
}

static bool unknown_refused(void)
{
	struct aead_key *k;

	return aead_key_new(0, raw_key, &k) == -ENOENT &&
	       aead_key_new(TLSULP_ARIA_GCM_256 + 1, raw_key, &k) == -ENOENT;
}

static void test_unknown_cipher(void **state)
{
	struct aead_key *k;

	assert_int_equal(in_child(unknown_refused, NULL), 0);
	for (int p = -1; p < 4; p++)
		assert_int_equal(aead_key_new_from(p, TLSULP_AES_GCM_128 - 1, raw_key, &k),
				 -ENOENT);
	aead_key_free(NULL);
}

/* ---- the arithmetic ---- */

static void known_answer(int provider, const struct known_answer *a)
{
	uint8_t key[32], iv[AEAD_NONCE_LEN], ad[64], in[300], want[316], out[316];
	size_t ad_len = unhex(a->aad, ad), len = unhex(a->text, in);
	struct iovec iov = { in, len };
	struct aead_key *k;

	unhex(a->key, key);
	assert_int_equal(unhex(a->nonce, iv), sizeof(iv));
	assert_int_equal(unhex(a->sealed, want), len + AEAD_TAG_LEN);
	k = key_make(provider, a->cipher, key);
	assert_int_equal(aead_seal(k, iv, ad, ad_len, &iov, 1, out), 0);
	if (memcmp(out, want, len + AEAD_TAG_LEN) != 0)
		fail_msg("%s: %s", aead_key_provider(k), a->source);
	assert_int_equal(aead_open(k, iv, ad, ad_len, want, len, out), 0);
	assert_memory_equal(out, in, len);
	aead_key_free(k);
}

static void test_known_answers(void **state)
{
	int done = 0;

	for (int p = 0; aead_provider_name(p); p++)
		for (size_t i = 0; i < ARRAY_SIZE(known_answers); i++)
			if (aead_provider_has(p, known_answers[i].cipher)) {
				known_answer(p, &known_answers[i]);
				done++;
			}
	assert_true(done >= (int)ARRAY_SIZE(known_answers));
}

/* Sealed by one, opened by the other, at odd addresses, apart and in place. */
static void cross_check(struct aead_key *a, struct aead_key *b, size_t len, size_t shift)
{
	static uint8_t sealed[ROOM], again[ROOM], opened[ROOM];

	memset(sealed, 0xee, sizeof(sealed));
	seal_one(a, text + shift % 7, len, sealed + shift);
	assert_int_equal(sealed[shift + len + AEAD_TAG_LEN], 0xee);
	memcpy(again + shift + 1, text + shift % 7, len);
	seal_one(b, again + shift + 1, len, again + shift + 1);
	assert_memory_equal(again + shift + 1, sealed + shift, len + AEAD_TAG_LEN);

	assert_int_equal(open_one(b, sealed + shift, len, opened + 3), 0);
	assert_memory_equal(opened + 3, text + shift % 7, len);
	assert_int_equal(open_one(a, again + shift + 1, len, again + shift + 1), 0);
	assert_memory_equal(again + shift + 1, text + shift % 7, len);
}

static void each_against_others(int provider, uint16_t cipher)
{
	struct aead_key *a = key_make(provider, cipher, raw_key);

	for (int p = 0; aead_provider_name(p); p++) {
		struct aead_key *b;

		if (!aead_provider_has(p, cipher))
			continue;
		b = key_make(p, cipher, raw_key);
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
			for (size_t shift = 0; shift < 18; shift++)
				cross_check(a, b, sizes[i], shift);
		for (size_t len = 0; len < 600; len++)
			cross_check(a, b, len, len % 13);
		aead_key_free(b);
	}
	aead_key_free(a);
}

static void test_providers_agree(void **state)
{
	each(each_against_others);
}

static void assert_refused(struct aead_key *k, const uint8_t *sealed, size_t len)
{
	static const uint8_t zero[ROOM];
	static uint8_t out[ROOM];

	memset(out, 0xee, sizeof(out));
	assert_int_equal(open_one(k, sealed, len, out), -EBADMSG);
	assert_memory_equal(out, zero, len);
	assert_int_equal(out[len], 0xee);

	memcpy(out, sealed, len + AEAD_TAG_LEN);
	assert_int_equal(open_one(k, out, len, out), -EBADMSG);
	assert_memory_equal(out, zero, len);
}

static void tamper(struct aead_key *k, size_t len)
{
	uint8_t sealed[512], out[512], other[sizeof(aad)];

	seal_one(k, text, len, sealed);
	for (size_t i = 0; i < len + AEAD_TAG_LEN; i++) {
		sealed[i] ^= 1 << (i % 8);
		assert_refused(k, sealed, len);
		sealed[i] ^= 1 << (i % 8);
	}
	memcpy(other, aad, sizeof(aad));
	other[4] ^= 1;
	assert_int_equal(aead_open(k, nonce, other, sizeof(aad), sealed, len, out), -EBADMSG);
	assert_int_equal(aead_open(k, nonce, aad, 4, sealed, len, out), -EBADMSG);
	assert_int_equal(aead_open(k, nonce, NULL, 0, sealed, len, out), -EBADMSG);
	/* and the key is none the worse for it */
	assert_int_equal(open_one(k, sealed, len, out), 0);
	assert_memory_equal(out, text, len);
}

static void each_tampered(int provider, uint16_t cipher)
{
	struct aead_key *k = key_make(provider, cipher, raw_key);

	for (size_t len = 0; len < 300; len += 1 + len / 2)
		tamper(k, len);
	aead_key_free(k);
}

static void test_tampered(void **state)
{
	each(each_tampered);
}

/* Cuts @len bytes at @base into pieces of a pattern that @seed chooses, some of them empty. */
static int cut(uint8_t *base, size_t len, unsigned int seed, struct iovec *iov, int max)
{
	int n = 0;

	while (n < max - 1 && len > 0) {
		size_t piece = rand_r(&seed) % (seed % 3 ? 40 : 2000);

		if (piece > len)
			piece = len;
		iov[n++] = (struct iovec){ piece ? base : NULL, piece };
		base += piece;
		len -= piece;
	}
	iov[n++] = (struct iovec){ base, len };
	return n;
}

static void assert_pieces(struct aead_key *k, const struct iovec *iov, int n, const uint8_t *want,
			  size_t len)
{
	static uint8_t out[ROOM];

	memset(out, 0xee, sizeof(out));
	assert_int_equal(aead_seal(k, nonce, aad, sizeof(aad), iov, n, out), 0);
	assert_memory_equal(out, want, len + AEAD_TAG_LEN);
	assert_int_equal(out[len + AEAD_TAG_LEN], 0xee);
}

static void pieces(struct aead_key *k, size_t len, unsigned int seed)
{
	static uint8_t want[ROOM], out[ROOM];
	struct iovec iov[30];
	int n;

	seal_one(k, text, len, want);
	n = cut(text, len, seed, iov, ARRAY_SIZE(iov));
	assert_pieces(k, iov, n, want, len);

	memcpy(out, text, len);
	n = cut(out, len, seed, iov, ARRAY_SIZE(iov));
	iov[0].iov_base = out;
	assert_int_equal(aead_seal(k, nonce, aad, sizeof(aad), iov, n, out), 0);
	assert_memory_equal(out, want, len + AEAD_TAG_LEN);
}

static void each_in_pieces(int provider, uint16_t cipher)
{
	struct aead_key *k = key_make(provider, cipher, raw_key);
	uint8_t want[600];

	for (size_t len = 0; len <= 300; len += 1 + len / 8) {
		seal_one(k, text, len, want);
		for (size_t at = 0; at <= len; at++) {
			struct iovec two[] = { { text, at }, { text + at, len - at } };

			assert_pieces(k, two, 2, want, len);
		}
	}
	for (unsigned int seed = 0; seed < 400; seed++)
		pieces(k, seed < 200 ? 16385 : seed * 3, seed);
	seal_one(k, NULL, 0, want);
	assert_pieces(k, NULL, 0, want, 0);
	aead_key_free(k);
}

static void test_pieces_equal_one_piece(void **state)
{
	each(each_in_pieces);
}

/* ---- the memory ---- */

/* Two pages of which the second may not be touched; returns where it begins. */
static uint8_t *cliff(void)
{
	size_t page = sysconf(_SC_PAGESIZE);
	uint8_t *p =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + page, page, PROT_NONE), 0);
	return p + page;
}

static uint8_t *before(uint8_t *end, const void *data, size_t len)
{
	return memcpy(end - len, data, len);
}

/* Vector code likes to read whole registers: every buffer ends where the world ends. */
static void each_at_the_cliff(int provider, uint16_t cipher)
{
	uint8_t *in = cliff(), *out = cliff(), *ad = cliff(), *iv = cliff(), *key = cliff();
	bool short_key = cipher != TLSULP_AES_GCM_256 && cipher != TLSULP_ARIA_GCM_256 &&
			 cipher != TLSULP_CHACHA20_POLY1305;
	struct aead_key *k = key_make(provider, cipher, before(key, raw_key, short_key ? 16 : 32));
	uint8_t want[600];

	for (size_t len = 0; len < 520; len++) {
		const uint8_t *a = before(ad, aad, sizeof(aad)),
			      *n = before(iv, nonce, sizeof(nonce));
		uint8_t *sealed = out - len - AEAD_TAG_LEN;
		struct iovec two[] = { { before(in, text, len), len / 2 },
				       { in - len + len / 2, len - len / 2 } };
		struct iovec one = { in - len, len };

		seal_one(k, text, len, want);
		assert_int_equal(aead_seal(k, n, a, sizeof(aad), &one, 1, sealed), 0);
		assert_memory_equal(sealed, want, len + AEAD_TAG_LEN);
		assert_int_equal(aead_seal(k, n, a, sizeof(aad), two, 2, sealed), 0);
		assert_memory_equal(sealed, want, len + AEAD_TAG_LEN);
		assert_int_equal(aead_open(k, n, a, sizeof(aad), sealed, len, in - len), 0);
		assert_memory_equal(in - len, text, len);
	}
	aead_key_free(k);
}

static void test_nothing_beyond_the_ends(void **state)
{
	each(each_at_the_cliff);
}

static void each_key_set(int provider, uint16_t cipher)
{
	uint8_t other_raw[32] = "another key of the same length.", a[64], b[64], c[64];
	struct aead_key *k = key_make(provider, cipher, raw_key);
	struct aead_key *other = key_make(provider, cipher, other_raw);

	seal_one(k, text, 20, a);
	seal_one(other, text, 20, b);
	assert_memory_not_equal(a, b, 36);
	assert_int_equal(aead_key_set(k, other_raw), 0);
	assert_int_equal(open_one(k, a, 20, c), -EBADMSG);
	seal_one(k, text, 20, c);
	assert_memory_equal(c, b, 36);
	aead_key_free(other);
	aead_key_free(k);
}

static void test_key_set(void **state)
{
	each(each_key_set);
}

/* Whether the mapping that holds @p has flag dd, "not in core dumps" (proc(5), VmFlags). */
static bool kept_out_of_dumps(const void *p)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long from, to, at = (unsigned long)p;
	bool here = false, found = false;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= at && at < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, " dd") != NULL;
	}
	fclose(f);
	return found;
}

static void each_key_memory(int provider, uint16_t cipher)
{
	struct aead_key *keys[200];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		keys[i] = key_make(provider, cipher, raw_key);
		assert_int_equal((uintptr_t)keys[i] % 64, 0);
	}
	assert_true(kept_out_of_dumps(keys[0]));
	assert_true(kept_out_of_dumps(keys[199]));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		aead_key_free(keys[i]);
	/* The last one freed is the next one given out. */
	keys[0] = key_make(provider, cipher, raw_key);
	assert_ptr_equal(keys[0], keys[199]);
	aead_key_free(keys[0]);
}

static void test_key_memory(void **state)
{
	each(each_key_memory);
}

/* Beyond the link of the free list, nothing of a freed key is left. */
static void each_freed(int provider, uint16_t cipher)
{
	static const uint8_t zero[256];
	struct aead_key *k = key_make(provider, cipher, raw_key);
	uint8_t out[64];

	seal_one(k, text, 20, out);
	aead_key_free(k);
	assert_memory_equal((uint8_t *)k + sizeof(void *), zero, 64 - sizeof(void *));
	assert_memory_equal((uint8_t *)k + 64, zero, 64);
}

static void test_freed_is_wiped(void **state)
{
	each(each_freed);
}

#if COUNT_ALLOCATIONS
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

/* Volatile because glibc promises the compiler that its functions call nothing in this file. */
static __thread volatile int allocations;

/* Libraries find these only if they are exported. */
#pragma GCC visibility push(default)
void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	allocations++;
	return __libc_realloc(p, size);
}
#pragma GCC visibility pop
#else
static __thread volatile int allocations;
#endif

/* All that may happen in send() and recv(), in a thread that never did it before. */
static void *use_key(void *arg)
{
	static uint8_t out[ROOM];
	struct iovec two[] = { { text, 1000 }, { text + 1000, 24 } };
	struct aead_key *k = arg;
	int before_it = allocations, bad = 0;

	bad |= aead_seal(k, nonce, aad, sizeof(aad), two, 2, out) != 0;
	bad |= open_one(k, out, 1024, text) != 0;
	bad |= aead_seal(k, nonce, aad, sizeof(aad), two, 1, out) != 0;
	out[1001] ^= 1;
	bad |= open_one(k, out, 1000, out) != -EBADMSG;
	bad |= aead_key_set(k, raw_key) != 0;
	return (void *)(intptr_t)(bad ? -1 : allocations - before_it);
}

static void each_allocates_nothing(int provider, uint16_t cipher)
{
	struct aead_key *k = key_make(provider, cipher, raw_key);
	pthread_t thread;
	void *ret;

	assert_int_equal(pthread_create(&thread, NULL, use_key, k), 0);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_int_equal((intptr_t)ret, 0);
	aead_key_free(k);
}

static void test_use_allocates_nothing(void **state)
{
	int before_it = allocations;

	/* The count sees what the C library itself allocates. */
	free(getcwd(NULL, 0));
	assert_int_equal(allocations > before_it, COUNT_ALLOCATIONS);
	each(each_allocates_nothing);
}

static unsigned long (*err_peek)(void);

static void each_leaves_no_error(int provider, uint16_t cipher)
{
	struct aead_key *k = key_make(provider, cipher, raw_key);
	uint8_t out[64];

	seal_one(k, text, 20, out);
	out[30] ^= 1;
	assert_int_equal(open_one(k, out, 20, out), -EBADMSG);
	aead_key_free(k);
	assert_int_equal(err_peek(), 0);
}

/* An application that calls SSL_get_error() must not find our errors in its queue. */
static void test_error_queue_untouched(void **state)
{
	void *handle = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		skip();
	*(void **)&err_peek = dlsym(handle, "ERR_peek_error");
	assert_int_equal(err_peek(), 0);
	each(each_leaves_no_error);
}

/* ---- processes, threads, faults ---- */

static sigjmp_buf out_of_it;

static void on_fault(int sig)
{
	siglongjmp(out_of_it, 1);
}

/* As user/fault.h does it: jump out of a seal whose input is a bad pointer, then go on. */
static void each_survives_fault(int provider, uint16_t cipher)
{
	struct aead_key *k = key_make(provider, cipher, raw_key);
	uint8_t *edge = cliff(), want[128];
	static uint8_t out[ROOM];
	struct iovec bad[] = { { text, 100 }, { edge - 50, 5000 } };

	seal_one(k, text, 100, want);
	for (int cnt = 1; cnt <= 2; cnt++) {
		if (sigsetjmp(out_of_it, 1) == 0) {
			aead_seal(k, nonce, aad, sizeof(aad), cnt == 1 ? &bad[1] : bad, cnt, out);
			fail_msg("no fault");
		}
		seal_one(k, text, 100, out);
		assert_memory_equal(out, want, 116);
		assert_int_equal(open_one(k, want, 100, out), 0);
		assert_memory_equal(out, text, 100);
	}
	aead_key_free(k);
}

static void test_fault_in_seal(void **state)
{
	struct sigaction act = { .sa_handler = on_fault }, old;

	assert_int_equal(sigaction(SIGSEGV, &act, &old), 0);
	each(each_survives_fault);
	assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
}

static struct aead_key *inherited;
static uint8_t inherited_sealed[1100];

static bool use_inherited(void)
{
	uint8_t raw[32] = "a key update in the child";
	static uint8_t out[1100];
	bool ok = open_one(inherited, inherited_sealed, 1000, out) == 0;

	ok = ok && memcmp(out, text, 1000) == 0;
	ok = ok && aead_key_set(inherited, raw) == 0;
	aead_key_free(inherited);
	return ok;
}

static void each_inherited(int provider, uint16_t cipher)
{
	uint8_t out[1100];

	inherited = key_make(provider, cipher, raw_key);
	seal_one(inherited, text, 1000, inherited_sealed);
	assert_int_equal(in_child(use_inherited, NULL), 0);
	/* and what the child did to its copy is no matter here */
	seal_one(inherited, text, 1000, out);
	assert_memory_equal(out, inherited_sealed, 1016);
	aead_key_free(inherited);
}

static void test_after_fork(void **state)
{
	each(each_inherited);
}

struct worker {
	struct aead_key *key;
	uint8_t fill;
};

static void *work(void *arg)
{
	const struct worker *w = arg;
	uint8_t in[3000], sealed[3016], opened[3000];

	memset(in, w->fill, sizeof(in));
	for (int i = 0; i < 3000; i++) {
		size_t len = 1 + i;
		struct iovec two[] = { { in, len / 3 }, { in, len - len / 3 } };

		if (aead_seal(w->key, nonce, aad, sizeof(aad), two, 2, sealed) != 0 ||
		    open_one(w->key, sealed, len, opened) != 0 || memcmp(opened, in, len) != 0)
			return "wrong";
	}
	return NULL;
}

static void each_two_threads(int provider, uint16_t cipher)
{
	uint8_t other_raw[32] = "the key of the second thread";
	struct worker w[2] = { { key_make(provider, cipher, raw_key), 'a' },
			       { key_make(provider, cipher, other_raw), 'b' } };
	pthread_t thread[2];
	void *ret;

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, work, &w[i]), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(thread[i], &ret), 0);
		assert_null(ret);
		aead_key_free(w[i].key);
	}
}

static void test_two_threads(void **state)
{
	each(each_two_threads);
}

static int fill_text(void **state)
{
	unsigned int seed = 1;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = rand_r(&seed);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_providers_listed),
		cmocka_unit_test(test_installed_means_usable),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_unknown_cipher),
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_providers_agree),
		cmocka_unit_test(test_tampered),
		cmocka_unit_test(test_pieces_equal_one_piece),
		cmocka_unit_test(test_nothing_beyond_the_ends),
		cmocka_unit_test(test_key_set),
		cmocka_unit_test(test_key_memory),
		cmocka_unit_test(test_freed_is_wiped),
		cmocka_unit_test(test_use_allocates_nothing),
		cmocka_unit_test(test_error_queue_untouched),
		cmocka_unit_test(test_fault_in_seal),
		cmocka_unit_test(test_after_fork),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, fill_text, NULL);
}
