"""What a generator is worth on real plates, at each strength: crops that can be read as they are, damaged, and enhanced
again.

    python -m tools.benchmarks.crops --pictures ../shared/romanian

The crops need no text beside them: those that the reader reads, at the width of a tile, as a well-formed number are
taken for known. These are the easy ones, and the truth is the reader's; but no renderer drew them.
"""

import argparse
import re
import sys

import numpy as np
from tqdm import tqdm

from data import degrade
from data.console import say
from data.io import open_picture, to_uint8
from data.presets import PRESETS
from data.settings import Parser
from data.synthetic.registrations import ROMANIAN_COUNTIES
from enhancing.calibrate import Given, trials_table, try_strengths
from enhancing.finding import find_inputs
from enhancing.opening import make_source
from models.enhancer import Generator, load_generator
from models.shipped import default_checkpoint
from reading.matching import comparable
from reading.reader import Reader

ROMANIAN = rf"(B[0-9]{{2,3}}|({'|'.join(ROMANIAN_COUNTIES)})[0-9]{{2}})[A-Z]{{3}}"
# at the left of each plate, and often read along
BAND = "RO"


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


def main(argv: list[str] | None = None) -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pictures", required=True, metavar="DIR", help="real crops of plates, readable ones among them"
    )
    parser.add_argument("--checkpoint", metavar="FILE", help="generator (default: the shipped one)")
    parser.add_argument("--pattern", default=ROMANIAN, help="well-formed numbers (default: Romanian ones)")
    parser.add_argument("--preset", default="street", choices=sorted(PRESETS), help="damage (default: street)")
    parser.add_argument("--variants", type=int, default=4, metavar="N", help="damages of each crop (default: 4)")
    parser.add_argument("--seed", type=int, default=9, metavar="N", help="of the damage (default: 9)")
    flags = parser.parse_args(argv)
    try:
        generator, reader = load_generator(flags.checkpoint or default_checkpoint()), Reader()
        known = known_crops(generator, reader, flags.pictures, flags.pattern)
        if not known:
            raise ValueError(f"no crop in {flags.pictures} is read as a number like {flags.pattern}")
        trials = try_strengths(generator, reader, damaged(generator, known, flags.preset, flags.variants, flags.seed))
    except (ValueError, OSError) as error:
        say(f"crops: {error}", error=True)
        return 2
    print(f"{len(known)} crops, {flags.variants} damages of each by {flags.preset}", trials_table(trials), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
