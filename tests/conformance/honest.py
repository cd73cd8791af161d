# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Sends real TLS records over TCP, sealed here, with the keys announced as to a ULP.

selftest.sh runs it under keylog.so and fake.so: what the harness logs and
captures of an honest sender must satisfy wirecheck.
"""
import os
import socket
import threading

from test_wirecheck import IN_USE, V13, Key

SOL_TLS, TLS_TX, TLS_RX = 282, 1, 2


def drain(conn):
    while conn.recv(1 << 20):
        pass


def session(family, address, version, suite):
    server = socket.create_server((address, 0), family=family)
    client = socket.create_connection(server.getsockname()[:2])
    conn, _ = server.accept()
    reader = threading.Thread(target=drain, args=(conn,))
    key, new = Key(version, suite, seq=3), Key(version, suite, fill=9)
    client.sendall(b"before the key")
    client.setsockopt(SOL_TLS, TLS_TX, key.info())
    conn.setsockopt(SOL_TLS, TLS_RX, key.info())
    # Nobody reads yet: the key update finds some of this unsent in the socket, and the rest here.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    client.setblocking(False)
    stream = b"".join(key.records(100, 16000))
    sent = client.send(stream)
    client.setblocking(True)
    if version == V13:
        client.setsockopt(SOL_TLS, TLS_TX, new.info())
    reader.start()
    client.sendall(stream[sent:])
    if version == V13:
        client.sendall(b"".join(new.records(20, 1000)))
    client.close()
    reader.join()
    conn.close()
    server.close()


for version, suite in IN_USE:
    session(socket.AF_INET, "127.0.0.1", version, suite)
    session(socket.AF_INET6, "::1", version, suite)
os._exit(0)
