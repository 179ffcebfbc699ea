import numpy as np
import pytest

from data.synthetic.drive import RATE, drive
from enhancing.tracking import MAX_GAP_S, Tracker, box_overlap


def plate(x, y, width=60.0):
    """Corners of an upright plate with its middle at (x, y)."""
    half = np.array([width, width / 4]) / 2
    return np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * half + (x, y)


def follow(frames, rate=15):
    """frames: of each the plates' corners. The numbers of the tracks, per frame."""
    tracker, numbers = Tracker(), []
    for index, corners in enumerate(frames):
        numbers.append([track.number for track in tracker.update(index / rate, corners, [0.9] * len(corners))])
    return numbers, tracker


def test_a_plate_that_moves_and_grows_is_one_track():
    numbers, tracker = follow([[plate(100 + 20 * i, 100 + 5 * i, 40 * 1.05**i)] for i in range(20)])
    assert numbers == [[0]] * 20
    (track,) = tracker.ended()
    assert [sighting.frame for sighting in track.sightings] == list(range(20))
    assert track.counts
    assert tracker.ended() == []


def test_a_fast_plate_is_followed_by_its_speed_alone():
    """It moves by more than its own box between frames."""
    start = [[plate(100 + 30 * i, 100)] for i in range(3)]
    fast = [[plate(160 + 90 * i, 100)] for i in range(1, 8)]
    assert follow(start + fast)[0] == [[0]] * 10


def test_two_cars_are_two_tracks_also_when_the_detector_swaps_them_and_they_pass_each_other():
    frames = []
    for i in range(20):
        pair = [plate(100 + 25 * i, 100), plate(600 - 25 * i, 130)]
        frames.append(pair if i % 2 else pair[::-1])
    numbers, _ = follow(frames)
    assert numbers == [[0, 1] if i % 2 == 0 else [1, 0] for i in range(20)]


@pytest.mark.parametrize("gap", [1, 4, 9])
def test_gaps_are_bridged(gap):
    moving = [[plate(100 + 12 * i, 100)] for i in range(10 + gap)]
    frames = moving[:5] + [[]] * gap + moving[5 + gap :]
    assert follow(frames)[0] == [[0]] * 5 + [[]] * gap + [[0]] * 5


def test_a_plate_long_out_of_sight_is_a_new_track():
    gone = int(15 * MAX_GAP_S) + 2
    numbers, tracker = follow([[plate(100, 100)]] * 5 + [[]] * gone + [[plate(100, 100)]] * 3)
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
    assert follow([[plate(100, 100)], [], [plate(104, 100)]], rate=0.5)[0] == [[0], [], [0]]


def test_a_plate_of_another_size_at_the_same_place_is_another():
    assert follow([[plate(100, 100, 40)], [plate(100, 100, 120)]])[0] == [[0], [1]]


def test_a_camera_that_shakes_does_not_break_a_track():
    rng = np.random.default_rng(0)
    frames = [[plate(300 + 3 * i, 200, 50) + rng.normal(0, 12, 2)] for i in range(40)]
    assert follow(frames)[0] == [[0]] * 40


def test_one_unsure_sighting_is_no_track():
    tracker = Tracker()
    tracker.update(0.0, [plate(100, 100), plate(400, 300)], [0.6, 0.95])
    assert [track.counts for track in tracker.ended()] == [False, True]


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
