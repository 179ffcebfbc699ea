"""What finding and straightening the plate brings to reading, on real crops and photos.

    python -m tools.benchmarks.framing --real ../shared

prints, for each set of pictures, how many plates and characters the reader gets from the picture as it is, from the
picture restored whole, and from its plate found, straightened and restored. Of really blurred plates what is read with
confidence on the sharp twin counts as the truth. Readings are scored as everywhere: the serial alone, by
reading/matching.py.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.ccpd import CHINA
from data.io import open_picture_8bit
from data.settings import Parser
from enhancing.examining import as_read
from enhancing.opening import NoPlateFound, find_sources, make_source
from models.detector import Detector, load_detector
from models.enhancer import Generator, load_generator, restore_each
from models.shipped import default_checkpoint
from reading.matching import Match, comparable, match
from reading.reader import Reader, read_plates

SURE = 0.9
SETS = ("lpblur", "easypr", "eu", "us")


def known_pictures(folder: Path, name: str, reader: Reader) -> list[tuple[Path, str, str]]:
    """(file, text, country) of each plate whose text is known."""
    if name == "lpblur":
        twins = sorted((folder / name / "hr").iterdir())
        readings = reader.read([open_picture_8bit(str(file)) for file in twins])
        return [
            (folder / name / "lq" / file.name, reading.text, CHINA)
            for file, reading in zip(twins, readings, strict=True)
            if reading.confidence > SURE and comparable(reading.text, CHINA)
        ]
    with (folder / name / "text.csv").open(encoding="utf-8") as file:
        return [(folder / name / row["file"], row["text"], row["country"]) for row in csv.DictReader(file)]


def measure(
    generator: Generator, detector: Detector, reader: Reader, known: list[tuple[Path, str, str]]
) -> Iterator[tuple[str, list[Match]]]:
    """(way, how each plate's serial is read) for each way."""
    inputs, none = {"as it is": [], "whole": [], "found": []}, 0
    for file, *_ in known:
        picture = open_picture_8bit(str(file))
        whole = found = make_source(generator, picture)
        try:
            best = find_sources(generator, picture, detector=detector)[0]
            found = whole if best.corners is None else best
        except NoPlateFound:
            none += 1
        for sources, source in zip(inputs.values(), (whole, whole, found), strict=True):
            sources.append(source)
    straightened = sum(source.corners is not None for source in inputs["found"])
    print(f"  {len(known)} pictures, {straightened} straightened, {none} said to hold no plate (here taken whole)")
    every = {id(source): source for source in (*inputs["whole"], *inputs["found"])}
    restored = restore_each(generator, [source.lq for source in every.values()])
    shown = dict(zip(every, restored, strict=True))
    for way, sources in inputs.items():
        lines = [as_read(each, each.lq if way == "as it is" else shown[id(each)]) for each in sources]
        readings = read_plates(reader, lines)
        yield way, [match(each.text, *truth) for each, (_, *truth) in zip(readings, known, strict=True)]


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="python -m tools.benchmarks.framing", description=__doc__.split("\n")[0])
    parser.add_argument("--real", type=Path, required=True, help="folder with `real/`, as in the project's own tests")
    parser.add_argument("--detector", type=Path, help="another network than the shipped one (.onnx or .keras)")
    parser.add_argument("--checkpoint", help="generator (default: the shipped one)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    flags = parser.parse_args(argv)
    generator, reader = load_generator(flags.checkpoint or default_checkpoint()), Reader()
    detector = load_detector(flags.detector) if flags.detector else load_detector()
    for name in flags.sets:
        print(name, flush=True)
        known = known_pictures(flags.real / "real", name, reader)
        before = None
        for way, matches in measure(generator, detector, reader, known):
            right = np.array([each.right for each in matches])
            before = right if before is None else before
            flips = f"{int((before & ~right).sum())} of {int(before.sum())} flipped"
            characters = np.mean([each.char_rate for each in matches])
            print(f"  {way}: plates {right.mean():.3f}, characters {characters:.3f}, {flips}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
