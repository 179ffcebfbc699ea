"""preprocess.py --format photos: tiles from photos whose plates a detector finds."""

import numpy as np
import pytest
from PIL import Image

from data.photos import Photo
from data.preprocessing import KEPT, NO_PLATE, REJECTED, Recipe, make_pairs
from data.straighten import in_tile
from data.synthetic.rendering import render

TAKE_ALL = Recipe(
    form="photos", brightness=(0, 1), min_contrast=0, min_sharpness=-1, min_plate_width=1, val=0, test=0, variants=2
)


def folders(out):
    for side in ("hr", "lq"):
        (out / "train" / side).mkdir(parents=True)
    return str(out)


@pytest.fixture
def street(tmp_path):
    photo, corners, *_ = render(5, 3)
    Image.fromarray(photo).save(tmp_path / "street.png")
    return photo, corners


def test_a_found_plate_becomes_tiles(street, tmp_path):
    photo, corners = street
    seen = []

    def find(picture):
        seen.append(picture)
        return corners

    listed = Photo("street.png", "1", ("AB12CDE", "GB"))
    outcome = make_pairs(listed, TAKE_ALL, str(tmp_path), folders(tmp_path / "tiles"), find=find)
    assert outcome.verdict == KEPT
    assert (seen[0] == photo).all()
    assert [row.text for row in outcome.rows] == ["AB12CDE"] * 2
    assert np.array(outcome.rows[0].corners) == pytest.approx(in_tile(corners), abs=1e-6)
    assert len(list((tmp_path / "tiles/train/lq").iterdir())) == 2


def test_corners_a_little_outside_are_taken_and_far_outside_not(street, tmp_path):
    width = street[0].shape[1]
    corners = np.array([[width + 1.5, 200.0], [20, 200], [20, 100], [width + 1.5, 100]])
    for more, verdict in ((0, KEPT), (30, "failed")):
        moved = corners + np.array([[more, 0]] * 4)
        outcome = make_pairs(
            Photo("street.png", "1"),
            TAKE_ALL,
            str(tmp_path),
            folders(tmp_path / f"t{more}"),
            find=lambda _, at=moved: at,
        )
        assert outcome.verdict == verdict


def test_a_photo_without_a_plate_is_counted_as_that(street, tmp_path):
    outcome = make_pairs(
        Photo("street.png", "1"), TAKE_ALL, str(tmp_path), str(tmp_path / "tiles"), find=lambda _: None
    )
    assert (outcome.verdict, outcome.reason) == (REJECTED, NO_PLATE)
    assert not (tmp_path / "tiles").exists()
