import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from drawn_plates import reading, spelled
from tiny_generators import write_onnx

from data.io import encode_png
from data.tiles import Pair, Plate, Row, format_rows, from_tiles, load, pick, tile_url
from evaluate import Settings, evaluate, main
from evaluation.report import summarise
from evaluation.scoring import Scorer, by_name, load_fitting, recognised
from models.answerer import ZOOMS, Answerer
from models.enhancer import Generator
from models.generator import build_generator

ROOT = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH = 32, 64
STEPS = [{"stage": "exposure", "stops": -1.0}]
FILES = {"metrics.json", "per_plate.csv", "grid.png", "by_difficulty.png", "reliability.png", "report.html"}


class BrightnessReader:
    """Reads "AB123" off every picture that is bright enough, and nothing off the others."""

    def __init__(self, keep_steps=False):
        self.seen, self.nothing = replace(spelled("AB123"), confidence=0.95), reading(("", 1))

    def read(self, pictures):
        return [self.seen if np.mean(picture) > 100 else self.nothing for picture in pictures]


@pytest.fixture(autouse=True)
def fake_reader(monkeypatch):
    monkeypatch.setattr("reading.reader.Reader", BrightnessReader)


@pytest.fixture
def no_files(monkeypatch):
    """Figures are not drawn: what they look like is looked at elsewhere."""
    monkeypatch.setattr("evaluation.report.write", lambda *_: None)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A generator that returns its input."""
    return str(write_onnx(tmp_path_factory.mktemp("checkpoint") / "net.onnx", info={"made": "by hand"}))


def tiles(folder, count=6, manifest=True, scale=1):
    """Clean tiles from dark to bright; the low-quality ones are one stop darker."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        hr = rng.integers(60 * (i % 3), 60 * (i % 3) + 120, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        lq = np.rint(hr[::scale, ::scale] * 2**-0.5).astype(np.uint8)
        for side, picture in (("hr", hr), ("lq", lq)):
            path = Path(tile_url(str(folder), "test", side, f"k{i}") if manifest else folder / side / f"k{i}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(picture))
        rows.append(
            Row(f"k{i}", "test", f"photo{i // 2}", "AB123", "DE", ((60, 24), (4, 24), (4, 8), (60, 8)), i % 2, STEPS)
        )
    if manifest:
        (folder / "manifest.csv").write_text(format_rows(rows), encoding="utf-8")
    return str(folder)


def test_end_to_end(tmp_path, checkpoint, capsys):
    argv = [
        "--tiles",
        tiles(tmp_path / "tiles"),
        "--checkpoint",
        checkpoint,
        "--out",
        str(tmp_path / "out"),
        "--clean-too",
    ]
    assert main(argv) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    net = metrics["checkpoints"]["net"]
    # it returns its input
    assert net["psnr"] == pytest.approx(metrics["input"]["psnr"], abs=0.01)
    assert net["plate_acc"] == metrics["input"]["plate_acc"]
    assert net["flip_rate"]["count"] == 0
    assert net["on_clean"]["plate_acc"]["value"] == pytest.approx(metrics["clean"]["plate_acc"]["value"])
    assert net["on_clean"]["plate_acc"]["n"] == 3
    assert net["on_clean"]["colour_error"] == pytest.approx(0, abs=0.1)
    assert net["colour_error"] == pytest.approx(metrics["input"]["colour_error"], abs=0.1)
    assert metrics["clean"]["redamaged_psnr"] > metrics["input"]["redamaged_psnr"]
    assert len(net["checkpoint"]["sha256"]) == 64
    assert metrics["tiles"]["n"] == 6
    assert metrics["tiles"]["photos"] == 3
    assert "plates right" in capsys.readouterr().out


def test_no_ocr(tmp_path, checkpoint):
    config = Settings(tiles(tmp_path / "tiles"), checkpoints=(checkpoint,), out=str(tmp_path / "out"), ocr=False)
    metrics = evaluate(config)
    assert "plate_acc" not in metrics["checkpoints"]["net"]
    assert metrics["checkpoints"]["net"]["psnr"] > 0
    assert any("--no-ocr" in note for note in metrics["notes"])


def test_own_pairs_take_the_clean_sides_reading_for_the_truth(tmp_path, checkpoint, no_files):
    folder = tiles(tmp_path / "own", manifest=False)
    metrics = evaluate(Settings(folder, checkpoints=(checkpoint,), out=str(tmp_path / "out")))
    assert metrics["clean"]["plate_acc"]["value"] == 1
    # the darkest clean tiles cannot be read
    assert metrics["input"]["without_text"] == 2
    assert any("stands in for the truth" in note for note in metrics["notes"])
    assert metrics["input"]["redamaged_psnr"] is None


def test_lq_only_is_scored_by_its_text_csv(tmp_path, checkpoint):
    for name, level in (("dark.png", 40), ("bright.png", 200), ("strip.png", 200)):
        (tmp_path / name).write_bytes(encode_png(np.full((20, 30 if name != "strip.png" else 200, 3), level, np.uint8)))
    (tmp_path / "text.csv").write_text(
        "file,text,country\ndark.png,AB123,DE\nbright.png,AB123,DE\nstrip.png,AB124,DE\n"
    )
    metrics = evaluate(Settings(lq_only=str(tmp_path), checkpoints=(checkpoint,), out=str(tmp_path / "out")))
    assert metrics["input"]["plate_acc"]["value"] == pytest.approx(1 / 3)
    assert metrics["input"]["plate_acc_within_1"]["value"] == pytest.approx(2 / 3)
    assert "clean" not in metrics
    assert metrics["input"]["psnr"] is None


def test_lq_only_without_texts_says_so(tmp_path, checkpoint):
    (tmp_path / "a.png").write_bytes(encode_png(np.full((20, 30, 3), 99, np.uint8)))
    metrics = evaluate(Settings(lq_only=str(tmp_path), checkpoints=(checkpoint,), out=str(tmp_path / "out")))
    assert metrics["input"]["plate_acc"]["n"] == 0
    assert any("no truth" in note for note in metrics["notes"])


def test_a_broken_tile_is_named_and_the_rest_goes_on(tmp_path, checkpoint, capsys):
    folder = Path(tiles(tmp_path / "tiles"))
    (folder / "test" / "lq" / "k1.png").write_bytes(b"\x89PNG no more")
    argv = ["--tiles", str(folder), "--checkpoint", checkpoint, "--out", str(tmp_path / "out")]
    assert main(argv) == 1
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["tiles"]["n"] == 5
    assert metrics["failed"][0]["file"].endswith("k1.png")


def refused(argv, capsys):
    assert main(argv) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("evaluate: ")
    return message


def test_zero_plates(tmp_path, checkpoint, capsys):
    folder = tiles(tmp_path / "tiles")
    argv = ["--checkpoint", checkpoint, "--out", str(tmp_path / "out")]
    assert "split is empty" in refused(["--tiles", folder, "--split", "val", *argv], capsys)
    assert "no such folder" in refused(["--tiles", str(tmp_path / "absent"), *argv], capsys)
    (tmp_path / "empty").mkdir()
    assert "holds no tiles" in refused(["--tiles", str(tmp_path / "empty"), *argv], capsys)
    assert "no pictures" in refused(["--lq-only", str(tmp_path / "empty"), *argv], capsys)
    assert not (tmp_path / "out").exists()


def test_all_tiles_broken(tmp_path, checkpoint, capsys):
    folder = Path(tiles(tmp_path / "tiles", count=2))
    for path in folder.glob("test/hr/*"):
        path.write_bytes(b"")
    assert "none of the 2 pictures" in refused(["--tiles", str(folder), "--checkpoint", checkpoint], capsys)


def test_a_checkpoint_that_is_none(tmp_path, capsys):
    folder = tiles(tmp_path / "tiles")
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"no archive")
    for file in (broken, tmp_path / "absent.keras", tmp_path / "weights.h5"):
        assert file.name in refused(["--tiles", folder, "--checkpoint", str(file)], capsys)


def test_a_checkpoint_of_another_scale_or_tile_size(tmp_path, checkpoint, capsys):
    doubling = tmp_path / "doubling.keras"
    build_generator(scale=2, filters=4, blocks=0).save(doubling)
    folder = tiles(tmp_path / "tiles")
    assert "is for scale 2" in refused(["--tiles", folder, "--checkpoint", str(doubling)], capsys)

    other = tmp_path / "other.onnx"
    other.write_bytes(Path(checkpoint).read_bytes())
    other.with_suffix(".json").write_text('{"tile": [96, 192]}')
    message = refused(["--tiles", folder, "--checkpoint", str(other)], capsys)
    assert "tiles of 96 x 192, but these are of scale 1 and 32 x 64" in message
    assert "--tile 96x192" in message


def test_scale_2_tiles_are_enlarged_for_the_comparison(tmp_path, no_files):
    path = tmp_path / "doubling.keras"
    build_generator(scale=2, filters=4, blocks=0).save(path)
    folder = tiles(tmp_path / "tiles", scale=2)
    metrics = evaluate(Settings(folder, checkpoints=(str(path),), out=str(tmp_path / "out"), ocr=False))
    assert metrics["input"]["psnr"] == pytest.approx(metrics["checkpoints"]["doubling"]["psnr"], abs=1)
    with pytest.raises(ValueError, match="--clean-too"):
        evaluate(Settings(folder, checkpoints=(str(path),), clean_too=True))


def test_own_pairs_of_other_sizes_are_brought_to_the_generators(tmp_path, checkpoint, no_files):
    other = tmp_path / "other.onnx"
    other.write_bytes(Path(checkpoint).read_bytes())
    other.with_suffix(".json").write_text('{"tile": [96, 192]}')
    folder = tiles(tmp_path / "own", manifest=False)
    metrics = evaluate(Settings(folder, checkpoints=(str(other),), out=str(tmp_path / "out"), ocr=False))
    assert metrics["checkpoints"]["other"]["psnr"] == pytest.approx(metrics["input"]["psnr"], abs=1.5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_it_takes_a_line_and_not_a_traceback(tmp_path, monkeypatch, capsys, number):
    monkeypatch.setattr("evaluate.checkpoint_files", lambda settings: os.kill(os.getpid(), number))
    assert main(["--tiles", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "evaluate: stopped\n"


def test_settings_that_cannot_be(tmp_path):
    for settings in ({}, {"tiles": "a", "lq_only": "b"}, {"tiles": "a", "limit": 0}):
        with pytest.raises(ValueError, match="--"):
            Settings(**settings)


def test_names_are_short_and_distinct():
    files = ("a/net.keras", "b/net.keras", "c/input.keras", "a/net.keras", "d/other.onnx")
    assert list(by_name(files)) == ["net", "b/net", "c/input", "other"]


def test_a_limit_draws_the_same_plates_for_the_same_seed(tmp_path):
    plates = from_tiles(tiles(tmp_path / "tiles"), "test").plates
    assert pick(plates, 3, seed=1) == pick(plates, 3, seed=1)
    assert len(pick(plates, 3, seed=1)) == 3
    assert pick(plates, None, seed=1) == pick(plates, 99, seed=1) == plates


def test_equal_clean_tiles_are_read_once(tmp_path):
    counted = []

    class CountingReader(BrightnessReader):
        def read(self, pictures):
            counted.append(len(pictures))
            return super().read(pictures)

    plates = from_tiles(tiles(tmp_path / "tiles", count=1), "test").plates * 5
    table, _ = Scorer({}, CountingReader()).score(plates)
    # input, baseline, clean
    assert counted == [5, 5, 1]
    assert len(table.scores["clean"]) == 5


def test_answers_are_of_all_who_read_and_scored(tmp_path):
    columns = np.full((1, 10, 3), 0.001)
    columns[0, range(10), (1, 0, 2, 0) + (0,) * 6] = 0.998
    scorer = Scorer(
        {"own": Generator(lambda batch: batch)},
        BrightnessReader(),
        answerers={"own": Answerer(lambda batch: columns.repeat(len(batch), axis=0), "87")},
    )
    plates = from_tiles(tiles(tmp_path / "tiles", count=2), "test").plates
    table, _ = scorer.score(plates)
    assert {score.answer for method in ("input", "baseline", "clean") for score in table.scores[method]} == {None}
    # where the reader sees nothing, the recogniser's word stands
    dark = [i for i, score in enumerate(table.scores["own"]) if not score.reading.text]
    assert dark
    assert all(table.scores["own"][i].answer.best_text == "87" for i in dark)
    known = summarise(table, read=True)["methods"]["own"]["answer"]
    assert known["plate_acc"]["n"] == len(plates)
    assert sum(part["n"] for part in known["reliability"]) == sum(len(s.answer.candidates) for s in table.scores["own"])


def test_generators_beside_one_recogniser_share_what_it_reads(tmp_path):
    seen = []

    def run(batch):
        seen.extend(batch)
        return np.full((len(batch), 10, 3), 1 / 3)

    answerer = Answerer(run, "87")
    pairs, _ = load(from_tiles(tiles(tmp_path / "tiles", count=2), "test").plates)
    generators = {
        name: Generator(lambda batch: batch, width_px=width) for name, width in (("a", 64), ("b", 64), ("c", 80))
    }
    both = recognised(pairs, generators, dict.fromkeys("ab", answerer))
    once = len(seen)
    assert both["a"] == both["b"] == recognised(pairs, generators, {"a": answerer})["a"]
    assert once == len(seen) - once == len(pairs) * len(ZOOMS)
    recognised(pairs, generators, {"a": answerer, "c": answerer})
    assert len(seen) == 4 * once


def test_vgg_distance_is_0_for_equal_pictures_and_grows(tmp_path):
    from evaluation.scoring import vgg_distance

    keras.utils.set_random_seed(0)
    distance = vgg_distance("random")
    picture = np.random.default_rng(0).random((2, HEIGHT, WIDTH, 3), dtype="float32")
    near, far = np.clip(picture + 0.02, 0, 1), picture[:, ::-1]
    np.testing.assert_allclose(distance(picture, picture), 0, atol=1e-6)
    assert (distance(picture, near) > 0).all()
    assert (distance(picture, near) < distance(picture, far)).all()


def test_a_generator_without_known_tile_size_fits_any_tile(checkpoint):
    tile = np.zeros((48, 80, 3), np.uint8)
    assert list(load_fitting({"net": checkpoint}, Pair(Plate("k", "", steps=[]), tile, tile))) == ["net"]


HEAVY = ("numpy", "cv2", "PIL", "fsspec", "onnxruntime", "keras", "tensorflow", "matplotlib")


def test_what_is_refused_is_refused_before_anything_is_loaded(tmp_path, checkpoint):
    (tmp_path / "tiles").mkdir()
    cases = [
        (["--help"], "", 0),
        ([], "either --tiles DIR or --lq-only DIR or --tracks DIR", 2),
        (["--tracks", "x", "--checkpoint", "a.onnx", "b.onnx"], "one --checkpoint", 2),
        (["--tiles", tmp_path / "absent"], "no such folder", 2),
        (["--tiles", tmp_path / "tiles", "--checkpoint", tmp_path / "absent.keras"], "no such file", 2),
        (["--tiles", tmp_path / "tiles", "--limit", "0"], "--limit must be at least 1", 2),
    ]
    code = (
        "import sys, evaluate\n"
        "try:\n    code = evaluate.main(sys.argv[1:])\nexcept SystemExit as end:\n    code = end.code\n"
        f"assert not set({HEAVY}) & set(sys.modules)\nsys.exit(code)"
    )
    for arguments, words, expected in cases:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == expected, done.stderr
        assert words in done.stderr


def test_a_folder_that_cannot_be_written_is_refused_before_scoring(tmp_path, checkpoint, monkeypatch, capsys):
    monkeypatch.setattr(Scorer, "score", lambda *_: pytest.fail("scored first"))
    (tmp_path / "out").write_text("a file")
    argv = ["--tiles", tiles(tmp_path / "tiles"), "--checkpoint", checkpoint, "--out", str(tmp_path / "out" / "report")]
    assert "Not a directory" in refused(argv, capsys)


def test_the_figures_that_the_page_shows_are_those_of_the_shipped_generators():
    metrics = json.loads((ROOT / "docs" / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    for name in ("pretrain", "generator"):
        files = (ROOT / "checkpoints" / "pretrained").glob(f"{name}.[ko]*")
        known = {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        assert metrics["checkpoints"][name]["checkpoint"]["sha256"] in known, name
