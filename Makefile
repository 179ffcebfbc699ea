# make test        lint and quick tests        make test-all          the slow tests too
# make demo        a before/after grid in minutes, no download        make app     the local page
# make bench       speeds, in ten minutes       make benchmark-tiles   the frozen benchmark
# make pretrained  the shipped networks again, by configs/shipped.json (hours on a CPU; stopped, it goes on)
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
CCPD ?= ../shared/ccpd/frames
REAL ?= $(wildcard ../shared/real/lpblur ../shared/real/easypr ../shared/real/eu ../shared/real/us ../shared/ccpd)

.PHONY: install lint test test-all demo app bench benchmark-tiles benchmark-real pretrained

# --- Installing: each target has what it needs, and no more ---------------------------------------

install: .venv/run

.venv/run: REQUIREMENTS := requirements.txt
.venv/app: REQUIREMENTS := requirements-enhance.txt
.venv/test: REQUIREMENTS := requirements-test.txt
.venv/dev: REQUIREMENTS := requirements-dev.txt
.venv/run .venv/app .venv/test .venv/dev: $(wildcard requirements*.txt)
	test -d .venv || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet -r $(REQUIREMENTS)
	touch $@

# --- Checking -------------------------------------------------------------------------------------

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=. $(BIN)/lint-imports

test: lint
	$(PY) -m pytest -m "not slow"

test-all: .venv/dev test
	$(PY) -m pytest -m slow

# --- Using ----------------------------------------------------------------------------------------

app: .venv/app
	$(PY) app.py

demo: .venv/run
	rm -rf datasets/demo checkpoints/demo reports/demo
	$(PY) -m data.synthetic --out datasets/demo/photos --count 800 --seed 800
	$(PY) preprocess.py --raw datasets/demo/photos --out datasets/demo/tiles --variants 4 --test 0.08
	@echo "The demo takes random VGG weights, since the trained ones are a download: a weaker perceptual term."
	$(PY) train.py --tiles datasets/demo/tiles --run checkpoints/demo --filters 32 --blocks 6 --crop 64x160 \
		--batch-size 16 --pretrain-steps 1200 --pretrain-learning-rate 1e-3 --adversarial-steps 40 \
		--discriminator-filters 16 --vgg-weights random --validate-every 400 --validation-limit 32
	$(PY) evaluate.py --tiles datasets/demo/tiles --out reports/demo --limit 60 --checkpoint \
		checkpoints/demo/pretrain.keras checkpoints/demo/generator.keras checkpoints/pretrained/pretrain.keras
	@echo "The grid: reports/demo/grid.png. Its last column is the shipped network: what hours of training make."

bench: .venv/dev
	$(PY) -m tools.benchmarks.speed

benchmark-real: .venv/run
	$(PY) -m tools.benchmarks.real --pictures $(REAL)

pretrained: .venv/dev
	$(PY) -m tools.pretrained

# --- The frozen benchmark: its seed is never trained on, its preset never changed ------------------

BENCHMARK := datasets/benchmark

benchmark-tiles: $(BENCHMARK)/synthetic/manifest.csv $(if $(wildcard $(CCPD)),$(BENCHMARK)/ccpd/manifest.csv)

$(BENCHMARK)/synthetic/manifest.csv: | .venv/run
	test -f $(BENCHMARK)/photos/text.csv || $(PY) -m data.synthetic --out $(BENCHMARK)/photos --count 2000 --seed 20260
	$(PY) preprocess.py --raw $(BENCHMARK)/photos --out $(BENCHMARK)/synthetic --no-straighten --val 0 --test 1 \
		--preset benchmark --seed 20260

$(BENCHMARK)/ccpd/manifest.csv: | .venv/run
	$(PY) preprocess.py --raw $(CCPD) --out $(BENCHMARK)/ccpd --no-straighten --val 0 --test 1 --variants 8 \
		--preset benchmark --seed 20260
