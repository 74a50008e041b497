# The two commands of the README are `make demo` and `make test`; the others are for working on the code.
# Build artifacts stay out of the source tree, so that checkouts share them.
CARGO_TARGET_DIR ?= $(HOME)/.cache/jarvis/target
export CARGO_TARGET_DIR

.PHONY: help demo test setup build fmt lint deny bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    build, then run jarvis with a broker of its own and a simulated facility (Ctrl-C ends it)"
	@echo "make test    every check there is; the last line says how many passed and failed"
	@echo "make setup   install what the above need and is missing (they do it themselves)"
	@echo "make build   build everything          make fmt     format the code"
	@echo "make lint    formatting and clippy     make deny    licences and sources of dependencies"
	@echo "make bench   the benchmarks            make clean   remove what was built"

demo:
	@scripts/demo.sh

test:
	@scripts/test.sh

setup:
	@scripts/setup.sh build test

build:
	@scripts/setup.sh build
	cargo build --workspace --all-targets --locked

fmt:
	cargo fmt --all

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

deny:
	@CARGO_DENY=1 scripts/deny.sh

bench:
	@scripts/setup.sh build test
	cargo build --release --locked --package jarvis --package jarvis-benches
	$(CARGO_TARGET_DIR)/release/compare batch --jarvis $(CARGO_TARGET_DIR)/release/jarvis --twin $(CARGO_TARGET_DIR)/release/twin

clean:
	cargo clean
