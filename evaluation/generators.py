"""The generators to compare: their names in the report, and whether they fit the tiles."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from data.labelled import Pair
from evaluation.scoring import BASELINE, CLEAN, INPUT
from models.enhancer import Generator, load_generator

RESERVED_NAMES = (INPUT, BASELINE, CLEAN)


def by_name(files: Sequence[str]) -> dict[str, str]:
    """A short name for each file: its stem, with as many folders in front as make it unique."""
    named: dict[str, str] = {}
    for file in dict.fromkeys(files):
        parts = Path(file).with_suffix("").parts
        names = ["/".join(parts[-depth:]) for depth in range(1, len(parts) + 1)] + [str(file)]
        named[next(name for name in names if name not in named and name not in RESERVED_NAMES)] = file
    return named


def load_fitting(
    files: dict[str, str], first: Pair, precision: str = "float32", strength: float | None = None
) -> dict[str, Generator]:
    """Load the generators by name and check that they fit the plates, of which `first` is one.

    Tiles with a manifest must have the size that a generator was trained on; other pictures are brought to that size.
    ValueError names the file that is wrong, and why.
    """
    generators = {name: load_generator(file, precision, strength) for name, file in files.items()}
    if first.hr is not None and first.plate.steps is not None:
        for name, generator in generators.items():
            _check(files[name], generator, first)
    return generators


def _check(file: str, generator: Generator, pair: Pair) -> None:
    here, stored = pair.hr.shape[:2], generator.info.get("tile")
    trained = tuple(stored) if isinstance(stored, list) and len(stored) == 2 else here
    if (generator.scale, trained) != (pair.scale, here):
        raise ValueError(
            f"checkpoint {file} is for scale {generator.scale} and tiles of {trained[0]} x {trained[1]}, but these "
            f"are of scale {pair.scale} and {here[0]} x {here[1]}: make fitting ones with preprocess.py --scale "
            f"{generator.scale} --tile {trained[0]}x{trained[1]}"
        )


def describe(file: str, generator: Generator) -> dict:
    return {
        "file": str(file),
        "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest(),
        "backend": generator.backend,
        "precision": generator.precision,
        "scale": generator.scale,
        "strength": generator.strength,
        "info": generator.info,
    }
