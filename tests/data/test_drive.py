import csv

import cv2
import numpy as np
import pytest

from data.film import open_film
from data.synthetic import __main__ as program
from data.synthetic.drive import COLUMNS, drive, write_drive

SIZE = (180, 320)


@pytest.fixture(scope="module")
def films():
    return [list(drive(3, index, SIZE, 6)) for index in range(4)]


def plate_width(sight):
    return np.linalg.norm(sight.corners[0] - sight.corners[1])


def test_a_seed_gives_the_same_pixels_and_another_others(films):
    again = list(drive(3, 0, SIZE, 6))
    for (one, _), (other, _) in zip(films[0], again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.abs(films[0][0][0].astype(int) - films[1][0][0]).mean() > 5


def test_plates_grow_or_shrink_move_and_keep_their_text(films):
    for film in films:
        tracks = {}
        for picture, sights in film:
            assert picture.shape == (*SIZE, 3)
            assert picture.dtype == np.uint8
            for sight in sights:
                assert (sight.corners >= 0).all()
                assert (sight.corners <= SIZE[::-1]).all()
                # bottom right first, then clockwise
                assert cv2.contourArea(sight.corners.astype(np.float32), oriented=True) > 0
                assert (sight.corners[0] > sight.corners[2]).all()
                tracks.setdefault(sight.car, []).append(sight)
        assert tracks
        for track in tracks.values():
            assert len({sight.text for sight in track}) == 1
            ratio = plate_width(track[-1]) / plate_width(track[0])
            assert len(track) < 6 or max(ratio, 1 / ratio) > 1.15


def test_the_truth_lies_on_the_plate(monkeypatch):
    def green_plate_on_black(rng, face, corners, size):
        photo = np.zeros((*size, 3), np.uint8)
        cv2.fillConvexPoly(photo, corners.round().astype(np.int32), (0, 255, 0))
        return photo

    monkeypatch.setattr("data.synthetic.drive.photograph", green_plate_on_black)
    for index in range(3):
        for picture, sights in list(drive(8, index, (360, 640), 5))[1:4:2]:
            red, green, blue = picture.astype(float).transpose(2, 0, 1)
            found = (green - np.maximum(red, blue)) > 0.4 * green.max()
            truth = np.zeros(found.shape, np.uint8)
            for sight in sights:
                cv2.fillConvexPoly(truth, sight.corners.round().astype(np.int32), 1)
            # blurred edges and whole pixels leave a rim
            assert (found & (truth > 0)).sum() > 0.6 * (found | (truth > 0)).sum() > 20


def test_a_film_on_disk_and_its_truth(tmp_path):
    path = write_drive(tmp_path, 3, 0, SIZE, 6)
    with open_film(str(path)) as film:
        frames = list(film.frames)
    assert [frame.picture.shape for frame in frames] == [(*SIZE, 3)] * 6
    assert film.faults == []
    with open(path.with_suffix(".csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    sights = [(number, sight) for number, (_, each) in enumerate(drive(3, 0, SIZE, 6)) for sight in each]
    assert len(rows) == len(sights)
    for row, (number, sight) in zip(rows, sights, strict=True):
        assert (int(row["frame"]), row["text"], row["country"]) == (number, sight.text, sight.country)
        assert float(row["seconds"]) == pytest.approx(frames[number].seconds, abs=0.002)
        places = [float(row[f"{axis}{corner}"]) for corner in range(1, 5) for axis in "xy"]
        np.testing.assert_allclose(places, sight.corners.ravel(), atol=0.01)
    # coding changes a frame only a little
    assert np.abs(frames[3].picture.astype(int) - list(drive(3, 0, SIZE, 6))[3][0]).mean() < 8


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    write = lambda folder, seed, index, faces: (folder / f"{index}").touch()  # noqa: E731
    monkeypatch.setattr("data.synthetic.drive.write_drive", write)
    flags = ["--film", "--out", str(tmp_path / "films"), "--count=3", "--workers=1"]
    assert program.main(flags) == 0
    assert "3 films" in capsys.readouterr().out
    assert len(list((tmp_path / "films").iterdir())) == 3
    assert program.main(flags) == 2
    assert program.main([*flags[:1], "--out", str(tmp_path / "x"), "--count=1", "--sheet=a.png"]) == 2
