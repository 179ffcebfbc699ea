"""Consistency, agreement, voting, corners, drawing: what is said about a result."""

import json

import cv2
import numpy as np
import pytest

from data.labelled import Pair, Plate
from enhancing import calibrate
from enhancing.calibrate import STRENGTHS, Trial, best, least_width, try_strengths, write
from enhancing.consistency import effective_width, fit
from enhancing.drawing import heat_map, sheet
from enhancing.examining import SHIFTS_PX, agree, disagreement, undo, variants
from enhancing.opening import in_order, parse_corner, straighten
from models.enhancer import Generator
from reading.matching import partners
from reading.reader import ALPHABET, Reader, Reading
from reading.voting import characters, vote

RNG = np.random.default_rng(0)


def plate(text, size=(96, 192)):
    """Black characters on white, (h, w, 3) float32 in [0, 1]."""
    picture = np.full((*size, 3), 240, np.uint8)
    cv2.putText(picture, text, (8, 64), cv2.FONT_HERSHEY_SIMPLEX, 1.35, (25, 25, 25), 4, cv2.LINE_AA)
    return picture.astype(np.float32) / 255


def motion(picture, length):
    return cv2.filter2D(picture, -1, np.eye(length, dtype=np.float32) / length, borderType=cv2.BORDER_REFLECT_101)


CAMERAS = {
    "as it is": lambda p: p,
    "out of focus": lambda p: cv2.GaussianBlur(p, (0, 0), 3),
    "shaken": lambda p: motion(p, 15),
    "dark": lambda p: 0.12 * p,
    "dark, shaken, noisy": lambda p: np.clip(0.3 * motion(p, 11) + RNG.normal(0, 0.02, p.shape).astype("f"), 0, 1),
    "other tone curve": lambda p: 0.8 * p**1.7 + 0.1,
    "few pixels": lambda p: cv2.resize(cv2.resize(p, (48, 24), interpolation=cv2.INTER_AREA), (192, 96)),
}


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_truth_is_consistent_with_what_a_camera_makes_of_it_and_another_plate_is_not(camera):
    seen = CAMERAS[camera](plate("B742KX"))
    right, wrong = fit(seen, plate("B742KX")).consistency, fit(seen, plate("M158AN")).consistency
    assert right > 0.9
    assert wrong < right - 0.2


def test_one_invented_character_costs_consistency():
    seen = CAMERAS["out of focus"](plate("B742KX"))
    assert fit(seen, plate("B742MX")).consistency < fit(seen, plate("B742KX")).consistency - 0.02


def test_what_is_brought_back_looks_like_the_input():
    seen = CAMERAS["shaken"](plate("B742KX")) * 0.5
    back = fit(seen, plate("B742KX")).brought_back
    assert back.shape == (96, 192)
    assert np.abs(back - seen.mean(axis=2)).mean() < 0.03


def test_blur_is_measured_and_narrows_the_effective_width():
    clean = plate("B742KX")
    fits = [fit(cv2.GaussianBlur(clean, (0, 0), sigma), clean) for sigma in (1, 2, 4)]
    assert [found.blur_px for found in fits] == sorted(found.blur_px for found in fits)
    assert fits[2].blur_px == pytest.approx(4, rel=0.35)
    widths = [effective_width(found, 192, 500) for found in fits]
    assert widths == sorted(widths, reverse=True)
    assert effective_width(fits[0], 192, native_width=30) == 30


def test_flat_pictures_have_finite_figures():
    flat = np.full((32, 64, 3), 0.3, np.float32)
    assert fit(flat, flat).consistency == 1
    assert fit(flat, RNG.random((32, 64, 3), "float32")).consistency == 0
    assert fit(RNG.random((32, 64, 3), "float32"), flat).consistency == 0
    for size in ((1, 192), (3, 5), (1, 1)):
        assert np.isfinite(fit(RNG.random((*size, 3), "float32"), RNG.random((*size, 3), "float32"))[0])


@pytest.mark.parametrize("scale", [1, 2])
def test_variants_lie_upon_each_other_again(scale):
    lq = RNG.random((24, 40, 3), dtype="float32") * 0.8
    restored = [np.repeat(np.repeat(each, scale, 0), scale, 1) for each in variants(lq)]
    enlarged = np.repeat(np.repeat(lq, scale, 0), scale, 1)
    inner = slice(4 * scale, -4 * scale)
    for back in undo(restored, scale)[: len(SHIFTS_PX)]:
        np.testing.assert_allclose(back[inner, inner], enlarged[inner, inner], atol=1e-6)


def test_disagreement_is_where_the_variants_differ():
    sr = np.full((48, 96, 3), 0.5, np.float32)
    other = sr.copy()
    other[20:28, 40:48] = 1.0
    unsure = disagreement(sr, [sr, other])
    assert unsure[24, 44] > 0.1
    assert unsure[:, :20].max() < 1e-6
    assert disagreement(sr, [sr, sr]).max() == 0


def test_agreement_by_character():
    found = agree("京A·12345", ["京A12345", "京A12845", "A12345"])
    assert found.text == "京A12345"
    assert found.agreed == "?A12?45"
    assert found.shares == pytest.approx((2 / 3, 1, 1, 1, 2 / 3, 1, 1)) or found.shares[4] < 1


def test_agreement_extremes():
    assert agree("AB12", ["AB12"] * 3).mean == 1
    assert agree("AB12", ["AB12"] * 3).agreed == "AB12"
    assert agree("", ["AB12"]).mean == 0
    assert agree("AB12", ["", "ZZZZ"]).agreed == "????"
    assert agree("AB12", []).mean == 0


def test_alignment():
    assert partners("ABC", "ABC") == [0, 1, 2]
    assert partners("ABC", "AC") == [0, None, 1]
    assert partners("AC", "ABC") == [0, 2]
    assert partners("ABC", "") == [None, None, None]
    assert partners("AXC", "AYC") == [0, 1, 2]


def reading(*steps):
    """A reading from (character, probability[, second character]) per time step; "" is a blank."""
    rows = np.full((len(steps), len(ALPHABET)), 1e-6, np.float32)
    for row, (char, probability, *second) in zip(rows, steps, strict=True):
        row[ALPHABET.index(char)] = probability
        if second:
            row[ALPHABET.index(second[0])] = 1 - probability
    return Reading("", steps=rows / rows.sum(axis=1, keepdims=True))


def test_characters_of_a_reading_are_its_runs():
    text, probabilities = characters(reading(("A", 0.6), ("A", 0.9), ("", 1), ("A", 0.7), ("1", 0.8)))
    assert text == "AA1"
    assert probabilities[:, ALPHABET.index("A")][:2] == pytest.approx([1, 1], abs=1e-3)


def test_one_sure_reader_beats_two_unsure_ones():
    doubting = reading(("B", 0.55, "8"), ("1", 0.9))
    sure = reading(("8", 0.98, "B"), ("1", 0.9))
    assert vote([doubting, doubting, sure], [1, 1, 1]).text == "81"
    assert vote([doubting, doubting, sure], [1, 1, 0.1]).text == "B1"


def test_voting_mends_errors_that_differ_from_frame_to_frame():
    truth = "KA7X24"
    frames = []
    for wrong in range(3):
        chars = list(truth)
        chars[wrong] = "Q"
        frames.append(reading(*[part for char in chars for part in ((char, 0.8, "Z"), ("", 1))]))
    elected = vote(frames, [1, 1, 1])
    assert elected.text == truth
    assert 0.5 < elected.confidence < 0.9


def test_a_character_that_most_frames_do_not_see_falls():
    short, long = reading(("A", 0.9), ("1", 0.9)), reading(("A", 0.9), ("7", 0.9), ("1", 0.9))
    assert vote([short, short, long], [1, 1, 1]).text == "A1"
    assert vote([short, long, long], [1, 1, 1]).text == "A71"


def test_votes_of_nobody():
    assert vote([reading(("", 1))], [1]) == ("", ())
    assert vote([reading(("A", 1))], [0]).text == ""
    with pytest.raises(ValueError, match="keep_steps"):
        vote([Reading("A")], [1])


# from the bottom right, clockwise
CORNERS = [(70.0, 60.0), (20.0, 50.0), (25.0, 30.0), (75.0, 40.0)]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 0, 1), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_corners_in_any_order(order):
    np.testing.assert_array_equal(in_order([CORNERS[i] for i in order]), CORNERS)


@pytest.mark.parametrize(
    "corners", [[(0, 0)] * 4, [(0, 0), (1, 1), (2, 2), (3, 3)], [(0, 0), (10, 0), (5, 2), (5, 10)], [(0, 0), (1, 1)]]
)
def test_corners_of_no_quadrangle(corners):
    with pytest.raises(ValueError, match=r"quadrangle|four corners"):
        in_order(corners)


def test_corner_syntax():
    assert parse_corner("12,3.5") == (12, 3.5)
    for wrong in ("12", "a,b", "1,2,3", ""):
        with pytest.raises(ValueError, match="x,y"):
            parse_corner(wrong)


def test_a_tilted_plate_comes_out_upright():
    upright = plate("B742KX", (96, 288))
    target = np.array([[330, 190], [60, 130], [70, 60], [340, 120]], np.float32)
    source = np.array([[288, 96], [0, 96], [0, 0], [288, 0]], np.float32)
    photo = cv2.warpPerspective(
        upright, cv2.getPerspectiveTransform(source, target), (400, 260), borderValue=(0.4, 0.4, 0.4)
    )
    straight, width = straighten(photo, target.tolist(), 192)
    assert width == pytest.approx(276.6, abs=0.5)
    assert straight.shape == (round(70.7 * 1.2), round(276.6 * 1.2), 3)
    inner = straight[8:-8, 30:-30]
    expected = cv2.resize(upright, (inner.shape[1] - 6, inner.shape[0] + 4))
    found = cv2.matchTemplate(expected[10:-10, 20:-20], inner[10:-10, 20:-20][:60, :150], cv2.TM_CCOEFF_NORMED)
    assert found.max() > 0.8


def test_corners_outside_the_photo():
    with pytest.raises(ValueError, match="outside the photo of 50 x 40"):
        straighten(np.zeros((40, 50, 3), np.uint8), CORNERS, 192)


def test_heat_rises_with_disagreement():
    heat = heat_map(np.array([[0, 0.07, 0.15, 9]], np.float32).repeat(4, 0), (4, 4))
    light = heat.mean(axis=(0, 2))
    assert light[0] < 0.02
    assert light[0] < light[1] < light[2] == light[3]


def test_a_long_line_is_broken_and_nothing_is_cut_off():
    panels = [("before", plate("A")), ("after", plate("A"))]
    short, long = sheet(panels, [("word", (0, 0, 0))]), sheet(panels, [("word " * 60, (0, 0, 0))])
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0] + 40
    assert (long[:, -8:] == 1).all()


def test_the_least_width_is_where_half_are_read_right():
    widths = np.arange(10, 110, dtype=float)
    right = (widths >= 60).astype(float)
    assert least_width(np.stack([widths, widths, right], axis=1)) == 60
    rng = np.random.default_rng(0)
    right = rng.random(3000) < 1 / (1 + np.exp(-(np.linspace(10, 110, 3000) - 45) / 8))
    noisy = np.stack([np.linspace(10, 110, 3000), np.ones(3000), right], axis=1)
    assert least_width(noisy) == pytest.approx(45, abs=4)


def test_calibration_is_written_beside_the_checkpoint(tmp_path):
    (tmp_path / "g.json").write_text('{"role": "generator"}')
    write(str(tmp_path / "g.keras"), 0.3, 41.26)
    known = {"strength": 0.3, "min_effective_width_px": 41.3}
    assert json.loads((tmp_path / "g.json").read_text()) == {"role": "generator", **known}


@pytest.mark.parametrize(
    ("right", "chosen"),
    [
        # of equals the least
        ({0.0: 300, 0.3: 400, 0.5: 400, 1.0: 350}, 0.3),
        # one plate of 600 may be chance
        ({0.0: 300, 0.3: 399, 0.5: 400, 1.0: 350}, 0.3),
        # ten, and none the other way round, are not
        ({0.0: 300, 0.3: 390, 0.5: 400, 1.0: 350}, 0.5),
        ({0.0: 0, 1.0: 0}, 0.0),
    ],
)
def test_the_lowest_strength_is_chosen_that_reads_as_many_as_any(right, chosen):
    trials = [Trial(strength, np.arange(600) < count, 0.7, 0.1) for strength, count in right.items()]
    assert best(trials).strength == chosen


def test_plates_won_and_lost_make_a_difference_less_certain():
    plates = np.arange(600)
    trials = [Trial(0.3, (plates >= 60) & (plates < 450), 0.7, 0.1), Trial(0.5, plates < 400, 0.7, 0.1)]
    # 50 won and 60 lost
    assert best(trials).strength == 0.3


def test_trials_of_a_generator_that_mirrors_its_input():
    texts = ("KA7X24", "BN4M81")
    pairs = [Pair(Plate(text, "", text=text, country="DE"), (plate(text) * 255).astype(np.uint8)) for text in texts]
    trials = try_strengths(Generator(lambda batch: batch[:, :, ::-1]), Reader(), pairs)
    assert [trial.strength for trial in trials] == list(STRENGTHS)
    assert trials[0].right.all()
    assert trials[0][2:] == (1, 0)
    assert not trials[-1].right.any()
    assert trials[-1].flipped == 1
    assert best(trials).strength == 0


def test_a_strength_chosen_by_other_plates_must_be_one(capsys):
    with pytest.raises(SystemExit) as stopped:
        calibrate.main(["--tiles", "none", "--checkpoint", "none.keras", "--strength", "1.5"])
    assert stopped.value.code == 2
    assert "--strength is a number of 0 to 1, not 1.5" in capsys.readouterr().err
