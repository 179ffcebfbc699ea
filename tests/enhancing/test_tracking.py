from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from data.film import Frame
from data.io import to_float
from data.synthetic.drive import RATE, drive
from enhancing.burst import worth_of
from enhancing.tracking import MAX_GAP_S, VIEWS, Tracker, box_overlap, follow


def plate(x, y, width=60.0):
    """Corners of an upright plate with its middle at (x, y)."""
    half = np.array([width, width / 4]) / 2
    return np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * half + (x, y)


def numbered(frames, rate=15):
    """frames: of each the plates' corners. The numbers of the tracks, per frame."""
    tracker, numbers = Tracker(), []
    for index, corners in enumerate(frames):
        numbers.append([track.number for track in tracker.update(index / rate, corners, [0.9] * len(corners))])
    return numbers, tracker


def test_a_plate_that_moves_and_grows_is_one_track():
    numbers, tracker = numbered([[plate(100 + 20 * i, 100 + 5 * i, 40 * 1.05**i)] for i in range(20)])
    assert numbers == [[0]] * 20
    (track,) = tracker.ended()
    assert [sighting.frame for sighting in track.sightings] == list(range(20))
    assert track.counts
    assert tracker.ended() == []


def test_a_fast_plate_is_followed_by_its_speed_alone():
    """It moves by more than its own box between frames."""
    start = [[plate(100 + 30 * i, 100)] for i in range(3)]
    fast = [[plate(160 + 90 * i, 100)] for i in range(1, 8)]
    assert numbered(start + fast)[0] == [[0]] * 10


def test_two_cars_are_two_tracks_also_when_the_detector_swaps_them_and_they_pass_each_other():
    frames = []
    for i in range(20):
        pair = [plate(100 + 25 * i, 100), plate(600 - 25 * i, 130)]
        frames.append(pair if i % 2 else pair[::-1])
    numbers, _ = numbered(frames)
    assert numbers == [[0, 1] if i % 2 == 0 else [1, 0] for i in range(20)]


@pytest.mark.parametrize("gap", [1, 4, 9])
def test_gaps_are_bridged(gap):
    moving = [[plate(100 + 12 * i, 100)] for i in range(10 + gap)]
    frames = moving[:5] + [[]] * gap + moving[5 + gap :]
    assert numbered(frames)[0] == [[0]] * 5 + [[]] * gap + [[0]] * 5


def test_a_plate_long_out_of_sight_is_a_new_track():
    gone = int(15 * MAX_GAP_S) + 2
    numbers, tracker = numbered([[plate(100, 100)]] * 5 + [[]] * gone + [[plate(100, 100)]] * 3)
    assert numbers[-1] == [1]
    assert [track.number for track in tracker.ended()] == [0, 1]


def test_ended_tracks_are_handed_out_once_and_while_the_film_runs():
    tracker = Tracker()
    tracker.update(0.0, [plate(100, 100)], [0.9])
    assert tracker.ended(0.0) == []
    for index in range(1, 40):
        tracker.update(index / 15, [plate(500, 300)], [0.9])
    assert [track.number for track in tracker.ended(39 / 15)] == [0]
    assert [track.number for track in tracker.ended()] == [1]


def test_few_frames_a_second_bridge_gaps_by_frames():
    assert numbered([[plate(100, 100)], [], [plate(104, 100)]], rate=0.5)[0] == [[0], [], [0]]


def test_a_plate_of_another_size_at_the_same_place_is_another():
    assert numbered([[plate(100, 100, 40)], [plate(100, 100, 120)]])[0] == [[0], [1]]


def test_a_camera_that_shakes_does_not_break_a_track():
    rng = np.random.default_rng(0)
    frames = [[plate(300 + 3 * i, 200, 50) + rng.normal(0, 12, 2)] for i in range(40)]
    assert numbered(frames)[0] == [[0]] * 40


def test_one_unsure_sighting_is_no_track():
    tracker = Tracker()
    tracker.update(0.0, [plate(100, 100), plate(400, 300)], [0.6, 0.95])
    assert [track.counts for track in tracker.ended()] == [False, True]


@pytest.mark.parametrize(("scores", "counts"), [((0.75, 0.6), False), ((0.75, 0.55, 0.72), True), ((0.6, 0.85), True)])
def test_unsure_sightings_beside_a_sure_one_make_no_track(scores, counts):
    tracker = Tracker()
    for number, score in enumerate(scores):
        tracker.update(number / 15, [plate(100, 100)], [score])
    assert [track.counts for track in tracker.ended()] == [counts]


def test_overlap_by_hand():
    one = np.array([0.0, 0, 2, 2])
    assert box_overlap(one, one) == 1
    assert box_overlap(one, one + 5) == 0
    assert box_overlap(one, np.array([1.0, 0, 3, 2])) == pytest.approx(1 / 3)


def test_rendered_films_have_as_many_tracks_as_cars():
    """The truth as a detector that misses every fifth plate and is a few pixels off."""
    for index in (2, 3):
        rng = np.random.default_rng(index)
        tracker, cars = Tracker(), {}
        for number, (_, sights) in enumerate(drive(3, index, (90, 160), 20)):
            seen = [sight for sight in sights if rng.random() > 0.2]
            corners = [sight.corners + rng.normal(0, 0.3, (4, 2)) for sight in seen]
            for sight, track in zip(seen, tracker.update(number / RATE, corners, [0.9] * len(seen)), strict=True):
                cars.setdefault(sight.car, set()).add(track.number)
        assert all(len(numbers) == 1 for numbers in cars.values())
        assert len({min(numbers) for numbers in cars.values()}) == len(cars)


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
    return [SimpleNamespace(corners=each, score=score, two_lines=0.0) for each in corners]


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


def test_between_searches_plates_are_looked_for_where_they_are_expected():
    moving = [np.add(CORNERS, (4 * number, 0)) for number in range(12)]
    shown, searches, places = [], [], []

    def frames(step):
        for number in range(12):
            shown.append(number)
            yield Frame(number * step, picture())

    def detect(_):
        searches.append(shown[-1])
        return plates(moving[shown[-1]]) if shown[-1] else []

    def detect_near(_, expected):
        places.append(np.abs(expected[0] - moving[shown[-1]]).max())
        return plates(moving[shown[-1]])

    (followed,) = follow(frames(0.04), detect, detect_near)
    assert searches == [0, 3, 6, 9]
    # nothing is looked for before the first plate; then frame 4 expects it where it was, and the others by its speed
    assert places == pytest.approx([4, 0, 0, 0, 0, 0], abs=1e-6)
    assert len(followed.track.sightings) == 9
    searches.clear()
    # of few frames a second each is searched
    assert len(list(follow(frames(0.2), detect, detect_near))) == 1
    assert searches == list(range(12))


def test_a_film_that_jumps_back_in_time_is_searched_on():
    searches = []
    frames = [Frame(seconds, picture()) for seconds in (5.0, 0.0, 0.04, 0.12)]
    list(follow(frames, lambda frame: searches.append(1) or [], lambda frame, expected: []))
    assert len(searches) == 3


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
