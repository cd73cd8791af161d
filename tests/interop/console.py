# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Programs that people type at: openssl s_client and s_server without -quiet, gnutls-cli."""
import threading

from support import wait_until


class Console:
    """A peer that takes commands among the data on its input, and writes what it receives among
    words of its own. @said tells how many commands it has obeyed: a command must be alone in the
    pipe when s_client and s_server read it."""

    def __init__(self, program, request, update, said=None):
        self.program, self.commands, self.said = program, (request, update), said
        self.text, self.given = b"", 0
        self.collector = threading.Thread(target=self.collect, daemon=True)
        self.collector.start()

    def collect(self):
        while block := self.program.popen.stdout.read1():
            self.text += block

    def says(self, line):
        self.program.popen.stdin.write(line)
        self.program.popen.stdin.flush()

    def hears(self, line):
        wait_until(lambda: line in self.text, f"{line} at {self.program.popen.args}")

    def update(self, request):
        self.says(self.commands[0 if request else 1] + b"\n")
        self.given += 1
        if self.said:
            wait_until(lambda: self.said(self) == self.given, "the peer to obey")

    def finish(self):
        self.program.expect_exit(0)
        self.collector.join()


def of_s_client(program):
    return Console(program, b"K", b"k", lambda c: program.errors().count("KEYUPDATE"))


def of_s_server(program):
    return Console(program, b"K", b"k", lambda c: c.text.count(b"SSL_do_handshake -> 1"))
