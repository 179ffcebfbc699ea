"""Chooses the strength, the width below which to warn, and the trust in an answer, on plates whose text is known.

    python -m enhancing.calibrate --tiles datasets/tiles --checkpoint checkpoints/mine/generator.keras --write

prints the share of plates read right at each strength. At the best strengths, or at --strength, it also prints that
share by agreement and by effective width. The width is measured from the picture alone, as enhance.py does it, because
the true degradation of a user's picture is unknown. With --write, the JSON beside the checkpoint gets:

- `strength`: for a picture that cannot be read as it is, and `readable_strength`: for one that surely can; between, in
  proportion to how sure the recogniser is of the picture itself. Both are the same where there is no recogniser, and
  where --strength is given. Of all pairs that read as many plates as the best, within one standard error, the one that
  flips fewest plates, and of these the one that reads most. The defaults of enhance.py.
- `min_effective_width_px`: below it fewer than half are read right, and enhance.py warns.
- `answer`: how far the recogniser and the reader are trusted, and the curve that makes of their common probability the
  one that is given (reading/answer.py).

Real pictures whose text is known, of the folders of --real, count beside the tiles, except for the width. For the trust
in an answer each folder counts as much as the tiles.
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

from data.console import say
from data.files import read_text, write_text
from data.settings import field, path, require, run_module
from data.tiles import Pair, Plate, from_tiles, load, pick
from enhancing.examining import Examiner, as_read, finest, larger, readings_of, written
from enhancing.opening import NoPlateFound, Source
from evaluation.scoring import known_pairs
from models.answerer import find_answerer
from models.detector import load_detector
from models.enhancer import Generator, load_generator, mix, restore_each
from reading.answer import Known, Rule, fit
from reading.matching import is_readable, match
from reading.reader import Reader, read_plates

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
# of plates read right
ENOUGH = 0.5
WIDTHS_PX = (0, 10, 15, 20, 25, 30, 40, 50, 70, 100, np.inf)
AGREEMENTS = (0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.01)
CHUNK = 32


class Given(NamedTuple):
    """A plate as the networks get it, and what stands on it."""

    source: Source
    text: str
    country: str


class Trial(NamedTuple):
    """right: (N,) bool. The others are shares: characters read right, and plates that were read right before and no
    longer are."""

    strength: float
    right: np.ndarray
    characters: float
    flipped: float


def try_strengths(
    generator: Generator, reader: Reader, plates: Sequence[Given], readable: np.ndarray | None = None
) -> list[Trial]:
    """A trial of each of `STRENGTHS`, by what enhance.py would write. readable: (N,), see `restore_each`."""
    lq = [plate.source.lq for plate in plates]
    whole = restore_each(replace(generator, strength=1.0, readable_strength=None), lq, readable=readable)
    large = [larger(plate.source, sr) for plate, sr in zip(plates, whole, strict=True)]
    before, _ = _read(reader, lq, plates)
    trials = []
    for strength in tqdm(STRENGTHS, unit="strength", disable=None):
        drawn = [mix(*each, strength) for each in zip(lq, whole, strict=True)]
        pictures = [finest(written(sr, own)[0], sr) for sr, own in zip(drawn, large, strict=True)]
        right, characters = _read(reader, pictures, plates)
        trials.append(Trial(strength, right, float(characters.mean()), _flipped(before, right)))
    return trials


def best(
    trials: Sequence[Trial], readable: np.ndarray | None = None, shares: np.ndarray | None = None
) -> tuple[float, float]:
    """(strength for what cannot be read as it is, strength for what surely can). readable: (N,), how sure the
    recogniser is of each plate before it is restored; None without one: then both are the same. shares: (N,), how much
    each plate counts; None for all alike.

    Of the pairs that read fewer plates than the best one by at most the standard error of that difference (the
    one-standard-error rule, Breiman et al. 1984, Classification and Regression Trees, section 3.4.3), the one that
    flips fewest: where chance may decide, what can be read is kept. Of these the one that reads most, then the lowest.
    """
    shares = np.ones(len(trials[0].right)) if shares is None else shares
    before, strengths = trials[0].right, [trial.strength for trial in trials]
    every = [(high, low) for high in strengths for low in strengths if low <= high]
    pairs = [(high, high) for high in strengths] if readable is None else every
    right = {pair: _right_at(trials, *pair, readable) for pair in pairs}
    most = max(right.values(), key=shares.dot)
    good = [pair for pair in pairs if _as_good(right[pair], most, shares)]
    return min(good, key=lambda pair: (shares.dot(before & ~right[pair]), -shares.dot(right[pair]), sum(pair)))


def _right_at(trials: Sequence[Trial], high: float, low: float, readable: np.ndarray | None) -> np.ndarray:
    """(N,) bool: at the strength that each plate gets, or the nearest that was tried."""
    count = len(trials[0].right)
    wanted = np.full(count, high) if readable is None else high + (low - high) * readable
    nearest = np.abs(np.array([trial.strength for trial in trials])[:, None] - wanted).argmin(axis=0)
    return np.stack([trial.right for trial in trials])[nearest, np.arange(count)]


def _as_good(right: np.ndarray, most: np.ndarray, shares: np.ndarray) -> bool:
    lacking = shares.dot(most.astype(float) - right)
    # McNemar 1947: the error of a difference between judgements of the same plates
    return lacking <= np.sqrt((shares**2).dot(most ^ right))


def equal_shares(sets: Sequence[Sequence]) -> np.ndarray:
    """(N,) for the plates of all sets: each set counts as much as the others, or many tiles would outvote few real
    plates."""
    return np.concatenate([np.full(len(some), 1 / max(1, len(some))) for some in sets])


def _flipped(before: np.ndarray, right: np.ndarray) -> float:
    return float(np.mean(~right[before])) if before.any() else 0.0


def _read(reader: Reader, pictures: Sequence[np.ndarray], plates: Sequence[Given]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool: read right, and (N,) float: the share of characters."""
    lines = [as_read(plate.source, picture) for plate, picture in zip(plates, pictures, strict=True)]
    readings = read_plates(reader, lines)
    matches = [match(read.text, plate.text, plate.country) for read, plate in zip(readings, plates, strict=True)]
    return np.array([each.right for each in matches]), np.array([each.char_rate for each in matches])


def known_plates(tiles: str, split: str, limit: int, seed: int) -> list[Plate]:
    """Plates of one line whose text is known. Raises ValueError where there are none."""
    plates = [p for p in from_tiles(tiles, split).plates if p.text and is_readable(p.text, p.country)]
    if not plates:
        raise ValueError(f"{tiles} holds no tiles of split {split} with a known text of one line")
    return pick(plates, limit or None, seed)


def as_given(examiner: Examiner, pairs: Sequence[Pair]) -> list[Given]:
    """Pictures in which no plate is found are left out: nothing is made of them."""
    plates = []
    for pair in pairs:
        try:
            source = examiner.sources(pair.lq)[0]
        except NoPlateFound:
            continue
        plates.append(Given(source, pair.plate.text, pair.plate.country))
    return plates


def see(examiner: Examiner, plates: Sequence[Given]) -> tuple[np.ndarray, list[Known]]:
    """((N, 3): effective width in px, agreement, and 1 where the enhanced plate was read right; what each source
    reads)."""
    rows, heard = [], []
    for start in tqdm(range(0, len(plates), CHUNK), unit=f" x {CHUNK} plates", disable=None):
        some = plates[start : start + CHUNK]
        for plate, result in zip(some, examiner.enhance([plate.source for plate in some]), strict=True):
            right = match(result.reading.text, plate.text, plate.country).right
            rows.append((result.effective_width, result.agreement.mean, right))
            heard.append(Known(readings_of(result.look, result.reading), plate.text, plate.country))
    return np.array(rows, float), heard


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


def table(measured: np.ndarray, column: int, edges: Sequence[float], name: str) -> list[str]:
    """Its lines."""
    lines = [f"| {name} | plates | read right, % |", "| --- | ---: | ---: |"]
    for low, high in pairwise(edges):
        members = (measured[:, column] >= low) & (measured[:, column] < high)
        if members.any():
            share = 100 * measured[members, 2].mean()
            lines.append(f"| {low:g} to {high:g} | {members.sum()} | {share:.0f} |")
    return lines


def trials_table(trials: Sequence[Trial]) -> list[str]:
    """Its lines."""
    head = ["| strength | plates right, % | characters right, % | flipped, % |", "| ---: | ---: | ---: | ---: |"]
    shares = [(t.strength, 100 * t.right.mean(), 100 * t.characters, 100 * t.flipped) for t in trials]
    return head + ["| {:g} | {:.1f} | {:.1f} | {:.1f} |".format(*each) for each in shares]


def write(checkpoint: str, strengths: tuple[float, float], width: float, rule: Rule) -> None:
    file = Path(checkpoint).with_suffix(".json")
    info = json.loads(read_text(file)) if file.is_file() else {}
    known = dict(zip(("strength", "readable_strength"), strengths, strict=True))
    known |= {"min_effective_width_px": round(width, 1), "answer": asdict(rule)}
    write_text(file, json.dumps(info | known, indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Settings:
    tiles: str = field(type=path, metavar="DIR", help="tile folder of preprocess.py, with texts in its manifest")
    checkpoint: str = field(type=path, metavar="FILE", help="the generator, .keras or .onnx")
    real: tuple[str, ...] = field(
        (), type=path, nargs="+", metavar="DIR", help="folders of real pictures, as tools.benchmarks.real takes them"
    )
    split: str = field("val", metavar="NAME", help="split of the tiles; keep test for judging the generator afterwards")
    limit: int = field(500, metavar="N", help="number of plates; 0: all")
    seed: int = field(0, metavar="N", help="seed of the choice of plates")
    strength: float | None = field(None, metavar="F", help="take this strength, 0 to 1, instead of choosing one")
    write: bool = field(False, help="write strength, width and trust to the JSON beside the checkpoint")

    def __post_init__(self) -> None:
        require(self.strength is None or 0 <= self.strength <= 1, "--strength", "a number of 0 to 1", self.strength)


def calibrate(settings: Settings) -> None:
    """Try the strengths, measure at the best ones, print the tables, write the JSON. Raises ValueError or OSError."""
    generator, reader = load_generator(settings.checkpoint), Reader(keep_steps=True)
    pairs, _ = load(known_plates(settings.tiles, settings.split, settings.limit, settings.seed))
    examiner = Examiner(generator, reader=reader, answerer=find_answerer(settings.checkpoint))
    # tiles go in as they are, real pictures as in use
    tiles = as_given(examiner, pairs)
    detector = load_detector() if settings.real else None
    looking = replace(examiner, detector=detector, layout=detector)
    real = [as_given(looking, known_pairs(folder, reader)[0]) for folder in settings.real]
    plates = [plate for some in (tiles, *real) for plate in some]
    readable = None if examiner.answerer is None else np.array([examiner.readable(each.source) for each in plates])

    trials = try_strengths(generator, reader, plates, readable)
    shares = equal_shares([tiles, *real])
    given = (settings.strength, settings.strength)
    strengths = best(trials, readable, shares) if settings.strength is None else given
    chosen = replace(generator, strength=strengths[0], readable_strength=strengths[1])
    examiner = replace(examiner, generator=chosen)
    measured, heard = see(examiner, tiles)
    width, rule = least_width(measured), fit([heard, *(see(examiner, some)[1] for some in real)])
    if settings.write:
        write(settings.checkpoint, strengths, width, rule)

    trust = ", ".join(f"{source} {weight:g}" for source, weight in rule.weights.items())
    lines = [f"{len(tiles)} tiles, {len(plates) - len(tiles)} real pictures", "", *trials_table(trials), ""]
    lines += [*table(measured, 0, WIDTHS_PX, "effective width, px"), "", *table(measured, 1, AGREEMENTS, "agreement")]
    lines += ["", "strength {:g}, for what can be read as it is {:g}".format(*strengths)]
    lines += [f"min_effective_width_px {width:.1f}: below it fewer than {100 * ENOUGH:.0f} % are read right"]
    lines += [f"answer: {trust}; curve {' '.join(f'{each:g}' for each in rule.trust)}"]
    for line in lines:
        say(line)


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("enhancing.calibrate", calibrate, Settings, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
