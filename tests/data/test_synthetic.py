import copy
import csv
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from data.ccpd import CHINA, parse_name
from data.synthetic import __main__ as program
from data.synthetic import registrations, rendering
from data.synthetic.canvas import Canvas
from data.synthetic.car import draw_car
from data.synthetic.plates import DESIGNS, VARIED_DESIGNS, WHITE, draw_face
from data.synthetic.rendering import mount, place

SEED = 3


@pytest.fixture(scope="module")
def rendered():
    return [rendering.render(SEED, index) for index in range(30)]


def test_a_photo_follows_from_seed_and_number_alone(rendered):
    again = rendering.render(SEED, 7)
    np.testing.assert_array_equal(again[0], rendered[7][0])
    assert again[2:] == rendered[7][2:]
    assert not np.array_equal(rendering.render(SEED + 1, 7)[0][:50, :50], rendered[7][0][:50, :50])


def test_corners_lie_inside_and_run_clockwise_from_the_bottom_right(rendered):
    for photo, corners, _, _ in rendered:
        height, width = photo.shape[:2]
        assert (corners >= -0.5).all()
        assert (corners[:, 0] <= width + 0.5).all()
        assert (corners[:, 1] <= height + 0.5).all()
        bottom_right, bottom_left, top_left, top_right = corners
        assert bottom_right[0] > bottom_left[0]
        assert top_right[0] > top_left[0]
        assert bottom_right[1] > top_right[1]
        assert bottom_left[1] > top_left[1]


def test_plates_are_between_150_and_400_px_wide_and_vary():
    rng = np.random.default_rng(0)
    widths = []
    for _ in range(50):
        wanted = rng.uniform(*rendering.PLATE_PX)
        corners = place(rng, rendering.FRAME, wanted, 440 / 140)
        widths.append(np.linalg.norm(corners[0] - corners[1]))
        assert widths[-1] <= wanted + 1
    assert np.ptp(widths) > 150


def test_the_plate_is_where_the_corners_say():
    """A white plate on a black car: bright inside the corners; dark outside, but for a holder of some pixels."""
    plate = np.ones_like(Canvas(440, 140, 0.6, WHITE).pixels)
    bare = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        corners = place(rng, rendering.FRAME, 250, 440 / 140)
        photo = np.zeros((*rendering.FRAME, 3), np.float32)
        with_holder = copy.deepcopy(rng).random() < 0.5
        bare += not with_holder
        mount(rng, photo, plate, corners, 440)
        inside = cv2.fillPoly(np.zeros(rendering.FRAME, np.uint8), [np.round(corners).astype(np.int32)], 1)
        assert photo[cv2.erode(inside, np.ones((5, 5))) == 1].min() > 0.9
        reach = 61 if with_holder else 5
        assert photo[cv2.dilate(inside, np.ones((reach, reach))) == 0].max() < 0.1
    assert 0 < bare < 10


@pytest.mark.parametrize(
    ("country", "pattern"),
    [
        ("DE", r"[A-Z]{1,3}[A-Z]{1,2}\d{1,4}"),
        ("FR", r"[A-Z]{2}\d{3}[A-Z]{2}"),
        ("ES", r"\d{4}[BCDFGHJKLMNPRSTVWXYZ]{3}"),
        ("GB", r"[A-Z]{2}\d{2}[A-Z]{3}"),
        ("BR", r"[A-Z]{3}\d[A-Z]\d{2}"),
        ("RO", r"(B\d{2,3}|[A-Z]{2}\d{2})[A-Z]{3}"),
    ],
)
def test_numbers_follow_their_country(country, pattern):
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert re.fullmatch(pattern, "".join(registrations.RULES[country](rng)))


def test_chinese_serials_have_neither_i_nor_o_and_the_right_length():
    rng = np.random.default_rng(0)
    for rule, length in ((registrations.chinese, 7), (registrations.chinese_new_energy, 8)):
        for _ in range(100):
            text = "".join(rule(rng))
            assert len(text) == length
            assert text[0] in registrations.CHINESE
            assert not set(text) & set("IO")


def test_any_letter_may_stand_where_the_rules_have_one():
    rng = np.random.default_rng(0)
    texts = ["".join(registrations.FREE_RULES["RO"](rng)) for _ in range(400)]
    assert all(re.fullmatch(r"[A-Z]{1,2}\d{2,3}[A-Z]{3}", text) for text in texts)
    serials = "".join(text[-3:] for text in texts)
    assert set(serials) == set(registrations.LETTERS)
    # half of 1/26
    assert 0.01 < serials.count("O") / len(serials) < 0.03
    followed = [re.fullmatch(r"(B\d{2,3}|[A-Z]{2}\d{2}).*", text) is not None for text in texts]
    assert 0.4 < np.mean(followed) < 0.9


def test_the_flag_frees_the_letters_but_not_those_of_china(tmp_path):
    texts = {}
    for name, flags in (("rules", []), ("any", ["--any-letters"])):
        assert program.main(["--out", str(tmp_path / name), "--count=24", "--seed=5", "--workers=1", *flags]) == 0
        with (tmp_path / name / "text.csv").open(encoding="utf-8") as file:
            texts[name] = [(row["country"], row["text"]) for row in csv.DictReader(file)]
    assert [country for country, _ in texts["rules"]] == [country for country, _ in texts["any"]]
    changed = {"China": [], "elsewhere": []}
    for one, other in zip(texts["rules"], texts["any"], strict=True):
        changed["China" if one[0] == CHINA else "elsewhere"].append(one != other)
    assert not any(changed["China"])
    # some have no letters, or keep theirs by chance
    assert np.mean(changed["elsewhere"]) > 0.6


def test_varied_photos_show_more_countries_and_the_benchmark_stays(tmp_path):
    assert program.main(["--out", str(tmp_path / "photos"), "--count=40", "--workers=1", "--varied"]) == 0
    with (tmp_path / "photos" / "text.csv").open(encoding="utf-8") as file:
        countries = {row["country"] for row in csv.DictReader(file)}
    assert countries - set(registrations.RULES) - {CHINA}
    assert len({rendering.render(1, index)[3] for index in range(40)} - set(registrations.RULES) - {CHINA}) == 0


def test_every_design_can_be_drawn_and_shows_its_characters():
    rng = np.random.default_rng(0)
    for _, width_mm, design in DESIGNS + VARIED_DESIGNS:
        face = design(rng, 0.8, registrations.VARIED_RULES)
        assert face.size_mm[0] == width_mm
        assert face.pixels.shape[:2] == face.ink.shape
        assert face.ink.mean() > 0.03, "hardly any ink"
        assert face.text.replace("/", "").isalnum()
        assert 0 <= face.pixels.min() <= face.pixels.max() <= 1


def test_nothing_touches_the_border_of_the_plate():
    rng = np.random.default_rng(1)
    for _ in range(60):
        face = draw_face(rng, 350)
        height, width = face.ink.shape
        edge = max(2, height // 40)
        assert face.ink[:edge].max() < 0.5, face.text
        assert face.ink[-edge:].max() < 0.5, face.text
        assert face.ink[:, : width // 60].max() < 0.5, face.text
        assert face.ink[:, -width // 60 :].max() < 0.5, face.text


def test_bolts_do_not_touch_characters():
    rng = np.random.default_rng(2)
    for number in range(60):
        designs = VARIED_DESIGNS if number % 2 else DESIGNS
        face = draw_face(rng, 300, registrations.VARIED_RULES, designs)
        bolted = face.pixels.copy()
        rendering._bolts(rng, bolted, face.ink)
        changed = np.abs(bolted - face.pixels).max(axis=2) > 0.05
        assert changed.any()
        assert not (changed & (face.ink > 0.5)).any(), face.text


def test_a_holder_adds_its_rims_and_leaves_the_plate():
    rng = np.random.default_rng(0)
    plate = rng.random((60, 200, 3)).astype(np.float32)
    for _ in range(10):
        framed, (above, below, side) = rendering.framed(rng, plate, 0.5)
        assert framed.shape == (60 + above + below, 200 + 2 * side, 3)
        np.testing.assert_array_equal(framed[above:-below, side:-side], plate)


def test_cars_fill_the_frame_and_differ():
    to_photo = np.array([[0.5, 0.02, 240], [-0.01, 0.5, 180], [0, 0, 1]])
    cars = [draw_car(np.random.default_rng(seed), rendering.FRAME, to_photo) for seed in range(8)]
    for car in cars:
        assert car.shape == (*rendering.FRAME, 3)
        assert car.dtype == np.uint8
        assert car.std() > 3, "a blank"
    assert np.std([car.mean() for car in cars]) > 10


def test_faces_are_drawn_a_little_larger_than_seen():
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert draw_face(rng, 300).pixels.shape[1] == pytest.approx(345, abs=1)


def test_folder_has_names_that_read_back_and_texts_and_the_same_bytes_whatever_the_workers(tmp_path):
    count = rendering.BATCH + 2
    for workers in (1, 2):
        rendering.render_folder(tmp_path / str(workers), count, SEED, workers)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / str(n)).iterdir()} for n in (1, 2))
    assert one == two
    with (tmp_path / "1" / "text.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count
    assert sorted([*(row["file"] for row in rows), "text.csv"]) == sorted(one)
    for index, row in enumerate(rows[:10]):
        known = parse_name(row["file"])
        photo, corners, text, country = rendering.render(SEED, index)
        assert (row["text"], row["country"]) == (text, country)
        with Image.open(tmp_path / "1" / row["file"]) as picture:
            assert picture.size == photo.shape[1::-1]
        assert np.abs(np.array(known.corners) - corners).max() <= 1.5
        if country == CHINA and text.isalnum() and "警" not in text:
            assert known.text == text, "a Chinese plate's name must say its text"


def test_command_refuses_a_full_folder_and_nonsense(tmp_path, capsys):
    (tmp_path / "there.txt").write_text("something")
    assert program.main(["--out", str(tmp_path), "--count", "1"]) == 2
    assert "not empty" in capsys.readouterr().err
    assert program.main(["--out", str(tmp_path / "new"), "--count", "0"]) == 2


def test_sheet_is_drawn(tmp_path):
    rendering.draw_sheet(tmp_path / "sheet.png", SEED, columns=2, rows=2)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * 244, 2 * 184)


def test_fonts_have_every_character_and_a_licence():
    from PIL import ImageFont

    from data.synthetic.canvas import (
        BROAD,
        DIN,
        FIXED,
        FONT_FOLDER,
        HANZI,
        HANZI_KAI,
        HANZI_LIGHT,
        NARROW,
        ROADGEEK,
        ROUND,
        SQUARE,
    )

    fonts = {*ROADGEEK, *NARROW, *BROAD, *FIXED, *DIN, *SQUARE, *ROUND}
    files = {path.name for path in FONT_FOLDER.iterdir() if path.suffix in (".ttf", ".otf")}
    assert files == {*fonts, HANZI, HANZI_KAI, HANZI_LIGHT}
    for name, characters in [
        *((font, registrations.LETTERS + registrations.DIGITS) for font in fonts),
        *((font, registrations.CHINESE + "警") for font in (HANZI, HANZI_KAI, HANZI_LIGHT)),
    ]:
        face = ImageFont.truetype(FONT_FOLDER / name, 40)
        missing = bytes(face.getmask("\uffff"))
        for character in characters:
            assert face.getmask(character).getbbox(), f"{name} lacks {character}"
            assert bytes(face.getmask(character)) != missing, f"{name} lacks {character}"
    assert len(list(FONT_FOLDER.glob("LICENCE-*.txt"))) == 16
