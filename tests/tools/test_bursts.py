import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from drawn_plates import Scripted, plate, spelled
from films import write_film

from data.io import to_uint8
from data.synthetic.drive import COLUMNS
from enhancing.examining import Examiner
from enhancing.track_scores import ANSWER_OF_ALL, FRAME, GAIN
from models.enhancer import Generator
from tools.benchmarks import bursts
from tools.benchmarks.bursts import (
    BEST_VIEWS,
    BURSTS,
    EVEN_VIEWS,
    SMALL_VIEWS,
    Settings,
    best_views,
    even_views,
    small_views,
)

# of the plate in the frames, and where it stands in the first one
WIDE, HIGH, LEFT, TOP = 96, 48, 30, 40
RATE = 10


def corners(number):
    return np.add([[WIDE, HIGH], [0, HIGH], [0, 0], [WIDE, 0]], (LEFT + 3 * number, TOP)).astype(float)


@pytest.fixture
def films(tmp_path):
    """A film of six frames with one plate, and its truth."""
    frames, rows = [], []
    small = to_uint8(plate("B742KX"))[::2, ::2]
    for number in range(6):
        frame = np.full((160, 320, 3), 128, np.uint8)
        frame[TOP : TOP + HIGH, LEFT + 3 * number : LEFT + 3 * number + WIDE] = small
        frames.append(frame)
        rows.append((number, f"{number / RATE:.3f}", 0, *corners(number).ravel(), "B 742KX", "RO"))
    write_film(tmp_path / "film_0000.mp4", frames, rate=RATE)
    with open(tmp_path / "film_0000.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return tmp_path


@pytest.fixture
def examiner():
    reader = Scripted(replace(spelled("B742KX"), confidence=0.9))
    return Examiner(Generator(lambda batch: batch, info={"min_effective_width_px": 20}), reader=reader)


def finds(monkeypatch, *more):
    """The detector finds the plate in each frame, and `more`."""
    numbers = iter(range(6))

    def detect(picture):
        found = [corners(next(numbers)), *more]
        return [SimpleNamespace(corners=each, score=0.9, two_lines=0.0) for each in found]

    monkeypatch.setattr(bursts, "plates_in_frames", lambda detector: detect)
    monkeypatch.setattr(bursts, "plates_near", lambda detector: lambda picture, places: detect(picture))


def test_plates_of_films_are_followed_told_apart_and_read(films, examiner, monkeypatch):
    finds(monkeypatch, np.add(corners(0), (150, 60)))
    read, counts = bursts.read_films(examiner, Settings(films=str(films), show=str(films / "sheets")))
    assert counts == {"shown": 1, "followed": 1, "none": 1}
    # it is never small
    assert [len(read[name]) for name in (BEST_VIEWS, EVEN_VIEWS, SMALL_VIEWS)] == [1, 1, 0]
    (only,) = read[BEST_VIEWS]
    assert (only.track.text, only.track.country, only.film) == ("B 742KX", "RO", "film_0000")
    assert len(only.texts[FRAME]) == 5
    assert only.texts[ANSWER_OF_ALL] == ["B742KX"]
    sheets = sorted(str(sheet.relative_to(films)) for sheet in films.rglob("*.png"))
    assert sheets == [f"sheets/{name}/film_0000-car-0.png" for name in (BEST_VIEWS, EVEN_VIEWS)]


def test_a_folder_without_films_is_an_error(tmp_path, examiner):
    with pytest.raises(ValueError, match="no films"):
        bursts.read_films(examiner, Settings(films=str(tmp_path)))


def test_views_are_the_best_ones_or_all_along_or_small_ones_in_a_row():
    views = [SimpleNamespace(seconds=n, plate_px=px, worth=px) for n, px in enumerate((20, 30, 34, 38, 44, 60, 80))]
    shuffled = [views[i] for i in (3, 6, 0, 2, 5, 1, 4)]
    assert [view.plate_px for view in best_views(shuffled, 2)] == [80, 60]
    assert [view.plate_px for view in even_views(shuffled, 3)] == [20, 38, 80]
    assert [view.plate_px for view in small_views(shuffled, 3)] == [30, 34, 38]
    assert small_views(views[-2:], 2) == small_views(views[:1], 2) == even_views(views[:1], 2) == []


def test_the_table_has_a_row_for_each_way(examiner):
    read = bursts.read_bursts(examiner, Settings(count=1, frames=2, seed=3))
    lines = bursts.table({BURSTS: read, SMALL_VIEWS: []})
    assert lines[0] == "| | bursts, n = 1 |"
    assert sum(line.startswith("| answer, ") for line in lines) == 5
    assert any(line.startswith(f"| {GAIN} | 0.0 %") for line in lines)
    assert bursts.table({BURSTS: []}) == ["no plate with so many frames"]
