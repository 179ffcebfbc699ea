"""What a generator is worth on real plates, at each strength: crops that can be read as they are, damaged, and enhanced
again.

    python -m tools.benchmarks.crops --pictures ../shared/romanian

The crops need no text beside them: those that the reader reads, at the width of a tile, as a well-formed number are
taken for known. These are the easy ones, and the truth is the reader's; but no renderer drew them.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from data import degrade
from data.console import say
from data.io import open_picture, to_uint8
from data.sampler import PRESETS
from data.settings import field, path, run_module
from data.synthetic.registrations import ROMANIAN_COUNTIES
from enhancing.calibrate import Given, trials_table, try_strengths
from enhancing.finding import find_inputs
from enhancing.opening import make_source
from models.enhancer import Generator, load_generator
from models.shipped import check_checkpoint, default_checkpoint
from reading.matching import comparable
from reading.reader import Reader

ROMANIAN = rf"(B[0-9]{{2,3}}|({'|'.join(ROMANIAN_COUNTIES)})[0-9]{{2}})[A-Z]{{3}}"
# at the left of each plate, and often read along
BAND = "RO"


@dataclass(frozen=True)
class Settings:
    pictures: str = field(type=path, metavar="DIR", help="real crops of plates, readable ones among them")
    checkpoint: str | None = field(None, type=path, metavar="FILE", help="generator (default: the shipped one)")
    pattern: str = field(ROMANIAN, metavar="REGEX", help="well-formed numbers")
    preset: str = field("street", choices=sorted(PRESETS), help="preset of the damage")
    variants: int = field(4, metavar="N", help="damages of each crop")
    seed: int = field(9, metavar="N", help="seed of the damage")


def known_crops(generator: Generator, reader: Reader, folder: str, pattern: str) -> list[tuple[str, np.ndarray]]:
    """(number, the crop at working size, float32 in [0, 1]) of those that are read as a number of this pattern."""
    paths = [found.path for found in find_inputs([folder], "") if not found.problem and not found.skipped]
    crops = [make_source(generator, open_picture(path)).lq for path in tqdm(paths, unit="crop", disable=None)]
    numbers = [comparable(reading.text, "").removeprefix(BAND) for reading in reader.read(crops)]
    return [(number, crop) for number, crop in zip(numbers, crops, strict=True) if re.fullmatch(pattern, number)]


def damaged(
    generator: Generator, known: list[tuple[str, np.ndarray]], preset: str, variants: int, seed: int
) -> list[Given]:
    """`variants` damaged versions of each crop, the same ones for every generator."""
    plates = []
    for index, (number, crop) in enumerate(known):
        for variant in range(variants):
            rng = np.random.default_rng([seed, index, variant])
            lq = to_uint8(degrade.apply(crop, degrade.sample(rng, preset)))
            plates.append(Given(make_source(generator, lq), number, ""))
    return plates


def benchmark(settings: Settings) -> None:
    """Prints the table. Raises ValueError or OSError."""
    generator = load_generator(check_checkpoint(settings.checkpoint or default_checkpoint()))
    reader = Reader()
    known = known_crops(generator, reader, settings.pictures, settings.pattern)
    if not known:
        raise ValueError(f"no crop in {settings.pictures} is read as a number like {settings.pattern}")
    given = damaged(generator, known, settings.preset, settings.variants, settings.seed)
    say(f"{len(known)} crops, {settings.variants} damages of each by {settings.preset}")
    for line in trials_table(try_strengths(generator, reader, given)).splitlines():
        say(line)


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("tools.benchmarks.crops", benchmark, Settings, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
