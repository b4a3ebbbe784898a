# Every command of the project. `make demo` and `make test` work alone on a bare clone:
# they need python3 (3.11 or later), a Rust toolchain and this file.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# A stamp file says that a step is done; it is redone when what it was made from is newer.
TOOLS := $(VENV)/.tools
BUILT := $(VENV)/.built
KERNEL := Cargo.toml $(wildcard Cargo.lock) pyproject.toml $(shell find rust -name '*.rs')

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-lab test soak kill walk sanitize arm lint format types bench lock ci clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' \
		| awk -F'|' '{ printf "  make %-8s %s\n", $$1, $$2 }'

setup: $(BUILT) ## Make .venv, install the locked tools, build the package in release mode.

demo: $(BUILT) ## Run the engine on a small book: rank, lights, a plan and why.
	$(BIN)/deleverage demo

demo-lab: $(BUILT) ## Generate a crash of a million rows, replay it under five policies, write a report.
	sh examples/lab.sh $(BIN)/deleverage out/lab

soak: $(BUILT) ## Random events over every edition, each guarantee checked after each (EVENTS=40000).
	cd tests && SOAK_EVENTS=$(or $(EVENTS),40000) ../$(BIN)/python -m soak

kill: $(BUILT) ## Kill writers of a journal and engines in mid-commit, and look for what is lost (KILLS=200).
	KILLS=$(or $(KILLS),200) $(BIN)/python -m pytest -s -k kill tests/test_journal_faults.py tests/test_engine_kill.py

walk: $(BUILT) ## Random operations on a kept book beside its twin (OPERATIONS=1000000).
	cd tests && WALK_OPERATIONS=$(or $(OPERATIONS),1000000) ../$(BIN)/python -m long_walk

# The sanitizers of a stable toolchain want to be let out; that of threads wants a standard library
# built like the rest, or it takes every lock of it for a race.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
SANITIZED = RUSTC_BOOTSTRAP=1 cargo test --locked --quiet --target $(HOST)

sanitize: ## Look for races, leaks and stray reads in the Rust tests (fetches rustup's rust-src).
	rustup component add rust-src
	RUSTFLAGS='-Zsanitizer=thread' $(SANITIZED) -Zbuild-std --target-dir target/thread \
		--test book --test kernel --test allocate
	RUSTFLAGS='-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer' $(SANITIZED) \
		--target-dir target/address

arm: ## Run the Rust tests for aarch64 (needs qemu-user and gcc-aarch64-linux-gnu).
	rustup target add aarch64-unknown-linux-gnu
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER='qemu-aarch64 -L /usr/aarch64-linux-gnu' \
		cargo test --locked --quiet --target aarch64-unknown-linux-gnu

test: $(BUILT) ## Run the Rust and the Python tests (ARGS='-k house' picks Python tests).
	cargo test --locked --quiet
	$(BIN)/python -m pytest $(ARGS)

lint: $(TOOLS) ## Check the form of the Python and Rust sources.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings

format: $(TOOLS) ## Bring the sources into form.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cargo fmt

types: $(BUILT) ## Check the types, and the kernel's stub against the kernel.
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest deleverage._core

bench: $(BUILT) ## Measure the kernel and write benches/README.md.
	$(BIN)/deleverage bench --write-readme $(ARGS)

lock: ## Lock the Python tools again, with hashes.
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 \
		--no-emit-index-url --no-header --no-annotate --extra cli --extra lab --extra bench --group dev \
		pyproject.toml --output-file requirements/dev.lock

ci: lint types test ## Run what the build machine runs.

clean: ## Remove what was built (the next command makes it again).
	rm -rf $(VENV) target dist out .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find python tests benches examples -name __pycache__ -type d -prune -exec rm -rf {} +
	find python -name '_core*.so' -delete

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "setup: expected Python 3.11 or later, got $$($(PYTHON) --version 2>&1); name one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(TOOLS): requirements/dev.lock | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.lock
	@touch $@

$(BUILT): $(TOOLS) $(KERNEL)
	@command -v cargo >/dev/null \
		|| { echo "setup: expected a Rust toolchain (cargo) on the path, got none; install it with rustup" >&2; exit 1; }
	@echo "building the kernel in release mode: about a minute, once" >&2
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@
