"""The recogniser that helps in training, and the term that it gives."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_runs import as_flags, make_tiles, read_rows, tiny_settings

import losses
import train
from data.tiles import Row, format_rows
from models.loading import load_archive
from models.recogniser import build_recogniser
from training import recogniser


def test_repetitions_and_blanks_are_left_out():
    best = [[0, 1, 1, 0, 1, 2, 2, 0], [0] * 8]
    assert recogniser.decode(np.eye(3)[best], "AB") == ["AAB", ""]


def test_characters_are_spread_evenly_between_the_margins():
    spread = recogniser.evenly_spread(np.array([[5, 7, 0], [3, 0, 0]]), 12)
    assert spread.tolist() == [[0, 5, 5, 5, 5, 5, 7, 7, 7, 7, 7, 0], [0] + [3] * 10 + [0]]


def test_the_light_does_not_matter_and_windows_have_answers():
    model = build_recogniser(5)
    picture = np.random.default_rng(0).random((1, 32, 64, 3), dtype=np.float32)
    answer = np.asarray(model(picture, training=False))
    assert answer.shape == (1, 16, 6)
    np.testing.assert_allclose(model(0.4 * picture + 0.1, training=False), answer, atol=0.02)
    assert model(picture[:, :16, :48], training=False).shape == (1, 12, 6)


def test_the_character_term_is_the_divergence_of_the_answers():
    clean, other = np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([[0.5, 0.5], [0.1, 0.9]])
    clean, other = (np.log(each)[None].astype(np.float32) for each in (clean, other))
    expected = (0.9 * np.log(9) - 0.1 * np.log(9)) / 2  # of two columns one differs
    np.testing.assert_allclose(losses.character(clean, other), [expected], rtol=1e-5)
    np.testing.assert_allclose(losses.character(clean, clean + 3), [0], atol=1e-6)  # logits, up to a constant


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    """Tiles of 32 x 64 with two digits each, and a manifest that says which."""
    folder, rows = tmp_path_factory.mktemp("plates"), []
    for split, count in (("train", 40), ("val", 8)):
        (folder / split / "hr").mkdir(parents=True)
        (folder / split / "lq").mkdir()
        for number in range(count):
            text, key = f"{number % 10}{number * 7 % 10}", f"{split}{number:02d}"
            tile = np.full((32, 64, 3), 230, np.uint8)
            cv2.putText(tile, text, (6, 27), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (20, 20, 60), 3)
            for side in ("hr", "lq"):
                Image.fromarray(tile).save(folder / split / side / f"{key}.png")
            rows.append(Row(key, split, f"{key}.jpg", text if number else "1/2", "DE"))
    (folder / "manifest.csv").write_text(format_rows(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def archive(plates, tmp_path_factory):
    path = tmp_path_factory.mktemp("recogniser") / "recogniser.keras"
    flags = ("--steps", "150", "--batch-size", "8", "--workers", "0", "--learning-rate", "5e-3")
    assert recogniser.main(["--tiles", str(plates), "--out", str(path), *flags]) == 0
    return path


def test_it_learns_to_read(archive):
    about = json.loads(archive.with_suffix(".json").read_text(encoding="utf-8"))
    assert about["characters"] == "0123456789"
    assert about["validation"]["n"] == 7  # the plate of two lines is left out
    assert about["validation"]["clean"] >= 0.7


def test_training_with_it_adds_its_term_and_leaves_it_as_it_is(archive, plates, tmp_path):
    before = load_archive(archive).get_weights()
    settings = tiny_settings(plates, tmp_path / "run", recogniser=str(archive), character_weight=0.5)
    assert train.main(as_flags(settings)) == 0
    for row in read_rows(tmp_path / "run"):
        if row["character"]:
            assert float(row["weighted_character"]) == pytest.approx(0.5 * float(row["character"]), rel=1e-4)
            assert float(row["g_loss"]) > float(row["weighted_character"]) > 0
    assert {row["stage"] for row in read_rows(tmp_path / "run") if row["character"]} == {"pretrain", "adversarial"}
    for old, new in zip(before, load_archive(archive).get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_recogniser_that_is_not_there_is_named(plates, tmp_path, capsys):
    settings = tiny_settings(plates, tmp_path / "run", recogniser=str(tmp_path / "nowhere.keras"))
    assert train.main(as_flags(settings)) == 2
    assert "nowhere.keras: no such file; train one with" in capsys.readouterr().err


def test_tiles_without_texts_teach_nothing(tmp_path, capsys):
    tiles = make_tiles(tmp_path / "tiles")
    assert recogniser.main(["--tiles", str(tiles), "--out", str(tmp_path / "r.keras")]) == 2
    assert "no tile of the split train has a text" in capsys.readouterr().err
