# What people and CI run. `make demo` first.

CARGO ?= cargo
TARGET_DIR = $(or $(CARGO_TARGET_DIR),target)

.PHONY: demo build test lint unit rsync bench compare fuzz

demo: build
	scripts/demo.sh $(TARGET_DIR)/release/syncline

build:
	$(CARGO) build --release --locked

# All that must hold before a merge. Without rsync the tests against real peers say SKIPPED;
# SYNCLINE_REQUIRE_INTEROP=1 (as .ci/run sets it) makes that a failure.
test: rsync lint unit

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	scripts/check-layers.sh

unit:
	$(CARGO) test --workspace --locked

rsync:
	@scripts/need-rsync.sh

# The fuzz targets over their seeds and a while of random inputs; part of `make test`.
fuzz:
	$(CARGO) test -p syncline-fuzz --locked

# Micro benches. BENCH=name picks one.
bench:
	$(CARGO) bench -p syncline-benches --locked $(if $(BENCH),--bench $(BENCH))

# End to end against the rsync that is installed. ARGS=--quick for a small run.
compare: build
	$(CARGO) run --release --locked -p syncline-benches --bin compare -- --syncline $(TARGET_DIR)/release/syncline $(ARGS)
