"""data/straighten.py: the framing, the warp's accuracy, borders, faulty corners."""

import cv2
import numpy as np
import pytest

from data.straighten import homography, in_tile, plate_aspect, straighten, tile_size, to_tile

UPRIGHT = np.array([[150.0, 80.0], [50.0, 80.0], [50.0, 50.0], [150.0, 50.0]])


def checks(height: int, width: int, cell: int) -> np.ndarray:
    ys, xs = np.mgrid[:height, :width] // cell
    return np.repeat((((xs + ys) % 2) * 200 + 20).astype(np.uint8)[..., None], 3, 2)


def test_plate_takes_its_share_of_the_width_in_its_own_proportions():
    corners = in_tile(UPRIGHT)
    low, high = corners.min(axis=0), corners.max(axis=0)
    assert high - low == pytest.approx([153.6, 153.6 * 0.3])
    assert (high + low) / 2 == pytest.approx([96, 48])


def test_tall_plate_fits_into_the_tile_and_has_a_higher_one():
    square = np.array([[100.0, 100.0], [0.0, 100.0], [0.0, 0.0], [100.0, 0.0]])
    assert np.ptp(in_tile(square)[:, 1]) == pytest.approx(0.85 * 96)
    height, width = tile_size(square)
    assert (height, width) == (192, 192)
    assert np.ptp(in_tile(square, (height, width))[:, 0]) == pytest.approx(153.6)
    assert tile_size(UPRIGHT) == (96, 192)


def test_corners_land_where_they_are_said_to_land():
    turned = np.array([[150.0, 90.0], [48.0, 70.0], [55.0, 40.0], [155.0, 55.0]])
    moved = cv2.perspectiveTransform(turned[None], to_tile(turned))[0]
    assert moved == pytest.approx(in_tile(turned), abs=1e-3)


@pytest.mark.parametrize("size", [(60, 200), (240, 800), (960, 3200)])
def test_pixels_follow_the_corners_at_any_size(size):
    height, width = size
    picture = np.full((3 * height, 2 * width, 3), 20, np.uint8)
    picture[height : 2 * height, width // 2 : width // 2 + width] = 220
    corners = np.array([[1.5, 2], [0.5, 2], [0.5, 1], [1.5, 1]]) * (width, height)
    tile = straighten(picture, corners)[..., 0].astype(float)
    # bright as many columns as the plate is wide, to a fraction of a pixel
    assert (tile[48] - 20).sum() / 200 == pytest.approx(153.6, abs=0.3)
    assert (tile[:, 96] - 20).sum() / 200 == pytest.approx(153.6 * 0.3, abs=0.3)
    assert ((tile[48] - 20) / 200 * (np.arange(192) + 0.5)).sum() / 153.6 == pytest.approx(96, abs=0.3)


def test_shrinking_averages():
    fine = checks(600, 1200, 1)
    corners = np.array([[1100.0, 450.0], [100.0, 450.0], [100.0, 150.0], [1100.0, 150.0]])
    assert straighten(fine, corners).std() < 8


def test_outside_is_soft():
    """A crop whose strokes run into its border: beyond, there are no strokes."""
    picture = checks(30, 100, 5)
    corners = np.array([[104.0, 31.0], [-4.0, 31.0], [-4.0, -1.0], [104.0, -1.0]])
    tile = straighten(picture, corners)
    assert np.abs(np.diff(tile[:10].astype(int), axis=1)).max() <= 25
    assert np.abs(np.diff(tile[40:56].astype(int), axis=1)).max() > 60


def test_floats_stay_floats_in_range():
    picture = checks(60, 200, 8).astype(np.float32) / 255
    tile = straighten(picture, UPRIGHT)
    assert tile.dtype == np.float32
    assert tile.min() >= 0
    assert tile.max() <= 1


@pytest.mark.parametrize(
    "corners", [np.zeros((4, 2)), np.array([[0, 0], [1, 1], [0, 1], [1, 0]]) * 50.0, np.full((4, 2), np.nan)]
)
def test_no_quadrangle_is_an_error(corners):
    with pytest.raises(ValueError, match="quadrangle"):
        homography(corners, UPRIGHT)


def test_aspect_is_bounded():
    assert plate_aspect(np.array([[1000.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1000.0, 0.0]])) == 8
