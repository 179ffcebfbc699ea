"""The page's own small parts; tests/test_page.py drives the whole of it in a browser."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import app
from data import degrade
from data.io import PictureError, open_picture, to_uint8
from enhancing.examining import TOO_LITTLE, Agreement, Examiner
from enhancing.opening import make_source
from models.enhancer import Generator
from page import measured, results, words
from page.examples import FOLDER, read_examples
from page.photo import Photo, accept, add_corner, marked, parse_corners
from reading.reader import Reading

ROOT = Path(__file__).resolve().parents[2]


class FixedReader:
    """Reads the same text from every picture."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, pictures):
        return [Reading(self.text, 0.9, (0.9,) * len(self.text)) for _ in pictures]


@pytest.fixture
def examiner() -> Examiner:
    return Examiner(Generator(lambda batch: batch), reader=FixedReader("<b>A1</b>"), ask_again=True)


def save(folder: Path, size: tuple[int, int], name: str = "photo.png", mode: str = "RGB") -> str:
    path = folder / name
    Image.new(mode, size, 1).save(path)
    return str(path)


def test_a_click_on_the_preview_is_a_place_in_the_photo(tmp_path):
    photo = accept(save(tmp_path, (2560, 1000)), "photo.png")
    assert photo.preview.shape == (500, 1280, 3)
    assert photo.factor == 2.0
    assert add_corner(photo, "", 100, 50) == "200,100"
    assert add_corner(photo, "1,1 2,2 3,3", 100, 50) == "1,1 2,2 3,3 200,100"


def test_a_small_photo_is_shown_as_it_is(tmp_path):
    photo = accept(save(tmp_path, (64, 32)), "C:/x/photo.png")
    assert photo.preview.shape == (32, 64, 3)
    assert photo.name == "photo.png"


def test_a_fifth_click_begins_anew():
    photo = Photo("", "", np.zeros((10, 10, 3), np.uint8), 1.0)
    assert add_corner(photo, "1,1 2,2 3,3 4,4", 5, 6) == "5,6"


@pytest.mark.parametrize("size", [(10_000, 6_000), (7_100, 7_100)])
def test_more_than_50_megapixels_are_refused(tmp_path, size):
    with pytest.raises(PictureError, match="at most 50 megapixels"):
        accept(save(tmp_path, size, mode="1"), "photo.png")


def test_a_text_file_is_no_picture(tmp_path):
    path = tmp_path / "plate.png"
    path.write_text("no picture")
    with pytest.raises(PictureError, match="not a picture"):
        accept(str(path), "plate.png")


def test_corners_are_four_or_none():
    assert parse_corners("  ") is None
    assert parse_corners("1,2 3,4 5,6.5 7,8") == [(1, 2), (3, 4), (5, 6.5), (7, 8)]
    with pytest.raises(ValueError, match="four corners, got 3"):
        parse_corners("1,2 3,4 5,6")
    with pytest.raises(ValueError, match="got 'a,b'"):
        parse_corners("1,2 3,4 5,6 a,b")


@pytest.mark.parametrize("text", ["10,20", "10,20 30,20 30,40 10,40", "10,20 nonsense", "-5,3 1e9,1e9"])
def test_corners_are_drawn_on_a_copy(text):
    photo = Photo("", "", np.zeros((60, 80, 3), np.uint8), 1.0)
    drawn = marked(photo, text)
    assert drawn.shape == photo.preview.shape
    assert not photo.preview.any()
    if text.startswith("10,20"):
        assert tuple(drawn[20, 10]) == (255, 60, 0)


@pytest.mark.parametrize("text", ["", "nonsense", "nan,nan", "1"])
def test_what_is_no_corner_is_not_drawn(text):
    photo = Photo("", "", np.zeros((60, 80, 3), np.uint8), 1.0)
    assert not marked(photo, text).any()


def test_what_was_read_is_text_and_not_html(examiner):
    [result] = examiner.enhance([make_source(examiner.generator, np.full((20, 40, 3), 0.5, np.float32))])
    for page in (words.findings(result), words.against_truth(result, "<script>")):
        assert "<b>A1" not in page
        assert "<script>" not in page
        assert words.HINT in page
    assert "<i>" not in words.problem("<i>") + words.note("<i>")


def test_the_warning_stands_above_the_readings(examiner):
    [result] = examiner.enhance([make_source(examiner.generator, np.full((10, 20, 3), 0.5, np.float32))])
    assert result.warnings == (TOO_LITTLE,)
    page = words.findings(result)
    assert page.index("oo little in the picture to restore") < page.index("Read before")


def test_characters_that_not_all_read_are_dashed():
    page = words._agreement(Agreement("AB", "A?", (1.0, 0.5), 0.75))
    assert page.count('class="char sure"') == 1
    assert page.count('class="char unsure"') == 1
    assert "50%" in page


def test_a_wrong_character_is_told_from_a_right_one():
    reader = Examiner(Generator(lambda batch: batch), reader=FixedReader("MAOW284"), ask_again=True)
    [result] = reader.enhance([make_source(reader.generator, np.full((48, 96, 3), 0.5, np.float32))])
    page = words.against_truth(result, "MAQW284")
    # of before and after
    assert page.count('class="char wrong"') == 2
    assert "6 right of 7" in page


def test_pictures_are_enlarged_for_the_eye_and_never_shrunk():
    picture = np.random.default_rng(0).random((48, 96, 3), np.float32)
    before, after = results.pair(picture, picture)
    assert before.shape == after.shape == (384, 768, 3)
    assert results.pair(picture, np.zeros((500, 1000, 3), np.float32))[0].shape == (500, 1000, 3)
    assert results.heat(np.zeros((48, 96), np.float32)).shape == (384, 768, 3)


def test_the_download_holds_the_result_pixel_for_pixel(tmp_path):
    picture = np.random.default_rng(0).random((48, 96, 3), np.float32)
    path = Path(results.to_download(str(tmp_path), "my plate", picture))
    assert path.name == "my plate.png"
    assert tmp_path in path.parents
    np.testing.assert_array_equal(cv2.imread(str(path))[:, :, ::-1], to_uint8(picture))


@pytest.mark.parametrize("size", [16, 64, 192])
def test_the_sliders_mean_what_they_say(size):
    from page.limits import steps

    damage = steps(2, 3, 0.1, size)
    assert degrade.sampled_width(damage, 192) == pytest.approx(size)
    assert degrade.exposure(damage) == -3
    clean = np.random.default_rng(0).random((96, 192, 3), np.float32)
    assert degrade.apply(clean, damage).shape == clean.shape
    assert degrade.apply(clean, damage).mean() < 0.7 * clean.mean()


def test_sliders_at_their_ends_change_nothing():
    from page.limits import steps

    assert steps(0, 0, 0, 192) == []


def test_the_examples_are_there_and_small():
    examples = read_examples()
    paths = [path for path, _ in examples.singles] + examples.burst + [plate.path for plate in examples.clean]
    assert len(examples.labels) == len(examples.singles)
    assert all(min(open_picture(path).shape[:2]) >= 48 for path in paths)
    assert sum(path.stat().st_size for path in paths) < 300_000
    assert all(plate.text and open_picture(plate.path).shape == (96, 192, 3) for plate in examples.clean)
    assert any(parse_corners(text) for _, text in examples.singles)


def test_missing_examples_are_said(tmp_path):
    with pytest.raises(ValueError, match="page_examples"):
        read_examples(tmp_path)


def test_no_evaluation_or_a_strange_one_is_no_error(tmp_path):
    assert "evaluate.py" in measured.figures(tmp_path)
    for content in ("{", "[]", "{}", '{"tiles": 3}', json.dumps({"tiles": {"n": 1}, "notes": []})):
        (tmp_path / measured.METRICS).write_text(content)
        assert "is not what evaluate.py writes" in measured.figures(tmp_path)


def test_the_shipped_figures_are_shown():
    page = measured.figures(app.REPORT)
    assert "were evaluated" in page
    assert "flipped to wrong" in page
    assert measured.grid(app.REPORT).suffix == ".jpg"


def test_the_page_can_be_built_without_any_evaluation(examiner, tmp_path):
    from page.layout import build_page

    page = build_page(examiner, str(tmp_path), tmp_path / "none")
    components = [component["props"].get("elem_id") for component in page.get_config_file()["components"]]
    assert {"photo", "slider", "download", "frames", "burst-slider", "live-slider"} <= set(components)
    assert "grid" not in components
    assert page.delete_cache is not None
    assert not list(FOLDER.parent.parent.glob("page/*.pyi"))


def test_it_listens_to_this_machine_alone():
    assert app.parse_arguments([]).host == "127.0.0.1"


def test_a_missing_checkpoint_ends_with_a_line(tmp_path, capsys):
    assert app.main(["--checkpoint", str(tmp_path / "none.keras")]) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_however_the_page_is_ended_no_uploads_stay(tmp_path, ending):
    code = f"""
import os, signal, sys, threading, types
import app, enhancing.examining

def open_page(options, examiner, folder):
    open(f"{{folder}}/upload.png", "w").close()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.{ending})).start()
    return types.SimpleNamespace(local_url="", close=lambda **_: None)

app.open_page, enhancing.examining.make_examiner = open_page, lambda *_, **__: None
sys.exit(app.main(["--checkpoint", "none.onnx"]))
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_needs_neither_gradio_nor_tensorflow():
    code = "import sys, app\ntry: app.main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit(any(name in sys.modules for name in ('gradio', 'tensorflow', 'cv2')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "--checkpoint" in done.stdout
