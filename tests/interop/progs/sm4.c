// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 *   sm4 gcm|ccm
 *
 * TLS 1.3 records with SM4, which no library here has suites for: what the ULP sends is opened,
 * and what it receives was sealed, by each judge (judge.h) that this machine has, and each must
 * know the answers of RFC 8998 first. Prints the names of the judges.
 */
#include <err.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "judge.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#define HEADER_LEN 5
#define PLAIN_MAX 16384
#define TYPE_ALERT 21
#define TYPE_DATA 23
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Appendix A of RFC 8998; one key and nonce for both. */
#define ALL_8(byte) byte byte byte byte byte byte byte byte
static const uint8_t rfc_key[] = "\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10";
static const uint8_t rfc_nonce[] = "\x00\x00\x12\x34\x56\x78\x00\x00\x00\x00\xab\xcd";
static const uint8_t rfc_aad[] =
	"\xfe\xed\xfa\xce\xde\xad\xbe\xef\xfe\xed\xfa\xce\xde\xad\xbe\xef\xab\xad\xda\xd2";
static const uint8_t rfc_text[] = ALL_8("\xaa") ALL_8("\xbb") ALL_8("\xcc") ALL_8("\xdd")
	ALL_8("\xee") ALL_8("\xff") ALL_8("\xee") ALL_8("\xaa");
static const uint8_t rfc_sealed[2][64 + TAG_LEN + 1] = {
	"\x17\xf3\x99\xf0\x8c\x67\xd5\xee\x19\xd0\xdc\x99\x69\xc4\xbb\x7d"
	"\x5f\xd4\x6f\xd3\x75\x64\x89\x06\x91\x57\xb2\x82\xbb\x20\x07\x35"
	"\xd8\x27\x10\xca\x5c\x22\xf0\xcc\xfa\x7c\xbf\x93\xd4\x96\xac\x15"
	"\xa5\x68\x34\xcb\xcf\x98\xc3\x97\xb4\x02\x4a\x26\x91\x23\x3b\x8d"
	"\x83\xde\x35\x41\xe4\xc2\xb5\x81\x77\xe0\x65\xa9\xbf\x7b\x62\xec",
	"\x48\xaf\x93\x50\x1f\xa6\x2a\xdb\xcd\x41\x4c\xce\x60\x34\xd8\x95"
	"\xdd\xa1\xbf\x8f\x13\x2f\x04\x20\x98\x66\x15\x72\xe7\x48\x30\x94"
	"\xfd\x12\xe5\x18\xce\x06\x2c\x98\xac\xee\x28\xd9\x5d\xf4\x41\x6b"
	"\xed\x31\xa2\xf0\x44\x76\xc1\x8b\xb4\x0c\x84\xa7\x4b\x97\xdc\x5b"
	"\x16\x84\x2d\x4f\xa1\x86\xf5\x6a\xb3\x32\x56\x97\x1f\xa1\x10\xf4",
};

/* Numbers that carry into more bytes while the records are counted. */
static const uint8_t first_seq[8] = { 0, 0, 0, 0, 0, 0, 0xff, 0xfe };
static const uint8_t key[SM4_KEY_LEN] = "the key of both";
static const uint8_t fixed[NONCE_LEN] = "twelve bytes";
static const size_t sizes[] = { 1, 15, 16, 17, 1000, 16383, 16384 };
static const size_t pads[] = { 0, 1, 255 };

static uint8_t text[PLAIN_MAX], plain[PLAIN_MAX + 256], record[HEADER_LEN + PLAIN_MAX + 256];

static void check(bool ok, const char *what)
{
	if (!ok)
		err(1, "%s", what);
}

static void knows_the_rfc(const struct judge *j, bool ccm)
{
	struct message m = { rfc_key, rfc_nonce, rfc_aad, 20, rfc_text, 64 };
	uint8_t out[64 + TAG_LEN];

	j->seal(ccm, &m, out);
	check(!memcmp(out, rfc_sealed[ccm], sizeof(out)), "seals as RFC 8998 does");
	m.text = rfc_sealed[ccm];
	check(j->open(ccm, &m, out) && !memcmp(out, rfc_text, 64), "opens what RFC 8998 sealed");
	memcpy(out, rfc_sealed[ccm], sizeof(out));
	out[3] ^= 1;
	m.text = out;
	check(!j->open(ccm, &m, plain), "refuses what was changed");
}

static void connect_pair(int *ours, int *theirs)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(!bind(listener, (struct sockaddr *)&addr, len) && !listen(listener, 1) &&
		      !getsockname(listener, (struct sockaddr *)&addr, &len),
	      "listen");
	*ours = socket(AF_INET, SOCK_STREAM, 0);
	check(!connect(*ours, (struct sockaddr *)&addr, len), "connect");
	*theirs = accept(listener, NULL, NULL);
	close(listener);
}

/* struct tls12_crypto_info_sm4_gcm and _ccm are the same but for their names. */
static void set_keys(int fd, bool ccm)
{
	struct tls12_crypto_info_sm4_gcm info = { 0 };

	info.info.version = TLS_1_3_VERSION;
	info.info.cipher_type = ccm ? TLS_CIPHER_SM4_CCM : TLS_CIPHER_SM4_GCM;
	memcpy(info.key, key, sizeof(info.key));
	memcpy(info.salt, fixed, sizeof(info.salt));
	memcpy(info.iv, fixed + sizeof(info.salt), sizeof(info.iv));
	memcpy(info.rec_seq, first_seq, sizeof(info.rec_seq));
	check(!setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")), "TCP_ULP");
	check(!setsockopt(fd, SOL_TLS, TLS_TX, &info, sizeof(info)), "TLS_TX");
	check(!setsockopt(fd, SOL_TLS, TLS_RX, &info, sizeof(info)), "TLS_RX");
}

/* RFC 8446 section 5.3, and on to the next record. */
static void next_nonce(uint8_t nonce[NONCE_LEN], uint8_t seq[8])
{
	memcpy(nonce, fixed, NONCE_LEN);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] ^= seq[i];
	for (int i = 7; i >= 0 && ++seq[i] == 0; i--)
		;
}

static void send_record(int fd, uint8_t type, size_t len)
{
	char control[CMSG_SPACE(1)] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { text, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_TLS;
	c->cmsg_type = TLS_SET_RECORD_TYPE;
	c->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(c) = type;
	check(sendmsg(fd, &msg, 0) == (ssize_t)len, "sendmsg");
}

static void judge_opens(const struct judge *j, bool ccm, int fd, uint8_t seq[8], uint8_t type,
			size_t len)
{
	size_t body;
	uint8_t nonce[NONCE_LEN];

	check(recv(fd, record, HEADER_LEN, MSG_WAITALL) == HEADER_LEN, "a header");
	body = record[3] << 8 | record[4];
	check(record[0] == TYPE_DATA && body == len + 1 + TAG_LEN, "the length of the record");
	check(recv(fd, record + HEADER_LEN, body, MSG_WAITALL) == (ssize_t)body, "a body");
	next_nonce(nonce, seq);
	check(j->open(ccm,
		      &(struct message){ key, nonce, record, HEADER_LEN, record + HEADER_LEN,
					 len + 1 },
		      plain),
	      "the judge opens it");
	check(!memcmp(plain, text, len) && plain[len] == type, "text and type");
}

static void judge_seals(const struct judge *j, bool ccm, int fd, uint8_t seq[8], size_t len,
			size_t pad)
{
	size_t inner = len + 1 + pad, body = inner + TAG_LEN;
	uint8_t nonce[NONCE_LEN];

	memcpy(record, (uint8_t[]){ TYPE_DATA, 3, 3, body >> 8, body }, HEADER_LEN);
	memcpy(plain, text, len);
	memset(plain + len, 0, 1 + pad);
	plain[len] = TYPE_DATA;
	next_nonce(nonce, seq);
	j->seal(ccm, &(struct message){ key, nonce, record, HEADER_LEN, plain, inner },
		record + HEADER_LEN);
	check(send(fd, record, HEADER_LEN + body, 0) == (ssize_t)(HEADER_LEN + body), "send");
}

static void run(const struct judge *j, bool ccm)
{
	uint8_t to_them[8], to_us[8];
	int ours, theirs;

	knows_the_rfc(j, ccm);
	memcpy(to_them, first_seq, 8);
	memcpy(to_us, first_seq, 8);
	connect_pair(&ours, &theirs);
	set_keys(ours, ccm);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		send_record(ours, TYPE_DATA, sizes[i]);
		judge_opens(j, ccm, theirs, to_them, TYPE_DATA, sizes[i]);
		for (size_t p = 0; p < ARRAY_SIZE(pads); p++) {
			/* An inner plaintext is at most 2^14 + 1 bytes with its padding. */
			if (pads[p] && sizes[i] + pads[p] > PLAIN_MAX)
				continue;
			judge_seals(j, ccm, theirs, to_us, sizes[i], pads[p]);
			check(recv(ours, plain, sizes[i], MSG_WAITALL) == (ssize_t)sizes[i] &&
				      !memcmp(plain, text, sizes[i]),
			      "the ULP opens it");
		}
	}
	send_record(ours, TYPE_ALERT, 2);
	judge_opens(j, ccm, theirs, to_them, TYPE_ALERT, 2);
	close(ours);
	close(theirs);
	puts(j->name);
}

int main(int argc, char **argv)
{
	const struct judge *const judges[] = { &judge_nettle, &judge_openssl };
	bool ccm = argc == 2 && !strcmp(argv[1], "ccm");

	if (argc != 2)
		errx(1, "see the head of sm4.c");
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i * 7 + (i >> 8);
	for (size_t i = 0; i < ARRAY_SIZE(judges); i++)
		if (judges[i]->is_here())
			run(judges[i], ccm);
	return 0;
}
