// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/advice.h"
#include "cli/kernel_probe.h"
#include "cli/program.h"
#include "cli/settings.h"
#include "engine/cipher.h"
#include "user/aead/aead.h"
#include "user/tls_stat.h"

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* The first line of a file of the kernel; "" if there is none. */
static void first_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");

	line[0] = '\0';
	if (f && fgets(line, (int)size, f))
		line[strcspn(line, "\n")] = '\0';
	if (f)
		fclose(f);
}

static const char *yes_no(bool yes)
{
	return yes ? "yes" : "no";
}

static void print_kernel_parts(const struct kernel_ulp *k)
{
	printf("  %-20s %-8s %s\n", "cipher", "TLS 1.2", "TLS 1.3");
	for (int i = 0; i < PROBE_CIPHERS; i++)
		printf("  %-20s %-8s %s\n", tls_cipher_find(TLSULP_AES_GCM_128 + i)->name,
		       yes_no(k->tls12[i]), yes_no(k->tls13[i]));
	printf("  %-20s %s\n", "key update", yes_no(k->key_update));
	printf("  %-20s %s\n", "zerocopy sendfile", yes_no(k->zerocopy_ro));
	printf("  %-20s %s\n", "expect no padding", yes_no(k->no_pad));
	printf("  %-20s %s\n", "record size limit", yes_no(k->max_payload));
}

/* What `tlsulp run --mode=auto` picks (user/home.c) for a session of this version. */
static void print_auto(const char *title, const bool *kernel_has, bool possible)
{
	bool any = false;

	printf("  %-20s ", title);
	for (int i = 0; possible && i < PROBE_CIPHERS; i++) {
		if (!kernel_has[i])
			continue;
		printf("%s %s",
		       any ? "" : "kernel:", tls_cipher_find(TLSULP_AES_GCM_128 + i)->name);
		any = true;
	}
	printf("%s\n", any ? "; userspace: the others" : "userspace: all");
}

static void print_kernel_ulp(const struct kernel_ulp *k)
{
	print_kernel_parts(k);
	print_auto("auto, TLS 1.2", k->tls12, true);
	print_auto("auto, TLS 1.3", k->tls13, tls_stat_has_key_update());
}

static bool check_kernel(void)
{
	struct kernel_ulp k;
	struct utsname u;
	char ulps[256];

	first_line("/proc/sys/net/ipv4/tcp_available_ulp", ulps, sizeof(ulps));
	kernel_probe(&k); /* may load the module, hence after the list was read */
	printf("kernel %s\n", uname(&u) == 0 ? u.release : "");
	printf("  %-20s %s\n", "ULPs loaded", ulps[0] ? ulps : "(unknown)");
	printf("  %-20s %s\n", "TLS ULP", yes_no(!k.error));
	if (!k.error)
		print_kernel_ulp(&k);
	else if (k.error == -ENOENT)
		printf("  the userspace home stands in for it\n");
	else
		printf("  it could not be tried: %s; is the loopback interface up (ip link set lo "
		       "up)?\n",
		       strerror(-k.error));
	return !k.error;
}

static bool has_word(const char *line, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = strstr(line, word); at; at = strstr(at + len, word)) {
		if ((at == line || at[-1] == ' ' || at[-1] == '\t') &&
		    (at[len] == ' ' || at[len] == '\0' || at[len] == '\n'))
			return true;
	}
	return false;
}

static void print_features(const char *flags)
{
	static const char *const features[] = { "aes",  "pclmulqdq", "pmull",    "avx2",
						"vaes", "avx512f",   "avx512bw", "vpclmulqdq" };

	printf("CPU\n ");
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		if (has_word(flags, features[i]))
			printf(" %s", features[i]);
	}
	printf("\n");
}

static void check_cpu(void)
{
	char *line = NULL;
	size_t size = 0;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && getline(&line, &size, f) > 0) {
		/* x86, then arm64 */
		if (!strncmp(line, "flags", 5) || !strncmp(line, "Features", 8)) {
			print_features(line);
			break;
		}
	}
	free(line);
	if (f)
		fclose(f);
}

static void print_ciphers(int provider)
{
	printf("    serves");
	for (int i = 0; i < PROBE_CIPHERS; i++) {
		const struct tls_cipher *c = tls_cipher_find(TLSULP_AES_GCM_128 + i);

		if (aead_provider_has(provider, c->type))
			printf(" %s", c->name);
	}
	printf("\n");
}

/* TLSULP_AEAD names one that is used alone. */
static bool is_allowed(int provider)
{
	const char *only = settings_aead();

	return !only || !strcmp(only, aead_provider_name(provider));
}

static bool print_provider(int i)
{
	int err;

	if (!is_allowed(i))
		return false;
	err = aead_provider_usable(i);
	if (!err) {
		const char *version = aead_provider_version(i);

		printf("  %s %s\n", aead_provider_name(i), version ? version : "");
		print_ciphers(i);
		return true;
	}
	if (err == -ENOTSUP)
		printf("  %s: this CPU lacks what it needs\n", aead_provider_name(i));
	else
		printf("  %s: not found; to install it: apt install %s\n", aead_provider_name(i),
		       aead_provider_hint(i));
	return false;
}

static bool served(uint16_t cipher)
{
	for (int i = 0; aead_provider_name(i); i++) {
		if (is_allowed(i) && !aead_provider_usable(i) && aead_provider_has(i, cipher))
			return true;
	}
	return false;
}

static const char *package_for(uint16_t cipher)
{
	for (int i = 0; aead_provider_name(i); i++) {
		if (is_allowed(i) && aead_provider_has(i, cipher))
			return aead_provider_hint(i);
	}
	return NULL;
}

static void print_unserved(void)
{
	for (int i = 0; i < PROBE_CIPHERS; i++) {
		const struct tls_cipher *c = tls_cipher_find(TLSULP_AES_GCM_128 + i);
		const char *package = package_for(c->type);

		if (served(c->type))
			continue;
		if (package)
			printf("  no provider for %s: apt install %s\n", c->name, package);
		else
			printf("  no provider for %s: setting such a key fails, and the program "
			       "goes on without the ULP\n",
			       c->name);
	}
}

static bool check_providers(void)
{
	bool any = false;

	printf("AEAD providers\n");
	if (settings_aead())
		printf("  TLSULP_AEAD=%s: %s\n", settings_aead(),
		       settings_aead_is_known() ? "no other is used"
						: "there is no such library: use " SETTINGS_AEADS
						  ", or unset it");
	for (int i = 0; aead_provider_name(i); i++)
		any |= print_provider(i);
	print_unserved();
	return any;
}

static bool check_library(void)
{
	char path[PATH_MAX];

	printf("userspace home\n");
	if (library_find(path, sizeof(path)) < 0) {
		printf("  %s\n", library_missing());
		return false;
	}
	printf("  %s\n", path);
	if (!library_preloads(path))
		printf("  " LIBRARY_PATH_REMEDY "\n");
	return library_preloads(path);
}

static void check_io_uring(bool kernel)
{
	const char *what =
		kernel ? "gets the kernel's ULP, and none with --mode=user" : "is refused the ULP";
	char value[32];

	first_line("/proc/sys/kernel/io_uring_disabled", value, sizeof(value));
	printf("io_uring\n");
	if (!strcmp(value, "2"))
		printf("  disabled on this machine: nothing can pass the preload by with it\n");
	else if (!strcmp(value, "1"))
		printf("  privileged processes only (kernel.io_uring_disabled=1); a process that "
		       "has a ring %s\n",
		       what);
	else
		printf("  possible; a process that has a ring %s, because a "
		       "preload cannot see what goes through it\n",
		       what);
}

static bool print_program(const struct program *p, enum advice *asks)
{
	printf("program %s\n", p->path[0]);
	for (int i = 1; i < p->steps; i++)
		printf("  runs %s\n", p->path[i]);
	printf("  %s %s\n", p->steps > 1 ? program_last(p) : "it", program_why(p->verdict));
	if (p->verdict != VERDICT_OK) {
		printf("  what to do: %s\n", program_remedy(p->verdict));
		return false;
	}
	if (p->privileged)
		printf("  it has set-ID bits or file capabilities: for other users than you, "
		       "nothing is preloaded into it\n");
	*asks = advice_print(p);
	return true;
}

static bool check_program(const char *name, bool *preloads, enum advice *asks)
{
	static struct program p;
	char path[PATH_MAX];
	int err = program_find(name, path, sizeof(path));

	if (err) {
		printf("program %s\n  %s\n", name,
		       err == -EACCES ? "cannot be executed: check its permissions (chmod +x)"
				      : "was not found: check the name and PATH (/usr/sbin may be "
					"missing)");
		return false;
	}
	program_inspect(path, &p);
	*preloads = print_program(&p, asks);
	return true;
}

/* The kernel itself is asked, so a preloaded ULP must not answer in its place. */
static void leave_preload(char **argv)
{
	const char *preload = getenv("LD_PRELOAD");

	if (!preload || !strstr(preload, "libtlsulp"))
		return;
	unsetenv("LD_PRELOAD");
	execv("/proc/self/exe", argv - 1);
	say("cannot run itself without LD_PRELOAD: what follows is about the preloaded ULP, not "
	    "the kernel; unset LD_PRELOAD and try again");
}

static int verdict(bool works, const char *name, enum advice asks)
{
	const char *what = "would be carried by the ULP";

	if (!works)
		what = "would NOT be carried by the ULP; see above for what to do";
	else if (name && asks == ADVICE_NEVER)
		what = "would NOT be carried by the ULP: the program never asks for it";
	else if (name && asks == ADVICE_ONCE_ASKED)
		what = "would be carried by the ULP once kTLS is switched on as above";
	else if (name)
		what = "would be carried by the ULP if the program asks for it";
	printf("\n%s%s%s\n", name ? name : "TLS", name ? ": TLS " : " ", what);
	return works && (!name || asks != ADVICE_NEVER) ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* As `tlsulp run` takes TLSULP_MODE. */
static bool has_home(bool kernel, bool user)
{
	const char *mode = settings_mode();

	if (!mode || !strcmp(mode, "auto"))
		return kernel || user;
	printf("\n");
	if (!settings_mode_is_known(mode))
		printf("TLSULP_MODE=%s: there is no such mode: use " SETTINGS_MODES "\n", mode);
	else if (!strcmp(mode, "user"))
		printf("TLSULP_MODE=user: the userspace home only\n");
	else if (kernel)
		printf("TLSULP_MODE=kernel: the kernel's ULP only\n");
	else
		printf(SETTINGS_NO_KERNEL_ULP "\n", "TLSULP_MODE=kernel");
	return !strcmp(mode, "user") ? user : !strcmp(mode, "kernel") && kernel;
}

int doctor_main(int argc, char **argv)
{
	bool kernel, user, preloads = true, runs = true;
	enum advice asks = ADVICE_UNKNOWN;
	const char *name;
	int opt;

	leave_preload(argv);
	while ((opt = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		usage_print("doctor", opt != 'h');
		return opt == 'h' ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	name = argv[optind];
	if (name && argv[optind + 1]) {
		say("%d programs are named: give one, or none", argc - optind);
		return EXIT_FAILURE;
	}
	kernel = check_kernel();
	check_cpu();
	user = check_providers();
	user &= check_library();
	check_io_uring(kernel);
	if (name)
		runs = check_program(name, &preloads, &asks);
	return verdict(runs && has_home(kernel, user && preloads), name, asks);
}
