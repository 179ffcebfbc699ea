"""Trains a generator on a tile folder, in two stages: on the MSE alone, then against a discriminator.

    python train.py --tiles datasets/tiles --run checkpoints/mine
    python train.py --run checkpoints/mine --resume

Leaves in the run folder: config.json, log.csv, curves.png, samples/, tensorboard/, pretrain.keras (stage one),
generator.keras (stage two), each with a .json saying how it was made, and state.npz, from which --resume goes on.
Exit code: 0 finished; 1 stopped on request, state saved; 2 could not begin or go on.
"""

import errno
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from data.environment import prepare_libraries
from data.text import printable
from training.devices import choose_precision, choose_strategy, is_chief, on_jax, worker_name
from training.run_folder import check_folder, describe, make_folder, stored_precision
from training.settings import Settings, parse


def train(settings: Settings, resume: bool = False) -> None:
    """Train as `settings` say. Raises ValueError for what is wrong with them, and Interrupted or TrainingFailed."""
    from training.tile_pairs import find_pairs, tile_size

    pairs, held_out = find_pairs(settings)
    if is_chief():
        check_folder(settings, resume)
    prepare_libraries()
    strategy, devices = choose_strategy()
    precision, reason = stored_precision(settings) if resume else choose_precision(settings.precision)
    if strategy is None and (settings.adversarial_steps or precision == "mixed_float16"):
        raise ValueError("on JAX there is stage one only, in float32 or bfloat16: give --adversarial-steps 0")
    # late: keras takes seconds
    from training.networks import keep_beginning, with_architecture

    seed_everything(settings)
    say(f"{len(pairs)} tiles for training, {len(held_out) if held_out else 'none'} for validation")
    say(f"devices: {devices}; precision: {precision} ({reason})")
    if settings.adversarial_steps and settings.vgg_weights == "random":
        say("VGG weights: random, as --vgg-weights says: the perceptual term is weaker than with trained ones")
    tile = tile_size(pairs.hr_urls[0])
    trainer = make_trainer(settings, strategy, pairs.crop or tile, pairs.scale, precision)
    settings = with_architecture(settings, trainer.generator)
    if is_chief() and not resume:
        # first: without it the folder is no run yet
        keep_beginning(settings, trainer.generator)
        make_folder(settings, precision, devices)
    course(settings, resume, trainer, pairs, held_out, describe(settings, tile, precision))
    say(f"done: {settings.run} holds pretrain.keras and generator.keras, log.csv, curves.png, samples and tensorboard")


def seed_everything(settings: Settings) -> None:
    import keras

    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic and not on_jax():
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def make_trainer(settings: Settings, strategy, size: tuple[int, int], scale: int, precision: str):
    """The networks and optimisers, inside the strategy's scope. size: (height, width) of what the discriminator
    sees."""
    from training import networks
    from training.objective import OPTIONS

    weights = {"mse": settings.mse_weight, "vgg": settings.vgg_weight, "adversarial": settings.adversarial_weight}
    options = {name: getattr(settings, f"{name}_weight") for name in OPTIONS}
    weights |= {name: weight for name, weight in options.items() if weight}
    if strategy is None:
        from training.jax_steps import JaxTrainer

        generator = networks.make_generator(settings, scale, precision)
        return JaxTrainer(generator, networks.make_observers(settings, generator, precision), weights, settings)
    from training.steps import Trainer

    if settings.batch_size % strategy.num_replicas_in_sync:
        raise ValueError(
            f"--batch-size must be a multiple of the {strategy.num_replicas_in_sync} devices, got {settings.batch_size}"
        )
    with strategy.scope():
        generator = networks.make_generator(settings, scale, precision)
        discriminator = networks.make_discriminator(settings, size, precision)
        observers = networks.make_observers(settings, generator, precision)
        half = precision == "mixed_float16"
        return Trainer(strategy, generator, discriminator, observers, weights, settings, scale_loss=half)


def course(settings: Settings, resume: bool, trainer, pairs, held_out, about: dict) -> None:
    """Everything that lasts as long as the training: worker processes, journal, cache."""
    from data.dataset import Batches
    from training.journal import Journal
    from training.loop import Run
    from training.tile_pairs import cache_tiles
    from training.validation import Shipping, choose_selection, make_validator

    journal = Journal(Path(settings.run)) if is_chief() else None
    validator = make_validator(settings, held_out) if is_chief() and held_out else None
    select, reason = choose_selection(settings.select, validator)
    if reason:
        say(reason)
    cache = Path(settings.run) / f"cache-{worker_name()}"
    try:
        pairs = cache_tiles(pairs, cache) if settings.cache else pairs
        with Batches(pairs, settings.workers) as batches:
            shipping = Shipping(trainer, validator, select, about)
            run = Run(settings, trainer, batches, journal, shipping, is_chief())
            if resume:
                run.load()
            to_the_end(run)
    finally:
        shutil.rmtree(cache, ignore_errors=True)
        if journal is not None:
            journal.close()


def to_the_end(run) -> None:
    """Train until the last step; Ctrl-C and SIGTERM end the step, save and leave (a second one leaves at once)."""
    from training.journal import Bar

    def ask(number, _frame) -> None:
        run.stop_asked = True
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        run.train(lambda stage, steps, done: Bar(stage, steps, done, silent=not is_chief()))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(text: str) -> None:
    """For one reader, not for every machine's."""
    if is_chief():
        print(printable(text), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    settings = None
    try:
        settings, resume = parse(__doc__, argv)
        train(settings, resume)
    except KeyboardInterrupt:
        return fail("interrupted before the first step", 1)
    except Exception as error:
        code, text = explain(error, settings)
        return fail(text, code)
    return 0


def fail(text: str, code: int) -> int:
    print(f"train.py: {printable(text)}", file=sys.stderr)
    return code


def explain(error: Exception, settings: Settings | None) -> tuple[int, str]:
    """(exit code, one line) for everything that is known to go wrong; raises the rest again."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
        return 2, f"the disk is full; the state saved last is intact: make room, then go on with --resume ({text})"
    if isinstance(error, (ValueError, OSError)):
        return 2, text
    from training.loop import Interrupted
    from training.objective import TrainingFailed

    if isinstance(error, Interrupted):
        return 1, text
    if isinstance(error, TrainingFailed):
        return 2, text
    if on_jax():
        raise error
    import tensorflow as tf

    if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
        return 2, f"out of memory; lower --batch-size, which is {settings.batch_size} (or --filters, --blocks)"
    if isinstance(error, tf.errors.OpError) and "BrokenProcessPool" in str(error):
        return (
            2,
            "a process that makes batches was killed, for want of memory perhaps: make room, then go on with --resume",
        )
    # raised where batches are made
    if isinstance(error, tf.errors.InvalidArgumentError) and "ValueError: " in text:
        return 2, text.partition("ValueError: ")[2]
    if os.environ.get("TF_CONFIG") and isinstance(error, errors_of_a_lost_worker()):
        return 2, f"another worker is gone; start all of them again with --resume ({text})"
    raise error


def errors_of_a_lost_worker() -> tuple[type, ...]:
    """What TensorFlow raises in the others, depending on which call they are in."""
    from tensorflow import errors

    return errors.UnavailableError, errors.AbortedError, errors.InternalError, errors.DeadlineExceededError


if __name__ == "__main__":
    sys.exit(main())
