# What there is to do: `make help`. Each target sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(shell find src -name '*.p[xy][xd]' -o -name '*.pxd')
READY := $(VENV)/ready
TOOLS := $(VENV)/tools-ready
BENCH := $(VENV)/bench-ready
FUZZ := build/fuzz/ready
# How long each of the fuzz targets runs, and which of them.
FUZZ_SECONDS ?= 60
TARGET ?= $(sort $(basename $(notdir $(wildcard tests/fuzz/targets/*.py))))
MUTATE := $(VENV)/mutate-ready
# What the benchmarks run on: large (what the targets are stated for) or small.
SIZE ?= large
BENCHMARK = LAYERSCAN_BENCH_SIZE=$(SIZE) $(BIN)/python -m
# Which faults `make mutate` puts in, and how many.
SEED ?= 1
FAULTS ?= 150
# The store that `make scan` makes where there is none.
SAMPLE := .sample-store
# CI treats warnings of the extension's build as errors.
export LAYERSCAN_BUILD_WERROR = $(if $(CI),1)

.DEFAULT_GOAL := help
.PHONY: help scan test check bench bench-scaling bench-compare lint sanitize fuzz mutate engines clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

scan: $(READY) ## scan the image store of this machine, or a sample where there is none
	@if $(BIN)/python -m tests.builders.found; then \
	    $(BIN)/layerscan scan; \
	else \
	    echo "Scanning a sample store instead, made in $(SAMPLE)." >&2; \
	    test -d $(SAMPLE) || $(BIN)/python -m tests.builders.sample $(SAMPLE); \
	    $(BIN)/layerscan scan --data-root $(SAMPLE); \
	fi

test: lint sanitize engines $(BENCH) ## run all tests, real engines included
	$(BIN)/python -m pytest -m "not alone" -p no:benchmark \
	    --numprocesses 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m alone

bench: $(BENCH) ## measure against du and other tools; SIZE=small takes two minutes
	benchmarks/install
	@mkdir -p build/bench && rm -f build/bench/pytest-benchmark.json
	$(BENCHMARK) pytest benchmarks -q -rfEs --timeout=3600 -p no:cacheprovider \
	    --benchmark-quiet --benchmark-json=build/bench/pytest-benchmark.json; \
	    status=$$?; $(BIN)/python -m benchmarks.report && exit $$status

bench-scaling: $(BENCH) ## measure how cost grows with files, threads and images
	$(BENCHMARK) pytest benchmarks/scaling.py -q -s --timeout=3600 -p no:cacheprovider

bench-compare: $(BENCH) ## measure the commit REV against HEAD, in turns
	@test -n "$(REV)" || { echo "which commit? make bench-compare REV=HEAD~1" >&2; exit 2; }
	$(BENCHMARK) benchmarks.compare $(REV) HEAD

check: lint ## check style and types, and run the quick tests, which need no engine
	$(BIN)/python -m pytest -q -m "not engine and not alone and not slow" -p no:benchmark \
	    --hypothesis-profile=few --numprocesses 3 --dist loadfile

lint: $(TOOLS) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH=$(BIN):$$PATH $(BIN)/cython-lint src/layerscan

sanitize: $(TOOLS) ## run the tests of the compiled parts under ASan, UBSan and TSan, with bounds checks
	tests/sanitize $(BIN)/python address,undefined
	tests/sanitize $(BIN)/python thread

fuzz: $(FUZZ) ## fuzz each parser of foreign bytes; FUZZ_SECONDS=3600 TARGET=tar
	@status=0; for target in $(TARGET); do \
	    echo "== $$target" >&2; \
	    $(BIN)/python -m tests.fuzz $$target -max_total_time=$(FUZZ_SECONDS) \
	        -print_final_stats=1 || status=1; \
	done; exit $$status

mutate: $(MUTATE) ## put small faults into the code, one at a time, and see if a test fails; SEED=1
	$(BIN)/python -m tests.mutate --seed $(SEED) --sample $(FAULTS)

engines:
	tests/engines/install

clean: ## remove what the other targets made
	rm -rf $(VENV) $(SAMPLE) build dist src/*.egg-info ; find src -name '*.so' -delete

# Editable: a changed Python file needs no new installation, a changed part of
# the extension is compiled again.
$(READY): $(SOURCES) | $(VENV)
	$(BIN)/pip install --quiet --editable '.[all]'
	@touch $@

$(TOOLS): $(READY)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --group test --group lint
	@touch $@

$(BENCH): $(TOOLS)
	$(BIN)/pip install --quiet --group bench
	@touch $@

# The compiled parts, so that their branches guide the fuzzer and a wrong access ends it.
$(FUZZ): $(TOOLS)
	tests/fuzz/install
	$(BIN)/pip install --quiet --group fuzz
	CC=clang LAYERSCAN_BUILD_SANITIZE=fuzzer-no-link,address,undefined $(BIN)/python setup.py \
	    --quiet build_ext --build-lib build/fuzz/lib --build-temp build/fuzz/tmp
	@touch $@

$(MUTATE): $(TOOLS)
	$(BIN)/pip install --quiet --group mutate
	@touch $@

$(VENV):
	tests/engines/python $(PYTHON)
	$(PYTHON) -m venv $(VENV)
