"""Trains a generator on a tile folder, in two stages: MSE first, then against a discriminator.

    python train.py --tiles datasets/tiles --run checkpoints/mine
    python train.py --run checkpoints/mine --resume

Leaves in the run folder: config.json, log.csv, curves.png, samples/, tensorboard/, pretrain.keras (stage one),
generator.keras (stage two), each with a .json saying how it was made, and state.npz, from which --resume goes on.
"""

import datetime
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from training.config import CONFIG_NAME, Settings, parse


def train(settings: Settings, resume: bool = False) -> None:
    """Train as `settings` say. Raises ValueError, and Interrupted or TrainingFailed of `training.loop`."""
    from training.inputs import cache_tiles, find_pairs

    pairs = find_pairs(settings, "train")
    if pairs is None:
        raise ValueError(f"--tiles {settings.tiles} holds no tiles for training; make some with preprocess.py")
    held_out = find_pairs(settings, "val")
    folder = Path(settings.run)
    check_run_folder(folder, resume)

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import tensorflow as tf

    from data.batches import Batches
    from training.devices import choose_precision, choose_strategy, is_chief

    strategy, devices = choose_strategy()
    chief = is_chief(strategy)
    precision, reason = choose_precision(settings.precision)
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    check_batch(settings, strategy.num_replicas_in_sync)
    say(chief, f"{len(pairs)} tiles for training, {len(held_out or ())} for validation")
    say(chief, f"devices: {devices}; precision: {precision}, {reason}")

    trainer = make_trainer(settings, strategy, pairs, precision)
    if chief and not resume:
        make_run_folder(settings, precision, devices)
    if settings.cache:
        pairs = cache_tiles(pairs, folder / "cache" / platform.node())
    with Batches(pairs, settings.workers) as batches:
        run = make_run(settings, trainer, batches, held_out, chief, about(settings, precision))
        if resume:
            run.load()
        run_to_its_end(run, chief)
    say(
        chief,
        f"done: {folder}/ holds {', '.join(sorted(each.name for each in folder.glob('*.keras')))}, log.csv, curves.png",
    )


def check_run_folder(folder: Path, resume: bool) -> None:
    """Raises ValueError for a new run in a folder that holds something."""
    if not resume and folder.exists() and any(folder.iterdir()):
        raise ValueError(
            f"--run {folder} is not empty; --resume goes on with the run in it, another name starts a new one"
        )


def check_batch(settings: Settings, replicas: int) -> None:
    if settings.batch_size % replicas:
        raise ValueError(f"--batch-size {settings.batch_size} must be a multiple of the {replicas} devices")


def make_trainer(settings: Settings, strategy, pairs, precision: str):
    """The networks and optimisers, inside the strategy's scope."""
    from training import networks
    from training.inputs import tile_size
    from training.steps import Trainer

    if settings.init and not (Path(settings.run) / networks.INIT_NAME).exists():
        Path(settings.run).mkdir(parents=True, exist_ok=True)
        networks.keep_init(settings)
    with strategy.scope():
        generator = networks.make_generator(settings, pairs.scale, precision)
        discriminator, features = networks.make_others(settings, pairs.crop or tile_size(pairs.hr_urls[0]), precision)
        weights = {"mse": settings.mse_weight, "vgg": settings.vgg_weight, "adversarial": settings.adversarial_weight}
        half = precision == "mixed_float16"
        return Trainer(strategy, generator, discriminator, features, weights, settings, scale_loss=half)


def make_run_folder(settings: Settings, precision: str, devices: str) -> None:
    """The folder and its config.json."""
    from dataclasses import asdict

    folder = Path(settings.run)
    folder.mkdir(parents=True, exist_ok=True)
    config = {"settings": asdict(settings), "precision": precision, "devices": devices, **environment()}
    partial = folder / (CONFIG_NAME + ".partial")
    partial.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, folder / CONFIG_NAME)


def environment() -> dict:
    """What else decides the result: the program's version and the libraries'."""
    import keras
    import numpy
    import tensorflow as tf

    here = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        version = commit.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        version = "unknown"
    libraries = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": numpy.__version__}
    return {"commit": version, "python": platform.python_version(), **libraries}


def about(settings: Settings, precision: str) -> dict:
    """What the .json beside an archive says of its making."""
    from dataclasses import asdict

    from training.inputs import find_pairs, tile_size

    tile = tile_size(find_pairs(settings, "train").hr_urls[0])
    made = datetime.date.today().isoformat()
    return {"tile": list(tile), "made": made, "precision": precision, "settings": asdict(settings), **environment()}


def make_run(settings: Settings, trainer, batches, held_out, chief: bool, description: dict):
    from data.tiles import read_manifest
    from training.journal import Journal
    from training.loop import Run
    from training.validation import Validator

    journal = validator = None
    if chief:
        journal = Journal(Path(settings.run))
        journal.start()
        if held_out is not None:
            rows = {row.key: row for row in read_manifest(settings.tiles)} if settings.reading_limit else {}
            validator = Validator(held_out, rows, settings.validation_limit, settings.reading_limit)
    return Run(settings, trainer, batches, journal, validator, description, chief)


def run_to_its_end(run, chief: bool) -> None:
    """Train until the last step; Ctrl-C and SIGTERM end the step, save and leave (a second one leaves at once)."""
    from training.progress_bar import Bar

    def ask(number, _frame) -> None:
        run.stop_asked = True
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    try:
        run.train(lambda stage, steps, done: Bar(stage, steps, done, silent=not chief))
    finally:
        if run.journal is not None:
            run.journal.close()


def say(aloud: bool, text: str) -> None:
    if aloud:
        print(text, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    try:
        train(*parse(__doc__, argv))
    except (ValueError, OSError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        return explain(error)
    return 0


def explain(error: Exception) -> int:
    """Exit code for what can go wrong while training; anything unknown is raised again."""
    import tensorflow as tf

    from training.loop import Interrupted, TrainingFailed

    if isinstance(error, Interrupted):
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    if isinstance(error, TrainingFailed):
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    if isinstance(error, tf.errors.ResourceExhaustedError):
        print("train.py: out of memory; lower --batch-size, or --filters and --blocks", file=sys.stderr)
        return 2
    raise error


if __name__ == "__main__":
    sys.exit(main())
