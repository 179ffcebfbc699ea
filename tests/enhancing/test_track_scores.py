import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from drawn_plates import Scripted, moved, noisy, plate, spelled
from PIL import Image
from tiny_generators import write_onnx

from data.io import to_uint8
from enhancing.examining import Examiner
from enhancing.track_scores import (
    ANSWER,
    ANSWER_OF_ALL,
    ANSWER_OF_BEST,
    ANSWER_OF_SUREST,
    BOUND,
    COMBINED,
    FRAME,
    GAIN,
    VOTE,
    WAYS,
    find_tracks,
    for_terminal,
    score_tracks,
)
from evaluate import main
from models.enhancer import Generator


def write_tracks(folder, texts, frames=3):
    for name, text in texts.items():
        (folder / name).mkdir(parents=True)
        for number in range(frames):
            picture = noisy(moved(plate(text), 2 * number, number), 0.02, number)
            Image.fromarray(to_uint8(picture)).save(folder / name / f"{number}.png")
    rows = [("file", "text", "country"), *((name, text, "DE") for name, text in texts.items())]
    with open(folder / "text.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return folder


def examiner(*readings):
    generator = Generator(lambda batch: batch, info={"min_effective_width_px": 20})
    return Examiner(generator, reader=Scripted(*(replace(spelled(text), confidence=0.9) for text in readings)))


def test_tracks_and_their_texts_are_found(tmp_path):
    write_tracks(tmp_path, {"b": "AB123", "a": "B742KX", "two lines": "AB/123"})
    (tmp_path / "unknown").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("no frame")
    found = find_tracks(str(tmp_path))
    assert [(track.name, track.text, len(track.frames)) for track in found] == [("a", "B742KX", 3), ("b", "AB123", 3)]


def test_rows_that_name_no_track_are_told(tmp_path, capsys):
    write_tracks(tmp_path, {"a": "B742KX"})
    with open(tmp_path / "text.csv", "a", encoding="utf-8") as file:
        file.write("gone,AB123,DE\nA,B742KX,DE\na,B742K,DE\n")
    assert [track.text for track in find_tracks(str(tmp_path))] == ["B742K"]
    said = capsys.readouterr().out
    assert "2 entries of text.csv or split files name no photo here, such as text.csv: gone, text.csv: A" in said
    assert "1 photos are listed twice and differently" in said


def test_a_folder_without_tracks_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"text\.csv"):
        find_tracks(str(tmp_path))
    with pytest.raises(ValueError, match=r"text\.csv"):
        find_tracks(str(tmp_path / "missing"))


def test_every_way_is_scored(tmp_path):
    tracks = find_tracks(str(write_tracks(tmp_path / "in", {"a": "B742KX"})))
    # each frame upright and turned, then each enhanced: one of three is read wrong; then all combined
    readings = ["B742KX"] * 4 + ["B1", "B1"] + ["B742KX", "B742KX", "B142KX"] + ["B742KX"]
    metrics = score_tracks(tracks, examiner(*readings), tmp_path / "out")
    rates = {way: rates["plate_acc"]["value"] for way, rates in metrics["ways"].items()}
    assert set(rates) == {*WAYS, BOUND, GAIN}
    assert rates[FRAME] == pytest.approx(2 / 3)
    assert rates[VOTE] == rates[COMBINED] == rates[ANSWER_OF_ALL] == 1
    assert rates[ANSWER] >= rates[FRAME]
    # of a frame that is read alike before and after, the answer is surer than of one that is not
    assert rates[ANSWER_OF_SUREST] == rates[BOUND] == 1
    assert rates[GAIN] == rates[ANSWER_OF_ALL] - rates[ANSWER_OF_BEST]
    assert metrics["tracks"] == 1
    assert metrics["frames"] == 3
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics
    (row,) = csv.DictReader((tmp_path / "out" / "tracks.csv").read_text().splitlines())
    assert (row["track"], row["text"], row["combined"]) == ("a", "B742KX", "B742KX")
    assert "combined" in for_terminal(metrics)


def test_frames_that_cannot_be_opened_are_left_out_and_told(tmp_path):
    folder = write_tracks(tmp_path / "in", {"a": "B742KX", "b": "B742KX"})
    (folder / "a" / "0.png").write_text("no picture")
    for number in range(3):
        (folder / "b" / f"{number}.png").write_text("no picture")
    metrics = score_tracks(find_tracks(str(folder)), examiner("B742KX"), tmp_path / "out")
    assert metrics["tracks"] == 1
    assert len(metrics["failed"]) == 4
    assert np.isclose(metrics["ways"][FRAME]["plate_acc"]["value"], 1)


def test_from_the_command_line(tmp_path, capsys):
    folder = write_tracks(tmp_path / "in", {"a": "B742KX"})
    checkpoint = write_onnx(tmp_path / "twice.onnx")
    assert main(["--tracks", str(folder), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "out")]) == 0
    assert "1 tracks of 3 frames" in capsys.readouterr().out
    (row,) = csv.DictReader((tmp_path / "out" / "tracks.csv").read_text(encoding="utf-8").splitlines())
    assert row["combined"] == "B742KX"
    (folder / "a" / "0.png").write_text("no picture")
    assert main(["--tracks", str(folder), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "out")]) == 1
    assert main(["--tracks", str(tmp_path / "none"), "--checkpoint", str(checkpoint)]) == 2
