"""Plates of two lines: the reader knows one line, so such a plate is cut at the gap between its lines."""

from collections.abc import Sequence

import cv2
import numpy as np

from reading.reader import Reading

# of the plate's height: where the gap may lie; upper lines are the lower ones in China
GAP = 0.3, 0.62
# of the plate's height, by which each line's cut reaches beyond the gap: strokes may not be cut off
BEYOND = 0.03
SEPARATOR = " "


def split_lines(picture: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) float32 with an upright plate of two lines at `corners` (4, 2) -> the upper line, the lower line."""
    (left, top), (right, bottom) = np.maximum(corners.min(axis=0), 0), corners.max(axis=0)
    plate = picture[round(top) : round(bottom), round(left) : round(right)]
    row = gap_row(plate)
    reach = max(1, round(BEYOND * len(plate)))
    return plate[: row + reach], plate[max(0, row - reach) :]


def gap_row(plate: np.ndarray) -> int:
    """The row of an upright plate, cut tight, at which there are the fewest strokes between its two lines."""
    grey = cv2.cvtColor(np.asarray(plate, np.float32), cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    # bands and borders at the sides are no strokes
    inner = grey[:, round(0.12 * width) : max(round(0.95 * width), round(0.12 * width) + 2)]
    strokes = np.abs(np.diff(inner, axis=1)).mean(axis=1)
    smooth = cv2.GaussianBlur(strokes[:, None], (0, 0), max(0.6, 0.02 * height))[:, 0]
    first, last = (round(share * height) for share in GAP)
    return first + int(np.argmin(smooth[first : max(last, first + 1)]))


def join(lines: Sequence[Reading]) -> Reading:
    """One reading of a plate's lines, one or two: the texts with a space between."""
    if len(lines) == 1:
        return lines[0]
    upper, lower = lines
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
