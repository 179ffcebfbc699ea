"""Straightening by corners."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_plates import plate
from PIL import Image

from data.ccpd import format_name
from data.straighten import plate_size, rectangle
from enhancing.examining import Examiner, as_read
from enhancing.opening import find_sources, in_order, load_sources, make_source
from models.detector import Detection, is_quadrangle
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


def test_a_plate_on_its_side_is_read_along_its_longer_edges():
    """A photo turned by a quarter came out squeezed, its characters lying."""
    upright = np.array([[300, 180], [100, 180], [100, 130], [300, 130]], float)
    lying = upright[:, ::-1] * (1, -1) + (0, 400)
    ordered = in_order(lying)
    assert plate_size(ordered) == (200, 50)
    assert is_quadrangle(ordered)
    # one of two lines seen from far aside stays upright
    narrow = upright * (0.25, 1)
    np.testing.assert_array_equal(in_order(narrow), narrow)


class SeesTwoLines:
    """A detector to which each plate has two lines, in the lower right of the picture where it looks for one."""

    def second_look(self, picture, candidate):
        return replace(candidate, two_lines=0.9)

    def detect(self, picture, hint=1.0, near=None):
        height, width = picture.shape[:2]
        low, high = np.array([0.3, 0.4]) * (width, height), np.array([0.9, 0.95]) * (width, height)
        corners = [high, (low[0], high[1]), low, (high[0], low[1])]
        return [Detection(np.array(corners), 0.5, 0.9, 0.0)]


def test_whether_a_plate_has_two_lines_is_asked_where_its_corners_are_given():
    """Nobody did, and half of such a plate was answered, surely."""
    picture, generator = np.full((200, 400, 3), 90, np.uint8), Generator(lambda batch: batch)
    corners = rectangle(140, 100, (200, 100))
    for layout, two_lines in ((None, False), (SeesTwoLines(), True)):
        (source,) = find_sources(generator, picture, corners, layout=layout)
        assert source.two_lines == two_lines
    # so long a plate has one
    assert not find_sources(generator, picture, rectangle(300, 90, (200, 100)), layout=SeesTwoLines())[0].two_lines


def test_a_picture_taken_whole_is_cut_between_the_lines_that_are_seen_in_it():
    picture, generator = np.zeros((150, 200, 3), np.uint8), Generator(lambda batch: batch)
    (source,) = find_sources(generator, picture, layout=SeesTwoLines())
    np.testing.assert_allclose(source.lines[[0, 2]], [[0.9, 0.95], [0.3, 0.4]])
    upper, lower = as_read(source, np.zeros((150, 200, 3), np.float32))
    assert upper.shape[1] == lower.shape[1] == 120
    assert 82 < len(upper) + len(lower) < 95
    np.testing.assert_allclose(source.turned().lines[[0, 2]], [[0.7, 0.6], [0.1, 0.05]])
    np.testing.assert_allclose(source.turned().turned().lines, source.lines)
    (flat,) = find_sources(generator, picture[:90], layout=SeesTwoLines())
    assert not flat.two_lines


def test_an_examiner_asks_for_lines_of_pictures_and_of_files(tmp_path):
    examiner = Examiner(Generator(lambda batch: batch), layout=SeesTwoLines())
    picture, path = np.zeros((150, 200, 3), np.uint8), tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    assert [examiner.sources(each)[0].two_lines for each in (picture, str(path))] == [True, True]


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


def test_a_ccpd_name_speaks_of_the_pixels_as_they_are_stored(tmp_path):
    """With EXIF's orientation 6, too; a user's corners are those of the upright picture."""
    stored = np.full((120, 160, 3), 60, np.uint8)
    stored[40:60, 30:90] = (0, 0, 250)
    corners = ((90.0, 60.0), (30.0, 60.0), (30.0, 40.0), (90.0, 40.0))
    path = tmp_path / f"{format_name(corners, '皖A12345', 1, (90, 90), 60, 10)}.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(path, exif=exif)
    generator = Generator(lambda batch: batch)
    (source,) = load_sources(generator, str(path))
    assert source.as_stored
    assert source.lq[48, 96, 2] > 0.9
    assert source.plate()[source.size[0] // 2, source.size[1] // 2, 2] > 240
    # turned clockwise, (x, y) lies at (119 - y, x)
    (own,) = load_sources(generator, str(path), [(80, 30), (60, 30), (60, 90), (80, 90)])
    assert not own.as_stored
    assert own.lq[own.lq.shape[0] // 2, 96, 2] > 0.9


def test_a_source_is_turned_with_its_corners_and_its_plate():
    photo = np.zeros((80, 100, 3), np.uint8)
    photo[40:55, 30:50] = 255
    source = make_source(Generator(lambda batch: batch), photo, CORNERS)
    turned = source.turned()
    np.testing.assert_array_equal(turned.lq, source.lq[::-1, ::-1])
    np.testing.assert_array_equal(turned.plate(), source.plate()[::-1, ::-1])
    np.testing.assert_array_equal(turned.corners[0], CORNERS[2])


def test_a_square_picture_with_a_gap_has_two_lines():
    generator = Generator(lambda batch: batch)
    two = np.vstack([plate("KV47", (100, 240)), plate("HTN3", (100, 240))])
    assert make_source(generator, two).two_lines
    assert not make_source(generator, plate("KV47", (200, 240))).two_lines
    assert not make_source(generator, plate("B742KX", (96, 288))).two_lines
    assert not make_source(generator, np.full((200, 240, 3), 0.5, np.float32)).two_lines
