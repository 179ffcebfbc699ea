# make test        .venv, install, lint, quick tests          make test-all   the slow tests too
# make demo        a before/after grid in minutes, no download
# make app         the local page                             make bench      speeds on this machine
# make benchmark-tiles   the frozen benchmark                 make pretrained the shipped generators again (hours on a CPU)
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
CCPD ?= ../shared/ccpd/frames
VGG ?= imagenet
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: install lint test test-all demo app bench benchmark-tiles pretrained

install: .venv/installed

.venv/installed: requirements.txt requirements-app.txt requirements-export.txt requirements-dev.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet -r requirements-dev.txt
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: lint
	$(PY) -m pytest -m "not slow"

test-all: test
	$(PY) -m pytest -m slow
