# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""No TLS library of Debian has suites with SM4, so that no peer can be had: other AEADs than
tlsulp's open its records and seal for it (progs/sm4.c)."""
import subprocess

import pytest

from support import TIMEOUT

SOURCES = ["sm4.c", "judge.c", "-lnettle", "-lcrypto"]


@pytest.mark.parametrize("mode", ["gcm", "ccm"])
def test_sm4(place, mode):
    program = place.compile("sm4", SOURCES)
    done = subprocess.run(
        place.command(place.tlsulp, "run", "--mode", "user", "--stat", "--", program, mode),
        capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
    judges = done.stdout.split()
    # OpenSSL has SM4-GCM and SM4-CCM, though no suites, since 3.1.
    assert judges in (["nettle"], ["nettle", "openssl"])
    assert place.name == "here" or "openssl" in judges
    counters = dict(line.split()[:2] for line in done.stderr.splitlines()
                    if line.startswith("Tls"))
    assert counters["TlsTxSw"] == counters["TlsRxSw"] == str(len(judges))
    assert counters["TlsDecryptError"] == "0"
