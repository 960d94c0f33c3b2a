# The first command on a fresh machine may be any of these: each makes .venv when it is missing or out of date.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: help install demo dev test soak bench lint clean

help: ## List the commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## Make .venv with everything that is pinned in constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || \
		{ echo "This Python cannot make environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV), a minute or two ..."
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(INSTALLED)

demo: $(INSTALLED) ## A warehouse of messy customers, the simulator, and a real run of an audience
	@$(BIN)/python -m line_ads_pipeline.demo

dev: $(INSTALLED) ## The Dagster UI, with the simulator behind it
	@$(BIN)/python -m line_ads_pipeline.demo --serve

test: $(INSTALLED) ## The whole test suite, on all cores
	@$(BIN)/pytest --numprocesses auto --dist loadfile

soak: $(INSTALLED) ## Kill 200 syncs at random, start them again, and look what LINE holds in the end
	@$(BIN)/python -m line_ads_pipeline_tests.kills.soak

bench: $(INSTALLED) ## The benchmark: prints its tables and writes benchmarks/RESULTS.md; BENCH="--scale 100000000" for its largest
	@$(BIN)/python -m benchmarks $(BENCH)

lint: $(INSTALLED) ## Linters and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean: ## Remove the environment, caches and what the demo made; your runs and your store stay
	rm -rf $(VENV) data/demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
