"""Builds the networks of a run inside its strategy, and turns the trained generator into an archive."""

import json
import os
import shutil
from pathlib import Path

import keras
import numpy as np

from models.discriminator import build_discriminator
from models.features import build_features
from models.generator import build_generator

INIT_NAME = "init.keras"  # the copy of --init that makes the run folder complete


def make_generator(settings, scale: int, policy: str) -> keras.Model:
    """A new generator, or the one in the run's copy of --init, computing in `policy`."""
    if not settings.init:
        keras.mixed_precision.set_global_policy(policy)
        return build_generator(scale, settings.filters, settings.blocks, settings.generator)
    generator = in_policy(load_archive(Path(settings.run) / INIT_NAME), policy)
    own = generator.compute_output_shape((1, 16, 16, 3))[1] // 16
    if own != scale:
        raise ValueError(f"--init {settings.init} enlarges {own} times, the tiles ask for {scale} times")
    return generator


def make_others(settings, tile: tuple[int, int], policy: str) -> tuple[keras.Model | None, keras.Model | None]:
    """(discriminator, VGG features), or (None, None) where there is no stage two."""
    if not settings.adversarial_steps:
        return None, None
    keras.mixed_precision.set_global_policy(policy)
    return build_discriminator(tile, settings.discriminator_filters), build_features(
        settings.vgg_weights, settings.vgg_layer
    )


def load_archive(path: Path) -> keras.Model:
    """A generator archive, loaded in Keras' safe mode. Raises ValueError where it cannot be."""
    from models import pixel_shuffle  # noqa: F401  its layers are looked up by name

    if not path.is_file():
        raise ValueError(f"--init {path}: no such file; give a generator.keras that a run has left")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds, for many faults of a file
        raise ValueError(f"--init {path}: Keras cannot load it in safe mode: {error}") from error


def keep_init(settings) -> None:
    """Copy --init into the run folder: a resumed run must find it, whatever became of the original."""
    load_archive(Path(settings.init))
    shutil.copyfile(settings.init, Path(settings.run) / INIT_NAME)


def in_policy(model: keras.Model, policy: str) -> keras.Model:
    """A copy with the same weights that computes in `policy`, but for its output, which stays float32."""
    last = {tensor._keras_history.operation.name for tensor in model.outputs}

    def with_policy(layer):
        chosen = "float32" if layer.name in last else policy
        return layer.__class__.from_config({**layer.get_config(), "dtype": chosen})

    copy = keras.models.clone_model(model, clone_function=with_policy)
    copy.set_weights(model.get_weights())
    return copy


def write_archive(model: keras.Model, path: Path, about: dict) -> None:
    """`path` (.keras, float32) and the .json beside it, each replaced in one move."""
    assert all(np.asarray(weight).dtype == np.float32 for weight in model.get_weights())
    partial = path.with_name(f"{path.stem}.partial.keras")
    model.save(partial)
    os.replace(partial, path)
    beside = path.with_suffix(".json")
    partial = beside.with_suffix(".partial")
    partial.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, beside)
