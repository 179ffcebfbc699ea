"""What is a plate, what is taken whole, what is nothing."""

from dataclasses import replace

import numpy as np
import pytest

from models.detector import Plate
from models.locating import find_plates, has_crop_shape, is_framed, upright

BOX = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])


class Finds:
    def __init__(self, *plates):
        self.plates = plates

    def detect(self, picture, threshold):
        return [plate for plate in self.plates if plate.score >= threshold]


def blank(height, width):
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "crop"),
    [
        ((112, 224), True),
        ((60, 160), True),
        ((150, 320), True),
        ((240, 960), True),
        ((300, 600), False),
        ((480, 640), False),
        ((1080, 1920), False),
        ((200, 60), False),
    ],
)
def test_shape_of_a_crop(size, crop):
    assert has_crop_shape(blank(*size)) is crop


def test_sure_plates_are_taken_as_they_are_found():
    plates = Plate(BOX * 90, 0.9, 0, 0), Plate(BOX * 40 + 100, 0.7, 0, 0)
    assert find_plates(blank(500, 700), Finds(*plates)).plates == plates


def test_nothing_in_a_photo_is_no_plate():
    assert find_plates(blank(500, 700), Finds()) == ((), False)
    assert find_plates(blank(500, 700), Finds(Plate(BOX * 90, 0.3, 0, 0))) == ((), False)


def test_nothing_in_a_crop_is_the_whole_crop():
    assert find_plates(blank(100, 220), Finds()) == ((), True)


def test_a_hint_that_fills_a_picture_makes_it_a_crop():
    assert find_plates(blank(500, 700), Finds(Plate(BOX * 600, 0.3, 0, 0))) == ((), True)


def test_upside_down():
    turned = upright(Plate(BOX * 90, 0.9, 0, 0.95))
    assert (turned.corners[0] == (0, 0)).all()
    assert (upright(Plate(BOX * 90, 0.9, 0, 0.5)).corners == BOX * 90).all()


@pytest.mark.parametrize(
    ("place", "framed"),
    [
        ([30, 25, 190, 75], True),
        # no room beside it, above it
        ([2, 25, 218, 75], False),
        ([30, 4, 190, 96], False),
    ],
)
def test_a_crop_framed_as_a_tile_is_taken_whole(place, framed):
    left, top, right, bottom = place
    plate = Plate(np.array([[right, bottom], [left, bottom], [left, top], [right, top]], float), 0.9, 0, 0)
    located = find_plates(blank(100, 220), Finds(plate))
    assert located.plates == (plate,)
    assert located.whole is framed


def test_tilted_and_two_line_plates_and_photos_are_straightened():
    plate = Plate(np.array([[190.0, 75], [30, 75], [30, 25], [190, 25]]), 0.9, 0, 0)
    assert is_framed(plate, blank(100, 220))
    tilted = replace(plate, corners=plate.corners + np.array([[0, 10], [0, 0], [0, 0], [0, 10]]))
    assert not is_framed(tilted, blank(100, 220))
    assert not is_framed(replace(plate, two_lines=0.95), blank(100, 220))
    assert not is_framed(replace(plate, corners=np.roll(plate.corners, 2, axis=0)), blank(100, 220))
    assert not find_plates(blank(500, 700), Finds(plate)).whole
