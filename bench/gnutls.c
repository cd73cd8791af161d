// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* GnuTLS's record layer, on the socket itself, without tickets. */
#include "ends.h"
#include <errno.h>
#include <gnutls/gnutls.h>

static gnutls_certificate_credentials_t credentials;
static char priority[128];

static void gnu_prepare(const struct plan *plan, bool server)
{
	NEED(plan->suite->gnutls);
	snprintf(priority, sizeof(priority), "NORMAL:-VERS-ALL:+VERS-TLS1.%d:-CIPHER-ALL:+%s",
		 plan->tls - 10, plan->suite->gnutls);
	NEED(!gnutls_certificate_allocate_credentials(&credentials));
	if (server)
		NEED(!gnutls_certificate_set_x509_key_file(credentials, plan->certificate,
							   plan->certificate, GNUTLS_X509_FMT_PEM));
}

static void gnu_open(const struct plan *plan, struct end *end, bool server)
{
	unsigned int flags = GNUTLS_NO_TICKETS | (server ? GNUTLS_SERVER : GNUTLS_CLIENT);
	gnutls_session_t session;
	int status;

	NEED(!gnutls_init(&session, flags));
	NEED(!gnutls_priority_set_direct(session, priority, NULL));
	NEED(!gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials));
	gnutls_handshake_set_timeout(session, GNUTLS_INDEFINITE_TIMEOUT);
	gnutls_transport_set_int(session, end->fd);
	do
		status = gnutls_handshake(session);
	while (status < 0 && !gnutls_error_is_fatal(status));
	NEED(!status);
	end->tls = session;
}

static ssize_t outcome(ssize_t result)
{
	if (result >= 0)
		return result;
	if (result == GNUTLS_E_AGAIN) {
		errno = EAGAIN;
		return -1;
	}
	if (result == GNUTLS_E_PREMATURE_TERMINATION)
		return 0;
	fprintf(stderr, "ends: %s\n", gnutls_strerror(result));
	exit(2);
}

static ssize_t gnu_send(struct end *end, const void *from, size_t n)
{
	return outcome(gnutls_record_send(end->tls, from, n));
}

static ssize_t gnu_recv(struct end *end, void *into, size_t n)
{
	return outcome(gnutls_record_recv(end->tls, into, n));
}

static bool gnu_pending(struct end *end)
{
	return gnutls_record_check_pending(end->tls) > 0;
}

static const char *gnu_version(void)
{
	static char text[64];

	snprintf(text, sizeof(text), "GnuTLS %s", gnutls_check_version(NULL));
	return text;
}

const struct layer layer_gnutls = {
	.name = "gnutls",
	.prepare = gnu_prepare,
	.open = gnu_open,
	.send = gnu_send,
	.recv = gnu_recv,
	.pending = gnu_pending,
	.version = gnu_version,
};
