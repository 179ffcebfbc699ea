import cv2
import numpy as np
import pytest

from data.quality import brightness, contrast, sharpness


def halves(low, high):
    picture = np.full((32, 64, 3), low, np.float32)
    picture[:, 32:] = high
    return picture


def test_brightness_and_contrast_of_known_pictures():
    assert brightness(halves(0.2, 0.6)) == pytest.approx(0.4, abs=1e-6)
    assert contrast(halves(0.2, 0.6)) == pytest.approx(0.2, abs=1e-6)
    assert contrast(halves(0, 1)) == pytest.approx(0.5)


def test_colours_weigh_as_the_eye_weighs_them():
    green = np.zeros((8, 8, 3), np.float32)
    green[..., 1] = 1
    assert brightness(green) == pytest.approx(0.587, abs=1e-3)


def test_bytes_and_floats_agree():
    picture = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    as_float = picture.astype(np.float32) / 255
    for figure in (brightness, contrast, sharpness):
        assert figure(picture) == pytest.approx(figure(as_float), rel=0.01)


def test_a_flat_picture_is_not_sharp():
    assert sharpness(np.full((32, 64, 3), 128, np.uint8)) == 0


def test_blur_lowers_sharpness_and_darkness_does_not():
    picture = (np.random.default_rng(0).random((12, 24, 3)) * 255).astype(np.uint8)
    picture = cv2.resize(picture, (192, 96), interpolation=cv2.INTER_NEAREST)
    blurred = cv2.GaussianBlur(picture, (0, 0), 4)
    dark = (picture.astype(np.float32) / 255 * 0.25).astype(np.float32)
    assert sharpness(blurred) < 0.15 < 0.3 < sharpness(picture)
    assert sharpness(dark) == pytest.approx(sharpness(picture), rel=0.02)


def test_white_noise_has_the_figure_of_the_docstring():
    noise = np.random.default_rng(0).random((96, 192, 1)).astype(np.float32).repeat(3, axis=2)
    assert sharpness(noise) == pytest.approx(np.sqrt(20), rel=0.03)
