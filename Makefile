# `make demo` and `make test` need nothing but Python 3.11+ and a package registry.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_WAIT_POLICY := PASSIVE
export UV_FIND_LINKS := $(PIP_FIND_LINKS)

.PHONY: demo test soak faults lint bench docs docs-catalogue venv venv-bench venv-docs clean

demo: venv
	$(BIN)/undertow demo --out demo

test: venv
	$(BIN)/python -m pytest -n 2

soak: venv
	$(BIN)/python -m tests.soak.run

faults: venv
	$(BIN)/python -m pytest -n 2 -m scenario tests --scenario-table docs/faults.md

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: venv-bench
	$(BIN)/python -m bench

docs: venv-docs
	$(BIN)/mkdocs build --strict

docs-catalogue: venv
	$(BIN)/python -c "from pathlib import Path; from undertow.monitor.feature_pages import write_pages, write_plots; \
	  write_pages(Path('docs')); write_plots(Path('docs'))"

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	if ! $(BIN)/python -m uv --version >/dev/null 2>&1; then $(BIN)/python -m pip install --quiet uv || true; fi
	if $(BIN)/python -m uv --version >/dev/null 2>&1; then \
	  $(BIN)/python -m uv pip install --quiet --python $(BIN)/python --group dev -c constraints.txt -e . ; \
	else \
	  $(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' && \
	  $(BIN)/python -m pip install --quiet --group dev -c constraints.txt -e . ; \
	fi
	touch $@

venv-bench: venv
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --group bench -c constraints.txt

venv-docs: venv
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --group docs -c constraints.txt

clean:
	rm -rf $(VENV) demo build dist site
