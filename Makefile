# Needs Python 3.11 or newer and the package registry. Everything is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test lint bench install clean
.DEFAULT_GOAL := demo

demo: $(INSTALLED)  ## prune, retrain and measure the embedded network; says where the report is
	$(BIN)/prunescope run studies/demo.yaml

test: $(INSTALLED)  ## all tests, a file at a time on each core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(INSTALLED)  ## formatting, linter, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(INSTALLED)  ## speed and memory, as ratios
	$(BIN)/python benchmarks/run.py

install: $(INSTALLED)  ## the package and what its developers need, in .venv

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "prunescope needs Python 3.11 or newer; say make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=23.2"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
