# The two commands of the README, and what they share. `make demo` and `make test` need nothing but
# Linux and Python 3.11 or later; the first call sets up .venv. In a checkout that cannot be written:
# make demo VENV=/path/to/venv OUT=/path/to/run

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3 python; do \
  "$$python" -c '$(NEW_ENOUGH)' 2>/dev/null && command -v "$$python" && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UNFINISHED := $(VENV)/.unfinished
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
OUT := runs/demo
ARGS ?=

fail = { echo "error: $(1)" >&2; exit 2; }
NEED_LINUX := expected Linux, found $$(uname -s). Elsewhere run it in a container or a virtual machine.
NEED_PYTHON = expected Python 3.11 or later, found $$("$(or $(PYTHON),python3)" --version 2>/dev/null || \
  echo none) as '$(or $(PYTHON),python3)'. Install it (Debian, Ubuntu: apt install python3.11-venv; \
  without root: uv python install 3.11), or name it: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.11
NEED_FOLDER := cannot write $(VENV) here. Name a place for it and for the run: \
  make $(or $(MAKECMDGOALS),setup) VENV=/path/to/venv OUT=/path/to/run
NEED_VENV = '$(PYTHON)' cannot make a virtual environment. Debian, Ubuntu: apt install python3-venv; \
  without root name another Python: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.11
NEED_PACKAGES := the installation did not end; the same command begins it again, and takes what was \
  downloaded from pip's cache.

.PHONY: help setup demo test lint clean

help: ## say what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: $(READY) ## make .venv and install

$(READY): pyproject.toml constraints.txt
	@test "$$(uname -s)" = Linux || $(call fail,$(NEED_LINUX))
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || $(call fail,$(NEED_PYTHON))
	@test ! -e $(UNFINISHED) || rm -rf $(VENV)
	@mkdir -p $(VENV) 2>/dev/null && touch $(UNFINISHED) 2>/dev/null || $(call fail,$(NEED_FOLDER))
	@"$(PYTHON)" -m venv $(VENV) || $(call fail,$(NEED_VENV))
	@echo "installing PyTorch and its company into $(VENV): some minutes, and a download of gigabytes, or of far"
	@echo "less with PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu, which leaves out CUDA"
	@$(PIP_INSTALL) -e '.[test]' || $(call fail,$(NEED_PACKAGES))
	@$(BIN)/python -c 'import torch; print("torch", torch.__version__)'
	@rm $(UNFINISHED)
	@touch $@

demo: $(READY) ## let the offline agent design mechanisms and rank them; again: resume (ARGS=--new: a new run)
	$(BIN)/lra-design design --no-attribution --out $(OUT) $(ARGS)

# Three processes on two processors: tests wait for the workers of the sandbox, and for time-outs.
test: $(READY) ## run the tests
	$(BIN)/python -m pytest -n 3 $(ARGS)

lint: $(READY) ## ruff, mypy, import-linter, shellcheck, hadolint
	$(PIP_INSTALL) -e '.[dev]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck docker/*.sh examples/*.sh .ci/run
	$(BIN)/hadolint docker/*.Dockerfile

clean: ## remove .venv and caches; runs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
