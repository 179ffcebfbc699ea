from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from drawn_plates import Scripted, plate, spelled
from films import write_film
from PIL import Image

from data.film import Film, Frame, open_film, open_pictures
from data.io import open_picture, to_uint8
from enhancing.examining import Examiner
from enhancing.films import clock, enhance_film
from enhancing.finding import parse_time
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


def test_of_a_cut_off_film_what_is_there_is_used_and_the_rest_said(tmp_path, examiner, capsys):
    path = write_film(tmp_path / "clip.avi", frames_of(40, noise=0.2), rate=RATE, codec="mjpeg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (row,) = enhance_film(open_film(str(path)), "clip.avi", "clip", str(tmp_path), examiner, finder(40))
    assert row.status == "done"
    assert 10 < row.frames < 25
    assert "cut off" in capsys.readouterr().err


def test_a_film_that_cannot_be_opened_is_one_failed_row(tmp_path, examiner):
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and nothing else")
    (row,) = enhance_film(
        open_film(str(tmp_path / "clip.mp4")), "clip.mp4", "clip", str(tmp_path), examiner, lambda picture: []
    )
    assert row.status == "failed"
    assert "film" in row.reason


def test_pictures_of_a_folder_as_a_film(tmp_path, examiner, capsys):
    paths = []
    for number, frame in enumerate(frames_of(6)):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(frame).save(paths[-1])
    (tmp_path / "4.png").write_text("no picture")
    (row,) = enhance_film(open_pictures(paths), "folder", "out", str(tmp_path), examiner, finder(6))
    assert (row.reading, row.frames, row.last_second) == ("B742KX", 5, "0.50")
    assert "4.png" in capsys.readouterr().err
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
