# The few commands people run; CI runs these and nothing else. Each sets up what it needs, can be the
# first command in a fresh clone, and is quick when repeated. uv is used where it is found.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)
# The Python suite runs without a network where the kernel lets us take it away: nothing may need one.
OFFLINE := $(shell unshare --map-root-user --net true 2>/dev/null && echo unshare --map-root-user --net)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

RUST_SOURCES := $(shell find rust -name '*.rs' -o -name 'Cargo.toml' 2>/dev/null) Cargo.toml Cargo.lock

.DEFAULT_GOAL := help
.PHONY: help setup build demo test lint test-rust test-python ios xcframework swift bench quality format wheel clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/deps: pyproject.toml
ifdef UV
	$(UV) venv --quiet --allow-existing --python ">=3.11" $(VENV)
	$(UV) pip install --quiet "maturin>=1.10.2,<2"
	$(UV) pip install --quiet --group test
else
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip  # --group needs pip 25.1
	$(BIN)/python -m pip install --quiet "maturin>=1.10.2,<2" --group test
endif
	@touch $@

# Groups of pyproject.toml that only one command needs.
$(VENV)/group-%: $(VENV)/deps
	$(if $(UV),$(UV) pip,$(BIN)/python -m pip) install --quiet --group $*
	@touch $@

# Editable install: Python from python/, the extension built once in release mode beside it.
$(VENV)/built: $(VENV)/deps $(RUST_SOURCES)
	$(BIN)/maturin develop --quiet --release --locked $(if $(UV),--uv)
	@touch $@

setup: $(VENV)/deps ## make the virtual environment with everything the tests need
build: $(VENV)/built ## build the Rust extension and install the package, editable

demo: build ## replay a person's year through the real loop, write a report
	$(BIN)/python -m inhabit demo

test: lint test-rust test-python ## everything: formats, lints, types, Rust and Python tests

lint: build ## formats, lints and types of both languages
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --locked
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest inhabit._native --ignore-disjoint-bases

test-rust: $(VENV)/deps ## Rust unit, property and vector tests
	cargo test --quiet --workspace --locked

test-python: build ## Python tests, property-based ones included
	$(OFFLINE) $(BIN)/python -m pytest --quiet
	$(OFFLINE) $(BIN)/python -m pytest --quiet --doctest-modules python/inhabit

ios: build $(VENV)/group-ios ## the static library for Apple and other targets: built, checked, executed in an emulator
	$(BIN)/python tools/ios check

xcframework: $(VENV)/deps ## build/Inhabit.xcframework: device and simulator (unsigned, not checked with Xcode)
	$(BIN)/python tools/ios xcframework

swift: ## the Swift package, built and tested with the real compiler
	tools/swift

bench: build $(VENV)/group-bench ## speed: this package, its rivals and the limit of the machine, in one table (benches/speed.md)
	$(BIN)/python benches/rivals.py --people 10000 --write

quality: build $(VENV)/group-quality ## quality of prediction on real people (DATA=folder), beside its rivals
	$(BIN)/python benches/quality.py $(if $(DATA),--data $(DATA))

format: $(VENV)/deps ## let the formatters have their way
	cargo fmt --all
	$(BIN)/ruff check --quiet --fix
	$(BIN)/ruff format --quiet

wheel: $(VENV)/deps ## the abi3 wheel, in target/wheels
	$(BIN)/maturin build --release --locked

clean: ## everything that was built, the virtual environment included
	cargo clean --quiet
	rm -rf $(VENV) build python/inhabit/*.so
