"""Writes networks: a `.keras` archive, and the .json beside it that says how it was made; each replaced in one move."""

import tempfile
import zipfile
from pathlib import Path

import keras
import ml_dtypes
import numpy as np

from data.files import PART, replacing
from models.loading import load_archive
from training.run_folder import write_json


def write_archive(model: keras.Model, path: Path, about: dict) -> None:
    """`path` (.keras, deflated) and the .json beside it, each replaced in one move."""
    save_archive(model, path, deflated=True)
    write_json(path.with_suffix(".json"), about)


def save_archive(model: keras.Model, path: Path, deflated: bool = False) -> None:
    """Replaced in one move. deflated: smaller, and seconds slower; Keras itself only stores."""
    # Keras wants a path that ends in .keras
    with tempfile.TemporaryDirectory(prefix=".", suffix=PART, dir=path.parent) as folder:
        partial = Path(folder) / path.name
        model.save(partial)
        if deflated:
            _deflate(partial)
        with replacing(path, durable=True) as file:
            file.write(partial.read_bytes())


def _deflate(archive: Path) -> None:
    with zipfile.ZipFile(archive) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)


def rounded(weights: list[np.ndarray]) -> list[np.ndarray]:
    """The weights with kernels rounded to the nearest bfloat16, with which training in bfloat16 computes anyway, and
    which deflates to less than half; still float32."""
    return [w.astype(ml_dtypes.bfloat16).astype(np.float32) if w.ndim > 1 else w for w in weights]


def as_shipped(weights: list[np.ndarray], precision: str) -> list[np.ndarray]:
    """The weights with kernels as training in this precision computed with them."""
    return rounded(weights) if precision == "mixed_bfloat16" else weights


def load_given(path: str, flag: str, what: str) -> keras.Model:
    """The model in an archive that a flag names. Raises ValueError where there is none; `what` says what to give."""
    if not Path(path).is_file():
        raise ValueError(f"{flag} {path}: no such file; give {what}")
    return load_archive(Path(path))
