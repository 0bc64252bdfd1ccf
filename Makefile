# Every command of the project. `make help` lists them.

PYTHON    ?= python3.11
VENV      ?= .venv
TRAIN_VENV ?= .venv-train
UV        ?= uv
#: Passed on to pytest, for example `make test ARGS="-k ledger -x"`.
ARGS      ?=

bin := $(VENV)/bin
pip := python -m pip --disable-pip-version-check install --no-input
# Paths that are checked; those that do not exist yet are skipped.
code := $(wildcard services consumers deploy model_repo tests)
# A stamp holds the hash of what was installed, so that anyone can tell whether an environment fits a checkout.
stamp_of = cat requirements/build.txt $(1) | sha256sum > $(2)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install dev train-env demo test test-train quick lint format types bench chaos contract pins clean

help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- environments ------------------------------------------------------------------------------------------------------

install: $(VENV)/.installed ## Create the environment with everything that runs
dev: $(VENV)/.installed-dev ## The same, with what tests and checks need
train-env: $(TRAIN_VENV)/.installed ## Create the environment for fine-tuning (6 GB, in a folder of its own)

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.11, or say where it is with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "$(PYTHON) is not Python 3.11 with venv: on Debian, apt-get install python3.11-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements/serving.txt requirements/build.txt pyproject.toml | $(VENV)/bin/python
	$(bin)/$(pip) --require-hashes -r requirements/build.txt -r requirements/serving.txt
	$(bin)/$(pip) --no-deps --no-build-isolation --quiet --editable .
	@$(call stamp_of,requirements/serving.txt,$@)

$(VENV)/.installed-dev: requirements/dev.txt requirements/build.txt pyproject.toml | $(VENV)/bin/python
	$(bin)/$(pip) --require-hashes -r requirements/build.txt -r requirements/dev.txt
	$(bin)/$(pip) --no-deps --no-build-isolation --quiet --editable .
	@$(call stamp_of,requirements/serving.txt,$(VENV)/.installed)
	@$(call stamp_of,requirements/dev.txt,$@)

$(TRAIN_VENV)/.installed: requirements/train.txt requirements/build.txt pyproject.toml
	$(PYTHON) -m venv $(TRAIN_VENV)
	$(TRAIN_VENV)/bin/$(pip) --require-hashes -r requirements/build.txt -r requirements/train.txt
	$(TRAIN_VENV)/bin/$(pip) --no-deps --no-build-isolation --quiet --editable .
	@$(call stamp_of,requirements/train.txt,$@)

# --- using it ----------------------------------------------------------------------------------------------------------

demo: install ## Start the embedded stack, publish samples, show the decisions, leave it running
	$(bin)/tidegate demo

bench: install ## Measure throughput and latency; writes docs/benchmarks/bench.json
	@mkdir -p docs/benchmarks
	$(bin)/tidegate bench --json docs/benchmarks/bench.json

chaos: install ## Kill every component at random under load and count; writes docs/benchmarks/chaos.json
	@mkdir -p docs/benchmarks
	$(bin)/tidegate chaos --json docs/benchmarks/chaos.json

# --- working on it -----------------------------------------------------------------------------------------------------

test: dev ## Run every test on real parts
	$(bin)/python -m pytest $(ARGS)

test-train: train-env ## Run the tests of training, in its environment
	$(TRAIN_VENV)/bin/python -m pytest tests/training $(ARGS)

quick: dev ## Run the unit and contract tests: no servers, under a minute
	$(bin)/python -m pytest tests/unit tests/contract -m "not slow and not stack" $(ARGS)

lint: dev ## Check style, types, import contracts and generated files
	$(bin)/ruff check $(code)
	$(bin)/ruff format --check $(code)
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/python -m services.events.schema --check

types: dev ## Check types alone
	$(bin)/mypy

format: dev ## Format, and fix what can be fixed without thought
	$(bin)/ruff check --fix $(code)
	$(bin)/ruff format $(code)

contract: dev ## Regenerate JSON Schema and AsyncAPI below docs/contract
	$(bin)/python -m services.events.schema

# Keeps the versions that still fit; `make pins UPGRADE=--upgrade` takes the newest.
compile := compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --python-version 3.11 $(UPGRADE)
pins: ## Recompile requirements/*.txt from pyproject.toml (needs uv)
	$(UV) pip $(compile) --extra embedded --extra dev pyproject.toml -o requirements/dev.txt
	$(UV) pip $(compile) --extra embedded -c requirements/dev.txt pyproject.toml -o requirements/serving.txt
	$(UV) pip $(compile) --extra train --extra train-test -c requirements/dev.txt pyproject.toml -o requirements/train.txt
	printf 'hatchling>=1.25\neditables\n' | $(UV) pip $(compile) -c requirements/dev.txt - -o requirements/build.txt

clean: ## Remove caches and build products, not the environments and not the stack's data
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(code) -name __pycache__ -type d -prune -exec rm -rf {} +
