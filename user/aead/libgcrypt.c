// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * SM4 and ARIA by libgcrypt, which uses the processor's AES and GFNI instructions for them where
 * OpenSSL 3.5 does not (docs/PERFORMANCE.md), and has SM4 where OpenSSL has none (before
 * 3.1). A handle keeps its key over gcry_cipher_reset(), allocates
 * nothing per record, and lives on libgcrypt's heap: MADV_DONTDUMP does not
 * cover it.
 */
#include "user/aead/provider.h"

#include <errno.h>
#include <string.h>

#if __has_include(<gcrypt.h>)

#include <dlfcn.h>
#include <gcrypt.h>

#include "engine/uapi.h"

#define OLDEST "1.9.0" /* the first with SM4 */
#define FIRST_WITH_ARIA "1.11.0"
/* libgcrypt's numbers; older headers have no names for them. */
#define ARIA128 319
#define ARIA256 321

#define CALLS(X)                                                                                   \
	X(gcry_check_version)                                                                      \
	X(gcry_control)                                                                            \
	X(gcry_cipher_open)                                                                        \
	X(gcry_cipher_close)                                                                       \
	X(gcry_cipher_setkey)                                                                      \
	X(gcry_cipher_setiv)                                                                       \
	X(gcry_cipher_ctl)                                                                         \
	X(gcry_cipher_authenticate)                                                                \
	X(gcry_cipher_encrypt)                                                                     \
	X(gcry_cipher_decrypt)                                                                     \
	X(gcry_cipher_gettag)                                                                      \
	X(gcry_cipher_checktag)

#define MEMBER(name) typeof(name) *name;
static struct {
	CALLS(MEMBER)
} lib;

struct state {
	gcry_cipher_hd_t handle;
	bool ccm;
	uint8_t key_len;
};

static bool is_aria(uint16_t type)
{
	return type == TLSULP_ARIA_GCM_128 || type == TLSULP_ARIA_GCM_256;
}

static bool has(uint16_t type)
{
	return !is_aria(type) || lib.gcry_check_version(FIRST_WITH_ARIA);
}

static int create(void *state, uint16_t type)
{
	struct state *s = state;
	int algorithm = !is_aria(type)                ? GCRY_CIPHER_SM4
			: type == TLSULP_ARIA_GCM_128 ? ARIA128
						      : ARIA256;

	s->ccm = type == TLSULP_SM4_CCM;
	s->key_len = type == TLSULP_ARIA_GCM_256 ? 32 : 16;
	return lib.gcry_cipher_open(&s->handle, algorithm,
				    s->ccm ? GCRY_CIPHER_MODE_CCM : GCRY_CIPHER_MODE_GCM, 0)
		       ? -ENOMEM
		       : 0;
}

static void destroy(void *state)
{
	lib.gcry_cipher_close(((struct state *)state)->handle);
}

static int set_key(void *state, const uint8_t *key)
{
	struct state *s = state;

	return lib.gcry_cipher_setkey(s->handle, key, s->key_len) ? -EIO : 0;
}

/* A new record: whatever was left of one that a fault broke off is gone. */
static bool begin(struct state *s, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		  size_t len)
{
	uint64_t lengths[3] = { len, aad_len, AEAD_TAG_LEN };

	if (lib.gcry_cipher_ctl(s->handle, GCRYCTL_RESET, NULL, 0) ||
	    lib.gcry_cipher_setiv(s->handle, nonce, AEAD_NONCE_LEN))
		return false;
	if (s->ccm &&
	    lib.gcry_cipher_ctl(s->handle, GCRYCTL_SET_CCM_LENGTHS, lengths, sizeof(lengths)))
		return false;
	return !lib.gcry_cipher_authenticate(s->handle, aad, aad_len);
}

static int seal(void *state, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		const struct iovec *in, int in_cnt, uint8_t *out)
{
	struct state *s = state;
	size_t len = aead_gather(out, in, in_cnt);

	if (!begin(s, nonce, aad, aad_len, len) ||
	    lib.gcry_cipher_encrypt(s->handle, out, len, NULL, 0) ||
	    lib.gcry_cipher_gettag(s->handle, out + len, AEAD_TAG_LEN))
		return -EIO;
	return 0;
}

static int open_record(void *state, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		       const uint8_t *in, size_t len, uint8_t *out)
{
	struct state *s = state;
	uint8_t tag[AEAD_TAG_LEN];

	memcpy(tag, in + len, sizeof(tag));
	if (len && out != in)
		memmove(out, in, len);
	if (!begin(s, nonce, aad, aad_len, len) ||
	    lib.gcry_cipher_decrypt(s->handle, out, len, NULL, 0))
		return -EIO;
	return lib.gcry_cipher_checktag(s->handle, tag, sizeof(tag)) ? -EBADMSG : 0;
}

static int load(void)
{
	void *handle = dlopen("libgcrypt.so.20", RTLD_NOW | RTLD_LOCAL);
	bool ok = true;

	if (!handle)
		return -ENOENT;
#define LOOK_UP(name) ok = (lib.name = dlsym(handle, #name)) && ok;
	CALLS(LOOK_UP)
	if (!ok || !lib.gcry_check_version(OLDEST))
		return -ENOENT;
	/* The application may have started the library its own way: then it stays so. */
	if (!lib.gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
		lib.gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
		lib.gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	}
	return 0;
}

static const char *version(void)
{
	return lib.gcry_check_version(NULL);
}

#define CIPHER(number)                                                                             \
	{                                                                                          \
		.type = number, .state_len = sizeof(struct state), .create = create,               \
		.destroy = destroy, .set_key = set_key, .seal = seal, .open = open_record          \
	}

static const struct aead_cipher ciphers[] = { CIPHER(TLSULP_SM4_GCM), CIPHER(TLSULP_SM4_CCM),
					      CIPHER(TLSULP_ARIA_GCM_128),
					      CIPHER(TLSULP_ARIA_GCM_256) };
#define CIPHER_CNT (sizeof(ciphers) / sizeof(ciphers[0]))

#else

static int load(void)
{
	return -ENOTSUP; /* built without libgcrypt's header */
}

static const char *version(void)
{
	return NULL;
}

#define has NULL
#define ciphers NULL
#define CIPHER_CNT 0

#endif

const struct aead_provider aead_libgcrypt = {
	.name = "libgcrypt",
	.package = "libgcrypt20",
	.load = load,
	.version = version,
	.has = has,
	.ciphers = ciphers,
	.cipher_cnt = CIPHER_CNT,
};
