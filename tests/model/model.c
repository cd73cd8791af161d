// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tests/model/model.h"

#include <errno.h>
#include <sys/socket.h>

int model_send(const struct model *m, const struct model_call *call)
{
	if (call->flags & ~(MSG_MORE | MSG_EOR | MSG_DONTWAIT | MSG_NOSIGNAL))
		return EOPNOTSUPP;
	if ((call->flags & MSG_MORE) && ((call->flags & MSG_EOR) || call->control))
		return EINVAL;
	if (call->control == MODEL_BAD_CONTROL)
		return EINVAL;
	return m->ended && call->len ? EPIPE : 0;
}

struct model_record *model_record(struct model *m, uint32_t i)
{
	return &m->records[(m->first + i) % MODEL_RECORDS];
}

void model_end_record(struct model *m, uint8_t type)
{
	*model_record(m, m->count++) = (struct model_record){ type, m->open };
	m->closed++;
	m->open = 0;
}

bool model_sent(struct model *m, const struct model_call *call, const uint8_t *p, size_t n)
{
	uint8_t type = call->control ? call->type : MODEL_DATA;

	if (m->open && call->control)
		model_end_record(m, MODEL_DATA);
	for (size_t i = 0; i < n; i++) {
		m->bytes[m->in++ % MODEL_BYTES] = p[i];
		if (++m->open >= m->limit)
			model_end_record(m, type);
	}
	if (n < call->len)
		return !n || !m->open;
	if (n && m->open && !(call->flags & MSG_MORE))
		model_end_record(m, type);
	return true;
}

struct model_result model_recv(struct model *m, uint32_t there, size_t room, bool control)
{
	struct model_result r = { 0 };
	uint32_t off = m->off;

	if (!room)
		return r;
	if (m->paused || (!there && !m->ended))
		r.err = m->paused ? EKEYEXPIRED : EAGAIN;
	else if (there && model_record(m, 0)->type != MODEL_DATA && !control)
		r.err = EIO;
	for (uint32_t i = 0; !r.err && i < there && r.n < room; i++, off = 0) {
		const struct model_record *next = model_record(m, i);
		size_t left = next->len - off, take = left < room - r.n ? left : room - r.n;

		if (i && (next->type != r.type || r.type != MODEL_DATA))
			break;
		r.type = next->type;
		r.record_ends |= take == left;
		r.n += take;
	}
	return r;
}

struct model_result model_splice(struct model *m, uint32_t there, size_t room)
{
	struct model_result r = model_recv(m, there ? 1 : 0, room, true);

	if (!r.err && r.type && r.type != MODEL_DATA)
		r = (struct model_result){ .err = EINVAL };
	return r;
}

bool model_same(const struct model *m, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (m->bytes[(m->out + i) % MODEL_BYTES] != p[i])
			return false;
	return true;
}

void model_take(struct model *m, size_t n)
{
	while (m->count && m->off + n >= model_record(m, 0)->len) {
		const struct model_record *r = model_record(m, 0);
		uint8_t first = m->bytes[(m->out - m->off) % MODEL_BYTES];

		if (m->key_update && r->type == MODEL_HANDSHAKE && first == MODEL_KEY_UPDATE)
			m->paused = true;
		m->out += r->len - m->off;
		n -= r->len - m->off;
		m->off = 0;
		m->first = (m->first + 1) % MODEL_RECORDS;
		m->count--;
		if (!n)
			return;
	}
	m->off += n;
	m->out += n;
}
