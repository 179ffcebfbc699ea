"""How much of what a generator makes is best kept? The lowest strength that reads as many plates of known text as any,
as far as these plates can tell."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from data.io import to_float
from evaluation.plates import Pair
from models.enhancer import Generator, mix, restore_each, to_working_size
from reading.matching import match
from reading.reader import Reader

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)


class Trial(NamedTuple):
    """right: (N,) bool. The others are shares: of the characters read right, and of the plates read right before that
    no longer are."""

    strength: float
    right: np.ndarray
    characters: float
    flipped: float


def try_strengths(generator: Generator, reader: Reader, pairs: Sequence[Pair]) -> list[Trial]:
    """A trial of each of `STRENGTHS`. The plates' texts must be known."""
    lq = [to_working_size(generator, to_float(pair.lq)) for pair in pairs]
    whole = restore_each(replace(generator, strength=1.0), lq)
    before, _ = _read(reader, lq, pairs)
    trials = []
    for strength in tqdm(STRENGTHS, unit="strength", disable=None):
        right, characters = _read(reader, [mix(*each, strength) for each in zip(lq, whole, strict=True)], pairs)
        flipped = float(np.mean(~right[before])) if before.any() else 0.0
        trials.append(Trial(strength, right, float(characters.mean()), flipped))
    return trials


def best(trials: Sequence[Trial]) -> Trial:
    """The lowest strength that reads fewer plates than the best one by at most the standard error of that difference
    (the one-standard-error rule, Breiman et al. 1984, Classification and Regression Trees, section 3.4.3): what chance
    may have decided is decided for the picture as it is."""
    most = max(trials, key=lambda trial: trial.right.mean())
    return min((trial for trial in trials if _as_good(trial, most)), key=lambda trial: trial.strength)


def _as_good(trial: Trial, most: Trial) -> bool:
    won, lost = (trial.right & ~most.right).sum(), (most.right & ~trial.right).sum()
    return lost - won <= np.sqrt(
        won + lost
        # McNemar 1947: the error of a difference between judgements of the same plates
    )


def _read(reader: Reader, pictures: Sequence[np.ndarray], pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool: read right, and (N,) float: the share of characters."""
    matches = [
        match(reading.text, pair.plate.text, pair.plate.country)
        for reading, pair in zip(reader.read(pictures), pairs, strict=True)
    ]
    return np.array([each.right for each in matches]), np.array([each.char_rate for each in matches])
