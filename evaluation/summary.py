"""The figures of every method: from a table of scores to numbers, and from numbers to cells of text for the terminal
and report.html.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from data.console import printable
from evaluation import difficulty
from evaluation.metrics import BOOTSTRAP_RESAMPLES, CONFIDENT, estimate, harm, reading_rates
from evaluation.scoring import BASELINE, CLEAN, INPUT, PICTURE_FIGURES, Table
from reading.matching import is_readable, match

# of the parts by difficulty, which are many
BIN_RESAMPLES = 500
# a figure that is not known, in a table
NOTHING = "–"


def summarise(table: Table, read: bool, seed: int = 0) -> dict:
    """All of the report's figures: {"methods", "by_difficulty", "curves"}. read: whether the reader was used."""
    whole = partial(method_figures, read=read, resamples=BOOTSTRAP_RESAMPLES, seed=seed)
    part = partial(method_figures, read=read, resamples=BIN_RESAMPLES, seed=seed)
    return {
        "methods": {method: whole(table, method) for method in table.scores},
        "by_difficulty": difficulty.by_quartile(table, part),
        "curves": difficulty.curves(table, part) if read else {},
    }


def method_figures(table: Table, method: str, read: bool, resamples: int, seed: int) -> dict:
    """One method's figures: of pictures (averages over plates, None where not measured), of readings, and of harm."""
    scores = table.scores[method]
    figures: dict = {"n": len(scores)}
    for name in PICTURE_FIGURES:
        values = [getattr(score, name) for score in scores if getattr(score, name) is not None]
        figures[name] = float(np.mean(values)) if values else None
    if read:
        figures |= _readings(table, method, resamples, seed)
    return figures


def _readings(table: Table, method: str, resamples: int, seed: int) -> dict:
    plates = table.plates
    readings = [score.reading for score in table.scores[method]]
    rates = reading_rates(
        readings, [p.text for p in plates], [p.country for p in plates], [p.group for p in plates], resamples, seed
    )
    kept = [i for i, plate in enumerate(plates) if is_readable(plate.text, plate.country)]
    before, after = (right(table, each, kept) for each in (INPUT, method))
    doubt = [readings[i].confidence for i in kept]
    changes = harm(before, after, doubt, [plates[i].group for i in kept], resamples, seed)
    # nothing was done to them, so nothing can flip
    if method in (INPUT, CLEAN):
        changes = {"confidently_wrong": changes["confidently_wrong"]}
    confidences = [reading.confidence for reading in readings]
    return {**rates, **changes, "confidence": estimate(confidences, resamples=0)["value"]}


def right(table: Table, method: str, indices: list[int]) -> list[bool]:
    """Whether the serial of each of these plates was read right."""
    return [
        match(table.scores[method][i].reading.text, table.plates[i].text, table.plates[i].country).right
        for i in indices
    ]


def checkpoints_of(table: Table) -> list[str]:
    return [method for method in table.scores if method not in (INPUT, BASELINE, CLEAN)]


def outcome(table: Table, method: str, index: int) -> dict:
    """What per_plate.csv says of one plate's reading by one method; empty strings where the plate does not count."""
    plate, reading = table.plates[index], table.scores[method][index].reading
    row: dict = {"read": reading.text, "confidence": round(reading.confidence, 4)}
    if not is_readable(plate.text, plate.country):
        return row | {"distance": "", "char_rate": "", "right": "", "confidently_wrong": ""}
    serial = match(reading.text, plate.text, plate.country)
    wrong_but_sure = not serial.right and reading.confidence > CONFIDENT
    return row | {
        "distance": serial.distance,
        "char_rate": round(serial.char_rate, 4),
        "right": int(serial.right),
        "confidently_wrong": int(wrong_but_sure),
    }


@dataclass(frozen=True)
class Column:
    """A figure of the table. cell: from one method's figures to text. meaning: a sentence for who is new to it."""

    header: str
    cell: Callable[[dict], str]
    meaning: str


def share(estimate: dict | None, with_interval: bool = True) -> str:
    """An estimate as "48.2 % (43–53)", counts of events as "6/124 = 4.8 % (2–9)", nothing known as a dash."""
    if not estimate or estimate.get("value") is None:
        return NOTHING
    value = f"{100 * estimate['value']:.1f} %"
    if "count" in estimate:
        value = f"{estimate['count']}/{estimate['n']} = {value}"
    if not with_interval or not estimate.get("ci95"):
        return value
    low, high = (100 * bound for bound in estimate["ci95"])
    return f"{value} ({low:.0f}–{high:.0f})"


def _number(name: str, digits: int) -> Callable[[dict], str]:
    def cell(figures: dict) -> str:
        return NOTHING if figures.get(name) is None else f"{figures[name]:.{digits}f}"

    return cell


READING_COLUMNS = (
    Column(
        "plates right",
        lambda f: share(f.get("plate_acc")),
        "Plates right: the share of plates whose serial was read without an error. In brackets, here and elsewhere, "
        "stands the 95 % interval: other plates of the same kind would most likely give a figure between these bounds.",
    ),
    Column(
        "at most 1 wrong",
        lambda f: share(f.get("plate_acc_within_1")),
        "At most 1 wrong: the share of plates read with one wrong, missing or added character, or none.",
    ),
    Column(
        "characters",
        lambda f: share(f.get("char_acc")),
        "Characters: 1 minus the number of corrections that a reading needs, divided by the length of the serial; the "
        "mean over all plates.",
    ),
    Column(
        "right with province",
        lambda f: share(f.get("with_province", {}).get("plate_acc")),
        "Right with province: as plates right, with the Chinese character in front. Elsewhere the two are equal.",
    ),
    Column(
        "at most 1 wrong, with province",
        lambda f: share(f.get("with_province", {}).get("plate_acc_within_1")),
        "At most 1 wrong, with province: the same for the whole text.",
    ),
    Column(
        "characters with province",
        lambda f: share(f.get("with_province", {}).get("char_acc")),
        "Characters with province: the same for the whole text.",
    ),
)
CONFIDENCE = Column(
    "reader's confidence",
    _number("confidence", 2),
    "Reader's confidence: the mean of what the reader says of itself. It does not measure truth: see wrong but sure.",
)
HARM_COLUMNS = (
    Column(
        "gained",
        lambda f: share(f.get("gain_rate")),
        "Gained: of the plates that were read wrong before enhancing, the share that is read right after.",
    ),
    Column(
        "flipped to wrong",
        lambda f: share(f.get("flip_rate")),
        "Flipped to wrong: of the plates that were read right before enhancing, the share that is read wrong after. "
        "This is the harm done to good pictures.",
    ),
    Column(
        "wrong but sure",
        lambda f: share(f.get("confidently_wrong")),
        "Wrong but sure: of all plates, the share that is read wrong by a reader with a confidence above 90 %: "
        "invented characters that somebody would believe.",
    ),
    Column(
        "clean tiles put through, right",
        lambda f: share(f.get("on_clean", {}).get("plate_acc")),
        "Clean tiles put through, right: the share read right when the generator gets the clean tiles, each photo "
        "once. A good picture should be left alone.",
    ),
    Column(
        "clean tiles put through, flipped",
        lambda f: share(f.get("on_clean", {}).get("flip_rate")),
        "Clean tiles put through, flipped: of the clean tiles that were read right, the share that is read wrong "
        "after.",
    ),
    Column(
        "clean tiles put through, colour error",
        lambda f: _number("colour_error", 1)(f.get("on_clean", {})),
        "Clean tiles put through, colour error: how far the colours of good pictures move; see colour error.",
    ),
)
PICTURE_COLUMNS = (
    Column(
        "PSNR (dB)",
        _number("psnr", 2),
        "PSNR: closeness to the clean tile, pixel by pixel. Higher is closer; 6 dB more halve the error. It is "
        "computed per picture, over the whole picture and its three colours, and then averaged. It does not show "
        "whether the plate can be read.",
    ),
    Column(
        "SSIM",
        _number("ssim", 3),
        "SSIM: likeness of structure to the clean tile, 1 for equal pictures; averaged in the same way.",
    ),
    Column(
        "colour error",
        _number("colour_error", 1),
        "Colour error: distance of the colours from the clean tile's without brightness (a* and b* in CIELAB, means of "
        "blocks of 8 x 8 pixels). 2 can just be seen side by side, 10 is another shade.",
    ),
    Column(
        "PSNR when damaged again (dB)",
        _number("redamaged_psnr", 2),
        "PSNR when damaged again: the enhanced picture is damaged exactly as the input was, and compared with the "
        "input. A low figure means that the enhanced picture cannot be what the camera saw. The clean tile's own "
        "figure shows how exact the measure is.",
    ),
    Column(
        "VGG distance",
        _number("vgg_distance", 4),
        "VGG distance: distance to the clean tile in the features of a network trained on photos, close to what people "
        "find unlike (LPIPS without its learned weights). Lower is closer.",
    ),
)


def columns(methods: dict[str, dict]) -> list[Column]:
    """The columns in which at least one method has a figure."""
    candidates = (*READING_COLUMNS, CONFIDENCE, *HARM_COLUMNS, *PICTURE_COLUMNS)
    return [column for column in candidates if any(column.cell(figures) != NOTHING for figures in methods.values())]


def lines(methods: dict[str, dict]) -> list[list[str]]:
    """The table as rows of text cells: one row per figure, one column per method, the methods' names in the first
    row."""
    body = [[column.header, *(column.cell(figures) for figures in methods.values())] for column in columns(methods)]
    return [["", *methods], *body]


def for_terminal(methods: dict[str, dict]) -> str:
    """The table with its columns in line."""
    table = [list(map(printable, line)) for line in lines(methods)]
    widths = [max(map(_width, cells)) for cells in zip(*table, strict=True)]
    return "\n".join("  ".join(map(_pad, line, widths)).rstrip() for line in table)


def in_words(estimate: dict | None) -> str:
    """An estimate inside a sentence: "41.6 % (95 % interval 34 to 50)", events as "13 of 202 (6.4 %, 95 % interval
    ...)"."""
    if not estimate or estimate.get("value") is None:
        return "none, since there were none such,"
    value = f"{100 * estimate['value']:.1f} %"
    interval = "95 % interval {:.0f} to {:.0f}".format(*(100 * bound for bound in estimate["ci95"]))
    if "count" in estimate:
        return f"{estimate['count']} of {estimate['n']} ({value}, {interval})"
    return f"{value} ({interval})"


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
