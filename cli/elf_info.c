// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/elf_info.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PHDR_MAX 256
#define DYN_MAX 4096
#define NOTE_MAX 4096
#define GO_NOTE_NAME "Go\0"

struct elf_file {
	int fd;
	uint64_t size;
	int phnum;
	ElfW(Phdr) phdr[PHDR_MAX];
};

static bool read_at(const struct elf_file *f, uint64_t at, void *buf, uint64_t len)
{
	if (at > f->size || len > f->size - at)
		return false;
	return pread(f->fd, buf, len, at) == (ssize_t)len;
}

static int read_ehdr(const struct elf_file *f, ElfW(Ehdr) * eh)
{
	uint8_t ident[EI_NIDENT + 4];

	if (!read_at(f, 0, ident, sizeof(ident)) || memcmp(ident, ELFMAG, SELFMAG))
		return -ENOEXEC;
	memset(eh, 0, sizeof(*eh));
	memcpy(eh, ident, sizeof(ident)); /* up to e_machine both classes are alike */
	return 0;
}

static bool own_ehdr(ElfW(Ehdr) * eh)
{
	struct elf_file self = { .fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
				 .size = sizeof(*eh) };
	bool ok = self.fd >= 0 && read_ehdr(&self, eh) == 0;

	if (self.fd >= 0)
		close(self.fd);
	return ok;
}

static uint16_t machine_of(const ElfW(Ehdr) * eh, const ElfW(Ehdr) * own)
{
	uint16_t m = eh->e_machine;

	if (eh->e_ident[EI_DATA] != own->e_ident[EI_DATA])
		m = (uint16_t)(m << 8 | m >> 8);
	return m;
}

static int read_phdrs(struct elf_file *f)
{
	ElfW(Ehdr) eh;

	if (!read_at(f, 0, &eh, sizeof(eh)) || eh.e_phentsize != sizeof(f->phdr[0]) ||
	    eh.e_phnum == 0 || eh.e_phnum > PHDR_MAX)
		return -EBADMSG;
	f->phnum = eh.e_phnum;
	return read_at(f, eh.e_phoff, f->phdr, f->phnum * sizeof(f->phdr[0])) ? 0 : -EBADMSG;
}

static const ElfW(Phdr) * segment(const struct elf_file *f, uint32_t type)
{
	for (int i = 0; i < f->phnum; i++) {
		if (f->phdr[i].p_type == type)
			return &f->phdr[i];
	}
	return NULL;
}

static int read_interp(const struct elf_file *f, struct elf_info *info)
{
	const ElfW(Phdr) *ph = segment(f, PT_INTERP);

	if (!ph)
		return 0;
	if (ph->p_filesz < 2 || ph->p_filesz > sizeof(info->interp) ||
	    !read_at(f, ph->p_offset, info->interp, ph->p_filesz) ||
	    info->interp[ph->p_filesz - 1] != '\0') {
		info->interp[0] = '\0';
		return -EBADMSG;
	}
	return 0;
}

static bool note_is_go(const char *buf, size_t len)
{
	ElfW(Nhdr) n;

	while (len >= sizeof(n)) {
		uint64_t step;

		memcpy(&n, buf, sizeof(n));
		if (n.n_namesz == sizeof(GO_NOTE_NAME) && len - sizeof(n) >= n.n_namesz &&
		    !memcmp(buf + sizeof(n), GO_NOTE_NAME, sizeof(GO_NOTE_NAME)))
			return true;
		step = sizeof(n) + (((uint64_t)n.n_namesz + 3) & ~3ull) +
		       (((uint64_t)n.n_descsz + 3) & ~3ull);
		if (step > len)
			return false;
		buf += step;
		len -= step;
	}
	return false;
}

static bool is_go(const struct elf_file *f)
{
	char buf[NOTE_MAX];

	for (int i = 0; i < f->phnum; i++) {
		const ElfW(Phdr) *ph = &f->phdr[i];
		size_t len = ph->p_filesz < sizeof(buf) ? ph->p_filesz : sizeof(buf);

		if (ph->p_type == PT_NOTE && read_at(f, ph->p_offset, buf, len) &&
		    note_is_go(buf, len))
			return true;
	}
	return false;
}

static bool file_offset(const struct elf_file *f, uint64_t vaddr, uint64_t *at)
{
	for (int i = 0; i < f->phnum; i++) {
		const ElfW(Phdr) *ph = &f->phdr[i];

		if (ph->p_type == PT_LOAD && vaddr >= ph->p_vaddr &&
		    vaddr - ph->p_vaddr < ph->p_filesz) {
			*at = ph->p_offset + (vaddr - ph->p_vaddr);
			return true;
		}
	}
	return false;
}

static void add_needed(const struct elf_file *f, struct elf_info *info, uint64_t at)
{
	char *name = info->needed[info->needed_cnt];
	uint64_t len = ELF_NAME_MAX;

	if (at >= f->size)
		return;
	if (len > f->size - at)
		len = f->size - at;
	if (read_at(f, at, name, len) && memchr(name, '\0', len))
		info->needed_cnt++;
}

/* The list of libraries is for advice only: damage in it makes it shorter, not the file bad. */
static void read_needed(const struct elf_file *f, struct elf_info *info)
{
	const ElfW(Phdr) *ph = segment(f, PT_DYNAMIC);
	uint64_t strtab = 0, cnt = ph ? ph->p_filesz / sizeof(ElfW(Dyn)) : 0;
	ElfW(Dyn) * dyn;

	if (cnt > DYN_MAX)
		cnt = DYN_MAX;
	dyn = cnt ? calloc(cnt, sizeof(*dyn)) : NULL;
	if (!dyn)
		return;
	if (!read_at(f, ph->p_offset, dyn, cnt * sizeof(*dyn)))
		cnt = 0;
	for (uint64_t i = 0; i < cnt && dyn[i].d_tag != DT_NULL; i++) {
		if (dyn[i].d_tag == DT_STRTAB && !file_offset(f, dyn[i].d_un.d_ptr, &strtab))
			cnt = 0;
	}
	for (uint64_t i = 0; strtab && i < cnt && dyn[i].d_tag != DT_NULL; i++) {
		if (dyn[i].d_tag == DT_NEEDED && info->needed_cnt < ELF_NEEDED_MAX)
			add_needed(f, info, strtab + dyn[i].d_un.d_val);
	}
	free(dyn);
}

static int read_file(struct elf_file *f, struct elf_info *info)
{
	ElfW(Ehdr) eh, own;
	int err = read_ehdr(f, &eh);

	if (err)
		return err;
	if (!own_ehdr(&own))
		return -EIO;
	info->class = eh.e_ident[EI_CLASS];
	info->data = eh.e_ident[EI_DATA];
	info->machine = machine_of(&eh, &own);
	info->native = info->class == own.e_ident[EI_CLASS] && info->data == own.e_ident[EI_DATA] &&
		       info->machine == own.e_machine;
	if (!info->native)
		return 0;
	err = read_phdrs(f);
	if (!err)
		err = read_interp(f, info);
	if (err)
		return err;
	info->go = is_go(f);
	read_needed(f, info);
	return 0;
}

int elf_read(const char *path, struct elf_info *info)
{
	struct elf_file f = { .fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) };
	struct stat st;
	int err;

	memset(info, 0, sizeof(*info));
	if (f.fd < 0)
		return -errno;
	if (fstat(f.fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		err = -ENOEXEC;
	} else {
		f.size = st.st_size;
		err = read_file(&f, info);
	}
	close(f.fd);
	return err;
}

const char *elf_needs(const struct elf_info *info, const char *prefix)
{
	for (int i = 0; i < info->needed_cnt; i++) {
		if (!strncmp(info->needed[i], prefix, strlen(prefix)))
			return info->needed[i];
	}
	return NULL;
}
