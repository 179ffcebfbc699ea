"""What is left on disk: names, pictures and the rows of report.csv; and what is said on the terminal meanwhile."""

import csv
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from tqdm import tqdm

from data.files import replacing
from data.io import to_uint8
from data.text import cell, printable
from enhancing.examining import Result


def write_picture(out: str, name: str, picture: np.ndarray) -> None:
    """A float picture in [0, 1] as PNG at `name` below `out`; folders are made. Raises OSError, also for a way out of
    `out`."""
    path = os.path.join(out, name)
    folder = os.path.dirname(path)
    if not is_below(folder, out):
        raise OSError(f"{folder} leads out of {out}")
    os.makedirs(folder, exist_ok=True)
    done, encoded = cv2.imencode(".png", to_uint8(picture)[:, :, ::-1])
    if not done:
        raise OSError("the result cannot be encoded as PNG")
    with replacing(path) as file:
        file.write(encoded.tobytes())


def is_below(path: str, folder: str) -> bool:
    """Whether `path`, all links followed, lies in `folder` or is it."""
    real, real_folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([real, real_folder]) == real_folder


@dataclass
class Row:
    """A line of report.csv. Lengths in px; brightness, contrast and sharpness as in data/quality.py; empty: not
    measured.

    consistency: see enhancing/consistency.py. agreement: mean over the characters, 0 to 1. agreed: the reading with a ?
    for each character that not all variants agree on.
    """

    input: str
    output: str = ""
    # or "failed", "skipped"
    status: str = "done"
    reason: str = ""
    width: int | str = ""
    height: int | str = ""
    result_width: int | str = ""
    result_height: int | str = ""
    effective_width: float | str = ""
    brightness_before: float | str = ""
    brightness_after: float | str = ""
    contrast_before: float | str = ""
    contrast_after: float | str = ""
    sharpness_before: float | str = ""
    sharpness_after: float | str = ""
    consistency: float | str = ""
    reading_before: str = ""
    confidence_before: float | str = ""
    reading: str = ""
    confidence: float | str = ""
    character_confidences: str = ""
    agreed: str = ""
    agreement: float | str = ""
    # in a burst, of this frame
    weight: float | str = ""
    # of a film's plates: which one, when it was first and last seen, in how many frames
    track: int | str = ""
    first_second: str = ""
    last_second: str = ""
    frames: int | str = ""
    warnings: str = ""
    seconds: float | str = ""


@contextmanager
def open_report(path: str) -> Iterator[Callable[[Row], None]]:
    """A function that takes Rows. What was reported until then stays also when the run is interrupted."""
    interrupted = None
    # The mark at its beginning tells spreadsheets that Chinese characters are UTF-8; names may hold bytes that are not.
    with replacing(path, "w", newline="", encoding="utf-8-sig", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, fieldnames=list(Row.__dataclass_fields__))
        writer.writeheader()
        try:
            yield lambda row: writer.writerow({name: cell(_plain(value)) for name, value in vars(row).items()})
        # also the user's Ctrl-C
        except BaseException as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


def fill(row: Row, result: Result) -> None:
    """Everything that is known of one enhanced picture."""
    row.height, row.width = result.source.file_size
    row.result_height, row.result_width = result.picture.shape[:2]
    row.effective_width, row.consistency = result.effective_width, result.fit.consistency
    for name in ("brightness", "contrast", "sharpness"):
        setattr(row, f"{name}_before", getattr(result.before, name))
        setattr(row, f"{name}_after", getattr(result.after, name))
    if result.reading is not None:
        row.reading_before, row.confidence_before = result.reading_before.text, result.reading_before.confidence
        row.reading, row.confidence = result.reading.text, result.reading.confidence
        row.character_confidences = listed(result.reading.confidences)
    if result.agreement is not None:
        row.agreed, row.agreement = result.agreement.agreed, result.agreement.mean
    row.warnings = "; ".join(result.warnings)


def tell(row: Row) -> None:
    """On the terminal, what was read and what needs attention, above a progress bar if there is one."""
    if row.agreement != "":
        read = f"{row.reading} ({row.confidence:.2f})" if row.reading else "nothing"
        tqdm.write(printable(f"{row.input}: read {read}, agreed {row.agreed or 'nothing'} ({row.agreement:.2f})"))
    if row.status != "skipped" and (row.reason or row.warnings):
        tqdm.write(printable(f"{row.input}: {row.reason or row.warnings}"), file=sys.stderr)


def listed(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:.2f}" for number in numbers)


def _plain(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value
