"""How hard a plate is, by several measures, and the figures by them.

    input_psnr       dB, input against clean tile            effective_width  px that the plate itself had at its worst
    blur_length      px of straight motion that blurs alike  brightness       mean of the input, 0 to 1

Harder is lower, but for blur_length.
"""

from collections.abc import Callable

import numpy as np

from data.degrade import blur_length, sampled_width
from data.labelled import Pair
from data.straighten import plate_width

QUARTILES = 4
CURVE_BINS, MIN_PLATES_PER_BIN = 8, 30

LABELS = {
    "effective_width": "effective plate width (px)",
    "blur_length": "blur length (px)",
    "brightness": "brightness of the input (0 to 1)",
    "input_psnr": "PSNR of the input (dB)",
}


def measure(pair: Pair, input_psnr: float | None) -> dict[str, float]:
    """The measures that can be had for one plate: without a manifest no blur length, without a clean side no PSNR."""
    measures = {"brightness": float(pair.lq.mean() / 255)}
    if input_psnr is not None:
        measures["input_psnr"] = input_psnr
    plate = pair.plate
    if pair.hr is None:
        measures["effective_width"] = float(pair.lq.shape[1])
    elif plate.steps is not None:
        width = plate_width(plate.corners) if plate.corners else pair.hr.shape[1]
        measures["effective_width"] = float(sampled_width(plate.steps, width))
        measures["blur_length"] = float(blur_length(plate.steps))
    return measures


def by_quartile(table, figures: Callable) -> dict[str, list[dict]]:
    """For each measure, the rows of `binned` in four parts of equally many plates (fewer where many plates are
    equal)."""
    return {name: binned(table, name, QUARTILES, figures) for name in LABELS if _known(table, name)}


def curves(table, figures: Callable) -> dict[str, list[dict]]:
    """As `by_quartile`, in as many parts as the number of plates bears: at least 2, at most 8."""
    parts = int(np.clip(len(table.plates) // MIN_PLATES_PER_BIN, 2, CURVE_BINS))
    return {name: binned(table, name, parts, figures) for name in LABELS if _known(table, name)}


def binned(table, name: str, parts: int, figures: Callable) -> list[dict]:
    """Rows {"low", "high", "median", "n", "methods": {method: figures(subset, method)}}, from low to high values."""
    values = np.array([measures[name] for measures in table.difficulty])
    inner = np.unique(np.quantile(values, np.linspace(0, 1, parts + 1)[1:-1]))
    # equal values stay together
    place = np.searchsorted(inner, values, side="left")
    rows = []
    for part in np.unique(place):
        members = np.flatnonzero(place == part)
        subset = table.subset(members)
        rows.append(
            {
                "low": float(values[members].min()),
                "high": float(values[members].max()),
                "median": float(np.median(values[members])),
                "n": len(members),
                "methods": {method: figures(subset, method) for method in table.scores},
            }
        )
    return rows


def _known(table, name: str) -> bool:
    return bool(table.difficulty) and all(name in measures for measures in table.difficulty)
