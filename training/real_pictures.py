"""Scores a generator on folders of real pictures during training, since rendered tiles may say little about these.

    DIR/NAME + DIR/text.csv (file,text,country)    pictures whose texts are known
    DIR/{lq,hr}/NAME                               pairs; what the reader reads in hr, and is sure of, is the text

Every picture is prepared as in use: straightened by the detector's corners where the detector is sure of a plate, else
whole. They are for validation alone; nothing is trained on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.io import to_float, to_uint8
from data.labelled import Failure
from data.straighten import straighten, tile_size
from evaluation.metrics import harm
from evaluation.scoring import known_pairs
from models.detector import PRETRAINED, SCORE, Detector, load_detector
from models.enhancer import Generator, restore_each, to_working_size
from reading.matching import match
from reading.reader import Reader

FIGURES = ("char_acc", "plate_acc", "flip_rate", "confidently_wrong")


@dataclass(frozen=True)
class RealPictures:
    """The pictures of one folder. tiles: as the generator takes them, (h, w, 3) float32 in [0, 1]. right: whether the
    reader reads each one right before enhancing."""

    name: str
    tiles: list[np.ndarray]
    texts: list[str]
    countries: list[str]
    right: list[bool]
    reader: Reader

    def columns(self) -> list[str]:
        """The names of the figures, as in log.csv."""
        return [f"real_{self.name}_{figure}" for figure in FIGURES]

    def figures(self, generator: Generator) -> dict[str, float]:
        """Column -> figure: characters and plates read right; of the plates read right before, the share read wrong now
        (None where there are none); the share read wrong by a reader that is sure of it."""
        readings = self.reader.read([to_uint8(sr) for sr in restore_each(generator, self.tiles)])
        matches = [match(*each) for each in zip([r.text for r in readings], self.texts, self.countries, strict=True)]
        harmed = harm(self.right, [m.right for m in matches], [r.confidence for r in readings], resamples=0)
        found = [
            float(np.mean([m.char_rate for m in matches])),
            float(np.mean([m.right for m in matches])),
            harmed["flip_rate"]["value"],
            harmed["confidently_wrong"]["value"],
        ]
        return dict(zip(self.columns(), found, strict=True))


def open_all(folders: Sequence[str], generator: Generator) -> tuple[list[RealPictures], list[str]]:
    """The folders of --real, as the generator will be shown them, and a line on each. Raises ValueError for one that
    holds no picture with a text, and for two of one name."""
    names = [Path(folder).resolve().name for folder in folders]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"--real: two folders are called {twice[0]}, and so would their columns in log.csv")
    if not folders:
        return [], []
    reader, detector = Reader(), load_detector() if PRETRAINED.exists() else None
    opened = [_open(*each, generator, reader, detector) for each in zip(names, folders, strict=True)]
    found, lines = [real for real, _ in opened], []
    for real, failures in opened:
        unused = f"; {len(failures)} cannot be used, the first: {failures[0].reason}" if failures else ""
        share = f"{100 * np.mean(real.right):.0f} % are read as they are"
        lines.append(f"real pictures {real.name}: {len(real.tiles)}, of which {share}{unused}")
    return found, lines


def _open(
    name: str, folder: str, generator: Generator, reader: Reader, detector: Detector | None
) -> tuple[RealPictures, list[Failure]]:
    try:
        pairs, failures = known_pairs(folder, reader)
    except ValueError as error:
        raise ValueError(f"--real {error}") from error
    texts, countries = [pair.plate.text for pair in pairs], [pair.plate.country for pair in pairs]
    tiles = [to_working_size(generator, to_float(_as_in_use(pair.lq, detector))) for pair in pairs]
    read = [reading.text for reading in reader.read([to_uint8(tile) for tile in tiles])]
    right = [match(*each).right for each in zip(read, texts, countries, strict=True)]
    return RealPictures(name, tiles, texts, countries, right, reader), failures


def _as_in_use(picture: np.ndarray, detector: Detector | None) -> np.ndarray:
    found = detector.detect(picture, SCORE) if detector is not None else []
    return straighten(picture, found[0].corners, tile_size(found[0].corners)) if found else picture
