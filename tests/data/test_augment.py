import numpy as np
import pytest

from data import augment
from data.augment import randomised


@pytest.fixture
def striped() -> np.ndarray:
    """Black strokes of three pixels on white."""
    picture = np.ones((96, 192, 3), np.float32)
    for left in range(40, 150, 16):
        picture[30:66, left : left + 3] = 0
    return picture


def many(picture: np.ndarray, count: int = 40) -> list[np.ndarray]:
    return [randomised(picture, np.random.default_rng(seed)) for seed in range(count)]


def test_the_size_and_range_stay_and_the_seed_decides(striped):
    for first, second in zip(many(striped, 10), many(striped, 10), strict=True):
        assert (first.shape, first.dtype) == (striped.shape, np.float32)
        assert 0 <= first.min() <= first.max() <= 1
        np.testing.assert_array_equal(first, second)


def test_a_fifth_of_the_plates_stay_as_they_are(striped):
    same = np.mean([plate is striped for plate in many(striped, 400)])
    assert same == pytest.approx(1 - augment.RANDOMISED_SHARE, abs=0.06)


def test_strokes_become_thinner_and_bolder_but_stay(striped, monkeypatch):
    monkeypatch.setattr(augment, "RANDOMISED_SHARE", 1)
    monkeypatch.setattr(augment, "RANDOMISED_ZOOM", (0, 0))
    monkeypatch.setattr(augment, "RANDOMISED_STRETCH", 0)
    dark = np.array([(1 - plate).sum() for plate in many(striped)]) / (1 - striped).sum()
    assert dark.min() < 0.8
    assert dark.max() > 1.2
    # a stroke of three pixels does not vanish
    assert dark.min() > 0.5


def test_the_plate_stays_in_the_tile(striped, monkeypatch):
    monkeypatch.setattr(augment, "RANDOMISED_SHARE", 1)
    for plate in many(striped):
        edge = np.concatenate([plate[0], plate[-1], plate[:, 0], plate[:, -1]])
        assert edge.min() > 0.7


def test_corners_err_as_the_detectors_do(monkeypatch):
    monkeypatch.setattr(augment, "CORNER_OUTLIERS", 0)
    rng = np.random.default_rng(0)
    x, y = augment._from_the_middle(96, 192)
    moved = [augment._with_wrong_corners(rng, x, y) for _ in range(500)]
    errors = np.array([(xs[0, 0] - x[0, 0], ys[0, 0] - y[0, 0]) for xs, ys in moved])
    assert errors.std() == pytest.approx(augment.CORNER_ERROR * 96, rel=0.1)
    # each corner by itself, the others with their own errors
    others = np.array([ys[-1, -1] - y[-1, 0] for _, ys in moved])
    assert abs(np.corrcoef(errors[:, 1], others)[0, 1]) < 0.15


def test_smeared_plates_are_shown_whole():
    """The light of a long exposure's ends lies in the tile: no smeared plate is shown larger than it is."""
    zooms = [np.linalg.norm(_smeared(seed).matrix[:, 0]) ** -1 for seed in range(200)]
    low, high = augment.SMEARED_ZOOM
    assert low - 1e-6 <= min(zooms) <= max(zooms) <= high + 1e-6
    assert np.mean(zooms) == pytest.approx(np.mean(augment.SMEARED_ZOOM), abs=0.03)


def _smeared(seed: int) -> augment.Change:
    change = augment.draw(np.random.default_rng(seed), 96, 192, blur_px=augment.SMEARED_PX + 1)
    assert not change.whole_pixels
    return change
