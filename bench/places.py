# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Where the programs are, and what stands before a command."""
import os
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("TLSULP_BUILD", HERE.parent / "build")).resolve()
BUILD13 = pathlib.Path(os.environ.get("TLSULP_BUILD13", BUILD / "debian13")).resolve()
IN_DEBIAN13 = ("env", f"TLSULP_BUILD={BUILD13}", str(HERE.parent / "tools/debian13.sh"), "run")
# The same one twice where there is only one.
CPUS = sorted(os.sched_getaffinity(0))
NEAR_CPU, FAR_CPU = str(CPUS[0]), str(CPUS[-1])
UNDER_TLSULP = (str(BUILD / "tlsulp"), "run", "--mode", "user", "--")
