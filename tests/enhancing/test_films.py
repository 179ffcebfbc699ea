from contextlib import nullcontext
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from drawn_plates import Scripted, plate, spelled
from films import write_film
from PIL import Image

from data.film import Film, Frame, open_film, open_pictures
from data.io import open_picture, to_float, to_uint8
from data.synthetic.drive import RATE as DRIVE_RATE
from data.synthetic.drive import drive
from enhancing.burst import worth_of
from enhancing.examining import Examiner
from enhancing.films import MAX_GAP_S, VIEWS, Tracker, box_overlap, clock, enhance_film, enhance_films, follow
from enhancing.finding import FilmJob, Part, parse_time
from models.enhancer import Generator

PLATE_H, PLATE_W = 48, 96
RATE = 10


def places(count):
    """Of the plate's upper left corner in each frame."""
    return [(20 + 3 * number, 40 + number) for number in range(count)]


def frames_of(count, noise=0.04, text="B742KX"):
    """A plate that crosses grey frames from left to right."""
    small = np.asarray(Image.fromarray(to_uint8(plate(text))).resize((PLATE_W, PLATE_H)), np.float32) / 255
    frames = []
    for number, (x, y) in enumerate(places(count)):
        frame = np.full((160, 320, 3), 0.5, np.float32)
        frame[y : y + PLATE_H, x : x + PLATE_W] = small
        frame += np.random.default_rng(number).normal(0, noise, frame.shape)
        frames.append(to_uint8(frame))
    return frames


def finder(count, missed=(), two_lines=0.0):
    """Detects the plates of `frames_of`, frame after frame."""
    numbers = iter(range(count))

    def detect(picture):
        number = next(numbers)
        if number in missed:
            return []
        x, y = places(count)[number]
        corners = np.add([[PLATE_W, PLATE_H], [0, PLATE_H], [0, 0], [PLATE_W, 0]], (x, y)).astype(float)
        return [SimpleNamespace(corners=corners, score=0.9, two_lines=two_lines)]

    return detect


@pytest.fixture
def examiner():
    reader = Scripted(spelled("B742KX"))
    return Examiner(Generator(lambda batch: batch, info={"min_effective_width_px": 20}), reader=reader)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_a_film_leaves_a_combined_picture_the_best_frame_and_a_sheet(tmp_path, examiner):
    path = write_film(tmp_path / "clip.mp4", frames_of(8), rate=RATE)
    (row,) = enhance_film(open_film(str(path)), "clip.mp4", "clip", str(tmp_path), examiner, finder(8, missed=(3, 4)))
    assert files_in(tmp_path) == ["clip.mp4", "clip/plate-1.frame.png", "clip/plate-1.png", "clip/plate-1.sheet.png"]
    assert (row.status, row.reading, row.output) == ("done", "B742KX", "clip/plate-1.png")
    assert (row.track, row.first_second, row.last_second, row.frames) == (1, "0.00", "0.70", 6)
    assert (row.width, row.height) == (320, 160)
    assert row.agreement == 1
    assert len(row.character_confidences.split()) == 6
    combined = open_picture(tmp_path / row.output)
    assert combined.shape == (96, 192, 3)
    # the plate, and what is around it, as it is in the film
    best = open_picture(tmp_path / "clip" / "plate-1.frame.png")
    assert PLATE_H < best.shape[0] <= 160
    assert PLATE_W < best.shape[1] <= 320
    assert open_picture(tmp_path / "clip" / "plate-1.sheet.png").shape[1] > 1000


def test_the_combined_picture_has_less_noise_than_a_frame(tmp_path, examiner):
    frames = frames_of(6, noise=0.12)
    for name, count in (("one", 1), ("all", 6)):
        film = film_of_frames(frames[:count])
        list(enhance_film(film, "x", name, str(tmp_path), examiner, finder(count)))
    grey = np.s_[2:7, 4:-4]
    one, every = (open_picture(tmp_path / name / "plate-1.png")[grey].astype(float) for name in ("one", "all"))
    assert every.std() < 0.6 * one.std()


def test_the_reader_sees_the_plate_alone_and_each_of_two_lines(tmp_path):
    """As of photos."""
    shapes = []

    class Watching(Scripted):
        def read(self, pictures):
            shapes.extend(picture.shape[:2] for picture in pictures)
            return super().read(pictures)

    def heights(two_lines):
        shapes.clear()
        watching = Examiner(Generator(lambda batch: batch), reader=Watching(spelled("B742KX")))
        film = film_of_frames(frames_of(3))
        (row,) = enhance_film(film, "x", "x", str(tmp_path), watching, finder(3, two_lines=two_lines))
        return {height for height, _ in shapes}, row.reading

    whole, text = heights(0.1)
    halves, texts = heights(0.9)
    # a tile of 96 rows holds a plate of 77 at most
    assert min(whole) > 60
    assert max(whole) < 96
    assert max(halves) < 0.8 * min(whole)
    assert (text, texts) == ("B742KX", "B742KXB742KX")


def film_of_frames(frames):
    return nullcontext(Film(iter([Frame(n / RATE, f) for n, f in enumerate(frames)]), len(frames)))


def test_a_film_without_plates_is_said_to_have_none(tmp_path, examiner):
    path = write_film(tmp_path / "clip.mp4", frames_of(5), rate=RATE)
    (row,) = enhance_film(open_film(str(path)), "clip.mp4", "clip", str(tmp_path), examiner, lambda picture: [])
    assert (row.status, row.reason) == ("no plate", "no plate found in 5 frames")
    assert files_in(tmp_path) == ["clip.mp4"]


def test_of_a_cut_off_film_what_is_there_is_used_and_the_rest_said(tmp_path, examiner):
    path = write_film(tmp_path / "clip.avi", frames_of(40, noise=0.2), rate=RATE, codec="mjpeg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    row, lost = enhance_film(open_film(str(path)), "clip.avi", "clip", str(tmp_path), examiner, finder(40))
    assert row.status == "done"
    assert 10 < row.frames < 25
    # in the report, too, and not all is well
    assert (lost.input, lost.status, lost.output) == ("clip.avi", "failed", "")
    assert "cut off" in lost.reason


def test_a_film_that_cannot_be_opened_is_one_failed_row(tmp_path, examiner):
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and nothing else")
    (row,) = enhance_film(
        open_film(str(tmp_path / "clip.mp4")), "clip.mp4", "clip", str(tmp_path), examiner, lambda picture: []
    )
    assert row.status == "failed"
    assert "film" in row.reason


@pytest.mark.parametrize("error", [OSError("disk"), ValueError("network"), cv2.error("size"), MemoryError()])
def test_what_ends_a_film_is_its_own_row(tmp_path, examiner, error):
    """Else it would end all others."""

    def fail(picture):
        raise error

    (row,) = enhance_film(film_of_frames(frames_of(2)), "clip.mp4", "clip", str(tmp_path), examiner, fail)
    assert (row.status, row.reason) == ("failed", str(error) or "not enough memory")


def test_films_are_read_by_the_examiners_reader(tmp_path, examiner, monkeypatch):
    monkeypatch.setattr("enhancing.films.Reader", lambda **_: pytest.fail("a second reader is loaded"))
    path = write_film(tmp_path / "clip.mp4", frames_of(3), rate=RATE)
    found = finder(3)(None)
    monkeypatch.setattr("enhancing.films.plates_in_frames", lambda _: lambda picture: found)
    monkeypatch.setattr("enhancing.films.plates_near", lambda _: lambda picture, places: found)
    job = FilmJob(str(path), path.name)
    (row,) = enhance_films(examiner, None, [job], str(tmp_path / "out"), Part(), frozenset())
    assert row.reading == "B742KX"


def test_pictures_of_a_folder_as_a_film(tmp_path, examiner):
    paths = []
    for number, frame in enumerate(frames_of(6)):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(frame).save(paths[-1])
    (tmp_path / "4.png").write_text("no picture")
    row, lost = enhance_film(open_pictures(paths), "folder", "out", str(tmp_path), examiner, finder(6))
    assert (row.reading, row.frames, row.last_second) == ("B742KX", 5, "0.50")
    assert lost.status == "failed"
    assert "4.png" in lost.reason
    with open_pictures(paths, 0.2, 0.5, 2) as film:
        assert film.expected == 2
        assert [round(frame.seconds, 1) for frame in film.frames] == [0.2]


@pytest.mark.parametrize(
    ("text", "seconds"), [("12", 12), ("12.5", 12.5), ("00:12", 12), ("1:02:03.5", 3723.5), ("90:00", 5400)]
)
def test_times_as_people_write_them(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "a", "-1", "1:2:3:4", "1e3", "12:", "nan", "١٢"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="MM:SS"):
        parse_time(text)


def test_clock():
    assert [clock(each) for each in (0, 61.26, 3723.5, 59.99)] == ["00:00.0", "01:01.3", "1:02:03.5", "01:00.0"]


def plate_at(x, y, width=60.0):
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
    numbers, tracker = numbered([[plate_at(100 + 20 * i, 100 + 5 * i, 40 * 1.05**i)] for i in range(20)])
    assert numbers == [[0]] * 20
    (track,) = tracker.ended()
    assert [sighting.frame for sighting in track.sightings] == list(range(20))
    assert track.counts
    assert tracker.ended() == []


def test_a_fast_plate_is_followed_by_its_speed_alone():
    """It moves by more than its own box between frames."""
    start = [[plate_at(100 + 30 * i, 100)] for i in range(3)]
    fast = [[plate_at(160 + 90 * i, 100)] for i in range(1, 8)]
    assert numbered(start + fast)[0] == [[0]] * 10


def test_two_cars_are_two_tracks_also_when_the_detector_swaps_them_and_they_pass_each_other():
    frames = []
    for i in range(20):
        pair = [plate_at(100 + 25 * i, 100), plate_at(600 - 25 * i, 130)]
        frames.append(pair if i % 2 else pair[::-1])
    numbers, _ = numbered(frames)
    assert numbers == [[0, 1] if i % 2 == 0 else [1, 0] for i in range(20)]


@pytest.mark.parametrize("gap", [1, 4, 9])
def test_gaps_are_bridged(gap):
    moving = [[plate_at(100 + 12 * i, 100)] for i in range(10 + gap)]
    frames = moving[:5] + [[]] * gap + moving[5 + gap :]
    assert numbered(frames)[0] == [[0]] * 5 + [[]] * gap + [[0]] * 5


def test_a_plate_long_out_of_sight_is_a_new_track():
    gone = int(15 * MAX_GAP_S) + 2
    numbers, tracker = numbered([[plate_at(100, 100)]] * 5 + [[]] * gone + [[plate_at(100, 100)]] * 3)
    assert numbers[-1] == [1]
    assert [track.number for track in tracker.ended()] == [0, 1]


def test_ended_tracks_are_handed_out_once_and_while_the_film_runs():
    tracker = Tracker()
    tracker.update(0.0, [plate_at(100, 100)], [0.9])
    assert tracker.ended(0.0) == []
    for index in range(1, 40):
        tracker.update(index / 15, [plate_at(500, 300)], [0.9])
    assert [track.number for track in tracker.ended(39 / 15)] == [0]
    assert [track.number for track in tracker.ended()] == [1]


def test_few_frames_a_second_bridge_gaps_by_frames():
    assert numbered([[plate_at(100, 100)], [], [plate_at(104, 100)]], rate=0.5)[0] == [[0], [], [0]]


def test_a_plate_of_another_size_at_the_same_place_is_another():
    assert numbered([[plate_at(100, 100, 40)], [plate_at(100, 100, 120)]])[0] == [[0], [1]]


def test_a_camera_that_shakes_does_not_break_a_track():
    rng = np.random.default_rng(0)
    frames = [[plate_at(300 + 3 * i, 200, 50) + rng.normal(0, 12, 2)] for i in range(40)]
    assert numbered(frames)[0] == [[0]] * 40


def test_one_unsure_sighting_is_no_track():
    tracker = Tracker()
    tracker.update(0.0, [plate_at(100, 100), plate_at(400, 300)], [0.6, 0.95])
    assert [track.counts for track in tracker.ended()] == [False, True]


@pytest.mark.parametrize(("scores", "counts"), [((0.75, 0.6), False), ((0.75, 0.55, 0.72), True), ((0.6, 0.85), True)])
def test_unsure_sightings_beside_a_sure_one_make_no_track(scores, counts):
    tracker = Tracker()
    for number, score in enumerate(scores):
        tracker.update(number / 15, [plate_at(100, 100)], [score])
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
            for sight, track in zip(seen, tracker.update(number / DRIVE_RATE, corners, [0.9] * len(seen)), strict=True):
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
            yield Frame(number / DRIVE_RATE, frame)

    followed = list(follow(frames(), lambda frame: plates(*(sight.corners for sight in truths[-1]))))
    assert len(followed) == 2
    for each in followed:
        widths = [view.plate_px for view in each.views]
        assert len(widths) == 8
        # they come nearer: the last views are among the best
        assert np.mean(widths[:3]) > np.mean(widths[-3:])
