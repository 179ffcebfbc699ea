"""What the shipped networks make of twenty rendered plates is what they made when they shipped.

The code around the networks may move; the pictures may not change. Where this fails, mend what changed them. When other
networks ship, write the copies anew with `python -m tests.test_frozen_pictures`.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from data import degrade
from data.straighten import crop_plate
from data.synthetic.rendering import render
from models.enhancer import enhance, load_generator

ROOT = Path(__file__).resolve().parents[1]
COPIES = Path(__file__).with_name("frozen_pictures.json")
ARCHIVES = ("pretrain", "generator")
COUNT, SEED = 20, 7
# with which they shipped; what is recommended may change
STRENGTH = 0.7
# width, height of a copy: means over blocks, in which rounding of single pixels disappears
SMALL = (12, 6)
# of 255 levels
TOLERANCE = 0.25


def plates() -> list[np.ndarray]:
    """(96, 192, 3) float32: damaged rendered plates, and every fifth one of another size."""
    pictures = []
    for index in range(COUNT):
        photo, corners, _, _ = render(SEED, index)
        tile, _, _ = crop_plate(photo, corners)
        steps = degrade.sample(np.random.default_rng([SEED, index]), "benchmark")
        picture = degrade.apply(tile.astype(np.float32) / 255, steps)
        pictures.append(cv2.resize(picture, (150, 60)) if index % 5 == 4 else picture)
    return pictures


def made(archive: str) -> list:
    """(20, 6, 12, 3) levels: small copies of the enhanced plates, in float32."""
    generator = load_generator(ROOT / "checkpoints" / "pretrained" / f"{archive}.keras", "float32", STRENGTH)
    enhanced = enhance(generator, plates())
    return [cv2.resize(255 * each, SMALL, interpolation=cv2.INTER_AREA).round(1).tolist() for each in enhanced]


@pytest.mark.slow
@pytest.mark.parametrize("archive", ARCHIVES)
def test_the_shipped_networks_make_the_pictures_that_they_shipped_with(archive):
    frozen = json.loads(COPIES.read_text(encoding="utf-8"))
    np.testing.assert_allclose(made(archive), frozen[archive], atol=TOLERANCE)


if __name__ == "__main__":
    COPIES.write_text(json.dumps({archive: made(archive) for archive in ARCHIVES}) + "\n", encoding="utf-8")
