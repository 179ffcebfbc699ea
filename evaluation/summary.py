"""From a table of scores to the figures of every method."""

from functools import partial

import numpy as np

from evaluation import difficulty
from evaluation.metrics import BOOTSTRAP_RESAMPLES, CONFIDENT, estimate, harm, reading_rates
from evaluation.scoring import BASELINE, CLEAN, INPUT, PICTURE_FIGURES, Table
from reading.matching import is_readable, match

# of the parts by difficulty, which are many
BIN_RESAMPLES = 500


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
