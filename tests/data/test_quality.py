import cv2
import numpy as np
import pytest
from drawn_plates import motion, plate

from data.quality import effective_width, fit, measure


def halves(low, high):
    picture = np.full((32, 64, 3), low, np.float32)
    picture[:, 32:] = high
    return picture


def test_brightness_and_contrast_of_known_pictures():
    assert measure(halves(0.2, 0.6)).brightness == pytest.approx(0.4, abs=1e-6)
    assert measure(halves(0.2, 0.6)).contrast == pytest.approx(0.2, abs=1e-6)
    assert measure(halves(0, 1)).contrast == pytest.approx(0.5)


def test_colours_weigh_as_the_eye_weighs_them():
    green = np.zeros((8, 8, 3), np.float32)
    green[..., 1] = 1
    assert measure(green).brightness == pytest.approx(0.587, abs=1e-3)


def test_bytes_and_floats_agree():
    picture = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    as_float = picture.astype(np.float32) / 255
    assert vars(measure(picture)) == pytest.approx(vars(measure(as_float)), rel=0.01)


def test_a_flat_picture_is_not_sharp():
    assert measure(np.full((32, 64, 3), 128, np.uint8)).sharpness == 0


def test_blur_lowers_sharpness_and_darkness_does_not():
    picture = (np.random.default_rng(0).random((12, 24, 3)) * 255).astype(np.uint8)
    picture = cv2.resize(picture, (192, 96), interpolation=cv2.INTER_NEAREST)
    blurred = cv2.GaussianBlur(picture, (0, 0), 4)
    dark = (picture.astype(np.float32) / 255 * 0.25).astype(np.float32)
    assert measure(blurred).sharpness < 0.15 < 0.3 < measure(picture).sharpness
    assert measure(dark).sharpness == pytest.approx(measure(picture).sharpness, rel=0.02)


def test_white_noise_has_the_figure_of_the_docstring():
    noise = np.random.default_rng(0).random((96, 192, 1)).astype(np.float32).repeat(3, axis=2)
    assert measure(noise).sharpness == pytest.approx(np.sqrt(20), rel=0.03)


CAMERAS = {
    "as it is": lambda p: p,
    "out of focus": lambda p: cv2.GaussianBlur(p, (0, 0), 3),
    "shaken": lambda p: motion(p, 15),
    "dark": lambda p: 0.12 * p,
    "dark, shaken, noisy": lambda p: np.clip(
        0.3 * motion(p, 11) + np.random.default_rng(0).normal(0, 0.02, p.shape).astype("f"), 0, 1
    ),
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


def test_flat_pictures_have_finite_figures(rng):
    flat = np.full((32, 64, 3), 0.3, np.float32)
    assert fit(flat, flat).consistency == 1
    assert fit(flat, rng.random((32, 64, 3), "float32")).consistency == 0
    assert fit(rng.random((32, 64, 3), "float32"), flat).consistency == 0
    for size in ((1, 192), (3, 5), (1, 1)):
        assert np.isfinite(fit(rng.random((*size, 3), "float32"), rng.random((*size, 3), "float32"))[0])
