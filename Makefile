# The two commands of the README, and what they share. `make demo` and `make test` need nothing but
# Python 3.11 or later; the first call sets up .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=

.PHONY: help setup demo test lint clean

help: ## say what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: $(READY) ## make .venv and install

$(READY): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: expected Python 3.11 or later, found $$("$(PYTHON)" --version 2>&1) at '$(PYTHON)'. Install it, or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@$(BIN)/python -c 'import torch; print("torch", torch.__version__)'
	@touch $@

demo: $(READY) ## let the offline agent design mechanisms and rank them; again: resume (ARGS=--new: a new run)
	$(BIN)/lra-design design --no-attribution --out runs/demo $(ARGS)

test: $(READY) ## run the tests
	$(BIN)/python -m pytest -n 2 $(ARGS)

lint: $(READY) ## ruff, mypy, import-linter, shellcheck, hadolint
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck docker/*.sh examples/*.sh .ci/run
	$(BIN)/hadolint docker/*.Dockerfile

clean: ## remove .venv and caches; runs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
