"""Writes pictures and report.csv, and prints progress."""

import csv
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np

from data.console import cell, say
from data.files import replacing
from data.io import to_uint8
from enhancing.burst import Burst
from enhancing.examining import Result
from reading.answer import Answer

# signature and first chunk of a PNG file
PNG_HEADER_BYTES = 8 + 25


def write_picture(out: str, name: str, picture: np.ndarray, exif: bytes = b"") -> None:
    """A picture, float in [0, 1] or uint8, as PNG in sRGB at `name` below `out`; folders are made. exif: a block to
    embed. Raises OSError, also for a name that leads out of `out`.
    """
    path = os.path.join(out, name)
    folder = os.path.dirname(path)
    if not is_below(folder, out):
        raise OSError(f"{folder} leads out of {out}")
    os.makedirs(folder, exist_ok=True)
    done, encoded = cv2.imencode(".png", to_uint8(picture)[:, :, ::-1])
    if not done:
        raise OSError("the result cannot be encoded as PNG")
    content = encoded.tobytes()
    with replacing(path) as file:
        file.write(content[:PNG_HEADER_BYTES])
        # rendering intent: perceptual
        file.write(_chunk(b"sRGB", b"\0"))
        if exif:
            file.write(_chunk(b"eXIf", exif))
        file.write(memoryview(content)[PNG_HEADER_BYTES:])


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Of a PNG file: length, kind, content, checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def is_below(path: str, folder: str) -> bool:
    """Whether `path`, all links followed, lies in `folder` or is it."""
    real, real_folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([real, real_folder]) == real_folder


@dataclass
class ReportRow:
    """A line of report.csv. Lengths in px; brightness, contrast, sharpness and consistency as in data/quality.py;
    empty: not measured.

    agreement: of all readings with the answer, 0 to 1. agreed: the answer with a ? for each character that some reading
    sees differently. answer: the likeliest characters by all readings, ? for those below one half. answer_probability:
    that all of them are right. alternatives: of each character, what else it may be, the likeliest first, or -.
    """

    input: str
    output: str = ""
    # or "failed", "skipped", "no plate"
    status: str = "done"
    reason: str = ""
    width: int | str = ""
    height: int | str = ""
    # of the plate in the picture: x,y four times, from the bottom right clockwise; how sure the detector is, 0 to 1
    corners: str = ""
    score: float | str = ""
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
    answer: str = ""
    answer_probability: float | str = ""
    alternatives: str = ""
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
    note: str = ""
    seconds: float | str = ""


@contextmanager
def open_report(path: str) -> Iterator[Callable[[ReportRow], None]]:
    """A function that takes `ReportRow`s. Each is in the file when the function returns, whatever ends the run
    afterwards."""
    names = list(ReportRow.__dataclass_fields__)
    # The mark at its beginning tells spreadsheets that Chinese characters are UTF-8; names may hold bytes that are not.
    with replacing(path, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerow(names)
    with open(path, "a", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, fieldnames=names)

        def report(row: ReportRow) -> None:
            writer.writerow({name: cell(_plain(value)) for name, value in vars(row).items()})
            file.flush()

        yield report


class InOrder:
    """Passes on the rows of numbered pictures in their order, from any thread: each as soon as all before it are there,
    the rest on closing."""

    def __init__(self, receive: Callable[[Sequence[ReportRow]], None]) -> None:
        self._receive, self._lock = receive, threading.Lock()
        self._waiting: dict[int, Sequence[ReportRow]] = {}
        self._next = 0

    def add(self, number: int, rows: Sequence[ReportRow]) -> None:
        with self._lock:
            self._waiting[number] = rows
            while self._next in self._waiting:
                rows = self._waiting.pop(self._next)
                self._next += 1
                self._receive(rows)

    def close(self) -> None:
        """Pass on the rest; after a run that ended early, rows behind a gap, too."""
        with self._lock:
            while self._waiting:
                self._receive(self._waiting.pop(min(self._waiting)))


def fill(row: ReportRow, result: Result) -> None:
    """Fill in everything that is known of one enhanced picture."""
    row.height, row.width = result.source.file_size
    if result.source.corners is not None:
        row.corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in result.source.corners)
    if result.source.found is not None:
        row.score = result.source.found.score
    row.result_height, row.result_width = result.picture.shape[:2]
    row.effective_width, row.consistency = result.effective_width, result.fit.consistency
    for name in ("brightness", "contrast", "sharpness"):
        setattr(row, f"{name}_before", getattr(result.before, name))
        setattr(row, f"{name}_after", getattr(result.after, name))
    if result.reading is not None:
        row.reading_before, row.confidence_before = result.reading_before.text, result.reading_before.confidence
        row.reading, row.confidence = result.reading.text, result.reading.confidence
        row.character_confidences = listed(result.reading.confidences)
    if result.answer is not None:
        _fill_answer(row, result.answer)
    if result.agreement is not None:
        row.agreed, row.agreement = result.agreement.agreed, result.agreement.mean
    row.warnings, row.note = "; ".join(result.warnings), result.note


def fill_from_burst(row: ReportRow, burst: Burst) -> None:
    """Everything that is known of several frames combined."""
    row.result_height, row.result_width = burst.picture.shape[:2]
    row.effective_width, row.consistency = burst.effective_width, burst.consistency
    row.reading, row.confidence = burst.vote.text, burst.vote.confidence
    row.character_confidences = listed(burst.vote.confidences)
    _fill_answer(row, burst.answer)
    row.agreed, row.agreement = burst.agreement.agreed, burst.agreement.mean
    row.warnings = "; ".join(burst.warnings)


def _fill_answer(row: ReportRow, answer: Answer) -> None:
    row.answer, row.answer_probability = answer.text, answer.probability
    row.alternatives = " ".join(each or "-" for each in answer.alternatives)


def tell(row: ReportRow, out: str) -> None:
    """On the terminal: the result's file, the answer, and what needs attention."""
    if row.output:
        read = f": {row.answer} ({row.answer_probability:.2f})" if row.answer else ": nothing read"
        agreed = f", agreed {row.agreed or 'nothing'} ({row.agreement:.2f})" if row.agreement != "" else ""
        say(os.path.join(out, row.output) + (read + agreed if agreed else ""))
    if row.status != "skipped" and (row.reason or row.warnings):
        say(f"{row.input}: {row.reason or row.warnings}", error=True)


def tell_in_words(row: ReportRow) -> None:
    """What the report says of a single picture, in sentences."""
    if row.status != "done":
        return
    if row.agreement != "" and not row.answer:
        say("No text can be read in the picture, nor in the result.")
    elif row.agreement != "":
        whole = f"{100 * row.answer_probability:.0f} %"
        say(f"The answer is {row.answer}: all of it is right with a probability of {whole}.")
        others = zip(row.answer, row.alternatives.split(), strict=True)
        if doubts := [f"{char} may be {' or '.join(some)}" for char, some in others if some != "-"]:
            say(f"In doubt: {', '.join(doubts)}.")
        before = "the same" if row.reading_before == row.reading else row.reading_before or "nothing"
        say(f"The reader alone reads {row.reading or 'nothing'} in the result; before enhancing it was {before}.")
        if "?" in row.agreed:
            say(f"All readings agree on {row.agreed} alone.")
        else:
            say("All readings agree.")
    if row.warnings:
        say(f"Do not rely on this result: {row.warnings}.")
    if row.note:
        say(f"The picture is {row.note}.")


def listed(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:.2f}" for number in numbers)


def _plain(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value
