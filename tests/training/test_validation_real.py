import csv
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tiny_runs import as_flags, make_tiles, tiny_settings

import train
from models.detector import Detection, Located
from models.enhancer import Generator
from reading.reader import Reader, Reading
from training import validation
from training.settings import parse
from training.validation import open_all

SAME = Generator(lambda batch: batch)


class Scripted(Reader):
    """Reads a picture by how bright it is."""

    def read(self, pictures):
        read = {0: Reading("", 0.0), 1: Reading("AB12", 0.95), 2: Reading("AB13", 0.99), 3: Reading("皖A1", 0.95)}
        return [read[round(float(np.mean(picture)) / 60)] for picture in pictures]


@pytest.fixture(autouse=True)
def scripted(monkeypatch):
    monkeypatch.setattr(validation, "Reader", Scripted)


def picture(step: int) -> np.ndarray:
    return np.full((40, 100, 3), 60 * step, np.uint8)


def write(path, step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(step)).save(path)


@pytest.fixture
def listed(tmp_path):
    """Four pictures with a text.csv: one read right, one wrong, one not at all, one without a text."""
    folder = tmp_path / "listed"
    for name, step in (("a", 1), ("b", 2), ("c", 0), ("d", 1)):
        write(folder / f"{name}.png", step)
    (folder / "text.csv").write_text("file,text,country\na.png,AB12,DE\nb.png,AB12,DE\nc.png,AB12,DE\n")
    return folder


def test_a_listed_folder_is_scored_by_its_texts(listed):
    (real,), (line,) = open_all([str(listed)], SAME)
    assert "listed: 3, of which 33 % are read as they are" in line
    figures = real.figures(SAME)
    assert figures["real_listed_plate_acc"] == pytest.approx(1 / 3)
    assert figures["real_listed_char_acc"] == pytest.approx((1 + 3 / 4 + 0) / 3)
    assert figures["real_listed_flip_rate"] == 0
    assert figures["real_listed_confidently_wrong"] == pytest.approx(1 / 3)
    # every picture becomes the second: of one read right before, one is read wrong now
    worse = replace(SAME, run=lambda batch: np.full_like(batch, 120 / 255))
    figures = real.figures(worse)
    assert figures["real_listed_plate_acc"] == 0
    assert figures["real_listed_flip_rate"] == 1


def test_of_pairs_what_is_read_for_sure_in_the_sharp_picture_is_the_text(tmp_path):
    folder = tmp_path / "pairs"
    for name, (lq, hr) in {"a": (0, 1), "b": (1, 0), "c": (3, 3)}.items():
        write(folder / "lq" / f"{name}.png", lq)
        write(folder / "hr" / f"{name}.png", hr)
    (real,), _ = open_all([str(folder)], SAME)
    assert real.texts == ["AB12", "皖A1"], "what nobody can read has no text"
    assert real.countries == ["", "CN"]
    assert real.right == [False, True]


def test_plates_that_the_detector_is_sure_of_are_straightened(listed, monkeypatch):
    seen = []

    class Sure:
        def detect(self, picture, threshold):
            corners = np.array([[80, 40], [20, 30], [20, 10], [80, 20]], float)
            return [Detection(corners, 0.9, two_lines=0.0, turned_over=0.0)]

    monkeypatch.setattr(validation, "SHIPPED", listed)
    monkeypatch.setattr(validation, "load_detector", lambda: Sure())
    monkeypatch.setattr(validation, "straighten", lambda _, corners, size: seen.append(size) or np.zeros((*size, 3)))
    (real,), _ = open_all([str(listed)], SAME)
    assert seen == [(96, 192)] * 3
    assert {tile.shape for tile in real.tiles} == {(96, 192, 3)}


def test_a_crop_in_which_the_plate_lies_as_in_a_tile_is_taken_whole_as_in_use(listed, monkeypatch):
    monkeypatch.setattr(
        validation, "find_plates", lambda *_: Located((Detection(np.eye(4, 2), 0.9, 0, 0),), whole=True)
    )
    monkeypatch.setattr(validation, "straighten", lambda *_: pytest.fail("it was straightened"))
    (real,), _ = open_all([str(listed)], SAME)
    assert len(real.tiles) == 3


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["nowhere"], "--real .*nowhere: no such folder"),
        (["listed", "other/listed"], "two folders are called listed"),
        (["plain"], "no picture with a text"),
    ],
)
def test_folders_that_cannot_be_used_are_named(listed, tmp_path, names, words):
    write(tmp_path / "plain" / "a.png", 1)
    with pytest.raises(ValueError, match=words):
        open_all([str(tmp_path / name) for name in names], SAME)


def test_a_run_logs_them_and_may_choose_by_them(listed, tmp_path, monkeypatch):
    settings = tiny_settings(make_tiles(tmp_path / "tiles"), tmp_path / "run", real=(str(listed),), select="real",
                             adversarial_steps=0, pretrain_steps=2, validate_every=1)  # fmt: skip
    given, _ = parse("", as_flags(settings))
    assert given == settings
    assert train.main(as_flags(settings)) == 0
    with open(tmp_path / "run" / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["real_listed_char_acc"]) == float(row["real_char_acc"]) for row in rows)
    assert train.main(["--run", str(tmp_path / "run"), "--resume"]) == 0


def test_to_choose_by_real_pictures_takes_some(tmp_path):
    with pytest.raises(ValueError, match="--select real needs --real DIR"):
        tiny_settings("tiles", "run", select="real")
