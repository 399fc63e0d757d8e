# `make demo` and `make test` need nothing but Python 3.11+ with venv; both create .venv and install into it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
AXE := tests/browser/node_modules/.package-lock.json
WORKERS ?= 2
PYTEST_FLAGS ?=
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS)
export OMP_NUM_THREADS ?= 1

.PHONY: help install demo test unit slow lint types docs format clean

help:
	@echo "make demo    install, run the paper's seven methods on synthetic volumes, print the table (minutes)"
	@echo "make test    install, lint, types, unit tests, slow tests"
	@echo "make docs    build the documentation into site/; open site/index.html"
	@echo "make format  let ruff rewrite the code"
	@echo "make clean   remove the environment, caches and demo results"

install: $(STAMP)

$(STAMP): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m bench run --methods paper --datasets brats
	@echo
	@echo "To browse the runs: $(BIN)/mlflow ui   and open http://127.0.0.1:5000"

test: lint types $(AXE)  # both tiers at once: the libraries are imported and the tests collected once
	$(PYTEST) -m "slow or not (gpu or data)"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(PYTEST) -m "not slow and not gpu and not data"

slow: $(STAMP) $(AXE)
	$(PYTEST) -m slow

$(AXE): tests/browser/package-lock.json  # has the hash of axe-core, which tests of pages need
	if command -v npm >/dev/null; then cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund; fi

docs: $(STAMP)
	$(BIN)/python -m docs.generate_lists
	$(BIN)/python -m docs.generate_commands
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) results site mlruns mlflow.db .pytest_cache .mypy_cache .ruff_cache *.egg-info
