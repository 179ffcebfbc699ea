"""Chooses the strength, and the width below which to warn: both measured on tiles whose text is known.

    python -m enhancing.calibrate --tiles datasets/tiles --checkpoint checkpoints/mine/generator.keras --write

prints the share of plates read right at each strength. At the best strength, or at --strength, it also prints that
share by agreement and by effective width. The width is measured from the picture alone, as enhance.py does it, because
the true degradation of a user's picture is unknown. With --write, the JSON beside the checkpoint gets three values:

- `strength`: the one given, or the lowest that reads as many as the best, within one standard error. The default of
  enhance.py.
- `min_effective_width_px`: below it fewer than half are read right, and enhance.py warns.
- `answer`: how far the recogniser and the reader are trusted, and the temperature (reading/answer.py). Real pictures
  whose text is known, of the folders of --real, count here, too.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from data.console import prepare_console, say
from data.files import read_text, write_text
from data.io import to_float
from data.labelled import Pair, Plate, from_tiles, load, pick
from data.settings import field, parse, path, require
from enhancing.examining import Examiner
from enhancing.opening import NoPlateFound, Source, find_sources, make_source
from evaluation.scoring import known_pairs
from models.answerer import find_answerer
from models.detector import load_detector
from models.enhancer import Generator, load_generator, load_second, mix, restore_each, to_working_size
from reading.answer import Known, Rule, fit
from reading.matching import is_readable, match
from reading.reader import Reader

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
# of plates read right
ENOUGH = 0.5
WIDTHS_PX = (0, 10, 15, 20, 25, 30, 40, 50, 70, 100, np.inf)
AGREEMENTS = (0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.01)
CHUNK = 32


class Trial(NamedTuple):
    """right: (N,) bool. The others are shares: characters read right, and plates that were read right before and no
    longer are."""

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
    (the one-standard-error rule, Breiman et al. 1984, Classification and Regression Trees, section 3.4.3): where chance
    may decide, more of the input is kept."""
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


def known_plates(tiles: str, split: str, limit: int, seed: int) -> list[Plate]:
    """Plates of one line whose text is known. Raises ValueError where there are none."""
    plates = [p for p in from_tiles(tiles, split).plates if p.text and is_readable(p.text, p.country)]
    if not plates:
        raise ValueError(f"{tiles} holds no tiles of split {split} with a known text of one line")
    return pick(plates, limit or None, seed)


def measure(examiner: Examiner, pairs: Sequence[Pair]) -> np.ndarray:
    """(N, 3): effective width in px, agreement, and 1 where the enhanced plate was read right."""
    rows = []
    for start in tqdm(range(0, len(pairs), CHUNK), unit=f" x {CHUNK} plates", disable=None):
        some = pairs[start : start + CHUNK]
        results = examiner.enhance([make_source(examiner.generator, to_float(pair.lq)) for pair in some])
        for pair, result in zip(some, results, strict=True):
            right = match(result.reading.text, pair.plate.text, pair.plate.country).right
            rows.append((result.effective_width, result.agreement.mean, right))
    return np.array(rows, float)


def hear(examiner: Examiner, pairs: Sequence[Pair]) -> list[Known]:
    """What each source reads. Tiles go in as they are, real pictures as in use: their plate is found and straightened.
    Pictures in which none is found are left out, since nothing is answered of them."""
    known = []
    for start in tqdm(range(0, len(pairs), CHUNK), unit=f" x {CHUNK} plates", disable=None):
        some = [(pair.plate, source) for pair in pairs[start : start + CHUNK] for source in _sources(examiner, pair)]
        looks = examiner.look([source for _, source in some])
        for (plate, _), look in zip(some, looks, strict=True):
            known.append(Known(examiner.readings_of(look), plate.text, plate.country))
    return known


def _sources(examiner: Examiner, pair: Pair) -> list[Source]:
    if examiner.detector is None:
        return [make_source(examiner.generator, to_float(pair.lq))]
    try:
        return find_sources(examiner.generator, pair.lq, detector=examiner.detector)[:1]
    except NoPlateFound:
        return []


def least_width(measured: np.ndarray) -> float:
    """The effective width at which a share of `ENOUGH` is read right: the crossing that splits the plates best, that is
    the width with the fewest plates below it that are right and above it that are wrong."""
    order = np.argsort(measured[:, 0])
    widths, right = measured[order, 0], measured[order, 2]
    # weights that make the split fall where the share is ENOUGH
    cost_below = np.concatenate([[0], np.cumsum(right * (1 - ENOUGH))])
    cost_above = np.concatenate([np.cumsum(((1 - right) * ENOUGH)[::-1])[::-1], [0]])
    split = int(np.argmin(cost_below + cost_above))
    return float(widths[min(split, len(widths) - 1)])


def table(measured: np.ndarray, column: int, edges: Sequence[float], name: str) -> str:
    lines = [f"| {name} | plates | read right, % |", "| --- | ---: | ---: |"]
    for low, high in pairwise(edges):
        members = (measured[:, column] >= low) & (measured[:, column] < high)
        if members.any():
            share = 100 * measured[members, 2].mean()
            lines.append(f"| {low:g} to {high:g} | {members.sum()} | {share:.0f} |")
    return "\n".join(lines)


def trials_table(trials: Sequence[Trial]) -> str:
    head = ["| strength | plates right, % | characters right, % | flipped, % |", "| ---: | ---: | ---: | ---: |"]
    shares = [(t.strength, 100 * t.right.mean(), 100 * t.characters, 100 * t.flipped) for t in trials]
    return "\n".join(head + ["| {:g} | {:.1f} | {:.1f} | {:.1f} |".format(*each) for each in shares])


def write(checkpoint: str, strength: float, width: float, rule: Rule) -> None:
    file = Path(checkpoint).with_suffix(".json")
    info = json.loads(read_text(file)) if file.is_file() else {}
    known = {"strength": strength, "min_effective_width_px": round(width, 1), "answer": asdict(rule)}
    write_text(file, json.dumps(info | known, indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Settings:
    tiles: str = field(type=path, metavar="DIR", help="a tile folder with a manifest")
    checkpoint: str = field(type=path, metavar="FILE", help="the generator")
    real: tuple[str, ...] = field(
        (), type=path, nargs="+", metavar="DIR", help="folders of real pictures, as tools.benchmarks.real takes them"
    )
    split: str = field("val", help="not test, by which the generator is judged afterwards")
    limit: int = field(500, metavar="N", help="plates; 0: all")
    seed: int = field(0, help="of the choice of plates")
    strength: float | None = field(None, metavar="F", help="of 0 to 1, where it was chosen by other plates")
    write: bool = field(False, help="write strength, width and trust to the JSON beside the checkpoint")

    def __post_init__(self) -> None:
        require(self.strength is None or 0 <= self.strength <= 1, "--strength", "a number of 0 to 1", self.strength)


def main(argv: Sequence[str] | None = None) -> int:
    prepare_console()
    try:
        return calibrate(parse(Settings, __doc__, argv, prog="python -m enhancing.calibrate"))
    except (ValueError, OSError) as error:
        say(f"calibrate: {error}", error=True)
        return 2


def calibrate(settings: Settings) -> int:
    """Try the strengths, measure at the best one, print the tables, write the JSON. Raises ValueError or OSError."""
    generator, reader = load_generator(settings.checkpoint), Reader(keep_steps=True)
    pairs, _ = load(known_plates(settings.tiles, settings.split, settings.limit, settings.seed))
    real = [pair for folder in settings.real for pair in known_pairs(folder, reader)[0]]
    trials = try_strengths(generator, reader, pairs)
    strength = best(trials).strength if settings.strength is None else settings.strength
    chosen = replace(generator, strength=strength)
    answerer = find_answerer(settings.checkpoint)
    examiner = Examiner(chosen, load_second(settings.checkpoint, chosen), reader, ask_again=True, answerer=answerer)
    measured = measure(examiner, pairs)
    width = least_width(measured)
    once = replace(examiner, ask_again=False)
    finding = replace(once, detector=load_detector()) if real else once
    rule = fit(hear(once, pairs) + hear(finding, real))
    if settings.write:
        write(settings.checkpoint, strength, width, rule)
    print(f"{len(pairs)} plates", trials_table(trials), sep="\n\n", end="\n\n")
    print(table(measured, 0, WIDTHS_PX, "effective width, px"), table(measured, 1, AGREEMENTS, "agreement"), sep="\n\n")
    reason = (
        "the lowest that reads as many as the best strength, within one standard error"
        if settings.strength is None
        else "as given"
    )
    print(f"\nstrength {strength:g}: {reason}")
    print(f"min_effective_width_px {width:.1f}: below it fewer than {100 * ENOUGH:.0f} % are read right")
    trust = ", ".join(f"{source} {weight:g}" for source, weight in rule.weights.items())
    print(f"answer, by {len(pairs)} tiles and {len(real)} real pictures: {trust}; temperature {rule.temperature:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
