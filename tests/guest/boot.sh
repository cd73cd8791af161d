#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# boot.sh KERNEL INITRAMFS SECONDS LOG [WORD...]: boots a kernel image with an initramfs in
# QEMU, without KVM, disk or network, with the words on its command line. Its console goes to
# LOG. The guest says how it ended with a line "guest: status N" on the console before it
# turns itself off; N is this script's exit status. 124: not off after so many seconds;
# 125: the kernel panicked, or the guest ended without a word. (The init of run.sh does this.)
#
# Some boots of new kernels end in the scheduler (an int3 of the kernel's own patching that QEMU's
# other emulated processor meets), before anything of ours has run: such a one is not the last.
#
# TLSULP_GUEST_MACHINE: QEMU's words for another machine than two emulated processors.
set -uo pipefail
kernel=$1 initramfs=$2 seconds=$3 log=$4
shift 4
machine=${TLSULP_GUEST_MACHINE:--accel tcg,thread=multi -cpu max -smp 2}

boot() {
	# shellcheck disable=SC2086 # words
	timeout --kill-after=5 "$seconds" qemu-system-x86_64 $machine \
		-m 1536 -nodefaults -no-reboot -display none -serial stdio -kernel "$kernel" \
		-initrd "$initramfs" -append "console=ttyS0 panic=-1 quiet $*" </dev/null >"$log" 2>&1
	status=$?
	sed -i 's/\r//g' "$log"
}

for ((boots = 3; boots > 0; boots--)); do
	boot "$@"
	if [ "$status" != 0 ] || grep -q '^guest: ' "$log" || ! grep -q 'Kernel panic' "$log"; then
		break
	fi
	echo "guest: the kernel panicked before its first program ran: see $log.panic$boots" >&2
	cp "$log" "$log.panic$boots"
done

if [ "$status" = 124 ] || [ "$status" = 137 ]; then
	echo "guest: not finished after $seconds s: see $log" >&2
	exit 124
fi
said=$(sed -n 's/^guest: status \([0-9]\{1,3\}\)$/\1/p' "$log" | tail -n 1)
if [ -z "$said" ]; then
	echo "guest: it ended without a word (a panic?): see $log" >&2
	exit 125
fi
exit "$said"
