"""Builds the networks of a run inside its strategy, and turns the trained generator into an archive."""

import os
from pathlib import Path

import keras

from models.discriminator import build_discriminator
from models.features import build_features
from models.generator import build_generator
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


def load_archive(path: Path) -> keras.Model:
    """A generator archive, loaded in Keras' safe mode. Raises ValueError where it cannot be."""
    from models import exposure, pixel_shuffle  # noqa: F401  their layers are looked up by name

    if not path.is_file():
        raise ValueError(f"--init {path}: no such file; give a generator.keras that a run has left")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds, for many faults of a file
        raise ValueError(f"--init {path}: Keras cannot load it in safe mode: {error}") from error


def in_policy(model: keras.Model, policy: str) -> keras.Model:
    """A copy with the same weights that computes in `policy`, but for its output, which stays float32."""
    last = {tensor._keras_history.operation.name for tensor in model.outputs}

    def with_policy(layer: keras.layers.Layer) -> keras.layers.Layer:
        chosen = "float32" if layer.name in last else policy
        return layer.__class__.from_config({**layer.get_config(), "dtype": chosen})

    copy = keras.models.clone_model(model, clone_function=with_policy)
    copy.set_weights(model.get_weights())
    return copy


def write_archive(model: keras.Model, path: Path, about: dict) -> None:
    """`path` (.keras) and the .json beside it, each replaced in one move."""
    partial = path.with_name(f"{path.stem}.partial.keras")
    try:
        model.save(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    write_json(path.with_suffix(".json"), about)
