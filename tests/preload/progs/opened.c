// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* opened PORT LIBRARY: nothing is preloaded; the program opens the library, as tlsulp.3 says. */
#include <dlfcn.h>
#include <linux/tls.h>

#include "peer.h"

#define TAG 1

static void *library;

static void *function(const char *name)
{
	void *f = dlsym(library, name);

	CHECK(f);
	return f;
}

int main(int argc, char **argv)
{
	struct tls12_crypto_info_aes_gcm_128 info = { .info = { TLS_1_3_VERSION,
								TLS_CIPHER_AES_GCM_128 } };
	int (*set)(int, int, int, const void *, socklen_t);
	ssize_t (*write_to)(int, const void *, size_t);
	int (*close_it)(int);
	int fd;

	library = dlopen(argv[2], RTLD_NOW);
	if (!library)
		die("%s", dlerror());
	set = function("tlsulp_setsockopt");
	write_to = function("tlsulp_write");
	close_it = function("tlsulp_close");
	peer_init(argv[1]);
	fd = peer_socket();
	peer_connect(fd, TAG);
	memset(info.key, TAG, sizeof(info.key)); /* as peer_key() */
	memset(info.salt, TAG, sizeof(info.salt));
	memset(info.iv, 0x5a, sizeof(info.iv));
	CHECK(set(fd, IPPROTO_TCP, TCP_ULP, "tls", 4) == 0);
	CHECK(set(fd, SOL_TLS, TLS_TX, &info, sizeof(info)) == 0);
	CHECK(write_to(fd, "ok", 2) == 2);
	CHECK(close_it(fd) == 0);
	return 0;
}
