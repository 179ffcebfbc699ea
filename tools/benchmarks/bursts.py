"""What several frames of one plate are worth: plates read right from one frame, from the best one, from all of them.

    python -m tools.benchmarks.bursts --count 100
    python -m data.synthetic --film --out datasets/films --count 50 --seed 9377
    python -m tools.benchmarks.bursts --films datasets/films

The first line renders plates, and makes of each a burst of frames that differ in place, turn, shake and noise, but not
in the camera's faults (those of the frozen benchmark preset); they go the way of `enhance.py --burst`. The last one
follows the plates of rendered films as `enhance.py` does, and takes of each its best frames, as many all along its way,
and as many in a row from where it is small. Prints a Markdown table; nothing is left on disk.
"""

import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from data import degrade
from data.console import say
from data.film import open_film
from data.io import to_float
from data.settings import field, path, require, run_module
from data.straighten import crop_plate, plate_width
from data.synthetic.rendering import render
from enhancing.burst import combine
from enhancing.drawing import burst_sheet
from enhancing.examining import Examiner, make_examiner
from enhancing.films import Followed, View, combine_views, contact_sheet, follow, plates_in_frames, plates_near
from enhancing.track_scores import LabelledTrack, rates, read_track
from enhancing.writing import write_picture
from evaluation.tables import share
from models.detector import Detector
from models.shipped import check_checkpoint, default_checkpoint
from reading.matching import is_readable, is_two_line

# how far frames of a hand-held or mounted camera lie apart in a tile
SHIFT_PX, TURN_DEG, ZOOM = 5.0, 1.5, 0.03
# the width of a plate that is hard to read, and the largest mean width of such frames
SMALL_PX, SMALL_MOST_PX = 36, 46
# a plate is where the truth says if their middles lie within this share of its width, at the same time
NEAR, SAME_TIME_S = 0.3, 0.02
BURSTS = "bursts"
BEST_VIEWS, EVEN_VIEWS = "films, best frames", "films, frames all along"
SMALL_VIEWS = f"films, frames in a row of some {SMALL_PX} px"
PICTURES = 12


@dataclass(frozen=True)
class Settings:
    checkpoint: str | None = field(None, type=path, metavar="FILE", help="generator (default: the shipped one)")
    count: int = field(200, metavar="N", help="number of bursts")
    frames: int = field(5, metavar="N", help="frames of each burst or track")
    seed: int = field(77, metavar="N", help="of bursts: another seed, other plates")
    films: str | None = field(
        None, type=path, metavar="DIR", help="films and their truth, by data.synthetic --film, in place of bursts"
    )
    show: str | None = field(
        None, type=path, metavar="DIR", help="folder for pictures of the first twelve bursts or tracks"
    )

    def __post_init__(self) -> None:
        require(self.count >= 1, "--count", "at least 1", self.count)
        require(self.frames >= 1, "--frames", "at least 1", self.frames)


class Read(NamedTuple):
    """What each way reads of one plate. film: tracks of one film are not independent."""

    track: LabelledTrack
    texts: dict[str, list[str]]
    film: str


# --- Bursts -----------------------------------------------------------------------------------------------------------


def frames_of(rng: np.random.Generator, tile: np.ndarray, count: int) -> list[np.ndarray]:
    """(H, W, 3) float tile -> frames: one camera with its faults, other places, angles of shake and noise."""
    steps = degrade.sample(rng, "benchmark")
    return [degrade.apply(_moved(rng, tile), [_again(rng, step) for step in steps]) for _ in range(count)]


def _moved(rng: np.random.Generator, tile: np.ndarray) -> np.ndarray:
    height, width = tile.shape[:2]
    warp = cv2.getRotationMatrix2D(
        (width / 2, height / 2), rng.uniform(-TURN_DEG, TURN_DEG), 1 + rng.uniform(-ZOOM, ZOOM)
    )
    warp[:, 2] += rng.uniform(-SHIFT_PX, SHIFT_PX, 2)
    moved = cv2.warpAffine(tile, warp, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(moved, 0, 1)


def _again(rng: np.random.Generator, step: dict) -> dict:
    again = dict(step)
    if "seed" in step:
        again["seed"] = int(rng.integers(2**31))
    if "angle" in step:
        again["angle"] = step["angle"] + rng.normal(0, 15)
    return again


def plates(seed: int, count: int) -> Iterator[tuple[np.random.Generator, np.ndarray, str, str]]:
    """(random generator, tile, text, country) of readable plates."""
    index = found = 0
    while found < count:
        photo, corners, text, country = render(seed, index)
        index += 1
        if not is_two_line(text):
            found += 1
            yield np.random.default_rng([seed, index]), to_float(crop_plate(photo, corners)[0]), text, country


def read_bursts(examiner: Examiner, settings: Settings) -> list[Read]:
    """examiner: with a reader that keeps its steps, and a detector."""
    read = []
    shown = tqdm(plates(settings.seed, settings.count), total=settings.count, unit="burst")
    for number, (rng, tile, text, country) in enumerate(shown):
        frames = frames_of(rng, tile, settings.frames)
        results = examiner.enhance([examiner.sources(frame)[0] for frame in frames])
        burst = combine(results, examiner)
        name = f"{number:02d}-{text}.png"
        read.append(Read(LabelledTrack(name, (), text, country), read_track(results, burst), name))
        if settings.show and number < PICTURES:
            write_picture(settings.show, name, burst_sheet(results, burst))
    return read


# --- Films ------------------------------------------------------------------------------------------------------------


class Truth(NamedTuple):
    """A plate in one frame of a film; corners: (4, 2) px."""

    seconds: float
    car: str
    corners: np.ndarray
    text: str
    country: str


def read_truth(film: Path) -> list[Truth]:
    with open(film.with_suffix(".csv"), newline="", encoding="utf-8") as file:
        return [
            Truth(float(row["seconds"]), row["car"], _corners(row), row["text"], row["country"])
            for row in csv.DictReader(file)
        ]


def _corners(row: dict[str, str]) -> np.ndarray:
    return np.array([[float(row[f"{axis}{corner}"]) for axis in "xy"] for corner in range(1, 5)])


def car_of(followed: Followed, truths: Sequence[Truth]) -> Truth | None:
    """The truth of the plate that was followed, in one of its frames; None where it is no plate."""
    seen = [truth for view in followed.views for truth in truths if _same(view, truth)]
    cars = Counter(truth.car for truth in seen)
    return next(truth for truth in seen if truth.car == cars.most_common(1)[0][0]) if cars else None


def _same(view: View, truth: Truth) -> bool:
    apart = np.linalg.norm(view.corners.mean(axis=0) - truth.corners.mean(axis=0))
    return abs(view.seconds - truth.seconds) < SAME_TIME_S and apart < NEAR * plate_width(truth.corners)


def best_views(views: Sequence[View], count: int) -> list[View]:
    """As a film's plate is combined, of fewer views."""
    return sorted(views, key=lambda view: -view.worth)[:count]


def even_views(views: Sequence[View], count: int) -> list[View]:
    """Evenly over the time in which the plate is seen."""
    views = sorted(views, key=lambda view: view.seconds)
    return [views[round(place)] for place in np.linspace(0, len(views) - 1, count)] if len(views) >= count else []


def small_views(views: Sequence[View], count: int) -> list[View]:
    """As many in a row, where the plate is nearest to `SMALL_PX`; none if it never is that small."""
    views = sorted(views, key=lambda view: view.seconds)
    rows = [views[start : start + count] for start in range(len(views) - count + 1)]
    widths = [float(np.mean([view.plate_px for view in row])) for row in rows]
    if not rows or min(widths) > SMALL_MOST_PX:
        return []
    return rows[int(np.argmin([abs(width - SMALL_PX) for width in widths]))]


CHOICES: dict[str, Callable[[Sequence[View], int], list[View]]] = {
    BEST_VIEWS: best_views,
    EVEN_VIEWS: even_views,
    SMALL_VIEWS: small_views,
}


def follow_plates(film: Path, detector: Detector) -> tuple[list[tuple[Followed, Truth]], Counter]:
    """(the plates followed and what they are, how many were shown, followed, and followed but none). Of a plate that
    was lost and found again, the longest track."""
    truths, longest, counts = read_truth(film), {}, Counter()
    with open_film(str(film)) as opened:
        for followed in follow(opened.frames, plates_in_frames(detector), plates_near(detector), keep=sys.maxsize):
            truth = car_of(followed, truths)
            counts["none"] += truth is None
            if truth is not None:
                known = longest.setdefault(truth.car, (followed, truth))
                longest[truth.car] = max(known, (followed, truth), key=lambda each: len(each[0].views))
    counts["shown"] = len({truth.car for truth in truths})
    counts["followed"] = len(longest)
    return list(longest.values()), counts


def read_films(examiner: Examiner, settings: Settings) -> tuple[dict[str, list[Read]], Counter]:
    """(what is read, by the choice of frames; the counts of `follow_plates`). examiner: as for bursts. ValueError for
    a folder without films."""
    films = sorted(Path(settings.films).glob("*.mp4"))
    if not films:
        raise ValueError(f"--films {settings.films}: no films; python -m data.synthetic --film makes some")
    read, counts = {name: [] for name in CHOICES}, Counter()
    for film in tqdm(films, unit="film"):
        found, own = follow_plates(film, examiner.detector)
        counts += own
        for followed, truth in found:
            for name, choose in CHOICES.items():
                views = choose(followed.views, settings.frames)
                if is_readable(truth.text, truth.country) and len(views) == settings.frames:
                    sheets = Path(settings.show, name) if settings.show and len(read[name]) < PICTURES else None
                    read[name].append(_read_track(examiner, replace(followed, views=views), truth, film, sheets))
    return read, counts


def _read_track(examiner: Examiner, followed: Followed, truth: Truth, film: Path, sheets: Path | None) -> Read:
    views, results, burst = combine_views(examiner, followed)
    name = f"{film.stem}-car-{truth.car}"
    if sheets:
        write_picture(str(sheets), f"{name}.png", contact_sheet(views, results, burst))
    return Read(LabelledTrack(name, (), truth.text, truth.country), read_track(results, burst), film.stem)


# --- The table --------------------------------------------------------------------------------------------------------


def table(read: dict[str, list[Read]]) -> list[str]:
    """Lines of Markdown: plates and characters that each way reads right, by the choice of frames."""
    figures = {
        name: rates([each.track for each in some], [each.texts for each in some], [each.film for each in some])
        for name, some in read.items()
        if some
    }
    if not figures:
        return ["no plate with so many frames"]
    head = " | ".join(f"{name}, n = {len(read[name])}" for name in figures)
    lines = [f"| | {head} |", "| --- |" + " ---: |" * len(figures)]
    for way in next(iter(figures.values())):
        cells = (f"{share(each[way]['plate_acc'])}; {share(each[way]['char_acc'], False)}" for each in figures.values())
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


def benchmark(settings: Settings) -> None:
    """Prints the table. Raises ValueError or OSError."""
    examiner = make_examiner(check_checkpoint(settings.checkpoint or default_checkpoint()), read=True, find=True)
    if settings.films:
        read, counts = read_films(examiner, settings)
        say(f"{counts['followed']} of {counts['shown']} plates followed, and {counts['none']} tracks of something else")
    else:
        read = {BURSTS: read_bursts(examiner, settings)}
    say(f"{settings.frames} frames of each plate: right (95 % interval); characters")
    for line in table(read):
        say(line)


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("tools.benchmarks.bursts", benchmark, Settings, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
