"""Plates of two lines: where they are cut, and how the readings are joined."""

import numpy as np
import pytest

from data.ccpd import CHINA
from data.synthetic.plates import chinese_two_lines, european_two_lines
from data.synthetic.registrations import RULES
from reading.lines import gap_row, join, split_lines
from reading.reader import Reading


@pytest.mark.parametrize(("design", "low", "high"), [(chinese_two_lines, 75, 90), (european_two_lines, 91, 107)])
@pytest.mark.parametrize("scale", [0.35, 0.8])
def test_cut_between_the_lines(design, low, high, scale):
    for seed in range(6):
        face = design(np.random.default_rng(seed), scale, RULES)
        row = gap_row(face.pixels) / scale
        assert low - 3 <= row <= high + 3, (face.country == CHINA, row)


def test_split_goes_by_the_corners():
    face = chinese_two_lines(np.random.default_rng(0), 0.5, RULES)
    height, width = face.pixels.shape[:2]
    picture = np.full((height + 40, width + 60, 3), 0.5, np.float32)
    picture[20 : 20 + height, 30 : 30 + width] = face.pixels
    corners = np.array([[width, height], [0, height], [0, 0], [width, 0]], float) + np.array([30, 20])
    upper, lower = split_lines(picture, corners)
    assert upper.shape[1] == lower.shape[1] == width
    assert len(upper) / 0.5 == pytest.approx(85, abs=12)
    assert len(upper) + len(lower) == pytest.approx(height, abs=10)


def test_join():
    joined = join([Reading("KV47", 0.8, (0.8,) * 4), Reading("HTN3", 0.9, (0.9,) * 4)])
    assert joined.text == "KV47 HTN3"
    assert joined.confidence == pytest.approx(0.85)
    assert len(joined.confidences) == len(joined.text)
    assert join([Reading(""), Reading("HTN3", 0.9, (0.9,) * 4)]).text == "HTN3"
    assert join([Reading(""), Reading("")]) == Reading("")
    alone = Reading("B742KX", 0.9, (0.9,) * 6)
    assert join([alone]) is alone
