## make run     set up, serve on http://127.0.0.1:8000 and work through the bundled sample
## make test    set up and run the tests
## make demo    the demo once, without the page
## make lint    ruff, mypy --strict, import contracts
## make golden  rewrite what golden cases expect
## make bench   measure everything, and fail where a bound is missed; ARGS=--load for a part of it
## make figures measure requests and load, and write them into docs/operations.md
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests

.PHONY: run demo test lint format golden readme bench figures lock dev clean help

help:
	@sed -n 's/^## //p' Makefile

# Ctrl-C ends the program cleanly; make then has nothing to complain about.
run: $(VENV)/.run
	@$(BIN)/moorline serve --demo

demo: $(VENV)/.run
	@$(BIN)/moorline demo

test: $(VENV)/.dev
	$(BIN)/pytest -n auto --dist loadgroup -q $(TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# Rewrites what golden cases expect; read the difference before it is committed.
golden: $(VENV)/.dev
	-MOORLINE_GOLDEN=rewrite $(BIN)/pytest -q -k golden $(TESTS)
	git --no-pager diff --stat tests/golden

# Writes what the command says of the sample into the README.
readme: $(VENV)/.run
	$(BIN)/python docs/readme.py

bench: $(VENV)/.dev
	$(BIN)/python bench/run.py $(ARGS)

# On a quiet machine: some minutes.
figures: $(VENV)/.dev
	$(BIN)/python bench/run.py --costs --load --write

# Needs uv; keeps what is locked already.
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes pyproject.toml -o requirements.lock
	printf 'hatchling\neditables\n' | uv pip compile -q --universal --python-version 3.11 --generate-hashes - -o requirements-build.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes -c requirements.lock --group dev pyproject.toml -o requirements-dev.lock

dev: $(VENV)/.dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Moorline needs Python 3.11 or newer; try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python requirements.lock requirements-build.lock pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-build.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .bench
