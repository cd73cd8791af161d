// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* An end that is GnuTLS throughout: a peer for the other one. */
#include "peer.h"

#include <err.h>
#include <gnutls/gnutls.h>
#include <string.h>

static gnutls_session_t session;

static ssize_t check(ssize_t result, const char *what)
{
	if (result < 0)
		errx(1, "%s: %s", what, gnutls_strerror(result));
	return result;
}

void peer_open(const struct peer_setup *setup)
{
	gnutls_certificate_credentials_t cred;
	int result;

	check(gnutls_certificate_allocate_credentials(&cred), "credentials");
	if (setup->is_server)
		check(gnutls_certificate_set_x509_key_file(cred, setup->cert, setup->key,
							   GNUTLS_X509_FMT_PEM),
		      setup->cert);
	check(gnutls_init(&session, setup->is_server ? GNUTLS_SERVER : GNUTLS_CLIENT), "init");
	check(gnutls_priority_set_direct(session, setup->ciphers, NULL), setup->ciphers);
	check(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, cred), "credentials");
	gnutls_transport_set_int(session, setup->fd);
	do
		result = gnutls_handshake(session);
	while (result < 0 && !gnutls_error_is_fatal(result));
	check(result, "handshake");
}

void peer_send(const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = check(gnutls_record_send(session, p, len), "send");

		p += n;
		len -= n;
	}
}

size_t peer_receive(void *data, size_t size)
{
	ssize_t n;

	do
		n = gnutls_record_recv(session, data, size);
	while (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED);
	return check(n, "receive");
}

void peer_update(bool request)
{
	check(gnutls_session_key_update(session, request ? GNUTLS_KU_PEER : 0), "key update");
}

void peer_close(void)
{
	check(gnutls_bye(session, GNUTLS_SHUT_WR), "bye");
}

/* GnuTLS tells nobody. */
struct peer_seen peer_seen(void)
{
	return (struct peer_seen){ 0 };
}
