"""Trains a generator on a tile folder, in two stages: on the MSE alone, then against a discriminator.

    python train.py --tiles datasets/tiles --run checkpoints/mine
    python train.py --run checkpoints/mine --resume

Leaves in the run folder: config.json, log.csv, curves.png, samples/, tensorboard/, pretrain.keras (where stage one has
steps), generator.keras (the result), each with a .json saying how it was made, and state.npz, from which --resume goes
on.
Exit code: 0 finished; 130 stopped on request, state saved; 2 could not begin or go on.
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from data import console
from data.dataset import Batches, cache_tiles, find_pairs
from data.files import check_name
from data.tiles import stored_size
from models.loading import import_keras
from training.devices import choose_precision, choose_strategy, explain, is_chief, seed_everything, worker_name
from training.run_folder import Journal, begin, describe, held, stored_precision
from training.settings import (
    BalanceSettings,
    DataSettings,
    NetworkSettings,
    ObjectiveSettings,
    ScheduleSettings,
    Settings,
    WatchSettings,
    parse,
    stage_one,
    weights_of,
)


def train(settings: Settings, resume: bool = False) -> None:
    """Train as `settings` say. Raises ValueError for what is wrong with them, and Interrupted or TrainingFailed."""
    folder = Path(settings.run)
    # the data
    pairs, held_out = find_pairs(settings.tiles, **settings.part(DataSettings).shown())
    tile = stored_size(pairs.hr_urls[0])
    say(f"{len(pairs)} tiles for training, {len(held_out) if held_out else 'none'} for validation")

    # the machine
    import_keras()
    strategy, devices = choose_strategy()
    precision, reason = stored_precision(folder) if resume else choose_precision(settings.precision)
    seed_everything(settings.seed, settings.deterministic)
    say(f"devices: {devices}; precision: {precision} ({reason})")

    # the networks. Late, here and below: what imports Keras takes seconds
    from training.loop import ARCHIVES
    from training.networks import characters_of, keep_beginning, with_architecture

    trainer = make_trainer(settings, strategy, pairs.crop or tile, pairs.scale, precision)
    settings = with_architecture(settings, trainer.generator)
    if is_chief() and not resume:
        keep_beginning(settings, trainer.generator)
        begin(settings, precision, devices, trainer.state())

    about = describe(settings, tile, precision, characters_of(trainer.generator))
    with open_run(settings, trainer, pairs, held_out, about) as run:
        if resume:
            run.load()
        # stage one: the MSE alone
        run.train("pretrain")
        # stage two: against the discriminator
        run.train("adversarial")
        run.finish()
    # without steps of its own, a stage leaves none
    left = [name for name in ARCHIVES.values() if (folder / name).exists()]
    say(f"done: {folder} holds {', '.join(left)}, log.csv, curves.png, samples and tensorboard")


def make_trainer(settings: Settings, strategy, size: tuple[int, int], scale: int, precision: str):
    """The networks and optimisers, inside the strategy's scope. size: (height, width) of what the discriminator
    sees."""
    from training.networks import build_networks

    schedule, weights = settings.part(ScheduleSettings), weights_of(settings.part(ObjectiveSettings))
    terms = weights if schedule.adversarial_steps else stage_one(weights)
    if strategy is None and (schedule.adversarial_steps or precision == "mixed_float16"):
        raise ValueError("on JAX there is stage one only, in float32 or bfloat16: give --adversarial-steps 0")
    if strategy is not None and schedule.batch_size % strategy.num_replicas_in_sync:
        devices = strategy.num_replicas_in_sync
        raise ValueError(f"--batch-size must be a multiple of the {devices} devices, got {schedule.batch_size}")
    if "vgg" in terms and settings.vgg_weights == "random":
        say("VGG weights: random, as --vgg-weights says: the perceptual term is weaker than with trained ones")
    with nullcontext() if strategy is None else strategy.scope():
        networks = build_networks(settings.part(NetworkSettings), terms, size, scale, precision, Path(settings.run))
        if strategy is None:
            from training.jax_steps import JaxTrainer

            return JaxTrainer(networks, weights, schedule)
        from training.steps import Trainer

        return Trainer(strategy, networks, weights, schedule, scale_loss=precision == "mixed_float16")


@contextmanager
def open_run(settings: Settings, trainer, pairs, held_out, about: dict) -> Iterator:
    """A run (`training.loop.Run`) with all that is closed after it: worker processes, journal, cache, signal handlers.
    about: of the networks, for the .json beside each."""
    from training.loop import Run, balance_from, stoppable
    from training.validation import ShippedWeights, choose_selection, make_validator

    watch, folder = settings.part(WatchSettings), Path(settings.run)
    validator = make_validator(settings.tiles, held_out, watch) if is_chief() and held_out else None
    select, reason = choose_selection(watch.select, validator)
    shipped = ShippedWeights(trainer, validator, select, about)
    for line in filter(None, (reason, *shipped.watch(watch.real if is_chief() else ()))):
        say(line)
    journal = Journal(folder, shipped.columns()) if is_chief() else None
    cache = folder / f"cache-{worker_name()}"
    try:
        pairs = cache_tiles(pairs, cache) if settings.cache else pairs
        with Batches(pairs, settings.workers) as batches:
            balance = balance_from(settings.part(BalanceSettings))
            run = Run(folder, settings.part(ScheduleSettings), watch, balance, trainer, batches, shipped, journal)
            with stoppable(run):
                yield run
    finally:
        shutil.rmtree(cache, ignore_errors=True)
        if journal is not None:
            journal.close()


def say(text: str) -> None:
    """Print a line on the chief only."""
    if is_chief():
        console.say(text)


def main(argv: Sequence[str] | None = None) -> int:
    console.prepare_console()
    settings = None
    try:
        settings, resume = parse(__doc__, argv)
        check_name(settings.run)
        # before the first step, too, so that a run that has not begun leaves nothing
        with console.ended_early(), held(Path(settings.run), resume) if is_chief() else nullcontext():
            train(settings, resume)
    except (Exception, KeyboardInterrupt) as error:
        code, text = explain(error, settings.batch_size if settings else 0)
        console.say(f"train.py: {text}", error=True)
        return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
