# Headgate: `make` lists the targets. Everything installs itself into this directory on first use, from hash-locked
# requirements; nothing outside it is touched except system packages that a target names before it installs them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
CONFIG ?= $(wildcard headgate.yaml)
ARGS ?=
# PEERS=1 measures other gateways beside Headgate; they are installed into bench/.peers.
PEERS ?=
BIN := .venv/bin
FUZZ := .venv-fuzz
IMAGE := .venv-image
# One environment for each client library, because they do not agree on the versions of what they share.
SDKS := openai anthropic langchain llamaindex pydantic-ai instructor
NODE := tests/sdk/node
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes
COMPILE := $(BIN)/uv pip compile --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header \
	--no-annotate -q
CODE := src tests bench deploy
# Suites that start processes, or that need an environment of their own: part of `make test`, not of `make check`.
WHOLE := tests/chaos tests/sdk tests/deploy tests/e2e tests/security

# What a target needs beyond python and make: $(call need,command,package[,command,package]).
define need
	@command -v $(1) >/dev/null || { \
	  echo "make $@ needs '$(1)' (system package '$(2)')"; \
	  command -v apt-get >/dev/null || { echo "install it with your package manager, then run make $@ again"; exit 1; }; \
	  if [ "$$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo="sudo -n"; \
	  else echo "run: sudo apt-get install $(2)"; exit 1; fi; \
	  $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq $(2) >/dev/null; }
endef

# Runs pytest with a temporary directory that is gone afterwards, whatever happens: $(call pytest,arguments).
define pytest
	@scratch="$$(mktemp -d)"; trap 'rm -rf "$$scratch"' EXIT; \
	TMPDIR="$$scratch" PYTHONPATH=src $(BIN)/python -m pytest -p no:cacheprovider $(1) $(ARGS)
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Headgate needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another: make $(or $(MAKECMDGOALS),install) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.base: requirements/base.txt requirements/build.txt pyproject.toml | .venv/bin/python
	$(BIN)/python $(PIP_INSTALL) -r requirements/base.txt -r requirements/build.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.base requirements/dev.txt
	$(BIN)/python $(PIP_INSTALL) -r requirements/dev.txt
	@touch $@

.venv-sdk-%/.installed: requirements/sdk-%.txt | .venv/.dev
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-sdk-$*
	$(BIN)/uv pip sync --quiet --require-hashes --python .venv-sdk-$*/bin/python $<
	@touch $@

$(NODE)/node_modules/.installed: $(NODE)/package-lock.json $(NODE)/package.json
	$(call need,node,nodejs)
	$(call need,npm,npm)
	cd $(NODE) && npm ci --ignore-scripts --silent
	@touch $@

$(FUZZ)/.installed: requirements/base.txt requirements/fuzz.txt | .venv/bin/python
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python $(PIP_INSTALL) -r requirements/base.txt -r requirements/fuzz.txt
	@touch $@

# What deploy/Dockerfile's build step makes, made by the same script.
$(IMAGE)/.installed: deploy/build-image.sh deploy/healthcheck.py requirements/base.txt requirements/build.txt \
		pyproject.toml $(shell find src -name '*.py')
	PYTHON=$(PYTHON) deploy/build-image.sh $(IMAGE)
	@touch $@

.PHONY: install
install: .venv/.base ## the environment alone; .venv/bin/headgate works after it

.PHONY: run
run: install ## start the gateway on http://127.0.0.1:4100, with the sandbox provider
	@exec $(BIN)/headgate serve $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

.PHONY: lint
lint: .venv/.dev
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

.PHONY: types
types: .venv/.dev
	$(call need,node,nodejs)
	$(BIN)/pyright

.PHONY: layers
layers: .venv/.dev
	PYTHONPATH=src $(BIN)/lint-imports --no-cache

.PHONY: unit
unit: .venv/.dev
	$(call pytest,tests $(addprefix --ignore=,$(WHOLE)) -m 'not slow' -q)

# Types and tests take about as long as each other, so they run side by side.
.PHONY: check
check: lint layers .venv/.dev ## lint, types, layers and unit tests, in under two minutes
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target types unit

CLIENTS := $(SDKS:%=.venv-sdk-%/.installed) $(NODE)/node_modules/.installed

.PHONY: test
test: lint layers types $(CLIENTS) $(IMAGE)/.installed ## everything that CI runs
	$(call pytest,tests -q)

.PHONY: bench
bench: .venv/.dev ## the benchmark against nginx and a direct call (ARGS="--quick": short; PEERS=1: other gateways too)
	$(call need,nginx,nginx-light)
	$(call need,wrk,wrk)
	$(call need,cc,gcc libc6-dev)
	$(if $(filter 1,$(PEERS)),$(call need,npm,nodejs npm))
	PYTHONPATH=src $(BIN)/python -m bench $(if $(filter 1,$(PEERS)),--peers) $(ARGS)

.PHONY: bench-cache
bench-cache: .venv/.dev ## what the response cache costs, and that no tenant gets another's answer (a million cases)
	$(call need,cc,gcc libc6-dev)
	PYTHONPATH=src $(BIN)/python -m bench.cache $(ARGS)

.PHONY: prove
prove: .venv/.dev ## the long acceptance figures: keys, ledger, budgets, reload, overload, resilience, soak, fuzzing (about three hours)
	PYTHONPATH=src $(BIN)/python -m bench.keys
	PYTHONPATH=src $(BIN)/python -m bench.ledger
	PYTHONPATH=src $(BIN)/python -m bench.ledger_proof
	PYTHONPATH=src $(BIN)/python -m bench.budgets
	PYTHONPATH=src $(BIN)/python -m bench.reload
	$(call need,cc,gcc libc6-dev)
	PYTHONPATH=src $(BIN)/python -m bench.overload
	PYTHONPATH=src $(BIN)/python -m bench.resilience
	PYTHONPATH=src $(BIN)/python -m bench.soak
	@$(MAKE) --no-print-directory fuzz

.PHONY: fuzz
fuzz: $(FUZZ)/.installed ## every parser under atheris (ARGS="--minutes 3 --target http_server")
	PYTHONPATH=src $(FUZZ)/bin/python -m tests.fuzz $(ARGS)

.PHONY: build
build: .venv/.dev ## wheel and source distribution in dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .

.PHONY: lock
lock: .venv/.dev ## resolve requirements/*.in again into hash-locked, host-free *.txt
	$(COMPILE) requirements/base.in -o requirements/base.txt
	$(COMPILE) requirements/build.in -c requirements/base.txt -o requirements/build.txt
	$(COMPILE) requirements/dev.in -c requirements/base.txt -c requirements/build.txt -o requirements/dev.txt
	for sdk in $(SDKS); do $(COMPILE) requirements/sdk-$$sdk.in -o requirements/sdk-$$sdk.txt; done
	$(call need,npm,npm)
	cd $(NODE) && npm install --package-lock-only --ignore-scripts --silent
	$(BIN)/python $(NODE)/strip_lock.py $(NODE)/package-lock.json
	$(COMPILE) requirements/fuzz.in -o requirements/fuzz.txt
	$(COMPILE) bench/peers/litellm.in -o bench/peers/litellm.txt
	$(COMPILE) bench/peers/tensorzero.in -o bench/peers/tensorzero.txt

.PHONY: clean
clean: ## remove environments, caches and builds; ./data stays
	rm -rf .venv .venv-sdk-* $(NODE)/node_modules $(FUZZ) $(IMAGE) bench/.peers dist build .pytest_cache .ruff_cache \
		.hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
