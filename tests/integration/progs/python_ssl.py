# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""An echo server and its client with Python's ssl and OP_ENABLE_KTLS.

python_ssl.py server PORT blocking|selectors|threads CERT KEY VERSION
python_ssl.py client PORT blocking|selectors|threads CA FILE VERSION

The client sends FILE (with threads: a part of it on each connection), compares what comes back,
prints "done", and keeps its connections open until its standard input ends.
"""
import collections
import contextlib
import selectors
import socket
import ssl
import sys
import threading

THREADS = 8
BLOCK = 100000
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def prepare(context, version):
    context.options |= 1 << 3  # OP_ENABLE_KTLS, which has no name before Python 3.12
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def at_once(sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def echo_blocking(sock):
    with sock:
        while block := sock.recv(BLOCK):
            sock.sendall(block)


class Echo:
    """One nonblocking connection of the server: read ahead while not too much is unsent."""

    LIMIT = 1 << 20

    def __init__(self, sock):
        self.sock, self.pending, self.ended = sock, collections.deque(), False
        self.ahead = 0

    def events(self):
        wanted = selectors.EVENT_READ if self.ahead < self.LIMIT else 0
        return wanted | (selectors.EVENT_WRITE if self.pending else 0)

    def work(self):
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while self.ahead < self.LIMIT and not self.ended:
                block = self.sock.recv(BLOCK)
                self.ended = not block
                self.pending.append(block)
                self.ahead += len(block)
        # What SSL_write refused is offered again in the same memory: with kTLS, OpenSSL 3.0
        # goes on from there even if it is told that the buffer has moved.
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while self.pending:
                sent = self.sock.send(self.pending[0])
                assert sent == len(self.pending[0])
                self.ahead -= len(self.pending.popleft())


def echo_selectors(sock):
    sock.setblocking(False)
    echo = Echo(sock)
    with selectors.DefaultSelector() as selector, sock:
        selector.register(sock, selectors.EVENT_READ)
        while not echo.ended:
            selector.select()
            echo.work()
            if not echo.ended:
                selector.modify(sock, echo.events())


def serve(port, mode, cert, key, version):
    context = prepare(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), version)
    context.load_cert_chain(cert, key)
    serve_one = echo_selectors if mode == "selectors" else echo_blocking
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            sock = context.wrap_socket(at_once(listener.accept()[0]), server_side=True)
            if mode == "threads":
                threading.Thread(target=serve_one, args=(sock,), daemon=True).start()
            else:
                serve_one(sock)


def read_all(sock, count):
    got = bytearray()
    while len(got) < count:
        block = sock.recv(count - len(got))
        assert block, "the server ended early"
        got += block
    return got


def ask_blocking(sock, data):
    """Ping-pong, with blocks of sizes that have nothing to do with records."""
    at, size = 0, 1
    while at < len(data):
        sock.sendall(data[at:at + size])
        assert read_all(sock, len(data[at:at + size])) == data[at:at + size]
        at, size = at + size, size * 3 % 199999 + 1


def ask_selectors(sock, data):
    """Full duplex: both directions are in flight at once."""
    sock.setblocking(False)
    sent, got = 0, bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while len(got) < len(data):
            if sent == len(data):
                selector.modify(sock, selectors.EVENT_READ)
            selector.select()
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                while True:
                    block = sock.recv(BLOCK)
                    assert block, "the server ended early"
                    got += block
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                while sent < len(data):
                    sent += sock.send(data[sent:sent + BLOCK])
    assert got == data


def ask_threads(socks, data):
    share = -(-len(data) // len(socks))
    parts = [data[i * share:(i + 1) * share] for i in range(len(socks))]
    finished = []

    def ask(sock, part):
        ask_blocking(sock, part)
        finished.append(sock)

    threads = [threading.Thread(target=ask, args=pair) for pair in zip(socks, parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(finished) == len(socks)


def ask(port, mode, ca, path, version):
    context = prepare(ssl.create_default_context(cafile=ca), version)
    with open(path, "rb") as file:
        data = memoryview(file.read())
    socks = [context.wrap_socket(at_once(socket.create_connection(("127.0.0.1", port))),
                                 server_hostname="localhost")
             for _ in range(THREADS if mode == "threads" else 1)]
    if mode == "threads":
        ask_threads(socks, data)
    elif mode == "selectors":
        ask_selectors(socks[0], data)
    else:
        ask_blocking(socks[0], data)
    print("done", flush=True)
    sys.stdin.read()
    for sock in socks:
        sock.close()


if __name__ == "__main__":
    role, port_text, *rest = sys.argv[1:]
    (serve if role == "server" else ask)(int(port_text), *rest)
