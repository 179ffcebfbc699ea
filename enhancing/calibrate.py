"""From which effective width on is a generator to be believed? Measured on tiles whose text is known, and written to its JSON.

    python -m enhancing.calibrate --tiles datasets/tiles --checkpoint checkpoints/mine/generator.keras --write

prints the plates read right by effective width as enhance.py measures it (from the picture alone: the true degradation of a
user's picture is unknown) and by agreement. With --write, `min_effective_width_px` in the JSON beside the checkpoint becomes
the width below which fewer than half of the plates are read right; enhance.py warns below it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from enhancing.checkpoints import load_second
from enhancing.examining import Examiner
from enhancing.files import replacing
from enhancing.pictures import as_float
from enhancing.sources import make_source
from evaluation.matching import match
from evaluation.metrics import is_readable
from evaluation.plates import from_tiles, load, pick
from evaluation.reader import Reader
from models.enhancer import load_generator

ENOUGH = 0.5  # of plates read right
WIDTHS_PX = (0, 10, 15, 20, 25, 30, 40, 50, 70, 100, np.inf)
AGREEMENTS = (0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.01)
CHUNK = 32


def measure(examiner: Examiner, tiles: str, split: str, limit: int, seed: int) -> np.ndarray:
    """(N, 3): effective width in px, agreement, and 1 where the enhanced plate was read right."""
    plates = [p for p in from_tiles(tiles, split).plates if p.text and is_readable(p.text, p.country)]
    if not plates:
        raise ValueError(f"{tiles} holds no tiles of split {split} with a known text of one line")
    chosen = pick(plates, limit or None, seed)
    rows = []
    for start in tqdm(range(0, len(chosen), CHUNK), unit=f" x {CHUNK} plates", disable=None):
        pairs, _ = load(chosen[start : start + CHUNK])
        results = examiner.enhance([make_source(examiner.generator, as_float(pair.lq)) for pair in pairs])
        for pair, result in zip(pairs, results, strict=True):
            right = match(result.reading.text, pair.plate.text, pair.plate.country).right
            rows.append((result.effective_width, result.agreement.mean, right))
    return np.array(rows, float)


def least_width(measured: np.ndarray) -> float:
    """The effective width at which a share of `ENOUGH` is read right: the crossing that splits the plates best, that is the
    width with the fewest plates below it that are right and above it that are wrong."""
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


def write(checkpoint: str, width: float) -> None:
    path = Path(checkpoint).with_suffix(".json")
    info = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    with replacing(str(path), "w", encoding="utf-8") as file:
        json.dump({**info, "min_effective_width_px": round(width, 1)}, file, indent=2, ensure_ascii=False)
        file.write("\n")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--tiles", required=True, help="a tile folder with a manifest")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=500, help="plates; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of plates")
    parser.add_argument("--write", action="store_true", help="write the width to the JSON beside the checkpoint")
    arguments = parser.parse_args(argv)
    try:
        generator = load_generator(arguments.checkpoint)
        second = load_second(arguments.checkpoint, generator)
        examiner = Examiner(generator, second, Reader(), ask_again=True)
        measured = measure(examiner, arguments.tiles, arguments.split, arguments.limit, arguments.seed)
        width = least_width(measured)
        if arguments.write:
            write(arguments.checkpoint, width)
    except (ValueError, OSError) as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 2
    print(table(measured, 0, WIDTHS_PX, "effective width, px"), table(measured, 1, AGREEMENTS, "agreement"), sep="\n\n")
    print(f"\nmin_effective_width_px {width:.1f}: below it fewer than {100 * ENOUGH:.0f} % are read right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
