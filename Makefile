# Works on a machine that has only make and Python 3.10 or newer: everything else goes into .venv.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

ifeq ($(origin PYTHON), undefined)
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then echo $$p; break; fi; done)
endif

VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# pyright runs on node; where the machine has none, its own comes from a wheel.
PYRIGHT := $(shell command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || echo 'pyright[nodejs]')

# What talks to a server is run again on Redis, after the bundled Valkey; so are the tests of faults, but for those that
# test the tests.
SERVER_TESTS := $(wildcard tests/integration tests/conformance tests/stateful tests/security)
# What must reach the library's lines and branches. The tests of faults wait for real processes most of the time, and
# are not slowed down by being watched.
COVERED := $(wildcard tests/unit tests/integration tests/conformance tests/stateful)
# Most tests wait for a server or a clock most of the time.
SIDE_BY_SIDE := -n 3 --dist worksteal -m 'not timing and not nightly'
# What builds images or shares a stack or a browser within a file; each file stays in one process. Containers come with
# networks, and a browser breaks off what it loads whenever one comes or goes: the page is tested when they are gone.
BY_FILE := -n 3 --dist loadfile
REDIS_MAJOR = $$(redis-server --version 2>/dev/null | sed -n 's/.* v=\([0-9][0-9]*\)\..*/\1/p')

FIGURES ?= build/faults.jsonl

SECRETS := .secrets/redis_password .secrets/server_token .secrets/grafana_password

.PHONY: help demo bench bench-full bench-peers test faults faults-nightly check fmt coverage reference screenshots secret clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.10 or newer found; name one with make PYTHON=/path/to/python3"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e '.[cli,fast]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e '.[test]' $(PYRIGHT)
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo ## a question answered by two worker processes, on the bundled server
	$(BIN)/python workers/apps/search/demo.py

# Durations are measured, and faults injected, with nothing else on the machine.
test: $(VENV)/.test ## every test on the bundled Valkey, with the coverage gate, then the server-facing ones on Redis 7
	@failed=0; rm -f .coverage .coverage.*; \
	echo "== $(COVERED), on the bundled Valkey, with coverage"; \
	$(BIN)/python -m pytest $(COVERED) $(SIDE_BY_SIDE) --cov --cov-report= $(PYTEST_ARGS) || failed=1; \
	echo "== what measures durations, on the bundled Valkey"; \
	$(BIN)/python -m pytest $(COVERED) -m timing $(PYTEST_ARGS) || failed=1; \
	echo "== every other test, on the bundled Valkey"; \
	$(BIN)/python -m pytest tests $(addprefix --ignore=,$(COVERED) tests/faults tests/page) $(BY_FILE) $(PYTEST_ARGS) || failed=1; \
	$(BIN)/python -m pytest tests/page $(BY_FILE) $(PYTEST_ARGS) || failed=1; \
	$(BIN)/python -m pytest tests/faults $(PYTEST_ARGS) || failed=1; \
	if [ -n "$(strip $(PYTEST_ARGS))" ]; then echo "== no coverage gate: PYTEST_ARGS chose the tests"; \
	else $(BIN)/python tests/house/coverage_gate.py || failed=1; fi; \
	major=$(REDIS_MAJOR); \
	if [ "$${major:-0}" -ge 7 ]; then \
		echo "== $(SERVER_TESTS), on Redis ($$(command -v redis-server))"; \
		export BROKER_WF_TEST_SERVER=redis; \
		$(BIN)/python -m pytest $(SERVER_TESTS) --ignore=tests/stateful/test_noticed.py $(SIDE_BY_SIDE) $(PYTEST_ARGS) || failed=1; \
		$(BIN)/python -m pytest $(SERVER_TESTS) -m timing $(PYTEST_ARGS) || failed=1; \
		$(BIN)/python -m pytest tests/faults --ignore=tests/faults/test_mutants.py $(PYTEST_ARGS) || failed=1; \
	elif [ -n "$$major" ]; then echo "== NOT run on Redis: redis-server on PATH is version $$major, 7 is the oldest supported"; \
	else echo "== NOT run on Redis: no redis-server on PATH (apt-get install redis-server)"; fi; \
	exit $$failed

faults: $(VENV)/.test ## the experiments with faults at their size of every day, and the model check
	BROKER_WF_TEST_EXAMPLES=$${BROKER_WF_TEST_EXAMPLES:-90} \
		$(BIN)/python -m pytest tests/faults tests/stateful/test_scripts.py tests/stateful/test_noticed.py -ra $(PYTEST_ARGS)

faults-nightly: $(VENV)/.test ## the same at full size; prints a table of figures
	@mkdir -p $(dir $(FIGURES))
	@rm -f $(FIGURES)
	export BROKER_WF_TEST_FIGURES=$(abspath $(FIGURES)) BROKER_WF_TEST_EXAMPLES=$${BROKER_WF_TEST_EXAMPLES:-2000}; failed=0; \
		$(BIN)/python -m pytest tests/faults tests/stateful/test_scripts.py tests/stateful/test_noticed.py -m "nightly or not nightly" -ra $(PYTEST_ARGS) || failed=1; \
		$(BIN)/python -m pytest tests/security tests/integration/test_members.py -m nightly -ra $(PYTEST_ARGS) || failed=1; \
		$(BIN)/python -m tests.faults.figures $(FIGURES); exit $$failed

check: $(VENV)/.test ## format, lint, types, import contracts, the rules of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/house

fmt: $(VENV)/.test ## format, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: $(VENV)/.test ## what the tests reach of the library, and the gate
	@rm -f .coverage .coverage.*
	$(BIN)/python -m pytest $(COVERED) $(SIDE_BY_SIDE) --cov --cov-report=term $(PYTEST_ARGS)
	$(BIN)/python tests/house/coverage_gate.py

reference: $(VENV)/.test ## docs/reference, printed from the code
	$(BIN)/python docs/print_reference.py

screenshots: $(VENV)/.test ## docs/screenshots, taken of the page in a real browser
	$(BIN)/python -m tests.page.screenshots

bench: $(VENV)/.test ## every goal of speed beside the in-process original, in at most 10 minutes
	$(BIN)/python -m pip install -q -e '.[fast]'
	$(BIN)/python -m benchmarks

bench-full: $(VENV)/.test ## the same with 100,000 items in one run
	$(BIN)/python -m pip install -q -e '.[fast]'
	$(BIN)/python -m benchmarks --full

bench-peers: $(VENV)/.test ## chains, fan-outs and 1 MB beside arq, taskiq, celery, dramatiq, docket, BullMQ and DBOS
	$(BIN)/python -m pip install -q -e '.[fast]'
	$(BIN)/python -m benchmarks.peers

secret: $(SECRETS) ## random passwords for docker-compose.yml: Redis, the server's token, Grafana; those there are stay

# The directory keeps others on this machine out; the file is readable because containers read it as users of their own.
$(SECRETS):
	@mkdir -p $(@D) && chmod 700 $(@D)
	@od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > $@ && chmod 444 $@
	@echo "wrote $@"

clean: ## remove the environment, caches and built files
	rm -rf $(VENV) build dist .coverage .coverage.* .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
