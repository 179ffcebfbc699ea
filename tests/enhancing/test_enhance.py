"""enhance.py from the command line, through an ONNX file written by hand: no TensorFlow, no training."""

import csv
import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_plates import moved, noisy, plate
from films import write_film
from odd_files import png_of
from PIL import Image
from tiny_generators import write_onnx

from data.console import printable
from data.film import Film, Frame
from data.io import open_picture, to_float, to_uint8
from data.quality import measure
from enhance import main, parse_arguments
from enhancing import folder
from enhancing.examining import TOO_LITTLE, Examiner, make_examiner
from models.detector import Detection
from models.enhancer import enhance, load_generator, load_second
from models.shipped import default_checkpoint

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return write_onnx(tmp_path_factory.mktemp("onnx") / "twice.onnx", gain=2.0)


def save(path, picture=None, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(to_uint8(plate("B742KX") * 0.5 if picture is None else picture)).save(path, **kwargs)
    return path


def run(generator, *arguments, out, find=False):
    """(exit code, rows of the report by input's name). find: whether plates are looked for."""
    how = [] if find else ["--whole"]
    code = main([*map(str, arguments), *how, "--out", str(out), "--checkpoint", str(generator)])
    report = Path(out) / "report.csv"
    if not report.is_file():
        return code, {}
    with open(report, encoding="utf-8-sig", newline="") as file:
        return code, {Path(row["input"]).name: row for row in csv.DictReader(file)}


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if not path.is_dir())


def test_one_picture(generator, tmp_path, capsys):
    path = save(tmp_path / "plate & 车牌 1.png")
    before = path.read_bytes()
    code, rows = run(generator, path, out=tmp_path / "out")
    assert code == 0
    assert files_in(tmp_path / "out") == ["plate & 车牌 1.png", "report.csv"]
    result = np.asarray(Image.open(tmp_path / "out" / "plate & 车牌 1.png"))
    pixels = to_float(np.asarray(Image.open(path)))
    np.testing.assert_array_equal(result, to_uint8(enhance(load_generator(generator), [pixels])[0]))
    assert path.read_bytes() == before
    row = rows["plate & 车牌 1.png"]
    assert (row["status"], row["width"], row["height"], row["result_width"]) == ("done", "192", "96", "192")
    assert float(row["brightness_after"]) == pytest.approx(2 * float(row["brightness_before"]), rel=0.02)
    assert float(row["consistency"]) > 0.95
    assert row["reading"] == row["warnings"] == ""
    assert "1 enhanced" in capsys.readouterr().out


def test_a_folder_keeps_its_shape_and_clashing_names_their_extension(generator, tmp_path):
    for name in ("a.jpg", "a.png", "b.bmp", "sub/deep er/c.png"):
        save(tmp_path / "in" / name)
    code, rows = run(generator, tmp_path / "in", out=tmp_path / "in" / "out")
    assert code == 0
    expected = ["a.jpg.png", "a.png.png", "b.png", "report.csv", "sub/deep er/c.png"]
    assert files_in(tmp_path / "in" / "out") == expected
    code, again = run(generator, tmp_path / "in", out=tmp_path / "in" / "out")
    assert code == 0
    assert files_in(tmp_path / "in" / "out") == expected
    assert list(rows) == list(again) == ["a.jpg", "a.png", "b.bmp", "c.png"]


@pytest.mark.parametrize(
    ("size", "result"),
    [((24, 60), (77, 192)), ((200, 400), (200, 400)), ((1, 1), (192, 192)), ((300, 2), (768, 5)), ((2, 900), (2, 900))],
)
def test_sizes(generator, tmp_path, size, result):
    save(tmp_path / "a.png", np.full((*size, 3), 0.25))
    _, rows = run(generator, tmp_path / "a.png", out=tmp_path / "out")
    picture = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert picture.shape == (*result, 3)
    np.testing.assert_allclose(picture, 128, atol=1)
    assert (rows["a.png"]["width"], rows["a.png"]["height"]) == (str(size[1]), str(size[0]))


def test_every_mode_and_rotation(generator, tmp_path):
    image = Image.fromarray(to_uint8(plate("B742KX") * 0.4))
    for mode in ("1", "L", "P", "LA", "RGBA", "RGB"):
        image.convert(mode).save(tmp_path / f"{mode}.png")
    Image.fromarray((plate("B742KX")[..., 0] * 0.4 * 65535).astype(np.uint16)).save(tmp_path / "I16.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    code, rows = run(generator, *sorted(tmp_path.glob("*.*")), out=tmp_path / "out")
    assert code == 0
    assert len(rows) == 8
    for row in rows.values():
        assert (row["width"], row["height"]) == ("192", "96")
    upright = np.asarray(Image.open(tmp_path / "out" / "turned.png")).astype(float)
    straight = np.asarray(Image.open(tmp_path / "out" / "RGB.png")).astype(float)
    assert np.abs(upright - straight).mean() < 6


def test_bad_files_are_named_and_the_rest_goes_on(generator, tmp_path, capsys):
    folder = tmp_path / "in"
    good = save(folder / "good.png")
    (folder / "bomb.png").write_bytes(png_of(50_000, 50_000))
    (folder / "half.png").write_bytes(good.read_bytes()[:300])
    (folder / "text.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("no picture either")
    (folder / "empty.png").write_bytes(b"")
    os.symlink(folder, folder / "again")
    os.symlink("self.png", folder / "self.png")
    os.mkfifo(folder / "pipe.png")
    code, rows = run(generator, folder, tmp_path / "missing.png", out=tmp_path / "out")
    assert code == 1
    assert files_in(tmp_path / "out") == ["good.png", "report.csv"]
    assert rows.pop("good.png")["status"] == "done"
    assert rows.pop("notes.txt")["status"] == "skipped"
    reasons = {
        "bomb.png": "too large",
        "half.png": "truncated",
        "text.jpg": "not a picture",
        "empty.png": "empty",
        "again": "symlink loop",
        "self.png": "symlink loop",
        "pipe.png": "not a regular file",
        "missing.png": "no such file",
    }
    told = capsys.readouterr().err
    assert set(rows) == set(reasons)
    for name, reason in reasons.items():
        assert rows[name]["status"] == "failed"
        assert reason in rows[name]["reason"]
        assert any(name in line and reason in line for line in told.splitlines())


def test_nothing_could_be_done(generator, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert run(generator, tmp_path / "in", out=tmp_path / "out")[0] == 2
    (tmp_path / "in" / "a.png").write_text("no picture")
    assert run(generator, tmp_path / "in", out=tmp_path / "out")[0] == 2
    assert run(generator, tmp_path / "none", out=tmp_path / "out")[0] == 2
    save(tmp_path / "b.png")
    assert run(tmp_path / "none.onnx", tmp_path / "b.png", out=tmp_path / "out")[0] == 2
    assert run(generator, tmp_path / "b.png", out=tmp_path / "b.png")[0] == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_input_is_never_overwritten(generator, tmp_path):
    path = save(tmp_path / "a.png")
    before = path.read_bytes()
    assert run(generator, tmp_path, out=tmp_path)[0] == 2
    assert run(generator, path, out=tmp_path)[0] == 0
    assert path.read_bytes() == before
    assert files_in(tmp_path) == ["a.png", "a.png.png", "report.csv"]
    os.link(path, tmp_path / "report2.csv")
    os.replace(tmp_path / "report2.csv", tmp_path / "report.csv")
    assert main([str(tmp_path / "report.csv"), "--out", str(tmp_path), "--checkpoint", str(generator)]) == 2
    assert (tmp_path / "report.csv").read_bytes() == before


def test_nothing_is_written_outside_the_folder(generator, tmp_path):
    save(tmp_path / "in" / "sub" / "a.png")
    save(tmp_path / "in" / "b.png")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out").mkdir()
    os.symlink(elsewhere, tmp_path / "out" / "sub")
    target = tmp_path / "target.png"
    target.write_bytes(b"precious")
    os.symlink(target, tmp_path / "out" / "b.png")
    code, rows = run(generator, tmp_path / "in", out=tmp_path / "out")
    assert code == 1
    assert "leads out of" in rows["a.png"]["reason"]
    assert list(elsewhere.iterdir()) == []
    assert target.read_bytes() == b"precious"
    assert not (tmp_path / "out" / "b.png").is_symlink()


def test_a_failed_write_leaves_no_part_of_a_file(generator, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    monkeypatch.setattr("enhancing.folder.write_picture", full)
    code, rows = run(generator, tmp_path / "a.png", tmp_path / "b.png", out=tmp_path / "out")
    assert code == 2
    assert "No space left" in rows["a.png"]["reason"]
    assert files_in(tmp_path / "out") == ["report.csv"]


def test_interrupting_keeps_the_report_of_what_was_done(generator, tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        save(tmp_path / "in" / f"{name}.png")
    look, calls = Examiner.look, []

    def impatient(self, sources):
        calls.append(len(sources))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return look(self, sources)

    def slow(*arguments):
        # so the second result still waits for the one thread when the third picture is interrupted
        time.sleep(0.2)
        return written(*arguments)

    written = folder.write_picture
    monkeypatch.setattr(Examiner, "look", impatient)
    monkeypatch.setattr(folder, "write_picture", slow)
    monkeypatch.setattr(folder, "WINDOW_BATCHES", 2)
    code, rows = run(generator, tmp_path / "in", "--batch-size", 1, "--workers", 1, out=tmp_path / "out")
    assert code == 130
    assert list(rows) == ["a.png", "b.png"] == files_in(tmp_path / "out")[:2]
    assert not [name for name in files_in(tmp_path / "out") if "part" in name]


def test_results_do_not_depend_on_batches_and_workers(generator, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(11):
        save(tmp_path / "in" / f"{number}.png", rng.random((rng.integers(20, 120), rng.integers(60, 250), 3)) / 2)
    run(generator, tmp_path / "in", "--batch-size", 1, "--workers", 1, out=tmp_path / "one")
    run(generator, tmp_path / "in", "--batch-size", 4, "--workers", 3, out=tmp_path / "many")
    for name in files_in(tmp_path / "one"):
        if name.endswith(".png"):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


def test_corners_and_ccpd_names_crop_photos(generator, tmp_path):
    photo = np.full((300, 400, 3), 0.2, np.float32)
    photo[100:196, 150:342] = plate("B742KX") * 0.5
    save(tmp_path / "photo.png", photo)
    name = "02-90_90-150&100_342&196-342&196_150&196_150&100_342&100-0_0_22_27_27_33_16-37-15.png"
    save(tmp_path / name, photo)
    corners = ["150,100", "342,100", "342,196", "150,196"]
    code, rows = run(generator, tmp_path / "photo.png", "--corners", *corners, out=tmp_path / "out")
    assert code == 0
    by_corners = np.asarray(Image.open(tmp_path / "out" / "photo.png"))
    assert by_corners.shape == (120, 240, 3)
    assert (by_corners[14:-14, 26:-26].mean(axis=(0, 1)) > 200).all()
    run(generator, tmp_path / name, out=tmp_path / "out2")
    by_name = np.asarray(Image.open(tmp_path / "out2" / name))
    np.testing.assert_array_equal(by_name, by_corners)
    code, rows = run(
        generator, tmp_path / "photo.png", "--corners", *["1,1", "900,1", "900,90", "1,90"], out=tmp_path / "o"
    )
    assert code == 2
    assert "outside the photo of 400 x 300" in rows["photo.png"]["reason"]


class Finds:
    """A detector that finds what it is told to."""

    def __init__(self, *plates):
        self.plates = plates

    def detect(self, picture, threshold=0.5):
        return [plate for plate in self.plates if plate.score >= threshold]


def found_at(left, top, score, **more):
    corners = np.array([[192, 96], [0, 96], [0, 0], [192, 0]], float) + np.array([left, top])
    return Detection(corners, score, **{"two_lines": 0.0, "turned_over": 0.0, **more})


def street(tmp_path):
    photo = np.full((300, 500, 3), 0.2, np.float32)
    photo[100:196, 20:212] = plate("B742KX") * 0.5
    photo[150:246, 280:472] = plate("AB12CD") * 0.5
    return save(tmp_path / "street.png", photo)


def test_plates_of_a_photo_are_found(generator, tmp_path, monkeypatch):
    path = street(tmp_path)
    monkeypatch.setattr(
        "enhancing.examining.load_detector", lambda: Finds(found_at(280, 150, 0.9), found_at(20, 100, 0.7))
    )
    code = main([str(path), "--out", str(tmp_path / "out"), "--checkpoint", str(generator), "--paste"])
    assert code == 0
    assert files_in(tmp_path / "out") == ["report.csv", "street-1.png", "street-2.png", "street.pasted.png"]
    with open(tmp_path / "out/report.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["output"] for row in rows] == ["street-1.png", "street-2.png"]
    assert [row["score"] for row in rows] == ["0.9", "0.7"]
    assert rows[0]["corners"] == "472.0,246.0 280.0,246.0 280.0,150.0 472.0,150.0"
    pasted, photo = (np.asarray(Image.open(each)).astype(int) for each in (tmp_path / "out/street.pasted.png", path))
    # the generator doubles the light: on the plates, and nowhere else
    assert pasted[130, 30].mean() > 1.7 * photo[130, 30].mean()
    assert np.abs(pasted[:80] - photo[:80]).max() == 0
    assert np.abs(pasted[:, 230:262] - photo[:, 230:262]).max() == 0


def test_no_plate_is_said_and_nothing_written(generator, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("enhancing.examining.load_detector", lambda: Finds())
    code, rows = run(generator, street(tmp_path), out=tmp_path / "out", find=True)
    assert code == 2
    assert rows["street.png"]["status"] == "failed"
    assert "no plate found" in rows["street.png"]["reason"]
    assert "--corners" in capsys.readouterr().err
    assert files_in(tmp_path / "out") == ["report.csv"]


def test_a_tight_crop_without_a_sure_plate_is_taken_whole(generator, tmp_path, monkeypatch):
    crop = save(tmp_path / "crop.png")
    run(generator, crop, out=tmp_path / "whole")
    monkeypatch.setattr("enhancing.examining.load_detector", lambda: Finds(found_at(0, 0, 0.3)))
    assert run(generator, crop, out=tmp_path / "found", find=True)[0] == 0
    assert (tmp_path / "whole/crop.png").read_bytes() == (tmp_path / "found/crop.png").read_bytes()


def test_a_number_behind_a_name_is_nobody_elses(generator, tmp_path, monkeypatch):
    path = street(tmp_path)
    (tmp_path / "street-1.png").write_bytes(path.read_bytes())
    monkeypatch.setattr(
        "enhancing.examining.load_detector", lambda: Finds(found_at(280, 150, 0.9), found_at(20, 100, 0.7))
    )
    assert run(generator, path, tmp_path / "street-1.png", out=tmp_path / "out", find=True)[0] == 0
    assert len([name for name in files_in(tmp_path / "out") if name.endswith(".png")]) == 4


def animation(path, count=2):
    frames = [Image.fromarray(frame) for frame in film_frames(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    return path


def test_the_plates_of_a_photo_overwrite_no_input(generator, tmp_path, monkeypatch):
    path = street(tmp_path).rename(tmp_path / "photo.png")
    other = save(tmp_path / "photo-1.png")
    before = other.read_bytes()
    finds = Finds(found_at(280, 150, 0.9), found_at(20, 100, 0.7))
    monkeypatch.setattr("enhancing.examining.load_detector", lambda: finds)
    run(generator, path, other, out=tmp_path, find=True)
    assert other.read_bytes() == before
    assert "photo.png-1.png" in files_in(tmp_path)


def test_the_numbers_of_plates_do_not_make_a_name_too_long(generator, tmp_path, monkeypatch):
    path = street(tmp_path).rename(tmp_path / f"{'s' * 250}.png")
    finds = Finds(found_at(280, 150, 0.9), found_at(20, 100, 0.7))
    monkeypatch.setattr("enhancing.examining.load_detector", lambda: finds)
    code, rows = run(generator, path, out=tmp_path / "out", find=True)
    assert (code, rows[path.name]["reason"]) == (0, "")
    assert len(files_in(tmp_path / "out")) == 3


@pytest.mark.parametrize("more", [["--limit", "1"], []])
def test_inputs_that_are_not_pictures_or_not_used_are_not_overwritten(generator, tmp_path, finds_plates, more):
    photo, other = save(tmp_path / "a.jpg"), animation(tmp_path / "a.png")
    before = other.read_bytes()
    assert run(generator, photo, other, *more, out=tmp_path)[0] == 0
    assert other.read_bytes() == before
    assert "a.jpg.png" in files_in(tmp_path)


def test_the_results_of_a_film_overwrite_no_input(generator, tmp_path, finds_plates):
    film = animation(tmp_path / "clip.gif")
    photo = save(tmp_path / "clip" / "plate-1.png")
    before = photo.read_bytes()
    assert run(generator, film, photo, out=tmp_path)[0] == 0
    assert photo.read_bytes() == before
    assert "clip.gif-2/plate-1.png" in files_in(tmp_path)


def test_a_plate_upside_down_is_turned(generator, tmp_path, monkeypatch):
    photo = np.full((300, 500, 3), 0.2, np.float32)
    photo[100:196, 20:212] = plate("B742KX")[::-1, ::-1] * 0.5
    save(tmp_path / "a.png", photo)
    save(tmp_path / "b.png", photo[::-1, ::-1])
    over, upright = found_at(20, 100, 0.9, turned_over=0.99), found_at(288, 104, 0.9)
    monkeypatch.setattr("enhancing.examining.load_detector", lambda: Finds(over))
    run(generator, tmp_path / "a.png", out=tmp_path / "a", find=True)
    monkeypatch.setattr("enhancing.examining.load_detector", lambda: Finds(upright))
    run(generator, tmp_path / "b.png", out=tmp_path / "b", find=True)
    one, other = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("a/a.png", "b/b.png"))
    assert np.abs(one - other).max() <= 2
    unsure = found_at(20, 100, 0.9, turned_over=0.6)
    monkeypatch.setattr("enhancing.examining.load_detector", lambda: Finds(unsure))
    _, rows = run(generator, tmp_path / "a.png", out=tmp_path / "c", find=True)
    assert "upside down" in rows["a.png"]["warnings"]


def test_a_ccpd_name_on_a_crop_does_no_harm(generator, tmp_path):
    name = "02-90_90-150&100_342&196-342&196_150&196_150&100_342&100-0_0_22_27_27_33_16-37-15.png"
    save(tmp_path / name)
    assert run(generator, tmp_path / name, out=tmp_path / "out")[0] == 0
    assert np.asarray(Image.open(tmp_path / "out" / name)).shape == (96, 192, 3)


def test_too_little_in_the_picture_is_said_everywhere(tmp_path, capsys):
    generator = write_onnx(tmp_path / "g.onnx", info={"min_effective_width_px": 80})
    tiny = np.asarray(Image.fromarray(to_uint8(plate("B742KX"))).resize((40, 20)))
    Image.fromarray(tiny).save(tmp_path / "tiny.png")
    save(tmp_path / "sharp.png", plate("B742KX"))
    arguments = (tmp_path / "tiny.png", tmp_path / "sharp.png", "--side-by-side")
    code, rows = run(generator, *arguments, out=tmp_path / "out")
    assert code == 0
    assert TOO_LITTLE == "too little in the picture to restore: characters may be invented"
    assert rows["tiny.png"]["warnings"] == TOO_LITTLE
    assert rows["sharp.png"]["warnings"] == ""
    assert f"tiny.png: {TOO_LITTLE}" in capsys.readouterr().err
    assert (tmp_path / "out" / "tiny.png").is_file()
    red = [_red(tmp_path / "out" / f"{name}.side-by-side.png") for name in ("tiny", "sharp")]
    assert red[0] > 300
    assert red[1] == 0


def _red(path):
    pixels = np.asarray(Image.open(path)).astype(int)
    return ((pixels[..., 0] > 150) & (pixels[..., 1] < 60) & (pixels[..., 2] < 70)).sum()


def test_readings_agreement_and_uncertainty(generator, tmp_path, capsys):
    save(tmp_path / "a.png", plate("B742KX") * 0.45)
    code, rows = run(generator, tmp_path / "a.png", "--read", "--uncertainty", "--side-by-side", out=tmp_path / "out")
    assert code == 0
    assert files_in(tmp_path / "out") == ["a.png", "a.side-by-side.png", "a.uncertainty.png", "report.csv"]
    row = rows["a.png"]
    assert row["reading"] == row["agreed"] == "B742KX"
    assert float(row["agreement"]) == 1
    assert len(row["character_confidences"].split()) == 6
    assert row["answer"] == "B742KX"
    assert len(row["alternatives"].split()) == 6
    said = capsys.readouterr().out
    assert "a.png: B742KX (" in said
    # beside the result
    assert f"{tmp_path / 'out' / 'a.side-by-side.png'}\n{tmp_path / 'out' / 'a.uncertainty.png'}\n" in said
    heat = np.asarray(Image.open(tmp_path / "out" / "a.uncertainty.png"))
    assert heat.shape == (96, 192, 3)
    assert heat.max() > 0


def test_a_burst(generator, tmp_path, capsys):
    still = plate("B742KX") * 0.45
    for number, shift in enumerate([(0, 0), (4, 1), (-5, 2), (2, -2)]):
        save(tmp_path / "in" / f"{number}.png", noisy(moved(still, *shift), 0.05, number))
    (tmp_path / "in" / "bad.png").write_text("no picture")
    arguments = (tmp_path / "in", "--burst", "--side-by-side", "--uncertainty")
    code, rows = run(generator, *arguments, out=tmp_path / "out")
    assert code == 1
    assert files_in(tmp_path / "out") == ["burst.png", "burst.side-by-side.png", "burst.uncertainty.png", "report.csv"]
    assert rows["burst of 4"]["reading"] == "B742KX"
    assert rows["bad.png"]["status"] == "failed"
    assert sum(float(row["weight"] or 0) for row in rows.values()) == pytest.approx(1, abs=0.01)
    assert "B742KX" in capsys.readouterr().out


def test_the_default_checkpoint_is_the_recommended_one(tmp_path):
    with pytest.raises(ValueError, match="--checkpoint FILE"):
        default_checkpoint(tmp_path)
    for stage in ("generator", "pretrain"):
        (tmp_path / f"{stage}.keras").touch()
    assert default_checkpoint(tmp_path).stem == "generator"
    (tmp_path / "pretrain.json").write_text('{"recommended": true}')
    assert default_checkpoint(tmp_path).stem == "pretrain"


def test_the_strength_asked_for_rules(tmp_path):
    path = write_onnx(tmp_path / "g.onnx", info={"strength": 0.3})
    for asked, used in ((None, 0.3), (0.8, 0.8)):
        assert make_examiner(path, strength=asked).generator.strength == used


def test_the_other_stage_gives_the_second_opinion(tmp_path):
    first = write_onnx(tmp_path / "generator.onnx")
    generator = load_generator(first)
    assert load_second(first, generator) is None
    write_onnx(tmp_path / "pretrain.onnx", gain=3.0)
    second = load_second(first, generator)
    assert second.run(np.ones((1, 16, 16, 3), "float32")).max() == 3
    assert load_second(tmp_path / "mine.onnx", generator) is None


def test_names_cannot_steer_the_terminal():
    assert printable("a\x1b[2Jb\u202ec\udcff车牌") == "a\\x1b[2Jb\\x202ec\\xdcff车牌"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--corners", "1,2", "3", "4,5", "6,7"], "x,y in pixels"),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--limit", "-1"], "--limit must be at least 0"),
        (["--strength", "1.5"], "--strength must be a number of 0 to 1"),
        (["--precision", "float8"], "invalid choice"),
    ],
)
def test_wrong_arguments_exit_with_2(tmp_path, arguments, words, capsys):
    save(tmp_path / "a.png")
    try:
        code = main([str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), *arguments])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_input_is_named_by_the_usage(capsys):
    with pytest.raises(SystemExit):
        main(["--out", "o"])
    assert "required" in capsys.readouterr().err


def test_corners_may_lie_left_of_the_photo_and_the_home_folder_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = parse_arguments(["a.png", "--out=~/x", "--corners", "-3,10", "80,-1.5", "80,30", "-3.5,30"])
    assert settings.out == str(tmp_path / "x")
    assert settings.corners == ((-3, 10), (80, -1.5), (80, 30), (-3.5, 30))
    assert parse_arguments(["a.png"]).out == "enhanced"


IN_A_PROCESS = (
    "import sys, enhance; code = enhance.main(sys.argv[1:]); "
    "assert not {forbidden} & set(sys.modules), {forbidden} & set(sys.modules); sys.exit(code)"
)


def in_a_process(*arguments, forbidden, expected, **environment):
    """Run enhance.py, and see that it exits so and has not loaded those modules."""
    code = IN_A_PROCESS.replace("{forbidden}", repr(set(forbidden)))
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, env=os.environ | environment)
    assert done.returncode == expected, done.stderr.decode()
    return done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def test_an_onnx_file_needs_no_tensorflow(generator, tmp_path):
    path = save(tmp_path / "a.png")
    out, _ = in_a_process(
        path, "--out", tmp_path / "o", "--checkpoint", generator,
        forbidden=("tensorflow", "keras", "matplotlib", "rapidocr"), expected=0,
    )  # fmt: skip
    assert str(tmp_path / "o" / "a.png") in out


def test_files_that_are_no_pictures_are_refused_before_the_networks_are_loaded(generator, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/noise.jpg").write_bytes(bytes(range(128, 256)) * 9)
    (tmp_path / "in/IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(500))
    _, error = in_a_process(tmp_path / "in", "--out", tmp_path / "o", forbidden=("onnxruntime", "keras"), expected=2)
    assert "noise.jpg: not a picture" in error
    assert "IMG_1.HEIC: HEIC cannot be read here: pip install pillow-heif" in error
    assert "no picture in" in error


HEAVY = ("numpy", "cv2", "PIL", "fsspec", "onnxruntime", "keras", "tensorflow", "dask")


def test_what_is_refused_is_refused_before_anything_is_loaded(generator, tmp_path):
    text, picture = tmp_path / "text.jpg", save(tmp_path / "a.png")
    text.write_text("no picture, 车牌")
    (tmp_path / "empty.png").touch()
    (tmp_path / "weights.h5").touch()
    cases = [
        ((tmp_path / "absent.png",), "no such file"),
        ((text,), "not a picture: it is a text file"),
        ((tmp_path / "empty.png",), "empty file"),
        ((picture, "--checkpoint", tmp_path / "absent.onnx"), "no such file"),
        ((picture, "--checkpoint", tmp_path / "weights.h5"), "must be a .keras or an .onnx file"),
        ((picture, "--strength", "2"), "--strength"),
        ((picture, "--out", picture), "is not a folder"),
    ]
    for arguments, words in cases:
        out = () if "--out" in arguments else ("--out", tmp_path / "o")
        _, error = in_a_process(*arguments, *out, forbidden=HEAVY, expected=2)
        assert words in error
        assert "Traceback" not in error
    assert not (tmp_path / "o").exists()


def test_help_loads_nothing_heavy():
    code = f"import sys, enhance, export; assert not set({HEAVY}) & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_console_that_cannot_show_a_name_gets_its_escape(generator, tmp_path):
    for name in ("车牌", "tuiles été"):
        save(tmp_path / "in" / f"{name}.png")
    for encoding in ("ascii", "cp1252"):
        out = tmp_path / f"out été {encoding}"
        said, error = in_a_process(
            tmp_path / "in", "--out", out, "--checkpoint", generator, forbidden=(), expected=0,
            PYTHONIOENCODING=encoding,
        )  # fmt: skip
        assert "\\u8f66\\u724c.png" in said
        assert "Traceback" not in error
        assert len(files_in(out)) == 3


def not_ignoring():
    """Tests that run in the background hand an ignored Ctrl-C on to their children."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(
    "name", ["SIGTERM", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SIGHUP", "SIGINT"))]
)
def test_a_signal_leaves_a_row_for_each_result(generator, tmp_path, name):
    for number in range(200):
        save(tmp_path / "in" / f"{number:03}.png")
    command = [sys.executable, "enhance.py", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--checkpoint", str(generator), "--batch-size", "4"], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, preexec_fn=not_ignoring,
    )  # fmt: skip
    while process.poll() is None and len(list((tmp_path / "out").glob("0*.png"))) < 20:
        time.sleep(0.02)
    process.send_signal(getattr(signal, name))
    assert process.wait(60) == 130
    with open(tmp_path / "out" / "report.csv", encoding="utf-8-sig", newline="") as file:
        reported = [row["output"] for row in csv.DictReader(file) if row["status"] == "done"]
    assert len(reported) < 200
    assert [*sorted(reported), "report.csv"] == files_in(tmp_path / "out")


def test_when_killed_all_but_the_last_results_are_in_the_report(generator, tmp_path):
    for number in range(100):
        save(tmp_path / "in" / f"{number:03}.png")
    command = [sys.executable, "enhance.py", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--workers", "1"]
    process = subprocess.Popen([*command, "--checkpoint", str(generator), "--batch-size", "1"], cwd=ROOT)
    while process.poll() is None and len(list((tmp_path / "out").glob("0*.png"))) < 20:
        time.sleep(0.01)
    process.kill()
    process.wait(60)
    with open(tmp_path / "out" / "report.csv", encoding="utf-8-sig", newline="") as file:
        reported = {row["output"] for row in csv.DictReader(file)}
    # the thread may have written a picture, and its row not yet
    assert len({path.name for path in (tmp_path / "out").glob("0*.png")} - reported) <= 1


def test_the_report_is_whole_when_nobody_reads_what_is_said(generator, tmp_path):
    for number in range(30):
        save(tmp_path / "in" / f"{number:03}.png")
    command = [sys.executable, "enhance.py", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    process = subprocess.Popen([*command, "--checkpoint", str(generator)], cwd=ROOT, stdout=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(60) == 0
    assert len((tmp_path / "out" / "report.csv").read_text(encoding="utf-8-sig").splitlines()) == 31


def test_names_as_long_as_a_file_system_takes(generator, tmp_path):
    longest = ("车" * 83)[:83] + "xx.png"
    assert len(longest.encode()) == 255
    for name in (longest, longest[:-5] + "y.png"):
        save(tmp_path / "in" / name)
    code, rows = run(generator, tmp_path / "in", "--side-by-side", out=tmp_path / "out")
    assert code == 0
    assert {row["status"] for row in rows.values()} == {"done"}
    assert len(files_in(tmp_path / "out")) == 5
    code, _ = run(generator, tmp_path / "in", out=tmp_path / "plain")
    assert (tmp_path / "plain" / longest).is_file()


def test_time_and_place_go_with_the_result_and_it_is_srgb(generator, tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera & Co"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:27 10:00:00"
    exif.get_ifd(0x8825)[1] = "N"
    save(tmp_path / "a.jpg", exif=exif)
    run(generator, tmp_path / "a.jpg", out=tmp_path / "kept")
    with Image.open(tmp_path / "kept" / "a.png") as result:
        assert result.info["srgb"] == 0
        kept = result.getexif()
        assert kept[0x010F] == "Camera & Co"
        assert kept.get_ifd(0x8769)[0x9003] == "2026:11:27 10:00:00"
        assert kept.get_ifd(0x8825)[1] == "N"
        # the result is upright
        assert 0x0112 not in kept
        assert result.size == (192, 384)
    run(generator, tmp_path / "a.jpg", "--strip-metadata", out=tmp_path / "stripped")
    with Image.open(tmp_path / "stripped" / "a.png") as result:
        assert not result.getexif()


def test_one_picture_is_told_in_words(generator, tmp_path, capsys):
    save(tmp_path / "a.png", plate("B742KX") * 0.45)
    run(generator, tmp_path / "a.png", "--read", out=tmp_path / "out")
    said = capsys.readouterr().out
    assert f"{tmp_path / 'out' / 'a.png'}: B742KX (" in said
    assert "The answer is B742KX: all of it is right with a probability of " in said
    assert "The reader alone reads B742KX in the result; before enhancing it was the same." in said
    save(tmp_path / "flat.png", np.full((96, 192, 3), 0.4))
    run(generator, tmp_path / "flat.png", out=tmp_path / "out")
    assert "Do not rely on this result: too little in the picture" in capsys.readouterr().out


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_a_flat_picture_is_warned_of_without_reading(generator, tmp_path, level):
    noise = np.random.default_rng(0).normal(0, 0.004, (96, 192, 3))
    save(tmp_path / "flat.png", np.clip(level + noise, 0, 1))
    _, rows = run(generator, tmp_path / "flat.png", out=tmp_path / "out")
    assert rows["flat.png"]["warnings"] == TOO_LITTLE


def test_a_sharp_large_picture_stays_sharp_and_is_measured_as_written(generator, tmp_path):
    crisp = np.kron(plate("B742KX")[..., 0] > 0.5, np.ones((5, 5)))[..., None].repeat(3, 2) * 0.4 + 0.05
    save(tmp_path / "crisp.png", crisp)
    _, rows = run(generator, tmp_path / "crisp.png", out=tmp_path / "out")
    result = np.asarray(Image.open(tmp_path / "out" / "crisp.png"))
    assert result.shape == (480, 960, 3)
    before, after = measure(to_uint8(crisp)), measure(result)
    assert after.sharpness > 0.98 * before.sharpness
    assert float(rows["crisp.png"]["sharpness_before"]) == pytest.approx(before.sharpness, rel=1e-3)
    assert float(rows["crisp.png"]["sharpness_after"]) == pytest.approx(after.sharpness, rel=1e-3)
    assert after.contrast == pytest.approx(2 * before.contrast, rel=0.05)


# --- Films ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def finds_plates(monkeypatch):
    """A detector that takes the brightest rectangle of a frame for a plate."""

    class Brightest:
        def detect(self, picture, threshold=0.5, near=None):
            ys, xs = np.nonzero(cv2.blur(to_uint8(picture)[..., 1], (9, 9)) > 150)
            if not len(ys):
                return []
            left, right, top, bottom = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
            corners = np.array([[right, bottom], [left, bottom], [left, top], [right, top]], float)
            return [Detection(corners, 0.9, 0.0, 0.0)]

    monkeypatch.setattr("models.detector.load_detector", Brightest)


def film_frames(count=6, text="B742KX"):
    frames = []
    for number in range(count):
        frame = np.full((240, 480, 3), 60, np.uint8)
        frame[60 + 3 * number : 156 + 3 * number, 40 + 8 * number : 232 + 8 * number] = to_uint8(plate(text))
        frames.append(frame)
    return frames


def test_a_film_leaves_a_folder(generator, tmp_path, capsys, finds_plates):
    path = write_film(tmp_path / "clip.mp4", film_frames())
    code, rows = run(generator, path, out=tmp_path / "out")
    assert code == 0
    expected = ["clip/plate-1.frame.png", "clip/plate-1.png", "clip/plate-1.sheet.png", "report.csv"]
    assert files_in(tmp_path / "out") == expected
    row = rows["clip.mp4"]
    assert (row["track"], row["first_second"], row["last_second"], row["frames"]) == ("1", "0.00", "0.50", "6")
    assert row["reading"] == "B742KX"
    assert "B742KX" in capsys.readouterr().out


def test_part_of_a_film(generator, tmp_path, finds_plates):
    path = write_film(tmp_path / "clip.mp4", film_frames(12))
    code, rows = run(generator, path, "--from", "00:00.3", "--to", "0.9", "--every", "2", out=tmp_path / "out")
    assert code == 0
    row = rows["clip.mp4"]
    assert (row["first_second"], row["last_second"], row["frames"]) == ("0.30", "0.70", "3")


def test_films_and_pictures_together(generator, tmp_path, finds_plates):
    write_film(tmp_path / "in" / "clip.avi", film_frames(), codec="mjpeg")
    animated = [Image.fromarray(frame) for frame in film_frames()]
    animated[0].save(tmp_path / "in" / "clip.gif", save_all=True, append_images=animated[1:], duration=100)
    save(tmp_path / "in" / "a.png")
    code, rows = run(generator, tmp_path / "in", out=tmp_path / "out")
    assert code == 0
    assert set(rows) == {"a.png", "clip.avi", "clip.gif"}
    names = [name for name in files_in(tmp_path / "out") if name.endswith("plate-1.png")]
    assert names == ["clip.avi/plate-1.png", "clip.gif/plate-1.png"]


def test_beside_a_film_nothing_is_told_in_words(generator, tmp_path, capsys, finds_plates):
    """Of films, "before enhancing it was nothing" was said, which nobody had read."""
    film = write_film(tmp_path / "clip.mp4", film_frames())
    assert run(generator, film, save(tmp_path / "a.png"), "--read", out=tmp_path / "out")[0] == 0
    assert "before enhancing" not in capsys.readouterr().out


def test_a_damaged_frame_in_a_folder_of_frames_gives_exit_code_1(generator, tmp_path, capsys, finds_plates):
    for number, frame in enumerate(film_frames()):
        save(tmp_path / "drive" / f"{number}.png", frame)
    damaged = tmp_path / "drive" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    code, _ = run(generator, tmp_path / "drive", "--film", out=tmp_path / "out")
    assert code == 1
    assert "3.png: truncated" in (tmp_path / "out" / "report.csv").read_text(encoding="utf-8")
    assert "3.png: truncated" in capsys.readouterr().err
    assert "drive/plate-1.png" in files_in(tmp_path / "out")


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        (["--paste"], "--paste"),
        (["--burst", "--paste"], "--paste"),
        (["--every", "2"], "--every"),
        (["--from", "1"], "--from"),
        (["--film", "--side-by-side"], "--side-by-side"),
        (["--film", "--uncertainty"], "--uncertainty"),
    ],
)
def test_a_flag_that_does_nothing_here_is_said_to(generator, tmp_path, capsys, finds_plates, given, flag):
    save(tmp_path / "in" / "a.png", film_frames(1)[0])
    run(generator, tmp_path / "in", *given, out=tmp_path / "out")
    assert f"{flag} changes nothing" in capsys.readouterr().err


def test_flags_that_do_something_are_not_spoken_of(generator, tmp_path, capsys, finds_plates):
    film, photo = write_film(tmp_path / "clip.mp4", film_frames()), save(tmp_path / "a.png")
    flags = ("--every", "2", "--side-by-side", "--uncertainty")
    assert run(generator, film, photo, *flags, out=tmp_path / "out")[0] == 0
    assert "changes nothing" not in capsys.readouterr().err


def test_folders_of_frames_are_films_where_asked(generator, tmp_path, finds_plates):
    # the tenth comes after the ninth
    for number, frame in enumerate(film_frames(11)):
        save(tmp_path / "in" / "drive" / f"frame{number}.png", frame)
    code, rows = run(generator, tmp_path / "in", "--film", out=tmp_path / "out")
    assert code == 0
    assert (rows["drive"]["frames"], rows["drive"]["last_second"]) == ("11", "1.00")
    assert "drive/plate-1.png" in files_in(tmp_path / "out")


def test_a_film_without_plates_gives_exit_code_1(generator, tmp_path, capsys, finds_plates):
    path = write_film(tmp_path / "clip.mp4", [np.full((240, 480, 3), 60, np.uint8)] * 4)
    code, rows = run(generator, path, out=tmp_path / "out")
    assert code == 1
    assert rows["clip.mp4"]["status"] == "no plate"
    assert "no plate found in 4 frames" in capsys.readouterr().err


def test_a_film_that_cannot_be_opened_gives_exit_code_2(generator, tmp_path, finds_plates):
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(50))
    code, rows = run(generator, tmp_path / "clip.mp4", out=tmp_path / "out")
    assert code == 2
    assert rows["clip.mp4"]["status"] == "failed"


def test_times_and_corners_of_films_are_checked(generator, tmp_path, finds_plates):
    path = str(write_film(tmp_path / "clip.mp4", film_frames(3)))
    out = ["--out", str(tmp_path / "out"), "--checkpoint", str(generator)]
    for wrong in (["--from", "x"], ["--to", "1:2:3:4"], ["--from", "5", "--to", "4"], ["--every", "0"]):
        with pytest.raises((SystemExit, ValueError)):
            parse_arguments([path, *wrong, *out])


def test_corners_of_a_film_are_refused_before_networks_are_loaded(generator, tmp_path, monkeypatch, capsys):
    path = str(write_film(tmp_path / "clip.mp4", film_frames(3)))
    monkeypatch.setattr("enhancing.examining.make_examiner", lambda *_, **__: pytest.fail("networks are loaded"))
    out = ["--out", str(tmp_path / "out"), "--checkpoint", str(generator)]
    assert main([path, "--corners", "0,0", "9,0", "9,9", "0,9", *out]) == 2
    assert "--corners is for photos" in capsys.readouterr().err


def test_all_frames_of_an_animation_belong_to_a_burst(generator, tmp_path):
    frames = [Image.fromarray(to_uint8(moved(plate("B742KX"), 2 * n, n) * 0.45)) for n in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=100)
    code, rows = run(generator, tmp_path / "a.png", "--burst", out=tmp_path / "out")
    assert code == 0
    assert rows["burst of 3"]["reading"] == "B742KX"


@pytest.mark.slow
def test_the_largest_pictures_take_a_bounded_memory(generator, tmp_path):
    tile = np.random.default_rng(0).integers(0, 255, (100, 100, 4), dtype=np.uint8)
    huge = np.tile(tile, (94, 94, 1))
    for name in ("a", "b"):
        save(tmp_path / "in" / f"{name}.png", huge, compress_level=1)
    save(tmp_path / "in" / "c.png")
    code = (
        "import resource, sys, enhance; code = enhance.main(sys.argv[1:]); "
        "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024); sys.exit(code)"
    )
    arguments = ["--whole", "--out", str(tmp_path / "out"), "--checkpoint", str(generator), "--workers", "3"]
    command = [sys.executable, "-c", code, str(tmp_path / "in"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout.split("peak ")[1]) < 2200
    assert files_in(tmp_path / "out") == ["a.png", "b.png", "c.png", "report.csv"]


def test_huge_photos_are_in_memory_one_at_a_time(generator, tmp_path, monkeypatch):
    for number in range(4):
        save(tmp_path / "in" / f"{number}.png", np.full((300, 600, 3), 0.2))
    monkeypatch.setattr(folder, "HUGE_PX", 1000)
    opened, at_once = [], []

    def opening(*arguments, **options):
        opened.append(1)
        at_once.append(len(opened))
        time.sleep(0.05)
        opened.pop()
        return open_picture(*arguments, **options)

    monkeypatch.setattr(folder, "open_picture", opening)
    monkeypatch.setattr("enhancing.opening.open_picture", opening)
    corners = ["500,250", "100,250", "100,50", "500,50"]
    arguments = ("--corners", *corners, "--paste", "--side-by-side", "--workers", "4")
    assert run(generator, tmp_path / "in", *arguments, out=tmp_path / "out")[0] == 0
    # to load, to judge, side by side, and to paste
    assert len(at_once) == 4 * 4
    assert max(at_once) == 1


def test_a_burst_of_a_film_keeps_the_plates_and_not_the_frames(generator, tmp_path, monkeypatch):
    frames = [np.full((240, 480, 3), 60, np.uint8) for _ in range(3)]
    kept = [weakref.ref(frame) for frame in frames]
    film = Film((Frame(number / 10, frames.pop(0)) for number in range(3)), 3)
    monkeypatch.setattr("data.film.open_film", lambda path: nullcontext(film))
    monkeypatch.setattr(folder, "is_moving", lambda path: True)
    examiner = Examiner(load_generator(generator), detector=Finds(found_at(20, 100, 0.9)))
    loaded = folder.load_frames(examiner, folder.PictureJob("a.mp4", "", ""), None)
    assert [each.source.plate().shape for each in loaded] == [(120, 240, 3)] * 3
    gc.collect()
    assert [frame() for frame in kept] == [None] * 3


def test_an_input_as_out_is_called_that_under_any_name(tmp_path, capsys):
    Image.new("RGB", (96, 48)).save(tmp_path / "plate.png")
    (tmp_path / "link").symlink_to(tmp_path)
    for out in (tmp_path, tmp_path / "link", tmp_path / "link" / "link"):
        assert main([str(tmp_path), "--out", str(out)]) == 2
        assert "is an input: give another folder" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "plate.png"]
