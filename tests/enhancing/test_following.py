from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from data.film import Frame
from data.io import to_float
from data.synthetic.drive import RATE, drive
from enhancing.burst import worth_of
from enhancing.following import VIEWS, follow
from enhancing.tracking import MAX_GAP_S

CORNERS = np.array([[220, 130], [100, 130], [100, 100], [220, 100]], float)


def picture(blur=0.0, seed=0):
    """A grey frame with a plate of bars at CORNERS."""
    frame = np.full((240, 400, 3), 128, np.uint8)
    frame[100:130, 100:220] = 255
    for x in range(106, 216, 10):
        frame[106:124, x : x + 4] = 0
    frame = cv2.GaussianBlur(frame, (0, 0), blur) if blur else frame
    return np.clip(frame + np.random.default_rng(seed).normal(0, 2, frame.shape), 0, 255).astype(np.uint8)


def plates(*corners, score=0.9):
    return [SimpleNamespace(corners=each, score=score) for each in corners]


def test_a_plate_is_followed_and_its_sharpest_views_kept():
    blurs = [3, 0.3, 2, 4, 5] * 4
    frames = [Frame(number / 10, picture(blur, number)) for number, blur in enumerate(blurs)]
    (followed,) = follow(frames, lambda frame: plates(CORNERS))
    assert len(followed.track.sightings) == 20
    assert len(followed.views) == VIEWS
    # the frames with the least blur come first
    assert sorted(round(view.seconds * 10) % 5 for view in followed.views[:8]) == [1] * 4 + [2] * 4
    best = followed.views[0]
    assert best.tile.shape == (96, 192, 3)
    assert best.plate_px == 120
    # the plate takes 0.8 of the tile's width
    assert best.tile_px == pytest.approx(150)
    assert best.frame_size == (240, 400)


def test_the_tile_shows_the_plate_and_the_surroundings_the_frame():
    frame = picture()
    (followed,) = follow([Frame(0.0, frame)], lambda frame: plates(CORNERS))
    tile = followed.views[0].tile
    # bars across the middle, and the car's grey around the plate
    assert tile[48, 30:160].std() > 80
    assert abs(int(tile[4, 4, 0]) - 128) < 10
    np.testing.assert_array_equal(followed.surroundings, frame[10:220, 0:340])


def test_wide_views_are_worth_more_than_small_and_blurred_ones():
    (one,) = follow([Frame(0.0, picture())], lambda frame: plates(CORNERS))
    tile = to_float(one.views[0].tile)
    blurred = cv2.GaussianBlur(tile, (0, 0), 4)
    assert worth_of(tile, 120) > worth_of(tile, 60)
    assert worth_of(tile, 120) > 1.5 * worth_of(blurred, 120)
    assert worth_of(np.full((96, 192, 3), 0.4, np.float32), 120) == 0


def test_a_plate_is_handed_out_once_it_is_gone_and_not_kept():
    elsewhere = np.add(CORNERS, (160, 100))
    shown = []

    def frames():
        for number in range(40):
            shown.append(number)
            yield Frame(number / 10, picture())

    def detect(_):
        return plates(CORNERS) if shown[-1] < 10 else plates(elsewhere)

    following = follow(frames(), detect)
    first = next(following)
    assert first.track.sightings[-1].frame == 9
    assert 10 * MAX_GAP_S <= shown[-1] - 9 < 10 * MAX_GAP_S + 5
    assert len(list(following)) == 1


def test_what_is_seen_once_and_doubtful_or_encloses_nothing_is_no_plate():
    line = np.array([[10, 10], [20, 20], [30, 30], [40, 40]], float)
    assert list(follow([Frame(0.0, picture())], lambda frame: plates(CORNERS, score=0.6))) == []
    assert list(follow([Frame(0.0, picture())], lambda frame: plates(line))) == []


def test_a_plate_that_leaves_the_frame_is_worth_less():
    at_the_edge = CORNERS - [150, 0]
    frames = [Frame(0.0, picture()), Frame(0.1, picture())]
    corners = iter((CORNERS, at_the_edge))
    views = [each.views for each in follow(frames, lambda frame: plates(next(corners)))]
    assert views[0][0].seconds == 0.0
    assert views[0][0].worth > 2 * views[-1][-1].worth


def test_the_truth_of_a_rendered_film_gives_its_plates():
    truths = []

    def frames():
        for number, (frame, sights) in enumerate(drive(3, 2, (360, 640), 8)):
            truths.append(sights)
            yield Frame(number / RATE, frame)

    followed = list(follow(frames(), lambda frame: plates(*(sight.corners for sight in truths[-1]))))
    assert len(followed) == 2
    for each in followed:
        widths = [view.plate_px for view in each.views]
        assert len(widths) == 8
        # they come nearer: the last views are among the best
        assert np.mean(widths[:3]) > np.mean(widths[-3:])
