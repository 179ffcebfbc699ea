"""Several readings of one plate into one: a vote for each character, by the logarithms of the reader's probabilities.

A wrong character is seldom the same in every frame and seldom sure of itself; the right one collects votes even from
frames that put it second (UFPR-SR-Plates, Nascimento et al. 2025, arXiv 2505.06393: voting over five frames took 31 %
of plates read right to 45 %).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from reading.matching import partners
from reading.reader import ALPHABET, BLANK, Reading

# a reader that excludes a character may be wrong: no single frame can veto what two others are sure of
FLOOR = 0.03
# share of the weight that must see a character for it to stand
MIN_PRESENT = 0.5


class Vote(NamedTuple):
    """text: the characters elected. confidences: of each, its mean probability over the frames that saw a character
    there."""

    text: str
    confidences: tuple[float, ...]

    @property
    def confidence(self) -> float:
        return float(np.mean(self.confidences)) if self.confidences else 0.0


def vote(readings: Sequence[Reading], weights: Sequence[float]) -> Vote:
    """readings: with `steps` (Reader(keep_steps=True)). weights: at least 0, one per reading, how far each is
    trusted."""
    seen = [characters(reading) for reading in readings]
    weights = np.asarray(weights, float)
    if not any(text for text, _ in seen) or not weights.sum() > 0:
        return Vote("", ())
    weights = weights / weights.sum()
    pivot, rows = aligned(seen, weights)
    length = len(pivot)
    log_votes, sums = np.zeros((2, length, len(ALPHABET)))
    present = np.zeros(length)
    for own, weight in zip(rows, weights, strict=True):
        for position, probabilities in enumerate(own):
            if probabilities is not None:
                log_votes[position] += weight * np.log(np.maximum(probabilities, FLOOR))
                sums[position] += weight * probabilities
                present[position] += weight
    # the first entry is the blank, which is no character
    winners = log_votes[:, 1:].argmax(axis=1) + 1
    kept = [i for i in range(length) if present[i] >= MIN_PRESENT]
    return Vote(
        "".join(ALPHABET[winners[i]] for i in kept), tuple(float(sums[i, winners[i]] / present[i]) for i in kept)
    )


def characters(reading: Reading) -> tuple[str, np.ndarray]:
    """The characters that count, and for each the probabilities of `ALPHABET`, (length, len(ALPHABET)), at the time
    step of its run that is surest. Raises ValueError for a reading without `steps`."""
    if reading.steps is None:
        raise ValueError("voting needs the reader's probabilities: read with Reader(keep_steps=True)")
    blank, runs, previous = ALPHABET.index(BLANK), [], -1
    for step, best in enumerate(reading.steps.argmax(axis=1)):
        if best != blank:
            if best != previous:
                runs.append(step)
            elif reading.steps[step, best] > reading.steps[runs[-1], best]:
                runs[-1] = step
        previous = best
    probabilities = reading.steps[runs] if runs else np.zeros((0, len(ALPHABET)), np.float32)
    return "".join(ALPHABET[row.argmax()] for row in probabilities), probabilities


def aligned(seen: Sequence[tuple[str, np.ndarray]], weights: np.ndarray) -> tuple[str, list[list[np.ndarray | None]]]:
    """seen: of each reading, what `characters` gives. Returns (the text that the others are aligned with, of each
    reading the probabilities at each of its characters, or None where the reading has none)."""
    text = seen[_pivot(seen, weights)][0]
    rows = [[None if at is None else own[at] for at in partners(text, other)] for other, own in seen]
    return text, rows


def _pivot(seen: Sequence[tuple[str, np.ndarray]], weights: np.ndarray) -> int:
    """The reading that the others are aligned with: of the length that has most weight, the surest."""
    lengths = np.array([len(text) for text, _ in seen])
    support = {length: weights[lengths == length].sum() for length in set(lengths.tolist()) if length}
    best = max(support, key=lambda length: (support[length], length))
    sureness = [weights[i] * p.max(axis=1).mean() if len(t) == best else -1.0 for i, (t, p) in enumerate(seen)]
    return int(np.argmax(sureness))
