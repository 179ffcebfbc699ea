"""The recogniser in use: what it reads in a picture itself, without drawing another one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.enhancer import from_farther, padded
from models.loading import ONNX, Backend, Run, in_batches, load_archive, open_onnx, run_of
from models.shipped import SUFFIXES, read_info

# the name of the archive beside the generators
STEM = "recogniser"
# what training shows it: a strip from the middle of a straightened plate's tile
STRIP_PX = (64, 192)
# how large a plate is shown, against its size in the generator's input
ZOOMS = (1.0, 0.92, 0.85)
# of the strip's width that a line of two takes
LINE_SHARE = 0.8


@dataclass(frozen=True)
class Answerer:
    """run: pictures (N, H, W, 3) float32 in [0, 1], H and W divisible by 16 -> probabilities (N, W / 4,
    1 + len(characters)) float32, from left to right. Class 0 is CTC's blank, the others are `characters`, in this
    order."""

    run: Run
    characters: str

    def read(self, strips: Sequence[np.ndarray]) -> list[np.ndarray]:
        """strips: (h, w, 3) each, of any sizes. Returns their probabilities (w / 4, 1 + len(characters))."""
        return in_batches(self.run, [padded(np.asarray(strip, np.float32)) for strip in strips])


def find_answerer(checkpoint: str | Path, backend: Backend = ONNX) -> Answerer | None:
    """The recogniser beside a generator's file, else the one that its `.keras` archive carries, as its JSON says; None
    without either. backend: the generator's. Raises ValueError for a file that cannot be loaded."""
    found = answerer_file(checkpoint)
    return found and load_answerer(found, backend)


def answerer_file(checkpoint: str | Path) -> Path | None:
    """Where the recogniser of a generator's file stands, as `find_answerer` looks for it."""
    path = Path(checkpoint)
    beside = (path.with_name(STEM + suffix) for suffix in SUFFIXES)
    if (found := next((file for file in beside if file.is_file()), None)) is not None:
        return found
    return path if path.suffix.lower() == ".keras" and "characters" in read_info(path) else None


def load_answerer(path: str | Path, backend: Backend = ONNX) -> Answerer | None:
    """From a recogniser's `.onnx` or `.keras` file, or from a generator's archive; None where that carries no
    recogniser, or one without names for characters. Raises ValueError for a file that cannot be loaded."""
    path = Path(path)
    info = read_info(path)
    if path.suffix.lower() == ".onnx":
        run, stored = open_onnx(path, backend)
        return Answerer(run, _characters(path, info or stored))
    model = load_archive(path)
    # late: keras takes seconds
    from models.recogniser import NAME, recogniser_of, with_probabilities

    if model.name == NAME:
        recogniser, characters = model, _characters(path, info)
    elif (carried := recogniser_of(model)) is not None:
        recogniser, characters = carried
    else:
        return None
    return Answerer(run_of(with_probabilities(recogniser)), characters)


def views_of(picture: np.ndarray, zooms: Sequence[float] = ZOOMS) -> list[np.ndarray]:
    """A generator's input, (h, 192, 3), as the recogniser looks at it: the strip in its middle, as it is and from
    farther away. Plates whose corners are too tight, or that fill their picture, are read better from there, others
    as they are, and all views together better than any one (docs/EXPERIMENTS.md)."""
    return [_strip(from_farther(picture, zoom)) for zoom in zooms]


def views_of_line(line: np.ndarray, zooms: Sequence[float] = ZOOMS) -> list[np.ndarray]:
    """The same of one of a plate's two lines, (h, w, 3), which is cut tight."""
    return [framed(line, LINE_SHARE * zoom) for zoom in zooms]


def _strip(picture: np.ndarray) -> np.ndarray:
    top = max(0, (picture.shape[0] - STRIP_PX[0]) // 2)
    return picture[top : top + STRIP_PX[0]]


def framed(line: np.ndarray, share: float) -> np.ndarray:
    """One line of a plate, (h, w, 3) cut tight, as in a strip of training: `share` of the width, or as high as fits."""
    height, width = STRIP_PX
    factor = min(share * width / line.shape[1], share * height / line.shape[0])
    size = max(1, round(line.shape[1] * factor)), max(1, round(line.shape[0] * factor))
    small = np.clip(cv2.resize(line, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC), 0, 1)
    return _with_border(small, height - size[1], width - size[0])


def _with_border(picture: np.ndarray, down: int, across: int) -> np.ndarray:
    """The picture in the middle of one that is so many px higher and wider; its border drawn out."""
    sides = down // 2, down - down // 2, across // 2, across - across // 2
    return cv2.copyMakeBorder(picture, *sides, cv2.BORDER_REPLICATE)


def _characters(path: Path, info: dict) -> str:
    characters = info.get("characters")
    if not isinstance(characters, str) or not characters:
        raise ValueError(f"{path}: neither it nor a JSON beside it names the recogniser's characters")
    return characters
