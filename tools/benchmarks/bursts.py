"""What several frames of one plate are worth: plates read right from one frame, from the vote, from the combined
picture.

    python -m tools.benchmarks.bursts --checkpoint checkpoints/pretrained/pretrain.keras --count 200

renders plates, makes of each a burst of frames that differ in place, turn, shake and noise, but not in the camera's
faults (those of the frozen benchmark preset), and prints a Markdown table. Nothing is left on disk.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from tqdm import tqdm

from data import degrade
from data.console import say
from data.io import to_float
from data.settings import field, path, require, run_module
from data.straighten import crop_plate
from data.synthetic.rendering import render
from enhancing.burst import combine
from enhancing.drawing import burst_sheet
from enhancing.examining import Examiner
from enhancing.opening import make_source
from enhancing.writing import write_picture
from evaluation.metrics import estimate
from evaluation.tables import share
from models.enhancer import load_generator
from models.shipped import check_checkpoint, default_checkpoint
from reading.answer import vote
from reading.matching import is_two_line, match
from reading.reader import Reader

WAYS = (
    "one frame as it is",
    "one frame enhanced",
    "vote over the frames as they are",
    "vote over the frames enhanced",
    "combined picture",
)
# how far frames of a hand-held or mounted camera lie apart in a tile
SHIFT_PX, TURN_DEG, ZOOM = 5.0, 1.5, 0.03


@dataclass(frozen=True)
class Settings:
    checkpoint: str | None = field(None, type=path, metavar="FILE", help="generator (default: the shipped one)")
    count: int = field(200, metavar="N", help="number of bursts")
    frames: int = field(5, metavar="N", help="frames of each burst")
    seed: int = field(77, metavar="N", help="another seed, other plates")
    show: str | None = field(None, type=path, metavar="DIR", help="folder for pictures of the first twelve bursts")

    def __post_init__(self) -> None:
        require(self.count >= 1, "--count", "at least 1", self.count)
        require(self.frames >= 1, "--frames", "at least 1", self.frames)


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


def plates(seed: int, count: int):
    """(random generator, tile, text, country) of readable plates."""
    index = found = 0
    while found < count:
        photo, corners, text, country = render(seed, index)
        index += 1
        if not is_two_line(text):
            found += 1
            yield np.random.default_rng([seed, index]), to_float(crop_plate(photo, corners)[0]), text, country


def measure(examiner: Examiner, settings: Settings) -> dict[str, list[float]]:
    """For each way of reading, the share of right plates per burst (one frame: the mean over its frames)."""
    right: dict[str, list[float]] = {name: [] for name in WAYS}
    shown = tqdm(plates(settings.seed, settings.count), total=settings.count, unit="burst")
    for number, (rng, tile, text, country) in enumerate(shown):
        sources = [make_source(examiner.generator, frame) for frame in frames_of(rng, tile, settings.frames)]
        results = examiner.enhance(sources)
        burst = combine(results, examiner)
        raw = vote([result.reading_before for result in results], [1] * settings.frames).text
        combined = examiner.reader.read([burst.picture])[0].text

        def is_right(read: str, text: str = text, country: str = country) -> float:
            return float(match(read, text, country).right)

        right[WAYS[0]].append(float(np.mean([is_right(result.reading_before.text) for result in results])))
        right[WAYS[1]].append(float(np.mean([is_right(result.reading.text) for result in results])))
        for name, read in zip(WAYS[2:], (raw, burst.vote.text, combined), strict=True):
            right[name].append(is_right(read))
        if settings.show and number < 12:
            write_picture(settings.show, f"{number:02d}-{text}.png", burst_sheet(results, burst))
    return right


def benchmark(settings: Settings) -> None:
    """Prints the table. Raises ValueError or OSError."""
    generator = load_generator(check_checkpoint(settings.checkpoint or default_checkpoint()))
    right = measure(Examiner(generator, reader=Reader(keep_steps=True), ask_again=True), settings)
    say(f"{settings.count} synthetic bursts of {settings.frames} frames")
    say("| | right (95 % interval) |")
    say("| --- | ---: |")
    for name, shares in right.items():
        say(f"| {name} | {share(estimate(shares))} |")


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("tools.benchmarks.bursts", benchmark, Settings, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
