import numpy as np
import pytest
from skimage.color import rgb2lab

from evaluation.metrics import (
    PSNR_CAP_DB,
    bootstrap_ci95,
    colour_error,
    estimate,
    harm,
    psnr_db,
    reading_rates,
    reliability,
    ssim,
    trust,
)
from reading.answer import Answer
from reading.reader import Reading


def pictures(n=3, height=24, width=40):
    return np.random.default_rng(0).random((n, height, width, 3), dtype="float32")


def test_psnr_of_a_known_offset():
    dark = np.full((2, 16, 16, 3), 0.25)
    np.testing.assert_allclose(psnr_db(dark, dark + 0.1), [20, 20])
    whole, half = np.full((1, 8, 8, 3), 51, np.uint8), np.full((1, 8, 8, 3), 0.2)
    assert psnr_db(whole, half)[0] == PSNR_CAP_DB
    assert psnr_db(dark, dark)[0] == PSNR_CAP_DB


def test_psnr_and_ssim_are_those_of_tensorflow():
    import tensorflow as tf

    first = pictures()
    second = np.clip(first + np.random.default_rng(1).normal(0, 0.1, first.shape), 0, 1).astype("float32")
    np.testing.assert_allclose(psnr_db(first, second), tf.image.psnr(first, second, 1.0), rtol=1e-5)
    np.testing.assert_allclose(ssim(first, second), tf.image.ssim(first, second, 1.0), atol=1e-4)


def test_the_colour_error_is_the_distance_in_lab_without_the_lightness():
    grey = np.full((1, 16, 24, 3), 0.5)
    red = np.broadcast_to(np.float64([0.6, 0.45, 0.45]), grey.shape)
    lab = rgb2lab([0.6, 0.45, 0.45])
    np.testing.assert_allclose(colour_error(grey, red), np.hypot(*lab[1:]), atol=0.1)
    np.testing.assert_allclose(colour_error(grey, np.full_like(grey, 0.9)), 0, atol=0.1)
    half = grey.copy()
    half[:, :8] = red[:, :8]
    np.testing.assert_allclose(colour_error(grey, half), np.hypot(*lab[1:]) / 2, atol=0.1)
    with pytest.raises(ValueError, match="at least 8 px"):
        colour_error(grey[:, :7], grey[:, :7])


def test_psnr_is_per_picture_not_pooled():
    first = np.zeros((2, 16, 16, 3))
    second = np.stack([first[0] + 0.01, first[1] + 0.5])
    np.testing.assert_allclose(psnr_db(first, second), [40, 6.0206], atol=1e-4)


def test_equal_and_flat_pictures():
    flat = np.full((1, 16, 16, 3), 0.5)
    np.testing.assert_allclose(ssim(flat, flat), 1)
    assert np.isfinite(ssim(flat, np.zeros_like(flat))).all()


def test_no_pictures_give_no_figures():
    assert psnr_db(np.zeros((0, 16, 16, 3)), np.zeros((0, 16, 16, 3))).shape == (0,)


def test_pictures_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        psnr_db(pictures(), pictures(width=44))
    with pytest.raises(ValueError, match="at least 11"):
        ssim(pictures(height=8), pictures(height=8))


def test_bootstrap_of_a_made_up_sample():
    values = [1.0] * 60 + [0.0] * 40
    low, high = bootstrap_ci95(values)
    # the normal approximation: 0.6 +- 1.96 sqrt(0.24 / 100)
    assert low == pytest.approx(0.504, abs=0.015)
    assert high == pytest.approx(0.696, abs=0.015)
    assert bootstrap_ci95(values) == [low, high]


def test_nothing_seen_is_not_taken_for_never():
    # Clopper-Pearson: 0 of 40 leaves up to 1 - 0.025^(1/40)
    assert bootstrap_ci95([0.0] * 40) == pytest.approx([0, 0.0881], abs=1e-4)
    assert bootstrap_ci95([1.0] * 40) == pytest.approx([0.9119, 1], abs=1e-4)
    assert bootstrap_ci95([0.0] * 40, groups=[0, 1] * 20) == pytest.approx([0, 0.8419], abs=1e-4)
    assert bootstrap_ci95([0.5] * 40) == [0.5, 0.5]


def test_variants_of_one_plate_do_not_make_the_figures_surer():
    values = [1.0] * 6 + [0.0] * 4
    once = bootstrap_ci95(values)
    repeated = bootstrap_ci95(np.repeat(values, 8), groups=np.repeat(np.arange(10), 8))
    assert repeated == once
    assert bootstrap_ci95(np.repeat(values, 8))[0] > once[0]


def test_a_confidence_interval_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_ci95([])
    assert estimate([]) == {"value": None, "ci95": None, "n": 0}


def test_reading_rates_of_a_made_up_table():
    texts = ["皖AE587T", "皖AE587T", "AB123", "AB12/CD345", ""]
    read = ["苏AE587T", "皖AE5871", "XY123", "CDB125", "AB"]
    rates = reading_rates([Reading(text) for text in read], texts, ["CN", "CN", "DE", "GB", "DE"])
    assert rates["two_line"] == 1
    assert rates["without_text"] == 1
    assert rates["plate_acc"]["value"] == pytest.approx(1 / 3)
    assert rates["plate_acc_within_1"]["value"] == pytest.approx(2 / 3)
    assert rates["char_acc"]["value"] == pytest.approx((1 + 5 / 6 + 3 / 5) / 3)
    assert rates["char_acc"]["n"] == 3
    with_province = rates["with_province"]
    assert with_province["plate_acc"]["value"] == 0
    assert with_province["char_acc"]["value"] == pytest.approx((6 / 7 + 6 / 7 + 3 / 5) / 3)


def test_zero_plates_give_no_rates():
    rates = reading_rates([], [], [])
    assert rates["plate_acc"] == {"value": None, "ci95": None, "n": 0}
    assert reading_rates(["A"], ["A/B"], ["DE"])["char_acc"]["n"] == 0


def test_a_reader_that_always_errs_scores_0():
    rates = reading_rates(["ZZZZZZ"] * 4, ["AB1234"] * 4, ["DE"] * 4)
    for name in ("plate_acc", "plate_acc_within_1", "char_acc"):
        assert rates[name]["value"] == 0
        assert rates[name]["ci95"] == pytest.approx([0, 0.6024], abs=1e-4)
        assert rates[name]["n"] == 4


def test_flip_rate_of_a_made_up_table():
    before = [True] * 4 + [False] * 6
    after = [True, True, True, False] + [True] * 2 + [False] * 4
    confidences = [0.99] * 5 + [0.1] * 3 + [0.95, 0.9]
    result = harm(before, after, confidences)
    assert (result["flip_rate"]["value"], result["flip_rate"]["count"], result["flip_rate"]["n"]) == (0.25, 1, 4)
    assert (result["gain_rate"]["count"], result["gain_rate"]["n"]) == (2, 6)
    # wrong after: the fourth (0.99) and the last four (0.1, 0.1, 0.95, 0.9); above 0.9 are two of them
    assert (result["confidently_wrong"]["count"], result["confidently_wrong"]["n"]) == (2, 10)


def test_harm_where_nothing_could_be_read_before():
    result = harm([False], [True], [0.5])
    assert result["flip_rate"]["value"] is None
    assert result["gain_rate"]["value"] == 1
    assert harm([], [], [])["confidently_wrong"]["n"] == 0


def test_reliability_counts_what_is_right_in_each_part():
    given = np.array([0.05, 0.92, 0.94, 0.96, 1.0])
    low, high = reliability(given, np.array([False, True, True, False, True]))
    assert (low["n"], low["right"]) == (1, 0)
    assert (high["low"], high["n"]) == (0.9, 4)
    assert high["given"] == pytest.approx(0.955)
    assert high["right"] == pytest.approx(0.75)


def test_trust_is_of_answers_each_of_whose_characters_is_sure():
    given = [("AB12", [0.92] * 4), ("CD33", [0.92, 0.92, 0.92, 0.4]), ("EF5X", [0.95] * 4)]
    answers = [Answer(tuple(((char, p),) for char, p in zip(text, each, strict=True))) for text, each in given]
    result = trust(answers, ["AB12", "CD34", "EF56"], ["DE"] * 3)
    assert (result["right_of_sure"]["value"], result["right_of_sure"]["n"]) == (0.5, 2)
    assert (result["confidently_wrong"]["count"], result["confidently_wrong"]["n"]) == (1, 3)
    assert [(part["n"], part["right"]) for part in result["reliability"]] == [(1, 0), (11, pytest.approx(10 / 11))]
    assert trust([], [], [])["reliability"] == []


def test_variants_of_one_plate_make_nobody_surer_of_the_sure_ones():
    answers = [Answer(tuple(((char, p),) for char in "AB12")) for p in (0.95, 0.95, 0.4)]
    once = trust(answers * 4, ["AB12", "AB13", "AB12"] * 4, ["DE"] * 12, [str(each) for each in range(12)])
    often = trust(answers * 12, ["AB12", "AB13", "AB12"] * 12, ["DE"] * 36, [str(each) for each in range(12)] * 3)
    assert often["right_of_sure"] == once["right_of_sure"] | {"n": 24}
