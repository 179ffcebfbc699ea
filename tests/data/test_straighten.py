"""data/straighten.py: the framing, the accuracy of the warp, borders, faulty corners; windows cut out."""

import cv2
import numpy as np
import pytest
from drawn_plates import noisy, plate

from data.straighten import (
    crop_plate,
    homography,
    in_tile,
    plate_aspect,
    plate_width,
    straighten,
    tile_size,
    to_tile,
    with_lean,
)

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


def test_a_flat_plate_is_shown_in_a_window_of_training_and_one_that_would_become_small_is_not():
    # 3.33, 2.25 and 2 times as wide as high
    for height, tile, width in ((30, (64, 192), 153.6), (400 / 9, (64, 192), 54.4 * 2.25), (50, (96, 192), 153.6)):
        corners = np.array([[100, height], [0, height], [0, 0], [100, 0]])
        assert tile_size(corners, window_px=64) == tile
        assert np.ptp(in_tile(corners, tile)[:, 0]) == pytest.approx(width)
        assert tile_size(corners) == (96, 192)


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


def test_what_lies_outside_does_not_depend_on_the_size_of_the_tile():
    """A plate with a dark frame that fills its crop up to a bright last pixel."""
    picture = np.full((240, 960, 3), 235, np.uint8)
    picture[1:-1, 1:-1] = 20
    picture[9:-9, 9:-9] = 235
    corners = np.array([[960.0, 240.0], [0.0, 240.0], [0.0, 0.0], [960.0, 0.0]])
    tile = straighten(picture, corners).astype(float)
    large = cv2.resize(straighten(picture, corners, (480, 960)), (192, 96), interpolation=cv2.INTER_AREA)
    assert abs(large.mean() - tile.mean()) < 2
    assert np.abs(large[:24] - tile[:24]).max() < 8


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


# upright, as CCPD's photos are
HEIGHT, WIDTH = 116, 72
TILE = (96, 192)


def coordinates(height=HEIGHT, width=WIDTH):
    """A photo whose red is x and green is y, so that a tile's pixels tell where they came from."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x, y, np.full_like(x, 255)], axis=-1).astype(np.uint8)


def box(left, top, right, bottom):
    return ((right, bottom), (left, bottom), (left, top), (right, top))


def seen(tile):
    """(left, top, right, bottom) of the photo's pixels in a tile of `coordinates`, to the pixel."""
    return tile[..., 0].min(), tile[..., 1].min(), tile[..., 0].max(), tile[..., 1].max()


def test_a_window_in_the_middle_has_the_tiles_aspect_and_a_margin():
    tile, corners, width_px = crop_plate(coordinates(), box(20, 50, 60, 64), TILE, margin=0.1)
    assert tile.shape == (96, 192, 3)
    assert tile.dtype == np.uint8
    assert width_px == 40
    np.testing.assert_allclose(corners, [(176, 76), (16, 76), (16, 20), (176, 20)])
    np.testing.assert_allclose(seen(tile), (16, 45, 63, 68), atol=1)


@pytest.mark.parametrize(
    ("plate", "window"),
    [
        (box(0, 50, 40, 64), (0, 45, 47, 68)),
        (box(32, 50, 72, 64), (24, 45, 71, 68)),
        (box(20, 0, 60, 14), (16, 0, 63, 23)),
        (box(20, 102, 60, 116), (16, 92, 63, 115)),
        (box(0, 0, 40, 14), (0, 0, 47, 23)),
        (box(32, 102, 72, 116), (24, 92, 71, 115)),
    ],
    ids=["left", "right", "top", "bottom", "first corner", "last corner"],
)
def test_at_the_border_the_window_is_shifted_inside_not_reflected(plate, window):
    tile, corners, _ = crop_plate(coordinates(), plate, TILE)
    np.testing.assert_allclose(seen(tile), window, atol=1)
    columns, rows = tile[:, :, 0].mean(axis=0), tile[:, :, 1].mean(axis=1)
    assert (np.diff(columns) >= -0.01).all(), "a reflection would turn the ramp round"
    assert (np.diff(rows) >= -0.01).all()
    assert (corners >= 0).all()
    assert (corners <= (192, 96)).all()


def test_a_window_larger_than_the_photo_is_reflected_on_both_sides():
    tile, corners, _ = crop_plate(coordinates(), box(5, 40, 70, 80), TILE)
    ramp = tile[48, :, 0].astype(int)
    assert ramp[0] > ramp[24] < ramp[96] < ramp[168] > ramp[-1]
    rows = tile[:, :, 1].mean(axis=1)
    assert (np.diff(rows) >= 0).all(), "the photo is high enough: no reflection there"
    low, high = corners.min(axis=0), corners.max(axis=0)
    assert (low >= 0).all()
    assert (high <= (192, 96)).all()


@pytest.mark.parametrize("angle", [-40, -15, 15, 40])
def test_tilted_plates_are_held_whole_and_their_corners_follow(angle):
    photo = np.zeros((400, 300, 3), np.uint8)
    middle, size = np.array([150, 200]), np.array([100, 32])
    turn = np.deg2rad(angle)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = middle + (np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) / 2 * size) @ turned.T
    cv2.fillPoly(photo, [np.round(points).astype(np.int32)], (255, 255, 255))
    tile, corners, width_px = crop_plate(photo, tuple(map(tuple, points)), TILE)
    assert width_px == pytest.approx(100)
    assert ((corners > 5) & (corners < (187, 91))).all()
    drawn = np.zeros(TILE, np.uint8)
    cv2.fillPoly(drawn, [np.round(corners).astype(np.int32)], 255)
    assert (np.abs(drawn.astype(int) - tile[..., 0]) > 128).mean() < 0.03
    assert tile[[0, -1]].max() == 0
    assert tile[:, [0, -1]].max() == 0


def test_shrinking_averages_instead_of_picking():
    stripes = np.zeros((600, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    tile, _, _ = crop_plate(stripes, box(120, 200, 1080, 400), TILE)
    assert tile.std() < 20
    assert tile.mean() == pytest.approx(127, abs=3)


def test_a_whole_picture_without_margin_is_only_resized():
    photo = np.random.default_rng(0).integers(0, 255, (96, 192, 3), np.uint8)
    tile, corners, width_px = crop_plate(photo, box(0, 0, 192, 96), TILE, margin=0)
    np.testing.assert_array_equal(tile, photo)
    np.testing.assert_array_equal(corners, box(0, 0, 192, 96))
    assert width_px == 192


@pytest.mark.parametrize("plate", [box(-1, 5, 30, 20), box(50, 5, 73, 20), box(5, 100, 30, 117), box(5, -3, 30, 20)])
def test_corners_outside_are_refused(plate):
    with pytest.raises(ValueError, match="outside the photo"):
        crop_plate(coordinates(), plate)


def test_corners_without_area_are_refused():
    with pytest.raises(ValueError, match="no area"):
        crop_plate(coordinates(), box(20, 30, 20, 60))


def test_the_smallest_plate_gives_a_tile():
    tile, _, _ = crop_plate(coordinates(), box(20, 30, 22, 32), TILE)
    assert tile.shape == (96, 192, 3)


def test_the_width_is_the_mean_of_both_edges():
    assert plate_width(np.array([(40, 30), (0, 0), (0, 10), (30, 10)])) == pytest.approx((50 + 30) / 2)


LEANING = np.array([[180.0, 90.0], [10.0, 90.0], [10.0, 30.0], [180.0, 30.0]])


@pytest.mark.parametrize("lean", [-0.3, -0.15, 0.15, 0.3])
@pytest.mark.parametrize("scale", [0.5, 4])
def test_a_plate_seen_aside_leans_as_its_characters_do(lean, scale):
    """The rectangle around a plate whose lower edge is moved to the side becomes its parallelogram."""
    aside = np.array([[1, lean, -60 * lean], [0, 1, 0]]) * scale
    picture = cv2.warpAffine(plate("H1E4L7"), aside, (int(200 * scale), int(100 * scale)), borderValue=(0.4,) * 3)
    truth = LEANING @ aside[:, :2].T + aside[:, 2]
    assert with_lean(picture, LEANING * scale) == pytest.approx(truth, abs=2.5 * scale)


@pytest.mark.parametrize(
    "picture",
    [
        plate("H1E4L7"),
        plate("AVWXMK"),
        noisy(np.full((96, 192, 3), 0.4, np.float32), 0.1, 1),
        np.zeros((96, 192, 3), np.uint8),
    ],
)
def test_what_does_not_lean_stays_as_it_is(picture):
    assert (with_lean(picture, LEANING) == LEANING).all()
