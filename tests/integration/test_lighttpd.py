# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""lighttpd with mod_openssl and `ssl.openssl.ssl-conf-cmd = ("Options" => "+KTLS")`."""
import os
import shutil
import subprocess

from support import (
    PYTHON, both_versions, curl_command, curl_download, expect_carried, expect_idle, free_port,
    rx_keys, unsanitized)

SUM_CGI = f"""#!{PYTHON}
import hashlib, os, sys
left, hasher = int(os.environ["CONTENT_LENGTH"]), hashlib.sha256()
while left:
    block = sys.stdin.buffer.read(min(left, 1 << 18))
    assert block
    hasher.update(block)
    left -= len(block)
print("Content-Type: text/plain\\n\\n" + hasher.hexdigest(), end="")
"""


def start_lighttpd(launcher, certificate, root):
    port = free_port()
    uploads = launcher.directory / "lighttpd-uploads"
    uploads.mkdir()
    user = ""
    if os.geteuid() == 0:
        user = 'server.username = "www-data"\nserver.groupname = "www-data"'
        shutil.chown(uploads, "www-data")
    config = launcher.directory / "lighttpd.conf"
    config.write_text(f"""
server.modules = ("mod_openssl", "mod_cgi")
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{root}"
server.upload-dirs = ("{uploads}")
server.max-keep-alive-idle = 600
{user}
ssl.engine = "enable"
ssl.pemfile = "{certificate.both}"
ssl.openssl.ssl-conf-cmd = ("Options" => "+KTLS", "MinProtocol" => "TLSv1.2")
cgi.assign = (".py" => "{PYTHON}")
""")
    program = launcher.start("lighttpd", "-D", "-f", config, ulp=True)
    return program.wait_for_port(port), port


@both_versions
def test_static_file(launcher, certificate, payload, version):
    lighttpd, port = start_lighttpd(launcher, certificate, payload.path.parent)
    url = f"https://127.0.0.1:{port}/payload"
    download = curl_download(launcher, certificate, version, url, payload.size).receive_most()
    expect_carried(lighttpd, tx=1, rx=rx_keys(version), sent=payload.size)
    assert download.finish() == payload.digest
    expect_idle(lighttpd)


@unsanitized  # lighttpd keeps ASAN_OPTIONS from the CGI program
@both_versions
def test_upload_to_a_cgi_program(launcher, certificate, payload, directory, version):
    """The CGI program is a child with pipes, made by fork and exec under the preload."""
    root = directory / "www"
    root.mkdir()
    (root / "sum.py").write_text(SUM_CGI)
    lighttpd, port = start_lighttpd(launcher, certificate, root)
    data = payload.path.read_bytes()
    curl = launcher.start(
        *curl_command(certificate, version, "-X", "POST", "-H", "Expect:", "-H",
                      f"Content-Length: {payload.size}", "-H", "Transfer-Encoding:", "-T", "-",
                      f"https://127.0.0.1:{port}/sum.py"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    curl.popen.stdin.write(data[:-1])
    curl.popen.stdin.flush()
    received = payload.size - (1 << 20) if version == "1.2" else 0
    expect_carried(lighttpd, tx=1, rx=rx_keys(version), received=received)
    curl.popen.stdin.write(data[-1:])
    curl.popen.stdin.close()
    assert curl.popen.stdout.read().decode() == payload.digest
    curl.expect_exit(0)
    expect_idle(lighttpd)
