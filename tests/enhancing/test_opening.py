"""Straightening by corners."""

import cv2
import numpy as np
import pytest
from drawn_plates import plate

from enhancing.opening import in_order, make_source
from models.enhancer import Generator

# from the bottom right, clockwise
CORNERS = [(70.0, 60.0), (20.0, 50.0), (25.0, 30.0), (75.0, 40.0)]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 0, 1), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_corners_in_any_order(order):
    np.testing.assert_array_equal(in_order([CORNERS[i] for i in order]), CORNERS)


@pytest.mark.parametrize(
    "corners", [[(0, 0)] * 4, [(0, 0), (1, 1), (2, 2), (3, 3)], [(0, 0), (10, 0), (5, 2), (5, 10)], [(0, 0), (1, 1)]]
)
def test_corners_of_no_quadrangle(corners):
    with pytest.raises(ValueError, match=r"quadrangle|four corners"):
        in_order(corners)


def test_a_tilted_plate_comes_out_upright():
    upright = plate("B742KX", (96, 288))
    target = np.array([[330, 190], [60, 130], [70, 60], [340, 120]], np.float32)
    source = np.array([[288, 96], [0, 96], [0, 0], [288, 0]], np.float32)
    photo = cv2.warpPerspective(
        upright, cv2.getPerspectiveTransform(source, target), (400, 260), borderValue=(0.4, 0.4, 0.4)
    )
    made = make_source(Generator(lambda batch: batch), photo, target.tolist())
    assert made.lq.shape == (96, 192, 3)
    # 276.6 px of the photo are 0.8 of the tile
    assert made.native_width == pytest.approx(276.6 / 0.8, abs=0.5)
    assert made.size[1] == pytest.approx(276.6 / 0.8, abs=1)
    assert made.file_size == (260, 400)
    straight = np.clip(made.lq, 0, 1)[29:67, 19:173]
    expected = cv2.resize(upright, (154, 39))
    found = cv2.matchTemplate(expected[2:-2, 4:-4], straight[6:-6, 12:-12], cv2.TM_CCOEFF_NORMED)
    assert found.max() > 0.8


def test_corners_outside_the_photo():
    with pytest.raises(ValueError, match="outside the photo of 50 x 40"):
        make_source(Generator(lambda batch: batch), np.zeros((40, 50, 3), np.uint8), CORNERS)


def test_a_straightened_plate_is_bounded_whatever_its_corners(monkeypatch):
    monkeypatch.setattr("enhancing.opening.MAX_STRAIGHT_PX", 80_000)
    photo = np.full((300, 3000, 3), 90, np.uint8)
    photo[:, :1500] = 30
    source = make_source(Generator(lambda batch: batch), photo, [(0, 0), (3000, 0), (3000, 300), (0, 300)])
    assert source.native_width == pytest.approx(3000 / 0.8)
    straight = source.plate()
    assert straight.shape[:2] == source.size
    assert straight.shape[0] * straight.shape[1] < 1.01 * 80_000
    middle, rows = straight.shape[1] // 2, slice(straight.shape[0] // 2 - 5, straight.shape[0] // 2 + 5)
    assert straight[rows, middle // 2 : middle - 4].max() == 30
    assert straight[rows, middle + 4 : middle + middle // 2].min() == 90
