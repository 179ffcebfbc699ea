"""How much of what a generator makes is best kept? The strength at which most plates of known text are read right."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from enhancing.pictures import as_float
from evaluation.matching import match
from evaluation.plates import Pair
from evaluation.reader import Reader
from models.enhancer import Generator, mix, restore_each, to_working_size

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)


class Trial(NamedTuple):
    """Shares: of plates read right, of their characters, and of plates read right before that no longer are."""

    strength: float
    right: float
    characters: float
    flipped: float


def try_strengths(generator: Generator, reader: Reader, pairs: Sequence[Pair]) -> list[Trial]:
    """A trial of each of `STRENGTHS`. The plates' texts must be known."""
    lq = [to_working_size(generator, as_float(pair.lq)) for pair in pairs]
    whole = restore_each(replace(generator, strength=1.0), lq)
    before, _ = _read(reader, lq, pairs)
    trials = []
    for strength in tqdm(STRENGTHS, unit="strength", disable=None):
        right, characters = _read(reader, [mix(*each, strength) for each in zip(lq, whole, strict=True)], pairs)
        flipped = float(np.mean(~right[before])) if before.any() else 0.0
        trials.append(Trial(strength, float(right.mean()), float(characters.mean()), flipped))
    return trials


def best(trials: Sequence[Trial]) -> Trial:
    """The one that reads most plates; of equals the one that changes least."""
    return max(trials, key=lambda trial: (trial.right, -trial.strength))


def _read(reader: Reader, pictures: Sequence[np.ndarray], pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool: read right, and (N,) float: the share of characters."""
    matches = [
        match(reading.text, pair.plate.text, pair.plate.country)
        for reading, pair in zip(reader.read(pictures), pairs, strict=True)
    ]
    return np.array([each.right for each in matches]), np.array([each.char_rate for each in matches])
