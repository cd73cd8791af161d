# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Python's ssl module with OP_ENABLE_KTLS: echo both ways, each end its own process."""
import subprocess

import pytest

from support import (
    PROGS, PYTHON, both_versions, expect_carried, expect_idle, free_port, rx_keys)

CONNECTIONS = {"blocking": 1, "selectors": 1, "threads": 8}


@pytest.mark.parametrize("mode", CONNECTIONS)
@both_versions
def test_echo(launcher, certificate, payload, version, mode):
    port, program = free_port(), PROGS / "python_ssl.py"
    server = launcher.start(PYTHON, program, "server", port, mode, certificate.cert,
                            certificate.key, version, ulp=True).wait_for_port(port)
    client = launcher.start(PYTHON, program, "client", port, mode, certificate.cert, payload.path,
                            version, ulp=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    answer = client.popen.stdout.readline()
    assert answer == b"done\n", client.errors() + server.errors()
    count = CONNECTIONS[mode]
    received = payload.size if version == "1.2" else 0
    for end in (server, client):
        tree = expect_carried(end, tx=count, rx=rx_keys(version, count), sent=payload.size,
                              received=received)
        assert all(line["tx_bytes"] >= payload.size // count for line in tree["connections"][:-1])
    client.popen.stdin.close()
    client.expect_exit(0)
    expect_idle(server)
    assert client.errors() == server.errors() == ""
