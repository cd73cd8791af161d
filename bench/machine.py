# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What a result has to say of where it came from."""
import datetime
import os
import platform
import subprocess
import sys


def first_line(*command, error=False):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stderr if error else done.stdout).splitlines()
    return lines[0].strip() if lines else "unknown"


def cpuinfo(key):
    with open("/proc/cpuinfo") as f:
        return next((line.split(":", 1)[1].strip() for line in f if line.startswith(key)), "")


def describe(build, in_debian13):
    wanted = ("aes", "vaes", "vpclmulqdq", "avx2", "avx512f", "sha_ni")
    flags = cpuinfo("flags").split()
    return {
        "processor": cpuinfo("model name") or platform.machine(),
        "processors": os.cpu_count(),
        "features": [flag for flag in wanted if flag in flags],
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "kernel": platform.release(),
        "load_at_start": os.getloadavg()[0],
        "versions": {
            "tlsulp": first_line(f"{build}/tlsulp", "--version"),
            "commit": first_line("git", "describe", "--always", "--dirty"),
            "compiler": first_line("cc", "--version"),
            "openssl30": first_line("openssl", "version"),
            "openssl35": first_line(*in_debian13, "openssl", "version"),
            "nginx": first_line("nginx", "-v", error=True),
            "nginx13": first_line(*in_debian13, "nginx", "-v", error=True),
            "lighttpd": first_line("lighttpd", "-v"),
            "libc": " ".join(platform.libc_ver()),
        },
        "command": " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def caption(machine):
    """Two lines for below a plot."""
    v = machine["versions"]
    return (f"{machine['processor']}, {machine['processors']} CPUs "
            f"({' '.join(machine['features'])}), Linux {machine['kernel']}; {machine['started']}\n"
            f"{v['tlsulp']} ({v['commit']}), {short_version(v['openssl30'])}, "
            f"{short_version(v['openssl35'])}; {machine['command']}")


def short_version(text):
    return " ".join(text.split()[:2])
