"""Builds the networks of a run inside its strategy: new ones, or those of an earlier run, grown where asked."""

import dataclasses
from pathlib import Path

import keras

from models.discriminator import build_discriminator
from models.features import build_features
from models.generator import architecture, build_generator, change_nothing, freeze, take_over
from models.loading import in_policy, load_archive
from models.recogniser import HEAD, build_eye, layers_of_recogniser
from models.recogniser import NAME as RECOGNISER
from training.archives import load_given, rounded, save_archive
from training.run_folder import INIT_NAME


def make_generator(settings, scale: int, policy: str) -> keras.Model:
    """The generator that the run begins with, computing in `policy`: new, or that of --init, with --more-blocks; with
    the recogniser of --recogniser built in, and with --light-only all else frozen, too. Raises ValueError for an --init
    of another scale or one that cannot grow, and for files that are missing or hold something else."""
    generator = _begun(settings, scale, policy)
    if settings.light_only and not architecture(generator):
        raise ValueError(
            f"--light-only: {settings.init} has no layers that judge the light; give one of train.py's generators"
        )
    freeze(generator, light_only=settings.light_only)
    return generator


def _begun(settings, scale: int, policy: str) -> keras.Model:
    keras.mixed_precision.set_global_policy(policy)
    begun = Path(settings.run) / INIT_NAME
    if begun.exists():
        return in_policy(load_archive(begun), policy)
    recogniser = _asked_recogniser(settings)
    given = {"scale": scale, "filters": settings.filters, "blocks": settings.blocks, "body": settings.generator}
    given["reads"] = recogniser is not None
    if settings.init:
        return _grown(settings, given, recogniser, policy)
    generator = build_generator(**given)
    if recogniser is not None:
        _build_in(recogniser, generator)
    return generator


def _grown(settings, given: dict, recogniser: keras.Model | None, policy: str) -> keras.Model:
    """The generator of --init, with more blocks and a recogniser where they are asked for."""
    init = load_given(settings.init, "--init", "a generator.keras that a run has left")
    own = init.compute_output_shape((1, 16, 16, 3))[1] // 16
    if own != given["scale"]:
        raise ValueError(f"--init {settings.init} enlarges {own} times, the tiles ask for {given['scale']} times")
    if recogniser is None and not settings.more_blocks:
        return in_policy(init, policy)
    was = {**given, **architecture(init)}
    blocks = was["blocks"] + settings.more_blocks
    generator = build_generator(**{**was, "blocks": blocks, "reads": was["reads"] or given["reads"]})
    try:
        take_over(generator, init.layers)
        for block in range(was["blocks"] + 1, blocks + 1):
            change_nothing(generator, block)
        if recogniser is not None:
            _build_in(recogniser, generator)
    except ValueError as error:
        raise ValueError(f"--init {settings.init} cannot take a recogniser or blocks in: {error}") from error
    return generator


def _asked_recogniser(settings) -> keras.Model | None:
    """As it is to be carried: with kernels that deflate well."""
    if not settings.recogniser:
        return None
    recogniser = load_given(settings.recogniser, "--recogniser", "what training.recogniser has left")
    if recogniser.name != RECOGNISER:
        raise ValueError(f"--recogniser {settings.recogniser} is none; train one with python -m training.recogniser")
    recogniser.set_weights(rounded(recogniser.get_weights()))
    return recogniser


def _build_in(recogniser: keras.Model, generator: keras.Model) -> None:
    take_over(generator, (layer for layer in recogniser.layers if layer.name != HEAD))


def with_architecture(settings, generator: keras.Model):
    """The settings, saying what the generator is: that of --init may be another than the flags'."""
    found = architecture(generator)
    if not found:
        return settings
    return dataclasses.replace(settings, generator=found["body"], filters=found["filters"], blocks=found["blocks"])


def make_discriminator(settings, tile: tuple[int, int], policy: str) -> keras.Model | None:
    """None where there is no stage two."""
    keras.mixed_precision.set_global_policy(policy)
    return build_discriminator(tile, settings.discriminator_filters) if settings.adversarial_steps else None


def make_observers(settings, generator: keras.Model, policy: str) -> dict[str, keras.Model]:
    """Name of a term -> the frozen network in whose features clean and restored pictures are compared. Raises
    ValueError for a reading term where the generator carries no recogniser."""
    keras.mixed_precision.set_global_policy(policy)
    observers = {"vgg": build_features(settings.vgg_weights, settings.vgg_layer)} if settings.adversarial_steps else {}
    if settings.reading_weight:
        observers["reading"] = _eye_of(generator)
    return observers


def _eye_of(generator: keras.Model) -> keras.Model:
    """The recogniser that the generator carries, by itself."""
    inside = layers_of_recogniser(generator)
    if not inside:
        raise ValueError("--reading-weight needs a generator that carries a recogniser: see --recogniser")
    eye = build_eye()
    take_over(eye, inside)
    eye.trainable = False
    return eye


def keep_beginning(settings, generator: keras.Model) -> None:
    """Keep the generator that the run begins with, where seed and flags alone do not make it again."""
    if settings.init or settings.recogniser:
        Path(settings.run).mkdir(parents=True, exist_ok=True)
        save_archive(in_policy(generator, "float32"), Path(settings.run) / INIT_NAME)
