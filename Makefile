.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHARED_DATA := $(abspath $(CURDIR)/../shared/data)
ifneq ($(wildcard $(SHARED_DATA)/.),)
export HOMEOSTAT_DATA ?= $(SHARED_DATA)
endif

.PHONY: help install demo test fuzz lint mutants bench docs lock

help: ## list what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Homeostat needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(VENV)/.installed ## set up .venv from the locked requirements

demo: install ## a year of real flights under the agent, on a local Ray (10 minutes)
	$(BIN)/homeostat demo

test: install ## all tests, those that need a Ray included (10 minutes)
	$(BIN)/python -m pytest -n 2 -m "not ray" tests/agent tests/policies --cov
	# The tutorial waits most of its time, so the others go on beside it.
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not ray or tutorial" --ignore tests/agent --ignore tests/policies
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "ray and not tutorial" tests/ray_cluster tests/worlds

fuzz: install ## 100,000 spoilt files, journals, rows and requests, none of which may end in a traceback or hang
	$(BIN)/python -m pytest --hypothesis-profile fuzz tests/fuzz

lint: install ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

mutants: install ## whether the tests of the deciding core can fail; SAMPLE=60 tries so many of the mutants (all: hours)
	$(BIN)/python -m benchmarks.mutants $(if $(SAMPLE),--sample $(SAMPLE))

bench: install ## every benchmark of the README's table
	$(BIN)/python -m benchmarks.tick
	$(BIN)/python -m benchmarks.probe_overhead

docs: install ## the documentation, into site/
	$(BIN)/python -m agent.configuration_reference docs/configuration.md
	$(BIN)/mkdocs build --strict

lock: ## resolve the requirements anew, with hashes and without index addresses (needs uv)
	uv pip compile pyproject.toml --extra postgres --extra notify --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -o requirements.lock
