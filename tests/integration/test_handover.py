# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""examples/handover.c: a server's new version goes on with the live connections of the old one,
twice, and curl does not notice."""
import signal
import subprocess
import time

import pytest

import support

SIZE = 20 * support.MIB + 321


def start(launcher, build, certificate, payload, control):
    return launcher.start(build / "examples" / "handover", certificate.cert, certificate.key,
                          payload.path, control, ulp=True, stdout=subprocess.PIPE)


def line(server):
    words = server.popen.stdout.readline().decode().split()
    assert words, server.errors()
    return words


def hand_over(old, curls, *new):
    """The clients stand still meanwhile, so that none can have all before."""
    for curl in curls:
        curl.popen.send_signal(signal.SIGSTOP)
    server = start(*new)
    assert line(server) == ["took", "over", str(len(curls)), "connections"]
    old.expect_exit()
    for curl in curls:
        assert curl.popen.poll() is None
        curl.popen.send_signal(signal.SIGCONT)
    return server


@support.both_versions
@pytest.mark.parametrize("clients", [1, 5])
def test_curl_downloads_across_two_hand_overs(launcher, build, certificate, directory, version,
                                              clients):
    payload = support.make_payload(directory / "payload", SIZE)
    control = directory / "control"
    first = start(launcher, build, certificate, payload, control)
    port = line(first)[1]
    curls = [launcher.start(*support.curl_command(certificate, version, "--limit-rate", "4M", "-o",
                                                  str(directory / f"got{i}"),
                                                  f"https://localhost:{port}/"))
             for i in range(clients)]
    support.wait_until(lambda: all((directory / f"got{i}").exists() for i in range(clients)),
                       "the downloads began")
    second = hand_over(first, curls, launcher, build, certificate, payload, control)
    time.sleep(0.3)
    third = hand_over(second, curls, launcher, build, certificate, payload, control)
    for i, curl in enumerate(curls):
        curl.expect_exit()
        assert support.digest_of(directory / f"got{i}") == payload.digest
    third.stop()
