"""Before and after, side by side, of pictures spread evenly over a folder: the same ones every time, not a choice.

    python -m tools.gallery --pictures ../shared/romanian --out docs/romanian.jpg

There is no truth to compare with; the captions say what the reader makes of each, and whether `enhance.py` would warn.
"""

import argparse
import sys
from pathlib import Path

import cv2
from PIL import Image
from tqdm import tqdm

from data.console import say
from data.io import to_uint8
from data.settings import Parser
from enhancing.drawing import sheet
from enhancing.examining import Examiner
from enhancing.finding import find_inputs
from enhancing.opening import load_sources
from models.enhancer import load_generator, load_second
from models.shipped import default_checkpoint
from reading.reader import Reader
from training.tile_pairs import spread_evenly

COLUMNS, SHRINK = 8, 0.5


def panels(examiner: Examiner, path: str) -> list:
    result = examiner.enhance(load_sources(examiner.generator, path))[0]
    before, after = (reading.text or "nothing" for reading in (result.reading_before, result.reading))
    warned = " (warned)" if result.warnings else ""
    return [(f"before: {before}", result.source.lq), (f"after: {after}{warned}", result.look.sr)]


def main(argv: list[str] | None = None) -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", required=True, metavar="DIR", help="pictures of plates")
    parser.add_argument("--out", required=True, metavar="FILE", help="the sheet, .jpg or .png")
    parser.add_argument("--count", type=int, default=40, metavar="N", help="how many of them, 0: all (default: 40)")
    parser.add_argument("--checkpoint", metavar="FILE", help="generator (default: the shipped one)")
    flags = parser.parse_args(argv)
    paths = [found.path for found in find_inputs([flags.pictures], "") if not found.problem and not found.skipped]
    if not paths:
        say(f"gallery: no pictures in {flags.pictures}", error=True)
        return 2
    chosen = [paths[index] for index in spread_evenly(len(paths), flags.count)]
    checkpoint = flags.checkpoint or default_checkpoint()
    generator = load_generator(checkpoint)
    examiner = Examiner(generator, load_second(checkpoint, generator), Reader(keep_steps=True), ask_again=True)
    shown = [panel for path in tqdm(chosen, unit="picture") for panel in panels(examiner, path)]
    drawn = cv2.resize(to_uint8(sheet(shown, [], COLUMNS)), None, fx=SHRINK, fy=SHRINK, interpolation=cv2.INTER_AREA)
    Image.fromarray(drawn).save(Path(flags.out), quality=88)
    return 0


if __name__ == "__main__":
    sys.exit(main())
