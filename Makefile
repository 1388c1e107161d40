# Everything a developer does, one word each. `make` alone explains itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin

# Tests start some hundred processes: without bytecode on disk, each would compile all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

# The first Python that is new enough *and* can make a virtual environment (Debian splits that part off).
find_python = for p in python3.11 python3 python3.12 python3.13 python3.14 /usr/bin/python3; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; \
	done

.PHONY: help setup run test lint format smoke simulate release-check chaos bench bench-full lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Make .venv with exactly the locked packages (again only when the lock changed)

# The stamp is written last, so that an interrupted set-up is started over.
$(VENV)/.installed: requirements.lock requirements.in setup.cfg pyproject.toml
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		python="$${PYTHON:-$$($(find_python))}"; \
		if [ -z "$$python" ]; then \
			echo "NepXy needs Python 3.11 or newer with venv and ensurepip, and found none." >&2; \
			echo "On Debian or Ubuntu: apt-get install python3 python3-venv. Or name one: make $(firstword $(MAKECMDGOALS) setup) PYTHON=/path/to/python3" >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$("$$python" --version)"; \
		"$$python" -m venv --clear $(VENV); \
	fi
	@echo "Installing the locked packages, hashes checked (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-build-isolation --no-deps -e .
	@touch $@

run: setup ## Run NepXy with its own PostgreSQL and provider sandbox; stop it with Ctrl-C
	@$(BIN)/python -m nepxy run

# By file: what shares a server or a module's fixtures stays together. In our order: long ones first (tests/conftest.py).
test: lint ## Run all checks, then all tests; the last line is pytest's
	@$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder

lint: setup ## Check style, formatting, types and the import arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: setup ## Sort imports, mend what ruff can mend, format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

smoke: setup ## Try a running NepXy from outside, as a client and a provider would
	$(BIN)/python scripts/smoke_dev.py

release-check: setup ## All that must hold before a release: SEEDS=300 storms, and everything else; see docs/release-checklist.md
	@$(BIN)/python scripts/release_check.py --seeds $(or $(SEEDS),300)

bench: setup ## Measure on this machine beside the floor program, about half an hour; writes docs/benchmarks
	$(BIN)/python -m nepxy bench

bench-full: setup ## The same beyond a million: ten million settled, five million waiting; hours, and 60 GB of disk
	$(BIN)/python -m nepxy bench --size full

chaos: setup ## Kill, freeze and starve real processes under load, and count the money: ROUNDS=10 SEED=1
	$(BIN)/python -m tests.chaos --rounds $(or $(ROUNDS),10) --seed $(or $(SEED),1)

# First contracts of any kind, then those of the real providers; REAL=1: only these.
simulate: setup ## Storms on virtual time: SEEDS=1000 of each kind, or SEED=417 (REAL=1) to replay one and read its story
	@$(if $(REAL),,$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000)))
	@$(if $(and $(SEED),$(if $(REAL),,1)),,$(BIN)/python -m tests.simulation --real $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000)))

# The newest Python may need other packages than 3.11 does: --universal locks for all of them, and all platforms.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header

lock: ## Re-make both lock files after a change of requirements*.in (needs uv: https://docs.astral.sh/uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	$(COMPILE) requirements-dev.in --output-file requirements.lock
	$(COMPILE) requirements.in --constraint requirements.lock --output-file requirements-runtime.lock
