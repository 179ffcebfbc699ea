"""The page's own small parts; tests/page/test_page.py drives the whole of it in a browser."""

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import gradio as gr
import numpy as np
import pytest
from PIL import Image

import app
from data import degrade
from data.film import open_film
from data.io import PictureError, open_picture
from enhancing.burst import combine
from enhancing.examining import TOO_LITTLE, Examiner
from enhancing.opening import NoPlateFound, make_source
from evaluation.tables import PLAIN
from models.detector import Detection
from models.enhancer import Generator
from page import limits, pictures, several, single, tab, words
from page.pictures import FOLDER, accept, read_examples, save_result
from page.tab import Visit, in_turn
from page.words import Judged, judged, judged_burst, levels, trust
from reading.answer import Answer
from reading.reader import ALPHABET, Reading

ROOT = Path(__file__).resolve().parents[2]


class FixedReader:
    """Reads the same text from every picture, each character with the same probability."""

    def __init__(self, text: str, p: float = 0.99) -> None:
        self.text, self.p = text, p

    def read(self, pictures):
        steps = np.full((len(self.text), len(ALPHABET)), (1 - self.p) / (len(ALPHABET) - 1), np.float32)
        steps[range(len(self.text)), [ALPHABET.index(char) for char in self.text]] = self.p
        # of a character's own, with nothing between them
        steps = np.insert(steps, range(1, len(self.text)), np.eye(len(ALPHABET), dtype=np.float32)[0], axis=0)
        return [Reading(self.text, self.p, (self.p,) * len(self.text), steps) for _ in pictures]


def examiner_of(text: str, p: float = 0.99) -> Examiner:
    return Examiner(Generator(lambda batch: batch), reader=FixedReader(text, p), ask_again=True)


@pytest.fixture
def examiner() -> Examiner:
    return examiner_of("MAKW374")


def save(folder: Path, size: tuple[int, int], name: str = "photo.png", mode: str = "RGB") -> str:
    path = folder / name
    Image.new(mode, size, 1).save(path)
    return str(path)


def plate(examiner: Examiner, size: tuple[int, int] = (48, 96)):
    noise = np.random.default_rng(0).random((*size, 3), np.float32)
    return examiner.enhance([make_source(examiner.generator, noise)])[0]


# --- A visitor's photo ------------------------------------------------------------------------------------------------


def test_a_large_photo_is_shown_small_and_keeps_its_size(tmp_path):
    photo = accept(save(tmp_path, (2560, 1000)), "C:\\x/my photo.png", str(tmp_path))
    assert cv2.imread(photo.preview).shape == (500, 1280, 3)
    view = photo.view()
    assert (view["name"], view["width"], view["height"]) == ("my photo.png", 2560, 1000)
    assert (view["plates"], view["chosen"]) == ([], None)


@pytest.mark.parametrize("size", [(10_000, 6_000), (7_100, 7_100)])
def test_more_than_50_megapixels_are_refused(tmp_path, size):
    with pytest.raises(PictureError, match="at most 50 megapixels"):
        accept(save(tmp_path, size, mode="1"), "photo.png", str(tmp_path))


def test_a_refused_file_clears_the_last_one_and_is_named(examiner, tmp_path):
    visit = Visit()
    single._take(str(tmp_path), visit, {"path": save(tmp_path, (64, 32)), "name": "a.png"})
    first = visit.now
    (tmp_path / "plate.png").write_text("no picture")
    view, result = single._take(str(tmp_path), visit, {"path": str(tmp_path / "plate.png"), "name": "my b.png"})
    assert (visit.now, "picture" in view, result) == (None, False, words.EMPTY)
    assert view["problem"].startswith("my b.png: not a picture")
    # what is still under way for the first one is not shown any more
    assert visit.shown(first, first.view(), "a result") == (gr.skip(), gr.skip())
    assert single._enhanced(examiner, str(tmp_path), visit) == (gr.skip(), gr.skip())


def test_the_visitors_corners_make_the_plate(examiner, tmp_path):
    photo = accept(save(tmp_path, (300, 200)), "a.png", str(tmp_path))
    photo.look(examiner)
    corners = [[200, 110], [100, 110], [100, 80], [200, 80]]
    wanted = {"plate": 0, "corners": corners, "ticket": 3}
    view, result = single._choose(examiner, str(tmp_path), Visit(photo), wanted)
    assert view["plates"] == [corners]
    assert (view["chosen"], view["ticket"], view["offer"]) == (0, 3, ["found"])
    assert "MAKW374" in result
    view, _ = single._choose(examiner, str(tmp_path), Visit(photo), {"plate": 0})
    assert view["plates"] == []


SHOWN = [[[1, 1]] * 4, [[0, 0], [900, 0], [900, 9], [0, 9]]]


@pytest.mark.parametrize("corners", [*SHOWN, [[1, 1], [2, 2]], [["a", 1]] * 4, 7])
def test_corners_that_make_no_plate_are_said(examiner, tmp_path, corners):
    photo = accept(save(tmp_path, (300, 200)), "a.png", str(tmp_path))
    photo.look(examiner)
    view, result = single._choose(examiner, str(tmp_path), Visit(photo), {"plate": 0, "corners": corners})
    assert view["problem"]
    assert result == words.EMPTY
    # what can be shown stays where the visitor has put it
    assert view["plates"] == ([corners] if corners in SHOWN else [])


def test_of_several_plates_one_is_chosen(examiner, tmp_path):
    photo = accept(save(tmp_path, (300, 200)), "a.png", str(tmp_path))
    corners = [np.array([[x + 50, 60], [x, 60], [x, 40], [x + 50, 40]], float) for x in (10, 200)]
    photo.sources = [make_source(examiner.generator, np.zeros((200, 300, 3), np.uint8), each) for each in corners]
    view, _ = single._choose(examiner, str(tmp_path), Visit(photo), {"plate": 1})
    assert (len(view["plates"]), view["chosen"]) == (2, 1)
    moved = (corners[1] + 5).tolist()
    view, _ = single._choose(examiner, str(tmp_path), Visit(photo), {"plate": 1, "corners": moved})
    assert view["plates"] == [corners[0].tolist(), moved]


def test_no_plate_found_is_said_instead_of_a_result(examiner, tmp_path, monkeypatch):
    def none(*_, **__):
        raise NoPlateFound

    monkeypatch.setattr(Examiner, "sources", none)
    photo = accept(save(tmp_path, (600, 600)), "a.png", str(tmp_path))
    view, result = single._look(examiner, str(tmp_path), Visit(photo))
    assert words.NO_PLATE in result
    assert "<img" not in result
    assert set(view["offer"]) == {"mark", "whole"}


# --- Strength ---------------------------------------------------------------------------------------------------------


def following(examiner: Examiner) -> Examiner:
    """Its strength follows the picture, of which the recogniser is sure."""
    sure = examiner.reader.read([None]) * 2
    generator = replace(examiner.generator, strength=0.5, readable_strength=0.1)

    class Sure(Examiner):
        def _recognised(self, sources, zooms, drawn=()):
            return [sure for _ in sources]

    return Sure(generator, reader=examiner.reader, ask_again=True)


def test_the_slider_says_what_strength_was_used_until_it_is_moved(examiner, tmp_path):
    examiner = following(examiner)
    visit = Visit(accept(save(tmp_path, (96, 48)), "a.png", str(tmp_path)))
    assert tab.slider_value(visit) == gr.skip()
    _, result = single._look(examiner, str(tmp_path), visit)
    said = tab.slider_value(visit)
    assert said == pytest.approx(0.1, abs=0.03)
    assert f"<dd>{said:.2f}</dd>" in result
    # it was moved by the page, and is being typed
    assert not tab.was_moved(visit, said)
    assert not tab.was_moved(visit, None)
    assert single._again(examiner, str(tmp_path), visit) == (gr.skip(), gr.skip())
    # by the visitor, and back again
    for value in (0.5, said):
        assert tab.was_moved(visit, value)
        view, _ = single._begun(visit)
        assert view["status"] == "Restoring…"
        _, result = single._again(examiner, str(tmp_path), visit)
        assert f"<dd>{value:.2f}</dd>" in result
        assert tab.slider_value(visit) == gr.skip()


def test_a_strength_that_is_set_during_work_is_asked_for_again(examiner, tmp_path, monkeypatch):
    visit = Visit(accept(save(tmp_path, (96, 48)), "a.png", str(tmp_path)))
    make = single.save_result

    def slowly(*given):
        if visit.strength is None:
            assert tab.was_moved(visit, 0.3)
            single._begun(visit)
        return make(*given)

    monkeypatch.setattr(single, "save_result", slowly)
    single._look(examiner, str(tmp_path), visit)
    _, result = single._again(examiner, str(tmp_path), visit)
    assert "<dd>0.30</dd>" in result


def test_the_strength_of_frames_is_the_mean_by_their_weights(examiner, tmp_path):
    examiner, visit = following(examiner), Visit()
    several._take(str(tmp_path), visit, given(tmp_path, ["1.png", "2.png"]))
    assert tab.slider_value(visit) == gr.skip()
    list(several._work(examiner, str(tmp_path), visit))
    assert tab.slider_value(visit) == pytest.approx(0.1, abs=0.03)
    assert tab.was_moved(visit, 0.4)
    several._again(visit)
    list(several._work(examiner, str(tmp_path), visit))
    assert visit.now.strength == pytest.approx(0.4)


# --- How far to trust -------------------------------------------------------------------------------------------------


def shown(text: str, p: float = 0.99, **more) -> Judged:
    known = {"steady": (1.0,) * len(text), "same_length": 1.0, "alternatives": ("",) * len(text)}
    return Judged(text, (p,) * len(text), **known | more)


def test_sure_is_only_what_nothing_speaks_against():
    assert levels(shown("AKW374")) == ["sure"] * 6
    assert levels(shown("AKW374"), ["a warning"]) == ["likely"] * 6
    assert levels(shown("AKW374", p=0.9)) == ["likely"] * 6
    assert levels(shown("AKW374", p=0.5)) == ["doubtful"] * 6
    assert levels(shown("AKW374", same_length=0.5)) == ["likely"] * 6
    assert levels(shown("AKW374AKW")) == ["likely"] * 9
    assert levels(shown("AKW374", steady=(1.0, 0.9, 0.2, 1.0, 1.0, 1.0)))[:4] == ["sure", "likely", "doubtful", "sure"]
    assert levels(shown("AMB037"))[::2] == ["sure", "likely", "sure"]
    # a Chinese province is misread too often
    assert levels(shown("京A36K74"))[:2] == ["likely", "sure"]


@pytest.mark.parametrize(("text", "usual"), [("BVG41K", True), ("沪A36K74", True), ("A36K74", True), ("7BG4K1", False)])
def test_what_no_country_writes_is_not_sure(text, usual):
    assert ("sure" in levels(shown(text))) == usual
    assert ("hardly any plate" in trust(shown(text))) != usual


def test_one_sentence_says_how_far_to_trust():
    assert "readings agree" in trust(shown("AKW374"))
    assert "Do not rely" in trust(shown("AKW374"), ["a warning"])
    assert "missing" in trust(shown("AKW374", same_length=0.5))
    assert "hardly any plate" in trust(shown("AKW374AKW"))
    assert "Q (or 0 or O)" in trust(shown("AKQ374", alternatives=("", "", "0O", "", "", "")))
    doubtful = Judged("AKWT33", (0.99,) * 4 + (0.6, 0.4), ("",) * 4 + ("8B", "8B"), (1.0,) * 6, 1.0)
    assert trust(doubtful) == "Check the dashed characters: 3 (or 8 or B), ? (or 3 or 8 or B)."
    assert trust(shown("AKW374", p=0.4)) == "Most of it is a guess."
    assert "No text" in trust(shown(""))


def test_what_is_less_likely_than_not_is_a_question_mark(examiner, tmp_path):
    answer = Judged("AKW374", (0.99,) * 5 + (0.4,), ("",) * 5 + ("1",), (1.0,) * 6, 1.0)
    assert answer.text == "AKW37?"
    page = words._page(
        answer, [], save_result(str(tmp_path), "a", *[np.zeros((48, 96, 3), np.float32)] * 2, []), "", ""
    )
    assert 'data-text="AKW37?"' in page
    last = words.as_json(answer, [])["characters"][-1]
    assert (last["character"], last["probability"], last["alternatives"]) == ("4", 0.4, ["1"])


def test_characters_that_look_alike_are_alternatives():
    answer = judged(plate(examiner_of("MAQW284")))
    assert answer.text == "MAQW284"
    assert set(answer.alternatives[2]) == set("0OD")
    assert answer.alternatives[0] == ""
    assert answer.probabilities[0] > 0.9


def otherwise(result, text: str, p: float = 0.9):
    """The same result, but answered so."""
    return replace(result, answer=Answer(tuple(((char, p),) for char in text)))


def test_the_answer_of_frames_is_the_one_that_is_shown(examiner, tmp_path):
    results = [plate(examiner) for _ in range(2)]
    known = (*(((char, 0.9),) for char in "AKW37"), (("4", 0.4), ("1", 0.3)))
    burst = replace(combine(results, examiner), answer=Answer(known))
    answer = judged_burst(results, burst)
    assert (answer.text, answer.probabilities[-1], answer.alternatives[-1]) == ("AKW37?", 0.4, "1")
    files = save_result(str(tmp_path), "a.png", results[0].source.lq, burst.picture, [])
    page = words.burst_html(results, burst, files, ["1.png", "2.png"])
    assert 'data-text="AKW37?"' in page
    # each frame's own answer, with how likely all of it is right
    assert page.count(f"<td>MAKW374</td><td>{results[0].answer.probability:.0%}</td>") == 2


def test_frames_whose_answers_differ_in_length_are_doubtful(examiner):
    results = [plate(examiner) for _ in range(3)]
    burst = combine(results, examiner)
    assert judged_burst(results, burst).same_length == pytest.approx(1)
    # the third frame's weight counts, not its number
    results = [otherwise(results[0], "MAKW37"), otherwise(results[1], "MAKW37"), results[2]]
    answer = judged_burst(results, burst)
    assert answer.same_length < 0.5
    assert "sure" not in levels(answer)
    frames = tuple(replace(frame, weight=weight) for frame, weight in zip(burst.frames, (0.1, 0.1, 0.8), strict=True))
    assert judged_burst(results, replace(burst, frames=frames)).same_length == pytest.approx(0.8)


def test_the_answer_stands_first(examiner, tmp_path):
    result = plate(examiner, (10, 20))
    assert TOO_LITTLE in result.warnings
    page = words.result_html(result, save_result(str(tmp_path), "a.png", result.source.lq, result.picture, []), 0.7)
    places = [page.index(part) for part in ('class="plate"', 'class="trust"', 'class="warning"', "compare", "<details")]
    assert places == sorted(places)
    assert 'data-text="MAKW374"' in page
    # nothing is green under a warning
    assert "char sure" not in page


def test_what_was_read_is_text_and_not_html(tmp_path):
    answer = shown("<b>A&")
    files = save_result(str(tmp_path), "<i>&.png", *[np.zeros((48, 96, 3), np.float32)] * 2, [])
    for page in (words._page(answer, ["<u>"], files, "", ""), words.problem("<i>"), words.note("<i>")):
        assert not any(tag in page for tag in ("<b>", "<i>", "<u>", '"<'))


# --- Results ----------------------------------------------------------------------------------------------------------


def test_pictures_are_enlarged_for_the_eye_and_never_shrunk():
    picture = np.random.default_rng(0).random((48, 96, 3), np.float32)
    assert pictures.shown(picture, (48, 96)).shape == (384, 768, 3)
    assert pictures.shown(picture, (500, 1000)).shape == (500, 1000, 3)


def test_the_downloads_are_as_large_as_shown_and_named_after_the_file(tmp_path):
    picture = np.random.default_rng(0).random((48, 96, 3), np.float32)
    lines = [("a warning", (200, 0, 0))]
    files = save_result(str(tmp_path), "C:\\x/my plate.jpg", picture / 2, picture, lines, picture[..., 0])
    assert Path(files.after).name == "my plate-enhanced.png"
    assert Path(files.sheet).name == "my plate-before-and-after.png"
    assert all(tmp_path in Path(path).parents for path in files[:4])
    assert cv2.imread(files.before).shape[:2] == files.shape == (384, 768)
    np.testing.assert_array_equal(cv2.imread(files.after)[:, :, ::-1], pictures.shown(picture, (48, 96)))
    assert cv2.imread(files.sheet).shape[1] > 900


def test_before_is_shown_with_all_the_detail_that_the_picture_had(examiner):
    large, small = plate(examiner, (300, 600)), plate(examiner)
    assert large.untouched().shape == large.picture.shape == (300, 600, 3)
    assert np.abs(large.untouched() - np.random.default_rng(0).random((300, 600, 3), np.float32)).max() == 0
    assert small.untouched() is small.source.lq


@pytest.mark.slow
def test_the_largest_picture_takes_a_bounded_memory(tmp_path):
    """49 megapixels at 16 bits, with corners over all of it: 2.3 GB for all of the process."""
    Image.new("I;16", (7000, 7000), 21845).save(tmp_path / "large.png", compress_level=1)
    code = (
        "import resource, sys; from enhancing.examining import make_examiner; from models.shipped import *; "
        "from page import single; from page.pictures import accept; folder = sys.argv[1]; "
        "examiner = make_examiner(default_checkpoint(), read=True, ask_again=True, find=True); "
        "photo = accept(folder + '/large.png', 'large.png', folder); "
        "single._described(examiner, folder, photo, None); photo.moved = None; "
        "single._described(examiner, folder, photo, [(6999, 6999), (0, 6999), (0, 0), (6999, 0)]); "
        "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split("peak ")[1]) < 2600


@pytest.mark.parametrize("name", ["", ".", "..", "/", "x" * 300 + ".png", "a\0b.png", "é车.png"])
def test_any_name_makes_a_download_in_its_folder(tmp_path, name):
    files = save_result(str(tmp_path), name, *[np.zeros((48, 96, 3), np.float32)] * 2, [])
    assert all(tmp_path in Path(path).parents and Path(path).is_file() for path in files[:3])
    assert Path(files.after).name.endswith("-enhanced.png")


# --- Several frames ---------------------------------------------------------------------------------------------------


def given(folder: Path, names: list[str]) -> list[dict]:
    return [{"path": save(folder, (96, 48), name), "name": name} for name in names]


def test_frames_are_collected_combined_and_removed(examiner, tmp_path):
    visit = Visit()
    several._take(str(tmp_path), visit, given(tmp_path, ["1.png"]))
    *_, (view, _) = several._work(examiner, str(tmp_path), visit)
    assert "at least one more" in view["problem"]
    several._take(str(tmp_path), visit, given(tmp_path, ["2.png", "3.png"]))
    *_, (view, page) = several._work(examiner, str(tmp_path), visit)
    assert [each["name"] for each in view["frames"]] == ["1.png", "2.png", "3.png"]
    assert "MAKW374" in page
    assert page.count("<td>MAKW374</td>") == 3
    # where nothing is to be done, nothing is taken away
    assert list(several._work(examiner, str(tmp_path), visit)) == [(gr.skip(), gr.skip())]
    several._choose(visit, {"remove": 1})
    assert [each.name for each in visit.now.files] == ["1.png", "3.png"]


def test_frames_of_a_plate_of_two_lines_are_read_as_such(examiner, tmp_path):
    """As by enhance.py --burst."""
    sees = SimpleNamespace(detect=lambda *_, **__: [replace(IN_GIF, two_lines=0.9, score=0.5)])
    visit, files = Visit(), [{"path": save(tmp_path, (180, 96), name), "name": name} for name in ("1.png", "2.png")]
    several._take(str(tmp_path), visit, files)
    list(several._work(replace(examiner, layout=sees), str(tmp_path), visit))
    assert [source.two_lines for _, source in visit.now.sources] == [True, True]


def test_of_two_lists_given_at_once_none_is_lost(tmp_path, monkeypatch):
    look = several._given

    def slowly(*given):
        time.sleep(0.05)
        return look(*given)

    monkeypatch.setattr(several, "_given", slowly)
    visit = Visit()
    take = in_turn(lambda visit, uploaded: several._take(str(tmp_path), visit, uploaded))
    assert take(Visit(), uploaded=[])[1]["problem"] == ""
    lists = [given(tmp_path, ["1.png", "2.png"]), given(tmp_path, ["3.png"])]
    with ThreadPoolExecutor(2) as both:
        views = list(both.map(lambda uploaded: take(visit, uploaded)[1], lists))
    assert {each.name for each in visit.now.files} == {"1.png", "2.png", "3.png"}
    assert {len(view["frames"]) for view in views} in ({2, 3}, {1, 3})


def test_each_visitor_has_a_visit_of_their_own():
    first = Visit()
    other = deepcopy(first)
    other.now = "a picture"
    assert first.now is None
    assert other.turn is not first.turn


def test_a_refused_frame_is_named_beside_the_result(examiner, tmp_path):
    (tmp_path / "x.png").write_text("no picture")
    bad = [{"path": str(tmp_path / "x.png"), "name": "letter.png"}]
    visit = Visit()
    several._take(str(tmp_path), visit, given(tmp_path, ["1.png", "2.png"]) + bad)
    *_, (view, page) = several._work(examiner, str(tmp_path), visit)
    assert view["problem"].startswith("letter.png: not a picture")
    assert "MAKW374" in page


def gif(folder: Path) -> list[dict]:
    still = Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 192, 3), np.uint8))
    still.save(folder / "a.gif", save_all=True, append_images=[still.rotate(1), still.rotate(2)], duration=100)
    return [{"path": str(folder / "a.gif"), "name": "a.gif"}]


IN_GIF = Detection(np.array([[170, 80], [20, 80], [20, 20], [170, 20]], float), 0.9, 0.0, 0.0)


def test_a_gif_is_a_film(examiner, tmp_path, monkeypatch):
    monkeypatch.setattr(several, "plates_in_frames", lambda _: lambda picture: [IN_GIF])
    visit = Visit()
    several._take(str(tmp_path), visit, gif(tmp_path))
    *_, (view, page) = several._work(examiner, str(tmp_path), visit)
    assert view["problem"] == ""
    assert "MAKW374" in page
    assert "a-enhanced.png" in page


@pytest.mark.parametrize("other", [False, True])
def test_a_film_is_followed_to_its_end_while_it_is_wanted(examiner, tmp_path, monkeypatch, other):
    """The strength is moved, or something else is given, during the first frame."""
    visit, looks = Visit(), []

    def look(picture):
        if not looks and other:
            several.cleared(visit)
        elif not looks:
            several._again(visit)
        looks.append(picture)
        return [IN_GIF]

    monkeypatch.setattr(several, "plates_in_frames", lambda _: look)
    several._take(str(tmp_path), visit, gif(tmp_path))
    assert {str(shown) for shown in several._work(examiner, str(tmp_path), visit)} == {str((gr.skip(), gr.skip()))}
    assert len(looks) == (1 if other else 3)
    if not other:
        *_, (view, page) = several._work(examiner, str(tmp_path), visit)
        assert "MAKW374" in page
        assert (len(looks), view["problem"]) == (3, "")


# --- The limits -------------------------------------------------------------------------------------------------------


def test_the_damage_means_what_it_says():
    clean = np.random.default_rng(0).random((96, 192, 3), np.float32)
    blur, darkness, size = limits.KINDS
    assert degrade.sampled_width(size.steps(48), 192) == pytest.approx(48)
    assert darkness.steps(3)[0] == {"stage": "exposure", "stops": -3}
    assert degrade.apply(clean, size.steps(48)).shape == clean.shape
    assert degrade.apply(clean, darkness.steps(3)).mean() < 0.7 * clean.mean()
    assert degrade.apply(clean, blur.steps(4)).std() < 0.5 * clean.std()
    assert all(kind.steps(kind.levels[0]) == [] for kind in limits.KINDS)


def test_the_curve_says_from_where_on_it_is_wrong(examiner):
    class Forgetful(FixedReader):
        """Reads dark pictures wrong."""

        def read(self, pictures):
            wrong = FixedReader("MAKW37")
            return [(super(Forgetful, self) if each.mean() > 0.3 else wrong).read([each])[0] for each in pictures]

    clean = np.random.default_rng(0).random((96, 192, 3), np.float32)
    points = limits.curve(replace(examiner, reader=Forgetful("MAKW374")), clean, "MAKW374", limits.KINDS[1])
    rights = [point.right for point in points]
    assert rights[0] == 1
    assert rights[-1] == pytest.approx(6 / 7)
    first = limits.KINDS[1].levels[next(i for i, right in enumerate(rights) if right < 1)]
    page = limits._kind_html(limits.KINDS[1], points, "MAKW374")
    assert f"From {first:g} stops of missing light on, not all characters are given; none is invented" in page
    assert page.count("<img") == len(points)


def test_a_wrong_character_is_invented_and_a_question_mark_is_not():
    assert limits._marks("AK?374", "AKW374")[2] == ("?", limits.NOT_GIVEN)
    assert limits._marks("AKW37", "AKW374")[-1] == ("_", limits.NOT_GIVEN)
    assert limits._marks("AKWX374", "AKW374")[3] == ("X", limits.WRONG)
    assert limits._marked("8KW374", "BKW374").count("<em>") == 1


def test_without_its_text_a_plate_is_taken_to_say_what_is_read(examiner):
    page = limits.curves_html(examiner, np.random.default_rng(0).random((96, 192, 3), np.float32), "")
    assert "<b>MAKW374</b>" in page
    assert page.count("All characters are right at every level") == 3


def test_the_examples_are_there_and_small():
    examples = read_examples()
    paths = examples.singles + examples.burst + [plate.path for plate in examples.clean]
    assert len(examples.labels) == len(examples.singles)
    assert all(min(open_picture(path).shape[:2]) >= 48 for path in paths)
    assert sum(path.stat().st_size for path in [*paths, examples.film]) < 300_000
    with open_film(examples.film) as film:
        assert len(list(film.frames)) == 45
    assert all(plate.text and open_picture(plate.path).shape == (96, 192, 3) for plate in examples.clean)


def test_missing_examples_are_said(tmp_path):
    with pytest.raises(ValueError, match="page_pictures"):
        read_examples(tmp_path)


def test_no_evaluation_or_a_strange_one_is_no_error(tmp_path):
    assert "evaluate.py" in limits.figures(tmp_path)
    for content in ("{", "[]", "{}", '{"tiles": 3}', json.dumps({"tiles": {"n": 1}, "notes": []})):
        (tmp_path / limits.METRICS).write_text(content)
        assert "is not what evaluate.py writes" in limits.figures(tmp_path)


def test_the_shipped_figures_are_shown():
    page = limits.figures(app.REPORT)
    assert "Of 1717 damaged plates" in page
    assert '>enhanced</td><td data-title="All of the plate read right">60.5 % (58–63)</td>' in page
    # words that a visitor does not know
    assert not any(word in page for word in ("pretrain", "generator", "tile", "baseline", "PSNR", "flipped"))
    assert limits.grid(app.REPORT).suffix == ".jpg"


def test_the_grid_names_the_columns_of_its_report(tmp_path):
    assert limits.columns(app.REPORT) == [*PLAIN.values()]
    assert limits.columns(tmp_path) == []
    (tmp_path / limits.METRICS).write_text(json.dumps({"clean": {}, "input": {}, "checkpoints": {"mine": {}}}))
    assert limits.columns(tmp_path) == ["as they are", "mine", "the sharp plates"]


def test_the_page_can_be_built_without_any_evaluation(examiner, tmp_path):
    from page.layout import build_page

    page = build_page(examiner, str(tmp_path), tmp_path / "none")
    components = [component["props"].get("elem_id") for component in page.get_config_file()["components"]]
    assert {"photo", "result", "frames", "burst-result"} <= set(components)
    assert "grid" not in components
    assert page.delete_cache is not None
    assert not list(FOLDER.parent.parent.glob("page/*.pyi"))


def test_it_listens_to_this_machine_alone():
    assert app.Settings().host == "127.0.0.1"


def test_a_port_that_is_taken_is_said_at_once(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert app.main(["--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"port {port}" in said
    assert "--port" in said


@pytest.mark.parametrize("port", ["70000", "-1"])
def test_a_port_that_there_is_not_is_said(port, capsys):
    assert app.main(["--port", port]) == 2
    assert "--port" in capsys.readouterr().err


def test_a_missing_checkpoint_ends_with_a_line(tmp_path, capsys):
    assert app.main(["--checkpoint", str(tmp_path / "none.keras"), "--port", "0"]) == 2
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
sys.exit(app.main(["--checkpoint", "none.onnx", "--port", "0"]))
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
