import cv2
import numpy as np
import pytest

from data.quality import measure


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
