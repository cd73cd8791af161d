# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=sh disable=SC2034
#
# To be sourced by what runs in the guest. Lines begin with "ok" or "not ok".
#
#   tell STATUS NAME         one test's result; guest_status becomes 1 if it failed
#   refused COMMAND...       not 0, and what it said is in /tmp/refused
#   module_is FILE           the module tls that is loaded is that file's
#   module_test FILE         loads the module under test, by name, and tells that it is FILE
#   count NAME               a counter of /proc/net/tls_stat
#   wait_for_port PORT
#   hold_begin WORD...       a connection (progs/hold.c) that uses the module, by process $holder, until
#   hold_end                 whose status says whether it still worked
#   wait_for_orphans         no closed socket is in use any more
#   log_test NAME            the kernel has nothing to say that it should not
guest_status=0

tell() {
	if [ "$1" = 0 ]; then
		echo "ok $2"
	else
		echo "not ok $2"
		guest_status=1
	fi
}

refused() {
	! "$@" >/tmp/refused 2>&1
}

# The linker writes an id into each module, which the kernel shows for those that are loaded.
loaded_id() {
	tail -c 20 /sys/module/tls/notes/.note.gnu.build-id | hexdump -v -e '/1 "%02x"'
}

module_is() {
	[ "$(loaded_id)" = "$(cat "/guest/id.$1")" ]
}

module_test() {
	modprobe tls
	module_is "$1"
	tell $? "modprobe tls loads the module $1"
}

count() {
	sed -n "s/^$1[[:space:]]*//p" /proc/net/tls_stat
}

wait_for_port() {
	for _ in $(seq 600); do
		netstat -tln | grep -q ":$1 " && return
		sleep 0.1
	done
	echo "nothing listens on port $1"
	return 1
}

# A closed socket stays in use while TCP has something to send for it: newer kernels let its
# peer's end, which reads nothing any more, time out first.
wait_for_orphans() {
	for _ in $(seq 150); do
		grep -q 'orphan 0 ' /proc/net/sockstat && break
		sleep 1
	done
}

hold_begin() {
	mkfifo /tmp/stop
	./hold "$@" </tmp/stop >/tmp/held &
	holder=$!
	exec 7>/tmp/stop
	while ! grep -q ready /tmp/held; do sleep 0.1; done
}

hold_end() {
	exec 7>&-
	wait "$holder"
	held=$?
	rm /tmp/stop
	return $held
}

# Taints that a module of ours brings: 4096, out of tree, and 8192, not signed.
log_test() {
	taints=$(($(cat /proc/sys/kernel/tainted) & ~12288))
	! dmesg | grep -E 'BUG:|WARNING:|INFO:|Oops|KASAN|UBSAN|general protection|refcount_t|kmemleak: [0-9]|unregister_netdevice|sleeping function|Call Trace' &&
		[ $taints = 0 ]
	tell $? "$1: the kernel has nothing to complain of (tainted: $taints)"
}
