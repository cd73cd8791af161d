/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Runs of bytes in pages, each piece with a reference of its own to its page.
 * Pages are never highmem, and what is written is written once: a page may be
 * read elsewhere (TCP's queue, a pipe) as soon as it has been handed on.
 */
#ifndef TLSULP_KERNEL_PAGES_H
#define TLSULP_KERNEL_PAGES_H

#include <linux/bvec.h>
#include <linux/uio.h>
#include <net/sock.h>

/*
 * Room for one record however memory comes: six pieces by reference, and the rest, copied to two
 * runs of single pages (the socket's and the thread's), which begin and end within a page: eight,
 * as each may also leave the last bytes of a page unused.
 */
#define PAGES_MAX 14
#define PAGES_MAX_REFERENCES 6

struct pages {
	struct bio_vec v[PAGES_MAX];
	unsigned int n;
	size_t len;
};

static inline void *pages_address(const struct bio_vec *v)
{
	return page_address(v->bv_page) + v->bv_offset;
}

/* Fresh memory of @len bytes at the end, from @frag: 0 or -ENOMEM, and nothing has changed. */
int pages_grow(struct pages *p, struct sock *sk, struct page_frag *frag, size_t len);

/*
 * @len bytes of @from at the end: copied into fresh memory, or, with
 * @by_reference, as long as there is room for it, the pages themselves where they can be had. 0,
 * -ENOMEM, -EFAULT or -EINTR; then nothing has changed, and @from is where it was.
 */
int pages_append(struct pages *p, struct sock *sk, struct page_frag *frag, struct iov_iter *from,
		 size_t len, bool by_reference);

/* The pages of a caller's buffer, all of @len bytes in them, or not 0 and @at is where it was. */
int pages_refer(struct pages *p, struct iov_iter *at, size_t len);

/* A caller's pages were written to; are not to keep what was written. */
void pages_mark_dirty(const struct pages *p);
void pages_wipe(const struct pages *p);

/* Forget all but the first @len bytes. */
void pages_cut(struct pages *p, size_t len);

static inline void pages_free(struct pages *p)
{
	pages_cut(p, 0);
}

/* Copy @len bytes of plain memory to @at, or from there. */
void pages_write(struct pages *p, size_t at, const void *from, size_t len);
void pages_read(const struct pages *p, size_t at, void *to, size_t len);

/* Copy from @at on to the caller. Returns how many bytes it took. */
size_t pages_copy_to(const struct pages *p, size_t at, size_t len, struct iov_iter *to);

/* The same range as pieces: calls @piece for each; stops at its first error. */
int pages_each(const struct pages *p, size_t at, size_t len,
	       int (*piece)(void *arg, struct page *page, size_t off, size_t len), void *arg);

#endif
