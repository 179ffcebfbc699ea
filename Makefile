# make test       .venv, install, lint, quick tests        make demo    a first before/after grid in minutes, no download
# make test-all   the slow tests too                        make bench   speeds on this machine
PYTHON ?= python3
BIN := .venv/bin
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: install test test-all lint

install: .venv/installed

.venv/installed: requirements.txt requirements-app.txt requirements-export.txt requirements-dev.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: lint
	$(BIN)/python -m pytest -m "not slow"

test-all: test
	$(BIN)/python -m pytest -m slow
