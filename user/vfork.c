// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * vfork() itself: its child returns first, on the caller's stack, so no C
 * function can stand around it. What is to be done before is done, and then
 * this jumps into libc's.
 */
#include "user/exec.h"

/* clang-format off */
#if defined(__x86_64__)
__asm__(".pushsection .text\n"
	".globl vfork\n"
	".type vfork, @function\n"
	"vfork:\n"
	".cfi_startproc\n"
	"	endbr64\n"
	"	subq $8, %rsp\n"
	".cfi_adjust_cfa_offset 8\n"
	"	call exec_before_vfork\n"
	"	addq $8, %rsp\n"
	".cfi_adjust_cfa_offset -8\n"
	"	jmp *%rax\n"
	".cfi_endproc\n"
	".size vfork, . - vfork\n"
	".globl __vfork\n"
	".set __vfork, vfork\n"
	".popsection\n");
#elif defined(__aarch64__)
__asm__(".pushsection .text\n"
	".globl vfork\n"
	".type vfork, %function\n"
	"vfork:\n"
	".cfi_startproc\n"
	"	hint #34\n" /* bti c */
	"	stp x29, x30, [sp, -16]!\n"
	".cfi_adjust_cfa_offset 16\n"
	".cfi_rel_offset x30, 8\n"
	"	bl exec_before_vfork\n"
	"	mov x16, x0\n"
	"	ldp x29, x30, [sp], 16\n"
	".cfi_restore x30\n"
	".cfi_adjust_cfa_offset -16\n"
	"	br x16\n"
	".cfi_endproc\n"
	".size vfork, . - vfork\n"
	".globl __vfork\n"
	".set __vfork, vfork\n"
	".popsection\n");
#else
/* Elsewhere a vfork child passes on only sessions that are in a parcel already. */
#endif
/* clang-format on */
