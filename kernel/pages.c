// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/pages.h"

#include <linux/highmem.h>

#define GET_PAGES 8U

static bool continues(const struct pages *p, const struct page *page, size_t off)
{
	const struct bio_vec *last;

	if (!p->n)
		return false;
	last = &p->v[p->n - 1];
	return last->bv_page == page && last->bv_offset + last->bv_len == off;
}

/* One more piece; with a reference to the page that the caller gives away, or a new one. */
static int push(struct pages *p, struct page *page, size_t off, size_t len, bool given)
{
	if (continues(p, page, off)) {
		p->v[p->n - 1].bv_len += len;
		if (given)
			put_page(page);
	} else {
		if (p->n == PAGES_MAX)
			return -ENOMEM;
		if (!given)
			get_page(page);
		p->v[p->n++] = (struct bio_vec){ page, len, off };
	}
	p->len += len;
	return 0;
}

int pages_grow(struct pages *p, struct sock *sk, struct page_frag *frag, size_t len)
{
	size_t before = p->len;

	while (len) {
		size_t part;

		if (!sk_page_frag_refill(sk, frag))
			goto undo;
		part = min_t(size_t, len, frag->size - frag->offset);
		if (push(p, frag->page, frag->offset, part, false))
			goto undo;
		frag->offset += part;
		len -= part;
	}
	return 0;
undo:
	pages_cut(p, before);
	return -ENOMEM;
}

static int append_copies(struct pages *p, struct sock *sk, struct page_frag *frag,
			 struct iov_iter *from, size_t len)
{
	while (len) {
		size_t part;

		if (!sk_page_frag_refill(sk, frag))
			return -ENOMEM;
		part = min_t(size_t, len, frag->size - frag->offset);
		if (copy_page_from_iter(frag->page, frag->offset, part, from) != part)
			return -EFAULT;
		if (push(p, frag->page, frag->offset, part, false))
			return -ENOMEM;
		frag->offset += part;
		len -= part;
	}
	return 0;
}

/* As much as fits into @max pieces, by reference. */
static int append_references(struct pages *p, struct iov_iter *from, size_t len, unsigned int max)
{
	while (len && p->n < max) {
		struct page *page[GET_PAGES];
		size_t off, part;
		ssize_t got =
			iov_iter_get_pages2(from, page, len, min(GET_PAGES, max - p->n), &off);

		if (got <= 0)
			return got ? got : -EFAULT;
		len -= got;
		for (unsigned int i = 0; got; i++, got -= part, off = 0) {
			part = min_t(size_t, got, PAGE_SIZE - off);
			push(p, page[i], off, part, true);
		}
	}
	return 0;
}

int pages_append(struct pages *p, struct sock *sk, struct page_frag *frag, struct iov_iter *from,
		 size_t len, bool by_reference)
{
	size_t before = p->len, left = iov_iter_count(from);
	int err = 0;

	if (by_reference)
		err = append_references(p, from, len, PAGES_MAX_REFERENCES);
	/* Memory that can be read may have no pages to give: a device's, memfd_secret(2)'s. */
	if (!err || err == -EFAULT)
		err = append_copies(p, sk, frag, from, len - (p->len - before));
	if (err) {
		iov_iter_revert(from, left - iov_iter_count(from));
		pages_cut(p, before);
	}
	return err;
}

int pages_refer(struct pages *p, struct iov_iter *at, size_t len)
{
	size_t left = iov_iter_count(at);
	int err = append_references(p, at, len, PAGES_MAX);

	if (err || p->len < len) {
		iov_iter_revert(at, left - iov_iter_count(at));
		pages_free(p);
		return -EFAULT;
	}
	return 0;
}

static int dirty_piece(void *arg, struct page *page, size_t off, size_t len)
{
	if (!PageDirty(page))
		set_page_dirty_lock(page);
	return 0;
}

void pages_mark_dirty(const struct pages *p)
{
	pages_each(p, 0, p->len, dirty_piece, NULL);
}

static int wipe_piece(void *arg, struct page *page, size_t off, size_t len)
{
	memzero_page(page, off, len);
	return 0;
}

void pages_wipe(const struct pages *p)
{
	pages_each(p, 0, p->len, wipe_piece, NULL);
}

void pages_cut(struct pages *p, size_t len)
{
	while (p->len > len) {
		struct bio_vec *last = &p->v[p->n - 1];
		size_t over = p->len - len;

		if (last->bv_len > over) {
			last->bv_len -= over;
			p->len = len;
			return;
		}
		p->len -= last->bv_len;
		put_page(last->bv_page);
		p->n--;
	}
}

int pages_each(const struct pages *p, size_t at, size_t len,
	       int (*piece)(void *arg, struct page *page, size_t off, size_t len), void *arg)
{
	int err = 0;

	for (unsigned int i = 0; i < p->n && len && !err; i++) {
		const struct bio_vec *v = &p->v[i];
		size_t part;

		if (at >= v->bv_len) {
			at -= v->bv_len;
			continue;
		}
		part = min_t(size_t, len, v->bv_len - at);
		err = piece(arg, v->bv_page, v->bv_offset + at, part);
		at = 0;
		len -= part;
	}
	return err;
}

static int write_piece(void *arg, struct page *page, size_t off, size_t len)
{
	const u8 **from = arg;

	memcpy(page_address(page) + off, *from, len);
	*from += len;
	return 0;
}

void pages_write(struct pages *p, size_t at, const void *from, size_t len)
{
	pages_each(p, at, len, write_piece, &from);
}

static int read_piece(void *arg, struct page *page, size_t off, size_t len)
{
	u8 **to = arg;

	memcpy(*to, page_address(page) + off, len);
	*to += len;
	return 0;
}

void pages_read(const struct pages *p, size_t at, void *to, size_t len)
{
	pages_each(p, at, len, read_piece, &to);
}

struct copy_out {
	struct iov_iter *to;
	size_t done;
};

static int copy_piece(void *arg, struct page *page, size_t off, size_t len)
{
	struct copy_out *out = arg;
	size_t n = copy_page_to_iter(page, off, len, out->to);

	out->done += n;
	return n < len ? -EFAULT : 0;
}

size_t pages_copy_to(const struct pages *p, size_t at, size_t len, struct iov_iter *to)
{
	struct copy_out out = { to, 0 };

	pages_each(p, at, len, copy_piece, &out);
	return out.done;
}
