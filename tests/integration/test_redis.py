# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Redis with TLS: the server, its replica, redis-cli and redis-benchmark."""
import re
import subprocess

import pytest

from support import (
    Download, both_versions, expect_carried, expect_idle, free_port, openssl_config, rx_keys,
    unsanitized, wait_until)

pytestmark = unsanitized  # Redis has an allocator of its own


class Redis:
    """redis-server under tlsulp, and what talks to it."""

    def __init__(self, launcher, certificate, version, *more):
        self.launcher, self.certificate, self.version = launcher, certificate, version
        self.port = free_port()
        directory = launcher.directory / f"redis-{self.port}"
        directory.mkdir()
        self.server = launcher.start(
            "redis-server", "--port", 0, "--bind", "127.0.0.1", "--tls-port", self.port,
            "--tls-cert-file", certificate.cert, "--tls-key-file", certificate.key,
            "--tls-ca-cert-file", certificate.cert, "--tls-auth-clients", "no",
            "--tls-protocols", f"TLSv{version}", "--save", "", "--enable-debug-command", "yes",
            "--dir", directory, "--logfile", directory / "log", *more, ulp=True, env=self.ktls())
        self.server.wait_for_port(self.port)

    def ktls(self):
        return {"OPENSSL_CONF": openssl_config(self.launcher.directory, self.version)}

    def tool(self, name, *arguments, ulp=False, **kwargs):
        env = self.ktls() if ulp else None
        return self.launcher.start(name, "--tls", "--cacert", self.certificate.cert, "-h",
                                   "127.0.0.1", "-p", self.port, *arguments, ulp=ulp, env=env,
                                   stdout=subprocess.PIPE, **kwargs)

    def ask(self, *words):
        done = self.tool("redis-cli", *words)
        answer = done.popen.stdout.read().decode().strip()
        done.expect_exit(0)
        return answer


@pytest.mark.parametrize("ulp", [False, True], ids=["plain client", "client too"])
@both_versions
def test_a_large_value(launcher, certificate, payload, version, ulp):
    redis = Redis(launcher, certificate, version)
    with open(payload.path, "rb") as file:
        put = redis.tool("redis-cli", "-x", "set", "big", ulp=ulp, stdin=file)
        assert put.popen.stdout.read() == b"OK\n"
    put.expect_exit(0)
    # redis-cli keeps its connection while it cannot write its answer.
    got = Download(redis.tool("redis-cli", "get", "big", ulp=ulp), payload.size).receive_most()
    expect_carried(redis.server, tx=2, rx=rx_keys(version, 2), sent=payload.size)
    if ulp:
        expect_carried(got.program, tx=1, rx=rx_keys(version),
                       received=payload.size if version == "1.2" else 0)
    got.receive(got.left)
    assert got.stream.read() == b"\n" and got.hasher.hexdigest() == payload.digest
    got.program.expect_exit(0)
    expect_idle(redis.server)


@pytest.mark.parametrize("ulp", [False, True], ids=["plain client", "client too"])
@both_versions
def test_benchmark(launcher, certificate, version, ulp):
    redis = Redis(launcher, certificate, version)
    bench = redis.tool("redis-benchmark", "-c", 50, "-n", 20000, "-d", 5000, "-P", 4, "-q", "-t",
                       "set,get", ulp=ulp)
    report = bench.popen.stdout.read().decode()
    bench.expect_exit(0)
    assert len(re.findall(r"requests per second", report)) == 2 and "rror" not in report, report
    counters = redis.server.counters()
    assert counters["TlsTxSw"] >= 100
    assert counters["TlsRxSw"] == rx_keys(version, counters["TlsTxSw"])
    assert counters["TlsDecryptError"] == 0
    expect_idle(redis.server)


def test_benchmark_of_several_threads(launcher, certificate):
    redis = Redis(launcher, certificate, "1.2")
    bench = redis.tool("redis-benchmark", "-c", 20, "-n", 20000, "-d", 5000, "--threads", 2, "-q",
                       "-t", "set,get", ulp=True)
    assert "requests per second" in bench.popen.stdout.read().decode()
    bench.expect_exit(0)
    counters = redis.server.counters()
    assert counters["TlsTxSw"] == counters["TlsRxSw"] >= 40 and counters["TlsDecryptError"] == 0


@both_versions
def test_replication(launcher, certificate, payload, version):
    """The child that writes the replica's copy shares the connection with its parent."""
    first = Redis(launcher, certificate, version)
    with open(payload.path, "rb") as file:
        put = first.tool("redis-cli", "-x", "set", "big", stdin=file)
        assert put.popen.stdout.read() == b"OK\n"
    replica = Redis(launcher, certificate, version, "--tls-replication", "yes", "--replicaof",
                    f"127.0.0.1 {first.port}")
    wait_until(lambda: "master_link_status:up" in replica.ask("info", "replication"),
               "the replica")
    digest = first.ask("debug", "digest")
    assert first.ask("set", "later", "value") == "OK"
    wait_until(lambda: replica.ask("get", "later") == "value", "the later value")
    assert digest != first.ask("debug", "digest") == replica.ask("debug", "digest")
    lines = [line for line in first.server.connections() if line["tx_bytes"] >= payload.size]
    assert len(lines) == 1
    if version == "1.2":
        assert any(line["rx_bytes"] >= payload.size for line in replica.server.connections())
