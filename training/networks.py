"""Builds the networks of a run inside its strategy, and turns the trained generator into an archive."""

import os
from pathlib import Path

import keras

from models.discriminator import build_discriminator
from models.features import build_features
from models.generator import build_generator
from models.loading import in_policy, load_archive
from training.run_folder import init_file, write_json


def make_generator(settings, scale: int, policy: str) -> keras.Model:
    """A new generator, or the one of --init, computing in `policy`. Raises ValueError for one of another scale."""
    keras.mixed_precision.set_global_policy(policy)
    if not settings.init:
        return build_generator(scale, settings.filters, settings.blocks, settings.generator)
    generator = in_policy(load_archive(init_file(settings)), policy)
    own = generator.compute_output_shape((1, 16, 16, 3))[1] // 16
    if own != scale:
        raise ValueError(f"--init {settings.init} enlarges {own} times, the tiles ask for {scale} times")
    return generator


def make_others(settings, tile: tuple[int, int], policy: str) -> tuple[keras.Model | None, keras.Model | None]:
    """(discriminator, VGG features), or (None, None) where there is no stage two."""
    if not settings.adversarial_steps:
        return None, None
    keras.mixed_precision.set_global_policy(policy)
    discriminator = build_discriminator(tile, settings.discriminator_filters)
    return discriminator, build_features(settings.vgg_weights, settings.vgg_layer)


def load_recogniser(settings) -> keras.Model | None:
    """The frozen recogniser of the character term, in float32; None where none is asked for."""
    if not settings.recogniser:
        return None
    if not Path(settings.recogniser).is_file():
        raise ValueError(
            f"--recogniser {settings.recogniser}: no such file; train one with python -m training.recogniser"
        )
    recogniser = load_archive(Path(settings.recogniser))
    recogniser.trainable = False
    return recogniser


def write_archive(model: keras.Model, path: Path, about: dict) -> None:
    """`path` (.keras) and the .json beside it, each replaced in one move."""
    partial = path.with_name(f"{path.stem}.partial.keras")
    try:
        model.save(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    write_json(path.with_suffix(".json"), about)
