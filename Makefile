# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A front for Meson: the commands that a visitor needs, each without arguments.

BUILD ?= build
prefix ?= /usr/local
ifdef PREFIX
prefix := $(PREFIX)
endif
PYTHON ?= /usr/bin/python3
# Debian 13 in a folder, and a build tree that is made in it.
TLSULP_DEBIAN13 ?= $(abspath $(BUILD)/trixie)
export PYTHON TLSULP_DEBIAN13
BUILD13 = $(abspath $(BUILD)/debian13)
IN_DEBIAN13 = TLSULP_BUILD=$(BUILD13) tools/debian13.sh run

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo "meson is missing: run 'make deps DEPS=build' first" >&2; exit 1; }
	meson setup --prefix=$(prefix) $(BUILD)

# Installs what is missing on Debian; 'make deps' alone takes everything.
DEPS ?= build demo check conformance debian13 guest kernel bench lint
deps:
	tools/deps.sh $(DEPS)

demo:
	tools/deps.sh build demo
	$(MAKE) all
	tools/demo.sh $(BUILD)

check:
	tools/deps.sh build check
	$(MAKE) all
	tools/check.sh $(BUILD)

conformance:
	tools/deps.sh build conformance
	$(MAKE) all
	TLSULP_BUILD=$(abspath $(BUILD)) tests/conformance/run.sh

debian13:
	tools/deps.sh debian13
	tools/debian13.sh make
	$(IN_DEBIAN13) $(MAKE) BUILD=$(BUILD13) all

check-debian13: debian13
	$(IN_DEBIAN13) tools/check.sh $(BUILD13) unit

interop-debian13: debian13
	tools/deps.sh build check
	$(MAKE) all
	TLSULP_BUILD13=$(BUILD13) tools/check.sh $(BUILD) interop

conformance-debian13: debian13
	tools/deps.sh build conformance
	tests/conformance/fetch.sh $(BUILD)/conformance
	TLSULP_SUITE=$(abspath $(BUILD)/conformance/linux) $(IN_DEBIAN13) tests/conformance/run.sh

# Debian's kernels, which have the ULP, in QEMU: which home serves what.
check-guest:
	tools/deps.sh build guest
	$(MAKE) all
	TLSULP_BUILD=$(abspath $(BUILD)) tests/guest/run.sh

# The kernel module, built for Debian's kernels: KERNELS=bookworm for one of them.
KERNELS ?= bookworm trixie sid
kernel:
	tools/deps.sh kernel
	for suite in $(KERNELS); do \
		TLSULP_BUILD=$(abspath $(BUILD)) tools/kernel.sh build $$suite || exit; done

# In QEMU, the module in those kernels: JOBS="suite programs orders bad async" for some of the tests,
# KERNEL_ARGS=--in-tree to take down the score of the kernels' own module anew.
JOBS ?= suite programs orders bad async
KERNEL_ARGS ?= --jobs "$(JOBS)"
check-kernel:
	tools/deps.sh build kernel
	TLSULP_BUILD=$(abspath $(BUILD)) tests/kernel/run.sh $(KERNEL_ARGS) $(KERNELS)

# The same in a kernel that watches itself, which is built first: an hour or more in all.
check-kernel-debug:
	tools/deps.sh build kernel
	TLSULP_BUILD=$(abspath $(BUILD)) TLSULP_PATIENCE=10 TLSULP_GUEST_LIMIT=10800 \
		tests/kernel/run.sh --jobs "suite orders bad async harsh" debug

# DKMS for real, in those suites' folders.
check-dkms:
	tools/deps.sh kernel
	TLSULP_BUILD=$(abspath $(BUILD)) tests/kernel/dkms.sh $(KERNELS)

# What records cost with the module, in proportion to the kernels' own one.
bench-kernel:
	tools/deps.sh build kernel
	TLSULP_BUILD=$(abspath $(BUILD)) tests/kernel/cost.sh $(KERNELS)

# Random calls against a model: SOAK_SEED=N for the same ones again.
SOAK_SECONDS ?= 600
SOAK_SEED ?=
soak:
	tools/deps.sh build
	$(MAKE) all
	tests/model/run.sh $(BUILD) $(SOAK_SECONDS) $(SOAK_SEED)

# BENCH="--quick" only shows that all works; BENCH="--only 'servers|sizes/send'" takes a part.
bench: bench-programs
	$(MEASURE) $(BENCH); status=$$?; $(PYTHON) bench/report.py; $(PYTHON) bench/plot.py; exit $$status

# Every size with every number of connections and every cipher: hours.
bench-all: bench-programs
	$(MEASURE) --all $(BENCH); status=$$?; $(PYTHON) bench/report.py; $(PYTHON) bench/plot.py; exit $$status

MEASURE = TLSULP_BUILD=$(abspath $(BUILD)) TLSULP_BUILD13=$(BUILD13) $(PYTHON) bench/run.py

bench-programs:
	tools/deps.sh build debian13 bench
	$(MAKE) all
	bench/build.sh $(abspath $(BUILD))/bench
	tools/debian13.sh make
	$(IN_DEBIAN13) bench/build.sh $(BUILD13)/bench

install: all
	tools/install.sh $(BUILD) $(prefix)

# The kernel module, as root: see docs/KERNEL.md.
install-dkms:
	tools/install-dkms.sh

remove-dkms:
	tools/install-dkms.sh --remove

fmt:
	tools/sources.sh | xargs clang-format -i

lint:
	tools/deps.sh lint
	tools/lint.sh

clean:
	rm -rf $(BUILD) build-asan build-tsan

.PHONY: all deps demo check conformance debian13 check-debian13 interop-debian13 \
	conformance-debian13 check-guest kernel check-kernel check-kernel-debug \
	check-dkms bench-kernel soak bench bench-all bench-programs install install-dkms remove-dkms fmt lint clean
