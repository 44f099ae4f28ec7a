# make demo     create the environment, install, and run the live demo on http://127.0.0.1:5006
# make test     the same, with every test: slow, cluster, browser and notebook ones too
# make chaos    kill, crash and damage it in a thousand ways, and print what came of it (an hour)
# make mutants  break the code line by line, and see that a test notices (a quarter of an hour)
# make lint     ruff (lint and format) and mypy, as CI runs them
# make clean    remove the environment and all caches (data/ stays)
#
# PYTHON=python3.12 chooses the interpreter, ARGS="..." is passed on to `rtrec demo` or pytest.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
PYTHON ?=
ARGS ?=
# A file of tests at a time runs in one of so many processes.
WORKERS ?= 2

.PHONY: help demo test chaos mutants lint clean
.DELETE_ON_ERROR:

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.core
	$(BIN)/rtrec demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "" --nbmake --numprocesses $(WORKERS) --dist loadfile rtrec tests $(wildcard notebooks) $(ARGS)

chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos $(ARGS)

mutants: $(VENV)/.dev
	$(BIN)/python -m tests.mutants $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) dist mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# A name on PATH may be a launcher for a version that is not installed, so each candidate has to run.
$(VENV)/.python:
	@set -e; \
	fits='import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; \
	for candidate in $(or $(PYTHON),python3.11 python3.12 python3.13 python3); do \
	    if "$$candidate" -c "$$fits" >/dev/null 2>&1; then found="$$candidate"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "rtrec needs Python 3.11, 3.12 or 3.13 with the venv module; tried:" \
	        "$(or $(PYTHON),python3.11 python3.12 python3.13 python3)." \
	        "Install one (Debian: apt install python3.11-venv) or say make PYTHON=/path/to/python" >&2; \
	    exit 1; \
	fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    echo "Creating $(VENV) with $$found"; \
	    "$$found" -m venv --clear $(VENV); \
	fi; \
	touch $@

# An environment keeps the interpreter it was made with.
.PHONY: same-python
same-python:
	@if [ -n "$(PYTHON)" ] && [ -x $(BIN)/python ]; then \
	    version='import sys; print(sys.version_info[:2])'; \
	    if [ "$$($(PYTHON) -c "$$version")" != "$$($(BIN)/python -c "$$version")" ]; then \
	        echo "$(VENV) was made with another Python than $(PYTHON); first: make clean" >&2; \
	        exit 1; \
	    fi; \
	fi

$(VENV)/.core: $(VENV)/.python pyproject.toml constraints.txt | same-python
	@echo "Installing rtrec into $(VENV) (a minute or two, once)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "Installing what the tests and notebooks need (once)"
	@$(PIP) --editable '.[dev,lab,deep]'
	@touch $@
