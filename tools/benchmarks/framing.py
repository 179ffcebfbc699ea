"""What finding and straightening the plate brings to reading, on real crops and photos.

    python -m tools.benchmarks.framing --real ../shared

prints, for each set of pictures, how many plates and characters the reader gets from the picture as it is, from the
picture restored whole, and from its plate found, straightened and restored. Of really blurred plates what is read with
confidence on the sharp twin counts as the truth.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.io import open_picture_8bit
from enhancing.examining import as_read
from enhancing.opening import NoPlateFound, find_sources, make_source
from models.detector import Detector, load_detector
from models.enhancer import Generator, load_generator, restore_each
from models.shipped import default_checkpoint
from reading.matching import comparable, edit_distance
from reading.reader import Reader, join

SURE = 0.9
SETS = ("lpblur", "easypr", "eu", "us")


def known_pictures(folder: Path, name: str, reader: Reader) -> list[tuple[Path, str]]:
    """(file, Latin letters and digits of its plate)."""
    if name == "lpblur":
        twins = sorted((folder / name / "hr").iterdir())
        readings = reader.read([open_picture_8bit(str(file)) for file in twins])
        return [
            (folder / name / "lq" / file.name, latin(reading.text))
            for file, reading in zip(twins, readings, strict=True)
            if reading.confidence > SURE
        ]
    with (folder / name / "text.csv").open(encoding="utf-8") as file:
        return [(folder / name / row["file"], latin(row["text"])) for row in csv.DictReader(file)]


def latin(text: str) -> str:
    return "".join(char for char in comparable(text, country="") if char.isascii() and char.isalnum())


def measure(
    generator: Generator, detector: Detector, reader: Reader, known: list[tuple[Path, str]]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(way, plates read whole (N,) bool, share of each plate's characters (N,)) for each way."""
    texts, inputs, counts = [text for _, text in known], {"as it is": [], "whole": [], "found": []}, [0, 0]
    for file, _ in known:
        picture = open_picture_8bit(str(file))
        whole = make_source(generator, picture)
        try:
            found = find_sources(generator, picture, detector=detector)[0]
        except NoPlateFound:
            found = whole
            counts[1] += 1
        counts[0] += found.corners is not None
        inputs["as it is"].append(whole)
        inputs["whole"].append(whole)
        inputs["found"].append(found)
    print(f"  {len(known)} pictures, {counts[0]} straightened, {counts[1]} said to hold no plate (here taken whole)")
    for way, sources in inputs.items():
        pictures = [source.lq for source in sources]
        shown = pictures if way == "as it is" else restore_each(generator, pictures)
        lines = [as_read(source, picture) for source, picture in zip(sources, shown, strict=True)]
        readings = iter(reader.read([line for some in lines for line in some]))
        read = [latin(join([next(readings) for _ in some]).text) for some in lines]
        right = np.array([text == truth for text, truth in zip(read, texts, strict=True)])
        shares = [
            max(0.0, 1 - edit_distance(text, truth) / len(truth)) for text, truth in zip(read, texts, strict=True)
        ]
        yield way, right, np.array(shares)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.benchmarks.framing", description=__doc__.split("\n")[0])
    parser.add_argument("--real", type=Path, required=True, help="folder with `real/`, as in the project's own tests")
    parser.add_argument("--detector", type=Path, help="another network than the shipped one (.onnx or .keras)")
    parser.add_argument("--checkpoint", help="generator (default: the shipped one)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    flags = parser.parse_args(argv)
    generator, reader = load_generator(flags.checkpoint or default_checkpoint()), Reader()
    detector = load_detector(flags.detector) if flags.detector else load_detector()
    for name in flags.sets:
        print(name, flush=True)
        before = None
        for way, right, shares in measure(
            generator, detector, reader, known_pictures(flags.real / "real", name, reader)
        ):
            before = right if before is None else before
            flips = f", {int((before & ~right).sum())} of {int(before.sum())} flipped"
            print(f"  {way}: plates {right.mean():.3f}, characters {shares.mean():.3f}{flips}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
