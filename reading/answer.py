"""One answer from all that read a plate: a probability for each character, and what else it may be.

The readings are those of the recogniser, from the picture itself, and of the reader, from the picture and from the
result. They make different errors. Their probabilities are pooled by the weighted sum of their logarithms (Heskes 1998,
"Selecting weighting factors in logarithmic opinion pools"). A curve, fitted on plates whose text is known, makes of
the pooled probability of the likeliest character the one that is given: of the characters given with p a share of p is
right. It is a spline of the log-odds, as in Lucena 2018, "Spline-based probability calibration" (arXiv 1809.07751),
but of straight pieces that never fall.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from reading.matching import match, partners, wrong_characters
from reading.reader import ALPHABET, BLANK, OTHER, Reading

# a source that excludes a character may be wrong
LEAST = 1e-4
# in a vote over frames: no single one can veto what two others are sure of
FLOOR = 0.03
# share of the weight that must see a character for it to stand
MIN_PRESENT = 0.5
Shares = Mapping[str, Sequence[float]]
# the sources of readings
RECOGNISER, INPUT, RESULT = "recogniser", "input", "result"
# below it, a character is not given
DOUBT = 0.5
UNKNOWN = "?"
# of a character, beside the one given
ALTERNATIVES = 3
# a character less likely than this is no alternative
LEAST_ALTERNATIVE = 0.01
# tried when a rule is fitted: of the reader's two, beside the recogniser's 1; finest where they can outvote it together
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.7, 3.0)
# log-odds between which the curve is straight: probabilities of 0.27, 0.73 and 0.95
KNOTS = (-1.0, 1.0, 3.0)
# the slope of each piece, and the offset, of the curve that leaves every probability as it is
AS_POOLED = (*(1.0 for _ in range(len(KNOTS) + 1)), 0.0)
# characters of the mean weight that the curve as pooled counts for where one is fitted
PRIOR_WEIGHT = 3.0
NEWTON_STEPS = 50
# letters that Chinese plates do not have, and the digits that a reader takes for them
LOOKALIKES = (("O", "0"), ("I", "1"))
# A province stands in front of a serial that China issues where this share of the weight sees one: after the city's
# letter five characters, or six of an electric car (GA 36-2018). In front of any other it takes more than the
# recogniser, which takes coats of arms for one.
CHINESE_SERIAL = re.compile(r"[A-Z0](?:[A-Z0-9]{5}|[A-K][A-Z0-9]\d{4}|\d{5}[A-K]|[A-Z0-9]{4}[警学])")
MIN_PROVINCE, MIN_PROVINCE_ELSEWHERE = 0.25, 0.7


@dataclass(frozen=True)
class Rule:
    """How readings become an answer. weights: of each source, at least 0; sources that are absent do not count. trust:
    the slopes of the curve's pieces, at least 0, and its offset."""

    weights: Mapping[str, float]
    trust: tuple[float, ...] = AS_POOLED

    @classmethod
    def from_info(cls, info: Mapping) -> "Rule":
        """What the JSON of a network says under "answer"; the default where it says nothing of use. Where it lacks a
        curve, or has one of an earlier kind, probabilities are given as they are pooled."""
        known = info.get("answer")
        weights = known.get("weights") if isinstance(known, dict) else None
        numbers = isinstance(weights, dict) and all(_is_number(each) and each >= 0 for each in weights.values())
        if not (numbers and any(weights.values())):
            return DEFAULT
        trust = known.get("trust")
        fits = isinstance(trust, (list, tuple)) and len(trust) == len(AS_POOLED) and all(map(_is_number, trust))
        return cls(weights, tuple(map(float, trust))) if fits and min(trust[:-1]) >= 0 else cls(weights)


DEFAULT = Rule({RECOGNISER: 1.0, INPUT: 0.3, RESULT: 0.3})


def with_unknown(text: str, probabilities: Sequence[float]) -> str:
    """The text with `UNKNOWN` for characters that are less likely than not."""
    return "".join(char if p >= DOUBT else UNKNOWN for char, p in zip(text, probabilities, strict=True))


@dataclass(frozen=True)
class Answer:
    """candidates: for each character, up to 1 + ALTERNATIVES of (character, probability), the likeliest first."""

    candidates: tuple[tuple[tuple[str, float], ...], ...] = ()

    @property
    def text(self) -> str:
        """The likeliest characters, `UNKNOWN` for those below one half."""
        return with_unknown(self.best_text, self.probabilities)

    @property
    def best_text(self) -> str:
        """The likeliest characters, however doubtful."""
        return "".join(best[0][0] for best in self.candidates)

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Of the likeliest characters."""
        return tuple(best[0][1] for best in self.candidates)

    @property
    def probability(self) -> float:
        """That all characters are right: the product of theirs. 0 where nothing was read."""
        return float(np.prod(self.probabilities)) if self.candidates else 0.0

    def is_sure(self, probability: float) -> bool:
        """Whether each character has more than this probability."""
        return bool(self.candidates) and min(self.probabilities) > probability

    @property
    def alternatives(self) -> tuple[str, ...]:
        """Of each character, what else it may be, the likeliest first."""
        return tuple("".join(name for name, _ in some[1:]) for some in self.candidates)


def answer(readings: Mapping[str, Sequence[Reading]], rule: Rule = DEFAULT, shares: Shares | None = None) -> Answer:
    """readings: of each source, with `steps`; several of one source share its weight, by `shares` where these are
    given, else equally."""
    return _answer_of(pool(readings, rule.weights, shares), rule.trust)


def _answer_of(pooled: np.ndarray, trust: Sequence[float] = AS_POOLED) -> Answer:
    return Answer(tuple(_candidates(row, trust) for row in pooled))


def pool(
    readings: Mapping[str, Sequence[Reading]], weights: Mapping[str, float], shares: Shares | None = None
) -> np.ndarray:
    """(characters, len(ALPHABET)): the weighted mean of the readings' logarithms of probabilities.

    A reading counts by its source's weight and by the square of its own confidence. One that lacks a character which
    others see says nothing of it; what is seen by less than half of the weight is left out. The province in front of a
    Chinese serial is judged apart, by those that see one: the reader misses most.
    """
    seen, provinces, trust = [], [], []
    for source, some in readings.items():
        parts = np.asarray(shares[source] if shares else np.ones(len(some)), float)
        for reading, part in zip(some, parts / parts.sum(), strict=True):
            own = characters(reading)
            weight = weights.get(source, 0.0) * part * reading.confidence**2
            # one that reads nothing at all has no opinion
            if own[0] and weight > 0:
                province, serial = _province_apart(*own)
                seen.append(serial)
                provinces.append(province)
                trust.append(weight)
    if not any(text for text, _ in seen):
        return np.zeros((0, len(ALPHABET)))
    trust = np.array(trust) / sum(trust)
    _, rows = aligned(seen, trust)
    pooled = [_log_mean(column, trust) for column in zip(*rows, strict=True)]
    serial = np.array([mean for mean, present in pooled if present >= MIN_PRESENT]).reshape(-1, len(ALPHABET))
    first, present = _log_mean(provinces, trust)
    if _likeliest(first[None]).isascii():
        return np.vstack([first, serial]) if present >= MIN_PRESENT else serial
    chinese = _without_lookalikes(serial)
    text = "".join(ALPHABET[best] for best in chinese.argmax(axis=1))
    enough = MIN_PROVINCE if CHINESE_SERIAL.fullmatch(text) else MIN_PROVINCE_ELSEWHERE
    return np.vstack([first, chinese]) if present >= enough else serial


def _province_apart(text: str, probabilities: np.ndarray) -> tuple[np.ndarray | None, tuple[str, np.ndarray]]:
    """(the province's probabilities, or None without one; the serial and its probabilities). A first character that is
    none of a plate's is taken for one, since the reader knows characters that look like them."""
    if text[0].isascii() and text[0] != OTHER:
        return None, (text, probabilities)
    return probabilities[0], (text[1:], probabilities[1:])


def _log_mean(rows: Sequence[np.ndarray | None], weights: np.ndarray) -> tuple[np.ndarray, float]:
    """The weighted mean of the logarithms of those rows that are there, and their share of the weight."""
    known = [(row, weight) for row, weight in zip(rows, weights, strict=True) if row is not None]
    if not known:
        return np.zeros(len(ALPHABET)), 0.0
    present = sum(weight for _, weight in known)
    return sum(weight * np.log(np.maximum(row, LEAST)) for row, weight in known) / present, float(present)


class Known(NamedTuple):
    """What each source read of a plate whose text is known."""

    readings: Mapping[str, Sequence[Reading]]
    text: str
    country: str


def fit(sets: Sequence[Sequence[Known]]) -> Rule:
    """The weights with which most plates are answered right, of equals those that trust the reader least; then the
    curve at which the characters' probabilities have the least logarithmic loss.

    The sets count equally, whatever their sizes: many rendered plates do not outvote a few real ones. All plates have
    the same sources. Raises ValueError for no plates, and where nothing was read of any."""
    sets = [plates for plates in sets if plates]
    heard = [reading for plates in sets for known in plates for some in known.readings.values() for reading in some]
    if not any(characters(reading)[0] for reading in heard):
        raise ValueError("no plate from which to fit how far readings are trusted")
    first, *others = sets[0][0].readings
    choices = [dict(zip((first, *others), (1.0, *some), strict=True)) for some in product(WEIGHTS, repeat=len(others))]
    tried = tqdm(choices, desc="weighing", unit="choice", disable=None)
    weights = max(tried, key=lambda some: sum(_share_right(plates, some) for plates in sets))
    judgements = [_judgements(plates, weights) for plates in sets]
    return Rule(weights, trust=fit_trust(*map(np.concatenate, zip(*judgements, strict=True))))


def _share_right(plates: Sequence[Known], weights: Mapping[str, float]) -> float:
    return float(np.mean([_right(known, pool(known.readings, weights)) for known in plates]))


def _right(known: Known, pooled: np.ndarray) -> bool:
    """By the text alone, as `Answer.best_text` has it."""
    return match(_likeliest(pooled), known.text, known.country, province=True).right


def _likeliest(pooled: np.ndarray) -> str:
    """The likeliest characters, neither blank nor any other."""
    return "".join(ALPHABET[1 + best] for best in pooled[:, 1:-1].argmax(axis=1))


def _judgements(plates: Sequence[Known], weights: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of all characters of a set: the pooled probability, whether it is right, and the weight in a fit."""
    each = [judged(_answer_of(pool(known.readings, weights)), known.text, known.country) for known in plates]
    probabilities, right = map(np.concatenate, zip(*each, strict=True))
    return probabilities, right, np.full(len(right), 1 / len(plates))


def fit_trust(probabilities: np.ndarray, right: np.ndarray, weights: np.ndarray) -> tuple[float, ...]:
    """The curve with the least weighted logarithmic loss. probabilities, right, weights: of each character. A normal
    prior keeps the curve where there are few near to what it leaves as pooled."""
    features, start = _features(probabilities), np.array(AS_POOLED)
    weights = weights / weights.mean()
    used = np.ones(len(start), bool)
    while True:
        values = np.where(used, start, 0.0)
        for _ in range(NEWTON_STEPS):
            given = _sigmoid(features @ values)
            slope = features.T @ (weights * (given - right)) + PRIOR_WEIGHT * (values - start)
            bend = (features.T * (weights * given * (1 - given))) @ features + PRIOR_WEIGHT * np.eye(len(start))
            step = np.zeros(len(start))
            step[used] = np.linalg.solve(bend[np.ix_(used, used)], slope[used])
            # a longer one may overshoot where the curve is flat
            values -= step / max(1.0, np.abs(step).max())
        falling = used & (values < 0)
        # the offset may be negative
        falling[-1] = False
        if not falling.any():
            return tuple(float(each) for each in values.round(4))
        used &= ~falling


def _features(probabilities: np.ndarray | float) -> np.ndarray:
    """(..., len(AS_POOLED)): how far the log-odds go into each piece of the curve, from 0 on, and 1."""
    p = np.clip(probabilities, LEAST, 1 - LEAST)
    odds, ends = np.log(p) - np.log1p(-p), (-np.inf, *KNOTS, np.inf)
    pieces = [np.clip(odds, *piece) - np.clip(0.0, *piece) for piece in pairwise(ends)]
    return np.stack([*pieces, np.ones_like(odds)], axis=-1)


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-odds))


def judged(given: Answer, text: str, country: str) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest characters of an answer of which the true text says something: their probabilities (N,), and
    whether they are right (N,) bool."""
    wrong = wrong_characters(given.best_text, text, country)
    known = [(p, not each) for p, each in zip(given.probabilities, wrong, strict=True) if each is not None]
    return np.array([p for p, _ in known], float), np.array([right for _, right in known], bool)


def _without_lookalikes(pooled: np.ndarray) -> np.ndarray:
    pooled = pooled.copy()
    for letter, digit in LOOKALIKES:
        column, own = ALPHABET.index(digit), ALPHABET.index(letter)
        pooled[:, column] = np.maximum(pooled[:, column], pooled[:, own])
        pooled[:, own] = np.log(LEAST)
    return pooled


def _candidates(logits: np.ndarray, trust: Sequence[float]) -> tuple[tuple[str, float], ...]:
    """Of one place, the likeliest characters. The curve was fitted for the first; the others share what it leaves as
    they did before, none above the first, so that all sum to at most one."""
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    order = np.argsort(-probabilities, kind="stable")
    named = [(ALPHABET[i], float(probabilities[i])) for i in order if ALPHABET[i] not in (BLANK, OTHER)]
    (best, pooled), *rest = named[: 1 + ALTERNATIVES]
    given = float(_sigmoid(_features(pooled) @ trust))
    left = min((1 - given) / max(1 - pooled, LEAST), given / max(rest[0][1], LEAST))
    others = ((name, p * left) for name, p in rest)
    return ((best, given), *(each for each in others if each[1] >= LEAST_ALTERNATIVE))


def certainty(recognised: Sequence[Reading]) -> float:
    """The recogniser's probability that all characters of a picture as it lies are right; 0 without a reading. Other
    views follow the first, and are not asked: each costs half as much as drawing the plate."""
    return recognised[0].certainty if recognised else 0.0


def as_reading(probabilities: np.ndarray, names: str) -> Reading:
    """What the recogniser saw, as a reading: (T, 1 + len(names)) probabilities of each column, the blank's first."""
    steps = np.zeros((len(probabilities), len(ALPHABET)), np.float32)
    steps[:, ALPHABET.index(BLANK)] = probabilities[:, 0]
    for column, name in enumerate(names, start=1):
        steps[:, ALPHABET.index(name if name in ALPHABET else OTHER)] += probabilities[:, column]
    text, seen = characters(Reading("", steps=steps))
    confidences = tuple(map(float, seen.max(axis=1)))
    return Reading(text, float(np.mean(confidences)) if confidences else 0.0, confidences, steps)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


# --- Voting: several frames of one plate ------------------------------------------------------------------------------


class Vote(NamedTuple):
    """text: the characters elected. confidences: of each, its mean probability over the frames that saw a character
    there."""

    text: str
    confidences: tuple[float, ...]

    @property
    def confidence(self) -> float:
        return float(np.mean(self.confidences)) if self.confidences else 0.0


def vote(readings: Sequence[Reading], weights: Sequence[float]) -> Vote:
    """For each character a vote, by the logarithms of the reader's probabilities.

    A wrong character is seldom the same in every frame and seldom sure of itself; the right one collects votes even
    from frames that put it second (UFPR-SR-Plates, Nascimento et al. 2025, arXiv 2505.06393: voting over five frames
    took 31 % of plates read right to 45 %).

    readings: with `steps` (Reader(keep_steps=True)). weights: at least 0, one per reading, how far each is trusted.
    """
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
