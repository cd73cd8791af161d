// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/advice.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define OPENSSL_FILE                                                                               \
	"write a file with the lines below and name it in OPENSSL_CONF:\n"                         \
	"      openssl_conf = d\n"                                                                 \
	"      [d]\n"                                                                              \
	"      ssl_conf = s\n"                                                                     \
	"      [s]\n"                                                                              \
	"      system_default = x\n"                                                               \
	"      [x]\n"                                                                              \
	"      Options = KTLS"
#define OWN_BIO "it hands OpenSSL a BIO of its own, so it never asks for kTLS"

/* Names are compared up to the length given here: python3.11 is python3. */
static const struct {
	const char *program;
	const char *hint;
} hints[] = {
	{ "nginx",
	  "in nginx.conf: sendfile on; ssl_conf_command Options KTLS; ssl_protocols TLSv1.2 "
	  "TLSv1.3;" },
	{ "lighttpd", "with lighttpd-mod-openssl, in lighttpd.conf: "
		      "ssl.openssl.ssl-conf-cmd = (\"Options\" => \"+KTLS\")" },
	{ "python3", "in the program: context.options |= 1 << 3 (ssl.OP_ENABLE_KTLS since 3.12)" },
	{ "redis", OPENSSL_FILE },
	{ "stunnel", OPENSSL_FILE },
	{ "socat", OPENSSL_FILE },
	{ "openssl", OPENSSL_FILE },
	{ "mariadbd", OPENSSL_FILE },
	{ "vsftpd", OPENSSL_FILE },
	{ "curl", OWN_BIO },
	{ "apache2", OWN_BIO },
	{ "haproxy", OWN_BIO },
	{ "postgres", OWN_BIO },
};

static const char *hint_for(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		if (!strncmp(name, hints[i].program, strlen(hints[i].program)))
			return hints[i].hint;
	}
	return NULL;
}

static const char *openssl_version(void)
{
	void *lib = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
	const char *(*version)(int) = NULL;

	if (lib)
		*(void **)&version = dlsym(lib, "OpenSSL_version");
	return version ? version(0) : NULL;
}

static const char *gnutls_version(const char *name)
{
	void *lib = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	const char *(*version)(const char *) = NULL;

	if (lib)
		*(void **)&version = dlsym(lib, "gnutls_check_version");
	return version ? version(NULL) : NULL;
}

static void print_library(const char *name, const char *version)
{
	printf("  links %s%s%s%s\n", name, version ? " (here: " : "", version ? version : "",
	       version ? ")" : "");
}

static void print_openssl(const struct program *p, const char *name)
{
	const char *hint = hint_for(program_last(p));

	if (strcmp(name, "libssl.so.3")) {
		print_library(name, NULL);
		printf("  kTLS came with OpenSSL 3: take a build of the program for libssl.so.3\n");
		return;
	}
	print_library(name, openssl_version());
	printf("  to switch kTLS on: %s\n", hint ? hint : OPENSSL_FILE);
}

static void print_no_tls(const struct program *p)
{
	const char *hint = hint_for(program_last(p));

	printf("  links none of the TLS libraries known here by itself; it may load one, or a "
	       "library of it may\n");
	if (hint)
		printf("  to switch kTLS on: %s\n", hint);
}

enum advice advice_print(const struct program *p)
{
	const char *hint = hint_for(program_last(p));
	const char *ssl = elf_needs(&p->elf, "libssl.so");
	const char *gnutls = elf_needs(&p->elf, "libgnutls.so");
	const char *uring = elf_needs(&p->elf, "liburing.so");

	if (ssl)
		print_openssl(p, ssl);
	if (gnutls) {
		print_library(gnutls, gnutls_version(gnutls));
		printf("  Debian builds GnuTLS without kTLS; the program must take the keys itself "
		       "(gnutls_record_get_state)\n");
	}
	if (!ssl && !gnutls)
		print_no_tls(p);
	if (uring)
		printf("  links %s: a preload cannot see io_uring, so the ULP is refused once it "
		       "has a ring; switch io_uring off in the program, or use a kernel that has "
		       "the "
		       "ULP\n",
		       uring);
	if (hint && !strcmp(hint, OWN_BIO))
		return ADVICE_NEVER;
	return hint || ssl || gnutls ? ADVICE_ONCE_ASKED : ADVICE_UNKNOWN;
}
