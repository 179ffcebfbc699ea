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

app: install
	$(PY) app.py

bench: install
	for part in preprocess training enhancing; do $(PY) -m tools.benchmarks.$$part || exit 1; done

# --- A first run without any download --------------------------------------------------------------------------------------

demo: install
	rm -rf datasets/demo checkpoints/demo reports/demo
	$(PY) -m data.synthetic --out datasets/demo/photos --count 800 --seed 1
	$(PY) preprocess.py --raw datasets/demo/photos --out datasets/demo/tiles --variants 4 --test 0.08
	@echo "The demo takes random VGG weights, since the trained ones are a download: the perceptual term is weaker than it should be."
	$(PY) train.py --tiles datasets/demo/tiles --run checkpoints/demo --filters 32 --blocks 6 --crop 64x160 --batch-size 16 \
		--pretrain-steps 1200 --pretrain-learning-rate 1e-3 --adversarial-steps 40 --discriminator-filters 16 \
		--vgg-weights random --validate-every 400 --validation-limit 32
	$(PY) evaluate.py --tiles datasets/demo/tiles --checkpoint checkpoints/demo/pretrain.keras checkpoints/demo/generator.keras \
		--out reports/demo --limit 60
	@echo "The grid: reports/demo/grid.png"

# --- The frozen benchmark: its seed is never trained on, its preset never changed ---------------------------------------------

BENCHMARK := datasets/benchmark

benchmark-tiles: install $(BENCHMARK)/synthetic/manifest.csv $(if $(wildcard $(CCPD)),$(BENCHMARK)/ccpd/manifest.csv)

$(BENCHMARK)/synthetic/manifest.csv:
	test -f $(BENCHMARK)/photos/text.csv || $(PY) -m data.synthetic --out $(BENCHMARK)/photos --count 2000 --seed 20260
	$(PY) preprocess.py --raw $(BENCHMARK)/photos --out $(BENCHMARK)/synthetic --val 0 --test 1 --preset benchmark --seed 20260

$(BENCHMARK)/ccpd/manifest.csv:
	$(PY) preprocess.py --raw $(CCPD) --out $(BENCHMARK)/ccpd --val 0 --test 1 --variants 8 --preset benchmark --seed 20260

# --- The shipped generators: these lines are the settings they were made with ---------------------------------------------------

SHIPPED := checkpoints/shipped
SHIPPED_TILES := datasets/shipped/tiles
MORE_TILES := datasets/shipped/more-tiles
SHIPPED_SETTINGS := --degrade-online --cache --validation-limit 240
PLAIN := --tiles $(SHIPPED_TILES) --detail-weight 3
WORKERS ?= 1
RECOGNISER_BACKEND ?= tensorflow
WHOLE_PLATES := --crop 64x192 --batch-size 8 --pretrain-learning-rate 6e-4
STROKES := $(WHOLE_PLATES) --reading-weight 0.15 --strokes-weight 0.4
LIKELIEST := $(WHOLE_PLATES) --reading-weight 0.2 --strokes-weight 1.2
AVERAGED := $(SHIPPED)/averaged/pretrain.keras
LIGHT := --light-only --preset windscreen --crop 64x192 --batch-size 32 --strokes-weight 1.2 --colour-weight 5 \
	--pretrain-steps 4000 --pretrain-learning-rate 2e-3 --validate-every 4000 --select last
SHIPPING := $(SHIPPED)/sixteenth/pretrain.keras $(SHIPPED)/seventeenth/pretrain.keras
AGAINST := --adversarial-steps 400 --g-learning-rate 5e-5 --d-learning-rate 1e-4 --discriminator-filters 32 --vgg-weights $(VGG)
recogniser = test -f $(SHIPPED)/$(1).keras || \
	KERAS_BACKEND=$(RECOGNISER_BACKEND) $(PY) -m training.recogniser --out $(SHIPPED)/$(1).keras $(2)
train-or-resume = $(PY) train.py --run $(SHIPPED)/$(1) \
	$(if $(wildcard $(SHIPPED)/$(1)/config.json),--resume,$(SHIPPED_SETTINGS) $(2))
stage-one = $(call train-or-resume,$(1),$(2) --adversarial-steps 0)

# A generator, trained on, then given a recogniser to listen to, then better ones: the last five have seen more than the
# renderer draws by itself. The first two runs had fewer of these photos, 16,000 and 36,000; they and the reader saw plates zoomed
# by 0.92 to 1.1 only; the third shifted features, but scaled none; recognisers had fewer blocks: 6 until the deep one, 13 then, 15 in
# the deeper one, 31 in the deepest, 36 in the last. These two were made with JAX on a GPU (RECOGNISER_BACKEND=jax WORKERS=16: six
# minutes each; hours on a CPU), and of the last's 9,042 steps its time was up after 8,145. The reading term was squared up to the
# twelfth run. The last two train the light alone: the sixteenth's pretrain.keras ships under that name, the seventeenth's
# as generator.keras.
pretrained: install
	test -f datasets/shipped/photos/text.csv || $(PY) -m data.synthetic --out datasets/shipped/photos --count 48000 --seed 1
	$(PY) preprocess.py --raw datasets/shipped/photos --out $(SHIPPED_TILES) --val 0.025 --test 0
	$(call recogniser,reader,--tiles $(SHIPPED_TILES) --steps 6600 --seed 1)
	$(call recogniser,recogniser,--tiles $(SHIPPED_TILES) --init $(SHIPPED)/reader.keras --crop 64x192 --steps 3200 \
		--learning-rate 1e-3 --seed 2)
	$(call recogniser,recogniser-severe,--tiles $(SHIPPED_TILES) --init $(SHIPPED)/recogniser.keras --crop 64x192 \
		--preset severe --steps 3800 --learning-rate 1e-3 --seed 3)
	$(call stage-one,first,$(PLAIN) --filters 64 --blocks 8 --crop 64x160 --batch-size 4 --seed 1 --pretrain-steps 44000 \
		--pretrain-learning-rate 6e-4 --validate-every 4000)
	$(call stage-one,second,$(PLAIN) --init $(SHIPPED)/first/pretrain.keras --crop 64x160 --batch-size 4 --seed 6 \
		--pretrain-steps 32000 --pretrain-learning-rate 5e-4 --validate-every 4000)
	$(call stage-one,third,$(PLAIN) --init $(SHIPPED)/second/pretrain.keras --recogniser $(SHIPPED)/recogniser.keras \
		--crop 64x192 --batch-size 8 --seed 7 --pretrain-steps 10500 --pretrain-learning-rate 6e-4 --validate-every 2500)
	$(call stage-one,fourth,$(PLAIN) --init $(SHIPPED)/third/pretrain.keras --recogniser $(SHIPPED)/recogniser.keras \
		--reading-weight 0.15 --preset severe --crop 64x192 --batch-size 8 --seed 8 --pretrain-steps 1200 \
		--validate-every 1200 --select last)
	$(call stage-one,fifth,$(PLAIN) --init $(SHIPPED)/fourth/pretrain.keras --recogniser $(SHIPPED)/recogniser-severe.keras \
		--reading-weight 0.15 --preset severe --crop 64x192 --batch-size 8 --seed 9 --pretrain-steps 11000 \
		--pretrain-learning-rate 6e-4 --validate-every 4000)
	$(call recogniser,recogniser-varied,--tiles $(SHIPPED_TILES) --init $(SHIPPED)/fifth/pretrain.keras --crop 64x192 \
		--preset severe --randomise --steps 4800 --batch-size 64 --learning-rate 1e-3 --seed 5)
	$(call stage-one,sixth,--tiles $(SHIPPED_TILES) --init $(SHIPPED)/fifth/pretrain.keras $(STROKES) --preset severe \
		--randomise --seed 12 --pretrain-steps 16000 --validate-every 4000 --select last)
	test -f datasets/shipped/more-photos/text.csv || \
		$(PY) -m data.synthetic --out datasets/shipped/more-photos --count 32000 --seed 2 --any-letters
	$(PY) preprocess.py --raw datasets/shipped/more-photos --out $(MORE_TILES) --val 0.025 --test 0
	$(call recogniser,recogniser-letters,--tiles $(MORE_TILES) --init $(SHIPPED)/recogniser-varied.keras --crop 64x192 \
		--preset lamps --randomise --steps 1800 --batch-size 64 --learning-rate 5e-4 --seed 6)
	$(call stage-one,seventh,--tiles $(MORE_TILES) --init $(SHIPPED)/sixth/pretrain.keras \
		--recogniser $(SHIPPED)/recogniser-varied.keras $(STROKES) --preset lamps --randomise --seed 13 --pretrain-steps 5500 \
		--validate-every 5500 --select last)
	$(call stage-one,eighth,--tiles $(MORE_TILES) --init $(SHIPPED)/seventh/pretrain.keras \
		--recogniser $(SHIPPED)/recogniser-letters.keras $(STROKES) --preset lamps --seed 14 --pretrain-steps 6000 \
		--validate-every 6000)
	$(call recogniser,recogniser-deep,--tiles $(MORE_TILES) --init $(SHIPPED)/recogniser-letters.keras --crop 64x192 \
		--preset lamps --randomise --steps 6500 --batch-size 64 --learning-rate 1e-3 --seed 7)
	$(call stage-one,ninth,--tiles $(MORE_TILES) --init $(SHIPPED)/eighth/pretrain.keras \
		--recogniser $(SHIPPED)/recogniser-deep.keras $(STROKES) --preset lamps --seed 15 --pretrain-steps 8000 \
		--validate-every 8000)
	$(call recogniser,recogniser-deeper,--tiles $(MORE_TILES) --init $(SHIPPED)/recogniser-deep.keras --crop 64x192 \
		--preset lamps --randomise --loss-power 0.2 --steps 8000 --batch-size 64 --learning-rate 1e-3 --seed 9)
	$(call stage-one,tenth,--tiles $(MORE_TILES) --init $(SHIPPED)/ninth/pretrain.keras \
		--recogniser $(SHIPPED)/recogniser-deeper.keras $(STROKES) --preset lamps --seed 16 --pretrain-steps 6500 \
		--validate-every 6500)
	$(call stage-one,eleventh,--tiles $(MORE_TILES) --init $(SHIPPED)/tenth/pretrain.keras \
		--recogniser $(SHIPPED)/recogniser-deeper.keras $(STROKES) --preset lamps --seed 17 --pretrain-steps 13000 \
		--validate-every 13000)
	$(call recogniser,recogniser-deepest,--tiles $(MORE_TILES) --init $(SHIPPED)/recogniser-deeper.keras --crop 64x192 \
		--preset lamps --randomise --loss-power 0.2 --steps 12000 --batch-size 128 --learning-rate 1.2e-3 --seed 10 \
		--precision mixed_bfloat16 --workers $(WORKERS) --cache --validate-every 6000)
	$(call stage-one,twelfth,--tiles $(MORE_TILES) --init $(SHIPPED)/eleventh/pretrain.keras \
		--recogniser $(SHIPPED)/recogniser-deepest.keras $(STROKES) --preset lamps --seed 18 --pretrain-steps 9500 \
		--validate-every 9500)
	$(call recogniser,recogniser-echoed,--tiles $(MORE_TILES) --init $(SHIPPED)/recogniser-deepest.keras --crop 64x192 \
		--preset lamps --randomise --loss-power 0.2 --steps 9042 --batch-size 256 --learning-rate 1.5e-3 --seed 11 \
		--precision mixed_bfloat16 --echo 4 --workers $(WORKERS) --cache --validate-every 905)
	$(call stage-one,thirteenth,--tiles $(MORE_TILES) --init $(SHIPPED)/twelfth/pretrain.keras \
		--recogniser $(SHIPPED)/recogniser-echoed.keras $(LIKELIEST) --preset lamps --seed 21 --pretrain-steps 2400 \
		--validate-every 2400)
	$(call stage-one,fourteenth,--tiles $(MORE_TILES) --init $(SHIPPED)/thirteenth/pretrain.keras $(LIKELIEST) \
		--preset lamps --seed 22 --pretrain-steps 4400 --validate-every 4400)
	test -f $(AVERAGED) || \
		$(PY) -m training.average $(SHIPPED)/thirteenth/pretrain.keras $(SHIPPED)/fourteenth/pretrain.keras --out $(AVERAGED)
	$(call train-or-resume,fifteenth,--tiles $(MORE_TILES) --init $(AVERAGED) $(LIKELIEST) --preset lamps --seed 23 \
		--pretrain-steps 0 $(AGAINST) --validate-every 400)
	$(call stage-one,sixteenth,--tiles $(MORE_TILES) --init $(AVERAGED) $(LIGHT) --seed 24)
	$(call stage-one,seventeenth,--tiles $(MORE_TILES) --init $(SHIPPED)/fifteenth/generator.keras $(LIGHT) --seed 25)
	for archive in $(SHIPPING); do \
		$(PY) -m enhancing.calibrate --tiles $(SHIPPED_TILES) --split val --limit 600 --write --checkpoint $$archive || exit 1; \
	done
