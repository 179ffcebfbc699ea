"""Reads plates with the model that the wheel of `rapidocr` carries (PP-OCRv6): no download.

Only its recognition model is used, on the whole picture: its detector was made for pages. The model is run in ONNX
Runtime directly, not through `RapidOCR.__call__`. Measured on 228 degraded tiles of 38 real Chinese plates:

- A 96 x 192 tile goes in at 48 x 192, not at 48 x 96 padded to 48 x 320. That gives twice the time steps in which to
  tell eight characters apart (serials read right 57 % instead of 49 %, whole texts 17 % instead of 5 %), in half the
  time.
- Pictures go in batches.
- The probabilities of each time step are kept. They tell how sure each character is.

It also starts in a quarter of a second of CPU time instead of 1.3: nothing of rapidocr's own code is loaded.

A plate of two lines is cut at the gap between them, and its lines are read one by one.

Pictures are (H, W, 3) RGB, uint8 or float in [0, 1], of any size.
"""

import importlib.util
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from data.ccpd import PROVINCES
from data.console import prepare_libraries
from data.io import to_float
from reading.matching import comparable

MODEL = "models/PP-OCRv*_rec_*.onnx"
# the entry of its file that lists them
CHARACTERS = "character"
# of the model's input
HEIGHT_PX = 48
# a tile's, and those of crops that are wider than 4:1 by their own aspect
WIDTHS_PX = (192, 256, 320)
BATCH_SIZE = 8
BLANK = ""
OTHER = "?"
# What a time step can say: nothing (blank or decoration), a character of a plate, or anything else.
ALPHABET = (BLANK, *"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", *PROVINCES.removesuffix("O"), OTHER)


@dataclass(frozen=True)
class Reading:
    """What the reader saw.

    text: as read, decoration included. confidence: the mean of `confidences`, 0 where nothing was read. confidences:
    the probability of each character of `text`. steps: (T, len(ALPHABET)) float32, the probabilities of `ALPHABET` at
    each time step from left to right, each row summing to 1; None when the reader was told not to keep them.
    """

    text: str
    confidence: float = 0.0
    confidences: tuple[float, ...] = ()
    steps: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def certainty(self) -> float:
        """The product of `confidences`, that all characters are right; 0 where nothing was read."""
        return float(np.prod(self.confidences)) if self.text else 0.0


class Reader:
    """A plate reader. threads: of the CPU, None for all of them. keep_steps: whether readings carry `steps`. model:
    another recognition network of PP-OCR as .onnx that lists its characters, in place of the one of rapidocr."""

    def __init__(self, threads: int | None = None, keep_steps: bool = False, model: str | None = None) -> None:
        self.threads = threads or os.cpu_count() or 1
        self.keep_steps = keep_steps
        self.model = model

    def read(self, pictures: Sequence[np.ndarray]) -> list[Reading]:
        """One Reading per picture, in the same order. ValueError for anything that is no (H, W, 3) picture."""
        by_width = defaultdict(list)
        for index, picture in enumerate(pictures):
            by_width[_input_width(picture)].append(index)
        batches = [
            (width, indices[start : start + BATCH_SIZE])
            for width, indices in by_width.items()
            for start in range(0, len(indices), BATCH_SIZE)
        ]
        if not batches:
            return []
        # loaded here, before the threads ask for it
        session = self._session
        name = session.get_inputs()[0].name

        def read_batch(batch: tuple[int, list[int]]) -> list[Reading]:
            width, indices = batch
            inputs = np.stack([_to_input(pictures[i], width) for i in indices])
            return [self._decode(probabilities) for probabilities in session.run(None, {name: inputs})[0]]

        with ThreadPoolExecutor(self.threads) as pool:
            results = list(pool.map(read_batch, batches))
        found = {
            i: reading
            for (_, indices), some in zip(batches, results, strict=True)
            for i, reading in zip(indices, some, strict=True)
        }
        return [found[i] for i in range(len(pictures))]

    @cached_property
    def _session(self):
        """The model in ONNX Runtime, loaded at the first picture.

        One thread a batch, several batches at a time: half the processor time of several threads in one batch, which
        wait for one another in busy loops (13 ms a tile for 24).
        """
        prepare_libraries()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        file = self.model or _model_file()
        try:
            session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        # ONNX Runtime has a dozen kinds of its own
        except Exception as error:
            raise ValueError(f"{file}: cannot be used as a recognition network: {error}") from error
        if CHARACTERS not in session.get_modelmeta().custom_metadata_map:
            raise ValueError(f"{file}: a recognition network that does not list its characters")
        return session

    @cached_property
    def _characters(self) -> list[str]:
        """What each output of the model means: nothing (CTC's blank), the characters that its file lists, a space."""
        return ["", *self._session.get_modelmeta().custom_metadata_map[CHARACTERS].splitlines(), " "]

    def _decode(self, probabilities: np.ndarray) -> Reading:
        """(T, characters) -> the best character of every step, repetitions and blanks (index 0) left out (CTC,
        greedily)."""
        best = probabilities.argmax(axis=1)
        new = np.append(True, best[1:] != best[:-1]) & (best != 0)
        confidences = tuple(float(p) for p in probabilities[new, best[new]])
        return Reading(
            text="".join(self._characters[i] for i in best[new]),
            confidence=float(np.mean(confidences)) if confidences else 0.0,
            confidences=confidences,
            steps=self._fold(probabilities) if self.keep_steps else None,
        )

    def _fold(self, probabilities: np.ndarray) -> np.ndarray:
        """(T, characters) -> (T, len(ALPHABET)): variants of a character (case, full width) are added up."""
        folded = np.zeros((len(probabilities), len(ALPHABET)), np.float32)
        for column, indices in enumerate(self._columns):
            folded[:, column] = probabilities[:, indices].sum(axis=1)
        folded[:, -1] = np.maximum(0, 1 - folded[:, :-1].sum(axis=1))
        return folded / folded.sum(axis=1, keepdims=True)

    @cached_property
    def _columns(self) -> list[list[int]]:
        """For each entry of ALPHABET, the recogniser's characters that mean it (blank: its own and all decoration)."""
        columns: dict[str, list[int]] = {character: [] for character in ALPHABET}
        for index, character in enumerate(self._characters):
            meaning = BLANK if index == 0 else comparable(character, country="")
            if meaning in columns:
                columns[meaning].append(index)
        return list(columns.values())


def _model_file() -> str:
    """Where the wheel put it. Looked for without loading the package. ValueError where it is missing."""
    package = importlib.util.find_spec("rapidocr")
    found = sorted(Path(package.submodule_search_locations[0]).glob(MODEL)) if package else []
    if not found:
        raise ValueError("the reading model of rapidocr is missing: pip install rapidocr")
    return str(found[-1])


def _input_width(picture: np.ndarray) -> int:
    if np.ndim(picture) != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise ValueError(f"expected a picture of shape (H, W, 3), got {np.shape(picture)}")
    own = HEIGHT_PX * picture.shape[1] / picture.shape[0]
    return min(WIDTHS_PX, key=lambda width: abs(width - own))


def _to_input(picture: np.ndarray, width: int) -> np.ndarray:
    """(H, W, 3) RGB -> (3, 48, width) float32 BGR in [-1, 1]."""
    scaled = to_float(picture)
    shrinking = picture.shape[0] * picture.shape[1] > HEIGHT_PX * width
    resized = cv2.resize(scaled, (width, HEIGHT_PX), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return (np.clip(resized, 0, 1)[:, :, ::-1] * 2 - 1).transpose(2, 0, 1)


# --- Plates of two lines ----------------------------------------------------------------------------------------------

# of the plate's height: where the gap may lie; upper lines are the lower ones in China
GAP = 0.3, 0.62
# of the plate's height, by which each line's cut reaches beyond the gap: strokes may not be cut off
BEYOND = 0.03
SEPARATOR = " "
# strokes at the gap between two lines, as a share of those in the weaker line
CLEAR_GAP = 0.25
# mean change of brightness from px to px along a line of characters, at least
FEWEST_STROKES = 0.02


def split_lines(picture: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) float32 with an upright plate of two lines at `corners` (4, 2) -> the upper line, the lower line."""
    (left, top), (right, bottom) = np.maximum(corners.min(axis=0), 0), corners.max(axis=0)
    plate = picture[round(top) : round(bottom), round(left) : round(right)]
    row = gap_row(plate)
    reach = max(1, round(BEYOND * len(plate)))
    return plate[: row + reach], plate[max(0, row - reach) :]


def gap_row(plate: np.ndarray) -> int:
    """The row of an upright plate, cut tight, at which there are the fewest strokes between its two lines."""
    strokes = _strokes(plate)
    first, last = (round(share * len(strokes)) for share in GAP)
    return first + int(np.argmin(strokes[first : max(last, first + 1)]))


def has_gap(picture: np.ndarray) -> bool:
    """Whether an upright picture of a plate shows strokes above and below a row that has hardly any."""
    strokes = _strokes(picture)
    row = gap_row(picture)
    weaker = min(strokes[:row].max(initial=0), strokes[row:].max(initial=0))
    return bool(weaker > FEWEST_STROKES and strokes[row] < CLEAR_GAP * weaker)


def _strokes(plate: np.ndarray) -> np.ndarray:
    """(H,): how much the brightness changes along each row."""
    grey = cv2.cvtColor(np.asarray(plate, np.float32), cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    # bands and borders at the sides are no strokes
    inner = grey[:, round(0.12 * width) : max(round(0.95 * width), round(0.12 * width) + 2)]
    strokes = np.abs(np.diff(inner, axis=1)).mean(axis=1)
    return cv2.GaussianBlur(strokes[:, None], (0, 0), max(0.6, 0.02 * height))[:, 0]


def read_plates(reader: Reader, plates: Sequence[Sequence[np.ndarray]]) -> list[Reading]:
    """plates: the pictures of each one's lines, one or two. One reading of each plate, all pictures in one go."""
    readings = iter(reader.read([line for lines in plates for line in lines]))
    return [join([next(readings) for _ in lines]) for lines in plates]


def join(lines: Sequence[Reading]) -> Reading:
    """One reading of a plate's lines, one or two: the texts with a space between, and none within."""
    if len(lines) == 1:
        return lines[0]
    upper, lower = lines = [_without_spaces(line) for line in lines]
    read = [line for line in lines if line.text]
    confidences = tuple(value for line in read for value in line.confidences)
    # the space between counts as sure, so that there is one confidence per character
    if len(read) == 2:
        confidences = (*upper.confidences, 1.0, *lower.confidences)
    known = [value for line in read for value in line.confidences]
    steps = None
    if upper.steps is not None and lower.steps is not None:
        steps = np.concatenate([upper.steps, lower.steps])
    return Reading(
        SEPARATOR.join(line.text for line in read), float(np.mean(known)) if known else 0.0, confidences, steps
    )


def _without_spaces(line: Reading) -> Reading:
    if " " not in line.text:
        return line
    kept = [pair for pair in zip(line.text, line.confidences, strict=True) if pair[0] != " "]
    return replace(line, text="".join(char for char, _ in kept), confidences=tuple(value for _, value in kept))
